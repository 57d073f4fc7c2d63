//! What the warden must know and must have said, from the script alone; and what must hold at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde_json::Value;
use trailwarden::core::alert::Reason;
use trailwarden::core::finding::{Held, Kind, State};
use trailwarden::core::gzip::{Caps, inflate};
use trailwarden::core::id::Sha256;
use trailwarden::core::key::{self, ObjectKey};
use trailwarden::core::notice::{self, Event, Notice, Opened};
use trailwarden::store::{check, findings};
use trailwarden::world::{GRACE, Planted, Step};

use crate::cloud::{Cloud, Durable, Received};
use crate::script::Script;

/// Tables that say something of the world; the others say how far the work is.
const TABLES: &[&str] =
    &["objects", "chains", "digests", "awaited", "claimed", "findings", "outbox", "quarantine", "counters", "keys"];

/// What one writing of an object holds.
struct Writing {
    sha: Option<Sha256>,
    /// Elements of `Records`, of a log.
    records: Option<i64>,
}

pub struct Model {
    script: Arc<Script>,
    ledger: PathBuf,
    /// All writings of each key, in order.
    writings: BTreeMap<String, Vec<Writing>>,
    announced: BTreeSet<String>,
    /// Findings that a fault brings about, and that end with it.
    excused: Vec<Kind>,
}

type Check = Result<(), String>;

impl Model {
    pub fn new(script: Arc<Script>, ledger: &Path, denied: bool) -> Self {
        let mut writings = BTreeMap::<String, Vec<Writing>>::new();
        let mut announced = BTreeSet::new();
        for happening in &script.happenings {
            match &happening.step {
                Step::Put { key, body, .. } => writings.entry(key.clone()).or_default().push(writing(key, body)),
                Step::Message { body } => announced.extend(told(body, &script.bucket).map(|notice| notice.key)),
                Step::Remove { .. } => {}
            }
        }
        let mut excused = vec![
            Kind::QueueStalled,
            Kind::QueueBacklogged,
            Kind::CredentialsFailing,
            Kind::ChannelFailing,
            Kind::LoopStuck,
        ];
        if denied {
            excused.push(Kind::ObjectUnreadable);
        }
        Self { script, ledger: ledger.to_owned(), writings, announced, excused }
    }

    fn open(&self) -> Connection {
        Connection::open(&self.ledger).expect("the ledger opens")
    }

    /// Whether each notice of a message has left its trace in the ledger, looked at beside the warden.
    pub fn durable(&self) -> Box<Durable> {
        let (ledger, bucket) = (self.ledger.clone(), self.script.bucket.clone());
        let looking = Mutex::<Option<Connection>>::default();
        Box::new(move |body| {
            let mut looking = looking.lock().unwrap_or_else(PoisonError::into_inner);
            let conn = looking.get_or_insert_with(|| {
                Connection::open_with_flags(&ledger, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("the ledger opens")
            });
            let has = |sql: &str, text: &dyn rusqlite::ToSql| {
                conn.prepare_cached(sql).expect("a query").exists([text]).expect("an answer")
            };
            for notice in told(body, &bucket).filter(|notice| matches!(notice.event, Event::Created(_))) {
                if !has("SELECT 1 FROM objects WHERE key = ?1", &notice.key) {
                    return Err(format!("nothing is known of {}", notice.key));
                }
            }
            let poison = matches!(notice::open(body), Opened::Unintelligible { .. });
            if poison && !has("SELECT 1 FROM quarantine WHERE body = ?1", &body) {
                return Err("it was poison, and is not in quarantine".into());
            }
            Ok(())
        })
    }

    /// What must hold whenever one looks.
    pub fn check_everything(&self, cloud: &Cloud) -> Check {
        if !self.ledger.exists() {
            return Ok(());
        }
        let conn = self.open();
        let tables: i64 = conn
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'objects'", [], |row| row.get(0))
            .expect("a count");
        if tables == 0 {
            return Ok(());
        }
        if let Some(violation) = cloud.state().violations.first() {
            return Err(violation.clone());
        }
        sound(&conn)?;
        let report = check::now(&self.ledger, None).map_err(|error| error.to_string())?;
        report.fault().map_or(Ok(()), Err)?;
        self.objects(&conn)?;
        counters(&conn)?;
        for held in findings::list(&conn, true).expect("findings") {
            let planted =
                self.script.planted.iter().any(|planted| is_about(planted, &held) || may_bring(planted, &held));
            if !planted && !self.excused.contains(&held.kind) {
                return Err(format!("a false finding: {held:?}"));
            }
        }
        outbox(&conn, &cloud.state().received)
    }

    /// What is in the ledger is what was in the bucket.
    fn objects(&self, conn: &Connection) -> Check {
        let mut query = conn.prepare("SELECT key, sha, records + rejects, state, kind FROM objects").expect("a query");
        let mut rows = query.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            let key: String = row.get(0).expect("a key");
            let sha = row.get::<_, Option<Vec<u8>>>(1).expect("a hash").and_then(|bytes| Sha256::from_slice(&bytes));
            let (records, state): (i64, i64) = (row.get(2).expect("a number"), row.get(3).expect("a number"));
            let Some(writings) = self.writings.get(&key) else {
                if sha.is_some() || !self.announced.contains(&key) {
                    return Err(format!("nobody wrote {key}"));
                }
                continue;
            };
            let Some(sha) = sha else { continue };
            let Some(writing) = writings.iter().find(|writing| writing.sha == Some(sha)) else {
                return Err(format!("{key} never had the hash {sha}"));
            };
            if state == 0 && writing.records.is_some_and(|wanted| wanted != records) {
                return Err(format!("{key} has {:?} records, not {records}", writing.records));
            }
        }
        Ok(())
    }

    /// What must hold when everything had its time.
    pub fn check_the_end(&self, cloud: &Cloud) -> Check {
        let conn = self.open();
        let waiting = cloud.state().messages.iter().filter(|posted| !posted.deleted).count();
        if waiting > 0 {
            return Err(format!("{waiting} messages are left in the queue"));
        }
        for key in &self.announced {
            let known = conn.prepare_cached("SELECT 1 FROM objects WHERE key = ?1").expect("a query").exists([key]);
            if !known.expect("an answer") {
                return Err(format!("announced and lost: {key}"));
            }
        }
        self.findings(&conn)?;
        self.logs(&conn)?;
        let left: i64 = conn
            .query_row("SELECT count(*) FROM outbox WHERE state <> 'sent' AND reason <> 'repeat'", [], |row| row.get(0))
            .expect("a count");
        if left > 0 { Err(format!("{left} alerts were never sent")) } else { Ok(()) }
    }

    /// Every trouble once, and nothing that is excused still open.
    fn findings(&self, conn: &Connection) -> Check {
        let mut all = findings::list(conn, true).expect("findings");
        for planted in &self.script.planted {
            let (about, rest): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|held| is_exactly(planted, held, self.script.end));
            all = rest;
            if about.len() != 1 {
                return Err(format!("{} findings of {planted:?}; besides: {all:#?}", about.len()));
            }
        }
        match all.iter().find(|held| held.state != State::Resolved) {
            Some(open) => Err(format!("still open: {open:?}")),
            None => Ok(()),
        }
    }

    /// Nothing is left of a digest's list, but where trouble was made.
    fn logs(&self, conn: &Connection) -> Check {
        // What was due at the world's end has had an hour.
        let mut query = conn.prepare("SELECT key FROM awaited WHERE due <= ?1").expect("a query");
        let awaited = query.query_map([self.script.end.as_second()], |row| row.get::<_, String>(0)).expect("rows");
        for key in awaited.map(|row| row.expect("a key")) {
            let planted = self.script.planted.iter().any(|planted| planted.object.as_deref() == Some(&key));
            if !planted && self.writings.contains_key(&key) {
                return Err(format!("listed by a digest and never looked at: {key}"));
            }
        }
        Ok(())
    }

    pub fn count(&self, table: &str) -> u64 {
        let count: i64 =
            self.open().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a count");
        count.unsigned_abs()
    }

    pub fn dump(&self) -> Vec<String> {
        let conn = self.open();
        let mut all = Vec::new();
        for table in TABLES {
            let mut query = conn.prepare(&format!("SELECT * FROM {table}")).expect("a query");
            let columns = query.column_count();
            let mut rows = query.query([]).expect("rows");
            while let Some(row) = rows.next().expect("a row") {
                let values: Vec<String> =
                    (0..columns).map(|column| format!("{:?}", row.get_ref(column).expect("a value"))).collect();
                all.push(format!("{table}: {}", values.join(" ")));
            }
        }
        all
    }
}

fn writing(key: &str, body: &[u8]) -> Writing {
    let raw = inflate(body, Caps::default()).ok().map(|inflated| inflated.bytes);
    let log = matches!(key::parse(key), ObjectKey::Log(_)).then_some(()).and(raw.as_ref());
    let records = log.and_then(|raw| serde_json::from_slice::<Value>(raw).ok()?["Records"].as_array().map(Vec::len));
    Writing { sha: raw.as_deref().map(Sha256::of), records: records.and_then(|count| i64::try_from(count).ok()) }
}

/// Logs, digests and what looks like them in this bucket, as a message tells of them.
fn told(body: &[u8], bucket: &str) -> impl Iterator<Item = Notice> {
    let notices = match notice::open(body) {
        Opened::Notices { notices, .. } => notices,
        _ => Vec::new(),
    };
    let ours = |notice: &Notice| {
        let parsed = key::parse(&notice.key);
        notice.bucket == *bucket && matches!(parsed, ObjectKey::Log(_) | ObjectKey::Digest(_) | ObjectKey::Rejected(_))
    };
    notices.into_iter().filter(ours).collect::<Vec<_>>().into_iter()
}

fn sound(conn: &Connection) -> Check {
    let said: String = conn.query_row("PRAGMA quick_check", [], |row| row.get(0)).expect("an answer");
    if said == "ok" { Ok(()) } else { Err(said) }
}

/// Each object is counted once, and so is each record.
fn counters(conn: &Connection) -> Check {
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    for (counter, rows) in [
        ("objects.seen", "SELECT count(*) FROM objects"),
        ("objects.admitted", "SELECT count(*) FROM objects WHERE state = 0"),
        ("objects.refused", "SELECT count(*) FROM objects WHERE state = 1"),
        ("objects.absent", "SELECT count(*) FROM objects WHERE state = 2"),
        ("objects.unusable", "SELECT count(*) FROM objects WHERE state = 3"),
        ("records", "SELECT ifnull(sum(records), 0) FROM objects"),
        ("rejects", "SELECT ifnull(sum(rejects), 0) FROM objects"),
    ] {
        let counted = number(&format!("SELECT ifnull(sum(value), 0) FROM counters WHERE name = '{counter}'"));
        if counted != number(rows) {
            return Err(format!("{counter} is {counted}, the rows say {}", number(rows)));
        }
    }
    let digests = "SELECT count(*) FROM objects WHERE kind = 9 AND state = 0";
    if number("SELECT count(*) FROM digests") != number(digests) {
        return Err("a digest is not in its chain".into());
    }
    let heads = "SELECT count(*) FROM chains WHERE head IS NOT (SELECT max(end) FROM digests WHERE chain = chains.id AND verdict = 1)";
    if number(heads) != 0 {
        return Err("a chain's head is not its last good digest".into());
    }
    Ok(())
}

/// Every finding is routed; every alert comes from a committed row, under that row's key; what is stamped was received.
fn outbox(conn: &Connection, received: &[Received]) -> Check {
    let unrouted: Option<String> = conn
        .query_row(
            // A channel that fails is told of by the other one at least.
            "SELECT id FROM findings WHERE (SELECT count(DISTINCT channel) FROM outbox WHERE finding = findings.id AND reason = 'first')
             NOT BETWEEN iif(kind = 'channel_failing', 1, 2) AND 2",
            [],
            |row| row.get(0),
        )
        .optional()
        .expect("an answer");
    if let Some(id) = unrouted {
        return Err(format!("nobody is told of {id}"));
    }
    let mut query = conn.prepare("SELECT id, finding, channel, reason, state FROM outbox").expect("a query");
    let rows = query.query_map([], |row| {
        let (id, finding, channel, reason): (i64, String, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(((channel, format!("{finding}-{reason}-{id}")), row.get::<_, String>(4)?))
    });
    let rows: BTreeMap<(String, String), String> = rows.expect("rows").map(|row| row.expect("a row")).collect();
    let mut heard = BTreeSet::new();
    for alert in received {
        let name = (alert.channel.to_owned(), alert.key.clone());
        if !rows.contains_key(&name) {
            return Err(format!("an alert without a cause: {name:?} {:?}", alert.alert.finding));
        }
        if alert.reason == Reason::Resolved
            && !heard.iter().any(|(_, key): &(String, String)| key.starts_with(&alert.alert.finding.id))
        {
            return Err(format!("resolved before it was told: {name:?}"));
        }
        heard.insert(name);
    }
    match rows.iter().find(|(name, state)| *state == "sent" && !heard.contains(*name)) {
        Some((name, _)) => Err(format!("stamped as sent and never received: {name:?}")),
        None => Ok(()),
    }
}

/// Whether a finding is about a trouble, as far as it is known by now.
fn is_about(planted: &Planted, held: &Held) -> bool {
    let agrees = |held: &Option<String>, wanted: Option<String>| held.is_none() || wanted.is_none() || *held == wanted;
    held.kind == planted.kind
        && agrees(&held.account.map(|account| account.to_string()), planted.account.map(|account| account.to_string()))
        && agrees(&held.region.as_ref().map(ToString::to_string), planted.region.as_ref().map(ToString::to_string))
        && (!planted.hours.is_empty() || agrees(&held.object, planted.object.clone()))
}

/// Where digests miss for hours, lateness is told before their successor tells what it was; and it ends with that.
fn may_bring(planted: &Planted, held: &Held) -> bool {
    !planted.hours.is_empty()
        && matches!(held.kind, Kind::DigestOverdue | Kind::AccountSilent | Kind::RegionSilent)
        && (held.account.is_none() || held.account == planted.account)
        && (held.region.is_none() || held.region == planted.region)
}

fn is_exactly(planted: &Planted, held: &Held, end: jiff::Timestamp) -> bool {
    let hours = match planted.kind {
        // Time goes on after the world's end, and with it the hours that are overdue.
        Kind::DigestOverdue => !held.hours.is_empty() && held.hours.starts_with(&planted.hours_by(end, GRACE)),
        _ => held.hours == planted.hours,
    };
    is_about(planted, held) && hours && held.state == State::Open
}
