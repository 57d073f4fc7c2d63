//! What rules remember: of each group how full its windows are, and which events they have counted.

use rusqlite::{OptionalExtension, Result, Row, params};

use crate::core::change::EventId;
use crate::core::rule::{Watch, WatchId};
use crate::store::Tx;

/// Events that one step forgets.
const STEP: i64 = 4_000;
/// How long an event is remembered, in seconds: its second copy, from another trail or another log, is not counted.
const REMEMBERED: i64 = 7 * 86_400;

/// A group of a rule, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    pub id: WatchId,
    pub rule: String,
    /// Values of the group's fields.
    pub group: Vec<String>,
    pub watch: Watch,
}

/// True when the event has not been counted before.
pub fn count(tx: &Tx<'_>, event: &EventId) -> Result<bool> {
    let counted = tx
        .conn
        .prepare_cached("INSERT OR IGNORE INTO counted (event, seen) VALUES (?1, ?2)")?
        .execute(params![&event[..], tx.seconds()])?;
    Ok(counted == 1)
}

/// Forgets some of the events that were counted long ago; answers how many.
pub fn forget_events(tx: &Tx<'_>) -> Result<usize> {
    tx.conn
        .prepare_cached("DELETE FROM counted WHERE event IN (SELECT event FROM counted WHERE seen < ?1 LIMIT ?2)")?
        .execute(params![tx.seconds() - REMEMBERED, STEP])
}

/// What is remembered of a group: nothing, if it is new or cannot be read.
pub fn get(tx: &Tx<'_>, id: &WatchId) -> Result<Watch> {
    let state: Option<String> = tx
        .conn
        .prepare_cached("SELECT state FROM watches WHERE id = ?1")?
        .query_row([&id[..]], |row| row.get(0))
        .optional()?;
    Ok(state.and_then(|state| serde_json::from_str(&state).ok()).unwrap_or_default())
}

/// Remembers a group until `due`, seconds since the epoch.
pub fn put(tx: &Tx<'_>, watched: &Watched, due: i64) -> Result<()> {
    let json = |value: serde_json::Result<String>| {
        value.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    };
    tx.conn
        .prepare_cached(
            "INSERT INTO watches (id, rule, grp, alarm, due, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET alarm = excluded.alarm, due = excluded.due, state = excluded.state",
        )?
        .execute(params![
            &watched.id[..],
            watched.rule,
            json(serde_json::to_string(&watched.group))?,
            watched.watch.state.alarm.is_some(),
            due,
            json(serde_json::to_string(&watched.watch))?,
        ])
        .map(|_| ())
}

pub fn forget(tx: &Tx<'_>, id: &WatchId) -> Result<()> {
    tx.conn.prepare_cached("DELETE FROM watches WHERE id = ?1")?.execute([&id[..]]).map(|_| ())
}

/// Groups that are to be looked at by now, the longest due first.
pub fn due(tx: &Tx<'_>, limit: usize) -> Result<Vec<Watched>> {
    tx.conn
        .prepare_cached("SELECT id, rule, grp, state FROM watches WHERE due <= ?1 ORDER BY due LIMIT ?2")?
        .query_map(params![tx.seconds(), i64::try_from(limit).unwrap_or(i64::MAX)], watched)?
        .collect()
}

/// How many groups of a rule have a finding open.
pub fn alarms(tx: &Tx<'_>, rule: &str) -> Result<i64> {
    tx.conn
        .prepare_cached("SELECT count(*) FROM watches WHERE rule = ?1 AND alarm = 1")?
        .query_row([rule], |row| row.get(0))
}

fn watched(row: &Row<'_>) -> Result<Watched> {
    let text = |column| row.get::<_, String>(column);
    Ok(Watched {
        id: row.get(0)?,
        rule: row.get(1)?,
        group: serde_json::from_str(&text(2)?).unwrap_or_default(),
        watch: serde_json::from_str(&text(3)?).unwrap_or_default(),
    })
}

/// Makes everything that a rule no longer known remembers due at once. Answers how many there are.
pub fn release(tx: &Tx<'_>, known: &[String]) -> Result<usize> {
    let gone: Vec<String> = tx
        .conn
        .prepare_cached("SELECT DISTINCT rule FROM watches WHERE alarm = 1")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_>>()?;
    let mut released = 0;
    for rule in gone.iter().filter(|rule| !known.contains(rule)) {
        released += tx
            .conn
            .prepare_cached("UPDATE watches SET due = min(due, ?2) WHERE rule = ?1 AND alarm = 1")?
            .execute(params![rule, tx.seconds()])?;
    }
    Ok(released)
}
