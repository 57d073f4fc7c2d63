//! Rule files: from what is written to rules that are compiled.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};

use super::raw::{At, Number, Text, Texts};
use super::read::{Read, Reader, filled, word};
use super::sigma::{Sigmas, is_sigma};
use super::{ConfigError, raw};
use crate::core::fault::Fault;
use crate::core::finding::Severity;
use crate::core::rule::{Case, Events, Field, Matcher, Rule, Rules};
use crate::core::window::{MOST_DISTINCT, Missing, Window};

/// Rules that are shipped with the program, by name.
pub const PACKS: &[(&str, &str)] = &[
    ("cis-aws", include_str!("../../config/rules/cis-aws.toml")),
    ("credentials", include_str!("../../config/rules/credentials.toml")),
    ("discovery", include_str!("../../config/rules/discovery.toml")),
    ("evidence", include_str!("../../config/rules/evidence.toml")),
    ("exposure", include_str!("../../config/rules/exposure.toml")),
    ("organization", include_str!("../../config/rules/organization.toml")),
    ("privilege", include_str!("../../config/rules/privilege.toml")),
    ("ransomware", include_str!("../../config/rules/ransomware.toml")),
    ("root-and-mfa", include_str!("../../config/rules/root-and-mfa.toml")),
];

/// Counts in a window, unless a rule says otherwise.
const WITHIN: Duration = Duration::from_secs(300);
const SECOND: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
const MOST_COUNTED: u64 = 1_000_000;
/// Periods that are looked back at, steps of a sequence, fields of a group, repetitions of a test.
const MOST_PERIODS: usize = 60;
const MOST_STEPS: usize = 5;
const MOST_FIELDS: usize = 8;
const MOST_TIMES: u64 = 100_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    rule: Vec<At<Written>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    id: Text,
    title: Text,
    why: Text,
    severity: Text,
    filter: Text,
    pattern: Text,
    group: Texts,
    count: Count,
    distinct: Text,
    periods: Text,
    missing: Text,
    then: Vec<At<Then>>,
    false_positives: Texts,
    action: Text,
    attack: Texts,
    references: Texts,
    test: Tests,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Count {
    at_least: Number,
    within: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Then {
    filter: Text,
    pattern: Text,
    within: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tests {
    fires: Vec<At<Tried>>,
    quiet: Vec<At<Tried>>,
}

/// Events, or a table of events and how often they happen.
#[derive(Debug, Default)]
struct Tried {
    events: String,
    times: Option<i64>,
    vary: Option<String>,
}

impl<'de> Deserialize<'de> for Tried {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TriedVisitor)
    }
}

struct TriedVisitor;

impl<'de> Visitor<'de> for TriedVisitor {
    type Value = Tried;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON of events, a file of them, or { events = …, times = … }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Tried, E> {
        Ok(Tried { events: text.to_owned(), ..Tried::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tried, A::Error> {
        let mut tried = Tried::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "events" => tried.events = map.next_value()?,
                "times" => tried.times = Some(map.next_value()?),
                "vary" => tried.vary = Some(map.next_value()?),
                other => return Err(de::Error::unknown_field(other, &["events", "times", "vary"])),
            }
        }
        Ok(tried)
    }
}

impl Reader<'_> {
    /// The rules that `[detect]` names, without those that it switches off; and what is to be said of them.
    pub(super) fn detect(&self, raw: &raw::Detect) -> Read<(Arc<Rules>, Vec<String>)> {
        let (mut rules, mut sigma) = (Vec::new(), Sigmas::default());
        for name in raw.packs.iter().flatten() {
            let text = self.parsed(name, pack)?;
            rules.extend(read(text, &format!("pack {}", name.get_ref()), Path::new(""))?);
        }
        for place in raw.rules.iter().flatten() {
            for file in self.rule_files(place)? {
                let text = std::fs::read_to_string(&file)
                    .map_err(|error| self.at(place, format!("{} cannot be read: {}", file.display(), error.kind())))?;
                let origin = file.display().to_string();
                match is_sigma(&file) {
                    true => sigma.add(&text, &origin),
                    false => rules.extend(read(&text, &origin, file.parent().unwrap_or(Path::new("")))?),
                }
            }
        }
        let (loaded, mut remarks) = sigma.rules();
        rules.extend(loaded);
        for rule in &rules {
            let of_rule = rule.steps().flat_map(Matcher::remarks);
            remarks.extend(of_rule.map(|remark| format!("rule `{}`: {remark}", rule.id)));
        }
        let mut known: Vec<(&str, &str)> = Vec::with_capacity(rules.len());
        for rule in &rules {
            if let Some((_, origin)) = known.iter().find(|(id, _)| *id == rule.id) {
                let message = format!("two rules have the id `{}`: the other one is in {origin}", rule.id);
                return Err(ConfigError::new(&rule.origin, message));
            }
            known.push((&rule.id, &rule.origin));
        }
        let known: Vec<String> = rules.iter().map(|rule| rule.id.clone()).collect();
        let off = self.list(&raw.off, |id| {
            let is_known = known.iter().any(|known| known == id);
            is_known.then(|| id.to_owned()).ok_or_else(|| format!("no rule has the id `{id}`"))
        })?;
        rules.retain(|rule| !off.contains(&rule.id));
        Ok((Arc::new(Rules::compile(rules)), remarks))
    }

    /// A file, or the rule files of a directory in the order of their names.
    fn rule_files(&self, place: &At<String>) -> Read<Vec<PathBuf>> {
        let path = self.path(place);
        let unreadable =
            |error: std::io::Error| self.at(place, format!("{} cannot be read: {}", path.display(), error.kind()));
        if !std::fs::metadata(&path).map_err(unreadable)?.is_dir() {
            return Ok(vec![path]);
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if is_sigma(&file) || file.extension().is_some_and(|extension| extension == "toml") {
                files.push(file);
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    fn rule(&self, at: &At<Written>, base: &Path) -> Read<Rule> {
        let raw = at.get_ref();
        let needed = |value: &Text, name: &str| {
            let value = value.as_ref().ok_or_else(|| self.at_head(at, format!("the rule has no `{name}`")))?;
            self.parsed(value, filled)
        };
        let id = needed(&raw.id, "id")?;
        let is_id = (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !is_id {
            let message = "an id is 1 to 64 lower-case letters, digits and dashes";
            return Err(raw.id.as_ref().map_or_else(|| self.at_head(at, message), |id| self.at(id, message)));
        }
        let mut steps = Vec::new();
        for then in &raw.then {
            let Then { filter, pattern, within } = then.get_ref();
            let within = self.optional_duration(within, SECOND, LONGEST)?;
            let within = within.ok_or_else(|| self.at(then, "a step has a `within`: how soon it must follow"))?;
            steps.push((self.matcher(then, filter, pattern)?, seconds(within)));
        }
        if steps.len() > MOST_STEPS {
            return Err(self.at_head(at, format!("a sequence has at most {MOST_STEPS} further steps")));
        }
        let distinct = self.optional(&raw.distinct, Field::parse)?;
        let group = match &raw.group {
            Some(_) => self.list(&raw.group, Field::parse)?,
            None => vec![Field::Path(vec!["recipientAccountId".into()])],
        };
        if group.len() > MOST_FIELDS {
            return Err(self.at_head(at, format!("a group has at most {MOST_FIELDS} fields")));
        }
        let then = steps.iter().map(|(_, within)| *within).collect();
        Ok(Rule {
            title: needed(&raw.title, "title")?,
            why: raw.why.as_ref().map(|text| tidy(text.get_ref())).unwrap_or_default(),
            severity: self
                .optional(&raw.severity, |text| word(text, Severity::ALL, Severity::name, "severity"))?
                .unwrap_or(Severity::Medium),
            matcher: self.matcher(at, &raw.filter, &raw.pattern)?,
            group,
            window: self.window(at, distinct.is_some(), then)?,
            distinct,
            then: steps.into_iter().map(|(matcher, _)| matcher).collect(),
            false_positives: texts(&raw.false_positives),
            action: raw.action.as_ref().map(|text| tidy(text.get_ref())).unwrap_or_default(),
            attack: self.list(&raw.attack, technique)?,
            references: texts(&raw.references),
            tests: self.cases(&raw.test, base)?,
            origin: self.origin.to_owned(),
            id,
        })
    }

    fn window(&self, at: &At<Written>, distinct: bool, then: Vec<i64>) -> Read<Window> {
        let raw = at.get_ref();
        let at_least = self.number(&raw.count.at_least, 1, 1, if distinct { MOST_DISTINCT } else { MOST_COUNTED })?;
        let periods = self.optional(&raw.periods, periods)?;
        let missing =
            self.optional(&raw.missing, |text| word(text, Missing::ALL, Missing::name, "treatment of missing data"))?;
        if (periods.is_some() || missing.is_some()) && (distinct || !then.is_empty()) {
            return Err(self.at_head(at, "`periods` and `missing` go with plain counts, not with `distinct` or `then`"));
        }
        Ok(Window {
            at_least,
            within: seconds(self.duration(&raw.count.within, WITHIN, SECOND, LONGEST)?),
            distinct,
            periods: periods.unwrap_or((1, 1)),
            missing: missing.unwrap_or(Missing::NotBreaching),
            then,
        })
    }

    fn matcher(&self, at: &At<impl Sized>, filter: &Text, pattern: &Text) -> Read<Matcher> {
        let (text, parsed) = match (filter, pattern) {
            (Some(text), None) => (text, Matcher::filter(text.get_ref())),
            (None, Some(text)) => (text, Matcher::pattern(text.get_ref())),
            (Some(_), Some(both)) => return Err(self.at(both, "either a `filter` or a `pattern`, not both")),
            (None, None) => return Err(self.at_head(at, "neither a `filter` nor a `pattern`")),
        };
        parsed.map_err(|fault| self.fault(text, &fault))
    }

    /// A fault of a pattern where it stands in the file, if it stands there as it is.
    fn fault(&self, text: &At<String>, fault: &Fault) -> ConfigError {
        let span = text.span();
        let written = self.text.get(span.clone()).unwrap_or_default();
        // after the quotes, and after the line break that TOML drops
        let skipped = [1, 3, 4, 5].into_iter().find(|skipped| {
            written.get(*skipped..).is_some_and(|written| written.starts_with(text.get_ref().as_str()))
        });
        let place = |skipped: usize| {
            let from = span.start + skipped;
            from + fault.span.start..from + fault.span.end
        };
        let error = ConfigError::new(self.origin, fault.message.clone());
        match skipped {
            Some(skipped) => error.at_plain(self.text, place(skipped)),
            None => ConfigError::new(self.origin, fault.to_string()).at_plain(self.text, span),
        }
    }

    /// At the first line of a table, and not all over it.
    fn at_head(&self, table: &At<impl Sized>, message: impl Into<String>) -> ConfigError {
        let start = table.span().start;
        let line = self.text.get(start..).and_then(|rest| rest.lines().next()).map_or(1, str::len);
        ConfigError::new(self.origin, message).at_plain(self.text, start..start + line)
    }

    fn cases(&self, tests: &Tests, base: &Path) -> Read<Vec<Case>> {
        let all = tests.fires.iter().map(|case| (true, case)).chain(tests.quiet.iter().map(|case| (false, case)));
        all.map(|(fires, at)| {
            let Tried { events, times, vary } = at.get_ref();
            let times = times.unwrap_or(1);
            let times = u32::try_from(times).ok().filter(|times| (1..=MOST_TIMES).contains(&u64::from(*times)));
            let times = times.ok_or_else(|| self.at(at, format!("`times` is 1 to {MOST_TIMES}")))?;
            let vary = vary.as_deref().map(|field| match Field::parse(field) {
                Ok(Field::Path(path)) => Ok(path),
                _ => Err(self.at(at, "`vary` is a field of the event, like \"sourceIPAddress\"")),
            });
            let events = match events.trim_start() {
                text if text.starts_with(['{', '[']) => Events::Inline(events.clone()),
                "" => return Err(self.at(at, "a test without events")),
                _ => Events::File(base.join(events)),
            };
            Ok(Case { fires, events, times, vary: vary.transpose()? })
        })
        .collect()
    }
}

/// The rules of a file. Other files that it names lie in `base`.
pub fn read(text: &str, origin: &str, base: &Path) -> Result<Vec<Rule>, ConfigError> {
    let places = super::secret::Places::default();
    let reader = Reader { text, origin, places: &places };
    let file: File = toml::from_str(text).map_err(|error| {
        let message = error.message().trim_end().replace('\n', ", ");
        ConfigError::new(origin, message).at_plain(text, error.span().unwrap_or_default())
    })?;
    file.rule.iter().map(|rule| reader.rule(rule, base)).collect()
}

/// A rule's own test that did not come out as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub rule: String,
    pub origin: String,
    /// Which test, and what became of it.
    pub why: String,
}

/// Runs the tests that rules bring along: how many there are, and those that fail.
pub fn test<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> (usize, Vec<Failed>) {
    let (mut count, mut failed) = (0, Vec::new());
    for rule in rules {
        for (number, case) in rule.tests.iter().enumerate() {
            count += 1;
            let name = if case.fires { "fires" } else { "quiet" };
            let same = rule.tests.iter().take(number).filter(|earlier| earlier.fires == case.fires).count();
            let outcome = events(&case.events).and_then(|text| case.play(rule, &text));
            let why = match outcome {
                Ok(fired) if fired == case.fires => continue,
                Ok(true) => "it fires, and should not".to_owned(),
                Ok(false) => "it does not fire, and should".to_owned(),
                Err(why) => why,
            };
            let why = format!("test.{name}, number {}: {why}", same + 1);
            failed.push(Failed { rule: rule.id.clone(), origin: rule.origin.clone(), why });
        }
    }
    (count, failed)
}

fn events(events: &Events) -> Result<String, String> {
    match events {
        Events::Inline(text) => Ok(text.clone()),
        Events::File(path) => {
            std::fs::read_to_string(path).map_err(|error| format!("{}: {}", path.display(), error.kind()))
        }
    }
}

fn pack(name: &str) -> Result<&'static str, String> {
    PACKS.iter().find(|(own, _)| *own == name).map(|(_, text)| *text).ok_or_else(|| {
        let names: Vec<&str> = PACKS.iter().map(|(name, _)| *name).collect();
        format!("`{name}` is no pack: {}", names.join(", "))
    })
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// `2 of 3`
fn periods(text: &str) -> Result<(usize, usize), String> {
    let parsed =
        text.split_once(" of ").and_then(|(some, all)| Some((some.trim().parse().ok()?, all.trim().parse().ok()?)));
    parsed.filter(|(some, all)| (1..=*all).contains(some) && *all <= MOST_PERIODS).ok_or_else(|| {
        format!("`{text}` is no share of periods: write \"2 of 3\"; at most {MOST_PERIODS} are looked back at")
    })
}

/// `T1078` or `T1078.004`
fn technique(text: &str) -> Result<String, String> {
    let (technique, part) = text.split_once('.').map_or((text, None), |(technique, part)| (technique, Some(part)));
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let good =
        technique.strip_prefix('T').is_some_and(|number| digits(number, 4)) && part.is_none_or(|part| digits(part, 3));
    good.then(|| text.to_owned()).ok_or_else(|| format!("`{text}` is no technique of MITRE ATT&CK: T1078 or T1078.004"))
}

fn texts(texts: &Texts) -> Vec<String> {
    texts.iter().flatten().map(|text| tidy(text.get_ref())).collect()
}

/// Lines that were broken to fit the file are one.
fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
