//! What would happen and is not meant: found in the rules before it happens, and explained.

use serde::{Deserialize, Serialize};

use super::cost::{self, Stock};
use super::lifecycle::{Class, Filter, Rule, SMALL, When};
use super::{Promise, Term};
use crate::core::key::DIGEST_FOLDER;
use crate::core::protection::{Part, Protection};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    ExpiresEarly,
    DigestsDieFirst,
    NeverFires,
    TooSmall,
    NotReadable,
    PaysTwice,
    HidesOnly,
    ReplacesMinimum,
    MfaDelete,
    TooMany,
    OldForm,
    LogTarget,
    NotUnderstood,
    KeepsLonger,
    EmptyUnit,
}

/// Something to know before it happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    pub kind: WarningKind,
    /// The id of the lifecycle rule that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Evidence is lost or hidden, or a promise broken.
    pub danger: bool,
    pub text: String,
}

impl Warning {
    pub fn new(kind: WarningKind, rule: Option<&str>, danger: bool, text: String) -> Self {
        Self { kind, rule: rule.map(str::to_owned), danger, text }
    }
}

pub(super) struct View<'a> {
    pub promise: &'a Promise,
    pub protection: &'a Protection,
    pub default: Option<Term>,
    pub lockable: bool,
    pub versioned: bool,
    pub minimum: Option<&'a str>,
    pub stock: &'a Stock,
    pub prefixes: &'a [String],
    pub scrubs: bool,
}

/// About the rules as they will be once a plan is applied.
pub(super) fn all(view: &View<'_>, rules: &[Rule]) -> Vec<Warning> {
    let mut found = Vec::new();
    for rule in rules.iter().filter(|rule| rule.enabled && rule.filter.meets(view.prefixes)) {
        view.early(rule, &mut found);
        view.digests(rule, &mut found);
        view.never(rule, &mut found);
        view.small(rule, &mut found);
        view.unreadable(rule, &mut found);
        waterfall(rule, &mut found);
        if let Some(name) = rule.strange.first() {
            let text = format!(
                "the rule has <{name}>, which this program does not know: what it does to the archive cannot be told"
            );
            found.push(Warning::new(WarningKind::NotUnderstood, Some(&rule.id), false, text));
        }
    }
    view.hides(rules, &mut found);
    view.minimum(rules, &mut found);
    view.bucket(&mut found);
    found
}

impl View<'_> {
    /// The days for which everything that a filter can mean is promised at most.
    fn promised(&self) -> u32 {
        self.promise.longest()
    }

    fn early(&self, rule: &Rule, found: &mut Vec<Warning>) {
        let promised = self.promised();
        if rule.filter.is_empty() {
            return;
        }
        // CloudTrail's objects have no tags, unless somebody gives them some.
        let danger = !rule.filter.tagged;
        let mut tell = |text: String| found.push(Warning::new(WarningKind::ExpiresEarly, Some(&rule.id), danger, text));
        let early = match rule.expiration {
            Some(When::Days(days)) if days < promised => Some(format!("{days} days after their creation")),
            Some(When::Date(date)) => Some(format!("on {date}, however young")),
            _ => None,
        };
        if let Some(when) = early {
            let then = match (self.versioned, self.default) {
                (false, _) => "deleted: the bucket keeps no versions".to_owned(),
                (true, Some(_)) => {
                    "hidden by a delete marker, which Object Lock does not stop: they vanish from every listing"
                        .to_owned()
                }
                (true, None) => "hidden by a delete marker, and nothing locks the version behind it".to_owned(),
            };
            tell(format!("objects expire {when}, and are promised for up to {promised} days: they would be {then}"));
        }
        if let Some(days) = rule.noncurrent.filter(|days| *days < promised) {
            let locked = self.default.map_or(0, |term| term.days);
            if locked < promised {
                tell(format!(
                    "a version is deleted {days} days after it is replaced or hidden; it is promised for up to {promised} days, and its lock ends after {locked}"
                ));
            } else {
                let text = format!(
                    "a version is deleted {days} days after it is replaced or hidden, or as soon after that as its lock ends; only the lock keeps it"
                );
                found.push(Warning::new(WarningKind::ExpiresEarly, Some(&rule.id), false, text));
            }
        }
    }

    fn digests(&self, rule: &Rule, found: &mut Vec<Warning>) {
        let only_digests = rule.filter.prefix.contains(DIGEST_FOLDER);
        if only_digests && (rule.expiration.is_some() || rule.noncurrent.is_some()) {
            let text = "the rule ends digests and not the logs that they prove: digests must live at least as long as their logs";
            found.push(Warning::new(WarningKind::DigestsDieFirst, Some(&rule.id), true, text.into()));
        }
    }

    fn never(&self, rule: &Rule, found: &mut Vec<Warning>) {
        let mut tell =
            |text: &str| found.push(Warning::new(WarningKind::NeverFires, Some(&rule.id), false, text.into()));
        if rule.filter.is_empty() {
            tell("no object is larger and smaller than the rule's sizes at once: it never acts");
        }
        if !self.versioned && (rule.noncurrent.is_some() || rule.markers || !rule.noncurrent_moves.is_empty()) {
            tell("the bucket keeps no versions: what the rule says of old versions and delete markers never happens");
        }
        if rule.filter.tagged {
            tell("CloudTrail's objects have no tags: the rule never acts on them");
        }
        if let Some(When::Days(expire)) = rule.expiration
            && rule.moves.iter().any(|(when, _)| matches!(when, When::Days(days) if *days >= expire))
        {
            tell("objects expire before the day on which the rule would move them: that move never happens");
        }
    }

    /// Objects that are too small to be moved.
    fn small(&self, rule: &Rule, found: &mut Vec<Warning>) {
        let (small, all) = self.stock.small();
        if all == 0 {
            return;
        }
        for (_, class) in &rule.moves {
            let Some(class) = class else { continue };
            let least = cost::smallest(rule, *class, self.minimum);
            if least >= SMALL && small > 0 && !filtered_out(&rule.filter) {
                let percent = small * 100 / all;
                let text = format!(
                    "{small} of {all} objects ({percent} %) are smaller than {least} bytes and are never moved to {class}: \
                     \"archive\" does nothing for them"
                );
                let kind = if small == all { WarningKind::NeverFires } else { WarningKind::TooSmall };
                found.push(Warning::new(kind, Some(&rule.id), false, text));
            } else if least < SMALL && matches!(class, Class::StandardIa | Class::OnezoneIa | Class::GlacierIr) {
                let text = format!(
                    "{small} of {all} objects are smaller than 128 KiB, and {class} is paid for as if they were not"
                );
                found.push(Warning::new(WarningKind::PaysTwice, Some(&rule.id), false, text));
            }
        }
    }

    fn unreadable(&self, rule: &Rule, found: &mut Vec<Warning>) {
        let archive = rule.moves.iter().find(|(_, class)| class.is_some_and(Class::is_archive));
        if let (Some((when, Some(class))), true) = (archive, self.scrubs) {
            let text = format!(
                "objects are moved to {class} {when}, and cannot be read there until somebody restores them: \
                 the scrub can only look at them from outside, and `verify` cannot prove them"
            );
            found.push(Warning::new(WarningKind::NotReadable, Some(&rule.id), false, text));
        }
    }

    /// An expiration that frees nothing.
    fn hides(&self, rules: &[Rule], found: &mut Vec<Warning>) {
        let meant = || rules.iter().filter(|rule| rule.enabled && rule.filter.meets(self.prefixes));
        if !self.versioned || meant().any(|rule| rule.noncurrent.is_some()) {
            return;
        }
        if let Some(rule) = meant().find(|rule| rule.expiration.is_some()) {
            let text = "expired objects stay behind their delete markers, and are paid for, until a rule deletes old versions (`noncurrent`)";
            found.push(Warning::new(WarningKind::HidesOnly, Some(&rule.id), false, text.into()));
        }
    }

    /// A configuration from before the rule for small objects changes its meaning with the first edit.
    fn minimum(&self, rules: &[Rule], found: &mut Vec<Warning>) {
        let foreign = |rule: &&Rule| !rule.is_ours() && rule.enabled && rule.filter.larger.is_none();
        let old = |class: &Option<Class>| class.is_some_and(Class::is_archive);
        let moved = rules.iter().filter(foreign).find(|rule| rule.moves.iter().any(|(_, class)| old(class)));
        if let (None, Some(rule)) = (self.minimum, moved) {
            let text = "S3 did not say how small objects are treated: a configuration from before September 2024 moves them to \
                        archive classes, and stops doing so the first time that anybody writes it anew";
            found.push(Warning::new(WarningKind::ReplacesMinimum, Some(&rule.id), false, text.into()));
        }
    }

    fn bucket(&self, found: &mut Vec<Warning>) {
        let names = |part: Part, what: &str| self.protection.value(part).is_some_and(|text| text.contains(what));
        if names(Part::Policy, "logging.s3.amazonaws.com") || names(Part::Acl, "groups/s3/LogDelivery") {
            let text = "another bucket's access logs are delivered here; a bucket with a default retention takes none, \
                        so that they stop without a word";
            found.push(Warning::new(WarningKind::LogTarget, None, false, text.into()));
        }
        if let Some(term) = self.default.filter(|term| *term != self.promise.term && term.covers(self.promise.term)) {
            let text = format!(
                "the bucket's default is {term} and the promise is {}: it stays, for nothing is ever shortened",
                self.promise.term
            );
            found.push(Warning::new(WarningKind::KeepsLonger, None, false, text));
        }
        if !self.lockable && self.default.is_none() && self.promise.longest() > self.promise.term.days {
            let text = "Object Lock is not on yet: no object can be locked before it is";
            found.push(Warning::new(WarningKind::NeverFires, None, false, text.into()));
        }
    }
}

/// An override that asks for nothing, on purpose or by a wrong name.
pub fn empty_unit(unit: &str) -> Warning {
    let text = format!("no member is in the unit `{unit}`: its override asks for nothing (a wrong name?)");
    Warning::new(WarningKind::EmptyUnit, None, false, text)
}

/// A filter that asks for large objects says itself that small ones stay.
fn filtered_out(filter: &Filter) -> bool {
    filter.larger.is_some_and(|larger| larger.saturating_add(1) > SMALL)
}

fn waterfall(rule: &Rule, found: &mut Vec<Warning>) {
    let mut tell = |text: String| found.push(Warning::new(WarningKind::PaysTwice, Some(&rule.id), false, text));
    let days = |when: &When| if let When::Days(days) = when { Some(*days) } else { None };
    let mut moves: Vec<(u32, Class)> =
        rule.moves.iter().filter_map(|(when, class)| Some((days(when)?, (*class)?))).collect();
    moves.sort_unstable();
    for two in moves.windows(2) {
        let [(first, from), (next, to)] = two else { continue };
        if let Some(why) = misfit((*first, *from), (*next, *to)) {
            tell(why);
        }
    }
    if let (Some((last, class)), Some(When::Days(expire))) = (moves.last(), rule.expiration)
        && expire > *last
        && expire - last < class.least_days()
    {
        tell(format!(
            "objects expire {} days after they come to {class}, and {} are paid for",
            expire - last,
            class.least_days()
        ));
    }
}

/// Why a move cannot follow another, or costs twice.
pub fn misfit((first, from): (u32, Class), (next, to): (u32, Class)) -> Option<String> {
    if !from.falls_to(to) {
        return Some(format!("objects never go from {from} to {to}: that move never happens"));
    }
    let stay = next.saturating_sub(first);
    (stay < from.least_days())
        .then(|| format!("objects leave {from} after {stay} days, and {} are paid for", from.least_days()))
}
