//! Who is a member: the organization as last asked, with the ledger's memory of who was one before.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};

use crate::core::admit::Membership;
use crate::core::finding::Kind;
use crate::core::id::AccountId;
use crate::core::shard::Shard;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::retry::{Policy, retry};
use crate::seam::{DynMembers, Member};
use crate::store::members::{self, Remembered};
use crate::store::{Store, Tx, findings};

/// An account that was asked for in vain is not asked for again before this has passed, and a question that failed is not
/// repeated: a flood of foreign keys must not become a flood of calls.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(60);

pub struct Roster {
    seam: DynMembers,
    store: Store,
    env: Env,
    known: RwLock<BTreeMap<AccountId, Remembered>>,
    asked: Mutex<Option<Asked>>,
    refreshing: tokio::sync::Mutex<()>,
}

/// The last time that the organization was asked for.
#[derive(Clone, Copy)]
struct Asked {
    at: Timestamp,
    answered: bool,
}

impl Roster {
    pub fn new(seam: DynMembers, store: Store) -> Self {
        Self {
            seam,
            env: store.env().clone(),
            store,
            known: RwLock::default(),
            asked: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
        }
    }

    /// What the ledger remembers; the first thing to do.
    pub async fn recall(&self) -> Result<()> {
        let known = self.store.read(members::all).await?;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// Asks for the whole organization. The last list stays in force when that fails.
    pub async fn refresh(&self) -> Result<()> {
        let members = match retry(&self.env, Policy::STEP, || self.seam.all()).await {
            Ok(members) => members,
            Err(error) => {
                self.remember(false);
                return Err(error);
            }
        };
        self.store.write(move |tx| welcome(tx, &members)).await?;
        self.recall().await?;
        // Only now: whoever sees that it was asked a moment ago judges by what it answered.
        self.remember(true);
        Ok(())
    }

    fn remember(&self, answered: bool) {
        let asked = Asked { at: self.env.now(), answered };
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
    }

    /// Refreshes because of one account, unless that was done a moment ago. Whoever comes while somebody asks does not wait:
    /// its message comes again, and its place is free for those whose account is known.
    pub async fn refresh_for(&self, account: AccountId) -> Result<()> {
        let later = |text: &str| Err(Error::transient("members", text.to_owned()));
        let _one_at_a_time = match self.refreshing.try_lock() {
            Ok(turn) => turn,
            // At the first start there is nobody whose place it could take.
            Err(_) if self.knows_nobody() => self.refreshing.lock().await,
            Err(_) => return later("the members are being asked for"),
        };
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match asked.filter(|asked| self.env.now().duration_since(asked.at).abs() < ASK_AGAIN) {
            _ if self.is_member(account) => Ok(()),
            Some(asked) if asked.answered => Ok(()),
            Some(_) => later("the members could not be asked for a moment ago"),
            None => self.refresh().await.map_err(|error| {
                tracing::warn!(error = %error, account.id = %account, "members could not be refreshed; the last list decides");
                if error.is_fatal() { error } else { Error { class: crate::error::Class::TRANSIENT, ..error } }
            }),
        }
    }

    fn knows_nobody(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn is_member(&self, account: AccountId) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&account).is_some_and(|remembered| remembered.membership == Membership::Member)
    }

    /// Runs a judgement over the members as they are known now.
    pub fn look<T>(&self, judge: impl FnOnce(&dyn Fn(AccountId) -> Membership) -> T) -> T {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        judge(&|account| known.get(&account).map_or(Membership::Unknown, |remembered| remembered.membership))
    }

    /// A shard's active members, with when they were first seen.
    pub fn expected(&self, shard: Shard) -> Vec<Remembered> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known
            .values()
            .filter(|remembered| remembered.membership == Membership::Member && remembered.member.state.is_expected())
            .filter(|remembered| shard.holds(remembered.member.account))
            .cloned()
            .collect()
    }
}

/// Writes the members down. Whoever is one is neither foreign nor gone.
fn welcome(tx: &Tx<'_>, list: &[Member]) -> rusqlite::Result<()> {
    members::put(tx, list)?;
    for kind in [Kind::AccountForeign, Kind::AccountDeparted] {
        for (id, subject) in findings::open_of(tx.conn, kind)? {
            let account = subject.rsplit('/').next().unwrap_or_default();
            if list.iter().any(|member| member.account.as_str() == account) {
                findings::resolve_id(tx, &id)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::core::finding::Finding;
    use crate::core::unit::OuPath;
    use crate::seam::{MemberState, Members};

    /// Answers who is in `list`, after `delay`; fails while it is empty.
    #[derive(Default)]
    struct Organization {
        list: Mutex<Vec<&'static str>>,
        delay: std::time::Duration,
        calls: AtomicUsize,
    }

    #[async_trait]
    impl Members for Organization {
        async fn all(&self) -> Result<Vec<Member>> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.delay).await;
            let list = self.list.lock().expect("the list").clone();
            if list.is_empty() {
                return Err(Error::permanent("organizations:ListAccounts", "AccessDenied"));
            }
            let member = |id: &&str| Member {
                account: AccountId::parse(id).expect("an account"),
                name: String::new(),
                ou: OuPath::default(),
                state: MemberState::Active,
                joined: None,
            };
            Ok(list.iter().map(member).collect())
        }
    }

    async fn roster(organization: &Arc<Organization>, dir: &tempfile::TempDir) -> Roster {
        let env = Env::manual("2026-03-03T00:00:00Z".parse().expect("a time"), 1);
        let store = Store::open(&dir.path().join("state.db"), &env).await.expect("a ledger");
        Roster::new(organization.clone(), store)
    }

    fn account(id: &str) -> AccountId {
        AccountId::parse(id).expect("an account")
    }

    #[tokio::test]
    async fn a_question_that_failed_is_not_repeated_at_once_and_decides_nothing() {
        let (organization, dir) = (Arc::<Organization>::default(), tempfile::tempdir().expect("a directory"));
        let roster = roster(&organization, &dir).await;
        for _ in 0..5 {
            let error = roster.refresh_for(account("111122223333")).await.expect_err("nobody answers");
            assert!(matches!(error.class, crate::error::Class::Transient { .. }), "{error}");
        }
        assert_eq!(organization.calls.load(Ordering::Relaxed), 1);
        organization.list.lock().expect("the list").push("111122223333");
        roster.env.advance(ASK_AGAIN);
        roster.refresh_for(account("111122223333")).await.expect("it answers");
        assert!(roster.is_member(account("111122223333")));
    }

    #[tokio::test]
    async fn nobody_waits_for_another_ones_question_but_at_the_first_start() {
        let delay = std::time::Duration::from_millis(50);
        let organization =
            Arc::new(Organization { list: Mutex::new(vec!["111122223333"]), delay, ..Default::default() });
        let dir = tempfile::tempdir().expect("a directory");
        let roster = roster(&organization, &dir).await;
        let (first, second) =
            tokio::join!(roster.refresh_for(account("111122223333")), roster.refresh_for(account("444455556666")));
        assert!(first.is_ok() && second.is_ok(), "nobody is known yet: both are answered");
        assert_eq!(organization.calls.load(Ordering::Relaxed), 1);
        roster.env.advance(ASK_AGAIN);
        let (first, second) =
            tokio::join!(roster.refresh_for(account("777788889999")), roster.refresh_for(account("444455556666")));
        first.expect("it is answered");
        second.expect_err("it comes again");
        assert_eq!(organization.calls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn one_who_comes_back_is_asked_about_and_foreign_no_more() {
        let organization =
            Arc::new(Organization { list: Mutex::new(vec!["111122223333", "444455556666"]), ..Default::default() });
        let dir = tempfile::tempdir().expect("a directory");
        let roster = roster(&organization, &dir).await;
        roster.refresh().await.expect("an answer");
        organization.list.lock().expect("the list").pop();
        roster.refresh().await.expect("an answer");
        let foreign = Finding::new(Kind::AccountForeign, "b/444455556666", "it left");
        roster.store.write(move |tx| findings::raise(tx, &foreign)).await.expect("a step");
        organization.list.lock().expect("the list").push("444455556666");
        roster.env.advance(ASK_AGAIN);
        roster.refresh_for(account("444455556666")).await.expect("an answer");
        assert!(roster.is_member(account("444455556666")));
        let open = roster.store.read(|conn| findings::open_of(conn, Kind::AccountForeign)).await.expect("a look");
        assert!(open.is_empty());
    }
}
