//! Event selectors: what a trail records.

use serde::{Deserialize, Serialize};

use super::{Described, Kind, Known, Look, Unread, Weakness};
use crate::core::finding::Severity;
use crate::core::policy::Truth;
use crate::core::printable;

/// One event selector of either kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    Basic {
        /// `All`, `ReadOnly` or `WriteOnly`.
        reads: String,
        management: bool,
        #[serde(default)]
        excluded: Vec<String>,
        /// Types of the resources whose data events are recorded, `AWS::S3::Object`.
        #[serde(default)]
        data: Vec<String>,
    },
    Advanced(Vec<Field>),
}

/// A condition of an advanced selector; all of a selector's must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Field {
    pub field: String,
    pub equals: Vec<String>,
    pub not_equals: Vec<String>,
    /// Any other comparison was asked for: by beginning or end.
    pub partly: bool,
}

/// What some selectors record of management events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    pub reads: Truth,
    pub writes: Truth,
    /// What is left out where something is recorded, in words.
    pub excluded: Vec<String>,
    /// Whether data events of objects in S3 are recorded.
    pub objects: Truth,
}

impl Covered {
    const NOTHING: Self = Self { reads: Truth::No, writes: Truth::No, excluded: Vec::new(), objects: Truth::No };

    /// All management events, without exception.
    fn is_whole(&self) -> bool {
        (self.reads, self.writes) == (Truth::Yes, Truth::Yes) && self.excluded.is_empty()
    }
}

/// Without any selector a trail records all management events and no data events (API reference: GetEventSelectors).
pub fn covered(selectors: &[Selector]) -> Covered {
    if selectors.is_empty() {
        return Covered { reads: Truth::Yes, writes: Truth::Yes, ..Covered::NOTHING };
    }
    let mut all = Covered::NOTHING;
    let mut whole = false;
    for selector in selectors {
        let one = match selector {
            Selector::Basic { reads, management, excluded, data } => basic(reads, *management, excluded, data),
            Selector::Advanced(fields) => advanced(fields),
        };
        all.reads = all.reads.or(one.reads);
        all.writes = all.writes.or(one.writes);
        all.objects = all.objects.or(one.objects);
        whole |= one.is_whole();
        all.excluded.extend(one.excluded);
    }
    if whole {
        all.excluded.clear();
    }
    all
}

fn basic(reads: &str, management: bool, excluded: &[String], data: &[String]) -> Covered {
    let (read, write) = match reads {
        "All" => (Truth::Yes, Truth::Yes),
        "ReadOnly" => (Truth::Yes, Truth::No),
        "WriteOnly" => (Truth::No, Truth::Yes),
        _ => (Truth::Unknown, Truth::Unknown),
    };
    let management = Truth::from(management);
    let objects = Truth::from(data.iter().any(|kind| kind == "AWS::S3::Object"));
    Covered {
        reads: read.and(management),
        writes: write.and(management),
        excluded: if management == Truth::Yes { excluded.to_vec() } else { Vec::new() },
        objects: write.and(objects),
    }
}

impl Field {
    fn allows(&self, value: &str) -> Truth {
        let has = |list: &[String]| list.iter().any(|one| one == value);
        if has(&self.not_equals) || (!self.equals.is_empty() && !has(&self.equals)) {
            return Truth::No;
        }
        if self.partly { Truth::Unknown } else { Truth::Yes }
    }

    fn is_about_the_kind(&self) -> bool {
        matches!(self.field.as_str(), "eventCategory" | "readOnly")
    }
}

fn advanced(fields: &[Field]) -> Covered {
    let allows = |name: &str, value: &str| {
        fields
            .iter()
            .filter(|field| field.field == name)
            .fold(Truth::Yes, |so_far, field| so_far.and(field.allows(value)))
    };
    let (reads, writes) = (allows("readOnly", "true"), allows("readOnly", "false"));
    let mut management = allows("eventCategory", "Management");
    let mut excluded = Vec::new();
    for field in fields.iter().filter(|field| !field.is_about_the_kind()) {
        if field.partly || !field.equals.is_empty() {
            // Only some, which is none of the rest.
            management = Truth::No;
        }
        excluded.extend(field.not_equals.iter().map(|value| printable(value, 80)));
    }
    if management == Truth::No {
        excluded.clear();
    }
    let objects = allows("eventCategory", "Data").and(allows("resources.type", "AWS::S3::Object")).and(writes);
    Covered { reads: management.and(reads), writes: management.and(writes), excluded, objects }
}

/// What no trail of the archive records. One that records data events only, beside one for the rest, is in order. Management
/// events have to be recorded by the main trails.
pub(super) fn judge(all: &[Described], main: &[&Described], look: &mut Look) {
    let mut sum = Covered::NOTHING;
    let (mut whole, mut excluding) = (false, None);
    for trail in all {
        let one = match &trail.selectors {
            Known::Value(selectors) => covered(selectors),
            Known::Unread(why) => {
                look.unread.push(Unread { of: SELECTORS.into(), why: printable(why, 400) });
                Covered { reads: Truth::Unknown, writes: Truth::Unknown, objects: Truth::Unknown, ..Covered::NOTHING }
            }
        };
        let is_main = main.iter().any(|other| other.arn == trail.arn);
        if is_main || !trail.is_stopped() {
            sum.objects = sum.objects.or(one.objects);
        }
        if !is_main {
            continue;
        }
        whole |= one.is_whole();
        sum.reads = sum.reads.or(one.reads);
        sum.writes = sum.writes.or(one.writes);
        if !one.excluded.is_empty() {
            excluding.get_or_insert((trail, one.excluded));
        }
    }
    let Some(first) = main.first() else { return };
    let advice = "record all management events; this replaces the trail's selectors";
    let mut weak = |kind, found: &str, risk: String, (advice, paste): (&str, Option<String>)| {
        look.weaknesses.push(Weakness::of_setting(kind, SELECTORS, Some(found), risk, advice, paste));
    };
    for (covers, half, what) in [
        (sum.writes, "writes", "calls that change things are"),
        (sum.reads, "reads", "calls that only look, by which one sees who looked around, are"),
    ] {
        if covers == Truth::No {
            let risk = format!("{what} recorded by no trail of this archive, or only some of them");
            weak(Kind::ManagementMissing, half, risk, (advice, Some(put(first))));
        }
    }
    if sum.objects == Truth::No {
        let risk = "no trail that delivers here records who deletes, unlocks or releases objects of the archive".into();
        let advice =
            "record data events of the bucket in a trail that delivers to another bucket, and accept this here";
        weak(Kind::ObjectEventsMissing, "objects", risk, (advice, None));
    }
    if let Some((trail, excluded)) = excluding.filter(|_| !whole) {
        let usual = |name: &String| matches!(name.as_str(), "kms.amazonaws.com" | "rdsdata.amazonaws.com");
        let (names, kind) = (excluded.join(", "), Kind::ManagementExcluded);
        let risk = format!("{} leaves out {names}", trail.name());
        let mut weakness = Weakness::of_setting(kind, SELECTORS, Some(&names), risk, advice, Some(put(trail)));
        if excluded.iter().all(usual) {
            weakness.severity = Severity::Medium;
        }
        look.weaknesses.push(weakness);
    }
}

/// What the trails record together; below [`super::TRAILS`].
const SELECTORS: &str = "trails/all";

fn put(trail: &Described) -> String {
    format!(
        "aws cloudtrail put-event-selectors --region {} --trail-name {} --event-selectors \
         '[{{\"ReadWriteType\":\"All\",\"IncludeManagementEvents\":true,\"DataResources\":[]}}]'",
        trail.home(),
        trail.arn
    )
}
