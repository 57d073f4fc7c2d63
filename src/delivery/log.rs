//! A log file's step: hash and read it, compare it with the digest that already listed it, commit.

use std::sync::Arc;

use crate::core::admit::Evidence;
use crate::core::change::{Changes, Ours};
use crate::core::finding::{Finding, Kind};
use crate::core::gzip::Inflated;
use crate::core::id::Sha256;
use crate::core::key::LogKey;
use crate::core::notice::Notice;
use crate::core::record::{self, LogFile, MisfitKind, Record};
use crate::core::rule::{Hits, Rules};
use crate::delivery::memory::INLINE;
use crate::delivery::{Deliveries, Fate, Fetched, arrived, detect, overwritten, raise};
use crate::error::Result;
use crate::store::objects::{self, Known, Listing, NewObject, State};
use crate::store::{Tx, changes, findings};
use crate::trail::Trail;

/// What a log's bytes turned out to be.
#[derive(Debug, Default)]
struct Examined {
    sha: Option<Sha256>,
    file: LogFile,
    faults: Vec<(Kind, String)>,
    /// Calls on what the evidence rests on.
    changes: Arc<Changes>,
    /// What rules are about.
    hits: Arc<Hits>,
}

/// What its records are about.
#[derive(Clone)]
struct Seen {
    changes: Arc<Changes>,
    /// Those that it was looked at by.
    rules: Arc<Rules>,
    hits: Arc<Hits>,
}

impl Deliveries {
    pub(super) async fn log(
        &self,
        trail: &Trail,
        notice: &Notice,
        key: &LogKey,
        note: Option<Finding>,
    ) -> Result<Fate> {
        let evidence = Evidence::Log(key.clone());
        let mut fetched = match self.fetch_or_settle(trail, notice, &evidence).await? {
            Ok(fetched) => fetched,
            Err(fate) => return Ok(fate),
        };
        let (body, room) = fetched.take();
        let rules = self.rules();
        let examined = self.examine(trail, key, body, &rules).await?;
        drop(room);
        self.metrics.records.inc_by(examined.file.rows);
        let mut row = self.row(trail, notice, &evidence, state(&examined));
        fill(&mut row, &fetched, &examined);
        let bucket = trail.name_or(&notice.bucket).to_owned();
        let mut told: Vec<Finding> = note.into_iter().collect();
        told.extend(tell(&bucket, key, &notice.key, &examined));
        let fate = if row.state == State::Admitted { Fate::Admitted } else { Fate::Unusable };
        let (changes, hits) = match row.state {
            State::Admitted => (examined.changes, examined.hits),
            _ => Default::default(),
        };
        let seen = Seen { changes: changes.clone(), rules, hits };
        let (key, changed) = (key.clone(), changes.any_done(self.env.now()));
        let fresh = self.step(move |tx| commit(tx, row.clone(), &key, &bucket, told.clone(), &seen)).await?;
        if fresh && changed {
            trail.audit.notify_one();
        }
        Ok(if fresh { fate } else { Fate::Repeated })
    }

    async fn examine(&self, trail: &Trail, key: &LogKey, body: Vec<u8>, rules: &Arc<Rules>) -> Result<Examined> {
        let (inflated, room) = self.memory.inflate(body, trail.caps).await?;
        let inflated = match inflated {
            Ok(inflated) => inflated,
            Err(error) => {
                let kind = if error.is_cap() { Kind::ObjectTooLarge } else { Kind::LogMalformed };
                return Ok(Examined { faults: vec![(kind, error.to_string())], ..Examined::default() });
            }
        };
        let ours = trail.ours();
        if inflated.bytes.len() <= INLINE {
            return Ok(examine(&inflated, key, &ours, rules));
        }
        let (key, rules) = (key.clone(), rules.clone());
        let examine = move || {
            let examined = examine(&inflated, &key, &ours, &rules);
            drop((inflated, room));
            examined
        };
        self.env.blocking(examine).await
    }
}

fn examine(inflated: &Inflated, key: &LogKey, ours: &Ours, rules: &Rules) -> Examined {
    let mut examined = Examined { sha: Some(Sha256::of(&inflated.bytes)), ..Examined::default() };
    if inflated.trailing > 0 {
        examined.faults.push((Kind::TrailingData, format!("{} bytes follow the log's gzip member", inflated.trailing)));
    }
    let (mut changes, mut hits) = (Changes::default(), Hits::default());
    let look = |record: &Record<'_>, raw: &str| {
        changes.look(record, raw, ours);
        if !rules.is_empty() {
            rules.look(record, raw, &mut hits);
        }
    };
    match record::read(&inflated.bytes, key, look) {
        Ok(file) => (examined.file, examined.changes, examined.hits) = (file, Arc::new(changes), Arc::new(hits)),
        Err(error) => examined.faults.push((Kind::LogMalformed, error.to_string())),
    }
    examined
}

fn state(examined: &Examined) -> State {
    let foreign = examined.file.misfits.iter().any(|misfit| misfit.kind == MisfitKind::Account);
    let unusable = examined.faults.iter().any(|(kind, _)| *kind != Kind::TrailingData);
    match (unusable, foreign) {
        (true, _) => State::Unusable,
        (false, true) => State::Refused,
        (false, false) => State::Admitted,
    }
}

fn fill(row: &mut NewObject, fetched: &Fetched, examined: &Examined) {
    row.version.clone_from(&fetched.object.head.version);
    // What the bucket says of it; a notice may be wrong about that.
    row.etag = fetched.object.head.etag.clone().or_else(|| row.etag.take());
    row.size = fetched.object.head.size;
    row.sha = examined.sha;
    row.records = examined.file.rows;
    row.rejects = examined.file.rejected;
    row.listed = Listing::None;
}

fn about(kind: Kind, bucket: &str, object: &str, key: &LogKey, detail: String) -> Finding {
    Finding::of_object(kind, bucket, object, detail).account(key.root.account).region(&key.region)
}

/// The findings that the bytes themselves deserve.
fn tell(bucket: &str, key: &LogKey, object: &str, examined: &Examined) -> Vec<Finding> {
    let mut told: Vec<Finding> =
        examined.faults.iter().map(|(kind, detail)| about(*kind, bucket, object, key, detail.clone())).collect();
    if !examined.file.misfits.is_empty() {
        let details: Vec<String> = examined
            .file
            .misfits
            .iter()
            .map(|misfit| format!("{} of {} records: {}", misfit.count, examined.file.rows, misfit.example))
            .collect();
        told.push(about(Kind::ContentMismatch, bucket, object, key, details.join("; ")));
    }
    if let Some((position, reason)) = examined.file.rejects.first() {
        let detail =
            format!("{} elements are no records; the first is number {position}: {reason}", examined.file.rejected);
        told.push(about(Kind::RecordMalformed, bucket, object, key, detail));
    }
    told
}

/// A crash before this did nothing; a crash after it makes the message a repeat.
fn commit(
    tx: &Tx<'_>,
    mut row: NewObject,
    key: &LogKey,
    bucket: &str,
    mut told: Vec<Finding>,
    seen: &Seen,
) -> rusqlite::Result<(bool, Vec<Kind>)> {
    // Another message may have brought another writing of the key since this one was fetched: what is known is asked here.
    let known = arrived(tx, &row, bucket)?;
    let again = overwritten(&known, &row);
    told.extend(again.iter().map(|detail| about(Kind::EvidenceOverwritten, bucket, &row.key, key, detail.clone())));
    let vouched = known.iter().any(|row| row.listed == Listing::Fits as i64);
    told.extend(compare(tx, &mut row, &known, key, bucket)?);
    let refused = known.iter().any(|known| known.is(State::Refused));
    if refused && (row.listed != Listing::None || row.state != State::Refused) {
        objects::forget(tx, row.source, &row.key, State::Refused)?;
    }
    let proven = row.listed == Listing::Fits && !vouched;
    let readable = row.state == State::Admitted && again.is_none() && !known.iter().any(Known::is_admitted);
    if !known.is_empty() && (proven || readable) {
        objects::forget_version(tx, row.source, &row.key, row.version.as_deref().unwrap_or_default())?;
        findings::resolve(tx, Kind::ObjectTooLarge, &format!("{bucket}/{}", row.key))?;
    }
    if !objects::insert(tx, &row)? {
        told.retain(|finding| finding.kind == Kind::EvidenceOverwritten);
        let (_, news) = raise(tx, &told)?;
        return Ok((false, news));
    }
    let (fresh, mut news) = raise(tx, &told)?;
    news.extend(tell_changes(tx, &seen.changes, bucket, &row.key)?);
    news.extend(detect::tell(tx, &seen.rules, &seen.hits, bucket, &row.key)?);
    Ok((fresh, news))
}

/// Each event is told once, in however many logs it comes.
fn tell_changes(tx: &Tx<'_>, changes: &Changes, bucket: &str, log: &str) -> rusqlite::Result<Vec<Kind>> {
    let mut news = Vec::new();
    for group in changes.groups() {
        let mut count = 0;
        for event in &group.events {
            count += u64::from(changes::note(tx, event)?);
        }
        if count > 0 {
            count += group.more;
        }
        let finding = group.last.finding(&group.subject, bucket, log, count, tx.now);
        if count > 0 && findings::raise_times(tx, &finding, count)? {
            news.push(finding.kind);
        }
    }
    Ok(news)
}

/// The log against what a digest said of it: the hash that is still awaited, or the one of the writing that fits.
fn compare(
    tx: &Tx<'_>,
    row: &mut NewObject,
    known: &[Known],
    key: &LogKey,
    bucket: &str,
) -> rusqlite::Result<Option<Finding>> {
    let listed = |fits| if fits { Listing::Fits } else { Listing::Differs };
    let Some(awaited) = objects::awaited(tx.conn, row.source, &row.key)? else {
        if let Some(genuine) = known.iter().find(|row| row.listed == Listing::Fits as i64) {
            row.listed = listed(genuine.sha.zip(row.sha).is_some_and(|(genuine, sha)| genuine.fits(&sha)));
        }
        return Ok(None);
    };
    findings::resolve(tx, Kind::LogMissing, &format!("{bucket}/{}", row.key))?;
    let fits = row.sha.is_some() && awaited.sha == row.sha;
    row.listed = listed(fits);
    if fits {
        objects::forget_awaited(tx, row.source, &row.key)?;
        return Ok(None);
    }
    // Not looked for any more; the promise stays, for whoever restores it.
    objects::told_awaited(tx, row.source, &row.key)?;
    let (Some(sha), Some(promised)) = (&row.sha, awaited.sha) else { return Ok(None) };
    let detail = format!("SHA-256 is {sha}, the digest {} says {promised}", awaited.digest);
    Ok(Some(about(Kind::LogModified, bucket, &row.key, key, detail)))
}
