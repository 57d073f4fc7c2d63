//! Alerts on an SNS topic.

use async_trait::async_trait;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;

use super::class::{chain, failed};
use super::short::shortened;
use crate::core::alert::Alert;
use crate::core::id::{Region, Sha256};
use crate::error::{Error, Result};
use crate::seam::Channel;

const OP: &str = "sns:Publish";
/// Subjects must be shorter than 100 characters of ASCII (SNS API reference: Publish).
const SUBJECT: usize = 99;
/// SNS takes 262,144 bytes with all attributes.
const MESSAGE: usize = 250_000;

#[derive(Debug, Clone)]
pub struct Topic {
    client: Client,
    arn: String,
}

impl Topic {
    pub(super) fn new(client: Client, arn: String) -> Self {
        Self { client, arn }
    }
}

/// The fourth part of `arn:PARTITION:sns:REGION:ACCOUNT:NAME`.
pub(super) fn region_of(arn: &str) -> Option<String> {
    Region::parse(arn.split(':').nth(3)?).ok().map(String::from)
}

#[async_trait]
impl Channel for Topic {
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        let finding = &alert.finding;
        let mut call = self
            .client
            .publish()
            .topic_arn(&self.arn)
            .subject(subject(alert))
            .message(message(alert)?)
            .message_attributes("severity", text(finding.severity.name())?)
            .message_attributes("kind", text(finding.kind.name())?)
            .message_attributes("class", text(finding.class.name())?);
        if self.arn.ends_with(".fifo") {
            call = call
                .message_deduplication_id(Sha256::of(key.as_bytes()).to_string())
                .message_group_id(finding.kind.name());
        }
        call.send().await.map(|_| None).map_err(|error| failed(OP, &error))
    }
}

fn text(value: &str) -> Result<MessageAttributeValue> {
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value)
        .build()
        .map_err(|error| Error::permanent(OP, chain(&error)))
}

fn subject(alert: &Alert) -> String {
    let line = alert.headline();
    line.chars().take(SUBJECT).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// The whole alert; when that is more than SNS takes, with its long parts cut.
fn message(alert: &Alert) -> Result<String> {
    let json = |alert: &Alert| serde_json::to_string_pretty(alert).map_err(|error| Error::permanent(OP, error));
    let whole = json(alert)?;
    if whole.len() <= MESSAGE { Ok(whole) } else { json(&shortened(alert)) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::core::alert::Reason;
    use crate::core::finding::{Finding, Held, Kind};

    fn alert(detail: &str, hours: usize) -> Alert {
        let hours = vec![Timestamp::UNIX_EPOCH; hours];
        let held = Finding::new(Kind::DigestMissing, "chain", detail).hours(hours).held(Timestamp::UNIX_EPOCH);
        let held = Held { id: "0123456789ab".into(), ..held };
        Alert::new(Reason::First, held, "w1")
    }

    #[test]
    fn subjects_are_one_short_line_of_ascii() {
        let subject = subject(&alert(&format!("two\nlines ü {}", "x".repeat(300)), 0));
        assert!(subject.starts_with("critical digest_missing: two?lines ? xxx"), "{subject}");
        assert_eq!(subject.len(), SUBJECT);
    }

    #[test]
    fn a_year_of_missing_hours_still_fits() {
        let text = message(&alert("short", 10)).unwrap();
        assert_eq!(text.matches("1970-01-01T00:00:00Z").count(), 12);
        assert!(message(&alert(&"x".repeat(300_000), 9_000)).unwrap().len() <= MESSAGE);
    }

    #[test]
    fn the_region_is_the_topics_own() {
        assert_eq!(region_of("arn:aws:sns:eu-north-1:111122223333:t").as_deref(), Some("eu-north-1"));
        assert_eq!(region_of("nonsense"), None);
    }
}
