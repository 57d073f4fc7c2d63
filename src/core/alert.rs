//! What is said to a channel about a finding: enough to act on, in words for people and as fields for programs.

use std::fmt;

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer};

use crate::core::finding::{Finding, Held, Kind, short};
use crate::core::grant::partition;
use crate::core::id::{AccountId, Region};
use crate::core::journal::Head;
use crate::core::printable;
use crate::core::rule::Sample;

/// Bytes of a value in a list of facts; a key of S3 has 1,024 at most.
const VALUE: usize = 1_100;
/// Bytes of a detail in words for people.
const DETAIL: usize = 4_000;
/// Hours that are named one by one.
const HOURS: usize = 12;
/// Bytes of a line about an event.
const EVENT: usize = 1_000;
/// What may stand in a URL as it is (RFC 3986, unreserved).
const IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a channel is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    First,
    /// Still open after the route's `repeat`.
    Repeat,
    /// Nobody acknowledged it within the route's `escalate_after`.
    Escalated,
    /// Somebody said that they are on it.
    Acknowledged,
    Resolved,
    /// `channel test`
    Test,
}

impl Reason {
    pub const ALL: &'static [Self] =
        &[Self::First, Self::Repeat, Self::Escalated, Self::Acknowledged, Self::Resolved, Self::Test];

    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Repeat => "repeat",
            Self::Escalated => "escalated",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == text)
    }

    /// Whether it asks somebody to act.
    pub fn calls(self) -> bool {
        !matches!(self, Self::Acknowledged | Self::Resolved)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What is said to a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    pub reason: Reason,
    pub finding: Held,
    /// One short sentence, what it means and what to do.
    pub title: String,
    pub means: String,
    pub action: String,
    /// Name of the warden that says it.
    pub warden: String,
    /// Where the ledger's journal stood when this was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Head>,
    /// In a flood: what is told with it, and not on its own.
    pub more: Option<More>,
    /// What the organization calls the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Whether what it rests on is proven, as the ledger knows it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrity: Option<&'static str>,
    pub links: Vec<Link>,
    /// What to type where the warden runs.
    pub commands: Vec<String>,
    /// What the far side called the first alert of the finding, if it said so.
    #[serde(skip)]
    pub thread: Option<String>,
}

/// Findings of one kind that one alert tells of besides its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct More {
    pub count: u64,
    /// Of which accounts, most of them first, as far as they are named.
    pub accounts: Vec<AccountId>,
}

impl More {
    pub const NAMED: usize = 20;
}

/// An account as people know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Owner {
    pub name: String,
    /// The way to its unit, `Root/Workloads/Prod`; empty where it is not known.
    pub ou: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    pub title: &'static str,
    pub url: String,
}

impl Alert {
    pub fn new(reason: Reason, finding: Held, warden: &str) -> Self {
        let kind = finding.kind;
        let id = short(&finding.id);
        // What a rule raised is explained by the rule.
        let (title, means, action) = match &finding.detection {
            Some(rule) => (rule.title.as_str(), rule.why.as_str(), rule.action.as_str()),
            None => (kind.title(), kind.means(), kind.action()),
        };
        let commands = match reason {
            reason if !reason.calls() => Vec::new(),
            Reason::Test => Vec::new(),
            _ => vec![
                format!("trailwarden findings show {id}"),
                format!("trailwarden findings ack {id} --note \"…\""),
                format!("trailwarden findings silence {id} --for 2h --note \"…\""),
            ],
        };
        Self {
            reason,
            title: title.into(),
            means: means.into(),
            action: action.into(),
            warden: warden.into(),
            ledger: None,
            more: None,
            owner: None,
            integrity: None,
            links: links(&finding, None),
            commands,
            thread: None,
            finding,
        }
    }

    #[must_use]
    pub fn ledger(mut self, head: Head) -> Self {
        self.ledger = Some(head);
        self
    }

    /// `runbook` is an address with `{kind}` in it.
    #[must_use]
    pub fn runbook(mut self, runbook: Option<&str>) -> Self {
        self.links = links(&self.finding, runbook);
        self
    }

    /// One line: `critical digest_missing 111122223333 eu-west-1: …`; in a flood with `(and 12 more, of 111122223333)`.
    pub fn headline(&self) -> String {
        let finding = &self.finding;
        let mut line = format!("{} {}", finding.severity, finding.kind);
        if let Some(account) = &finding.account {
            line.push_str(&format!(" {account}"));
        }
        if let Some(region) = &finding.region {
            line.push_str(&format!(" {region}"));
        }
        if let Some(more) = self.more_in_words() {
            line.push_str(&format!(" ({more})"));
        }
        format!("{line}: {}", finding.detail)
    }

    /// The headline with the reason before it where it is not the first one, fit to print in `limit` bytes.
    pub fn subject(&self, limit: usize) -> String {
        let told = match self.reason {
            Reason::First => String::new(),
            reason => format!("{reason}: "),
        };
        printable(&format!("{told}{}", self.headline()), limit)
    }

    fn more_in_words(&self) -> Option<String> {
        let more = self.more.as_ref()?;
        let accounts: Vec<&str> = more.accounts.iter().map(AccountId::as_str).collect();
        let of = if accounts.is_empty() { String::new() } else { format!(", of {}", accounts.join(", ")) };
        Some(format!("and {} more{of}", more.count))
    }

    /// Names and values in the order in which somebody who was woken asks for them. Values are fit to print, and may be chosen by
    /// an attacker: whoever shows them escapes them for the medium.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let finding = &self.finding;
        let mut facts = Vec::new();
        let mut add = |name, value: Option<String>| {
            facts.extend(value.filter(|value| !value.is_empty()).map(|value| (name, printable(&value, VALUE))));
        };
        add("account", self.account());
        add("region", finding.region.as_ref().map(Region::to_string));
        if let Some(seen) = &finding.detection {
            let last = seen.samples.last();
            add("principal", last.map(principal));
            add("source", Some(sources(&seen.samples)));
            add("rule", Some(seen.rule.clone()));
            add("counted", Some(format!("{}; {}", seen.count, seen.threshold)));
            add("attack", Some(seen.attack.join(", ")));
        }
        add("trail", finding.trail.clone());
        add("bucket", finding.bucket.clone());
        add("object", finding.object.clone());
        add("integrity", self.integrity.map(str::to_owned));
        add("hours", Some(self.hours()));
        add("seen", Some(self.seen()));
        add("also", self.more_in_words());
        add("state", Some(finding.state.to_string()));
        add("note", finding.note.clone());
        add("finding", Some(finding.id.clone()));
        add("warden", Some(self.warden.clone()));
        facts
    }

    /// The events that a rule saw, one line each, the newest last; without what may be secret, and chosen by strangers.
    pub fn events(&self) -> Vec<String> {
        let samples = self.finding.detection.iter().flat_map(|seen| &seen.samples);
        let line = |sample: &Sample| {
            let error = if sample.error.is_empty() { String::new() } else { format!(" ({})", sample.error) };
            let named: Vec<String> = sample.parameters.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            let (Sample { time, source, name, address, id, .. }, named) = (sample, named.concat());
            let line =
                format!("{time} {source} {name}{error} by {} from {address}{named}, event {id}", principal(sample));
            printable(&line, EVENT)
        };
        samples.map(line).collect()
    }

    /// `111122223333 (payments, Root/Workloads/Prod)`
    fn account(&self) -> Option<String> {
        let account = self.finding.account?;
        let owner = self.owner.as_ref().map(|owner| [owner.name.as_str(), owner.ou.as_str()]);
        let known: Vec<&str> = owner.into_iter().flatten().filter(|text| !text.is_empty()).collect();
        Some(if known.is_empty() { account.to_string() } else { format!("{account} ({})", known.join(", ")) })
    }

    fn hours(&self) -> String {
        let hours = &self.finding.hours;
        let named: Vec<String> = hours.iter().take(HOURS).map(ToString::to_string).collect();
        match hours.len().saturating_sub(HOURS) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }

    fn seen(&self) -> String {
        let finding = &self.finding;
        match finding.count {
            0 | 1 => format!("once, {}", finding.first_seen),
            count => format!("{count} times, first {}, last {}", finding.first_seen, finding.last_seen),
        }
    }

    /// The detail, fit to print.
    pub fn detail(&self) -> String {
        printable(&self.finding.detail, DETAIL)
    }

    /// All of it as plain text, line by line.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n{}\n\n", capital(&self.title), self.detail());
        for (name, value) in self.facts() {
            text.push_str(&format!("{name:<10} {value}\n"));
        }
        if self.reason.calls() {
            text.push_str(&format!("\nWhat it means: {}\n\nWhat to do: {}\n", self.means, self.action));
        }
        for event in self.events() {
            text.push_str(&format!("\n{event}"));
        }
        for link in &self.links {
            text.push_str(&format!("\n{}: {}", link.title, link.url));
        }
        if !self.commands.is_empty() {
            text.push_str(&format!("\n\n{}\n", self.commands.join("\n")));
        }
        text
    }
}

/// Who it was: the role, the session in it, and who is behind that.
fn principal(sample: &Sample) -> String {
    let behind = match sample.source_identity.as_str() {
        "" => String::new(),
        name => format!("source identity {name}"),
    };
    let chain = [sample.role.as_str(), sample.principal.as_str(), behind.as_str()];
    chain.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" → ")
}

/// Addresses, each once.
fn sources(samples: &[Sample]) -> String {
    let mut found: Vec<&str> =
        samples.iter().map(|sample| sample.address.as_str()).filter(|at| !at.is_empty()).collect();
    found.sort_unstable();
    found.dedup();
    found.join(", ")
}

fn capital(title: &str) -> String {
    let mut letters = title.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn links(finding: &Held, runbook: Option<&str>) -> Vec<Link> {
    let runbook = runbook.map_or_else(|| finding.url.clone(), |runbook| runbook.replace("{kind}", finding.kind.name()));
    let mut links = vec![Link { title: "runbook", url: runbook }];
    let is_aws = finding.region.as_ref().is_none_or(|region| partition(region.as_str()) == "aws");
    if let Some(seen) = &finding.detection {
        let https = seen.references.iter().filter(|url| url.starts_with("https://"));
        links.extend(https.map(|url| Link { title: "reference", url: url.clone() }));
        let last = seen.samples.last().filter(|last| is_aws && Region::parse(&last.region).is_ok());
        links.extend(last.map(|last| Link {
            title: "event in the AWS console",
            url: format!(
                "https://{region}.console.aws.amazon.com/cloudtrailv2/home?region={region}#/events/{}",
                utf8_percent_encode(&last.id, IN_URL),
                region = last.region
            ),
        }));
    }
    if let (Some(bucket), Some(object), true) = (&finding.bucket, &finding.object, is_aws) {
        let url = |text: &str| utf8_percent_encode(text, IN_URL).to_string();
        let url = format!("https://s3.console.aws.amazon.com/s3/object/{}?prefix={}", url(bucket), url(object));
        links.push(Link { title: "object in the AWS console", url });
    }
    links
}

/// A text cut at `limit` bytes, with a mark where something is missing.
pub fn cut(text: &str, limit: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", text.get(..end).unwrap_or_default())
}

/// A made-up alert that has every field, with a detail as somebody hostile would choose it: templates are tried on it, and
/// whatever shows alerts is tested with it.
pub fn specimen(reason: Reason) -> Alert {
    let at = Timestamp::from_second(1_700_000_000).unwrap_or_default();
    let object = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/03/a.json.gz";
    let detail = "evil\n<!channel> *x* [y](https://evil.example) & \"q\" ]";
    let mut finding = Finding::of_object(Kind::LogModified, "acme-logs", object, detail).trail("org").hours(vec![at]);
    finding.account = AccountId::parse("111122223333").ok();
    finding.region = Region::parse("eu-west-1").ok();
    let account = finding.account.into_iter().collect();
    let held = Held { resolved_at: Some(at), note: Some("somebody is on it".into()), ..finding.held(at) };
    Alert {
        more: Some(More { count: 2, accounts: account }),
        owner: Some(Owner { name: "payments".into(), ou: "Root/Prod".into() }),
        integrity: Some("modified"),
        ..Alert::new(reason, held, "w1").ledger(Head::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rule::Detection;

    #[test]
    fn an_alert_says_what_somebody_who_was_woken_asks_for() {
        let alert = specimen(Reason::First);
        let facts = alert.facts();
        let fact = |name: &str| facts.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str());
        assert_eq!(fact("account"), Some("111122223333 (payments, Root/Prod)"));
        assert_eq!(fact("integrity"), Some("modified"));
        assert_eq!(fact("seen"), Some("once, 2023-11-14T22:13:20Z"));
        let text = alert.text();
        for wanted in
            ["A log file is not what", "What to do: ", "runbook: file:///", "findings silence ", "findings ack "]
        {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert!(text.contains("evil\\u{a}<!channel>"), "one line stays one line: {text}");
    }

    #[test]
    fn what_a_rule_saw_is_told_with_who_it_was_and_from_where() {
        let sample = Sample {
            id: "e-1".into(),
            time: "2026-03-03T10:20:07Z".into(),
            source: "iam.amazonaws.com".into(),
            name: "CreateUser".into(),
            region: "us-east-1".into(),
            principal: "arn:aws:sts::111122223333:assumed-role/admin/alice".into(),
            role: "arn:aws:iam::111122223333:role/admin".into(),
            source_identity: "alice\n@example.com".into(),
            address: "203.0.113.7".into(),
            ..Sample::default()
        };
        let seen = Detection {
            rule: "iam-user".into(),
            title: "a user was made".into(),
            why: "users have keys".into(),
            action: "ask whoever made it".into(),
            false_positives: vec![],
            attack: vec!["T1136.003".into()],
            references: vec!["https://example.com/r".into(), "javascript:x".into()],
            group: vec![],
            threshold: "at least 1 events within 60 s".into(),
            first: Timestamp::UNIX_EPOCH,
            last: Timestamp::UNIX_EPOCH,
            count: 1,
            samples: vec![sample.clone(), sample],
            objects: vec![],
        };
        let held = Held { detection: Some(Box::new(seen)), ..specimen(Reason::First).finding };
        let alert = Alert::new(Reason::First, held, "w");
        assert_eq!((alert.title.as_str(), alert.action.as_str()), ("a user was made", "ask whoever made it"));
        let text = alert.text();
        let chain = "arn:aws:iam::111122223333:role/admin → arn:aws:sts::111122223333:assumed-role/admin/alice → source identity alice";
        for wanted in [
            chain,
            "source     203.0.113.7\n",
            "rule       iam-user\n",
            "T1136.003",
            "#/events/e-1",
            "https://example.com/r",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert_eq!(alert.events().len(), 2);
        assert!(!text.contains("javascript:") && !text.contains("alice\n@"), "{text}");
    }

    #[test]
    fn what_is_over_asks_for_nothing() {
        let alert = specimen(Reason::Resolved);
        assert!(alert.commands.is_empty() && !alert.text().contains("What to do"));
        assert!(alert.subject(40).starts_with("resolved: critical log_modified") && alert.subject(40).len() <= 43);
    }

    #[test]
    fn links_lead_to_the_runbook_and_to_the_object_whatever_its_name() {
        let mut held = specimen(Reason::First).finding;
        held.object = Some("a b/ü?&x=\"".into());
        let alert = Alert::new(Reason::First, held, "w").runbook(Some("https://wiki.example.com/{kind}#x"));
        let urls: Vec<&str> = alert.links.iter().map(|link| link.url.as_str()).collect();
        let object = "https://s3.console.aws.amazon.com/s3/object/acme-logs?prefix=a%20b%2F%C3%BC%3F%26x%3D%22";
        assert_eq!(urls, ["https://wiki.example.com/log_modified#x", object]);
    }

    #[test]
    fn reasons_come_back() {
        assert!(Reason::ALL.iter().all(|reason| Reason::parse(reason.name()) == Some(*reason)));
    }

    #[test]
    fn what_is_cut_says_so_and_stays_text() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("ääää", 7), "ää…");
        assert_eq!(cut("xxxx", 3), "…");
    }
}
