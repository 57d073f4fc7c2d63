//! Alerts as events on an EventBridge bus: source `trailwarden`, detail type `trailwarden finding`.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::class::refused;
use super::short::shortened;
use super::signed::{Service, Signed};
use crate::core::alert::Alert;
use crate::error::{Error, Result};
use crate::seam::Channel;

pub(super) const SERVICE: Service = Service { id: "EventBridge", name: "events" };
const OP: &str = "events:PutEvents";
/// An entry has 262,144 bytes at most, all of its parts counted (EventBridge user guide: PutEvents entry size).
const DETAIL: usize = 250_000;

#[derive(Clone)]
pub struct EventBus {
    signed: Signed,
    bus: String,
}

impl EventBus {
    pub(super) fn new(signed: Signed, bus: &str) -> Self {
        Self { signed, bus: bus.to_owned() }
    }

    /// `time` is in seconds.
    async fn put(&self, detail: String, time: i64) -> Result<()> {
        let entry = json!({
            "Source": "trailwarden",
            "DetailType": "trailwarden finding",
            "Detail": detail,
            "EventBusName": self.bus,
            "Time": time,
        });
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "AWSEvents.PutEvents")];
        let body = self.signed.post(OP, "/", &headers, json!({ "Entries": [entry] }).to_string()).await?;
        // An entry may fail though the call succeeded.
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        match answer["Entries"][0]["ErrorCode"].as_str() {
            None => Ok(()),
            Some(code) => Err(refused(OP, code, answer["Entries"][0]["ErrorMessage"].as_str(), 200, None, None)),
        }
    }
}

fn detail(key: &str, alert: &Alert) -> Result<String> {
    let json = |alert: &Alert| -> Result<String> {
        let mut detail = serde_json::to_value(alert).map_err(|error| Error::permanent(OP, error))?;
        detail["key"] = key.into();
        Ok(detail.to_string())
    };
    let whole = json(alert)?;
    if whole.len() <= DETAIL { Ok(whole) } else { json(&shortened(alert)) }
}

#[async_trait]
impl Channel for EventBus {
    /// The bus knows no idempotency key: `detail.key` is there for who listens.
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        self.put(detail(key, alert)?, alert.finding.last_seen.as_second()).await.map(|()| None)
    }

    /// Puts an event that EventBridge refuses where it may be put: its detail is no JSON.
    async fn reach(&self) -> Result<()> {
        match self.put("no JSON".to_owned(), 0).await {
            Err(error) if matches!(error.code.as_deref(), Some("MalformedDetail" | "InvalidArgument")) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Err(Error::permanent(OP, "what should have been refused was taken: this is not how AWS answers")),
        }
    }
}
