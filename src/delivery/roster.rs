//! Who is a member: the organization as last asked, with the ledger's memory of who was one before.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};

use crate::core::admit::Membership;
use crate::core::id::AccountId;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::retry::{Policy, retry};
use crate::seam::DynMembers;
use crate::store::Store;
use crate::store::lists::{self, Remembered};

/// An account that was asked for in vain is not asked for again before this has passed: a flood of foreign keys must not
/// become a flood of calls.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(60);

pub struct Roster {
    seam: DynMembers,
    store: Store,
    env: Env,
    known: RwLock<BTreeMap<AccountId, Remembered>>,
    asked: Mutex<Option<Timestamp>>,
    refreshing: tokio::sync::Mutex<()>,
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
        let known = self.store.read(lists::members).await?;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// Asks for the whole organization. The last list stays in force when that fails.
    pub async fn refresh(&self) -> Result<()> {
        let members = retry(&self.env, Policy::STEP, || self.seam.all()).await?;
        self.store.write(move |tx| lists::put_members(tx, &members)).await?;
        self.recall().await?;
        // Only now: whoever sees that it was asked a moment ago judges by what it answered.
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.env.now());
        Ok(())
    }

    /// Refreshes because of one account, unless that was done a moment ago.
    pub async fn refresh_for(&self, account: AccountId) -> Result<()> {
        let _one_at_a_time = self.refreshing.lock().await;
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let recently = asked.is_some_and(|at| self.env.now().duration_since(at).abs() < ASK_AGAIN);
        if recently || self.is_known(account) {
            return Ok(());
        }
        match self.refresh().await {
            Ok(()) => Ok(()),
            Err(error) if self.is_empty() => Err(Error { class: crate::error::Class::TRANSIENT, ..error }),
            Err(error) => {
                tracing::warn!(error = %error, account.id = %account, "members could not be refreshed; the last list decides");
                Err(Error { class: crate::error::Class::TRANSIENT, ..error })
            }
        }
    }

    fn is_known(&self, account: AccountId) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).contains_key(&account)
    }

    pub fn is_empty(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Runs a judgement over the members as they are known now.
    pub fn look<T>(&self, judge: impl FnOnce(&dyn Fn(AccountId) -> Membership) -> T) -> T {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        judge(&|account| known.get(&account).map_or(Membership::Unknown, |remembered| remembered.membership))
    }

    /// Active members, with when they were first seen.
    pub fn expected(&self) -> Vec<Remembered> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known
            .values()
            .filter(|remembered| remembered.membership == Membership::Member && remembered.member.state.is_expected())
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;

    use super::*;
    use crate::seam::{Member, MemberState, Members};

    struct One(AccountId);

    #[async_trait]
    impl Members for One {
        async fn all(&self) -> Result<Vec<Member>> {
            let state = MemberState::Active;
            Ok(vec![Member { account: self.0, name: "one".into(), ou: None, state, joined: None }])
        }
    }

    /// At the first start messages come while the members are asked for: a member must not be taken for a stranger then.
    #[tokio::test]
    async fn nobody_is_judged_by_a_list_that_is_not_known_yet() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state.db"), &Env::system()).await.unwrap();
        let account = AccountId::parse("111122223333").unwrap();
        let roster = Roster::new(Arc::new(One(account)), store);
        let judged = async {
            while roster.asked.lock().unwrap().is_none() {
                tokio::task::yield_now().await;
            }
            roster.refresh_for(account).await.unwrap();
            roster.is_known(account)
        };
        let (refreshed, known) = tokio::join!(roster.refresh(), judged);
        assert!(refreshed.is_ok() && known);
    }
}
