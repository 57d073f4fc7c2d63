//! Alerts as findings of AWS Security Hub, in the AWS Security Finding Format: one for each finding, archived when it ends.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::class::refused;
use super::signed::{Service, Signed};
use crate::core::alert::{Alert, Reason, cut};
use crate::core::finding::{Class, Severity};
use crate::core::grant::partition;
use crate::core::id::AccountId;
use crate::error::Result;
use crate::seam::Channel;

pub(super) const SERVICE: Service = Service { id: "SecurityHub", name: "securityhub" };
const OP: &str = "securityhub:BatchImportFindings";
/// Characters (Security Hub user guide: required top-level attributes of ASFF); bytes are never fewer.
const TITLE: usize = 256;
const DESCRIPTION: usize = 1_024;
const REMEDY: usize = 512;
/// Of a value among the product's own fields, of which there may be 50.
const FIELD: usize = 1_024;

#[derive(Clone)]
pub struct SecurityHub {
    signed: Signed,
    account: AccountId,
    region: String,
}

impl SecurityHub {
    pub(super) fn new(signed: Signed, account: AccountId, region: &str) -> Self {
        Self { signed, account, region: region.to_owned() }
    }

    async fn import(&self, findings: &[Value]) -> Result<()> {
        let body = json!({ "Findings": findings }).to_string();
        let headers = [("content-type", "application/json")];
        let answer = self.signed.post(OP, "/findings/import", &headers, body).await?;
        // A finding may fail though the call succeeded.
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        match answer["FailedFindings"][0]["ErrorCode"].as_str() {
            None => Ok(()),
            Some(code) => Err(refused(OP, code, answer["FailedFindings"][0]["ErrorMessage"].as_str(), 200, None, None)),
        }
    }

    fn finding(&self, key: &str, alert: &Alert) -> Value {
        let (finding, account, region) = (&alert.finding, self.account, &self.region);
        let partition = partition(region);
        let product = format!("arn:{partition}:securityhub:{region}:{account}:product/{account}/default");
        let over = matches!(alert.reason, Reason::Resolved | Reason::Test);
        let updated = finding.resolved_at.filter(|_| over).unwrap_or(finding.last_seen).max(finding.last_seen);
        let severity = json!({ "Label": label(finding.severity) });
        let types = [kind(finding.class)];
        let mut fields: Map<String, Value> = alert
            .facts()
            .into_iter()
            .map(|(name, value)| (format!("trailwarden/{name}"), cut(&value, FIELD).into()))
            .collect();
        fields.insert("trailwarden/key".into(), key.into());
        let links = alert.links.iter().map(|link| &link.url).find(|url| url.starts_with("https://"));
        let mut remedy = json!({ "Text": cut(&alert.action, REMEDY) });
        if let Some(url) = links {
            remedy["Url"] = url.as_str().into();
        }
        json!({
            "SchemaVersion": "2018-10-08",
            "Id": format!("{product}/{}", if alert.reason == Reason::Test { key } else { &finding.id }),
            "ProductArn": product,
            "GeneratorId": format!("trailwarden/{}", finding.kind),
            "AwsAccountId": account.as_str(),
            "Types": types,
            "CreatedAt": millis(finding.first_seen),
            "UpdatedAt": millis(updated),
            "FirstObservedAt": millis(finding.first_seen),
            "LastObservedAt": millis(finding.last_seen),
            "Severity": severity,
            "Title": cut(&format!("{}: {}", finding.kind, alert.title), TITLE),
            "Description": cut(&alert.detail(), DESCRIPTION),
            "Remediation": { "Recommendation": remedy },
            "ProductFields": fields,
            "Resources": [self.resource(alert, partition)],
            "FindingProviderFields": { "Severity": severity, "Types": types },
            "RecordState": if over { "ARCHIVED" } else { "ACTIVE" },
        })
    }

    /// The bucket, else the account that it is about, else that of Security Hub.
    fn resource(&self, alert: &Alert, partition: &str) -> Value {
        let (kind, id) = match (&alert.finding.bucket, alert.finding.account) {
            (Some(bucket), _) => ("AwsS3Bucket", format!("arn:{partition}:s3:::{}", cut(bucket, 200))),
            (None, account) => ("AwsAccount", format!("AWS::::Account:{}", account.unwrap_or(self.account))),
        };
        let region = alert.finding.region.as_ref().map_or(self.region.as_str(), |region| region.as_str());
        json!({ "Type": kind, "Id": id, "Partition": partition, "Region": region })
    }
}

/// RFC 3339 with milliseconds, as ASFF wants it.
fn millis(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn label(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "CRITICAL",
        Severity::High => "HIGH",
        Severity::Medium => "MEDIUM",
        Severity::Low => "LOW",
        Severity::Info => "INFORMATIONAL",
    }
}

/// Out of the taxonomy of ASFF: namespace/category/classifier.
fn kind(class: Class) -> &'static str {
    match class {
        Class::Integrity => "TTPs/Defense Evasion/Log Tampering",
        _ => "Software and Configuration Checks/AWS Security Best Practices/CloudTrail",
    }
}

#[async_trait]
impl Channel for SecurityHub {
    /// The same finding again changes nothing but what is newer in it.
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        if alert.reason == Reason::Acknowledged {
            // A workflow's status is Security Hub's own, and not a provider's to set.
            return Ok(None);
        }
        self.import(&[self.finding(key, alert)]).await.map(|()| None)
    }

    /// Imports nothing, which Security Hub refuses whoever may import.
    async fn reach(&self) -> Result<()> {
        match self.import(&[]).await {
            Err(error) if error.code.as_deref().is_some_and(|code| code.contains("Invalid")) => Ok(()),
            outcome => outcome,
        }
    }
}
