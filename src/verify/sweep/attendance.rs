//! Members: who lacks a region that most others have, and who left and need not deliver.

use std::collections::{BTreeSet, HashSet};

use jiff::Timestamp;
use rusqlite::Connection;

use super::Sweep;
use crate::core::admit::Membership;
use crate::core::chain::HOUR;
use crate::core::finding::{Finding, Kind, Severity};
use crate::core::id::AccountId;
use crate::error::Result;
use crate::seam::Member;
use crate::store::{coverage, findings};
use crate::trail::Trail;

impl Sweep {
    /// Active members that deliver, and never did from a region from which most members deliver.
    pub(super) async fn uncovered_regions(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        let (source, ours, due) = (trail.id, super::subject(trail, &""), (now - HOUR - self.grace).as_second());
        let expected = self.deliveries.roster.expected();
        let look = move |conn: &Connection| {
            let mut common = coverage::common(conn, source)?;
            common.retain(|(_, since)| *since <= due);
            let mut uncovered = Vec::new();
            for remembered in expected.iter().filter(|remembered| remembered.first_seen.as_second() <= due) {
                let has = coverage::places(conn, source, remembered.member.account)?;
                let lacks: BTreeSet<&str> = common
                    .iter()
                    .filter(|(lane, _)| !has.contains(lane))
                    .map(|(lane, _)| lane.region.as_str())
                    .collect();
                if !has.is_empty() && !lacks.is_empty() {
                    let lacks: Vec<&str> = lacks.into_iter().collect();
                    uncovered.push((remembered.member.clone(), lacks.join(", ")));
                }
            }
            Ok(uncovered)
        };
        let uncovered = self.deliveries.store.read(look).await?;
        self.commit(move |tx| {
            let mut news = Vec::new();
            let subject = |member: &Member| format!("{ours}{}", member.account);
            let still: HashSet<String> = uncovered.iter().map(|(member, _)| subject(member)).collect();
            for (id, subject) in findings::open_of(tx.conn, Kind::AccountUncovered)? {
                if subject.starts_with(&ours) && !still.contains(&subject) {
                    findings::resolve_id(tx, &id)?;
                }
            }
            for (member, regions) in &uncovered {
                let name = crate::core::printable(&member.name, 80);
                let detail = format!("{name} has never delivered from {regions}, as most members do");
                let finding = Finding::new(Kind::AccountUncovered, subject(member), detail).account(member.account);
                if findings::hold(tx, &finding.severity(Severity::Medium))? {
                    news.push(Kind::AccountUncovered);
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
