//! Members: who should deliver and never did, and who left and need not.

use std::collections::HashSet;

use jiff::Timestamp;

use super::Sweep;
use crate::core::admit::Membership;
use crate::core::chain::HOUR;
use crate::core::finding::{Finding, Kind};
use crate::core::id::AccountId;
use crate::error::Result;
use crate::store::{findings, objects};
use crate::trail::{Trail, Validation};

impl Sweep {
    /// Active members of which nothing was ever seen.
    pub(super) async fn uncovered(&self, trail: &Trail, now: Timestamp, alive: &HashSet<AccountId>) -> Result<()> {
        if trail.validation == Validation::None || alive.is_empty() {
            // Nobody delivers: that is told as silence, not account by account.
            return Ok(());
        }
        let seen: HashSet<String> = self.deliveries.store.read(objects::accounts_seen).await?.into_iter().collect();
        let (expected, grace) = (self.deliveries.roster.expected(), self.grace);
        self.commit(move |tx| {
            let mut news = Vec::new();
            for (id, subject) in findings::open_of(tx.conn, Kind::AccountUncovered)? {
                if expected.iter().all(|remembered| remembered.member.account.as_str() != subject) {
                    findings::resolve_id(tx, &id)?;
                }
            }
            for remembered in expected {
                let account = remembered.member.account;
                let subject = account.to_string();
                if seen.contains(&subject) {
                    findings::resolve(tx, Kind::AccountUncovered, &subject)?;
                } else if remembered.first_seen + HOUR + grace <= now {
                    let name = crate::core::printable(&remembered.member.name, 80);
                    let detail = format!("{name} is an active member, and no log or digest of it has been seen");
                    let finding = Finding::new(Kind::AccountUncovered, subject, detail).account(account);
                    if findings::hold(tx, &finding)? {
                        news.push(finding.kind);
                    }
                }
            }
            Ok(news)
        })
        .await
    }

    /// The note of an account's late files ends with the time for which those are believed.
    pub(super) async fn departed(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        let (grace, ours) = (trail.rules().departed_grace, format!("{}/", trail.name_or("")));
        let open = self.deliveries.store.read(|conn| findings::open_of(conn, Kind::AccountDeparted)).await?;
        let over = self.deliveries.roster.look(|membership| {
            let is_over = |subject: &str| {
                let account = subject.strip_prefix(&ours).and_then(|account| AccountId::parse(account).ok());
                matches!(account.map(membership), Some(Membership::Departed(last)) if last + grace < now)
            };
            open.into_iter().filter(|(_, subject)| is_over(subject)).map(|(id, _)| id).collect::<Vec<_>>()
        });
        if over.is_empty() {
            return Ok(());
        }
        self.commit(move |tx| {
            for id in over {
                findings::resolve_id(tx, &id)?;
            }
            Ok(vec![])
        })
        .await
    }
}
