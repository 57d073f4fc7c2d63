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

/// How a statement that trusts CloudTrail falls short of naming the trail; `act` is what it lets CloudTrail do.
pub fn of_trail(statement: &Statement, expected: &Expected, act: &str) -> Vec<Flaw> {
    let judge = Judge { expected, act };
    let judged = |key: &str, judge: &dyn Fn(&Condition, &str) -> Option<Flaw>| {
        let conditions = statement.conditions.iter().filter(|condition| condition.pins() && condition.is(key));
        let flaws = |condition: &Condition| -> Vec<Flaw> {
            condition.values.iter().filter_map(|value| judge(condition, value)).collect()
        };
        // They are all asked for, so the strictest decides.
        conditions.map(flaws).min_by_key(Vec::len)
    };
    let arn = judged(ARN, &|condition, value| judge.arn(condition, value));
    let account = judged(ACCOUNT, &|condition, value| judge.account(condition, value));
    let organization = |key: &str| judged(key, &|condition, value| judge.organization(condition, value));
    let organization = organization(ORGANIZATION).or_else(|| organization(PATHS));
    let wide = |flaws: &[Flaw]| flaws.iter().all(|flaw| flaw.kind == Kind::SourceArnWide);
    match (arn, account, organization) {
        // A pattern that is held to accounts of ours by another condition.
        (Some(flaws), Some(account), _) if wide(&flaws) && account.is_empty() => {
            flaws.into_iter().map(|flaw| flaw.severity(Severity::Low)).collect()
        }
        (Some(flaws), _, _) => flaws,
        (None, Some(flaws), _) if flaws.is_empty() => {
            let risk = format!(
                "every trail of the account in aws:SourceAccount, of any region, may {act}, and whoever may make a trail there can make one more"
            );
            vec![Flaw::new(Kind::SourceAccountOnly, risk)]
        }
        (None, Some(flaws), _) => flaws,
        (None, None, Some(flaws)) if flaws.is_empty() => {
            let risk = format!(
                "every trail of every member account may {act}, and whoever may make a trail in one of them can make one more"
            );
            vec![Flaw::new(Kind::SourceOrganizationOnly, risk)]
        }
        (None, None, Some(flaws)) => flaws,
        (None, None, None) => vec![judge.unbound(statement)],
    }
}

struct Judge<'e> {
    expected: &'e Expected,
    act: &'e str,
}

impl Judge<'_> {
    fn unbound(&self, statement: &Statement) -> Flaw {
        let act = self.act;
        let about = |condition: &&Condition| KEYS.iter().any(|key| condition.is(key));
        let mut optional = statement.conditions.iter().filter(about).filter(|condition| condition.is_optional());
        match optional.find(|condition| !condition.operator.negated) {
            Some(Condition { name, key, .. }) => {
                let risk =
                    format!("a request that does not carry {key} passes {name}, so that anybody's trail may {act}");
                Flaw::new(Kind::SourceConditionOptional, risk)
            }
            None => {
                let risk = format!(
                    "anybody's trail, of any AWS account, may {act}: the statement asks neither for aws:SourceArn nor for aws:SourceAccount"
                );
                Flaw::new(Kind::ConfusedDeputy, risk)
            }
        }
    }

    fn arn(&self, condition: &Condition, value: &str) -> Option<Flaw> {
        let (shown, act) = (printable(value, 200), self.act);
        if glob::is_wild(value) && !condition.has_globs() {
            return Some(literal(condition, &shown, "trail"));
        }
        if self.expected.trails.iter().any(|trail| trail == value) {
            return None;
        }
        let fixed = condition.is_fixed(value);
        let is_trail = value.split(':').nth(2) == Some("cloudtrail");
        match account_of(value) {
            Some(account) if !self.expected.is_ours(account) => {
                let risk = format!("{shown} may {act}, and belongs to account {account}, which is none of ours");
                Some(Flaw::new(Kind::TrailForeign, risk))
            }
            Some(_) if fixed && is_trail && self.expected.trails.is_empty() => None,
            Some(account) if fixed => {
                let risk = format!(
                    "{shown} may {act} and is no trail that exists: whoever may make trails in account {account} can make it be one"
                );
                Some(Flaw::new(Kind::TrailUnknown, risk))
            }
            Some(account) => {
                let risk =
                    format!("{shown} may {act}, which takes in trails of account {account} that nobody has made yet");
                Some(Flaw::new(Kind::SourceArnWide, risk))
            }
            None => {
                let risk = format!("{shown} may {act}, which takes in trails of any AWS account");
                Some(Flaw::new(Kind::SourceArnWide, risk).severity(Severity::High))
            }
        }
    }

    fn account(&self, condition: &Condition, value: &str) -> Option<Flaw> {
        let (shown, act) = (printable(value, 80), self.act);
        match AccountId::parse(value) {
            Ok(account) if self.expected.is_ours(account) => None,
            Ok(account) => {
                let risk = format!("every trail of account {account} may {act}, and that is none of ours");
                Some(Flaw::new(Kind::TrailForeign, risk))
            }
            Err(_) if condition.is_fixed(value) => Some(literal(condition, &shown, "account")),
            Err(_) => {
                let risk = format!("every trail of an account like {shown} may {act}, so that anybody's may");
                Some(Flaw::new(Kind::ConfusedDeputy, risk))
            }
        }
    }

    /// An organization's id, or a path that begins with one.
    fn organization(&self, condition: &Condition, value: &str) -> Option<Flaw> {
        let (id, act) = (value.split('/').next().unwrap_or_default(), self.act);
        let shown = printable(id, 80);
        if !condition.is_fixed(id) {
            let risk = format!("every trail of an organization like {shown} may {act}, so that anybody's may");
            return Some(Flaw::new(Kind::ConfusedDeputy, risk));
        }
        self.expected.org.as_ref().filter(|org| org.as_str() != id).map(|org| {
            let risk = format!("every trail of organization {shown} may {act}; ours is {org}");
            Flaw::new(Kind::TrailForeign, risk)
        })
    }
}

fn literal(condition: &Condition, shown: &str, what: &str) -> Flaw {
    let risk = format!(
        "{} compares {shown} letter by letter, which no {what} is called, so that CloudTrail cannot deliver by this statement",
        condition.name
    );
    Flaw::new(Kind::SourceArnLiteral, risk)
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
