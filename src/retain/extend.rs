//! Locks made longer, object by object, where an override asks for more than the bucket's default gives. How far it has come is
//! in the ledger: a crash goes on where it stopped, and what is locked well enough is looked at and left.

use std::time::Duration;

use crate::core::finding::Kind;
use crate::core::journal::What;
use crate::core::key::{self, DIGEST_FOLDER, LogKind, ObjectKey};
use crate::core::lock::{Extension, Need, Retention, Term, extension};
use crate::error::{Class, Error, Result};
use crate::retain::Retain;
use crate::retry::{Policy, retry};
use crate::store::places::{self, Place};
use crate::store::retention::{self, Extended};
use crate::store::{findings, journal};

/// Rows read at a time.
const PAGE: usize = 500;

/// So many refusals and not one lock: a permission is missing, and the rest would be refused too.
const HOPELESS: u64 = 20;

/// What came of a stretch of objects.
#[derive(Debug, Clone, Default)]
struct Tally {
    looked: u64,
    extended: u64,
    refused: u64,
    /// The first refusal.
    why: Option<Error>,
}

impl Tally {
    /// One object that is refused keeps none of the others from being locked.
    fn refuse(&mut self, error: Error) -> Result<()> {
        if error.class != Class::Permanent {
            return Err(error);
        }
        self.refused += 1;
        let hopeless = self.refused >= HOPELESS && self.extended == 0;
        let first = self.why.get_or_insert(error).clone();
        if hopeless { Err(first) } else { Ok(()) }
    }
}

impl Retain {
    /// Locks what the needs ask for; a place at a time. What was refused is asked for again the next time.
    pub(super) async fn extend(&self, needs: &[Need]) -> Result<()> {
        let source = self.source;
        let places = self.store.read(move |conn| places::from(conn, source, 0)).await?;
        let mut refused = None;
        for need in needs {
            let mut whole = true;
            for place in places.iter().filter(|place| place.root.account == need.account) {
                match self.extend_place(need, place).await {
                    Err(error) if error.class == Class::Permanent => {
                        refused.get_or_insert(error);
                        whole = false;
                    }
                    other => other?,
                }
            }
            if whole {
                // What an object of the account showed.
                let subject = format!("{}/{}", self.trail, need.account);
                self.store.write(move |tx| findings::resolve(tx, Kind::LockShort, &subject).map(|_| ())).await?;
            }
        }
        refused.map_or(Ok(()), Err)
    }

    async fn extend_place(&self, need: &Need, place: &Place) -> Result<()> {
        let (archive, id, wanted) = (self.archive(), place.id, need.clone());
        let (mut done, after) = self
            .store
            .write(move |tx| {
                let mut done = retention::extended(tx.conn, &archive, id, &wanted)?;
                let (_, again) = retention::left(tx.conn, id, &done)?;
                if again {
                    (done.day, done.whole) = (0, false);
                }
                let after = retention::moment(tx, id, &done)?;
                Ok((done, after))
            })
            .await?;
        let mut tally = Tally::default();
        let begun = done.clone();
        let outcome = match self.extend_rows(need, place, &done, &mut tally).await {
            Ok(()) => self.extend_days(need, place, &mut done, &mut tally).await,
            failed => failed,
        };
        let outcome = outcome.and_then(|()| tally.why.clone().map_or(Ok(()), Err));
        done = match (&outcome, tally.refused) {
            (Ok(()), _) => Extended { day: done.day, ..after },
            (Err(_), 0) => done,
            (Err(_), _) => begun,
        };
        let (archive, told) = (self.archive(), self.told(need, place, &tally));
        self.store
            .write(move |tx| {
                if let Some((subject, detail)) = told {
                    journal::append(tx, What::Extended, &subject, &detail)?;
                }
                retention::set_extended(tx, &archive, id, &done)
            })
            .await?;
        outcome
    }

    fn told(&self, need: &Need, place: &Place, tally: &Tally) -> Option<(String, String)> {
        let subject = format!("{}/{}{}", self.bucket, place.root.path(), place.region);
        let detail = format!(
            "{} of {} objects to {}, logs {} days, digests {} days",
            tally.extended, tally.looked, need.mode, need.logs, need.digests
        );
        (tally.extended > 0).then_some((subject, detail))
    }

    /// What still has its row: by the version that it was read in.
    async fn extend_rows(&self, need: &Need, place: &Place, done: &Extended, tally: &mut Tally) -> Result<()> {
        let mut after = (String::new(), String::new());
        loop {
            let (id, from, state) = (place.id, after.clone(), done.clone());
            let page =
                self.store.read(move |conn| retention::loose(conn, id, &state, (&from.0, &from.1), PAGE)).await?;
            for row in &page {
                let version = Some(row.version.as_str()).filter(|version| !version.is_empty());
                self.extend_one(need, &row.key, version, tally).await?;
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = (last.name.clone(), last.version.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Days that are folded, whose keys only the bucket knows: all versions that lie there.
    async fn extend_days(&self, need: &Need, place: &Place, done: &mut Extended, tally: &mut Tally) -> Result<()> {
        if done.whole {
            return Ok(());
        }
        loop {
            let (at, state) = (place.clone(), done.clone());
            let next = self.store.read(move |conn| retention::next_folded(conn, &at, &state)).await?;
            let Some((number, day)) = next else { return Ok(()) };
            for folder in LogKind::ALL.map(LogKind::folder).into_iter().chain([DIGEST_FOLDER]) {
                self.extend_folder(need, &place.root.day_folder(folder, &place.region, day), tally).await?;
            }
            done.day = number;
            if tally.refused == 0 {
                let (archive, id, state) = (self.archive(), place.id, done.clone());
                self.store.write(move |tx| retention::set_extended(tx, &archive, id, &state)).await?;
            }
        }
    }

    async fn extend_folder(&self, need: &Need, folder: &str, tally: &mut Tally) -> Result<()> {
        let mut after = None;
        loop {
            let page = retry(self.env(), Policy::STEP, || self.vault.versions(folder, after.as_ref())).await?;
            self.breathe().await;
            for version in &page.0 {
                self.extend_one(need, &version.key, version.version.as_deref(), tally).await?;
            }
            after = page.1;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn extend_one(&self, need: &Need, key: &str, version: Option<&str>, tally: &mut Tally) -> Result<()> {
        let days = match key::parse(key) {
            ObjectKey::Log(_) => need.logs,
            ObjectKey::Digest(_) => need.digests,
            _ => return Ok(()),
        };
        let found = retry(self.env(), Policy::STEP, || self.vault.lock(key, version)).await;
        self.breathe().await;
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(()),
            Err(error) => return tally.refuse(error),
        };
        tally.looked += 1;
        let until = Term { mode: need.mode, days }.until(found.created);
        if let Extension::Extend(to) = extension(found.retention, Retention { mode: need.mode, until }) {
            let version = version.or(found.version.as_deref());
            let put = retry(self.env(), Policy::STEP, || self.vault.retain(key, version, found.retention, to)).await;
            self.breathe().await;
            match put {
                Ok(()) => tally.extended += 1,
                Err(error) => return tally.refuse(error),
            }
        }
        Ok(())
    }

    /// No more requests a second than configured.
    pub(super) async fn breathe(&self) {
        self.pulse.beat();
        let requests = u32::try_from(self.wanted.requests).unwrap_or(u32::MAX).max(1);
        tokio::time::sleep(Duration::from_secs(1) / requests).await;
    }
}
