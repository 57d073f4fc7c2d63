//! The plan: what is to be done, in order, each step one call, and what it means before it is done.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use super::cost::{self, Archive, Course, Estimate};
use super::lifecycle::{self, MOST_RULES, Rule};
use super::warn::{self, Warning, WarningKind};
use super::{Mode, Prices, Promise, Stock, Term, default_of, is_lockable, versioning_of};
use crate::core::id::AccountId;
use crate::core::protection::{Fact, Part, Protection};

/// What a plan is made from.
pub struct Input<'a> {
    pub trail: &'a str,
    pub bucket: &'a str,
    pub promise: &'a Promise,
    pub protection: &'a Protection,
    pub stock: &'a Stock,
    pub needs: &'a [Need],
    /// Units that an override is for and no member is in.
    pub empty_units: &'a [String],
    pub prices: &'a Prices,
    /// What the archive's keys begin with.
    pub prefixes: &'a [String],
    /// Whether all history is read again now and then.
    pub scrubs: bool,
    pub now: Timestamp,
}

/// Objects of an account whose lock must become longer than the bucket's default made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    pub account: AccountId,
    pub mode: Mode,
    /// Days from creation, for logs and for digests.
    pub logs: u32,
    pub digests: u32,
    /// Only what was delivered before this: later objects have it by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// Known to the ledger and not extended yet. Not part of what is done, only of what it takes.
    pub objects: u64,
    pub bytes: u64,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    EnableVersioning,
    SetDefault {
        term: Term,
    },
    SetLifecycle {
        /// The whole document; without one the configuration is removed.
        document: Option<String>,
        minimum: Option<String>,
        /// The digest of the document that it was made from, and is put in place of; without one, of any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        made_from: Option<String>,
    },
    /// A call for each object.
    Extend {
        needs: Vec<Need>,
    },
}

impl Action {
    /// As an IAM policy names it.
    pub fn call(&self) -> &'static str {
        match self {
            Self::EnableVersioning => "s3:PutBucketVersioning",
            Self::SetDefault { .. } => "s3:PutBucketObjectLockConfiguration",
            Self::SetLifecycle { .. } => "s3:PutLifecycleConfiguration",
            Self::Extend { .. } => "s3:PutObjectRetention",
        }
    }

    /// Which objects are to be locked changes with every delivery; what else is to be done does not.
    pub fn is_extension(&self) -> bool {
        matches!(self, Self::Extend { .. })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    #[serde(flatten)]
    pub action: Action,
    pub call: String,
    /// Lines that begin with `+`, `-` or a blank.
    pub diff: Vec<String>,
    pub effect: Estimate,
    /// In words, with dates.
    pub means: String,
    /// Why it cannot be taken back, if it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub irreversible: Option<String>,
}

/// What separates the bucket from its promise. Empty when nothing does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub trail: String,
    pub bucket: String,
    pub made: Timestamp,
    /// Of the protection that it was made from; it fits no other.
    pub state: String,
    /// Of the promise that it was made for.
    pub wanted: String,
    /// Days promised by default, and in what mode.
    pub promise: Term,
    pub steps: Vec<Step>,
    pub warnings: Vec<Warning>,
    /// Parts that could not be read: nothing is said of them.
    pub unread: Vec<String>,
    pub archive: Archive,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && !self.warnings.iter().any(|warning| warning.danger)
    }

    /// Whether something could not be read that steps are made from. What is only warned of stops no step.
    pub fn is_blind(&self) -> bool {
        let of = |part: &Part| self.unread.iter().any(|line| is_about(line, *part));
        Part::RETENTION.iter().any(of)
    }

    /// Whether this plan, made now, is what is left of `steps`; whichever objects are to be locked.
    pub fn is_rest(&self, steps: &[Step]) -> bool {
        let settled = |steps: &'_ [Step]| -> Vec<Action> {
            steps.iter().map(|step| step.action.clone()).filter(|action| !action.is_extension()).collect()
        };
        settled(&self.steps) == settled(steps)
    }

    pub fn extension(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.action.is_extension())
    }
}

/// The parts of the protection, understood.
struct Actual {
    default: Option<Term>,
    lockable: bool,
    versioned: bool,
    mfa_delete: bool,
    rules: Vec<Rule>,
    minimum: Option<String>,
    unread: Vec<String>,
}

impl Actual {
    fn of(protection: &Protection) -> Self {
        let mut unread = Vec::new();
        let mut hear = |part: Part, why: String| unread.push(format!("{}: {why}", part.name()));
        let default = default_of(protection).and_then(|term| is_lockable(protection).map(|lockable| (term, lockable)));
        let (default, lockable) = default.unwrap_or_else(|why| {
            hear(Part::ObjectLock, why);
            (None, false)
        });
        let (versioned, mfa_delete) = versioning_of(protection).unwrap_or_else(|why| {
            hear(Part::Versioning, why);
            (false, false)
        });
        let rules = match protection.of(Part::Lifecycle) {
            Fact::Value(document) => lifecycle::read(&document),
            Fact::Absent => Ok(Vec::new()),
            Fact::Unread(why) => Err(why),
        };
        let rules = rules.unwrap_or_else(|why| {
            hear(Part::Lifecycle, why);
            Vec::new()
        });
        let minimum = protection.value(Part::LifecycleMinimum).map(str::to_owned);
        for part in [Part::Policy, Part::Acl] {
            if let Fact::Unread(why) = protection.of(part) {
                hear(part, why);
            }
        }
        Self { default, lockable, versioned, mfa_delete, rules, minimum, unread }
    }

    fn knows(&self, part: Part) -> bool {
        !self.unread.iter().any(|line| is_about(line, part))
    }
}

fn is_about(unread: &str, part: Part) -> bool {
    unread.strip_prefix(part.name()).is_some_and(|rest| rest.starts_with(':'))
}

/// From what is to what was promised.
pub fn make(input: &Input<'_>) -> Plan {
    let actual = Actual::of(input.protection);
    let today = Offset::UTC.to_datetime(input.now).date();
    let mut steps = Vec::new();
    steps.extend(versioning(&actual));
    steps.extend(default_step(&actual, input));
    let (planned, refused) = match lifecycle_step(&actual, input, today) {
        Ok(Some((rules, step))) => {
            steps.push(step);
            (rules, None)
        }
        Ok(None) => (actual.rules.clone(), None),
        Err(warning) => (actual.rules.clone(), Some(warning)),
    };
    steps.extend(extend_step(input));
    let course = |rules: &[Rule]| Course::of(rules, input.prefixes, actual.minimum.as_deref());
    let courses = (course(&actual.rules), course(&planned));
    let view = warn::View {
        promise: input.promise,
        protection: input.protection,
        default: actual.default.filter(|_| actual.knows(Part::ObjectLock)),
        lockable: actual.lockable || !actual.knows(Part::ObjectLock),
        versioned: actual.versioned || !actual.knows(Part::Versioning),
        minimum: actual.minimum.as_deref(),
        stock: input.stock,
        prefixes: input.prefixes,
        scrubs: input.scrubs,
    };
    let mut warnings = warn::all(&view, &planned);
    warnings.extend(refused);
    warnings.extend(input.empty_units.iter().map(|unit| warn::empty_unit(unit)));
    Plan {
        trail: input.trail.into(),
        bucket: input.bucket.into(),
        made: input.now,
        state: input.protection.digest(&Part::RETENTION).to_string(),
        wanted: input.promise.digest(),
        promise: input.promise.term,
        archive: Archive::of((&courses.0, &courses.1), input.stock, today, input.promise.longest(), input.prices),
        steps,
        warnings,
        unread: actual.unread,
    }
}

fn step(action: Action, diff: Vec<String>, effect: Estimate, means: String, irreversible: Option<String>) -> Step {
    Step { call: action.call().into(), action, diff, effect, means, irreversible }
}

fn versioning(actual: &Actual) -> Option<Step> {
    if actual.versioned || !actual.knows(Part::Versioning) {
        return None;
    }
    let effect = Estimate { calls: 1, ..Estimate::default() };
    let irreversible =
        "versioning can never be switched off again; it could be suspended, and not even that under Object Lock";
    Some(step(
        Action::EnableVersioning,
        vec!["- versioning: off or suspended".into(), "+ versioning: enabled".into()],
        effect,
        "from now on an overwritten or deleted object stays as an older version; Object Lock needs that".into(),
        Some(irreversible.into()),
    ))
}

fn default_step(actual: &Actual, input: &Input<'_>) -> Option<Step> {
    let wanted = input.promise.term;
    if !actual.knows(Part::ObjectLock) || actual.default.is_some_and(|term| term.covers(wanted)) {
        return None;
    }
    let term = wanted.or_more(actual.default);
    let before = match (actual.default, actual.lockable) {
        (Some(term), _) => term.to_string(),
        (None, true) => "none".into(),
        (None, false) => "none, Object Lock is off".into(),
    };
    let until = term.until(input.now);
    let means = format!(
        "what is delivered now is locked until {until}, each version {} days from its creation; older versions keep the lock they have",
        term.days
    );
    let irreversible = if term.mode == Mode::Compliance {
        Some(format!(
            "what is delivered from now on can be deleted by nobody for {} days, not by root and not by AWS",
            term.days
        ))
    } else {
        (!actual.lockable).then(|| "Object Lock can never be switched off again".to_owned())
    };
    Some(step(
        Action::SetDefault { term },
        vec![format!("- default retention: {before}"), format!("+ default retention: {term}")],
        Estimate { calls: 1, ..Estimate::default() },
        means,
        irreversible,
    ))
}

/// The rules as they will be, and the step to there; or why no step can be made.
fn lifecycle_step(actual: &Actual, input: &Input<'_>, today: Date) -> Result<Option<(Vec<Rule>, Step)>, Warning> {
    if !actual.knows(Part::Lifecycle) {
        return Ok(None);
    }
    let wanted = lifecycle::wanted(input.promise, input.prefixes);
    let Some(rules) = lifecycle::change(&actual.rules, &wanted) else { return Ok(None) };
    if actual.mfa_delete {
        let text = "the bucket has MFA delete, and S3 takes no lifecycle rules for such a bucket: ours cannot be set";
        return Err(Warning::new(WarningKind::MfaDelete, None, true, text.into()));
    }
    if rules.len() > MOST_RULES {
        let text = format!("{} lifecycle rules, and S3 takes {MOST_RULES}: ours cannot be added", rules.len());
        return Err(Warning::new(WarningKind::TooMany, None, true, text));
    }
    let rules = lifecycle::in_one_form(rules).map_err(|rule| {
        let text = "the rule has its <Prefix> outside of a <Filter>, as rules once had; S3 takes no other form beside it, and ours \
                    need a <Filter>: ours cannot be added until whoever owns the rule writes it with one";
        Warning::new(WarningKind::OldForm, Some(&rule), true, text.into())
    })?;
    let course = |rules: &[Rule]| Course::of(rules, input.prefixes, actual.minimum.as_deref());
    let effect = cost::change(&course(&actual.rules), &course(&rules), input.stock, today, input.prices);
    let deletes = |rules: &[Rule]| -> Vec<String> {
        let ours = rules.iter().filter(|rule| rule.is_ours());
        ours.filter(|rule| rule.expiration.is_some() || rule.noncurrent.is_some()).map(Rule::told).collect()
    };
    let (old, new) = (deletes(&actual.rules), deletes(&rules));
    let fresh: Vec<&String> = new.iter().filter(|told| !old.contains(told)).collect();
    let irreversible = (!fresh.is_empty()).then(|| {
        format!(
            "what a rule deletes is gone: {}",
            fresh.iter().map(|told| told.as_str()).collect::<Vec<_>>().join("; ")
        )
    });
    let document = (!rules.is_empty()).then(|| lifecycle::write(&rules));
    let means = format!(
        "{} rules of others stay as they are; {} objects that are there now go elsewhere at the next midnight UTC or in the days after",
        rules.iter().filter(|rule| !rule.is_ours()).count(),
        effect.objects
    );
    let made_from = Some(lifecycle::digest(input.protection.value(Part::Lifecycle)));
    let action = Action::SetLifecycle { document, minimum: actual.minimum.clone(), made_from };
    let diff = rule_diff(&actual.rules, &rules);
    Ok(Some((rules, step(action, diff, effect, means, irreversible))))
}

fn rule_diff(before: &[Rule], after: &[Rule]) -> Vec<String> {
    let mut lines = Vec::new();
    for rule in before {
        let kept = after.iter().any(|new| new.id == rule.id && new.told() == rule.told());
        let mark = if kept { ' ' } else { '-' };
        lines.push(format!("{mark} {}", rule.told()));
    }
    for rule in after.iter().filter(|rule| rule.is_ours()) {
        if !before.iter().any(|old| old.id == rule.id && old.told() == rule.told()) {
            lines.push(format!("+ {}", rule.told()));
        }
    }
    lines
}

fn extend_step(input: &Input<'_>) -> Option<Step> {
    let needs: Vec<Need> = input.needs.iter().filter(|need| need.objects > 0).cloned().collect();
    if needs.is_empty() {
        return None;
    }
    let objects: u64 = needs.iter().map(|need| need.objects).sum();
    let effect = Estimate {
        objects,
        bytes: needs.iter().map(|need| need.bytes).sum(),
        calls: 2 * objects,
        once: input.prices.calls(objects),
        monthly: 0.0,
    };
    let diff = needs.iter().map(told).collect();
    let longest = needs.iter().map(|need| need.logs.max(need.digests)).max().unwrap_or(0);
    let means = format!(
        "{objects} objects are looked at, and locked longer where they are not yet, the newest until {}",
        Term { mode: Mode::Governance, days: longest }.until(input.now)
    );
    let compliance = needs.iter().any(|need| need.mode == Mode::Compliance);
    let irreversible = compliance.then(|| format!("{objects} objects can be deleted by nobody until their new dates"));
    Some(step(Action::Extend { needs }, diff, effect, means, irreversible))
}

fn told(need: &Need) -> String {
    let before = need.before.map(|time| format!(" delivered before {time}")).unwrap_or_default();
    let days = if need.logs == need.digests {
        format!("{} days", need.logs)
    } else {
        format!("logs {} days, digests {} days", need.logs, need.digests)
    };
    format!("+ {} objects of account {}{before}: {} {days} from their creation", need.objects, need.account, need.mode)
}
