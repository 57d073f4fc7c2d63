use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::HeaderMap as Headers;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tokio::net::TcpListener;

use super::*;
use crate::core::alert::Reason;
use crate::core::finding::{Finding, Held, Kind};
use crate::error::Class;

type Seen = Arc<Mutex<Vec<(Headers, Vec<u8>)>>>;
type Answer = (u16, Vec<(&'static str, String)>);

/// A far side on loopback that keeps what it is sent. Its path stands for a secret token.
async fn far_side(answer: Answer) -> (Secret, Seen) {
    let seen = Seen::default();
    let posted = |Shared((seen, answer)): Shared<(Seen, Answer)>, headers: Headers, body: Bytes| async move {
        seen.lock().unwrap().push((headers, body.to_vec()));
        let mut response: Response = axum::http::StatusCode::from_u16(answer.0).unwrap().into_response();
        for (name, value) in answer.1 {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    };
    let router = Router::new().fallback(posted).with_state((Arc::clone(&seen), answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/t0ken?x=t0ken", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (Secret::new(url), seen)
}

fn env() -> Env {
    Env::manual(Timestamp::from_second(1_700_000_000).unwrap(), 1)
}

fn webhook(url: &Secret, secret: Option<&str>) -> Webhook {
    Webhook::new(url, secret.map(Secret::new).as_ref(), Duration::from_secs(5), env()).unwrap()
}

fn alert() -> Alert {
    let finding = Finding::new(Kind::DigestMissing, "chain", "two hours").held(Timestamp::UNIX_EPOCH);
    let finding = Held { id: "0123456789ab".into(), ..finding };
    Alert::new(Reason::First, finding, "w")
}

async fn refused(answer: Answer) -> Error {
    let (url, seen) = far_side(answer).await;
    let error = webhook(&url, None).send("k", &alert()).await.unwrap_err();
    assert_eq!(seen.lock().unwrap().len(), 1, "adapters do not try again, and follow nothing");
    error
}

#[tokio::test]
async fn the_alert_arrives_keyed_stamped_and_signed() {
    let (url, seen) = far_side((204, vec![])).await;
    webhook(&url, Some("hunter2")).send("0123456789ab-first", &alert()).await.unwrap();
    let (headers, body) = seen.lock().unwrap().remove(0);
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&json["key"], &json["reason"]), (&"0123456789ab-first".into(), &"first".into()));
    assert_eq!(json["finding"]["kind"], "digest_missing");
    assert_eq!(headers["idempotency-key"], "0123456789ab-first");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["x-trailwarden-timestamp"], "1700000000");
    let signature = headers["x-trailwarden-signature"].to_str().unwrap().strip_prefix("v1=").unwrap();
    let signed = [b"1700000000.".as_slice(), &body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"hunter2");
    hmac::verify(&key, &signed, &hex::decode(signature).unwrap()).unwrap();
}

#[tokio::test]
async fn without_a_secret_there_is_no_signature() {
    let (url, seen) = far_side((200, vec![])).await;
    webhook(&url, None).send("k", &alert()).await.unwrap();
    assert!(!seen.lock().unwrap()[0].0.contains_key("x-trailwarden-signature"));
}

#[tokio::test]
async fn answers_are_classed_by_who_can_act() {
    for status in [408, 425, 429, 500, 503, 599] {
        let error = refused((status, vec![])).await;
        assert_eq!(error.class, Class::TRANSIENT, "{status}");
        assert_eq!(error.code, Some(status.to_string()));
    }
    for status in [400, 401, 403, 404, 410, 422] {
        assert_eq!(refused((status, vec![])).await.class, Class::Permanent, "{status}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (target, seen) = far_side((200, vec![])).await;
    let error = refused((307, vec![("location", target.expose().to_owned())])).await;
    assert_eq!(error.class, Class::Permanent);
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_far_side_may_say_when_to_come_back() {
    for (text, seconds) in [
        ("7", Some(7)),
        ("Tue, 14 Nov 2023 22:13:50 GMT", Some(30)),
        ("Tue, 14 Nov 2023 22:13:00 GMT", Some(0)),
        ("99999999999", Some(24 * 3600)),
        ("soon", None),
    ] {
        let error = refused((503, vec![("retry-after", text.to_owned())])).await;
        let retry_after = seconds.map(Duration::from_secs);
        assert_eq!(error.class, Class::Transient { retry_after }, "{text}");
    }
}

#[tokio::test]
async fn a_far_side_that_is_not_there_or_says_nothing_is_tried_again_and_never_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = Secret::new(format!("http://{}/t0ken", listener.local_addr().unwrap()));
    let brief = Webhook::new(&silent, None, Duration::from_millis(50), env()).unwrap();
    let slow = brief.send("k", &alert()).await.unwrap_err();
    assert!(slow.is_transient() && slow.text.contains("in time"), "{slow}");
    drop(listener);
    let gone = webhook(&silent, None).send("k", &alert()).await.unwrap_err();
    assert!(gone.is_transient() && gone.text.contains("connection refused"), "{gone}");
    let port = silent.expose().rsplit([':', '/']).nth(1).unwrap().to_owned();
    let bad = refused((404, vec![])).await;
    for error in [slow, gone, bad] {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("t0ken") && !shown.contains("127.0.0.1") && !shown.contains(&port), "{shown}");
    }
}

#[test]
fn an_address_that_is_none_is_refused_without_being_told() {
    for bad in ["", "hooks/t0ken", "ftp://h/t0ken", "file:///t0ken", "https://"] {
        let error = Webhook::new(&Secret::new(bad), None, Duration::from_secs(1), env()).err().unwrap();
        assert_eq!(error.class, Class::Permanent);
        assert!(!error.to_string().contains("t0ken"), "{error}");
    }
}
