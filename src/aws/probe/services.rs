//! The queue, the keys, the organization, the trails, the topic.

use aws_sdk_kms::types::DataKeySpec;
use aws_sdk_sqs::types::QueueAttributeName;

use super::*;
use crate::aws::{sns, sqs};
use crate::core::id::Region;

/// More than SNS takes.
const TOO_LONG: usize = 262_145;
/// Of no message.
const NO_RECEIPT: &str = "trailwarden-doctor";
const NO_ROOT: &str = "r-none";
const NO_TRAIL: &str = "trailwarden-doctor";

impl Probe {
    fn sqs(&self, url: &str) -> aws_sdk_sqs::Client {
        let mut config = aws_sdk_sqs::config::Builder::from(self.config()).interceptor(self.watch.clone());
        if let Some(region) = sqs::region_of(url) {
            config = config.region(SdkRegion::new(region));
        }
        aws_sdk_sqs::Client::from_conf(config.build())
    }

    /// All attributes of a queue.
    pub async fn queue(&self, action: &'static str, url: &str) -> (Tried, BTreeMap<String, String>) {
        let asked = self.sqs(url).get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
        let (tried, answer) = judge(action, asked.send().await, &[]);
        let attributes = answer.and_then(|answer| answer.attributes).unwrap_or_default();
        (tried, attributes.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect())
    }

    /// A permission on a queue. A receive hands a message out and counts that, so it is only made where `may_receive`.
    pub async fn on_queue(&self, action: &'static str, url: &str, may_receive: bool) -> Tried {
        const GONE: [&str; 3] = ["ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"];
        let client = self.sqs(url);
        match action {
            "sqs:GetQueueAttributes" => self.queue(action, url).await.0,
            "sqs:ReceiveMessage" if may_receive => {
                let asked = client.receive_message().queue_url(url).max_number_of_messages(1);
                judge(action, asked.visibility_timeout(0).wait_time_seconds(0).send().await, &[]).0
            }
            // Nobody receives eleven: this shows who may not, and nothing of who may.
            "sqs:ReceiveMessage" => {
                let asked = client.receive_message().queue_url(url).max_number_of_messages(11).send().await;
                match judge(action, asked, &GONE).0 {
                    Tried::Allowed => Tried::Unknown(
                        "messages wait, and a receive would bring one of them nearer to the dead-letter queue".into(),
                    ),
                    tried => tried,
                }
            }
            "sqs:DeleteMessage" => {
                judge(action, client.delete_message().queue_url(url).receipt_handle(NO_RECEIPT).send().await, &GONE).0
            }
            "sqs:ChangeMessageVisibility" => {
                let asked = client.change_message_visibility().queue_url(url).receipt_handle(NO_RECEIPT);
                judge(action, asked.visibility_timeout(0).send().await, &GONE).0
            }
            _ => unasked(action),
        }
    }

    /// A permission on a queue of which only the name is known. SQS says the same of a queue that is not there and of one that
    /// may not be seen, so that shows nothing.
    pub async fn on_queue_named(&self, action: &'static str, arn: &str) -> Tried {
        let parts: Vec<&str> = arn.split(':').collect();
        match (action, &parts[..]) {
            ("sqs:GetQueueUrl", [_, _, _, region, account, name]) => {
                let config = aws_sdk_sqs::config::Builder::from(self.config()).interceptor(self.watch.clone());
                let client =
                    aws_sdk_sqs::Client::from_conf(config.region(SdkRegion::new((*region).to_owned())).build());
                let asked = client.get_queue_url().queue_name(*name).queue_owner_aws_account_id(*account);
                judge(action, asked.send().await, &[]).0
            }
            _ => unasked(action),
        }
    }

    fn cloudtrail(&self, region: Option<&Region>) -> aws_sdk_cloudtrail::Client {
        let mut config = aws_sdk_cloudtrail::config::Builder::from(self.config()).interceptor(self.watch.clone());
        if let Some(region) = region {
            config = config.region(SdkRegion::new(region.as_str().to_owned()));
        }
        aws_sdk_cloudtrail::Client::from_conf(config.build())
    }

    /// How many keys a region has now.
    pub async fn public_keys(&self, action: &'static str, region: &Region) -> (Tried, Option<usize>) {
        let (tried, answer) = judge(action, self.cloudtrail(Some(region)).list_public_keys().send().await, &[]);
        (tried, answer.map(|answer| answer.public_key_list().len()))
    }

    /// A trail that delivers to a bucket, if there is one.
    pub async fn trails(&self, action: &'static str, bucket: &str) -> (Tried, Option<Delivers>) {
        let asked = self.cloudtrail(None).describe_trails().include_shadow_trails(true);
        let (tried, answer) = judge(action, asked.send().await, &[]);
        let mut trails = answer.and_then(|answer| answer.trail_list).unwrap_or_default().into_iter();
        let found = trails.find(|trail| trail.s3_bucket_name.as_deref() == Some(bucket));
        (tried, found.and_then(|trail| Some(Delivers { arn: trail.trail_arn?, topic: trail.sns_topic_arn })))
    }

    /// A permission on a trail, asked for in its home region; or on the name of none.
    pub async fn on_trail(&self, action: &'static str, trail: Option<&str>) -> Tried {
        const NONE: [&str; 1] = ["TrailNotFound"];
        let home = trail.and_then(|arn| Region::parse(arn.split(':').nth(3)?).ok());
        let (client, name) = (self.cloudtrail(home.as_ref()), trail.unwrap_or(NO_TRAIL));
        match action {
            "cloudtrail:GetTrailStatus" => judge(action, client.get_trail_status().name(name).send().await, &NONE).0,
            "cloudtrail:GetEventSelectors" => {
                judge(action, client.get_event_selectors().trail_name(name).send().await, &NONE).0
            }
            _ => unasked(action),
        }
    }

    fn organizations(&self) -> aws_sdk_organizations::Client {
        let config = aws_sdk_organizations::config::Builder::from(self.config()).interceptor(self.watch.clone());
        aws_sdk_organizations::Client::from_conf(config.build())
    }

    /// The id of the organization that the credentials are of.
    pub async fn organization(&self, action: &'static str) -> (Tried, Option<String>) {
        let (tried, answer) = judge(action, self.organizations().describe_organization().send().await, &[]);
        (tried, answer.and_then(|answer| answer.organization?.id))
    }

    /// The id of the root.
    pub async fn root(&self, action: &'static str) -> (Tried, Option<String>) {
        let (tried, answer) = judge(action, self.organizations().list_roots().max_results(1).send().await, &[]);
        (tried, answer.and_then(|answer| answer.roots?.into_iter().next()?.id))
    }

    /// The id of an account.
    pub async fn account(&self, action: &'static str) -> (Tried, Option<String>) {
        let (tried, answer) = judge(action, self.organizations().list_accounts().max_results(1).send().await, &[]);
        (tried, answer.and_then(|answer| answer.accounts?.into_iter().next()?.id))
    }

    /// A permission on the tree, tried under its root or under the name of none.
    pub async fn on_tree(&self, action: &'static str, root: Option<&str>, account: Option<&str>) -> Tried {
        const NONE: [&str; 3] = ["ParentNotFound", "ChildNotFound", "InvalidInput"];
        let (client, root) = (self.organizations(), root.unwrap_or(NO_ROOT));
        match action {
            "organizations:ListOrganizationalUnitsForParent" => {
                let asked = client.list_organizational_units_for_parent().parent_id(root).max_results(1);
                judge(action, asked.send().await, &NONE).0
            }
            "organizations:ListAccountsForParent" => {
                let asked = client.list_accounts_for_parent().parent_id(root).max_results(1);
                judge(action, asked.send().await, &NONE).0
            }
            "organizations:ListParents" => {
                let child = account.unwrap_or("000000000000");
                judge(action, client.list_parents().child_id(child).send().await, &NONE).0
            }
            _ => unasked(action),
        }
    }

    /// A permission on a topic. Whether something may be published is shown by a message that SNS refuses for its length.
    pub async fn on_topic(&self, action: &'static str, arn: &str) -> Tried {
        let mut config = aws_sdk_sns::config::Builder::from(self.config()).interceptor(self.watch.clone());
        if let Some(region) = sns::region_of(arn) {
            config = config.region(SdkRegion::new(region));
        }
        let client = aws_sdk_sns::Client::from_conf(config.build());
        match action {
            "sns:ListSubscriptionsByTopic" => {
                judge(action, client.list_subscriptions_by_topic().topic_arn(arn).send().await, &[]).0
            }
            "sns:Publish" => {
                let sent = client.publish().topic_arn(arn).message("x".repeat(TOO_LONG)).send().await;
                must_fail(judge(action, sent, &["InvalidParameter"]))
            }
            _ => unasked(action),
        }
    }

    /// A permission on a KMS key. A dry run is never carried out: KMS says so to whoever may (KMS API reference: GenerateDataKey).
    pub async fn on_key(&self, action: &'static str, arn: &str) -> Tried {
        let mut config = aws_sdk_kms::config::Builder::from(self.config()).interceptor(self.watch.clone());
        if let Some(region) = sns::region_of(arn) {
            config = config.region(SdkRegion::new(region));
        }
        let client = aws_sdk_kms::Client::from_conf(config.build());
        match action {
            "kms:DescribeKey" => judge(action, client.describe_key().key_id(arn).send().await, &[]).0,
            "kms:GetKeyPolicy" => judge(action, client.get_key_policy().key_id(arn).send().await, &[]).0,
            "kms:GenerateDataKey" => {
                let asked = client.generate_data_key().key_id(arn).key_spec(DataKeySpec::Aes256).dry_run(true);
                must_fail(judge(action, asked.send().await, &["DryRunOperation"]))
            }
            _ => unasked(action),
        }
    }
}
