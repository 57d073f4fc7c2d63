//! A log file's step: hash and read it, compare it with the digest that already listed it, commit.

use std::sync::Arc;

use jiff::SignedDuration;

use crate::core::admit::Evidence;
use crate::core::anomaly::{Insight, Plan, Tally, Tallying};
use crate::core::change::{Changes, Ours};
use crate::core::finding::{Finding, Kind};
use crate::core::gzip::Inflated;
use crate::core::id::Sha256;
use crate::core::key::{LogKey, LogKind};
use crate::core::notice::Notice;
use crate::core::record::{self, LogFile, MisfitKind, Record};
use crate::core::rule::{Hits, Rules};
use crate::core::tree::Tree;
use crate::delivery::memory::INLINE;
use crate::delivery::{Deliveries, Fate, Fetched, arrived, detect, insight, overwritten, raise};
use crate::error::Result;
use crate::store::objects::{self, Known, Listing, NewObject, State};
use crate::store::{Tx, archive, changes, findings, rates};
use crate::trail::Trail;

/// Insights records of one file that are told; CloudTrail writes a few.
const MOST_INSIGHTS: usize = 1_000;

/// What a log's bytes turned out to be.
#[derive(Debug, Default)]
struct Examined {
    sha: Option<Sha256>,
    file: LogFile,
    faults: Vec<(Kind, String)>,
    found: Arc<Found>,
}

/// What its records are about.
#[derive(Debug, Default)]
struct Found {
    /// Calls on what the evidence rests on.
    changes: Changes,
    /// What rules are about.
    hits: Hits,
    /// How often what was called.
    tally: Tally,
    /// What CloudTrail found unusual.
    insights: Vec<Insight>,
}

/// What records are looked at for.
#[derive(Clone)]
struct Lens {
    ours: Arc<Ours>,
    rules: Arc<Rules>,
    plan: Arc<Plan>,
}

/// What was found, and by whose rules.
#[derive(Clone)]
struct Seen {
    found: Arc<Found>,
    rules: Arc<Rules>,
    /// When the log was delivered, in seconds since the epoch: no later than now.
    arrived: i64,
    /// Its records are to be archived.
    archived: bool,
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
        let handed = self.handoff.is_on().then(|| body.clone());
        let lens = self.lens(trail, key);
        let examined = self.examine(trail, key, body, &lens).await?;
        drop(room);
        self.metrics.records.inc_by(examined.file.rows);
        let mut row = self.row(trail, notice, &evidence, state(&examined));
        fill(&mut row, &fetched, &examined);
        let bucket = trail.name_or(&notice.bucket).to_owned();
        let mut told: Vec<Finding> = note.into_iter().collect();
        told.extend(tell(&bucket, key, &notice.key, &examined));
        let fate = if row.state == State::Admitted { Fate::Admitted } else { Fate::Unusable };
        let found = if row.state == State::Admitted { examined.found } else { Arc::default() };
        let now = self.env.now();
        let (key, changed) = (key.clone(), found.changes.any_done(now));
        if found.tally.left_out > 0 {
            tracing::warn!(
                object.key = notice.key,
                calls = found.tally.left_out,
                "calls of too many kinds are not counted"
            );
        }
        let seen = Seen {
            found,
            rules: lens.rules,
            arrived: key.delivered.min(now).as_second(),
            archived: self.handoff.is_on(),
        };
        let version = row.version.clone();
        let fresh = self.step(move |tx| commit(tx, row.clone(), &key, &bucket, told.clone(), &seen)).await?;
        if let Some(body) = handed.filter(|_| fresh && fate == Fate::Admitted) {
            self.handoff.put(trail.id, &notice.key, version.as_deref(), body);
        }
        if fresh && changed {
            trail.audit.notify_one();
        }
        Ok(if fresh { fate } else { Fate::Repeated })
    }

    /// Calls of long ago are not counted any more.
    fn lens(&self, trail: &Trail, key: &LogKey) -> Lens {
        let plan = self.insights();
        let age = self.env.now().duration_since(key.delivered);
        let is_counted = key.kind == LogKind::Events && age <= SignedDuration::from_hours(24 * i64::from(plan.reach()));
        let plan = if is_counted { plan } else { Arc::new(Plan::none()) };
        Lens { ours: trail.ours(), rules: self.rules(), plan }
    }

    async fn examine(&self, trail: &Trail, key: &LogKey, body: Vec<u8>, lens: &Lens) -> Result<Examined> {
        let (inflated, room) = self.memory.inflate(body, trail.caps).await?;
        let inflated = match inflated {
            Ok(inflated) => inflated,
            Err(error) => {
                let kind = if error.is_cap() { Kind::ObjectTooLarge } else { Kind::LogMalformed };
                return Ok(Examined { faults: vec![(kind, error.to_string())], ..Examined::default() });
            }
        };
        if inflated.bytes.len() <= INLINE {
            return Ok(examine(&inflated, key, lens));
        }
        let (key, lens) = (key.clone(), lens.clone());
        let examine = move || {
            let examined = examine(&inflated, &key, &lens);
            drop((inflated, room));
            examined
        };
        self.env.blocking(examine).await
    }
}

fn examine(inflated: &Inflated, key: &LogKey, lens: &Lens) -> Examined {
    let mut examined = Examined { sha: Some(Sha256::of(&inflated.bytes)), ..Examined::default() };
    if inflated.trailing > 0 {
        examined.faults.push((Kind::TrailingData, format!("{} bytes follow the log's gzip member", inflated.trailing)));
    }
    let (mut found, mut tallying) = (Found::default(), Tallying::default());
    let look = |record: &Record<'_>, raw: &str| {
        found.changes.look(record, raw, &lens.ours);
        if !lens.rules.is_empty() {
            lens.rules.look(record, raw, &mut found.hits);
        }
        if !lens.plan.is_none() {
            tallying.look(record, raw, &lens.plan);
        }
        if key.kind == LogKind::Insight && found.insights.len() < MOST_INSIGHTS {
            found.insights.extend(Tree::of_known(raw).and_then(|record| Insight::parse(&record)));
        }
    };
    match record::read(&inflated.bytes, key, look) {
        Ok(file) => {
            found.tally = tallying.done();
            (examined.file, examined.found) = (file, Arc::new(found));
        }
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
    if seen.archived && row.state == State::Admitted {
        archive::note(tx, row.source, &row.key, row.version.as_deref())?;
    }
    let (fresh, mut news) = raise(tx, &told)?;
    news.extend(tell_changes(tx, &seen.found.changes, bucket, &row.key)?);
    news.extend(detect::tell(tx, &seen.rules, &seen.found.hits, bucket, &row.key)?);
    // another writing of a log that was counted is not counted again
    if !seen.found.tally.is_empty() && !known.iter().any(Known::is_admitted) {
        rates::add(tx, row.source, key.root.account, seen.arrived, &seen.found.tally)?;
    }
    for insight in &seen.found.insights {
        news.extend(insight::tell(tx, insight, key.root.account)?);
    }
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
