//! Whether what a record says fits the key of the file that it lies in.

use jiff::Timestamp;

use super::{DAY, Misfit, MisfitKind, Record};
use crate::core::key::LogKey;
use crate::core::printable;

/// Records come late by up to 30 days after a failed bucket policy; three times that is no delay.
const LATEST: i64 = 90 * DAY;

/// What the key says of every record in the file.
pub struct Fit<'k> {
    account: &'k str,
    region: &'k str,
    delivered: Timestamp,
    /// Event times, in seconds since the epoch.
    earliest: i64,
    latest: i64,
}

impl<'k> Fit<'k> {
    pub fn new(key: &'k LogKey) -> Self {
        let delivered = key.delivered.as_second();
        Self {
            account: key.root.account.as_str(),
            region: key.region.as_str(),
            delivered: key.delivered,
            earliest: delivered.saturating_sub(LATEST),
            latest: delivered.saturating_add(DAY),
        }
    }

    pub fn check(&self, record: &Record<'_>, seconds: i64, misfits: &mut Vec<Misfit>) {
        let account = record.account().filter(|account| !account.is_empty());
        if let Some(account) = account.filter(|account| *account != self.account) {
            note(misfits, MisfitKind::Account, record, ("account", account), self.account);
        }
        let region = record.aws_region.as_deref().filter(|region| !region.is_empty() && *region != self.region);
        if let Some(region) = region.filter(|region| !self.may_stand(region, record.event_source.as_deref())) {
            note(misfits, MisfitKind::Region, record, ("region", region), self.region);
        }
        if (seconds < self.earliest || seconds > self.latest) && record.addendum.is_none() {
            let time = record.event_time.as_deref().unwrap_or("its window");
            note(misfits, MisfitKind::Day, record, ("time", time), &self.delivered.to_string());
        }
    }

    /// Whether records of another region may lie in the key's: global services have one region per partition, sign-ins any.
    fn may_stand(&self, region: &str, source: Option<&str>) -> bool {
        let Some(service) = source.and_then(|source| source.strip_suffix(".amazonaws.com")) else { return false };
        let homes = global_regions(self.region);
        service == "signin" || (GLOBAL.contains(&service) && homes.contains(&region))
    }
}

/// Services whose records name one region per partition, whichever region was called or follows the trail.
const GLOBAL: &[&str] = &[
    "account",
    "billing",
    "billingconsole",
    "budgets",
    "ce",
    "chatbot",
    "cloudfront",
    "consolidatedbilling",
    "cur",
    "freetier",
    "globalaccelerator",
    "health",
    "iam",
    "invoicing",
    "organizations",
    "payments",
    "route53",
    "route53domains",
    "shield",
    "sts",
    "support",
    "supportplans",
    "tax",
    "trustedadvisor",
    "waf",
];

/// Where the global services of a region's partition record.
fn global_regions(region: &str) -> &'static [&'static str] {
    const PARTITIONS: &[(&str, &[&str])] = &[
        ("cn-", &["cn-north-1", "cn-northwest-1"]),
        ("us-gov-", &["us-gov-west-1"]),
        ("us-iso-", &["us-iso-east-1"]),
        ("us-isob-", &["us-isob-east-1"]),
        ("us-isof-", &["us-isof-south-1"]),
        ("eu-isoe-", &["eu-isoe-west-1"]),
        ("eusc-", &["eusc-de-east-1"]),
    ];
    PARTITIONS.iter().find(|(start, _)| region.starts_with(start)).map_or(&["us-east-1"], |(_, homes)| homes)
}

fn note(misfits: &mut Vec<Misfit>, kind: MisfitKind, record: &Record<'_>, says: (&str, &str), key: &str) {
    if let Some(misfit) = misfits.iter_mut().find(|misfit| misfit.kind == kind) {
        misfit.count += 1;
        return;
    }
    let (what, value) = says;
    let (value, id) = (printable(value, 60), printable(record.id().unwrap_or("unknown"), 60));
    misfits.push(Misfit { kind, count: 1, example: format!("event {id} says {what} {value}, its key {key}") });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::core::record::tests::{events, file, key, read_text, record};

    fn with(changes: &[(&str, Value)]) -> Value {
        let mut record = record();
        for (name, value) in changes {
            record[*name] = value.clone();
        }
        record
    }

    fn misfits(records: &[Value], key: &LogKey) -> Vec<(MisfitKind, u64)> {
        let file = read_text(&file(records), key).unwrap();
        assert_eq!(file.rejects, []);
        file.misfits.iter().map(|misfit| (misfit.kind, misfit.count)).collect()
    }

    #[test]
    fn the_account_must_be_the_keys() {
        let other = with(&[("recipientAccountId", json!("444455556666")), ("eventID", json!("e\u{202e}2"))]);
        let found = read_text(&file(&[record(), other.clone(), other]), &events()).unwrap();
        let example = r"event e\u{202e}2 says account 444455556666, its key 111122223333".to_owned();
        assert_eq!(found.misfits, [Misfit { kind: MisfitKind::Account, count: 2, example }]);
        for absent in [json!(null), json!("")] {
            assert_eq!(misfits(&[with(&[("recipientAccountId", absent)])], &events()), []);
        }
    }

    #[test]
    fn the_region_must_be_the_keys_but_for_global_services() {
        for (folder, source, says, fits) in [
            ("eu-west-1", "ec2.amazonaws.com", "us-east-1", false),
            ("eu-west-1", "ec2.amazonaws.com", "", true),
            ("eu-west-1", "iam.amazonaws.com", "us-east-1", true),
            ("eu-west-1", "sts.amazonaws.com", "us-east-1", true),
            ("eu-west-1", "iam.amazonaws.com", "us-west-2", false),
            ("eu-west-1", "iam.amazonaws.com", "cn-north-1", false),
            ("eu-west-1", "iam.example.com", "us-east-1", false),
            ("us-east-1", "iam.amazonaws.com", "eu-west-1", false),
            ("eu-west-1", "signin.amazonaws.com", "eu-north-1", true),
            ("cn-northwest-1", "iam.amazonaws.com", "cn-north-1", true),
            ("cn-north-1", "iam.amazonaws.com", "us-east-1", false),
            ("us-gov-east-1", "iam.amazonaws.com", "us-gov-west-1", true),
            ("us-gov-east-1", "iam.amazonaws.com", "us-east-1", false),
            ("us-iso-west-1", "iam.amazonaws.com", "us-iso-east-1", true),
        ] {
            let record = with(&[("eventSource", json!(source)), ("awsRegion", json!(says))]);
            let wanted: &[_] = if fits { &[] } else { &[(MisfitKind::Region, 1)] };
            assert_eq!(misfits(&[record], &key("CloudTrail", folder)), wanted, "{folder} {source} {says}");
        }
    }

    #[test]
    fn the_time_must_be_near_the_delivery_unless_an_addendum_says_why() {
        // delivered 2026-03-01T22:12:00Z
        for (time, fits) in [
            ("2026-03-02T22:12:00Z", true),
            ("2026-03-02T22:12:01Z", false),
            ("2025-12-01T22:12:00Z", true),
            ("2025-12-01T22:11:59Z", false),
        ] {
            let wanted: &[_] = if fits { &[] } else { &[(MisfitKind::Day, 1)] };
            assert_eq!(misfits(&[with(&[("eventTime", json!(time))])], &events()), wanted, "{time}");
            let late = with(&[("eventTime", json!(time)), ("addendum", json!({"reason": "DELIVERY_DELAY"}))]);
            assert_eq!(misfits(&[late], &events()), []);
        }
    }
}
