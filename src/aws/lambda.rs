//! Alerts as asynchronous invocations of a Lambda function: the payload is `key` and the alert.

use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::short::shortened;
use super::signed::{Service, Signed};
use crate::core::alert::Alert;
use crate::error::{Error, Result};
use crate::seam::Channel;

pub(super) const SERVICE: Service = Service { id: "Lambda", name: "lambda" };
const OP: &str = "lambda:InvokeFunction";
/// An asynchronous invocation takes 262,144 bytes where it takes least (Lambda developer guide: quotas).
const PAYLOAD: usize = 250_000;

/// What stands in a path as it is (RFC 3986, unreserved).
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

#[derive(Clone)]
pub struct Function {
    signed: Signed,
    path: String,
}

impl Function {
    pub(super) fn new(signed: Signed, name: &str) -> Self {
        let name = utf8_percent_encode(name, IN_PATH);
        Self { signed, path: format!("/2015-03-31/functions/{name}/invocations") }
    }

    async fn invoke(&self, kind: &str, payload: String) -> Result<()> {
        let headers = [("content-type", "application/json"), ("x-amz-invocation-type", kind)];
        self.signed.post(OP, &self.path, &headers, payload).await.map(|_| ())
    }
}

#[async_trait]
impl Channel for Function {
    /// 202: Lambda has queued it and tries it three times by itself. It knows no idempotency key: `key` is in the payload.
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        let json = |alert: &Alert| -> Result<String> {
            let mut payload: Value = serde_json::to_value(alert).map_err(|error| Error::permanent(OP, error))?;
            payload["key"] = key.into();
            Ok(payload.to_string())
        };
        let whole = json(alert)?;
        let payload = if whole.len() <= PAYLOAD { whole } else { json(&shortened(alert))? };
        self.invoke("Event", payload).await.map(|()| None)
    }

    /// Asks whether the function could be invoked; nothing runs.
    async fn reach(&self) -> Result<()> {
        self.invoke("DryRun", "{}".to_owned()).await
    }
}
