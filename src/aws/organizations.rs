//! The members of the organization, from AWS Organizations.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_organizations::Client;
use aws_sdk_organizations::types::Account;
use jiff::Timestamp;

use super::class::failed;
use crate::core::id::AccountId;
use crate::error::{Error, Result};
use crate::seam::{Member, MemberState, Members};

const OP: &str = "organizations:ListAccounts";
/// The most that Organizations gives in a page (API reference: ListAccounts).
const PAGE: i32 = 20;
/// More pages than any organization has: an answer that never ends must not hang the warden.
const MOST_PAGES: usize = 20_000;

#[derive(Debug, Clone)]
pub struct Organization {
    client: Client,
}

impl Organization {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Members for Organization {
    async fn all(&self) -> Result<Vec<Member>> {
        let mut members = BTreeMap::new();
        let mut token = None;
        for _ in 0..MOST_PAGES {
            let answer = self
                .client
                .list_accounts()
                .max_results(PAGE)
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| failed(OP, &error))?;
            for account in answer.accounts() {
                let member = member(account)?;
                members.insert(member.account, member);
            }
            // Only a null token ends the list: pages may be empty and more may follow (API reference: ListAccounts).
            token = answer.next_token;
            if token.is_none() {
                return whole(members.into_values().collect());
            }
        }
        Err(Error::transient(OP, "the list of accounts does not end"))
    }
}

/// Every organization has a management account, so nobody at all is no answer.
fn whole(members: Vec<Member>) -> Result<Vec<Member>> {
    if members.is_empty() { Err(Error::transient(OP, "the list of accounts is empty")) } else { Ok(members) }
}

/// `State` replaces `Status` (retired in September 2026); stand-ins and older partitions have only the latter.
fn member(account: &Account) -> Result<Member> {
    let status = account.status().map(|status| status.as_str());
    let state = account.state().map(|state| state.as_str()).or(status).unwrap_or_default();
    Ok(Member {
        account: AccountId::parse(account.id().unwrap_or_default()).map_err(|bad| Error::permanent(OP, bad))?,
        name: account.name().unwrap_or_default().to_owned(),
        ou: None,
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
