//! What rules remember: of each group how full its windows are, and which events they have counted.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

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

/// What is remembered of a group; of one that cannot be read, nothing.
pub fn get(tx: &Tx<'_>, id: &WatchId) -> Result<Option<Watch>> {
    let state: Option<String> = tx
        .conn
        .prepare_cached("SELECT state FROM watches WHERE id = ?1")?
        .query_row([&id[..]], |row| row.get(0))
        .optional()?;
    Ok(state.map(|state| serde_json::from_str(&state).unwrap_or_default()))
}

/// Remembers a group until `due`, seconds since the epoch.
pub fn put(tx: &Tx<'_>, watched: &Watched, due: i64) -> Result<()> {
    let json = |value: serde_json::Result<String>| {
        value.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    };
    let (alarm, state) = (watched.watch.state.alarm.is_some(), json(serde_json::to_string(&watched.watch))?);
    let known = tx
        .conn
        .prepare_cached("UPDATE watches SET alarm = ?2, due = ?3, state = ?4 WHERE id = ?1")?
        .execute(params![&watched.id[..], alarm, due, state])?;
    if known > 0 {
        return Ok(());
    }
    tx.conn
        .prepare_cached("INSERT INTO watches (id, rule, grp, alarm, due, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            &watched.id[..],
            watched.rule,
            json(serde_json::to_string(&watched.group))?,
            alarm,
            due,
            state
        ])?;
    tx.count(&total(&watched.rule), 1);
    Ok(())
}

pub fn forget(tx: &Tx<'_>, watched: &Watched) -> Result<()> {
    let gone = tx.conn.prepare_cached("DELETE FROM watches WHERE id = ?1")?.execute([&watched.id[..]])?;
    tx.count(&total(&watched.rule), -i64::try_from(gone).unwrap_or(0));
    Ok(())
}

/// How many groups of a rule were remembered when the transaction began.
pub fn groups(tx: &Tx<'_>, rule: &str) -> Result<i64> {
    tx.conn
        .prepare_cached("SELECT ifnull(sum(value), 0) FROM counters WHERE name = ?1")?
        .query_row([total(rule)], |row| row.get(0))
}

/// The counter of a rule's groups.
fn total(rule: &str) -> String {
    format!("watches/{rule}")
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

/// Whether something is to be looked at, released or forgotten by now, in seconds since the epoch.
pub fn is_due(conn: &Connection, now: i64, known: &[String]) -> Result<bool> {
    let due: bool = conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM watches WHERE due <= ?1) OR EXISTS (SELECT 1 FROM counted WHERE seen < ?2)",
        )?
        .query_row([now, now - REMEMBERED], |row| row.get(0))?;
    Ok(due || !strangers(conn, known)?.is_empty())
}

/// Rules that have a finding open and are not known any more.
fn strangers(conn: &Connection, known: &[String]) -> Result<Vec<String>> {
    let mut rules: Vec<String> = conn
        .prepare_cached("SELECT DISTINCT rule FROM watches WHERE alarm = 1")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_>>()?;
    rules.retain(|rule| !known.contains(rule));
    Ok(rules)
}

/// Makes what is open of rules that are not known any more due at once.
pub fn release(tx: &Tx<'_>, known: &[String]) -> Result<()> {
    for rule in strangers(tx.conn, known)? {
        tx.conn
            .prepare_cached("UPDATE watches SET due = min(due, ?2) WHERE rule = ?1 AND alarm = 1")?
            .execute(params![rule, tx.seconds()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use crate::store::Store;

    #[tokio::test]
    async fn events_are_counted_once_and_forgotten_after_a_while() {
        let dir = tempfile::tempdir().expect("a directory");
        let env = Env::manual("2026-03-03T00:00:00Z".parse().expect("a time"), 1);
        let store = Store::open(&dir.path().join("state.db"), &env).await.expect("a ledger");
        let play = |tx: &Tx<'_>| {
            let [old, new] = [[1; 16], [2; 16]];
            assert!(count(tx, &old)? && count(tx, &new)? && !count(tx, &old)?);
            tx.conn
                .execute("UPDATE counted SET seen = seen - ?2 WHERE event = ?1", params![&old[..], REMEMBERED + 1])?;
            assert!(is_due(tx.conn, tx.seconds(), &[])?);
            assert_eq!((forget_events(tx)?, forget_events(tx)?), (1, 0));
            assert!(!is_due(tx.conn, tx.seconds(), &[])?);
            Ok((count(tx, &old)?, count(tx, &new)?))
        };
        assert_eq!(store.write(play).await.expect("a step"), (true, false));
    }

    #[tokio::test]
    async fn a_rule_that_is_no_more_is_due_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let env = Env::manual("2026-03-03T00:00:00Z".parse().expect("a time"), 1);
        let store = Store::open(&dir.path().join("state.db"), &env).await.expect("a ledger");
        let play = |tx: &Tx<'_>| {
            let alarm = crate::core::window::Alarm { first: 0, last: 0, count: 1, until: i64::MAX };
            let mut watched =
                Watched { id: [1; 16], rule: "a".into(), group: vec!["x".into()], watch: Watch::default() };
            watched.watch.state.alarm = Some(alarm);
            put(tx, &watched, tx.seconds() + 100)?;
            put(tx, &watched, tx.seconds() + 100)?;
            assert_eq!((get(tx, &[1; 16])?, get(tx, &[2; 16])?), (Some(watched.watch.clone()), None));
            assert_eq!((alarms(tx, "a")?, alarms(tx, "b")?), (1, 0));
            release(tx, &["a".into()])?;
            assert!(due(tx, 9)?.is_empty() && !is_due(tx.conn, tx.seconds(), &["a".into()])?);
            assert!(is_due(tx.conn, tx.seconds(), &[])?);
            release(tx, &[])?;
            assert_eq!(due(tx, 9)?, [watched.clone()]);
            let other = Watched { id: [3; 16], ..watched.clone() };
            put(tx, &other, i64::MAX)?;
            forget(tx, &watched)?;
            forget(tx, &watched)?;
            due(tx, 9)
        };
        assert_eq!(store.write(play).await.expect("a step"), []);
        assert_eq!(store.write(|tx| Ok((groups(tx, "a")?, groups(tx, "b")?))).await.expect("a step"), (1, 0));
    }
}
