//! Who is to be told what, and what became of it. A row is written in the transaction of its cause; what became of it is
//! remembered for a season.
//!
//! A row is *due* until it was *sent*, was *folded* into the alert of another row that was sent, is *dropped* because nothing
//! is left to tell, or is *dead*: refused for so long that nobody waits for it any more.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::core::alert::{More, Reason};
use crate::core::id::AccountId;
use crate::store::silences::SILENT;
use crate::store::{Tx, time};

#[derive(Debug, Clone)]
pub struct Due {
    pub id: i64,
    pub finding: String,
    pub channel: String,
    pub reason: Reason,
    pub attempts: u32,
    pub created: Timestamp,
    /// Since when it waits.
    pub since: Timestamp,
    /// What a flood that it is part of is counted by.
    pub group: String,
    /// It is the end of what the channel was told of by name, and no part of a flood.
    pub ends: bool,
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

/// What channel `?1` could be told at `?2`: nothing is told as resolved before it was told at all, and nothing that is silenced.
fn ready() -> String {
    format!(
        "outbox.state = 'due' AND outbox.channel = ?1 AND outbox.due <= ?2 AND outbox.told_by IS NULL
         AND NOT EXISTS (SELECT 1 FROM outbox AS earlier
                         WHERE earlier.finding = outbox.finding AND earlier.channel = ?1 AND earlier.state = 'due'
                           AND earlier.reason <> 'repeat' AND NOT (earlier.reason = 'escalated' AND earlier.attempts = 0)
                           AND earlier.id < outbox.id)
         AND NOT {SILENT}"
    )
}

/// Since when a row waits: from its turn on, which a failure does not put off.
const SINCE: &str = "iif(attempts = 0, due, created + iif(reason = 'repeat', ifnull(repeat, 0), 0))";

/// Whether a channel was told of a row's finding in its own name, and not in a flood: then it has to hear of its end, too.
const NAMED: &str = "EXISTS (SELECT 1 FROM outbox AS own
    WHERE own.finding = outbox.finding AND own.channel = outbox.channel AND own.state = 'sent'
      AND own.reason IN ('first', 'repeat', 'escalated'))";

/// What a flood is counted by: the kind, and of what rules raise the rule, which is the first word of the subject.
const GROUP: &str = "(findings.kind || CASE findings.kind WHEN 'rule_fired'
    THEN ' ' || substr(findings.subject, 1, instr(findings.subject || ' ', ' ') - 1) ELSE '' END)";

/// Of those, the rows with reason `?3` whose findings are of group `?4`, and which need not be told one by one.
fn alike() -> String {
    format!(
        "outbox.reason = ?3 AND NOT (outbox.reason = 'resolved' AND {NAMED})
         AND EXISTS (SELECT 1 FROM findings WHERE findings.id = outbox.finding AND {GROUP} = ?4)"
    )
}

/// What a channel is to be told next: the worst first, then the oldest.
pub fn next(conn: &Connection, channel: &str, now: Timestamp) -> Result<Option<Due>> {
    conn.prepare_cached(&format!(
        "SELECT outbox.id, finding, channel, reason, attempts, created, {SINCE}, {GROUP}, outbox.reason = 'resolved' AND {NAMED}
         FROM outbox JOIN findings ON findings.id = finding
         WHERE {ready}
         ORDER BY CASE severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 WHEN 'low' THEN 3 ELSE 4 END,
                  due, outbox.id LIMIT 1",
        ready = ready()
    ))?
    .query_row(params![channel, now.as_second()], |row| {
        Ok(Due {
            id: row.get(0)?,
            finding: row.get(1)?,
            channel: row.get(2)?,
            reason: Reason::parse(&row.get::<_, String>(3)?).unwrap_or(Reason::First),
            attempts: row.get(4)?,
            created: time(row.get(5)?),
            since: time(row.get(6)?),
            group: row.get(7)?,
            ends: row.get(8)?,
        })
    })
    .optional()
}

/// When the next row of a channel becomes due, or became due.
pub fn next_due(conn: &Connection, channel: &str) -> Result<Option<Timestamp>> {
    conn.prepare_cached(&format!(
        "SELECT min(due) FROM outbox WHERE state = 'due' AND channel = ?1 AND told_by IS NULL AND NOT {SILENT}"
    ))?
    .query_row([channel], |row| row.get::<_, Option<i64>>(0))
    .map(|second| second.map(time))
}

/// Makes a row's alert stand for all others like it that its channel could be told now, and was not asked to take before.
pub fn fold(tx: &Tx<'_>, lead: &Due) -> Result<()> {
    tx.conn
        .prepare_cached(&format!(
            "UPDATE outbox SET told_by = ?5 WHERE {} AND {} AND attempts = 0 AND id <> ?5",
            ready(),
            alike()
        ))?
        .execute(params![lead.channel, tx.seconds(), lead.reason.name(), lead.group, lead.id])
        .map(|_| ())
}

/// Lets everything like a row wait.
pub fn put_off(tx: &Tx<'_>, like: &Due, until: Timestamp) -> Result<()> {
    tx.conn
        .prepare_cached(&format!("UPDATE outbox SET due = ?5 WHERE {} AND {}", ready(), alike()))?
        .execute(params![like.channel, tx.seconds(), like.reason.name(), like.group, until.as_second()])
        .map(|_| ())
}

/// What a row's alert tells of besides its own finding.
pub fn more(conn: &Connection, lead: i64) -> Result<Option<More>> {
    let mut query = conn.prepare_cached(
        "SELECT account, count(*) FROM outbox JOIN findings ON findings.id = finding
         WHERE told_by = ?1 AND outbox.state = 'due' GROUP BY account ORDER BY count(*) DESC, account",
    )?;
    let mut more = More { count: 0, accounts: Vec::new() };
    let mut rows = query.query([lead])?;
    while let Some(row) = rows.next()? {
        more.count += row.get::<_, i64>(1)?.unsigned_abs();
        let account = row.get::<_, Option<String>>(0)?.and_then(|text| AccountId::parse(&text).ok());
        more.accounts.extend(account.filter(|_| more.accounts.len() < More::NAMED));
    }
    Ok((more.count > 0).then_some(more))
}

/// Stamps a row as sent, with those that its alert told of, and plans the repeats that follow: one for a finding and channel.
/// `thread` is what the far side calls it.
pub fn sent(tx: &Tx<'_>, id: i64, thread: Option<&str>) -> Result<()> {
    let stamped = tx
        .conn
        .prepare_cached(
            "UPDATE outbox SET state = 'sent', sent_at = ?2, attempts = attempts + 1, error = NULL, thread = ?3
             WHERE id = ?1 AND state = 'due'",
        )?
        .execute(params![id, tx.seconds(), thread])?;
    if stamped == 0 {
        return Ok(());
    }
    tx.count("alerts.sent", 1);
    tx.conn
        .prepare_cached("UPDATE outbox SET state = 'folded', sent_at = ?2 WHERE told_by = ?1 AND state = 'due'")?
        .execute(params![id, tx.seconds()])?;
    tx.conn
        .prepare_cached(
            "INSERT INTO outbox (finding, channel, reason, repeat, due, state, created)
             SELECT finding, channel, 'repeat', repeat, ?2 + repeat, 'due', ?2 FROM outbox AS told
             WHERE (id = ?1 OR told_by = ?1) AND state IN ('sent', 'folded') AND repeat IS NOT NULL
               AND reason IN ('first', 'repeat')
               AND EXISTS (SELECT 1 FROM findings WHERE findings.id = told.finding AND findings.state = 'open')
               AND NOT EXISTS (SELECT 1 FROM outbox AS planned
                               WHERE planned.finding = told.finding AND planned.channel = told.channel
                                 AND planned.reason = 'repeat' AND planned.state = 'due')",
        )?
        .execute(params![id, tx.seconds()])?;
    pass_on(tx, id)
}

/// When the finding is over in whose name a group was told, what is still open of the group is told again in another's name,
/// after `LEFT`: on the far side its incident has ended.
fn pass_on(tx: &Tx<'_>, id: i64) -> Result<()> {
    const LEFT: i64 = 900;
    let left: Vec<String> = tx
        .conn
        .prepare_cached(
            "SELECT DISTINCT member.finding FROM outbox AS ended
             JOIN outbox AS lead ON lead.finding = ended.finding AND lead.channel = ended.channel AND lead.state = 'sent'
             JOIN outbox AS member ON member.told_by = lead.id AND member.state = 'folded' AND member.reason <> 'resolved'
             JOIN findings ON findings.id = member.finding AND findings.state = 'open'
             WHERE ended.id = ?1 AND ended.reason = 'resolved'
               AND NOT EXISTS (SELECT 1 FROM outbox AS own
                               WHERE own.finding = member.finding AND own.channel = member.channel AND own.id > member.id)
             ORDER BY member.id",
        )?
        .query_map([id], |row| row.get(0))?
        .collect::<Result<_>>()?;
    let mut lead = None;
    for finding in left {
        tx.conn
            .prepare_cached(
                "INSERT INTO outbox (finding, channel, reason, due, state, created, told_by)
                 SELECT ?2, channel, 'repeat', ?3, 'due', ?4, ?5 FROM outbox WHERE id = ?1",
            )?
            .execute(params![id, finding, tx.seconds() + LEFT, tx.seconds(), lead])?;
        lead = lead.or(Some(tx.conn.last_insert_rowid()));
    }
    Ok(())
}

/// A finding that is not open any more is neither repeated nor escalated; what was tried may have been heard.
pub fn end_repeats(tx: &Tx<'_>, finding: &str) -> Result<()> {
    const REPEATS: &str =
        "finding = ?1 AND state = 'due' AND (reason = 'repeat' OR reason = 'escalated' AND attempts = 0)";
    tx.conn
        .prepare_cached(&format!(
            "UPDATE outbox SET told_by = NULL WHERE told_by IN (SELECT id FROM outbox WHERE {REPEATS}) AND state = 'due'"
        ))?
        .execute([finding])?;
    tx.conn
        .prepare_cached(&format!("UPDATE outbox SET state = 'dropped' WHERE {REPEATS}"))?
        .execute([finding])
        .map(|_| ())
}

pub fn later(tx: &Tx<'_>, id: i64, due: Timestamp, error: &str) -> Result<()> {
    tx.conn
        .prepare_cached(
            "UPDATE outbox SET due = ?2, attempts = attempts + 1, error = ?3 WHERE id = ?1 AND state = 'due'",
        )?
        .execute(params![id, due.as_second(), error])
        .map(|_| ())
}

/// Refused for too long. The rows are kept, and are sent no more.
pub fn dead(tx: &Tx<'_>, id: i64, error: &str) -> Result<()> {
    let dead = tx
        .conn
        .prepare_cached(
            "UPDATE outbox SET state = 'dead', attempts = attempts + 1, error = ?2
             WHERE (id = ?1 OR told_by = ?1) AND state = 'due'",
        )?
        .execute(params![id, error])?;
    tx.count("alerts.dead", i64::try_from(dead).unwrap_or(i64::MAX));
    Ok(())
}

/// Whether something that a channel did not take is still waiting for it.
pub fn is_failing(conn: &Connection, channel: &str) -> Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM outbox WHERE channel = ?1 AND state = 'due' AND error IS NOT NULL)",
    )?
    .query_row([channel], |row| row.get(0))
}

/// Due rows of channels that are none of these: (finding, channel).
pub fn strays(conn: &Connection, channels: &[String]) -> Result<Vec<(String, String)>> {
    let gone: Vec<String> = conn
        .prepare_cached("SELECT DISTINCT channel FROM outbox WHERE state = 'due'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_>>()?;
    let mut strays = Vec::new();
    for channel in gone.into_iter().filter(|channel| !channels.contains(channel)) {
        let mut query =
            conn.prepare_cached("SELECT DISTINCT finding FROM outbox WHERE state = 'due' AND channel = ?1")?;
        for finding in query.query_map([&channel], |row| row.get(0))? {
            strays.push((finding?, channel.clone()));
        }
    }
    Ok(strays)
}

/// Gives what a channel was to be told of a finding to others, as far as they have heard nothing of it.
pub fn reroute(tx: &Tx<'_>, finding: &str, from: &str, to: &[String]) -> Result<()> {
    const THOSE: &str = "finding = ?1 AND channel = ?2 AND state = 'due'";
    for channel in to {
        if !was_planned(tx.conn, finding, channel, Timestamp::UNIX_EPOCH)? {
            tx.conn
                .prepare_cached(&format!(
                    "INSERT INTO outbox (finding, channel, reason, repeat, due, state, created)
                     SELECT finding, ?3, reason, repeat, due, 'due', created FROM outbox WHERE {THOSE} ORDER BY id"
                ))?
                .execute(params![finding, from, channel])?;
            tx.rings.set(true);
        }
    }
    tx.conn
        .prepare_cached(&format!("UPDATE outbox SET state = 'dropped' WHERE {THOSE}"))?
        .execute(params![finding, from])
        .map(|_| ())
}

/// Forgets what is still to be said of a finding.
pub fn forget_due(tx: &Tx<'_>, finding: &str) -> Result<()> {
    tx.conn.prepare_cached("DELETE FROM outbox WHERE finding = ?1 AND state = 'due'")?.execute([finding]).map(|_| ())
}

/// Channels that heard of a finding in its own name, or are about to, since they last heard that it was over.
pub fn told(conn: &Connection, finding: &str) -> Result<Vec<String>> {
    conn.prepare_cached(
        "SELECT DISTINCT channel FROM outbox AS told
         WHERE finding = ?1 AND told_by IS NULL
           AND (reason = 'first' AND state IN ('sent', 'due')
                OR reason IN ('repeat', 'escalated') AND (state = 'sent' OR state = 'due' AND attempts > 0))
           AND id > (SELECT ifnull(max(id), 0) FROM outbox AS over
                     WHERE over.finding = told.finding AND over.channel = told.channel AND over.reason = 'resolved')
         ORDER BY channel",
    )?
    .query_map([finding], |row| row.get(0))?
    .collect()
}

/// What a channel calls the first alert of a finding that has not ended since.
pub fn thread(conn: &Connection, finding: &str, channel: &str) -> Result<Option<String>> {
    conn.prepare_cached(
        "SELECT thread FROM outbox AS told
         WHERE finding = ?1 AND channel = ?2 AND thread IS NOT NULL
           AND id > (SELECT ifnull(max(id), 0) FROM outbox AS over
                     WHERE over.finding = ?1 AND over.channel = ?2 AND over.reason = 'resolved' AND over.state = 'sent')
         ORDER BY id LIMIT 1",
    )?
    .query_row([finding, channel], |row| row.get(0))
    .optional()
}

/// What a channel was told since a time, the oldest first: (group, reason, finding, when).
pub fn lately(conn: &Connection, channel: &str, since: Timestamp) -> Result<Vec<(String, Reason, String, Timestamp)>> {
    let mut query = conn.prepare_cached(&format!(
        "SELECT {GROUP}, reason, finding, sent_at FROM outbox JOIN findings ON findings.id = finding
         WHERE channel = ?1 AND outbox.state = 'sent' AND sent_at > ?2 ORDER BY sent_at, outbox.id"
    ))?;
    let mut rows = query.query(params![channel, since.as_second()])?;
    let mut told = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(reason) = Reason::parse(&row.get::<_, String>(1)?) {
            told.push((row.get(0)?, reason, row.get(2)?, time(row.get(3)?)));
        }
    }
    Ok(told)
}

/// Rows that are due now, and since when the oldest waits that is due or was put off.
pub fn backlog(conn: &Connection, now: Timestamp) -> Result<(i64, Option<Timestamp>)> {
    conn.query_row(
        &format!(
            "SELECT ifnull(sum(due <= ?1), 0), min({SINCE}) FROM outbox
             WHERE state = 'due' AND (due <= ?1 OR attempts > 0) AND NOT {SILENT}"
        ),
        [now.as_second()],
        |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.map(time))),
    )
}

/// Whether a channel has or had a row for a finding that was written since a time.
pub fn was_planned(conn: &Connection, finding: &str, channel: &str, since: Timestamp) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM outbox WHERE finding = ?1 AND channel = ?2 AND created >= ?3)")?
        .query_row(params![finding, channel, since.as_second()], |row| row.get(0))
}

/// Rows that were to be sent by now and are not: due, or put off after a failure.
pub fn pending(conn: &Connection, now: Timestamp) -> Result<i64> {
    conn.query_row(
        &format!("SELECT count(*) FROM outbox WHERE state = 'due' AND (due <= ?1 OR attempts > 0) AND NOT {SILENT}"),
        [now.as_second()],
        |row| row.get(0),
    )
}

/// Rows that have had their end before a time.
pub fn old(conn: &Connection, before: Timestamp, limit: usize) -> Result<Vec<i64>> {
    conn.prepare_cached("SELECT id FROM outbox WHERE state <> 'due' AND created < ?1 LIMIT ?2")?
        .query_map(params![before.as_second(), i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get(0))?
        .collect()
}

pub fn forget(tx: &Tx<'_>, id: i64) -> Result<()> {
    tx.conn.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([id]).map(|_| ())
}
