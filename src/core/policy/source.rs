//! On whose behalf a service may act: the conditions on `aws:SourceArn`, `aws:SourceAccount` and `aws:SourceOrgID`.

use super::condition::Condition;
use super::document::{Statement, account_of};
use super::expected::Expected;
use super::glob;
use super::weakness::Kind;
use crate::core::finding::Severity;
use crate::core::id::AccountId;
use crate::core::printable;

const ARN: &str = "aws:SourceArn";
const ACCOUNT: &str = "aws:SourceAccount";
const ORGANIZATION: &str = "aws:SourceOrgID";
const PATHS: &str = "aws:SourceOrgPaths";
pub const KEYS: [&str; 4] = [ARN, ACCOUNT, ORGANIZATION, PATHS];

/// What is wrong with the source of a service's statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    pub kind: Kind,
    pub severity: Severity,
    pub risk: String,
}

impl Flaw {
    fn new(kind: Kind, risk: impl Into<String>) -> Self {
        Self { kind, severity: kind.severity(), risk: risk.into() }
    }

    fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// How a statement that trusts CloudTrail falls short of naming the trail.
pub fn of_trail(statement: &Statement, expected: &Expected) -> Vec<Flaw> {
    let judged = |key: &str, judge: fn(&Condition, &str, &Expected) -> Option<Flaw>| {
        let conditions = statement.conditions.iter().filter(|condition| condition.pins() && condition.is(key));
        let flaws = |condition: &Condition| -> Vec<Flaw> {
            condition.values.iter().filter_map(|value| judge(condition, value, expected)).collect()
        };
        // They are all asked for, so the strictest decides.
        conditions.map(flaws).min_by_key(Vec::len)
    };
    let arn = judged(ARN, arn);
    let account = judged(ACCOUNT, account);
    let organization = judged(ORGANIZATION, organization).or_else(|| judged(PATHS, organization));
    let wide = |flaws: &[Flaw]| flaws.iter().all(|flaw| flaw.kind == Kind::SourceArnWide);
    match (arn, account, organization) {
        // A pattern that is held to accounts of ours by another condition.
        (Some(flaws), Some(account), _) if wide(&flaws) && account.is_empty() => {
            flaws.into_iter().map(|flaw| flaw.severity(Severity::Low)).collect()
        }
        (Some(flaws), _, _) => flaws,
        (None, Some(flaws), _) if flaws.is_empty() => vec![Flaw::new(
            Kind::SourceAccountOnly,
            "every trail of the account in aws:SourceAccount, in any region, may write here, and anybody there who may make a trail",
        )],
        (None, Some(flaws), _) => flaws,
        (None, None, Some(flaws)) if flaws.is_empty() => vec![Flaw::new(
            Kind::SourceOrganizationOnly,
            "every trail of every member account may write here, and anybody there who may make a trail",
        )],
        (None, None, Some(flaws)) => flaws,
        (None, None, None) => vec![unbound(statement)],
    }
}

fn unbound(statement: &Statement) -> Flaw {
    let about = |condition: &&Condition| KEYS.iter().any(|key| condition.is(key));
    let optional = statement.conditions.iter().filter(about).find(|condition| condition.is_optional());
    match optional.filter(|condition| !condition.operator.negated) {
        Some(Condition { name, key, .. }) => Flaw::new(
            Kind::SourceConditionOptional,
            format!("a request that does not carry {key} passes {name}, so that a trail of anybody's may write here"),
        ),
        None => Flaw::new(
            Kind::ConfusedDeputy,
            "anybody, in any AWS account, can make a trail that writes here: the statement asks neither for aws:SourceArn nor for aws:SourceAccount",
        ),
    }
}

fn arn(condition: &Condition, value: &str, expected: &Expected) -> Option<Flaw> {
    let shown = printable(value, 200);
    if glob::is_wild(value) && !condition.has_globs() {
        let risk = format!(
            "{} compares {shown} letter by letter, which no trail is called, so that CloudTrail cannot deliver by this statement",
            condition.name
        );
        return Some(Flaw::new(Kind::SourceArnLiteral, risk));
    }
    if expected.trails.iter().any(|trail| trail == value) {
        return None;
    }
    let owner = account_of(value);
    let fixed = condition.is_fixed(value);
    let is_trail = value.split(':').nth(2) == Some("cloudtrail");
    match owner {
        Some(account) if !expected.is_ours(account) => {
            let risk =
                format!("{shown} belongs to account {account}, which is none of ours; its owner can fill this bucket");
            Some(Flaw::new(Kind::TrailForeign, risk))
        }
        Some(_) if fixed && is_trail && expected.trails.is_empty() => None,
        Some(account) if fixed => {
            let risk = format!(
                "{shown} is no trail that exists, and whoever may make trails in account {account} can make it be one"
            );
            Some(Flaw::new(Kind::TrailUnknown, risk))
        }
        Some(account) => {
            let risk = format!("{shown} takes in trails of account {account} that nobody has made yet");
            Some(Flaw::new(Kind::SourceArnWide, risk))
        }
        None => {
            let risk = format!("{shown} takes in trails of any AWS account, so that anybody's trail may write here");
            Some(Flaw::new(Kind::SourceArnWide, risk).severity(Severity::High))
        }
    }
}

fn account(condition: &Condition, value: &str, expected: &Expected) -> Option<Flaw> {
    let shown = printable(value, 80);
    match AccountId::parse(value) {
        Ok(account) if expected.is_ours(account) => None,
        Ok(account) => {
            let risk = format!("account {account} is none of ours, and every trail of it may write here");
            Some(Flaw::new(Kind::TrailForeign, risk))
        }
        Err(_) if condition.is_fixed(value) => {
            let risk = format!(
                "{} compares {shown} letter by letter, which no account is called, so that CloudTrail cannot deliver by this statement",
                condition.name
            );
            Some(Flaw::new(Kind::SourceArnLiteral, risk))
        }
        Err(_) => {
            let risk =
                format!("aws:SourceAccount may be anything like {shown}, so that anybody's trail may write here");
            Some(Flaw::new(Kind::ConfusedDeputy, risk))
        }
    }
}

/// An organization's id, or a path that begins with one.
fn organization(condition: &Condition, value: &str, expected: &Expected) -> Option<Flaw> {
    let shown = printable(value, 200);
    let id = value.split('/').next().unwrap_or_default();
    if !condition.is_fixed(id) {
        let risk = format!("{} may be anything like {shown}, so that anybody's trail may write here", condition.key);
        return Some(Flaw::new(Kind::ConfusedDeputy, risk));
    }
    expected.org.as_ref().filter(|org| org.as_str() != id).map(|org| {
        let risk = format!("every trail of organization {} may write here; ours is {org}", printable(id, 80));
        Flaw::new(Kind::TrailForeign, risk)
    })
}

/// Whether another service's statement is held to accounts that are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    Ours,
    /// To this, which is none of ours.
    Foreign(String),
    Loose,
}

pub fn of_service(statement: &Statement, expected: &Expected) -> Bound {
    let pinned =
        |key: &'static str| statement.conditions.iter().filter(move |condition| condition.pins() && condition.is(key));
    let mut answers = Vec::new();
    for condition in pinned(ACCOUNT) {
        answers.push(bound(condition, |value| AccountId::parse(value).ok().map(|account| expected.is_ours(account))));
    }
    for condition in pinned(ARN) {
        // Not every ARN has an account.
        answers.push(bound(condition, |value| account_of(value).map(|account| expected.is_ours(account))));
    }
    for condition in pinned(ORGANIZATION).chain(pinned(PATHS)) {
        answers.push(bound(condition, |value| {
            let id = value.split('/').next().filter(|id| condition.is_fixed(id))?;
            Some(expected.org.as_ref().is_none_or(|org| org.as_str() == id))
        }));
    }
    let foreign = answers.iter().find(|answer| matches!(answer, Bound::Foreign(_)));
    match foreign {
        _ if answers.contains(&Bound::Ours) => Bound::Ours,
        Some(foreign) => foreign.clone(),
        None => Bound::Loose,
    }
}

fn bound(condition: &Condition, is_ours: impl Fn(&str) -> Option<bool>) -> Bound {
    let mut answer = Bound::Ours;
    for value in &condition.values {
        match is_ours(value) {
            Some(true) => {}
            Some(false) => return Bound::Foreign(printable(value, 200)),
            None => answer = Bound::Loose,
        }
    }
    answer
}
