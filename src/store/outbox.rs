//! Who is to be told what, and what became of it. A row is written in the transaction of its cause and never forgotten.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::core::finding::Reason;
use crate::store::{Tx, time};

#[derive(Debug, Clone)]
pub struct Due {
    pub id: i64,
    pub finding: String,
    pub channel: String,
    pub reason: Reason,
    pub attempts: u32,
    /// Seconds between repeats while the finding stays open.
    pub repeat: Option<i64>,
    pub created: Timestamp,
}

impl Due {
    /// Since when it waits.
    pub fn since(&self) -> Timestamp {
        let planned = if self.reason == Reason::Repeat { self.repeat.unwrap_or(0) } else { 0 };
        self.created + SignedDuration::from_secs(planned)
    }
}

pub fn add(
    tx: &Tx<'_>,
    finding: &str,
    channel: &str,
    reason: Reason,
    repeat: Option<Duration>,
    due: Timestamp,
) -> Result<()> {
    tx.rings.set(true);
    tx.conn
        .prepare_cached(
            "INSERT INTO outbox (finding, channel, reason, repeat, due, state, created) VALUES (?1, ?2, ?3, ?4, ?5, 'due', ?6)",
        )?
        .execute(params![
            finding,
            channel,
            reason.name(),
            repeat.map(|repeat| i64::try_from(repeat.as_secs()).unwrap_or(i64::MAX)),
            due.as_second(),
            tx.seconds()
        ])
        .map(|_| ())
}

/// The oldest due row of a channel, but for those whose finding has an earlier one that was put off: nothing is told as
/// resolved before it was told at all.
pub fn next(conn: &Connection, channel: &str, now: Timestamp) -> Result<Option<Due>> {
    conn.prepare_cached(
        "SELECT id, finding, channel, reason, attempts, repeat, created FROM outbox
         WHERE state = 'due' AND channel = ?1 AND due <= ?2
           AND NOT EXISTS (SELECT 1 FROM outbox AS earlier
                           WHERE earlier.finding = outbox.finding AND earlier.channel = ?1 AND earlier.state = 'due'
                             AND earlier.reason <> 'repeat' AND earlier.id < outbox.id)
         ORDER BY due, id LIMIT 1",
    )?
    .query_row(params![channel, now.as_second()], |row| {
        Ok(Due {
            id: row.get(0)?,
            finding: row.get(1)?,
            channel: row.get(2)?,
            reason: Reason::parse(&row.get::<_, String>(3)?).unwrap_or(Reason::First),
            attempts: row.get(4)?,
            repeat: row.get(5)?,
            created: time(row.get(6)?),
        })
    })
    .optional()
}

/// When the next row of a channel becomes due, or became due.
pub fn next_due(conn: &Connection, channel: &str) -> Result<Option<Timestamp>> {
    conn.prepare_cached("SELECT min(due) FROM outbox WHERE state = 'due' AND channel = ?1")?
        .query_row([channel], |row| row.get::<_, Option<i64>>(0))
        .map(|second| second.map(time))
}

/// Stamps a row as sent, and plans the repeat that follows it.
pub fn sent(tx: &Tx<'_>, due: &Due) -> Result<()> {
    tx.conn
        .prepare_cached(
            "UPDATE outbox SET state = 'sent', sent_at = ?2, attempts = attempts + 1, error = NULL WHERE id = ?1",
        )?
        .execute(params![due.id, tx.seconds()])?;
    tx.count("alerts.sent", 1)?;
    if let (Some(repeat), Reason::First | Reason::Repeat) = (due.repeat, due.reason) {
        let at = tx.now + SignedDuration::from_secs(repeat);
        let repeat = Duration::from_secs(repeat.unsigned_abs());
        add(tx, &due.finding, &due.channel, Reason::Repeat, Some(repeat), at)?;
    }
    Ok(())
}

pub fn later(tx: &Tx<'_>, id: i64, due: Timestamp, error: &str) -> Result<()> {
    tx.conn
        .prepare_cached("UPDATE outbox SET due = ?2, attempts = attempts + 1, error = ?3 WHERE id = ?1")?
        .execute(params![id, due.as_second(), error])
        .map(|_| ())
}

/// A channel that refuses for good: the row is kept, and the failure is told by the other channels.
pub fn dead(tx: &Tx<'_>, id: i64, error: &str) -> Result<()> {
    tx.conn
        .prepare_cached("UPDATE outbox SET state = 'dead', attempts = attempts + 1, error = ?2 WHERE id = ?1")?
        .execute(params![id, error])?;
    tx.count("alerts.dead", 1)
}

/// A repeat whose finding is no longer open.
pub fn cancel(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.conn.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id]).map(|_| ())
}

/// Forgets what is still to be said of a finding.
pub fn forget_due(tx: &Tx<'_>, finding: &str) -> Result<()> {
    tx.conn.prepare_cached("DELETE FROM outbox WHERE finding = ?1 AND state = 'due'")?.execute([finding]).map(|_| ())
}

/// Rows that are due now, and since when the oldest waits that is due or was put off.
pub fn backlog(conn: &Connection, now: Timestamp) -> Result<(i64, Option<Timestamp>)> {
    conn.query_row(
        "SELECT ifnull(sum(due <= ?1), 0), min(created + iif(reason = 'repeat', ifnull(repeat, 0), 0))
         FROM outbox WHERE state = 'due' AND (due <= ?1 OR attempts > 0)",
        [now.as_second()],
        |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.map(time))),
    )
}

/// Whether a channel has or had a row for a finding.
pub fn was_planned(conn: &Connection, finding: &str, channel: &str) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM outbox WHERE finding = ?1 AND channel = ?2)")?
        .query_row(params![finding, channel], |row| row.get(0))
}

/// Rows that were to be sent by now and are not: due, or put off after a failure.
pub fn pending(conn: &Connection, now: Timestamp) -> Result<(i64, i64)> {
    conn.query_row(
        "SELECT ifnull(sum(state = 'due' AND (due <= ?1 OR attempts > 0)), 0), ifnull(sum(state = 'dead'), 0) FROM outbox",
        [now.as_second()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}
