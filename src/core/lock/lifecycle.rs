//! Lifecycle rules: read with the very bytes they were written in, and ours written anew. Rules that are not ours are put back
//! as they were.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Move, Promise};
use crate::core::id::Sha256;
use crate::core::key::{DIGEST_FOLDER, LogKind};
use crate::core::protection::Fact;
use crate::core::xml::{self, Element};

/// The ids of our rules begin so.
pub const OURS: &str = "trailwarden-";
/// S3 takes no more.
pub const MOST_RULES: usize = 1000;
/// In S3's own unit: what is smaller is not moved unless a rule says so.
pub const SMALL: u64 = 128 << 10;
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// A storage class that objects are moved to, in the order of the waterfall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Class {
    Standard,
    StandardIa,
    IntelligentTiering,
    OnezoneIa,
    GlacierIr,
    Glacier,
    DeepArchive,
}

impl Class {
    /// Those that objects can be moved to.
    pub const ALL: &'static [Self] = &[
        Self::StandardIa,
        Self::IntelligentTiering,
        Self::OnezoneIa,
        Self::GlacierIr,
        Self::Glacier,
        Self::DeepArchive,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::StandardIa => "STANDARD_IA",
            Self::IntelligentTiering => "INTELLIGENT_TIERING",
            Self::OnezoneIa => "ONEZONE_IA",
            Self::GlacierIr => "GLACIER_IR",
            Self::Glacier => "GLACIER",
            Self::DeepArchive => "DEEP_ARCHIVE",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.name() == text)
    }

    /// Days that are paid for whatever happens.
    pub fn least_days(self) -> u32 {
        match self {
            Self::Standard | Self::IntelligentTiering => 0,
            Self::StandardIa | Self::OnezoneIa => 30,
            Self::GlacierIr | Self::Glacier => 90,
            Self::DeepArchive => 180,
        }
    }

    /// Objects are moved to it no sooner.
    pub fn least_age(self) -> u32 {
        match self {
            Self::StandardIa | Self::OnezoneIa => 30,
            _ => 0,
        }
    }

    /// Not readable until somebody restores it.
    pub fn is_archive(self) -> bool {
        matches!(self, Self::Glacier | Self::DeepArchive)
    }

    /// Whether objects go down from here to there.
    pub fn falls_to(self, next: Self) -> bool {
        self < next && (self, next) != (Self::OnezoneIa, Self::GlacierIr)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When a rule acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Days(u32),
    Date(Timestamp),
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days(days) => write!(f, "after {days} days"),
            Self::Date(date) => write!(f, "on {date}"),
        }
    }
}

/// Which objects a rule is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub prefix: String,
    /// Only objects with tags, which CloudTrail's have not.
    pub tagged: bool,
    /// Larger than this.
    pub larger: Option<u64>,
    pub smaller: Option<u64>,
}

impl Filter {
    /// Whether an object under one of these prefixes can be meant.
    pub fn meets(&self, prefixes: &[String]) -> bool {
        let inside = |own: &String| self.prefix.strip_prefix(own.as_str()).is_some_and(may_hold_evidence);
        prefixes.iter().any(|own| own.starts_with(&self.prefix) || inside(own))
    }

    /// No object is both.
    pub fn is_empty(&self) -> bool {
        self.larger.zip(self.smaller).is_some_and(|(larger, smaller)| smaller <= larger.saturating_add(1))
    }
}

/// Whether CloudTrail delivers anything under this, which goes on after `AWSLogs/`: other services have folders of their own in
/// the account's.
fn may_hold_evidence(rest: &str) -> bool {
    let mut parts = rest.split('/');
    let account = parts.next().filter(|part| !part.starts_with("o-")).or_else(|| parts.next());
    let Some(folder) = account.and_then(|_| parts.next()) else { return true };
    let whole = parts.next().is_some();
    let mut own = LogKind::ALL.map(LogKind::folder).into_iter().chain([DIGEST_FOLDER]);
    own.any(|name| if whole { name == folder } else { name.starts_with(folder) })
}

/// A rule as it stands, with what we understand of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    pub id: String,
    pub enabled: bool,
    pub filter: Filter,
    pub expiration: Option<When>,
    /// Removes delete markers that hide nothing.
    pub markers: bool,
    pub moves: Vec<(When, Option<Class>)>,
    pub noncurrent: Option<u32>,
    pub noncurrent_moves: Vec<(u32, Option<Class>)>,
    pub uploads: Option<u32>,
    /// Elements that this program does not know.
    pub strange: Vec<String>,
    /// Written as rules once were, with its `<Prefix>` outside of a `<Filter>`.
    pub old_form: bool,
    /// The rule in the document's own bytes.
    pub raw: String,
}

impl Rule {
    pub fn is_ours(&self) -> bool {
        self.id.starts_with(OURS)
    }

    /// All but the bytes: two rules that do the same.
    fn means(&self) -> Self {
        Self { raw: String::new(), old_form: false, ..self.clone() }
    }

    /// What it does, in words.
    pub fn told(&self) -> String {
        let mut acts = Vec::new();
        let class = |class: &Option<Class>| class.map_or("a class not known here", Class::name);
        acts.extend(self.moves.iter().map(|(when, to)| format!("moved to {} {when}", class(to))));
        acts.extend(self.expiration.map(|when| format!("expired {when}")));
        if self.markers {
            acts.push("lonely delete markers removed".into());
        }
        let old = |days: &u32| format!("{days} days after they are replaced");
        acts.extend(
            self.noncurrent_moves.iter().map(|(days, to)| format!("old versions moved to {} {}", class(to), old(days))),
        );
        acts.extend(self.noncurrent.iter().map(|days| format!("old versions deleted {}", old(days))));
        acts.extend(self.uploads.map(|days| format!("uploads given up after {days} days")));
        acts.extend(self.strange.iter().map(|name| format!("<{name}>")));
        let filter = &self.filter;
        let mut which = vec![format!("\"{}\"", filter.prefix)];
        which.extend(filter.larger.map(|size| format!("> {size} bytes")));
        which.extend(filter.smaller.map(|size| format!("< {size} bytes")));
        which.extend(filter.tagged.then(|| "with tags".to_owned()));
        let off = if self.enabled { "" } else { " (disabled)" };
        format!("{}{off}: {} of {}", self.id, acts.join(", "), which.join(" "))
    }
}

/// The rules of a document, in its order. What cannot be understood as a whole is an error: such a document is never replaced.
pub fn read(document: &str) -> Result<Vec<Rule>, String> {
    let root = xml::parse(document)?;
    if root.name != "LifecycleConfiguration" {
        return Err("this is no lifecycle configuration".into());
    }
    if let Some(other) = root.children.iter().find(|child| child.name != "Rule") {
        return Err(format!("a lifecycle configuration with <{}>, which this program does not know", other.name));
    }
    root.children.iter().map(rule).collect()
}

/// The document of these rules: each in its own bytes.
pub fn write<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> String {
    let rules: String = rules.into_iter().map(|rule| rule.raw.as_str()).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LifecycleConfiguration xmlns=\"{NAMESPACE}\">{rules}</LifecycleConfiguration>"
    )
}

/// What tells a document, or that there is none, from any other.
pub fn digest(document: Option<&str>) -> String {
    Sha256::of(document.unwrap_or_default().as_bytes()).to_string()
}

/// Whether a document has still to be put, judged by what is there right before the call; an error where that is not any more
/// what the document was made from. An answer that was lost leaves what was put.
pub fn is_due(present: &Fact, wanted: Option<&str>, made_from: &str) -> Result<bool, String> {
    let present = match present {
        Fact::Value(text) => Some(text.as_str()),
        Fact::Absent => None,
        Fact::Unread(why) => return Err(why.clone()),
    };
    let rules = |document: Option<&str>| -> Result<Vec<Rule>, String> {
        Ok(document.map(read).transpose()?.unwrap_or_default().iter().map(Rule::means).collect())
    };
    if digest(present) == made_from {
        Ok(true)
    } else if rules(present)? == rules(wanted)? {
        Ok(false)
    } else {
        Err("somebody else has changed the lifecycle rules since this change was made of them".into())
    }
}

fn rule(element: &Element<'_>) -> Result<Rule, String> {
    let mut rule = Rule { raw: element.raw.to_owned(), ..Rule::default() };
    for part in &element.children {
        match part.name {
            "ID" => rule.id.clone_from(&part.text),
            "Status" => rule.enabled = part.text.trim() == "Enabled",
            "Prefix" => {
                rule.filter.prefix.clone_from(&part.text);
                rule.old_form = true;
            }
            "Filter" => filter(part, &mut rule)?,
            "Expiration" => {
                rule.markers = part.text_of("ExpiredObjectDeleteMarker").map(str::trim) == Some("true");
                rule.expiration = when(part, "Days", "Date")?;
            }
            "Transition" => {
                let when = when(part, "Days", "Date")?.ok_or("a transition without a time")?;
                rule.moves.push((when, class(part)));
            }
            "NoncurrentVersionExpiration" => rule.noncurrent = number(part, "NoncurrentDays")?,
            "NoncurrentVersionTransition" => {
                let days = number(part, "NoncurrentDays")?.unwrap_or(0);
                rule.noncurrent_moves.push((days, class(part)));
            }
            "AbortIncompleteMultipartUpload" => rule.uploads = number(part, "DaysAfterInitiation")?,
            name => rule.strange.push(name.to_owned()),
        }
    }
    Ok(rule)
}

fn filter(element: &Element<'_>, rule: &mut Rule) -> Result<(), String> {
    for part in &element.children {
        match part.name {
            "Prefix" => rule.filter.prefix.clone_from(&part.text),
            "Tag" => rule.filter.tagged = true,
            "ObjectSizeGreaterThan" => rule.filter.larger = Some(size(part)?),
            "ObjectSizeLessThan" => rule.filter.smaller = Some(size(part)?),
            "And" => filter(part, rule)?,
            name => rule.strange.push(name.to_owned()),
        }
    }
    Ok(())
}

fn size(element: &Element<'_>) -> Result<u64, String> {
    element.text.trim().parse().map_err(|_| format!("<{}> is no number", element.name))
}

fn number(element: &Element<'_>, name: &str) -> Result<Option<u32>, String> {
    element.text_of(name).map(|text| text.trim().parse().map_err(|_| format!("<{name}> is no number"))).transpose()
}

fn when(element: &Element<'_>, days: &str, date: &str) -> Result<Option<When>, String> {
    if let Some(days) = number(element, days)? {
        return Ok(Some(When::Days(days)));
    }
    element
        .text_of(date)
        .map(|text| text.trim().parse().map(When::Date).map_err(|_| format!("<{date}> is no time")))
        .transpose()
}

fn class(element: &Element<'_>) -> Option<Class> {
    element.text_of("StorageClass").and_then(|text| Class::parse(text.trim()))
}

/// The rules that a promise asks for, for what lies under these prefixes.
pub fn wanted(promise: &Promise, prefixes: &[String]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (number, prefix) in prefixes.iter().enumerate() {
        let id =
            |what: &str| if number == 0 { format!("{OURS}{what}") } else { format!("{OURS}{what}-{}", number + 1) };
        let plain = Filter { prefix: prefix.clone(), ..Filter::default() };
        if !promise.moves.is_empty() {
            let larger = promise.smallest.checked_sub(1);
            let moves: String = promise.moves.iter().map(move_xml).collect();
            rules.push(ours(id("transitions"), Filter { larger, ..plain.clone() }, &moves));
        }
        if let Some(days) = promise.expire {
            let expire = format!("<Expiration><Days>{days}</Days></Expiration>");
            rules.push(ours(id("expire"), plain.clone(), &expire));
        }
        if let Some(days) = promise.noncurrent {
            let old = format!(
                "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>\
                 <NoncurrentVersionExpiration><NoncurrentDays>{days}</NoncurrentDays></NoncurrentVersionExpiration>"
            );
            rules.push(ours(id("old-versions"), plain.clone(), &old));
        }
        if let Some(days) = promise.uploads {
            let abort = format!(
                "<AbortIncompleteMultipartUpload><DaysAfterInitiation>{days}</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
            );
            rules.push(ours(id("uploads"), plain, &abort));
        }
    }
    rules
}

fn move_xml(to: &Move) -> String {
    format!("<Transition><Days>{}</Days><StorageClass>{}</StorageClass></Transition>", to.after, to.class)
}

/// Written, and read again: so that it means to us what it says.
fn ours(id: String, filter: Filter, acts: &str) -> Rule {
    let prefix = format!("<Prefix>{}</Prefix>", xml::escaped(&filter.prefix));
    let inner = match filter.larger {
        Some(size) => format!("<And>{prefix}<ObjectSizeGreaterThan>{size}</ObjectSizeGreaterThan></And>"),
        None => prefix,
    };
    let raw = format!("<Rule><ID>{id}</ID><Filter>{inner}</Filter><Status>Enabled</Status>{acts}</Rule>");
    let read = xml::parse(&raw).and_then(|element| rule(&element));
    read.unwrap_or(Rule { id, filter, raw, ..Rule::default() })
}

/// The same rules, ours in the form of the others: S3 takes no document in which some have a `<Filter>` and some a `<Prefix>` of
/// their own. The id of a rule in the old form, where one of ours cannot be written so.
pub fn in_one_form(mut rules: Vec<Rule>) -> Result<Vec<Rule>, String> {
    let others = || rules.iter().filter(|rule| !rule.is_ours());
    let Some(old) = others().next().filter(|_| others().all(|rule| rule.old_form)).map(|rule| rule.id.clone()) else {
        return Ok(rules);
    };
    for rule in rules.iter_mut().filter(|rule| rule.is_ours() && !rule.old_form) {
        if rule.filter.larger.is_some() {
            return Err(old);
        }
        rule.raw = rule.raw.replacen("<Filter>", "", 1).replacen("</Filter>", "", 1);
        rule.old_form = true;
    }
    Ok(rules)
}

/// What has to be written so that our rules are these and all others stay; `None` when they are so already.
pub fn change(present: &[Rule], wanted: &[Rule]) -> Option<Vec<Rule>> {
    let means = |rules: &mut dyn Iterator<Item = &Rule>| {
        let mut all: Vec<Rule> = rules.map(Rule::means).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    };
    if means(&mut present.iter().filter(|rule| rule.is_ours())) == means(&mut wanted.iter()) {
        return None;
    }
    Some(present.iter().filter(|rule| !rule.is_ours()).chain(wanted).cloned().collect())
}
