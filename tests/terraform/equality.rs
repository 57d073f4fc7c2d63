//! For one and the same configuration Terraform grants what `doctor --policy` prints: no action, no resource, no condition more
//! or less. The configuration is the one that Terraform writes for the host.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::warden::{run, stderr, stdout};
use crate::tool::Tool;

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/archive";
const ALERTS: &str = "arn:aws:kms:eu-central-1:444455556666:key/alerts";

/// What the module is told, by a name.
fn cases() -> BTreeMap<&'static str, Value> {
    let least = json!({
        "bucket": { "name": "acme", "region": "eu-central-1", "owner": "111122223333" },
        "queue_url": "https://sqs.eu-central-1.amazonaws.com/111122223333/trail",
    });
    let with = |more: Value| {
        let mut case = least.clone();
        let held = case.as_object_mut().expect("an object");
        held.extend(more.as_object().expect("an object").clone());
        case
    };
    let topic = |name: &str| format!("arn:aws:sns:eu-central-1:444455556666:{name}");
    let role = |account: &str, name: &str| format!("arn:aws:iam::{account}:role/{name}");
    let everything = json!({
        "organization_id": "o-a1b2c3d4e5",
        "keys": [KEY, ALERTS],
        "dead_letters": ["arn:aws:sqs:eu-central-1:111122223333:dead"],
        "topics": ["arn:aws:sns:eu-central-1:111122223333:announced", "arn:aws:sns:eu-central-1:111122223333:delivered"],
        "retention": { "keep_days": 400, "noncurrent_days": 500, "mode": "compliance", "enforce": "apply" },
        "posture": { "trails": ["arn:aws:cloudtrail:eu-central-1:999988887777:trail/org"], "readers": ["111122223333"],
                     "accept": { "access_logging_off": "a \"reason\" of <ours>" } },
        "alert_topics": { "alerts": topic("alerts"), "more": topic("more") },
        "alert_buses": { "bus": "arn:aws:events:eu-central-1:444455556666:event-bus/b" },
        "alert_functions": { "function": "arn:aws:lambda:eu-central-1:444455556666:function:f" },
        "security_hub": { "account": "444455556666", "region": "eu-central-1" },
        "heartbeat": { "topic_arn": topic("heartbeat"), "every": "5m" },
        "more_configuration": "[http]\nlisten = \"off\"",
    });
    let mut roles = everything.clone();
    roles["external_id"] = json!("warden");
    roles["roles"] = json!({
        "archive": role("111122223333", "archive"), "organization": role("999988887777", "organization"),
        "retention": role("111122223333", "retention"), "audit": role("111122223333", "audit"),
        "trails": role("999988887777", "trails"),
    });
    let mut copies = everything.clone();
    copies["ledger_copies"] = json!({ "bucket": "copies", "prefix": "ledgers/", "region": "eu-west-1" });
    let mut leased = everything.clone();
    leased["lease"] =
        json!({ "name": "acme", "bucket": "leases", "prefix": "warden/", "region": "eu-west-1", "ttl": "30s" });
    let mut kept = everything.clone();
    kept["history"] = json!({ "bucket": "records", "prefix": "history/", "region": "eu-west-1", "keep": "3y",
                              "kms_key": "arn:aws:kms:eu-west-1:111122223333:key/records" });
    BTreeMap::from([
        ("least", with(json!({}))),
        ("without_posture", with(json!({ "posture": null, "members": "/etc/trailwarden/members.toml" }))),
        ("everything", with(everything)),
        ("roles", with(roles)),
        ("copies", with(copies)),
        ("lease", with(leased)),
        ("history", with(kept)),
        ("history_at_the_top", with(json!({ "keys": [KEY], "history": { "bucket": "records", "prefix": "" } }))),
        (
            "lease_at_the_top",
            with(json!({ "keys": [ALERTS], "lease": { "name": "acme", "bucket": "leases", "prefix": "" } })),
        ),
        ("one_key", with(json!({ "keys": [KEY], "retention": { "keep_days": 1, "incomplete_uploads_days": null } }))),
        ("copies_at_the_top", with(json!({ "keys": [ALERTS], "ledger_copies": { "bucket": "copies", "prefix": "" } }))),
        (
            "one_role_for_two",
            with(json!({ "roles": { "archive": role("111122223333", "a"), "audit": role("111122223333", "a") } })),
        ),
        ("shard", with(json!({ "organization_id": "o-a1b2c3d4e5", "shard": { "index": 1, "count": 2 } }))),
        ("layout", with(json!({ "layout": ["b/AWSLogs/{account}/", "a/AWSLogs/{account}/", "a/AWSLogs/{account}/"] }))),
        (
            "china",
            json!({
                "bucket": { "name": "acme", "region": "cn-north-1", "owner": "111122223333" },
                "queue_url": "https://sqs.cn-north-1.amazonaws.com.cn/111122223333/trail",
                "keys": ["arn:aws-cn:kms:cn-north-1:111122223333:key/k"],
            }),
        ),
        (
            "government",
            json!({
                "bucket": { "name": "acme", "region": "us-gov-west-1", "owner": "111122223333" },
                "queue_url": "https://sqs.us-gov-west-1.amazonaws.com/111122223333/trail",
            }),
        ),
    ])
}

#[test]
fn terraform_grants_what_the_doctor_prints() {
    let Some(tool) = Tool::find() else { return };
    let cases = cases();
    let modules: BTreeMap<&str, Value> = cases
        .iter()
        .map(|(name, case)| {
            let mut module = case.clone();
            module["source"] = json!("./modules/settings");
            (*name, module)
        })
        .collect();
    let given = |name: &&str| ((*name).to_owned(), json!({ "value": format!("${{module.{name}}}") }));
    let mut outputs: BTreeMap<String, Value> = cases.keys().map(given).collect();
    let script = "${templatefile(\"modules/warden/user-data.sh.tftpl\", { files = { \"trailwarden.toml\" = \"eA==\", \"rules.toml\" = \"eQ==\" }, \
                  package = { url = \"https://example.com/trailwarden.deb\", sha256 = \"00\" }, volume = \"vol0\" })}";
    outputs.insert("user_data".into(), json!({ "value": script }));
    tool.write("main.tf.json", &json!({ "module": modules, "output": outputs }).to_string());
    if tool.init(".").is_none() {
        return;
    }
    tool.must(".", &["apply", "-auto-approve"]);
    let outputs = tool.outputs(".");
    for name in cases.keys() {
        judge(&tool, name, &outputs[name]);
    }
    is_a_script(outputs["user_data"].as_str().expect("text"));
}

fn judge(tool: &Tool, name: &str, rendered: &Value) {
    let config = tool.dir().join(format!("{name}.toml"));
    std::fs::write(&config, rendered["configuration"].as_str().expect("text")).expect("a file");
    let config = config.to_str().expect("text");
    let named: Vec<&str> =
        rendered["doctor_arguments"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let output = run(&[&["doctor", "--policy", "--config", config], &named[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
    let printed: BTreeMap<String, Value> = serde_json::from_str(&stdout(&output)).expect("policies");
    let parsed = |of: &Value| -> BTreeMap<String, Value> {
        let all = of.as_object().expect("policies").iter();
        all.map(|(who, text)| (who.clone(), serde_json::from_str(text.as_str().expect("text")).expect("JSON")))
            .collect()
    };
    assert_eq!(parsed(&rendered["policies"]), printed, "{name}");

    // What is divided among those who do it is the same again: nothing is added, nothing is lost.
    let statements = |policies: &BTreeMap<String, Value>| -> BTreeSet<String> {
        policies
            .values()
            .flat_map(|policy| policy["Statement"].as_array().expect("statements"))
            .map(Value::to_string)
            .collect()
    };
    assert_eq!(statements(&parsed(&rendered["actors"])), statements(&printed), "{name}");
}

/// Nothing of it is run here.
fn is_a_script(text: &str) {
    let mut child =
        Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("bash starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("an input"), text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{}\n{text}", stderr(&output));
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no `{part}` in\n{text}"));
    assert!(
        at("set -euo pipefail") < at("sha256sum --check") && at("sha256sum --check") < at("dpkg --install"),
        "{text}"
    );
    assert!(at("mount /var/lib/trailwarden") < at("systemctl restart"), "{text}");
}
