//! The trails that deliver to a bucket: whether they record what they should, and whether CloudTrail can deliver it.

mod selectors;
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::selectors::{Field, Selector};
use super::{Kind, Look, Unread, Weakness};
use crate::core::id::Region;
use crate::core::printable;

/// A part of an answer, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known<T> {
    Value(T),
    Unread(String),
}

impl<T> Known<T> {
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Unread(_) => None,
        }
    }
}

/// A trail as CloudTrail describes it. `None`: it did not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    pub arn: String,
    /// What stands before `AWSLogs/`, without the last slash.
    #[serde(default)]
    pub prefix: Option<String>,
    /// ARN of the topic that CloudTrail tells of deliveries.
    #[serde(default)]
    pub topic: Option<String>,
    /// ARN of the KMS key.
    #[serde(default)]
    pub key: Option<String>,
    #[serde(default)]
    pub organization: Option<bool>,
    #[serde(default)]
    pub multi_region: Option<bool>,
    #[serde(default)]
    pub validation: Option<bool>,
    pub status: Known<Status>,
    pub selectors: Known<Vec<Selector>>,
}

impl Described {
    pub fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or(&self.arn)
    }

    fn is_stopped(&self) -> bool {
        self.status.value().is_some_and(|status| status.logging == Some(false))
    }

    /// What a weakness is of.
    fn of(&self) -> String {
        format!("{TRAILS}/{}", printable(self.name(), 200))
    }

    /// The region where it is at home, and changed.
    pub fn home(&self) -> &str {
        self.arn.split(':').nth(3).unwrap_or_default()
    }
}

/// The trails that deliver to a bucket, as far as somebody answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub trails: Vec<Described>,
    pub silent: Vec<Silent>,
}

/// A region that did not answer, or all that were asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    pub region: Option<Region>,
    pub why: String,
}

impl Seen {
    fn is_silent(&self, home: &Region) -> bool {
        self.silent.iter().any(|silent| silent.region.as_ref().is_none_or(|region| region == home))
    }

    fn unread(&self) -> Option<Unread> {
        let told = |silent: &Silent| match &silent.region {
            Some(region) => format!("{region}: {}", silent.why),
            None => silent.why.clone(),
        };
        let all: Vec<String> = self.silent.iter().map(told).collect();
        (!all.is_empty()).then(|| Unread { of: TRAILS.into(), why: printable(&all.join("; "), 1_000) })
    }
}

/// One thing that CloudTrail delivers: when it last could, and what went wrong at the last attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delivery {
    pub last: Option<Timestamp>,
    pub error: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Status {
    pub logging: Option<bool>,
    pub started: Option<Timestamp>,
    pub stopped: Option<Timestamp>,
    pub logs: Delivery,
    pub digests: Delivery,
    pub topic: Delivery,
}

/// How many of the trails are to write digests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Validated {
    #[default]
    All,
    Some,
    None,
}

/// What the archive is meant to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archive {
    pub bucket: String,
    /// What keys begin with, up to `AWSLogs/`; empty: anything is allowed.
    pub prefixes: Vec<String>,
    /// Whether there is an organization to cover.
    pub organization: bool,
    pub validation: Validated,
    /// Trails that are to be there, as configured or because they delivered for the organization: name and home.
    pub trails: Vec<(String, Region)>,
}

/// A trail that has delivered nothing for so long, though it logs, has nothing to deliver or cannot.
const STALE: SignedDuration = SignedDuration::from_hours(24);

/// All trails; each is one below.
pub const TRAILS: &str = "trails";

/// What is wrong with the trails that deliver to the bucket.
pub fn of_trails(seen: &Seen, archive: &Archive, now: Timestamp) -> Look {
    let all = seen.trails.as_slice();
    let mut look = Look { unread: seen.unread().into_iter().collect(), ..Look::default() };
    let wanted: BTreeSet<_> = archive.trails.iter().collect();
    for (name, home) in wanted {
        let is_seen = all.iter().any(|trail| trail.name() == name && trail.home() == home.as_str());
        if !is_seen && !seen.is_silent(home) {
            look.weaknesses.push(gone(name, home, &archive.bucket));
        }
    }
    if all.is_empty() && look == Look::default() {
        let why = format!("cloudtrail:DescribeTrails shows no trail that delivers to {}", archive.bucket);
        look.unread.push(Unread { of: TRAILS.into(), why });
    }
    let main = main(all, archive);
    for trail in all {
        Judge { trail, main: &main, archive, now, look: &mut look }.judge();
    }
    selectors::judge(all, &main, &mut look);
    look
}

/// The trails that have to record everything together: the organization's, if there are any, and of these what is not stopped.
fn main<'a>(all: &'a [Described], archive: &Archive) -> Vec<&'a Described> {
    let is_of_all = |trail: &&Described| trail.organization == Some(true);
    let alone = !archive.organization || !all.iter().any(|trail| is_of_all(&trail));
    let meant: Vec<&Described> = all.iter().filter(|trail| alone || is_of_all(trail)).collect();
    let logging: Vec<&Described> = meant.iter().copied().filter(|trail| !trail.is_stopped()).collect();
    // That all are stopped is told of each.
    if logging.is_empty() { meant } else { logging }
}

fn gone(name: &str, home: &Region, bucket: &str) -> Weakness {
    let name = printable(name, 200);
    let risk = format!("the trail {name} delivered to {bucket} or was to, and no trail of that name is seen that does");
    let paste = format!("aws cloudtrail describe-trails --region {home} --trail-name-list {name}");
    let advice = "look whether it was deleted or delivers elsewhere, and make it deliver here again";
    let of = format!("{TRAILS}/{name}");
    Weakness::of_setting(Kind::TrailGone, &of, None, risk, advice, Some(paste)).known_by(&format!("{of}/{home}"))
}

struct Judge<'a> {
    trail: &'a Described,
    main: &'a [&'a Described],
    archive: &'a Archive,
    now: Timestamp,
    look: &'a mut Look,
}

impl Judge<'_> {
    fn judge(&mut self) {
        self.validation();
        self.reach();
        self.place();
        self.status();
    }

    fn weak(&mut self, kind: Kind, found: Option<&str>, risk: String, advice: &str, command: &str) {
        let (home, arn) = (self.trail.home(), &self.trail.arn);
        let paste = command.split_once(' ').map_or((command, ""), |(verb, rest)| (verb, rest));
        let paste = format!("aws cloudtrail {} --region {home} --name {arn} {}", paste.0, paste.1);
        let paste = Some(paste.trim_end().to_owned());
        let weakness = Weakness::of_setting(kind, &self.trail.of(), found, risk, advice, paste);
        self.look.weaknesses.push(weakness.known_by(arn));
    }

    fn unread(&mut self, why: &str) {
        self.look.unread.push(Unread { of: self.trail.of(), why: printable(why, 400) });
    }

    fn untold(&mut self, what: &str) {
        self.unread(&format!("cloudtrail:DescribeTrails does not say {what}"));
    }

    fn any(&self, has: fn(&Described) -> Option<bool>) -> bool {
        self.main.iter().any(|other| has(other) == Some(true))
    }

    fn is_main(&self) -> bool {
        self.main.iter().any(|other| other.arn == self.trail.arn)
    }

    fn validation(&mut self) {
        let name = self.trail.name();
        let wanted = match self.archive.validation {
            Validated::All => true,
            Validated::Some => !self.any(|other| other.validation),
            Validated::None => false,
        };
        match self.trail.validation {
            Some(false) if wanted => {
                let risk = format!("{name} writes no digests, so that nothing it delivers can be proven");
                let advice = "switch log file validation on";
                self.weak(Kind::ValidationOff, None, risk, advice, "update-trail --enable-log-file-validation");
            }
            None if wanted => self.untold("whether it writes digests"),
            _ => {}
        }
    }

    /// One trail for all regions and the whole organization is enough; others may record more of a part.
    fn reach(&mut self) {
        let (name, home) = (self.trail.name(), self.trail.home());
        match self.trail.multi_region {
            Some(false) if self.is_main() && !self.any(|other| other.multi_region) => {
                let risk = format!("{name} records in {home} only: whoever works in another region leaves no trace");
                let advice = "make it a trail of all regions";
                self.weak(Kind::SingleRegion, None, risk, advice, "update-trail --is-multi-region-trail");
            }
            None => self.untold("whether it records in all regions"),
            _ => {}
        }
        match self.trail.organization {
            Some(false) if self.archive.organization && !self.any(|other| other.organization) => {
                let risk = format!("{name} is of one account: other members, and new ones, are not recorded by it");
                let advice = "make it the organization's, from the management account";
                self.weak(Kind::NotOrganization, None, risk, advice, "update-trail --is-organization-trail");
            }
            None if self.archive.organization => self.untold("whether it is the organization's"),
            _ => {}
        }
    }

    fn place(&mut self) {
        let name = self.trail.name();
        let prefix = self.trail.prefix.as_deref().filter(|prefix| !prefix.is_empty());
        let begins = prefix.map_or_else(|| "AWSLogs/".into(), |prefix| format!("{prefix}/AWSLogs/"));
        if !self.archive.prefixes.is_empty() && !self.archive.prefixes.contains(&begins) {
            let shown = printable(&begins, 200);
            let risk =
                format!("{name} delivers under {shown}, which the layout does not allow, so that it is no evidence");
            let first = self.archive.prefixes.first().map_or("", String::as_str);
            let prefix = first.trim_end_matches("AWSLogs/").trim_end_matches('/');
            let command = format!("update-trail --s3-key-prefix '{prefix}'");
            let advice = "set the trail's prefix, or allow this one in `layout`";
            self.weak(Kind::PrefixOther, Some(&begins), risk, advice, &command);
        }
        if self.trail.key.is_none() {
            let risk = format!("{name} names no key, so that whoever may read the bucket reads everything in it");
            let advice = "let it encrypt with a key whose policy lets CloudTrail encrypt";
            self.weak(Kind::TrailUnencrypted, None, risk, advice, "update-trail --kms-key-id KEY-ARN");
        }
    }

    fn status(&mut self) {
        let trail = self.trail;
        let name = trail.name();
        let status = match &trail.status {
            Known::Value(status) => status,
            Known::Unread(why) => return self.unread(why),
        };
        match status.logging {
            Some(true) => {}
            Some(false) => {
                let since = status.stopped.map(|at| format!(" since {at}")).unwrap_or_default();
                let risk = format!("{name} does not log{since}: what happens meanwhile is recorded nowhere");
                return self.weak(Kind::LoggingOff, None, risk, "start it", "start-logging");
            }
            None => return self.unread("cloudtrail:GetTrailStatus does not say whether it logs"),
        }
        self.delivery(Kind::DeliveryFailing, "logs", &status.logs, status.started);
        if trail.validation == Some(true) {
            self.delivery(Kind::DigestFailing, "digests", &status.digests, status.started);
        }
        if trail.topic.is_some() {
            self.delivery(Kind::TopicFailing, "announcements", &status.topic, None);
        }
    }

    fn delivery(&mut self, kind: Kind, what: &str, delivery: &Delivery, started: Option<Timestamp>) {
        let (name, now) = (self.trail.name(), self.now);
        let age =
            |at: Timestamp| format!("the last were at {at}, {} hours ago", now.duration_since(at).as_hours().max(0));
        let last = delivery.last.map_or_else(|| "they never were".into(), age);
        let advice = "see what CloudTrail says, and look at the policies of bucket, key and topic";
        if let Some(error) = delivery.error.as_deref().filter(|error| !error.trim().is_empty()) {
            let risk = format!("{what} of {name} cannot be delivered ({}); {last}", printable(error, 120));
            self.weak(kind, Some(what), risk, advice, "get-trail-status");
            return;
        }
        // A topic that has nothing to tell is in order.
        let since = delivery.last.or(started).filter(|_| kind != Kind::TopicFailing);
        if since.is_some_and(|since| now.duration_since(since) > STALE) {
            let risk = format!("{name} logs, reports no error and delivers no {what}; {last}");
            self.weak(Kind::DeliveryStale, Some(what), risk, advice, "get-trail-status");
        }
    }
}
