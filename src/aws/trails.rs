//! Trails as CloudTrail describes them, and who listens to the topics between a bucket and a queue.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_cloudtrail::config::Region as SdkRegion;
use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::{AdvancedEventSelector, AdvancedFieldSelector, EventSelector, Trail};
use jiff::Timestamp;

use super::class::failed;
use super::sns;
use crate::core::id::Region;
use crate::core::posture::{Delivery, Described, Field, Known, Seen, Selector, Silent, Status};
use crate::error::{Error, Result};
use crate::seam::Trails;

/// More pages of subscribers than a topic that feeds a queue has.
const MOST_PAGES: usize = 1_000;

/// `config` asks CloudTrail; topics are asked as whoever looks at the bucket.
#[derive(Debug)]
pub struct CloudTrails {
    config: SdkConfig,
    topics: SdkConfig,
}

impl CloudTrails {
    pub(super) fn new(config: SdkConfig, topics: SdkConfig) -> Self {
        Self { config, topics }
    }

    fn client(&self, region: &str) -> aws_sdk_cloudtrail::Client {
        let config = aws_sdk_cloudtrail::config::Builder::from(&self.config);
        aws_sdk_cloudtrail::Client::from_conf(config.region(SdkRegion::new(region.to_owned())).build())
    }

    /// What a region shows of the trails that deliver to a bucket, by ARN.
    async fn shown(&self, bucket: &str, region: &Region) -> Result<Vec<(String, Trail)>> {
        const OP: &str = "cloudtrail:DescribeTrails";
        let asked = self.client(region.as_str()).describe_trails().include_shadow_trails(true);
        let answer = asked.send().await.map_err(|error| failed(OP, &error))?;
        let ours = answer.trail_list.unwrap_or_default().into_iter();
        let ours = ours.filter(|trail| trail.s3_bucket_name.as_deref() == Some(bucket));
        let named = ours.map(|mut trail| {
            let arn = trail.trail_arn.take().ok_or_else(|| Error::permanent(OP, "a trail's arn was not told"))?;
            Ok((arn, trail))
        });
        named.collect()
    }

    async fn described(&self, arn: String, trail: Trail) -> Described {
        let mut described = Described {
            prefix: trail.s3_key_prefix,
            topic: trail.sns_topic_arn,
            key: trail.kms_key_id,
            organization: trail.is_organization_trail,
            multi_region: trail.is_multi_region_trail,
            validation: trail.log_file_validation_enabled,
            status: Known::Unread(String::new()),
            selectors: Known::Unread(String::new()),
            arn,
        };
        let client = self.client(described.home());
        described.status = known(status(&client, &described.arn).await);
        described.selectors = known(selectors(&client, &described.arn).await);
        described
    }
}

#[async_trait]
impl Trails for CloudTrails {
    async fn of(&self, bucket: &str, regions: &[Region]) -> Result<Option<Seen>> {
        let (mut found, mut seen) = (BTreeMap::new(), Seen::default());
        for region in regions {
            match self.shown(bucket, region).await {
                Ok(trails) => found.extend(trails),
                Err(error) => seen.silent.push(Silent { region: Some(region.clone()), why: error.to_string() }),
            }
        }
        for (arn, trail) in found {
            seen.trails.push(self.described(arn, trail).await);
        }
        Ok(Some(seen))
    }

    async fn subscribers(&self, topic: &str) -> Result<Vec<String>> {
        const OP: &str = "sns:ListSubscriptionsByTopic";
        let mut config = aws_sdk_sns::config::Builder::from(&self.topics);
        if let Some(region) = sns::region_of(topic) {
            config = config.region(SdkRegion::new(region));
        }
        let client = aws_sdk_sns::Client::from_conf(config.build());
        let (mut found, mut token) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let asked = client.list_subscriptions_by_topic().topic_arn(topic).set_next_token(token);
            let answer = asked.send().await.map_err(|error| failed(OP, &error))?;
            let all = answer.subscriptions.unwrap_or_default().into_iter();
            // One that nobody has confirmed has no arn yet.
            let listens = all.filter(|one| {
                one.protocol() == Some("sqs") && one.subscription_arn().is_some_and(|arn| arn.starts_with("arn:"))
            });
            found.extend(listens.filter_map(|one| one.endpoint));
            token = answer.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(found);
            }
        }
        Err(Error::transient(OP, "the list of subscribers does not end"))
    }
}

fn known<T>(answer: Result<T>) -> Known<T> {
    match answer {
        Ok(value) => Known::Value(value),
        Err(error) => Known::Unread(error.to_string()),
    }
}

async fn status(client: &aws_sdk_cloudtrail::Client, arn: &str) -> Result<Status> {
    let answer = client.get_trail_status().name(arn).send().await;
    let answer = answer.map_err(|error| failed("cloudtrail:GetTrailStatus", &error))?;
    let time = |at: Option<DateTime>| at.and_then(|at| Timestamp::new(at.secs(), 0).ok());
    let delivery = |last, error| Delivery { last: time(last), error };
    Ok(Status {
        logging: answer.is_logging,
        started: time(answer.start_logging_time),
        stopped: time(answer.stop_logging_time),
        logs: delivery(answer.latest_delivery_time, answer.latest_delivery_error),
        digests: delivery(answer.latest_digest_delivery_time, answer.latest_digest_delivery_error),
        topic: delivery(answer.latest_notification_time, answer.latest_notification_error),
    })
}

async fn selectors(client: &aws_sdk_cloudtrail::Client, arn: &str) -> Result<Vec<Selector>> {
    let answer = client.get_event_selectors().trail_name(arn).send().await;
    let answer = answer.map_err(|error| failed("cloudtrail:GetEventSelectors", &error))?;
    let basic = answer.event_selectors.unwrap_or_default().into_iter().map(basic);
    let advanced = answer.advanced_event_selectors.unwrap_or_default().into_iter().map(advanced);
    Ok(basic.chain(advanced).collect())
}

/// What is not told is as it is for a trail whose maker said nothing (API reference: EventSelector).
fn basic(selector: EventSelector) -> Selector {
    Selector::Basic {
        reads: selector.read_write_type.map_or_else(|| "All".into(), |reads| reads.as_str().to_owned()),
        management: selector.include_management_events.unwrap_or(true),
        excluded: selector.exclude_management_event_sources.unwrap_or_default(),
        data: selector.data_resources.unwrap_or_default().into_iter().filter_map(|data| data.r#type).collect(),
    }
}

fn advanced(selector: AdvancedEventSelector) -> Selector {
    Selector::Advanced(selector.field_selectors.into_iter().map(field).collect())
}

fn field(selector: AdvancedFieldSelector) -> Field {
    let partly = [&selector.starts_with, &selector.ends_with, &selector.not_starts_with, &selector.not_ends_with];
    Field {
        partly: partly.into_iter().flatten().any(|values| !values.is_empty()),
        field: selector.field,
        equals: selector.equals.unwrap_or_default(),
        not_equals: selector.not_equals.unwrap_or_default(),
    }
}
