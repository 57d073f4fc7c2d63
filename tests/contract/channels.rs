//! The channels against recording servers: what vendors document of their APIs, and how refusals are classed.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use trailwarden::channel;
use trailwarden::config::Config;
use trailwarden::core::alert::{Alert, Reason, specimen};
use trailwarden::env::Env;
use trailwarden::error::{Class, Error};
use trailwarden::seam::DynChannel;

use crate::common::stub::{Answer, Asked, Stub};

/// What no text may show: it stands in every address, key and token.
const SECRET: &str = "s3cr3t0123";
const ID: &str = "7fb90462c0cb";

/// A channel as a configuration opens it; `secret` is the file with the secret, `url` the one with the address.
pub async fn open(keys: &str, url: &str) -> DynChannel {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), SECRET).unwrap();
    fs::write(dir.path().join("url"), url).unwrap();
    let text = format!("[channel.x]\n{keys}\n[[route]]\nto = [\"x\"]\n{TRAIL}");
    let config = Config::from_text(&text, dir.path().join("config.toml").to_str().unwrap());
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    channel::open(&config.channels["x"], &Env::system()).await.unwrap()
}

const TRAIL: &str = "[[trail]]\nname = \"org\"\nbucket = \"file:///b\"\nqueue = \"file:///q\"\nkeys = \"file:///k\"\n\
                     [organization]\nmembers = \"file:///m\"\n";

const URL: &str = "url = { file = \"url\" }";

/// Every channel over HTTP: its keys, and what its vendor says when all is well.
fn all() -> Vec<(&'static str, String, Answer)> {
    let ok = |status, text: &str| Answer::new(status, text);
    let key = "key = { file = \"secret\" }";
    vec![
        ("webhook", format!("kind = \"webhook\"\n{URL}\ntoken = {{ file = \"secret\" }}"), ok(204, "")),
        ("pagerduty", format!("kind = \"pagerduty\"\n{URL}\n{key}"), ok(202, "{\"status\":\"success\"}")),
        (
            "opsgenie",
            format!("kind = \"opsgenie\"\n{URL}\n{key}"),
            ok(202, "{\"result\":\"Request will be processed\"}"),
        ),
        ("jsm", format!("kind = \"jsm\"\n{URL}\n{key}"), ok(202, "{\"result\":\"Request will be processed\"}")),
        ("slack", format!("kind = \"slack\"\n{URL}"), ok(200, "ok")),
        (
            "slack bot",
            format!("kind = \"slack\"\n{URL}\ntoken = {{ file = \"secret\" }}\nchannel = \"C012\""),
            ok(200, "{\"ok\":true,\"ts\":\"17.1\"}"),
        ),
        ("teams", format!("kind = \"teams\"\n{URL}"), ok(202, "")),
        ("alertmanager", format!("kind = \"alertmanager\"\n{URL}\ntoken = {{ file = \"secret\" }}"), ok(200, "")),
    ]
}

fn keys_of(name: &str) -> String {
    all().into_iter().find(|(own, ..)| *own == name).unwrap().1
}

/// What a channel says to a server that answers so.
async fn told(name: &str, answer: Answer, reason: Reason) -> (Result<Option<String>, Error>, Asked) {
    let stub = Stub::start(move |_| answer.clone());
    let channel = open(&keys_of(name), &format!("{}/{SECRET}", stub.endpoint)).await;
    let outcome = channel.send("key-1", &alert(reason)).await;
    let mut asked = stub.asked();
    assert_eq!(asked.len(), 1, "{name}: adapters do not try again, and follow nothing");
    (outcome, asked.remove(0))
}

fn alert(reason: Reason) -> Alert {
    let mut alert = specimen(reason);
    alert.finding.id = ID.into();
    alert
}

async fn body(name: &str, reason: Reason) -> Value {
    let ok = all().into_iter().find(|(own, ..)| *own == name).unwrap().2;
    let (outcome, asked) = told(name, ok, reason).await;
    outcome.unwrap();
    asked.json()
}

#[tokio::test]
async fn refusals_are_classed_by_who_can_act_and_tell_no_secret() {
    for (name, ..) in all() {
        for (status, passes) in
            [(429, true), (500, true), (503, true), (408, true), (400, false), (403, false), (404, false), (302, false)]
        {
            let echo = r#"{"message":"no","errors":["no"]}"#.to_owned();
            let answer = Answer::new(status, echo).header("retry-after", "7").header("location", "http://127.0.0.1:9/");
            let (outcome, _) = told(name, answer, Reason::First).await;
            let error = outcome.unwrap_err();
            let class = match passes {
                true => Class::Transient { retry_after: Some(Duration::from_secs(7)) },
                false => Class::Permanent,
            };
            assert_eq!(error.class, class, "{name} {status}");
            assert!(!format!("{error} {error:?}").contains(SECRET), "{name}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_far_side_that_is_silent_or_gone_is_tried_again_and_never_named() {
    for (name, keys, _) in all() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/{SECRET}", listener.local_addr().unwrap());
        let silent = open(&format!("{keys}\ntimeout = \"1s\""), &url).await;
        let late = silent.send("k", &alert(Reason::First)).await.unwrap_err();
        assert!(late.is_transient() && late.text.contains("in time"), "{name}: {late}");
        drop(listener);
        let gone = silent.send("k", &alert(Reason::First)).await.unwrap_err();
        let unreached = silent.reach().await.unwrap_err();
        for error in [late, gone, unreached] {
            assert!(error.is_transient(), "{name}: {error}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(SECRET) && !shown.contains("127.0.0.1"), "{name}: {shown}");
        }
    }
}

#[tokio::test]
async fn what_a_channel_is_asked_harmlessly_tells_it_nothing() {
    for (name, keys, ok) in all() {
        let stub = Stub::start(move |_| ok.clone());
        open(&keys, &format!("{}/{SECRET}", stub.endpoint)).await.reach().await.unwrap();
        let asked = stub.asked();
        assert!(asked.iter().all(|asked| asked.body.is_empty()), "{name}: {asked:?}");
    }
}

#[tokio::test]
async fn a_template_makes_the_body_and_nothing_breaks_out_of_it() {
    let stub = Stub::start(|_| Answer::new(200, ""));
    let dir = tempfile::tempdir().unwrap();
    let template = dir.path().join("template.json");
    fs::write(&template, r#"{"text": "{{title}}: {{finding.detail}}", "count": {{finding.count}}, "key": "{{key}}"}"#)
        .unwrap();
    let keys = format!("{}\ntemplate = {:?}", keys_of("webhook"), template.to_str().unwrap());
    open(&keys, &stub.endpoint).await.send("key-1", &alert(Reason::First)).await.unwrap();
    let asked = stub.asked().remove(0);
    let alert = alert(Reason::First);
    let text = format!("{}: {}", alert.title, alert.finding.detail);
    assert_eq!(asked.json(), json!({ "text": text, "count": 1, "key": "key-1" }));
    assert_eq!(asked.headers["authorization"], format!("Bearer {SECRET}"));
    assert_eq!(asked.headers["idempotency-key"], "key-1");
}

#[tokio::test]
async fn pagerduty_triggers_acknowledges_and_resolves_one_incident() {
    let trigger = body("pagerduty", Reason::First).await;
    assert_eq!(trigger["routing_key"], SECRET);
    assert_eq!((&trigger["event_action"], &trigger["dedup_key"]), (&json!("trigger"), &json!(ID)));
    let payload = &trigger["payload"];
    assert_eq!((&payload["severity"], &payload["source"]), (&json!("critical"), &json!("111122223333")));
    assert_eq!((&payload["class"], &payload["group"]), (&json!("log_modified"), &json!("integrity")));
    let summary = payload["summary"].as_str().unwrap();
    assert!(summary.starts_with("critical log_modified 111122223333 eu-west-1") && summary.len() <= 1024);
    assert!(payload["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!(payload["custom_details"]["account"], "111122223333 (payments, Root/Prod)");
    let links = trigger["links"].as_array().unwrap();
    assert!(!links.is_empty() && links.iter().all(|link| link["href"].as_str().unwrap().starts_with("https://")));
    for reason in [Reason::Repeat, Reason::Escalated] {
        assert_eq!(body("pagerduty", reason).await["dedup_key"], ID, "the incident is the same");
    }
    for (reason, action) in [(Reason::Acknowledged, "acknowledge"), (Reason::Resolved, "resolve")] {
        let event = body("pagerduty", reason).await;
        assert_eq!(event, json!({ "routing_key": SECRET, "event_action": action, "dedup_key": ID }));
    }
    assert_eq!(body("pagerduty", Reason::Test).await["dedup_key"], "key-1", "a test is no finding's incident");
    let refused = Answer::new(
        400,
        r#"{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect"]}"#,
    );
    let error = told("pagerduty", refused, Reason::First).await.0.unwrap_err();
    assert!(error.text.contains("Length of 'routing_key'"), "{error}");
}

#[tokio::test]
async fn opsgenie_and_its_successor_know_an_alert_by_its_alias() {
    for name in ["opsgenie", "jsm"] {
        let ok = Answer::new(202, "{}");
        let (outcome, asked) = told(name, ok.clone(), Reason::First).await;
        outcome.unwrap();
        assert_eq!(asked.headers["authorization"], format!("GenieKey {SECRET}"));
        let alert = asked.json();
        assert_eq!((&alert["alias"], &alert["priority"]), (&json!(ID), &json!("P1")));
        assert!(alert["message"].as_str().unwrap().chars().count() <= 130);
        assert!(!alert.to_string().contains('<'), "no markup of a stranger's");
        let details = alert["details"].as_object().unwrap();
        assert!(details.values().all(|value| value.as_str().is_some_and(|text| !text.is_empty())));
        for (reason, action) in [(Reason::Acknowledged, "acknowledge"), (Reason::Resolved, "close")] {
            let (outcome, asked) = told(name, ok.clone(), reason).await;
            outcome.unwrap();
            assert_eq!(asked.path, format!("/{SECRET}/{ID}/{action}"));
            assert_eq!(asked.query, "identifierType=alias");
            assert_eq!(asked.json()["note"], "somebody is on it");
        }
    }
}

/// Every text in a document, with the type of the object that it stands in.
fn texts<'v>(value: &'v Value, found: &mut Vec<(&'v str, &'v str)>) {
    if let (Some(kind), Some(text)) = (value["type"].as_str(), value["text"].as_str()) {
        found.push((kind, text));
    }
    value.as_object().into_iter().flatten().for_each(|(_, below)| texts(below, found));
    value.as_array().into_iter().flatten().for_each(|below| texts(below, found));
}

#[tokio::test]
async fn slack_shows_what_strangers_wrote_as_plain_text() {
    for name in ["slack", "slack bot"] {
        let message = body(name, Reason::First).await;
        let (mut found, fallback) = (Vec::new(), message["text"].as_str().unwrap());
        texts(&message["blocks"], &mut found);
        assert!(found.iter().any(|(_, text)| text.contains("<!channel>")), "the detail is shown as it is");
        for (kind, text) in &found {
            assert!(*kind == "plain_text" || !text.contains("<!") && !text.contains("evil"), "{kind}: {text}");
        }
        assert!(fallback.contains("&lt;!channel&gt;") && !fallback.contains("<!"), "{fallback}");
        let blocks = message["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50 && blocks[0]["text"]["text"].as_str().unwrap().chars().count() <= 150);
        let fields = blocks.iter().find_map(|block| block["fields"].as_array()).unwrap();
        assert!((1..=10).contains(&fields.len()));
        assert_eq!(message["unfurl_links"], false);
    }
}

#[tokio::test]
async fn a_slack_bot_keeps_a_finding_in_one_thread() {
    let ok = Answer::new(200, "{\"ok\":true,\"ts\":\"1700000000.000100\"}");
    let (thread, asked) = told("slack bot", ok.clone(), Reason::First).await;
    assert_eq!(thread.unwrap().as_deref(), Some("1700000000.000100"));
    assert_eq!((asked.json()["channel"].as_str(), &asked.json()["thread_ts"]), (Some("C012"), &Value::Null));
    assert_eq!(asked.headers["authorization"], format!("Bearer {SECRET}"));
    let stub = Stub::start(move |_| ok.clone());
    let bot = open(&keys_of("slack bot"), &stub.endpoint).await;
    let later = Alert { thread: Some("16.1".into()), ..alert(Reason::Escalated) };
    assert_eq!(
        bot.send("k", &later).await.unwrap().as_deref(),
        Some("16.1"),
        "replies do not open threads of their own"
    );
    let reply = stub.asked()[0].json();
    assert_eq!((&reply["thread_ts"], &reply["reply_broadcast"]), (&json!("16.1"), &json!(true)));
}

#[tokio::test]
async fn slack_refuses_with_a_word() {
    for (word, passes) in
        [("ratelimited", true), ("internal_error", true), ("channel_not_found", false), ("invalid_auth", false)]
    {
        let answer = Answer::new(200, format!("{{\"ok\":false,\"error\":\"{word}\"}}"));
        let error = told("slack bot", answer, Reason::First).await.0.unwrap_err();
        assert_eq!((error.is_transient(), error.code.as_deref()), (passes, Some(word)));
    }
    let error = told("slack", Answer::new(410, "channel_is_archived"), Reason::First).await.0.unwrap_err();
    assert!(error.text.ends_with(": channel_is_archived"), "{error}");
    let error = told("slack", Answer::new(404, format!("no such hook: /{SECRET}")), Reason::First).await.0.unwrap_err();
    assert!(!error.text.contains("hook"), "what may be an echo is not told: {error}");
}

#[tokio::test]
async fn teams_gets_one_adaptive_card_with_strangers_text_in_runs() {
    let message = body("teams", Reason::First).await;
    assert_eq!(message["type"], "message");
    let attachment = &message["attachments"][0];
    assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
    let card = &attachment["content"];
    assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
    let mut found = Vec::new();
    texts(card, &mut found);
    assert!(found.iter().any(|(kind, text)| *kind == "TextRun" && text.contains("[y](https://evil.example)")));
    assert!(found.iter().all(|(kind, text)| *kind == "TextRun" || !text.contains("evil")), "{found:?}");
    assert!(card["actions"].as_array().unwrap().iter().all(|action| action["type"] == "Action.OpenUrl"));
    let mut long = alert(Reason::First);
    long.finding.detail = "x".repeat(100_000);
    long.finding.object = Some("y".repeat(10_000));
    let stub = Stub::start(|_| Answer::new(202, ""));
    open(&keys_of("teams"), &stub.endpoint).await.send("k", &long).await.unwrap();
    assert!(stub.asked()[0].body.len() < 28_000, "{}", stub.asked()[0].body.len());
}

#[tokio::test]
async fn alertmanager_gets_labels_that_never_change_and_an_end() {
    let (outcome, asked) = told("alertmanager", Answer::new(200, ""), Reason::First).await;
    outcome.unwrap();
    assert_eq!(asked.path, format!("/{SECRET}/api/v2/alerts"));
    let first = asked.json()[0].clone();
    let resolved = body("alertmanager", Reason::Resolved).await[0].clone();
    assert_eq!(first["labels"], resolved["labels"]);
    let labels = &first["labels"];
    assert_eq!((&labels["alertname"], &labels["finding"]), (&json!("log_modified"), &json!(ID)));
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let now = trailwarden::env::Env::system().now();
    assert!(time(&first["endsAt"]) > now && time(&resolved["endsAt"]) <= now);
    assert!(time(&resolved["startsAt"]) <= time(&resolved["endsAt"]));
    let stub = Stub::start(|_| Answer::new(200, ""));
    open(&keys_of("alertmanager"), &stub.endpoint).await.send("k", &alert(Reason::Acknowledged)).await.unwrap();
    assert!(stub.asked().is_empty(), "Alertmanager has no word for it");
}
