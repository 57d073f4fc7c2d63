//! The members of the organization and their places in its tree, from AWS Organizations.
//!
//! A walk asks for the roots, for the units and accounts right under each unit, and at last for all accounts: these are the
//! members, and the tree says where they are. A call that is throttled ends the question and not the walk: the next question
//! goes on where it stopped. So a large organization is read to its end however often it says to slow down.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_organizations::Client;
use aws_sdk_organizations::types::Account;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::class::failed;
use crate::core::id::{AccountId, OrgId};
use crate::core::unit::{OuPath, Unit};
use crate::error::{Error, Result};
use crate::seam::{Member, MemberState, Members};

const OP: &str = "organizations:ListAccounts";
/// The most that Organizations gives in a page (API reference: ListAccounts).
const PAGE: i32 = 20;
/// More pages than any organization has: an answer that never ends must not hang the warden.
const MOST_PAGES: usize = 40_000;
/// A walk that was interrupted goes on for so long; then what it knows is too old.
const WALK: Duration = Duration::from_secs(600);
/// Levels of units under the root (Organizations user guide: quotas say five).
const DEEPEST: usize = 20;

#[derive(Debug)]
pub struct Organization {
    client: Client,
    expected: Option<OrgId>,
    walk: Mutex<Option<Walk>>,
}

/// A question with pages.
#[derive(Debug, Clone)]
enum Ask {
    /// Whether it is the organization that is meant.
    Identity(OrgId),
    Roots,
    /// The units right under one.
    Units(String),
    /// The accounts right under one.
    Accounts(String),
    Everybody,
    /// The unit of an account that the walk did not come across: it moved meanwhile.
    Parent(AccountId),
}

/// How far a walk has come.
#[derive(Debug)]
struct Walk {
    began: Instant,
    pages: usize,
    /// What is still to be asked, the last one first, each with the token of its next page.
    open: Vec<(Ask, Option<String>)>,
    /// Each unit with the id of the one above it.
    units: BTreeMap<String, (Unit, Option<String>)>,
    /// The unit that an account lies in.
    places: BTreeMap<AccountId, String>,
    members: BTreeMap<AccountId, Member>,
    /// The tree may not be looked at; the accounts may.
    flat: bool,
}

/// What a page brought.
#[derive(Default)]
struct Page {
    next: Option<String>,
    /// To be asked before what is open.
    more: Vec<Ask>,
}

impl Organization {
    pub(super) fn new(client: Client) -> Self {
        Self { client, expected: None, walk: Mutex::default() }
    }

    /// Answers only for this organization: the members of another one would make ours foreign.
    #[must_use]
    pub fn expecting(mut self, id: Option<OrgId>) -> Self {
        self.expected = id;
        self
    }

    fn begin(&self) -> Walk {
        let mut open = vec![(Ask::Everybody, None), (Ask::Roots, None)];
        open.extend(self.expected.clone().map(|id| (Ask::Identity(id), None)));
        Walk {
            began: Instant::now(),
            pages: 0,
            open,
            units: BTreeMap::new(),
            places: BTreeMap::new(),
            members: BTreeMap::new(),
            flat: false,
        }
    }

    /// Asks until nothing is open. An error leaves the walk as it was before the call.
    async fn go(&self, walk: &mut Walk) -> Result<()> {
        while let Some((ask, token)) = walk.open.last().cloned() {
            if walk.pages == MOST_PAGES {
                return Err(Error::permanent(OP, "the organization does not end"));
            }
            let page = match self.page(walk, &ask, token).await {
                Err(error) if ask.is_of_the_tree() && error.code.as_deref() == Some("AccessDeniedException") => {
                    tracing::debug!(error = %error, "the tree may not be looked at; accounts are known without their units");
                    walk.flat = true;
                    walk.places.clear();
                    walk.open.retain(|(ask, _)| !ask.is_of_the_tree());
                    continue;
                }
                page => page?,
            };
            walk.pages += 1;
            walk.open.pop();
            // Only a null token ends a list: pages may be empty and more may follow (API reference: ListAccounts).
            walk.open.extend(page.next.map(|token| (ask, Some(token))));
            walk.open.extend(page.more.into_iter().map(|ask| (ask, None)));
        }
        Ok(())
    }

    async fn page(&self, walk: &mut Walk, ask: &Ask, token: Option<String>) -> Result<Page> {
        match ask {
            Ask::Identity(expected) => self.identity(expected).await,
            Ask::Roots => self.roots(walk, token).await,
            Ask::Units(parent) => self.units(walk, parent, token).await,
            Ask::Accounts(parent) => self.accounts(walk, parent, token).await,
            Ask::Everybody => self.everybody(walk, token).await,
            Ask::Parent(account) => self.parent(walk, *account).await,
        }
    }

    async fn identity(&self, expected: &OrgId) -> Result<Page> {
        const OP: &str = "organizations:DescribeOrganization";
        let answer = self.client.describe_organization().send().await;
        let answer = match answer.map_err(|error| failed(OP, &error)) {
            // Whoever may list the accounts need not be allowed to ask which organization they are of.
            Err(error) if error.code.as_deref() == Some("AccessDeniedException") => return Ok(Page::default()),
            answer => answer?,
        };
        match answer.organization().and_then(|organization| organization.id()) {
            Some(id) if id != expected.as_str() => {
                let id = crate::core::printable(id, 80);
                Err(Error::permanent(OP, format!("the credentials are of organization {id}, configured is {expected}")))
            }
            _ => Ok(Page::default()),
        }
    }

    async fn roots(&self, walk: &mut Walk, token: Option<String>) -> Result<Page> {
        let asked = self.client.list_roots().max_results(PAGE).set_next_token(token).send().await;
        let answer = asked.map_err(|error| failed("organizations:ListRoots", &error))?;
        let more = answer.roots().iter().filter_map(|root| walk.meet(root.id(), root.name(), None)).flatten().collect();
        Ok(Page { next: answer.next_token, more })
    }

    async fn units(&self, walk: &mut Walk, parent: &str, token: Option<String>) -> Result<Page> {
        let asked = self.client.list_organizational_units_for_parent().parent_id(parent).max_results(PAGE);
        let asked = asked.set_next_token(token).send().await;
        let answer = asked.map_err(|error| failed("organizations:ListOrganizationalUnitsForParent", &error))?;
        let units = answer.organizational_units().iter();
        let more = units.filter_map(|unit| walk.meet(unit.id(), unit.name(), Some(parent))).flatten().collect();
        Ok(Page { next: answer.next_token, more })
    }

    async fn accounts(&self, walk: &mut Walk, parent: &str, token: Option<String>) -> Result<Page> {
        const OP: &str = "organizations:ListAccountsForParent";
        let asked = self.client.list_accounts_for_parent().parent_id(parent).max_results(PAGE);
        let answer = asked.set_next_token(token).send().await.map_err(|error| failed(OP, &error))?;
        for account in answer.accounts() {
            walk.places.insert(id(account)?, parent.to_owned());
        }
        Ok(Page { next: answer.next_token, more: Vec::new() })
    }

    async fn everybody(&self, walk: &mut Walk, token: Option<String>) -> Result<Page> {
        let asked = self.client.list_accounts().max_results(PAGE).set_next_token(token).send().await;
        let answer = asked.map_err(|error| failed(OP, &error))?;
        let mut more = Vec::new();
        for account in answer.accounts() {
            let member = member(account)?;
            if !walk.flat && !walk.places.contains_key(&member.account) {
                more.push(Ask::Parent(member.account));
            }
            walk.members.insert(member.account, member);
        }
        Ok(Page { next: answer.next_token, more })
    }

    async fn parent(&self, walk: &mut Walk, account: AccountId) -> Result<Page> {
        const OP: &str = "organizations:ListParents";
        let answer = match self
            .client
            .list_parents()
            .child_id(account.as_str())
            .send()
            .await
            .map_err(|error| failed(OP, &error))
        {
            Err(error) if error.code.as_deref() == Some("ChildNotFoundException") => {
                walk.members.remove(&account);
                return Ok(Page::default());
            }
            answer => answer?,
        };
        // In a unit that was made meanwhile its place is not known; the next walk comes across both.
        let parent = answer.parents().first().and_then(|parent| parent.id());
        walk.places.extend(parent.map(|parent| (account, parent.to_owned())));
        Ok(Page::default())
    }
}

impl Ask {
    fn is_of_the_tree(&self) -> bool {
        matches!(self, Self::Roots | Self::Units(_) | Self::Accounts(_) | Self::Parent(_))
    }
}

impl Walk {
    fn is_fresh(&self) -> bool {
        self.began.elapsed() < WALK
    }

    /// Writes a unit down; what is to be asked of it, at the first time.
    fn meet(&mut self, id: Option<&str>, name: Option<&str>, above: Option<&str>) -> Option<[Ask; 2]> {
        let (id, name) = (id?.to_owned(), name.unwrap_or_default().to_owned());
        let known = self.units.insert(id.clone(), (Unit { id: id.clone(), name }, above.map(str::to_owned)));
        known.is_none().then(|| [Ask::Units(id.clone()), Ask::Accounts(id)])
    }

    fn path(&self, account: AccountId) -> OuPath {
        let (mut units, mut next) = (Vec::new(), self.places.get(&account));
        while let Some((unit, above)) = next.and_then(|id| self.units.get(id)).filter(|_| units.len() < DEEPEST) {
            units.push(unit.clone());
            next = above.as_ref();
        }
        units.reverse();
        OuPath::new(units)
    }

    fn members(&self) -> Result<Vec<Member>> {
        whole(self.members.values().map(|member| Member { ou: self.path(member.account), ..member.clone() }).collect())
    }
}

#[async_trait]
impl Members for Organization {
    async fn all(&self) -> Result<Vec<Member>> {
        let mut kept = self.walk.lock().await;
        let mut walk = kept.take().filter(Walk::is_fresh).unwrap_or_else(|| self.begin());
        match self.go(&mut walk).await {
            Ok(()) => walk.members(),
            Err(error) => {
                // What was refused is asked anew from the beginning: a token may have grown old, or a unit be gone.
                *kept = error.is_transient().then_some(walk);
                Err(error)
            }
        }
    }
}

/// Every organization has a management account, so nobody at all is no answer.
fn whole(members: Vec<Member>) -> Result<Vec<Member>> {
    if members.is_empty() { Err(Error::transient(OP, "the list of accounts is empty")) } else { Ok(members) }
}

fn id(account: &Account) -> Result<AccountId> {
    AccountId::parse(account.id().unwrap_or_default()).map_err(|bad| Error::permanent(OP, bad))
}

/// `State` replaces `Status` (retired in September 2026); stand-ins and older partitions have only the latter.
fn member(account: &Account) -> Result<Member> {
    let status = account.status().map(|status| status.as_str());
    let state = account.state().map(|state| state.as_str()).or(status).unwrap_or_default();
    Ok(Member {
        account: id(account)?,
        name: account.name().unwrap_or_default().to_owned(),
        ou: OuPath::default(),
        state: MemberState::parse(state),
        joined: account.joined_timestamp().and_then(|at| Timestamp::new(at.secs(), 0).ok()),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_organizations::types::{AccountState, AccountStatus};

    use super::*;

    fn state(state: Option<&str>, status: Option<&str>) -> MemberState {
        let account = Account::builder()
            .id("012345678901")
            .set_state(state.map(AccountState::from))
            .set_status(status.map(AccountStatus::from))
            .build();
        member(&account).unwrap().state
    }

    #[test]
    fn state_goes_before_status_and_the_unknown_is_active() {
        assert_eq!(state(Some("PENDING_CLOSURE"), Some("ACTIVE")), MemberState::PendingClosure);
        assert_eq!(state(Some("CLOSED"), Some("SUSPENDED")), MemberState::Closed);
        assert_eq!(state(None, Some("SUSPENDED")), MemberState::Suspended);
        assert_eq!(state(Some("HIBERNATING"), Some("SUSPENDED")), MemberState::Active);
        assert_eq!(state(None, None), MemberState::Active);
    }

    #[test]
    fn an_account_without_twelve_digits_spoils_the_whole_answer() {
        assert!(!member(&Account::builder().id("12").build()).unwrap_err().is_transient());
        assert!(whole(Vec::new()).is_err());
    }
}
