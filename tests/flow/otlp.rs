//! A collector that is told of the daemon's work, and daemons whose collector is no good.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use trailwarden::env::Env;
use trailwarden::world::{Scale, Step};

use crate::common::acts::world;
use crate::common::emulator::env_of;
use crate::common::stub::{Answer, Asked, Stub};
use crate::common::warden::{Warden, json};
use crate::directories::Ground;

const SECRET: &str = "Bearer of-all-secrets";

/// A day whose messages wait, and a daemon that has a collector at an address. How many messages there are.
fn ground(endpoint: &str, more: &str) -> (Ground, usize) {
    let scale = Scale { accounts: 3, regions: 2, hours: 3, logs_per_hour: (1, 2), records_per_log: (1, 2) };
    let mut world = world(9, scale, &[]);
    let ground = Ground::of(&world);
    let mut messages = 0;
    while let Some(hour) = world.next_hour().expect("hours go on") {
        for happening in &hour.happenings {
            messages += usize::from(matches!(happening.step, Step::Message { .. }));
            ground.stage.play(happening).expect("played");
        }
    }
    std::fs::write(ground.dir.path().join("token"), format!("{SECRET}\n")).expect("a secret");
    let mut text = std::fs::read_to_string(&ground.config).expect("a configuration");
    text += &format!(
        "\n[otlp]\nendpoint = \"{endpoint}\"\nheaders = {{ Authorization = {{ file = \"token\" }} }}\nservice = \"audit\"\n{more}\n"
    );
    std::fs::write(&ground.config, text).expect("a file");
    (ground, messages)
}

/// Runs until the queue is empty, and stops it.
fn live(ground: &Ground) -> Warden {
    let mut warden = Warden::start(&ground.config, &[]);
    settle(ground, &mut warden);
    assert_eq!(warden.stop(), Some(0), "{}", warden.log());
    warden
}

fn settle(ground: &Ground, warden: &mut Warden) {
    let left =
        |folder: &str| std::fs::read_dir(ground.dir.path().join("spool").join(folder)).expect("a folder").count();
    warden.until("the queue is empty", |_| left("new") + left("cur") == 0);
}

/// What was posted to a path, flat: the entries of all batches.
fn posted(collector: &Stub, path: &str, [outer, inner, entries]: [&str; 3]) -> Vec<Value> {
    let mut all = Vec::new();
    for asked in collector.asked().iter().filter(|asked| asked.path == path) {
        assert_eq!(
            (asked.method.as_str(), &asked.headers["content-type"]),
            ("POST", &"application/json".parse().unwrap())
        );
        let body = asked.json();
        let batch = &body[outer][0];
        let resource = attributes(&batch["resource"]);
        assert_eq!(
            (&resource["service.name"], &resource["host.name"]),
            (&"audit".into(), &Env::system().host().into())
        );
        assert_eq!(batch[inner][0]["scope"]["name"], "trailwarden");
        all.extend(batch[inner][0][entries].as_array().expect("entries").iter().cloned());
    }
    all
}

fn spans(collector: &Stub) -> Vec<Value> {
    posted(collector, "/otlp/v1/traces", ["resourceSpans", "scopeSpans", "spans"])
}

fn records(collector: &Stub) -> Vec<Value> {
    posted(collector, "/otlp/v1/logs", ["resourceLogs", "scopeLogs", "logRecords"])
}

/// Names and values, each of the kind that it says it is.
fn attributes(of: &Value) -> BTreeMap<String, Value> {
    let read = |attribute: &Value| {
        let (kind, value) = attribute["value"].as_object()?.iter().next()?;
        let value = match kind.as_str() {
            "stringValue" | "boolValue" => value.clone(),
            "intValue" => value.as_str()?.parse::<i64>().ok()?.into(),
            _ => return None,
        };
        Some((attribute["key"].as_str()?.to_owned(), value))
    };
    of["attributes"]
        .as_array()
        .expect("attributes")
        .iter()
        .map(|one| read(one).unwrap_or_else(|| panic!("{one}")))
        .collect()
}

fn text(of: &Value, name: &str) -> String {
    of[name].as_str().unwrap_or_else(|| panic!("no {name}: {of}")).to_owned()
}

fn is_hex(id: &str, digits: usize) -> bool {
    id.len() == digits && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && id.bytes().any(|byte| byte != b'0')
}

fn taking() -> Stub {
    Stub::start(|_| Answer::new(200, "{}"))
}

#[test]
fn a_messages_way_is_a_trace_and_the_log_is_told_with_its_fields() {
    let collector = taking();
    let (ground, messages) = ground(&format!("{}/otlp/", collector.endpoint), "sample = 1.0");
    let warden = live(&ground);
    let spans = spans(&collector);
    let by_id: BTreeMap<String, &Value> = spans.iter().map(|span| (text(span, "spanId"), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "two spans of one id");
    let named = |name: &str| spans.iter().filter(|span| span["name"] == name).collect::<Vec<_>>();
    assert_eq!(named("message").len(), messages, "each message once");
    let mut objects = BTreeSet::new();
    for span in &spans {
        assert!(is_hex(&text(span, "traceId"), 32) && is_hex(&text(span, "spanId"), 16), "{span}");
        let at = |name: &str| text(span, name).parse::<u128>().expect("nanoseconds");
        assert!(
            at("startTimeUnixNano") <= at("endTimeUnixNano") && at("startTimeUnixNano") > 1_700_000_000_000_000_000
        );
        let above = span.get("parentSpanId").map(|id| by_id[id.as_str().expect("an id")]);
        let above_name = above.map(|above| above["name"].as_str().expect("a name"));
        if let Some(above) = above {
            assert_eq!(above["traceId"], span["traceId"]);
        }
        match span["name"].as_str().expect("a name") {
            "receive" => assert_eq!(above_name, None),
            "message" => {
                assert_eq!(above_name, Some("receive"));
                assert_eq!(attributes(span)["message.deliveries"], 1);
                assert!(span.get("status").is_none(), "{span}");
            }
            "notice" if above_name.is_some() => {
                assert_eq!(above_name, Some("message"));
                let said = attributes(span);
                let below: BTreeSet<&str> = spans
                    .iter()
                    .filter(|below| below.get("parentSpanId") == span.get("spanId"))
                    .map(|below| below["name"].as_str().expect("a name"))
                    .collect();
                match said["fate"].as_str() {
                    Some("ignored") => assert_eq!(below, BTreeSet::from(["judge"])),
                    // the same object, announced twice
                    Some("repeated") => assert!(below.contains("judge")),
                    fate => {
                        assert_eq!((fate, below), (Some("admitted"), BTreeSet::from(["judge", "fetch", "commit"])));
                        objects.insert(said["object.key"].to_string());
                    }
                }
            }
            "notice" => {}
            "judge" | "fetch" | "commit" => assert_eq!(above_name, Some("notice")),
            other => panic!("{other}"),
        }
    }
    let seen = json(&ground.config, &["status"])["objects"]["seen"].as_u64();
    assert_eq!(seen, Some(objects.len() as u64), "every object has its way");
    told(&records(&collector), &warden);
    for asked in collector.asked() {
        assert_eq!(asked.headers["authorization"], SECRET);
        assert!(!String::from_utf8_lossy(&asked.body).contains("of-all-secrets"));
    }
    assert!(!warden.log().contains("of-all-secrets") && !warden.log().contains("\"span"), "{}", warden.log());
}

/// What the collector was told is what stands on stderr, line by line.
fn told(records: &[Value], warden: &Warden) {
    let lines: Vec<Value> = warden.own_log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut said: Vec<(String, String)> =
        lines.iter().map(|line| (text(line, "level"), text(line, "message"))).collect();
    let mut heard: Vec<(String, String)> =
        records.iter().map(|record| (text(record, "severityText"), text(&record["body"], "stringValue"))).collect();
    assert!(heard.len() >= 3 && heard.contains(&("INFO".into(), "started".into())), "{heard:?}");
    heard.sort();
    said.sort();
    assert_eq!(heard, said);
    let started = records.iter().find(|record| record["body"]["stringValue"] == "started").expect("it started");
    assert_eq!(started["severityNumber"], 9);
    let line = lines.iter().find(|line| line["message"] == "started").expect("it started");
    for (name, value) in attributes(started) {
        assert_eq!(line[&name], value, "{name}");
    }
    assert!(attributes(started).contains_key("warden"));
}

#[test]
fn of_traces_the_share_is_sent_that_is_asked_for_and_the_log_whole() {
    let collector = taking();
    let (none, _) = ground(&format!("{}/otlp", collector.endpoint), "sample = 0.0");
    let warden = live(&none);
    assert_eq!(spans(&collector), Vec::<Value>::new());
    told(&records(&collector), &warden);
}

#[test]
fn what_is_deferred_is_told_within_its_trace_and_why() {
    let collector = taking();
    let (ground, _) = ground(&format!("{}/otlp", collector.endpoint), "sample = 1.0");
    let s3 = Stub::start(|_| Answer::s3_error(403, "AccessDenied", "no"));
    let config = std::fs::read_to_string(&ground.config).expect("a configuration");
    let directory = format!("bucket = \"file://{}/bucket\"\nbucket_name", ground.dir.path().display());
    assert!(config.contains(&directory), "{config}");
    let text = config.replace(&directory, "region = \"eu-west-1\"\nbucket");
    std::fs::write(&ground.config, text).expect("a file");
    let mut warden = Warden::start(&ground.config, &env_of(&s3.endpoint));
    let gone = "messages deferred";
    let of_it = |collector: &Stub| records(collector).into_iter().find(|record| record["body"]["stringValue"] == gone);
    warden.until("the collector hears", |_| of_it(&collector).is_some());
    let record = of_it(&collector).expect("it was there a moment ago");
    assert_eq!((&record["severityText"], &record["severityNumber"]), (&"WARN".into(), &13.into()));
    warden.until("the trace is over", |_| spans(&collector).iter().any(|span| span["spanId"] == record["spanId"]));
    let span = spans(&collector).into_iter().find(|span| span["spanId"] == record["spanId"]).expect("its span");
    assert_eq!((&span["name"], &span["traceId"]), (&"message".into(), &record["traceId"]));
    assert_eq!(span["status"]["code"], 2);
    assert_eq!(span["status"]["message"], attributes(&record)["error"]);
    assert_eq!(warden.stop(), Some(0), "{}", warden.log());
}

/// The daemon does all of its work, says on stderr that the collector is no good, and stops as it should.
fn unmoved(endpoint: &str, says: &str) {
    let (ground, _) = ground(endpoint, "sample = 1.0");
    let mut warden = Warden::start(&ground.config, &[]);
    settle(&ground, &mut warden);
    let seen = json(&ground.config, &["status"])["objects"]["seen"].as_u64();
    assert!(seen.is_some_and(|seen| seen > 20), "{seen:?}");
    if !says.is_empty() {
        let complaint = "the collector does not get all traces and logs";
        warden.until("it says so", |warden| warden.own_log().contains(complaint));
        let line = warden.own_log().lines().find(|line| line.contains(complaint)).map(str::to_owned).expect("a line");
        assert!(line.contains(says) && line.contains("\"lost\":") && !line.contains(endpoint), "{line}");
    }
    assert_eq!(warden.stop(), Some(0), "{}", warden.log());
}

#[test]
fn a_collector_that_refuses_for_good_is_not_asked_again_for_the_same() {
    let collector = Stub::start(|_| Answer::new(401, "no"));
    unmoved(&collector.endpoint, "401");
    let bodies: Vec<Vec<u8>> = collector.asked().iter().map(|asked| asked.body.clone()).collect();
    let distinct: BTreeSet<&Vec<u8>> = bodies.iter().collect();
    assert_eq!(distinct.len(), bodies.len());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it answers a process, without a runtime")]
fn a_collector_that_is_not_there_or_hangs_keeps_nobody_waiting() {
    unmoved("http://127.0.0.1:1", "");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let taken = std::thread::spawn(move || {
        // it reads what is said, and never answers
        let (mut stream, _) = listener.accept().expect("it asks");
        let mut first = [0; 4];
        stream.read_exact(&mut first).expect("it says something");
        (first, stream, listener)
    });
    unmoved(&endpoint, "");
    assert_eq!(&taken.join().expect("nobody panics").0, b"POST");
}

#[test]
fn what_a_collector_could_not_take_for_a_while_it_gets_afterwards() {
    let well = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&well);
    let collector = Stub::start(move |_: &Asked| match answers.load(Ordering::Relaxed) {
        true => Answer::new(200, "{}"),
        false => Answer::new(503, "").header("retry-after", "1"),
    });
    let (ground, messages) = ground(&format!("{}/otlp", collector.endpoint), "sample = 1.0");
    let mut warden = Warden::start(&ground.config, &[]);
    settle(&ground, &mut warden);
    warden.until("it was refused", |_| !collector.asked().is_empty());
    well.store(true, Ordering::Relaxed);
    let ways = || {
        let named = |span: &Value| (span["name"] == "message").then(|| text(span, "spanId"));
        spans(&collector).iter().filter_map(named).collect::<BTreeSet<_>>().len()
    };
    warden.until("it gets all of it", |_| ways() == messages);
    assert_eq!(warden.stop(), Some(0), "{}", warden.log());
    assert!(!warden.log().contains("does not get all"), "nothing was lost: {}", warden.log());
}
