//! A question to raw logs, as CloudTrail delivered them: no archive and no ledger needed.
//!
//! What the archive would hold is found, and no more: an event that was delivered twice is told once. Nothing is left out
//! silently: what was not read is counted, by why.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::import::read_any;
use super::lookup::{Hit, Taker};
use super::rows::{Identity, Origin, Rows, days_of};
use super::schema;
use crate::core::gzip::Caps;
use crate::core::key::{self, LogKey, LogKind, ObjectKey};
use crate::core::lookup::{Question, Rank, when};
use crate::core::printable;
use crate::core::record::BadLog;
use crate::core::record::frame::{self, Form};
use crate::core::row::{self, EVENT_TIME};
use crate::delivery::{INLINE, Memory, Room};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::retry::{Policy, retry};
use crate::seam::{DynBucket, Got};

/// Logs that are read together.
const AT_ONCE: usize = 32;
/// Keys that are listed ahead.
const AHEAD: usize = 4_096;
/// Events that are remembered, so that none is told twice.
const REMEMBERED: usize = 1 << 20;
/// Faults that are named; all are counted.
const NAMED: usize = 20;
const DAY: i64 = 86_400;

/// Where the logs lie, and how large they may be.
pub struct Raw {
    pub bucket: DynBucket,
    pub prefix: String,
    pub object_limit: u64,
    pub caps: Caps,
    pub memory: Memory,
    pub env: Env,
    pub question: Question,
}

/// What was read, and what was not.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Effort {
    pub logs: u64,
    /// Of those, logs of CloudTrail Insights.
    pub insights: u64,
    pub bytes: u64,
    pub records: u64,
    pub digests: u64,
    /// Files that are no JSON by their name.
    pub others: u64,
    /// Logs that were delivered too long before, or after, the time that is asked for.
    pub out_of_time: u64,
    /// Records that were found before.
    pub repeats: u64,
    /// Elements that are no objects, and files with bytes that are no UTF-8.
    pub rejected: u64,
    pub mended: u64,
    pub unreadable: u64,
    pub faults: Vec<String>,
    /// More events were found than are remembered: further ones may be told twice.
    pub may_repeat: bool,
}

/// A file to be read.
pub(super) struct Wanted {
    key: String,
    size: u64,
    log: Option<LogKey>,
}

/// What was made of a log's records, how many there are, how many elements are none, and whether bytes had to be mended; or why
/// it cannot be read.
pub(super) struct Seen<T> {
    pub what: T,
    pub records: u64,
    pub read: std::result::Result<(u64, bool), String>,
}

/// What was found in one.
pub(super) struct Found<T> {
    pub what: T,
    records: u64,
    rejected: u64,
    mended: bool,
    stored: u64,
    fault: Option<String>,
    /// What was found takes no more than the log did.
    _room: Option<Room>,
}

impl<T: Default> Found<T> {
    fn fault(why: String) -> Self {
        let what = T::default();
        Self { what, records: 0, rejected: 0, mended: false, stored: 0, fault: Some(why), _room: None }
    }
}

/// What is to be made of a log.
pub(super) type Look<T> = dyn Fn(&[u8], &str, Option<&LogKey>) -> Seen<T> + Send + Sync;

impl Raw {
    /// Looks at all logs; `effort` and the taker are right at every moment.
    pub async fn run(self: &Arc<Self>, mut taker: Taker<'_>, effort: &mut Effort) -> Result<()> {
        let (identity, floor) = (Identity::default(), Arc::new(AtomicI64::new(i64::MIN)));
        let (raw, least) = (self.clone(), floor.clone());
        let look = move |bytes: &[u8], key: &str, log: Option<&LogKey>| {
            raw.look(bytes, key, log, &identity, least.load(Ordering::Relaxed))
        };
        let mut seen = Distinct::default();
        let mut reading = std::pin::pin!(self.logs(Arc::new(look)));
        while let Some(read) = reading.next().await {
            let (listed, found) = read?;
            effort.count(&listed, found.as_ref());
            let mut hits: Vec<(u128, Hit)> = found.map(|found| found.what).unwrap_or_default();
            hits.retain(|(identity, _)| seen.is_new(*identity, effort));
            if !taker.give(hits.into_iter().map(|(_, hit)| hit).collect()).await {
                return Ok(());
            }
            if let Some(last) = taker.last() {
                floor.store(last, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// What is made of each log as it was read, and what else is listed.
    pub(super) fn logs<T: Default + Send + 'static>(
        self: &Arc<Self>,
        look: Arc<Look<T>>,
    ) -> impl Stream<Item = Result<(Listed, Option<Found<T>>)>> + use<T> {
        let (send, mut receive) = mpsc::channel(AHEAD);
        let (lister, raw) = (self.clone(), self.clone());
        let listing = tokio::spawn(async move { lister.list(&send).await });
        let wanted = futures_util::stream::poll_fn(move |context| receive.poll_recv(context));
        let reading = wanted.map(move |listed| {
            let (raw, look) = (raw.clone(), look.clone());
            async move {
                let wanted = match listed {
                    Listed::Log(wanted) => wanted,
                    left_out => return Ok((left_out, None)),
                };
                let read = tokio::spawn(async move {
                    let found = raw.read(&wanted, &look).await;
                    (Listed::Log(wanted), found)
                });
                let (listed, found) = read.await.map_err(|error| Error::transient("lookup:raw", error))?;
                found.map(|found| (listed, Some(found)))
            }
        });
        let listed = futures_util::stream::once(async move {
            listing.await.map_err(|error| Error::transient("lookup:raw", error)).and_then(|listed| listed)
        });
        let failed = listed.filter_map(|listed| async move { listed.err().map(Err) });
        reading.buffer_unordered(AT_ONCE).chain(failed)
    }

    async fn list(&self, send: &mpsc::Sender<Listed>) -> Result<()> {
        let mut after = None::<String>;
        loop {
            let page = retry(&self.env, Policy::STEP, || self.bucket.list(&self.prefix, after.as_deref())).await?;
            after = page.objects.last().map(|listed| listed.key.clone());
            for listed in page.objects {
                if send.send(self.judge(listed.key, listed.size)).await.is_err() {
                    return Ok(());
                }
            }
            if !page.more || after.is_none() {
                return Ok(());
            }
        }
    }

    fn judge(&self, key: String, size: u64) -> Listed {
        let log = match named(&key) {
            ObjectKey::Digest(_) => return Listed::Digest,
            ObjectKey::Log(log) => Some(log),
            _ => None,
        };
        let name = key.trim_end_matches(".gz");
        if key.contains(key::DIGEST_FOLDER) {
            return Listed::Digest;
        }
        if ![".json", ".jsonl", ".ndjson"].iter().any(|ending| name.ends_with(ending)) {
            return Listed::Other;
        }
        let day = log.as_ref().map(|log| days_of(log.date) * DAY);
        let ends = |day: i64| day + DAY + schema::EARLIEST.as_secs();
        let is_early = day.zip(self.question.from).is_some_and(|(day, from)| ends(day) <= from);
        let is_late = day.zip(self.question.to).is_some_and(|(day, to)| day - schema::LATEST.as_secs() >= to);
        if is_early || is_late { Listed::OutOfTime } else { Listed::Log(Wanted { key, size, log }) }
    }

    async fn read<T: Default + Send + 'static>(&self, wanted: &Wanted, look: &Arc<Look<T>>) -> Result<Found<T>> {
        let (limit, bucket) = (self.object_limit, self.bucket.as_ref());
        let got =
            retry(&self.env, Policy::STEP, || self.memory.get(bucket, &wanted.key, None, Some(wanted.size), limit));
        let (body, stored_room) = match got.await {
            Ok((Got::Found(object), room)) => (object.body, room),
            Ok((Got::Absent, _)) => return Ok(Found::fault("it is not there any more".into())),
            Ok((Got::TooLarge(size), _)) => return Ok(Found::fault(format!("{size} bytes, the limit is {limit}"))),
            Err(error) if error.is_transient() || error.is_fatal() => return Err(error),
            Err(error) => return Ok(Found::fault(error.text)),
        };
        let stored = body.len() as u64;
        let (bytes, room) = if body.starts_with(&[0x1f, 0x8b]) {
            match self.memory.inflate(body, self.caps).await? {
                (Ok(inflated), room) => (inflated.bytes, room),
                (Err(error), _) => return Ok(Found::fault(error.to_string())),
            }
        } else {
            (body, stored_room)
        };
        let (look, key, log) = (look.clone(), wanted.key.clone(), wanted.log.clone());
        let is_small = bytes.len() <= INLINE;
        let look = move || look(&bytes, &key, log.as_ref());
        let seen = if is_small { look() } else { self.env.blocking(look).await? };
        Ok(match seen.read {
            Ok((rejected, mended)) => {
                let Seen { what, records, .. } = seen;
                Found { what, records, rejected, mended, stored, fault: None, _room: Some(room) }
            }
            // as the archive does: of a broken log nothing is believed
            Err(why) => Found { stored, ..Found::fault(why) },
        })
    }

    /// The records of a log that match.
    fn look(
        &self,
        bytes: &[u8],
        key: &str,
        log: Option<&LogKey>,
        identity: &Identity,
        floor: i64,
    ) -> Seen<Vec<(u128, Hit)>> {
        let delivered = log.map(|log| log.delivered.as_second());
        let mut hits = Vec::new();
        let each = |text: &str| {
            if !self.question.may_match(text) {
                return;
            }
            let cut = row::columns(text);
            let row = cut.row();
            let when = when(row.leaf(EVENT_TIME), delivered);
            let is_newer = when.unwrap_or(i64::MIN) >= floor;
            if is_newer && self.question.covers(when) && self.question.matches(&row) {
                let told = row.told();
                let [_, id, account] = told;
                let same = identity.of(told, || (key.to_owned(), text.to_owned()));
                let rank = Rank::new(when, id, account);
                hits.push((same, Hit { rank, record: text.to_owned(), object: key.to_owned(), trail: None }));
            }
        };
        let (records, read) = records(bytes, log, each);
        Seen { what: hits, records, read }
    }
}

/// Hands over each record of a log, or of a file of any known form; says how many there were.
pub(super) fn records(
    bytes: &[u8],
    log: Option<&LogKey>,
    mut each: impl FnMut(&str),
) -> (u64, std::result::Result<(u64, bool), String>) {
    let mut records = 0;
    let mut counted = |text: &str| {
        records += 1;
        each(text);
    };
    let read = match log {
        Some(log) => read_log(bytes, log, &mut counted),
        None => read_file(bytes, &mut counted),
    };
    (records, read.map_err(|why| why.to_string()))
}

/// Events that were found before.
#[derive(Default)]
pub(super) struct Distinct(HashSet<u128>);

impl Distinct {
    pub fn is_new(&mut self, identity: u128, effort: &mut Effort) -> bool {
        let is_full = self.0.len() >= REMEMBERED;
        effort.may_repeat |= is_full;
        let is_new = if is_full { !self.0.contains(&identity) } else { self.0.insert(identity) };
        effort.repeats += u64::from(!is_new);
        is_new
    }
}

/// The objects of a log; how many elements are none.
fn read_log(bytes: &[u8], log: &LogKey, each: &mut impl FnMut(&str)) -> std::result::Result<(u64, bool), BadLog> {
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| BadLog::NotUtf8)?;
    let mut rejected = 0;
    frame::elements(text, Form::of(log), |rest| {
        let end = frame::skip(rest)?;
        match rest.get(..end).filter(|element| element.starts_with('{')) {
            Some(record) => each(record),
            None => rejected += 1,
        }
        Ok(end)
    })?;
    Ok((rejected, false))
}

fn read_file(bytes: &[u8], each: &mut impl FnMut(&str)) -> std::result::Result<(u64, bool), BadLog> {
    let mut rows = Rows::default();
    rows.begin(Origin { object: String::new(), trail: None, delivered: None, day: jiff::civil::Date::default() });
    let read = read_any(&mut rows, bytes)?;
    rows.texts().for_each(each);
    Ok((read.rejected, read.mended))
}

/// What a listing shows.
pub(super) enum Listed {
    Log(Wanted),
    Digest,
    Other,
    OutOfTime,
}

impl Effort {
    /// Whatever was listed so far.
    #[cfg(feature = "sql")]
    pub(super) fn listed(&self) -> u64 {
        self.logs + self.digests + self.others + self.out_of_time
    }

    pub(super) fn count<T>(&mut self, listed: &Listed, found: Option<&Found<T>>) {
        match listed {
            Listed::Digest => self.digests += 1,
            Listed::Other => self.others += 1,
            Listed::OutOfTime => self.out_of_time += 1,
            Listed::Log(wanted) => {
                self.logs += 1;
                self.insights += u64::from(wanted.log.as_ref().is_some_and(|log| log.kind == LogKind::Insight));
                let Some(found) = found else { return };
                self.bytes += found.stored;
                self.records += found.records;
                self.rejected += found.rejected;
                self.mended += u64::from(found.mended);
                if let Some(why) = &found.fault {
                    self.unreadable += 1;
                    if self.faults.len() < NAMED {
                        self.faults.push(format!("{}: {}", printable(&wanted.key, 300), printable(why, 200)));
                    }
                }
            }
        }
    }
}

/// What a key says; if that is nothing, what the file's name says: somebody may have copied a part of the bucket.
fn named(key: &str) -> ObjectKey {
    let parsed = key::parse(key);
    if matches!(parsed, ObjectKey::Log(_) | ObjectKey::Digest(_)) {
        return parsed;
    }
    let file = key.rsplit_once('/').map_or(key, |(_, file)| file);
    let parts: Vec<&str> = file.splitn(5, '_').collect();
    let [account, kind, region, time, _] = parts.as_slice() else { return parsed };
    let Some((year, month, day)) = time.get(..4).zip(time.get(4..6)).zip(time.get(6..8)).map(|((y, m), d)| (y, m, d))
    else {
        return parsed;
    };
    match key::parse(&format!("AWSLogs/{account}/{kind}/{region}/{year}/{month}/{day}/{file}")) {
        ObjectKey::Log(log) => ObjectKey::Log(log),
        _ => parsed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_known_by_its_name_wherever_it_was_copied_to() {
        let file = "111122223333_CloudTrail_eu-west-1_20260301T2212Z_Ab3dEf6hIj9kLm2n.json.gz";
        for key in [
            format!("AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/01/{file}"),
            format!("111122223333/CloudTrail/eu-west-1/2026/03/01/{file}"),
            file.to_owned(),
        ] {
            let ObjectKey::Log(log) = named(&key) else { panic!("{key}") };
            assert_eq!(log.delivered.to_string(), "2026-03-01T22:12:00Z", "{key}");
        }
        for key in ["notes.json", "1_2_3_4_5.json.gz", "111122223333_CloudTrail_eu-west-1_2026\u{e9}\u{e9}T_x.json.gz"]
        {
            assert!(!matches!(named(key), ObjectKey::Log(_)), "{key}");
        }
    }
}
