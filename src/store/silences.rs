//! Silences: for a time, and in somebody's name, findings are kept and not told. What is still open when one ends is told then.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use serde::Serialize;

use crate::core::finding::{Finding, Kind};
use crate::core::id::AccountId;
use crate::core::journal::What;
use crate::store::{Tx, findings, journal, time};

/// Whether a silence in force holds a row of the outbox back. That something is over, and that somebody is on it, is told to
/// whom it was told that it began.
pub(super) const SILENT: &str = "(EXISTS (
    SELECT 1 FROM silences JOIN findings AS quiet ON quiet.id = outbox.finding
    WHERE silences.over IS NULL AND (silences.finding IS NULL OR silences.finding = quiet.id)
      AND (silences.kind IS NULL OR silences.kind = quiet.kind)
      AND (silences.account IS NULL OR silences.account = quiet.account))
  AND (outbox.reason NOT IN ('resolved', 'acknowledged') OR EXISTS (
    SELECT 1 FROM outbox AS held
    WHERE held.finding = outbox.finding AND held.channel = outbox.channel AND held.state = 'due'
      AND held.reason NOT IN ('resolved', 'acknowledged') AND held.id < outbox.id)))";

/// What a silence is about; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct About {
    pub finding: Option<String>,
    pub kind: Option<Kind>,
    pub account: Option<AccountId>,
}

impl About {
    /// `finding 0123456789ab, account 111122223333`
    pub fn in_words(&self) -> String {
        let finding = self.finding.as_ref().map(|id| format!("finding {id}"));
        let kind = self.kind.map(|kind| format!("kind {kind}"));
        let account = self.account.map(|account| format!("account {account}"));
        [finding, kind, account].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silence {
    pub id: i64,
    #[serde(flatten)]
    pub about: About,
    pub author: String,
    pub note: String,
    pub created: Timestamp,
    pub until: Timestamp,
    pub over: Option<Timestamp>,
}

fn silence(row: &Row<'_>) -> Result<Silence> {
    Ok(Silence {
        id: row.get(0)?,
        about: About {
            finding: row.get(1)?,
            kind: row.get::<_, Option<String>>(2)?.as_deref().and_then(Kind::parse),
            account: row.get::<_, Option<String>>(3)?.and_then(|text| AccountId::parse(&text).ok()),
        },
        author: row.get(4)?,
        note: row.get(5)?,
        created: time(row.get(6)?),
        until: time(row.get(7)?),
        over: row.get::<_, Option<i64>>(8)?.map(time),
    })
}

const SILENCE: &str = "SELECT id, finding, kind, account, author, note, created, until, over FROM silences";

/// The newest first; those that are over only when asked for.
pub fn list(conn: &Connection, over: bool) -> Result<Vec<Silence>> {
    conn.prepare_cached(&format!("{SILENCE} WHERE ?1 OR over IS NULL ORDER BY id DESC"))?
        .query_map([over], silence)?
        .collect()
}

pub fn get(conn: &Connection, id: i64) -> Result<Option<Silence>> {
    conn.prepare_cached(&format!("{SILENCE} WHERE id = ?1"))?.query_row([id], silence).optional()
}

/// Begins a silence. That there is one is itself a finding, which no silence holds back.
pub fn begin(tx: &Tx<'_>, about: &About, author: &str, note: &str, until: Timestamp) -> Result<i64> {
    tx.conn
        .prepare_cached(
            "INSERT INTO silences (finding, kind, account, author, note, created, until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            about.finding,
            about.kind.map(Kind::name),
            about.account.as_ref().map(AccountId::as_str),
            author,
            note,
            tx.seconds(),
            until.as_second()
        ])?;
    let id = tx.conn.last_insert_rowid();
    let note = if note.is_empty() { String::new() } else { format!(": {note}") };
    let detail = format!("{author} has silenced {} until {until:.0}{note}", about.in_words());
    journal::append(tx, What::Silenced, &subject(id), &detail)?;
    let mut finding = Finding::new(Kind::AlertsSilenced, subject(id), detail);
    finding.account = about.account;
    findings::raise(tx, &finding)?;
    Ok(id)
}

fn subject(id: i64) -> String {
    format!("silence {id}")
}

/// Ends a silence before its time. False when it was over.
pub fn end(tx: &Tx<'_>, id: i64) -> Result<bool> {
    match get(tx.conn, id)? {
        Some(silence) if silence.over.is_none() => release(tx, &silence).map(|()| true),
        _ => Ok(false),
    }
}

/// Ends the silences whose time has passed.
pub fn settle(tx: &Tx<'_>) -> Result<()> {
    let passed: Vec<Silence> = tx
        .conn
        .prepare_cached(&format!("{SILENCE} WHERE over IS NULL AND until <= ?1"))?
        .query_map([tx.seconds()], silence)?
        .collect::<Result<_>>()?;
    passed.iter().try_for_each(|silence| release(tx, silence))
}

/// Whether there is anything to settle.
pub fn any_passed(conn: &Connection, now: Timestamp) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM silences WHERE over IS NULL AND until <= ?1)")?
        .query_row([now.as_second()], |row| row.get(0))
}

/// What came and went in the meantime has nothing left to tell; the rest waits from now on.
fn release(tx: &Tx<'_>, silence: &Silence) -> Result<()> {
    const UNTOLD: &str =
        "SELECT outbox.finding, outbox.channel FROM outbox JOIN findings ON findings.id = outbox.finding
        WHERE outbox.state = 'due' AND outbox.reason = 'first' AND outbox.attempts = 0 AND outbox.told_by IS NULL
          AND findings.state = 'resolved' AND outbox.created >= ?1";
    let untold: Vec<(String, String)> = tx
        .conn
        .prepare_cached(&format!("{UNTOLD} AND {SILENT}"))?
        .query_map([silence.created.as_second()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_>>()?;
    for (finding, channel) in untold {
        tx.conn
            .prepare_cached(
                "UPDATE outbox SET state = 'dropped' WHERE finding = ?1 AND channel = ?2 AND state = 'due'",
            )?
            .execute([finding, channel])?;
    }
    tx.conn
        .prepare_cached(&format!(
            "UPDATE outbox SET due = max(due, ?1) WHERE state = 'due' AND attempts = 0 AND {SILENT}"
        ))?
        .execute([tx.seconds()])?;
    tx.conn
        .prepare_cached("UPDATE silences SET over = ?2, until = min(until, ?2) WHERE id = ?1")?
        .execute(params![silence.id, tx.seconds()])?;
    tx.rings.set(true);
    findings::resolve(tx, Kind::AlertsSilenced, &subject(silence.id)).map(|_| ())
}
