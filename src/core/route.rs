//! Which channels hear of a finding: the first route that matches it, top to bottom.

use std::time::Duration;

use crate::core::finding::{Class, Held, Kind, Severity};
use crate::core::id::AccountId;

/// What a route applies to. An empty list and `None` ask nothing; all that is asked must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    pub class: Vec<Class>,
    pub kind: Vec<Kind>,
    pub severity_at_least: Option<Severity>,
    /// A finding about no account matches no list of accounts.
    pub account: Vec<AccountId>,
}

impl Match {
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    pub fn takes(&self, finding: &Held) -> bool {
        (self.class.is_empty() || self.class.contains(&finding.class))
            && (self.kind.is_empty() || self.kind.contains(&finding.kind))
            && self.severity_at_least.is_none_or(|least| finding.severity >= least)
            && (self.account.is_empty() || finding.account.is_some_and(|account| self.account.contains(&account)))
    }
}

/// After how long, and to which channels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Escalation {
    pub after: Duration,
    pub to: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    pub matches: Match,
    /// Names of channels.
    pub to: Vec<String>,
    /// Tell again after this long while the finding is open; `None` tells once.
    pub repeat: Option<Duration>,
    /// Who else is told of what nobody acknowledged.
    pub escalation: Option<Escalation>,
    /// Whether the end of a finding is told too, and that somebody is on it.
    pub resolved: bool,
}

impl Route {
    /// Every channel that it names.
    pub fn channels(&self) -> impl Iterator<Item = &String> {
        self.to.iter().chain(self.escalation.iter().flat_map(|escalation| &escalation.to))
    }
}

/// The first route that takes the finding; later ones are not asked.
pub fn plan<'a>(routes: &'a [Route], finding: &Held) -> Option<&'a Route> {
    routes.iter().find(|route| route.matches.takes(finding))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::core::finding::Finding;

    fn held(kind: Kind, severity: Severity, account: Option<&str>) -> Held {
        let mut finding = Finding::new(kind, "subject", "").severity(severity);
        finding.account = account.map(|text| AccountId::parse(text).unwrap());
        finding.held(Timestamp::UNIX_EPOCH)
    }

    fn route(matches: Match, to: &str) -> Route {
        Route { matches, to: vec![to.into()], resolved: true, ..Route::default() }
    }

    fn told<'a>(routes: &'a [Route], finding: &Held) -> Option<&'a str> {
        plan(routes, finding).map(|route| route.to[0].as_str())
    }

    #[test]
    fn the_first_match_wins_and_no_match_is_no_route() {
        let integrity = route(Match { class: vec![Class::Integrity], ..Match::default() }, "oncall");
        let all = route(Match::default(), "all");
        let modified = held(Kind::LogModified, Severity::Critical, None);
        let silent = held(Kind::AccountSilent, Severity::High, None);
        let routes = [integrity.clone(), all.clone()];
        assert_eq!(told(&routes, &modified), Some("oncall"));
        assert_eq!(told(&routes, &silent), Some("all"));
        assert_eq!(told(&[all, integrity.clone()], &modified), Some("all"));
        assert_eq!(told(&[integrity], &silent), None);
    }

    #[test]
    fn all_that_is_asked_must_hold() {
        let account = AccountId::parse("111122223333").unwrap();
        let narrow = Match {
            class: vec![Class::Delivery, Class::Integrity],
            kind: vec![Kind::AccountSilent, Kind::LogModified],
            severity_at_least: Some(Severity::High),
            account: vec![account],
        };
        let ours = Some("111122223333");
        assert!(narrow.takes(&held(Kind::AccountSilent, Severity::High, ours)));
        assert!(narrow.takes(&held(Kind::LogModified, Severity::Critical, ours)));
        assert!(!narrow.takes(&held(Kind::AccountSilent, Severity::Medium, ours)), "severity");
        assert!(!narrow.takes(&held(Kind::RegionSilent, Severity::High, ours)), "kind");
        assert!(!narrow.takes(&held(Kind::AccountSilent, Severity::High, Some("444455556666"))), "account");
        assert!(!narrow.takes(&held(Kind::AccountSilent, Severity::High, None)), "no account");
        let class = Match { class: vec![Class::Operation], ..narrow };
        assert!(!class.takes(&held(Kind::AccountSilent, Severity::High, ours)), "class");
        assert!(!class.is_everything());
        assert!(Match::default().is_everything());
    }
}
