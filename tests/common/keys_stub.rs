//! CloudTrail's ListPublicKeys (AWS JSON 1.1), which no emulator has. Reached through `AWS_ENDPOINT_URL_CLOUDTRAIL`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::stub::{Answer, Asked, Stub};

/// A public key of one region.
#[derive(Debug, Clone)]
pub struct StubKey {
    pub region: String,
    pub fingerprint: String,
    /// DER.
    pub value: Vec<u8>,
    pub valid_from: Timestamp,
    pub valid_to: Timestamp,
}

/// Gives the keys of the region that the request is signed for whose validity touches the time asked for, `per_page` at once.
pub fn keys_stub(keys: Vec<StubKey>, per_page: usize) -> Stub {
    Stub::start(move |asked| {
        if asked.operation == "ListPublicKeys" {
            answer(&keys, per_page, asked)
        } else {
            Answer::json_error(400, "UnknownOperationException", "only ListPublicKeys is known")
        }
    })
}

/// What ListPublicKeys answers, for stubs that answer more than that.
pub fn answer(keys: &[StubKey], per_page: usize, asked: &Asked) -> Answer {
    let request = asked.json();
    let (Some(from), Some(to)) = (request["StartTime"].as_f64(), request["EndTime"].as_f64()) else {
        return Answer::json_error(400, "InvalidTimeRangeException", "both times are wanted");
    };
    let fits = |key: &&StubKey| {
        key.region == asked.region && key.valid_from.as_second() as f64 <= to && key.valid_to.as_second() as f64 >= from
    };
    let fitting: Vec<Value> = keys.iter().filter(fits).map(shown).collect();
    let start = request["NextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0);
    let page: Vec<Value> = fitting.iter().skip(start).take(per_page).cloned().collect();
    let mut body = json!({ "PublicKeyList": page });
    if start + per_page < fitting.len() {
        body["NextToken"] = json!((start + per_page).to_string());
    }
    Answer::json(&body)
}

fn shown(key: &StubKey) -> Value {
    json!({
        "Value": STANDARD.encode(&key.value),
        "Fingerprint": key.fingerprint,
        "ValidityStartTime": key.valid_from.as_second(),
        "ValidityEndTime": key.valid_to.as_second(),
    })
}
