//! The doctor where nothing is on AWS, and what it takes and prints.

use serde_json::Value;

use crate::common::stub::{Answer, Stub};
use crate::common::warden::{run, run_with, stderr, stdout, verb};
use crate::verbs::Ground;

fn lines(report: &str, answer: &str) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(report).expect("one JSON document");
    let lines = report["lines"].as_array().expect("lines").iter().filter(|line| line["answer"] == answer);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    lines.map(|line| (text(&line["name"]), text(&line["on"]))).collect()
}

#[test]
fn directories_need_no_permission_and_are_looked_at() {
    let ground = Ground::new();
    let output = verb(&ground.config, &["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let well: Vec<String> = lines(&stdout(&output), "ok").into_iter().map(|(name, _)| name).collect();
    assert_eq!(well, ["ledger", "disk", "members", "bucket", "queue", "signing keys"]);
    let idle: Vec<String> = lines(&stdout(&output), "not_applicable").into_iter().map(|(name, _)| name).collect();
    assert_eq!(idle, ["credentials", "clock"]);
    let told = stdout(&verb(&ground.config, &["doctor"]));
    assert!(told.contains("6 ok, 0 bad, 0 could not be checked"), "{told}");
    let output = verb(&ground.config, &["doctor", "--policy", "reader"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(2), String::new()), "{}", stderr(&output));
    assert_eq!(stdout(&verb(&ground.config, &["doctor", "--policy"])), "{}\n");
}

#[test]
fn what_is_missing_on_this_machine_is_bad() {
    let ground = Ground::new();
    for (folder, name) in [("bucket", "bucket"), ("keys", "signing keys"), ("spool", "queue")] {
        std::fs::rename(ground.dir.path().join(folder), ground.dir.path().join("aside")).expect("renamed");
        let output = verb(&ground.config, &["doctor", "--json"]);
        let bad: Vec<String> = lines(&stdout(&output), "bad").into_iter().map(|(name, _)| name).collect();
        assert_eq!((output.status.code(), bad), (Some(4), vec![name.to_owned()]), "{folder}");
        std::fs::rename(ground.dir.path().join("aside"), ground.dir.path().join(folder)).expect("renamed");
    }
    std::fs::write(ground.dir.path().join("members.toml"), "nonsense").expect("a file");
    let output = verb(&ground.config, &["doctor"]);
    assert_eq!(output.status.code(), Some(4));
    let told = stdout(&output);
    assert!(told.contains("  bad              members") && told.contains("until then: who is a member"), "{told}");
}

/// The host is asked for nothing that is secret, and what it answers does not matter.
#[test]
fn a_webhooks_host_is_reached_and_its_address_kept() {
    let ground = Ground::new();
    let stub = Stub::start(|_| Answer::new(403, ""));
    let channel =
        |url: &str| format!("[channel.hook]\nkind = \"webhook\"\nurl = \"{url}\"\n[[route]]\nto = [\"hook\"]\n");
    let before = std::fs::read_to_string(&ground.config).expect("text");
    ground.append(&channel(&format!("{}/secret/path?token=t", stub.endpoint)));
    let output = verb(&ground.config, &["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(lines(&stdout(&output), "ok").contains(&("channel".into(), "hook (webhook)".into())));
    let asked: Vec<(String, String, String)> =
        stub.asked().into_iter().map(|asked| (asked.method, asked.path, asked.query)).collect();
    assert_eq!(asked, [("HEAD".into(), "/".into(), String::new())]);

    std::fs::write(&ground.config, before).expect("a file");
    ground.append(&channel("http://127.0.0.1:1/secret"));
    let output = verb(&ground.config, &["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(lines(&stdout(&output), "bad"), [("channel".into(), "hook (webhook)".into())]);
    assert!(!stdout(&output).contains("secret"), "{}", stdout(&output));
}

/// An AWS whose clock is another, and whose organization is another.
#[test]
fn another_clock_and_another_organization_are_told() {
    let stub = Stub::start(|asked| {
        let answer = match asked.operation.as_str() {
            "DescribeOrganization" => Answer::json(&serde_json::json!({ "Organization": { "Id": "o-somebodyelse" } })),
            _ => Answer::json_error(400, "AccessDeniedException", "no"),
        };
        answer.header("date", "Sun, 01 Mar 2026 00:00:00 GMT")
    });
    let ground = Ground::new();
    let text = std::fs::read_to_string(&ground.config).expect("text").replace("members = \"members.toml\"", "");
    std::fs::write(&ground.config, text).expect("a file");
    let env = [
        ("AWS_ENDPOINT_URL", stub.endpoint.clone()),
        ("AWS_ACCESS_KEY_ID", "test".into()),
        ("AWS_SECRET_ACCESS_KEY", "test".into()),
        ("AWS_REGION", "eu-west-1".into()),
    ];
    let output = run_with(&env, &["doctor", "--json", "--config", ground.config.to_str().expect("text")]);
    let bad = lines(&stdout(&output), "bad");
    assert_eq!(output.status.code(), Some(4));
    for wanted in ["clock", "organization", "organizations:ListAccounts"] {
        assert!(bad.iter().any(|(name, _)| name == wanted), "{wanted}: {bad:?}");
    }
    assert!(!bad.iter().any(|(name, _)| name == "organizations:DescribeOrganization"), "{bad:?}");
}

#[test]
fn what_is_no_arn_of_the_kind_is_refused() {
    for args in [
        ["--key", "arn:aws:s3:eu-west-1:111122223333:key"],
        ["--key", "arn:aws:kms:eu-west-1:111122223333:*"],
        ["--dead-letters", "https://sqs.eu-west-1.amazonaws.com/111122223333/q"],
        ["--role", "owner"],
    ] {
        assert_eq!(run(&[&["doctor"], &args[..]].concat()).status.code(), Some(2), "{args:?}");
    }
}
