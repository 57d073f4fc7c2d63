//! Records from elsewhere: a raw bucket or a copy of one, answers of LookupEvents, what CloudTrail Lake gave back, JSON lines.
//!
//! The same events again change nothing: the archive knows them. So an import that was interrupted is simply begun anew.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::tz::TimeZone;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::rows::{Origin, Rows};
use super::{Archive, Flushed};
use crate::core::gzip::Caps;
use crate::core::key::{self, ObjectKey};
use crate::core::printable;
use crate::core::record::BadLog;
use crate::core::record::frame::Form;
use crate::error::{Error, Result};
use crate::retry::{Policy, retry};
use crate::seam::{DynBucket, Got};

/// Files that are fetched together, by each thread that cuts records up; and stored bytes after which there are enough.
const AHEAD: usize = 16;
const AHEAD_BYTES: u64 = 8 << 20;
/// Files that are listed before somebody fetches them.
const LISTED: usize = 2_000;
/// Inflated bytes that are cut up together.
const CUT: usize = 4 << 20;
/// Faults that are named; all are counted.
const NAMED: usize = 20;

/// Where from.
pub struct Import {
    pub bucket: DynBucket,
    pub prefix: String,
    /// How large a file may be, and what it may inflate to.
    pub object_limit: u64,
    pub caps: Caps,
    /// Threads that cut records up.
    pub workers: usize,
}

/// How far it is, for whoever draws it.
#[derive(Debug, Default)]
pub struct Progress {
    pub files: AtomicU64,
    pub bytes: AtomicU64,
    pub records: AtomicU64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    pub files: u64,
    /// Digests, and what is no JSON by its name.
    pub skipped: u64,
    pub records: u64,
    /// Elements that are no objects.
    pub rejected: u64,
    /// Files with bytes that are no UTF-8: those were replaced by U+FFFD.
    pub mended: u64,
    pub unreadable: u64,
    pub faults: Vec<String>,
    pub flushed: Flushed,
}

impl Imported {
    fn fault(&mut self, file: &str, why: &str) {
        self.unreadable += 1;
        if self.faults.len() < NAMED {
            self.faults.push(format!("{}: {}", printable(file, 300), printable(why, 200)));
        }
    }
}

impl std::ops::AddAssign for Imported {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.skipped += other.skipped;
        self.records += other.records;
        self.rejected += other.rejected;
        self.mended += other.mended;
        self.unreadable += other.unreadable;
        self.faults.extend(other.faults);
        self.faults.truncate(NAMED);
        self.flushed += other.flushed;
    }
}

impl Archive {
    /// Reads all files under a prefix, in parallel.
    pub async fn import(self: &Arc<Self>, from: Arc<Import>, progress: Arc<Progress>) -> Result<Imported> {
        let (send, receive) = mpsc::channel(LISTED);
        let (receive, total) = (Arc::new(Mutex::new(receive)), Arc::new(Mutex::new(Imported::default())));
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..from.workers.max(1) {
            let worker = Worker {
                archive: self.clone(),
                from: from.clone(),
                total: total.clone(),
                progress: progress.clone(),
                rows: Rows::new(self.ids.identity.clone()),
            };
            workers.spawn(worker.run(receive.clone()));
        }
        drop(receive);
        let listed = self.list(&from, &send, &total).await;
        drop(send);
        while let Some(worked) = workers.join_next().await {
            worked.map_err(|error| Error::transient("archive:import", error))??;
        }
        listed?;
        let total = total.lock().await.clone();
        Ok(total)
    }

    async fn list(&self, from: &Import, send: &mpsc::Sender<(String, u64)>, total: &Mutex<Imported>) -> Result<()> {
        let mut after = None::<String>;
        loop {
            let page = retry(&self.env, Policy::STEP, || from.bucket.list(&from.prefix, after.as_deref())).await?;
            after = page.objects.last().map(|listed| listed.key.clone());
            for listed in page.objects {
                let is_digest = matches!(key::parse(&listed.key), ObjectKey::Digest(_));
                let name = listed.key.trim_end_matches(".gz");
                if is_digest || ![".json", ".jsonl", ".ndjson"].iter().any(|ending| name.ends_with(ending)) {
                    total.lock().await.skipped += 1;
                } else if send.send((listed.key, listed.size)).await.is_err() {
                    // the workers have failed, and say why
                    return Ok(());
                }
            }
            if !page.more || after.is_none() {
                return Ok(());
            }
        }
    }
}

/// Keys and sizes of files that are to be read.
type Files = Arc<Mutex<mpsc::Receiver<(String, u64)>>>;

struct Worker {
    archive: Arc<Archive>,
    from: Arc<Import>,
    total: Arc<Mutex<Imported>>,
    progress: Arc<Progress>,
    rows: Rows,
}

impl Worker {
    async fn run(mut self, files: Files) -> Result<()> {
        let (mut whole, mut bytes) = (Vec::new(), 0);
        let mut ahead = self.fetch(&files);
        loop {
            let fetched = ahead.await.map_err(|error| Error::transient("archive:import", error))??;
            if fetched.is_empty() {
                self.cut(whole).await?;
                return self.flush().await;
            }
            ahead = self.fetch(&files);
            for (key, got) in fetched {
                let Some(inflated) = self.open(&key, got).await? else { continue };
                bytes += inflated.len();
                whole.push((key, inflated));
                if bytes >= CUT {
                    self.cut(std::mem::take(&mut whole)).await?;
                    bytes = 0;
                }
            }
        }
    }

    /// Fetches the next files, while others are cut up; none when there are no more.
    fn fetch(&self, files: &Files) -> JoinHandle<Result<Vec<(String, Got)>>> {
        let (archive, from, files) = (self.archive.clone(), self.from.clone(), files.clone());
        tokio::spawn(async move {
            let group = group(&mut *files.lock().await).await;
            let fetched = group.iter().map(|(key, size)| fetch(&archive, &from, key, *size));
            let fetched = futures_util::future::try_join_all(fetched).await?;
            Ok(group.into_iter().map(|(key, _)| key).zip(fetched).collect())
        })
    }

    async fn flush(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::replace(&mut self.rows, Rows::new(self.archive.ids.identity.clone()));
        let flushed;
        (flushed, self.rows) = self.archive.commit(rows, Vec::new()).await?;
        self.total.lock().await.flushed += flushed;
        Ok(())
    }

    /// What a file inflates to; nothing where nothing is to be had of it.
    async fn open(&self, key: &str, got: Got) -> Result<Option<Vec<u8>>> {
        let limit = self.from.object_limit;
        let body = match got {
            Got::Found(object) => object.body,
            Got::Absent => return Ok(None),
            Got::TooLarge(size) => {
                self.total.lock().await.fault(key, &format!("{size} bytes, the limit is {limit}"));
                return Ok(None);
            }
        };
        self.progress.files.fetch_add(1, Ordering::Relaxed);
        self.progress.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        if !body.starts_with(&[0x1f, 0x8b]) {
            return Ok(Some(body));
        }
        match self.archive.deliveries.memory.inflate(body, self.from.caps).await?.0 {
            Ok(inflated) => Ok(Some(inflated.bytes)),
            Err(error) => {
                self.total.lock().await.fault(key, &error.to_string());
                Ok(None)
            }
        }
    }

    async fn cut(&mut self, files: Vec<(String, Vec<u8>)>) -> Result<()> {
        let mut rows = std::mem::replace(&mut self.rows, Rows::new(self.archive.ids.identity.clone()));
        let (mut cut, today) = (Imported::default(), self.archive.env.now().to_zoned(TimeZone::UTC).date());
        let work = move || {
            for (key, bytes) in files {
                rows.begin(origin(key.clone(), today));
                let before = rows.len();
                let read = read_any(&mut rows, &bytes);
                cut.files += 1;
                cut.records += (rows.len() - before) as u64;
                match read {
                    Ok(read) => {
                        cut.rejected += read.rejected;
                        cut.mended += u64::from(read.mended);
                    }
                    Err(why) => cut.fault(&key, &why.to_string()),
                }
            }
            (rows, cut)
        };
        let (rows, cut) = self.archive.env.blocking(work).await?;
        self.rows = rows;
        self.progress.records.fetch_add(cut.records, Ordering::Relaxed);
        *self.total.lock().await += cut;
        if self.rows.bytes() >= self.archive.buffer / self.from.workers.max(1) {
            self.flush().await?;
        }
        Ok(())
    }
}

/// Files that are fetched together; none when there are no more.
async fn group(files: &mut mpsc::Receiver<(String, u64)>) -> Vec<(String, u64)> {
    let mut group: Vec<(String, u64)> = files.recv().await.into_iter().collect();
    while group.len() < AHEAD && group.iter().map(|(_, size)| size).sum::<u64>() < AHEAD_BYTES {
        let Ok(next) = files.try_recv() else { break };
        group.push(next);
    }
    group
}

async fn fetch(archive: &Archive, from: &Import, key: &str, size: u64) -> Result<Got> {
    let memory = &archive.deliveries.memory;
    let get = || memory.get(from.bucket.as_ref(), key, None, Some(size), from.object_limit);
    Ok(retry(&archive.env, Policy::STEP, get).await?.0)
}

fn origin(object: String, today: jiff::civil::Date) -> Origin {
    match key::parse(&object) {
        ObjectKey::Log(log) => Origin { object, trail: None, delivered: Some(log.delivered), day: log.date },
        _ => Origin { object, trail: None, delivered: None, day: today },
    }
}

/// What stood beside the records of a file.
pub(super) struct Read {
    pub rejected: u64,
    pub mended: bool,
}

/// Takes the records in of a file of any of the known forms; nothing of one that is broken.
pub(super) fn read_any(rows: &mut Rows, bytes: &[u8]) -> Result<Read, BadLog> {
    let text = simdutf8::basic::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
    let rejected = rows.read(&text, Form::Any, wrapped)?;
    Ok(Read { rejected, mended: matches!(text, Cow::Owned(_)) })
}

/// Records within something else: an answer of LookupEvents, an event of it, rows of a query of CloudTrail Lake's, an event as
/// EventBridge delivers it. False: it is none of these.
fn wrapped(element: &str, each: &mut dyn FnMut(&str)) -> bool {
    let Ok(Value::Object(members)) = serde_json::from_str::<Value>(element) else { return false };
    if let Some(Value::Array(events)) = members.get("Events") {
        events.iter().for_each(|event| inner(event, each));
        return true;
    }
    if let Some(Value::Array(rows)) = members.get("QueryResultRows") {
        // a row is a list of objects of one column each
        for row in rows.iter().filter_map(Value::as_array) {
            let columns: serde_json::Map<String, Value> = row
                .iter()
                .filter_map(Value::as_object)
                .flatten()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            inner(&Value::Object(columns), each);
        }
        return true;
    }
    let is_wrapper = INNER.iter().any(|name| members.contains_key(*name)) && !members.contains_key("eventID");
    if is_wrapper {
        inner(&Value::Object(members), each);
    }
    is_wrapper
}

/// Members that hold a record: as text, or as an object.
const INNER: [&str; 4] = ["CloudTrailEvent", "eventJson", "eventData", "detail"];

fn inner(value: &Value, each: &mut dyn FnMut(&str)) {
    match INNER.iter().find_map(|name| value.get(*name)) {
        Some(Value::String(text)) if text.trim_start().starts_with('{') => each(text),
        Some(Value::Object(record)) => each(&Value::Object(record.clone()).to_string()),
        _ => each(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(Read, Vec<String>), BadLog> {
        let mut rows = Rows::default();
        rows.begin(origin("a.json".into(), jiff::civil::date(2026, 3, 1)));
        let read = read_any(&mut rows, bytes)?;
        Ok((read, rows.texts().map(str::to_owned).collect()))
    }

    fn texts(bytes: &[u8]) -> Result<Vec<String>, BadLog> {
        Ok(read(bytes)?.1)
    }

    #[test]
    fn records_come_in_many_forms() {
        let one = r#"{"eventTime":"2026-03-01T22:10:00Z","eventID":"1"}"#;
        let two = r#"{"eventTime":5,"eventID":"2"}"#;
        let quoted = |text: &str| Value::from(text).to_string();
        for text in [
            format!("{{\"Records\":[{one},{two}]}}"),
            format!("[{one}, {two}]"),
            format!("{one}\n{two}\n"),
            format!(
                "{{\"Events\":[{{\"EventId\":\"1\",\"CloudTrailEvent\":{}}},{{\"CloudTrailEvent\":{}}}]}}",
                quoted(one),
                quoted(two)
            ),
            format!(
                "{{\"EventId\":\"1\",\"CloudTrailEvent\":{}}}\n{{\"detail\":{two},\"source\":\"aws.ec2\"}}",
                quoted(one)
            ),
            format!(
                "{{\"QueryResultRows\":[[{{\"eventJson\":{}}},{{\"n\":\"1\"}}],[{{\"eventJson\":{}}}]]}}",
                quoted(one),
                quoted(two)
            ),
        ] {
            let mut found = texts(text.as_bytes()).unwrap();
            found.sort_by_key(|text| text.contains("\"2\""));
            let same: Vec<Value> = found.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
            let wanted: Vec<Value> = [one, two].map(|text| serde_json::from_str(text).unwrap()).into();
            assert_eq!(same, wanted, "{text}");
        }
        let rows = r#"{"QueryResultRows":[[{"eventID":"1"},{"eventName":"a"}]]}"#;
        assert_eq!(texts(rows.as_bytes()).unwrap(), [r#"{"eventID":"1","eventName":"a"}"#]);
    }

    #[test]
    fn what_is_broken_is_said_and_the_rest_kept() {
        assert!(texts(b"no json").is_err() && texts(b"{\"a\":").is_err());
        let (read, texts) = read(b"[5, {\"eventID\":\"a\xffb\"}]").unwrap();
        assert_eq!((read.rejected, read.mended, texts), (1, true, vec!["{\"eventID\":\"a\u{fffd}b\"}".to_owned()]));
    }
}
