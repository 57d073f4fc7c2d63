//! Insights records, CloudTrail's and ours ("CloudTrail record contents for Insights events for trails").

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Kind;
use super::series::Turn;
use crate::core::id::{AccountId, Sha256};
use crate::core::printable;
use crate::core::record::seconds;
use crate::core::tree::Tree;

/// What stands in `eventSource` of our records; CloudTrail's have none.
pub const ORIGIN: &str = "trailwarden";
/// Bytes of a text that are told, and values of an attribute.
const TEXT: usize = 1_000;
const TOLD: usize = 2;
const ATTRIBUTES: [&str; 3] = ["userIdentityArn", "userAgent", "errorCode"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Start,
    End,
}

/// One of the two records of an incident. Rates are those of a minute, durations are in minutes.
#[derive(Debug, Clone, PartialEq)]
pub struct Insight {
    /// Whether CloudTrail wrote it, not us.
    pub is_theirs: bool,
    pub id: String,
    /// The same in both records of an incident.
    pub shared: String,
    pub account: Option<String>,
    pub region: String,
    /// As written: when the incident began or ended.
    pub time: String,
    pub state: State,
    pub kind: Kind,
    pub source: String,
    pub name: String,
    /// Of an error rate.
    pub error: Option<String>,
    pub baseline: f64,
    pub rate: f64,
    pub duration: f64,
    pub baseline_duration: f64,
    pub attributions: Vec<Attribution>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// `userIdentityArn`, `userAgent`, `errorCode`.
    pub attribute: String,
    /// Values with their rates, the most frequent first.
    pub insight: Vec<(String, f64)>,
    pub baseline: Vec<(String, f64)>,
}

impl Insight {
    /// What a turn of a series comes to. Ids are made of what the incident is, so that the same counts make the same records.
    pub fn of(turn: &Turn, account: &str, region: &str, [source, name]: [&str; 2], error: Option<&str>) -> Self {
        let state = if turn.is_end { State::End } else { State::Start };
        let minute = if turn.is_end { turn.start + turn.duration } else { turn.start };
        let subject = format!("{account}\0{region}\0{source}\0{name}\0{}\0{}", error.unwrap_or_default(), turn.start);
        let id = |what: &str| {
            let hash = hex::encode(Sha256::of(format!("{subject}\0{what}").as_bytes()).0);
            format!("{ORIGIN}-{}", hash.get(..32).unwrap_or_default())
        };
        let attributions =
            ATTRIBUTES.iter().zip(turn.insight.iter().zip(&turn.usual)).map(|(name, (insight, usual))| Attribution {
                attribute: (*name).to_owned(),
                insight: insight.clone(),
                baseline: usual.clone(),
            });
        Self {
            is_theirs: false,
            id: id(state.name()),
            shared: id("both"),
            account: Some(account.to_owned()),
            region: region.to_owned(),
            time: Timestamp::from_second(i64::from(minute) * 60).unwrap_or_default().to_string(),
            state,
            kind: if error.is_some() { Kind::ErrorRate } else { Kind::CallRate },
            source: source.to_owned(),
            name: name.to_owned(),
            error: error.map(str::to_owned),
            baseline: turn.baseline,
            rate: turn.rate,
            duration: f64::from(turn.duration),
            baseline_duration: f64::from(turn.baseline_duration),
            attributions: attributions.collect(),
        }
    }

    /// When the incident began or ended, in seconds since the epoch.
    pub fn at(&self) -> i64 {
        seconds(&self.time).unwrap_or(0)
    }

    /// What it is about: the same for all incidents of a series.
    pub fn subject(&self, account: AccountId) -> String {
        let error = self.error.as_deref().map(|error| format!(" {error}")).unwrap_or_default();
        printable(&format!("{account} {} {} {}{error}", self.region, self.source, self.name), TEXT)
    }

    /// One sentence: what, how often, how often usually, by whom.
    pub fn sentence(&self) -> String {
        let error = self.error.as_deref().map(|error| format!(" failing with {error}")).unwrap_or_default();
        let mut text = format!(
            "{} {}{error} in {}: {} a minute for {} min from {}, usually {}",
            self.source,
            self.name,
            self.region,
            rate(self.rate),
            self.duration,
            self.time,
            rate(self.baseline),
        );
        for (attribute, word) in ATTRIBUTES.iter().zip(["by", "with", "errors"]) {
            let attribution = self.attributions.iter().find(|attribution| attribution.attribute == *attribute);
            let values = attribution.map(|attribution| attribution.insight.as_slice()).unwrap_or_default();
            let told: Vec<String> =
                values.iter().take(TOLD).map(|(value, own)| format!("{value} ({})", rate(*own))).collect();
            if !told.is_empty() {
                text.push_str(&format!("; {word} {}", told.join(", ")));
            }
        }
        let whose = if self.is_theirs { "; so says CloudTrail" } else { "" };
        format!("{}{whose}", printable(&text, TEXT))
    }

    /// A record of `eventType` `AwsCloudTrailInsight`, whoever wrote it; `None` for any other, and for those of event data
    /// stores, which are laid out otherwise.
    pub fn parse(record: &Tree<'_>) -> Option<Self> {
        let text = |tree: &Tree<'_>, name: &str| tree.get(name).and_then(Tree::text).map(str::to_owned);
        if text(record, "eventType")? != crate::core::envelope::INSIGHT {
            return None;
        }
        let details = record.get("insightDetails")?;
        let context = details.get("insightContext")?;
        let statistics = context.get("statistics")?;
        let average = |name: &str| number(statistics.get(name)?.get("average")?);
        Some(Self {
            is_theirs: text(record, "eventSource").as_deref() != Some(ORIGIN),
            id: text(record, "eventID")?,
            shared: text(record, "sharedEventID")?,
            account: text(record, "recipientAccountId"),
            region: text(record, "awsRegion")?,
            time: text(record, "eventTime")?,
            state: State::parse(&text(details, "state")?)?,
            kind: Kind::parse(&text(details, "insightType")?)?,
            source: text(details, "eventSource")?,
            name: text(details, "eventName")?,
            error: text(details, "errorCode"),
            baseline: average("baseline")?,
            rate: average("insight")?,
            duration: number(statistics.get("insightDuration")?)?,
            baseline_duration: number(statistics.get("baselineDuration")?)?,
            attributions: elements(context.get("attributions")).filter_map(Attribution::parse).collect(),
        })
    }

    /// As CloudTrail lays it out.
    pub fn record(&self) -> Value {
        let mut details = json!({
            "state": self.state.name(),
            "eventSource": self.source,
            "eventName": self.name,
            "insightType": self.kind.name(),
            "insightContext": {
                "statistics": {
                    "baseline": { "average": self.baseline },
                    "insight": { "average": self.rate },
                    "insightDuration": self.duration,
                    "baselineDuration": self.baseline_duration,
                },
                "attributions": self.attributions.iter().map(Attribution::value).collect::<Vec<_>>(),
            },
        });
        let mut record = json!({
            "eventVersion": "1.09",
            "eventTime": self.time,
            "awsRegion": self.region,
            "eventID": self.id,
            "eventType": crate::core::envelope::INSIGHT,
            "sharedEventID": self.shared,
            "eventCategory": "Insight",
        });
        let put = |to: &mut Value, name: &str, text: Option<&str>| {
            if let (Value::Object(members), Some(text)) = (to, text) {
                members.insert(name.to_owned(), text.into());
            }
        };
        put(&mut details, "errorCode", self.error.as_deref());
        put(&mut record, "recipientAccountId", self.account.as_deref());
        put(&mut record, "eventSource", (!self.is_theirs).then_some(ORIGIN));
        if let Value::Object(members) = &mut record {
            members.insert("insightDetails".into(), details);
        }
        record
    }
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::End => "End",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Start, Self::End].into_iter().find(|state| state.name() == text)
    }
}

impl Attribution {
    fn parse(tree: &Tree<'_>) -> Option<Self> {
        let values = |name: &str| {
            let value = |tree: &Tree<'_>| Some((tree.get("value")?.text()?.to_owned(), number(tree.get("average")?)?));
            elements(tree.get(name)).filter_map(value).collect()
        };
        let attribute = tree.get("attribute")?.text()?.to_owned();
        Some(Self { attribute, insight: values("insight"), baseline: values("baseline") })
    }

    fn value(&self) -> Value {
        let values = |rates: &[(String, f64)]| -> Value {
            rates.iter().map(|(value, average)| json!({ "value": value, "average": average })).collect()
        };
        json!({ "attribute": self.attribute, "insight": values(&self.insight), "baseline": values(&self.baseline) })
    }
}

/// As many digits as tell something.
fn rate(rate: f64) -> String {
    let digits = match rate {
        10.0.. => 0,
        1.0.. => 1,
        0.01.. => 2,
        _ => 4,
    };
    format!("{rate:.digits$}")
}

fn number(tree: &Tree<'_>) -> Option<f64> {
    if let Tree::Number(text) = tree { text.parse().ok().filter(|value: &f64| value.is_finite()) } else { None }
}

fn elements<'t, 'a>(tree: Option<&'t Tree<'a>>) -> std::slice::Iter<'t, Tree<'a>> {
    if let Some(Tree::Array(elements)) = tree { elements.iter() } else { [].iter() }
}
