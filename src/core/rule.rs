//! A rule: which records it is about, how many of them are too many, and what to say then.
//!
//! Rules are compiled once into [`Rules`], which asks every record only what some rule needs of it. What they match is gathered
//! file by file as [`Hits`], and counted group by group in a [`Watch`].

mod bin;
mod clue;
mod detection;
mod field;
mod hits;
mod index;
mod matcher;
mod sample;
mod table;
mod trial;
mod watch;

pub use self::detection::Detection;
pub use self::field::Field;
pub use self::hits::{Group, Hit, Hits, WatchId, many};
pub use self::index::Rules;
pub use self::matcher::{Matcher, Scene};
pub use self::sample::Sample;
pub use self::trial::{Firing, Trial};
pub use self::watch::Watch;
use crate::core::finding::Severity;
use crate::core::window::Window;

/// A rule as meant. Nothing in it contradicts anything else in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Lower-case letters, digits and dashes.
    pub id: String,
    pub title: String,
    /// Why it matters.
    pub why: String,
    pub severity: Severity,
    pub matcher: Matcher,
    /// What makes two records count together; nothing: all do.
    pub group: Vec<Field>,
    pub window: Window,
    /// What is counted, where values are.
    pub distinct: Option<Field>,
    /// What must follow, each within the time that the window has for it.
    pub then: Vec<Matcher>,
    pub false_positives: Vec<String>,
    /// What to do when it fires.
    pub action: String,
    /// Techniques of MITRE ATT&CK.
    pub attack: Vec<String>,
    /// Sections and controls of benchmarks.
    pub references: Vec<String>,
    pub tests: Vec<Case>,
    /// The file or the pack that it is from.
    pub origin: String,
}

impl Rule {
    /// The matchers of all steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Matcher> {
        std::iter::once(&self.matcher).chain(&self.then)
    }
}

/// A test that a rule brings along: what happens, and whether the rule fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub fires: bool,
    pub events: Events,
    /// How often they happen, each time as events of their own.
    pub times: u32,
    /// A field that is different each time.
    pub vary: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Events {
    /// JSON of a record, or of an array of them.
    Inline(String),
    /// A file with the same, or with a log file's `Records`.
    File(std::path::PathBuf),
}

#[cfg(test)]
mod tests;
