//! A queue on SQS.

use std::time::Duration;

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
    MessageSystemAttributeName, QueueAttributeName,
};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Deserialize;

use super::class::{code_of, failed};
use crate::core::id::Region;
use crate::core::posture::{Redrive, Settings};
use crate::core::printable;
use crate::error::{Error, Result};
use crate::seam::{Depth, Message, Queue};

/// The most that one call receives, deletes or extends (SQS quotas: messages per batch).
const BATCH: usize = 10;
/// The longest long poll (SQS quotas).
const LONGEST_WAIT: u64 = 20;
/// SQS ends every invisibility 12 hours after the receive; what was already used up must fit in below that.
const LONGEST_DELAY: u64 = 43_200 - 900;

#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
    visibility: Duration,
    credentials: Option<SharedCredentialsProvider>,
}

impl SqsQueue {
    pub(super) fn new(
        client: Client,
        url: String,
        visibility: Duration,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Self {
        Self { client, url, visibility, credentials }
    }
}

/// The region in `https://sqs.REGION.amazonaws.com/…`; none in the address of a stand-in.
pub(super) fn region_of(url: &str) -> Option<String> {
    let host = url.split_once("://")?.1.split(['/', ':']).next()?;
    let region = host.strip_prefix("sqs.")?.split('.').next()?;
    Region::parse(region).ok().map(String::from)
}

#[async_trait]
impl Queue for SqsQueue {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(whole(max.min(BATCH) as u64))
            .wait_time_seconds(whole(wait.as_secs().min(LONGEST_WAIT)))
            .visibility_timeout(seconds(self.visibility))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await
            .map_err(|error| failed("sqs:ReceiveMessage", &error))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(message).collect())
    }

    async fn extend(&self, receipts: &[String], by: Duration) -> Result<Vec<String>> {
        let answers = join_all(receipts.chunks(BATCH).map(|chunk| self.extend_some(chunk, by))).await;
        Ok(answers.into_iter().collect::<Result<Vec<_>>>()?.concat())
    }

    async fn done(&self, receipts: &[String]) -> Result<Vec<String>> {
        let answers = join_all(receipts.chunks(BATCH).map(|chunk| self.delete_some(chunk))).await;
        Ok(answers.into_iter().collect::<Result<Vec<_>>>()?.concat())
    }

    async fn later(&self, receipt: &str, delay: Duration) -> Result<()> {
        let answer = self
            .client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt)
            .visibility_timeout(seconds(delay))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            // It is back already, or done.
            Err(error) if is_stale(&error) => Ok(()),
            Err(error) => Err(failed("sqs:ChangeMessageVisibility", &error)),
        }
    }

    async fn depth(&self) -> Result<Depth> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesDelayed as Delayed,
            ApproximateNumberOfMessagesNotVisible as InFlight,
        };
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(Visible)
            .attribute_names(InFlight)
            .attribute_names(Delayed)
            .send()
            .await
            .map_err(|error| failed("sqs:GetQueueAttributes", &error))?;
        let number = |name: QueueAttributeName| {
            let text = answer.attributes().and_then(|attributes| attributes.get(&name));
            // A depth that was not told must not pass for an empty queue.
            text.and_then(|text| text.parse().ok())
                .ok_or_else(|| Error::transient("sqs:GetQueueAttributes", format!("no number for {}", name.as_str())))
        };
        Ok(Depth { visible: number(Visible)?, in_flight: number(InFlight)?, delayed: number(Delayed)? })
    }

    fn visibility(&self) -> Duration {
        self.visibility
    }

    async fn settings(&self) -> Result<Option<Settings>> {
        use QueueAttributeName::{KmsMasterKeyId, MessageRetentionPeriod, Policy, QueueArn, RedrivePolicy};
        const OP: &str = "sqs:GetQueueAttributes";
        let asked = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = match asked.attribute_names(QueueAttributeName::All).send().await {
            Ok(answer) => answer,
            Err(error) if code_of(&error).is_some_and(is_no_queue) => return Ok(None),
            Err(error) => return Err(failed(OP, &error)),
        };
        let text = |name: QueueAttributeName| {
            let found = answer.attributes().and_then(|attributes| attributes.get(&name));
            found.filter(|text| !text.is_empty()).cloned()
        };
        let arn = text(QueueArn).ok_or_else(|| Error::permanent(OP, "the queue's arn was not told"))?;
        let redrive = match text(RedrivePolicy) {
            Some(policy) => Some(self.redrive(&policy).await?),
            None => None,
        };
        let retention = text(MessageRetentionPeriod).and_then(|text| text.parse().ok()).map(Duration::from_secs);
        Ok(Some(Settings { arn, policy: text(Policy), redrive, retention, key: text(KmsMasterKeyId) }))
    }
}

/// `maxReceiveCount` comes as a number or as text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedrivePolicy {
    dead_letter_target_arn: String,
    max_receive_count: serde_json::Value,
}

fn is_no_queue(code: &str) -> bool {
    code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist")
}

impl SqsQueue {
    /// The account of the credentials, where they tell it.
    async fn account(&self) -> Option<String> {
        let credentials = self.credentials.as_ref()?.provide_credentials().await.ok()?;
        credentials.account_id().map(|account| account.as_str().to_owned())
    }

    async fn redrive(&self, policy: &str) -> Result<Redrive> {
        const OP: &str = "sqs:GetQueueAttributes";
        let policy: RedrivePolicy = serde_json::from_str(policy)
            .map_err(|error| Error::permanent(OP, format!("the redrive policy cannot be read: {error}")))?;
        let to = policy.dead_letter_target_arn;
        let count = match &policy.max_receive_count {
            serde_json::Value::String(text) => text.parse().ok(),
            number => number.as_u64(),
        };
        let after = count.and_then(|count| u32::try_from(count).ok());
        let after = after.ok_or_else(|| Error::permanent(OP, "the redrive policy has no count that can be read"))?;
        let mut parts = to.rsplit(':');
        let (name, account) = (parts.next().unwrap_or_default(), parts.next());
        let asked = self.client.get_queue_url().queue_name(name);
        let exists = match asked.set_queue_owner_aws_account_id(account.map(str::to_owned)).send().await {
            Ok(_) => Some(true),
            // SQS says the same of a queue of another account that may not be seen.
            Err(error) if code_of(&error).is_some_and(is_no_queue) => {
                (account.is_some() && account == self.account().await.as_deref()).then_some(false)
            }
            Err(error) => {
                tracing::debug!(error = %failed("sqs:GetQueueUrl", &error), "the dead-letter queue was not found out");
                None
            }
        };
        Ok(Redrive { to, after, exists })
    }

    /// As many as one call takes.
    async fn extend_some(&self, chunk: &[String], by: Duration) -> Result<Vec<String>> {
        let entries = chunk.iter().enumerate().map(|(number, receipt)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(number.to_string())
                .receipt_handle(receipt)
                .visibility_timeout(seconds(by))
                .build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>().map_err(|error| unbuilt(&error))?;
        let answer = self
            .client
            .change_message_visibility_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(|error| failed("sqs:ChangeMessageVisibilityBatch", &error))?;
        let mut lost = Vec::new();
        for entry in answer.failed() {
            match chunk_receipt(chunk, entry) {
                Some(receipt) if is_gone(entry.code()) => lost.push(receipt.clone()),
                // Asking for all of them again is harmless, and tells of the lost ones again.
                _ => {
                    let why = printable(entry.message().unwrap_or("no reason given"), 200);
                    let error = Error::transient("sqs:ChangeMessageVisibilityBatch", format!("not extended: {why}"));
                    return Err(error.with_code(entry.code()));
                }
            }
        }
        Ok(lost)
    }

    /// As many as one call takes.
    async fn delete_some(&self, chunk: &[String]) -> Result<Vec<String>> {
        let entries = chunk.iter().enumerate().map(|(number, receipt)| {
            DeleteMessageBatchRequestEntry::builder().id(number.to_string()).receipt_handle(receipt).build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>().map_err(|error| unbuilt(&error))?;
        let answer = self
            .client
            .delete_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(|error| failed("sqs:DeleteMessageBatch", &error))?;
        // An invalid handle was deleted before, or the message has a newer handle by now: nothing is left to do with it.
        let failures = answer.failed().iter().filter(|entry| !is_gone(entry.code()));
        Ok(failures.filter_map(|entry| chunk_receipt(chunk, entry)).cloned().collect())
    }
}

fn message(message: aws_sdk_sqs::types::Message) -> Option<Message> {
    let attribute = |name| message.attributes.as_ref().and_then(|attributes| attributes.get(&name));
    let sent = attribute(MessageSystemAttributeName::SentTimestamp).and_then(|text| text.parse().ok());
    let count = attribute(MessageSystemAttributeName::ApproximateReceiveCount).and_then(|text| text.parse().ok());
    Some(Message {
        deliveries: count.unwrap_or(1),
        sent: sent.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        // Without a receipt nothing could ever be done with it; it comes back by itself.
        receipt: message.receipt_handle?,
        id: message.message_id.unwrap_or_default(),
        body: message.body.unwrap_or_default().into_bytes(),
    })
}

fn chunk_receipt<'a>(chunk: &'a [String], entry: &BatchResultErrorEntry) -> Option<&'a String> {
    entry.id().parse::<usize>().ok().and_then(|number| chunk.get(number))
}

/// Codes that say that this delivery of the message is over: its handle is expired or malformed, or its 12 hours are used up.
fn is_gone(code: &str) -> bool {
    ["ReceiptHandleIsInvalid", "InvalidParameterValue", "InvalidIdFormat", "MessageNotInflight"]
        .iter()
        .any(|part| code.contains(part))
}

fn is_stale<E: aws_sdk_sqs::error::ProvideErrorMetadata>(
    error: &SdkError<E, aws_sdk_sqs::config::http::HttpResponse>,
) -> bool {
    code_of(error).is_some_and(is_gone)
}

fn unbuilt(error: &dyn std::error::Error) -> Error {
    Error::permanent("sqs:Batch", super::class::chain(error))
}

/// Whole seconds, rounded up, so that nothing comes back early.
fn seconds(time: Duration) -> i32 {
    whole((time.as_secs() + u64::from(time.subsec_nanos() > 0)).min(LONGEST_DELAY))
}

fn whole(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_from_awss_own_addresses_only() {
        let region = |url| region_of(url);
        assert_eq!(region("https://sqs.eu-central-1.amazonaws.com/111122223333/q").as_deref(), Some("eu-central-1"));
        assert_eq!(region("https://sqs.cn-north-1.amazonaws.com.cn/111122223333/q").as_deref(), Some("cn-north-1"));
        for other in ["http://127.0.0.1:4566/000000000000/q", "https://queue.amazonaws.com/1/q", "sqs.eu-west-1", ""] {
            assert_eq!(region(other), None, "{other}");
        }
    }

    #[test]
    fn delays_are_rounded_up_and_stay_below_twelve_hours() {
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(90)), 90);
        assert!(seconds(Duration::from_secs(86_400)) < 43_200);
    }
}
