//! A webhook's far side: it checks what a receiver is told to check, and remembers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::Value;

use super::stub::{Answer, Asked, Stub};
use super::warden::pause;

const SECRET: &str = "a secret of the test's own";

/// The channel of a configuration beside which `Hook::write` was called.
pub const CHANNEL: &str = r#"
[channel.hook]
kind = "webhook"
url = { file = "hook-url" }
secret = { file = "hook-secret" }
"#;

/// What a channel was told: idempotency keys by finding and reason.
pub type Told = BTreeMap<(String, String), Vec<String>>;

/// A post: its key and body, and whether the signature is right.
type Heard = (String, Value, bool);

pub struct Hook {
    stub: Stub,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Hook {
    /// Hears everything and answers at once.
    pub fn ready() -> Self {
        Self::start(|_| 204)
    }

    /// Hears everything, answers late, and loses some of its answers: the post had its effect, and the sender does not know.
    pub fn unruly(seed: u64) -> Self {
        let die = Mutex::new(fastrand::Rng::with_seed(seed));
        Self::start(move |before| {
            let (wait, lost) = {
                let mut die = die.lock().expect("nobody panics with the die");
                (die.u64(..120), before == 0 && die.u8(..4) == 0)
            };
            pause(Duration::from_millis(wait));
            if lost { 500 } else { 204 }
        })
    }

    /// `answer`: the status, by how often this key was heard before.
    fn start(answer: impl Fn(usize) -> u16 + Send + Sync + 'static) -> Self {
        let heard = Arc::new(Mutex::new(Vec::<Heard>::new()));
        let ears = Arc::clone(&heard);
        let stub = Stub::start(move |asked| {
            let header = |name: &str| asked.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let key = header("idempotency-key").to_owned();
            let signed = is_signed(asked, header("x-trailwarden-timestamp"), header("x-trailwarden-signature"));
            let before = {
                let mut heard = ears.lock().expect("nobody panics with it");
                heard.push((key.clone(), asked.json(), signed));
                heard.iter().filter(|(other, ..)| *other == key).count() - 1
            };
            Answer::new(answer(before), "")
        });
        Self { stub, heard }
    }

    /// The address and the secret, as files beside a configuration.
    pub fn write(&self, dir: &Path) {
        std::fs::write(dir.join("hook-url"), format!("{}/alerts", self.stub.endpoint)).expect("a file");
        std::fs::write(dir.join("hook-secret"), SECRET).expect("a file");
    }

    /// What it was told so far; every post was signed.
    pub fn told(&self) -> Told {
        let heard = self.heard.lock().expect("nobody panics with it").clone();
        let mut told = Told::new();
        for (key, body, signed) in heard {
            assert!(signed, "a post with a wrong signature: {body}");
            assert_eq!(body["key"], key.as_str(), "the body names its key, too");
            told.entry(subject(&body)).or_default().push(key);
        }
        told
    }
}

/// The finding and the reason of an alert.
pub fn subject(alert: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&alert["finding"]["id"]), text(&alert["reason"]))
}

fn is_signed(asked: &Asked, timestamp: &str, signature: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signed = [timestamp.as_bytes(), b".", &asked.body].concat();
    let said = signature.strip_prefix("v1=").and_then(|text| hex::decode(text).ok()).unwrap_or_default();
    !timestamp.is_empty() && hmac::verify(&key, &signed, &said).is_ok()
}
