//! Locks made longer, object by object, where an override asks for more than the bucket's default gives. How far it has come is
//! in the ledger: a crash and a spent budget go on where it stopped, and what is locked well enough is looked at and left.

use std::time::Duration;

use crate::core::finding::Kind;
use crate::core::journal::What;
use crate::core::key::{self, DIGEST_FOLDER, LogKind, ObjectKey};
use crate::core::lock::{Extension, Need, Retention, Term, extension};
use crate::error::{Class, Error, Result};
use crate::retain::Retain;
use crate::retry::{Policy, retry};
use crate::store::places::{self, Place};
use crate::store::retention::{self, Extended, Pass};
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
    /// Requests that may still be made.
    budget: u64,
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

/// How a stretch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stretch {
    Whole,
    /// The budget is spent, or something was refused: the next one goes on, or begins again.
    Paused,
}

impl Retain {
    /// Locks what the needs ask for, with no more than about so many requests; a place at a time. What was refused is asked for
    /// again the next time.
    pub(super) async fn extend(&self, needs: &[Need], mut budget: u64) -> Result<()> {
        let source = self.source;
        let places = self.store.read(move |conn| places::from(conn, source, 0)).await?;
        let mut refused = None;
        for need in needs {
            let mut whole = true;
            for place in places.iter().filter(|place| place.root.account == need.account) {
                if budget == 0 {
                    return refused.map_or(Ok(()), Err);
                }
                match self.extend_place(need, place, &mut budget).await {
                    Err(error) if error.class == Class::Permanent => {
                        refused.get_or_insert(error);
                        whole = false;
                    }
                    stretch => whole &= stretch? == Stretch::Whole,
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

    async fn extend_place(&self, need: &Need, place: &Place, budget: &mut u64) -> Result<Stretch> {
        let (archive, id, wanted) = (self.archive(), place.id, need.clone());
        let (mut state, mut pass) = self
            .store
            .write(move |tx| {
                let state = retention::extended(tx.conn, &archive, id, &wanted)?.held_to(&wanted);
                let pass = state.pass.clone().map_or_else(|| retention::pass(tx, id, &state), Ok)?;
                Ok((state, pass))
            })
            .await?;
        let mut tally = Tally { budget: *budget, ..Tally::default() };
        let mut outcome = self.extend_rows(need, place, &state, &mut pass, &mut tally).await;
        if matches!(outcome, Ok(Stretch::Whole)) {
            outcome = self.extend_days(need, place, &state, &mut pass, &mut tally).await;
        }
        *budget = tally.budget;
        let goes_on = match &outcome {
            Ok(stretch) => *stretch == Stretch::Paused,
            Err(error) => error.class != Class::Permanent,
        };
        let refused = pass.refused || outcome.is_err() && !goes_on;
        state.pass = Some(Pass { refused, ..pass });
        let state = if goes_on { state } else { state.passed() };
        let outcome = outcome.map(|stretch| if refused { Stretch::Paused } else { stretch });
        let (archive, told) = (self.archive(), self.told(need, place, &tally));
        self.store
            .write(move |tx| {
                if let Some((subject, detail)) = told {
                    journal::append(tx, What::Extended, &subject, &detail)?;
                }
                retention::set_extended(tx, &archive, id, &state)
            })
            .await?;
        outcome.and_then(|stretch| tally.why.map_or(Ok(stretch), Err))
    }

    /// How far a pass has come: a crash goes on from here.
    async fn mark(&self, place: &Place, state: &Extended, pass: &Pass) -> Result<()> {
        let (archive, id) = (self.archive(), place.id);
        let state = Extended { pass: Some(pass.clone()), ..state.clone() };
        self.store.write(move |tx| retention::set_extended(tx, &archive, id, &state)).await
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
    async fn extend_rows(
        &self,
        need: &Need,
        place: &Place,
        state: &Extended,
        pass: &mut Pass,
        tally: &mut Tally,
    ) -> Result<Stretch> {
        while let Some(after) = pass.row.clone() {
            let (id, known) = (place.id, state.clone());
            let page =
                self.store.read(move |conn| retention::loose(conn, id, &known, (&after.0, &after.1), PAGE)).await?;
            for row in &page {
                if tally.budget == 0 {
                    return Ok(Stretch::Paused);
                }
                let version = Some(row.version.as_str()).filter(|version| !version.is_empty());
                self.extend_one(need, &row.key, version, tally).await?;
                pass.refused |= tally.refused > 0;
                pass.row = Some((row.name.clone(), row.version.clone()));
            }
            if page.len() < PAGE {
                pass.row = None;
            }
            self.mark(place, state, pass).await?;
        }
        Ok(Stretch::Whole)
    }

    /// Days that are folded, whose keys only the bucket knows: all versions that lie there. A day is not paused in.
    async fn extend_days(
        &self,
        need: &Need,
        place: &Place,
        state: &Extended,
        pass: &mut Pass,
        tally: &mut Tally,
    ) -> Result<Stretch> {
        loop {
            let (at, known, after) = (place.clone(), state.clone(), pass.day);
            let next = self.store.read(move |conn| retention::next_folded(conn, &at, &known, after)).await?;
            let Some((number, day)) = next else { return Ok(Stretch::Whole) };
            if tally.budget == 0 {
                return Ok(Stretch::Paused);
            }
            for folder in LogKind::ALL.map(LogKind::folder).into_iter().chain([DIGEST_FOLDER]) {
                self.extend_folder(need, &place.root.day_folder(folder, &place.region, day), tally).await?;
            }
            pass.refused |= tally.refused > 0;
            pass.day = number;
            self.mark(place, state, pass).await?;
        }
    }

    async fn extend_folder(&self, need: &Need, folder: &str, tally: &mut Tally) -> Result<()> {
        let mut after = None;
        loop {
            let page = retry(self.env(), Policy::STEP, || self.vault.versions(folder, after.as_ref())).await?;
            self.spend(tally).await;
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
        self.spend(tally).await;
        let found = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(()),
            Err(error) => return tally.refuse(error),
        };
        tally.looked += 1;
        let until = Term { mode: need.mode, days }.until(found.created);
        if let Extension::Extend(to) = extension(found.retention, Retention { mode: need.mode, until }) {
            let version = version.or(found.version.as_deref());
            let retain = || self.store.fence().guard(self.vault.retain(key, version, found.retention, to));
            let put = retry(self.env(), Policy::STEP, retain).await;
            self.spend(tally).await;
            match put {
                Ok(()) => tally.extended += 1,
                Err(error) => return tally.refuse(error),
            }
        }
        Ok(())
    }

    async fn spend(&self, tally: &mut Tally) {
        tally.budget = tally.budget.saturating_sub(1);
        self.breathe().await;
    }

    /// No more requests a second than configured.
    pub(super) async fn breathe(&self) {
        self.pulse.beat();
        let requests = u32::try_from(self.wanted.requests).unwrap_or(u32::MAX).max(1);
        tokio::time::sleep(Duration::from_secs(1) / requests).await;
    }
}
