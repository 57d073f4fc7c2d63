//! Members: who lacks a region that most others have, and who left and need not deliver.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::Connection;

use super::Sweep;
use super::uncovered::ASKED_FOR;
use crate::core::admit::Membership;
use crate::core::chain::HOUR;
use crate::core::finding::{Finding, Kind, Severity};
use crate::core::id::AccountId;
use crate::core::key::Root;
use crate::core::printable;
use crate::error::Result;
use crate::seam::Member;
use crate::store::members::Remembered;
use crate::store::{coverage, findings, places};
use crate::trail::Trail;

impl Sweep {
    /// Active members that deliver, and never did from a region from which most members deliver.
    pub(super) async fn uncovered_regions(&self, trail: &Trail, now: Timestamp) -> Result<()> {
        let ours = super::subject(trail, &"");
        let subject = |member: &Member| format!("{ours}{}", member.account);
        let mut told = self.deliveries.store.read(|conn| findings::open_of(conn, Kind::AccountUncovered)).await?;
        told.retain(|(_, subject)| subject.starts_with(&ours));
        let is_told = |member: &Member| told.iter().any(|(_, of)| *of == subject(member));
        let lacking = self.lacking(trail, now).await?;
        let fresh = lacking.iter().map(|(remembered, _)| remembered).filter(|remembered| !is_told(&remembered.member));
        let asked = self.asked_where_seen(trail, now, fresh.take(ASKED_FOR).cloned().collect()).await?;
        // Asking may have brought them.
        let lacking = if asked.is_empty() { lacking } else { self.lacking(trail, now).await? };
        let lacks = |account| lacking.iter().find(|(remembered, _)| remembered.member.account == account);
        told.retain(|(_, of)| !lacking.iter().any(|(remembered, _)| *of == subject(&remembered.member)));
        let mut uncovered = Vec::new();
        for (remembered, regions) in asked.iter().filter_map(|asked| lacks(asked.member.account)) {
            let member = &remembered.member;
            let name = printable(&member.name, 80);
            let detail = format!("{name} has never delivered from {regions}, as most members do");
            let finding = Finding::new(Kind::AccountUncovered, subject(member), detail).account(member.account);
            uncovered.push(finding.severity(Severity::Medium));
        }
        if told.is_empty() && uncovered.is_empty() {
            return Ok(());
        }
        self.commit(move |tx| {
            for (id, _) in &told {
                findings::resolve_id(tx, id)?;
            }
            let mut news = Vec::new();
            for finding in &uncovered {
                if findings::hold(tx, finding)? {
                    news.push(finding.kind);
                }
            }
            Ok(news)
        })
        .await
    }

    /// Those of whom the bucket could tell what it holds, under the roots where something of theirs was seen.
    async fn asked_where_seen(
        &self,
        trail: &Trail,
        now: Timestamp,
        members: Vec<Remembered>,
    ) -> Result<Vec<Remembered>> {
        if members.is_empty() {
            return Ok(members);
        }
        let source = trail.id;
        let places = self.deliveries.store.read(move |conn| places::from(conn, source, 0)).await?;
        let mut asked = Vec::new();
        for remembered in members {
            let mut roots: Vec<&Root> = places.iter().map(|place| &place.root).collect();
            roots.retain(|root| root.account == remembered.member.account);
            roots.dedup();
            if self.read_digests(trail, now, roots.into_iter()).await? {
                asked.push(remembered);
            }
        }
        Ok(asked)
    }

    /// Members with the regions that they lack.
    async fn lacking(&self, trail: &Trail, now: Timestamp) -> Result<Vec<(Remembered, String)>> {
        let (source, due) = (trail.id, (now - HOUR - self.grace).as_second());
        let shard = trail.shard;
        let expected = self.deliveries.roster.expected(shard);
        let look = move |conn: &Connection| {
            let mut common = coverage::common(conn, source, shard)?;
            common.retain(|(_, since)| *since <= due);
            let mut lacking = Vec::new();
            for remembered in expected.into_iter().filter(|remembered| remembered.first_seen.as_second() <= due) {
                let has = coverage::places(conn, source, remembered.member.account)?;
                let lacks: BTreeSet<&str> = common
                    .iter()
                    .filter(|(lane, _)| !has.contains(lane))
                    .map(|(lane, _)| lane.region.as_str())
                    .collect();
                if !has.is_empty() && !lacks.is_empty() {
                    let lacks: Vec<&str> = lacks.into_iter().collect();
                    lacking.push((remembered, lacks.join(", ")));
                }
            }
            Ok(lacking)
        };
        self.deliveries.store.read(look).await
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
