//! Findings: raised by fingerprint, counted when raised again, resolved when their cause is gone; each with its outbox rows.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::core::alert::Reason;
use crate::core::finding::{Finding, Fingerprint, Held, Kind, Severity, State};
use crate::core::id::{AccountId, Region};
use crate::core::journal::What;
use crate::core::route;
use crate::store::{Tx, journal, outbox, time};

const HELD: &str = "id, kind, severity, state, account, region, trail, bucket, object, hours, detail, first_seen, last_seen, \
                    resolved_at, note, count, subject, detection";

/// `None` for what another version of the program has written, of a kind that this one does not know.
fn held(row: &Row<'_>) -> Result<Option<Held>> {
    let text = |column| row.get::<_, Option<String>>(column);
    let unknown = |column| rusqlite::Error::InvalidColumnType(column, "name".into(), rusqlite::types::Type::Text);
    let Some(kind) = text(1)?.as_deref().and_then(Kind::parse) else { return Ok(None) };
    Ok(Some(Held {
        id: row.get(0)?,
        kind,
        class: kind.class(),
        severity: text(2)?.as_deref().and_then(Severity::parse).ok_or_else(|| unknown(2))?,
        state: text(3)?.as_deref().and_then(State::parse).ok_or_else(|| unknown(3))?,
        account: text(4)?.and_then(|text| AccountId::parse(&text).ok()),
        region: text(5)?.and_then(|text| Region::parse(&text).ok()),
        trail: row.get(6)?,
        bucket: row.get(7)?,
        object: row.get(8)?,
        hours: serde_json::from_str(&row.get::<_, String>(9)?).unwrap_or_default(),
        detail: row.get(10)?,
        detection: text(17)?.and_then(|text| serde_json::from_str(&text).ok()),
        first_seen: time(row.get(11)?),
        last_seen: time(row.get(12)?),
        resolved_at: row.get::<_, Option<i64>>(13)?.map(time),
        note: row.get(14)?,
        count: row.get::<_, i64>(15)?.unsigned_abs(),
        url: kind.url_of(&row.get::<_, String>(16)?),
    }))
}

/// By its id, or the unambiguous beginning of one.
pub fn get(conn: &Connection, id: &str) -> Result<Option<Held>> {
    let found: Vec<Held> = conn
        .prepare_cached(&format!("SELECT {HELD} FROM findings WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2"))?
        .query_map([id], held)?
        .filter_map(Result::transpose)
        .collect::<Result<_>>()?;
    Ok(if found.len() == 1 { found.into_iter().next() } else { None })
}

/// The worst and newest first; resolved ones only when asked for.
pub fn list(conn: &Connection, resolved: bool) -> Result<Vec<Held>> {
    let mut all: Vec<Held> = conn
        .prepare_cached(&format!(
            "SELECT {HELD} FROM findings WHERE ?1 OR state <> 'resolved' ORDER BY first_seen, id"
        ))?
        .query_map([resolved], held)?
        .filter_map(Result::transpose)
        .collect::<Result<_>>()?;
    all.sort_by_key(|held| std::cmp::Reverse(held.severity));
    Ok(all)
}

/// Raises a finding: new, counted again, or re-opened. True when somebody is to be told.
pub fn raise(tx: &Tx<'_>, finding: &Finding) -> Result<bool> {
    raise_times(tx, finding, 1)
}

/// As [`raise`], for so many occurrences at once.
pub fn raise_times(tx: &Tx<'_>, finding: &Finding, times: u64) -> Result<bool> {
    let id = finding.fingerprint();
    tx.open.borrow_mut().insert(finding.kind, true);
    let before: Option<(String, String)> = tx
        .conn
        .prepare_cached("SELECT state, severity FROM findings WHERE id = ?1")?
        .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let hours = serde_json::to_string(&finding.hours).unwrap_or_else(|_| "[]".into());
    tx.conn
        .prepare_cached(
            "INSERT INTO findings (id, kind, severity, state, subject, account, region, trail, bucket, object, hours, detail,
                                   first_seen, last_seen, count, detection)
             VALUES (?1, ?2, ?3, 'open', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13, ?14)
             ON CONFLICT (id) DO UPDATE SET
               state = CASE state WHEN 'resolved' THEN 'open' ELSE state END, resolved_at = NULL,
               object = CASE state WHEN 'resolved' THEN excluded.object ELSE object END,
               hours = excluded.hours, detail = excluded.detail, last_seen = excluded.last_seen, count = count + excluded.count,
               detection = ifnull(excluded.detection, detection)",
        )?
        .execute(params![
            id.as_str(),
            finding.kind.name(),
            finding.severity.name(),
            finding.subject,
            finding.account.as_ref().map(AccountId::as_str),
            finding.region.as_ref().map(Region::as_str),
            finding.trail,
            finding.bucket,
            finding.object,
            hours,
            finding.detail,
            tx.seconds(),
            i64::try_from(times).unwrap_or(i64::MAX),
            finding.detection.as_ref().and_then(|detection| serde_json::to_string(detection).ok()),
        ])?;
    let (what, severity) = match before {
        None => (What::Raised, finding.severity.name().to_owned()),
        Some((state, severity)) if state == State::Resolved.name() => (What::Reopened, severity),
        Some(_) => return Ok(false),
    };
    // A heartbeat is no verdict: it carries the journal's head, and is not in it.
    if finding.kind != Kind::Heartbeat {
        journal::append(tx, what, id.as_str(), &format!("{severity} {} {}", finding.kind, finding.subject))?;
    }
    tell(tx, id.as_str(), Reason::First)?;
    Ok(true)
}

/// Raises a standing condition: written only when it is new or its hours changed, so that a look every few minutes is no news.
pub fn hold(tx: &Tx<'_>, finding: &Finding) -> Result<bool> {
    let hours = serde_json::to_string(&finding.hours).unwrap_or_else(|_| "[]".into());
    let same = tx
        .conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM findings WHERE id = ?1 AND state <> 'resolved' AND hours = ?2)")?
        .query_row(params![finding.fingerprint().as_str(), hours], |row| row.get(0))?;
    if same { Ok(false) } else { raise(tx, finding) }
}

/// Closes a finding whose cause is gone; nothing happens when it is not open.
pub fn resolve(tx: &Tx<'_>, kind: Kind, subject: &str) -> Result<bool> {
    Ok(any_open(tx, kind)? && resolve_id(tx, Fingerprint::of(kind, subject).as_str())?)
}

/// Whether anything of a kind is open: with every object it is asked whether something is over, and nearly never is.
fn any_open(tx: &Tx<'_>, kind: Kind) -> Result<bool> {
    if let Some(open) = tx.open.borrow().get(&kind) {
        return Ok(*open);
    }
    let open = tx
        .conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM findings WHERE kind = ?1 AND state <> 'resolved')")?
        .query_row([kind.name()], |row| row.get(0))?;
    tx.open.borrow_mut().insert(kind, open);
    Ok(open)
}

/// Closes what is open about an object, where one finding may stand for many: the object that it names is the proof.
pub fn resolve_of_object(tx: &Tx<'_>, kind: Kind, object: &str) -> Result<()> {
    if !any_open(tx, kind)? {
        return Ok(());
    }
    let ids: Vec<String> = tx
        .conn
        .prepare_cached("SELECT id FROM findings WHERE kind = ?1 AND object = ?2 AND state <> 'resolved'")?
        .query_map(params![kind.name(), object], |row| row.get(0))?
        .collect::<Result<_>>()?;
    ids.iter().try_for_each(|id| resolve_id(tx, id).map(|_| ()))
}

pub fn resolve_id(tx: &Tx<'_>, id: &str) -> Result<bool> {
    // Asked for with every object, and nearly never so: to look is cheaper than to change nothing.
    let open = tx
        .conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM findings WHERE id = ?1 AND state <> 'resolved')")?
        .query_row([id], |row| row.get::<_, bool>(0))?;
    if !open {
        return Ok(false);
    }
    let closed = tx
        .conn
        .prepare_cached(
            "UPDATE findings SET state = 'resolved', resolved_at = ?2 WHERE id = ?1 AND state <> 'resolved'",
        )?
        .execute(params![id, tx.seconds()])?
        == 1;
    if closed {
        outbox::end_repeats(tx, id)?;
        journal::append(tx, What::Resolved, id, "")?;
        tell(tx, id, Reason::Resolved)?;
    }
    Ok(closed)
}

/// As [`resolve_id`], by a person whose note stays with it.
pub fn close(tx: &Tx<'_>, id: &str, note: &str) -> Result<bool> {
    if !note.is_empty() {
        let noted = tx
            .conn
            .prepare_cached("UPDATE findings SET note = ?2 WHERE id = ?1 AND state <> 'resolved'")?
            .execute(params![id, note])?
            == 1;
        if noted {
            journal::append(tx, What::Acknowledged, id, note)?;
        }
    }
    resolve_id(tx, id)
}

pub fn acknowledge(tx: &Tx<'_>, id: &str, note: &str) -> Result<bool> {
    outbox::end_repeats(tx, id)?;
    let done = tx
        .conn
        .prepare_cached("UPDATE findings SET state = 'acknowledged', note = ?2 WHERE id = ?1 AND state = 'open'")?
        .execute(params![id, note])?
        == 1;
    if done {
        journal::append(tx, What::Acknowledged, id, note)?;
        tell(tx, id, Reason::Acknowledged)?;
    }
    Ok(done)
}

/// What another ledger knew of the same finding: since when it is known, and that somebody is on it. False when it is not here.
pub fn carry(tx: &Tx<'_>, known: &Held) -> Result<bool> {
    let here = tx
        .conn
        .prepare_cached("UPDATE findings SET first_seen = min(first_seen, ?2) WHERE id = ?1 AND state = 'open'")?
        .execute(params![known.id, known.first_seen.as_second()])?
        == 1;
    if here && known.state == State::Acknowledged {
        acknowledge(tx, &known.id, known.note.as_deref().unwrap_or_default())?;
        outbox::forget_due(tx, &known.id)?;
    }
    Ok(here)
}

pub fn is_open(tx: &Tx<'_>, kind: Kind, subject: &str) -> Result<bool> {
    if !any_open(tx, kind)? {
        return Ok(false);
    }
    tx.conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM findings WHERE id = ?1 AND state <> 'resolved')")?
        .query_row([Fingerprint::of(kind, subject).as_str()], |row| row.get(0))
}

/// Whether an open finding is about an object.
pub fn names(conn: &Connection, object: &str) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM findings WHERE object = ?1 AND state <> 'resolved')")?
        .query_row([object], |row| row.get(0))
}

/// Open findings of one kind: (id, subject).
pub fn open_of(conn: &Connection, kind: Kind) -> Result<Vec<(String, String)>> {
    conn.prepare_cached("SELECT id, subject FROM findings WHERE kind = ?1 AND state <> 'resolved'")?
        .query_map([kind.name()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Ids of open findings of one kind that were seen last before a time, in seconds since the epoch.
pub fn older(conn: &Connection, kind: Kind, before: i64, limit: usize) -> Result<Vec<String>> {
    conn.prepare_cached("SELECT id FROM findings WHERE kind = ?1 AND state <> 'resolved' AND last_seen < ?2 LIMIT ?3")?
        .query_map(params![kind.name(), before, i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get(0))?
        .collect()
}

/// Open findings of one kind about a bucket: (id, subject).
pub fn open_in(conn: &Connection, kind: Kind, bucket: &str) -> Result<Vec<(String, String)>> {
    conn.prepare_cached("SELECT id, subject FROM findings WHERE kind = ?1 AND bucket = ?2 AND state <> 'resolved'")?
        .query_map([kind.name(), bucket], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// The objects in a bucket of which something is open.
pub fn open_objects(conn: &Connection, kinds: &[Kind], bucket: &str) -> Result<Vec<String>> {
    let mut objects = Vec::new();
    for kind in kinds {
        let mut query = conn.prepare_cached(
            "SELECT object FROM findings WHERE kind = ?1 AND state <> 'resolved' AND object IS NOT NULL AND bucket = ?2",
        )?;
        for object in query.query_map(params![kind.name(), bucket], |row| row.get(0))? {
            objects.push(object?);
        }
    }
    Ok(objects)
}

/// How many are open, by severity.
pub fn open_by_severity(conn: &Connection) -> Result<Vec<(String, i64)>> {
    conn.prepare_cached("SELECT severity, count(*) FROM findings WHERE state <> 'resolved' GROUP BY severity")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn tell(tx: &Tx<'_>, id: &str, reason: Reason) -> Result<()> {
    let Some(held) = get(tx.conn, id)? else { return Ok(()) };
    let Some(route) = route::plan(tx.routes, &held) else { return Ok(()) };
    if !reason.calls() {
        // Whoever heard that it began, for whatever reason, hears how it goes on.
        let mut told = if route.resolved { outbox::told(tx.conn, id)? } else { Vec::new() };
        if reason == Reason::Resolved && route.resolved {
            told.extend(route.to.iter().filter(|name| !told.contains(name)).cloned().collect::<Vec<_>>());
        }
        return told.iter().try_for_each(|channel| outbox::add(tx, id, channel, reason, None, tx.now));
    }
    // A heartbeat has a rhythm of its own.
    let repeat = route.repeat.filter(|_| held.kind != Kind::Heartbeat);
    for channel in &route.to {
        outbox::add(tx, id, channel, reason, repeat, tx.now)?;
    }
    let escalation = route.escalation.iter().filter(|_| held.kind != Kind::Heartbeat);
    for (channel, after) in escalation.flat_map(|escalation| escalation.to.iter().map(|name| (name, escalation.after)))
    {
        let due = tx.now + SignedDuration::try_from(after).unwrap_or(SignedDuration::ZERO);
        outbox::add(tx, id, channel, Reason::Escalated, None, due)?;
    }
    Ok(())
}

/// What waits for channels that are none of these goes to those that the routes name now.
pub fn reroute(tx: &Tx<'_>, strays: &[(String, String)]) -> Result<()> {
    for (id, from) in strays {
        let held = get(tx.conn, id)?;
        let route = held.as_ref().and_then(|held| route::plan(tx.routes, held));
        outbox::reroute(tx, id, from, route.map_or(&[], |route| &route.to))?;
    }
    Ok(())
}

/// When the newest object was delivered, and when the oldest message still matters; for `status`.
pub fn last_seen(conn: &Connection) -> Result<Option<Timestamp>> {
    conn.query_row("SELECT max(head) FROM chains", [], |row| row.get::<_, Option<i64>>(0))
        .map(|second| second.map(time))
}
