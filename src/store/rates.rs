//! How often what happens in each account: tallies of logs that wait, and the series that they are folded into.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use serde::{Deserialize, Serialize};

use crate::core::anomaly::{DAY, Kind, Seen, Series, Tally};
use crate::core::id::AccountId;
use crate::store::{Tx, lists};

/// Regions that are told apart in an account; there are fewer.
const MOST_REGIONS: usize = 100;

/// What a log came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub id: i64,
    pub source: i64,
    /// The minute of its delivery, since 1970.
    pub arrived: u32,
    pub tally: Tally,
}

/// Of which a series is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Of {
    pub account: AccountId,
    pub region: String,
    /// `eventSource` and `eventName`.
    pub source: String,
    pub name: String,
    /// `errorCode`; nothing for writing calls.
    pub error: String,
}

/// Since when an account is known, and which trail tells of its regions. Minutes are counted from 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    pub since: u32,
    owners: BTreeMap<String, (i64, u32)>,
    /// A day, and how many names were told as never seen on it.
    told: (u32, u32),
}

impl Baseline {
    pub fn since(minute: u32) -> Self {
        Self { since: minute, ..Self::default() }
    }

    /// Whether a trail's calls of a region are counted: two trails tell of the same calls, so one of them is believed until it is
    /// silent for a day.
    pub fn owns(&mut self, region: &str, source: i64, arrived: u32) -> bool {
        let has_room = self.owners.len() < MOST_REGIONS;
        match self.owners.get_mut(region) {
            Some((owner, last)) if *owner == source || arrived > last.saturating_add(DAY) => {
                (*owner, *last) = (source, arrived.max(*last));
                true
            }
            Some(_) => false,
            None => has_room && self.owners.insert(region.to_owned(), (source, arrived)).is_none(),
        }
    }

    /// How many names were told on a day, with this one.
    pub fn tell(&mut self, day: u32) -> u32 {
        let (of, count) = self.told;
        self.told = (day, if of == day { count.saturating_add(1) } else { 1 });
        self.told.1
    }
}

/// Keeps what a log came to until it is folded.
pub fn add(tx: &Tx<'_>, source: i64, account: AccountId, arrived: i64, tally: &Tally) -> Result<()> {
    tx.conn
        .prepare_cached("INSERT INTO tallies (source, account, arrived, tally) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![source, account.as_str(), arrived, json(tally)?])
        .map(|_| ())
}

pub fn is_waiting(conn: &Connection) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM tallies)")?.query_row([], |row| row.get(0))
}

/// Takes tallies out, account by account, as many logs of one cost little more than one; in each the first delivered first.
pub fn take(tx: &Tx<'_>, limit: usize) -> Result<BTreeMap<AccountId, Vec<Waiting>>> {
    let rows: Vec<(Option<AccountId>, Waiting)> = tx
        .conn
        .prepare_cached("SELECT id, source, account, arrived, tally FROM tallies ORDER BY account, id LIMIT ?1")?
        .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], waiting)?
        .collect::<Result<_>>()?;
    let mut taken: BTreeMap<AccountId, Vec<Waiting>> = BTreeMap::new();
    for (account, waiting) in rows {
        tx.conn.prepare_cached("DELETE FROM tallies WHERE id = ?1")?.execute([waiting.id])?;
        account.into_iter().for_each(|account| taken.entry(account).or_default().push(waiting.clone()));
    }
    taken.values_mut().for_each(|all| all.sort_by_key(|waiting| waiting.arrived));
    Ok(taken)
}

fn waiting(row: &Row<'_>) -> Result<(Option<AccountId>, Waiting)> {
    let arrived = u32::try_from(row.get::<_, i64>(3)? / 60).unwrap_or(0);
    let tally = serde_json::from_str(&row.get::<_, String>(4)?).unwrap_or_default();
    let account = AccountId::parse(&row.get::<_, String>(2)?).ok();
    Ok((account, Waiting { id: row.get(0)?, source: row.get(1)?, arrived, tally }))
}

/// What is known of an account; nothing, if it is new.
pub fn baseline(tx: &Tx<'_>, account: AccountId) -> Result<Option<Baseline>> {
    found(tx, "SELECT state FROM baselines WHERE account = ?1", account)
}

pub fn put_baseline(tx: &Tx<'_>, account: AccountId, baseline: &Baseline) -> Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO baselines VALUES (?1, ?2) ON CONFLICT (account) DO UPDATE SET state = excluded.state",
        )?
        .execute(params![account.as_str(), json(baseline)?])
        .map(|_| ())
}

pub fn seen(tx: &Tx<'_>, account: AccountId) -> Result<Seen> {
    Ok(found(tx, "SELECT seen FROM acquaintances WHERE account = ?1", account)?.unwrap_or_default())
}

pub fn put_seen(tx: &Tx<'_>, account: AccountId, seen: &Seen) -> Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO acquaintances VALUES (?1, ?2) ON CONFLICT (account) DO UPDATE SET seen = excluded.seen",
        )?
        .execute(params![account.as_str(), json(seen)?])
        .map(|_| ())
}

/// What nobody asks about any more is learned anew when somebody does.
pub fn forget_seen(tx: &Tx<'_>) -> Result<()> {
    tx.conn.prepare_cached("DELETE FROM acquaintances")?.execute([]).map(|_| ())
}

pub fn is_acquainted(conn: &Connection) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM acquaintances)")?.query_row([], |row| row.get(0))
}

fn found<T: for<'a> Deserialize<'a>>(tx: &Tx<'_>, sql: &str, account: AccountId) -> Result<Option<T>> {
    let text: Option<String> =
        tx.conn.prepare_cached(sql)?.query_row([account.as_str()], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

pub fn get(tx: &Tx<'_>, of: &Of) -> Result<Option<Series>> {
    let text: Option<String> = tx
        .conn
        .prepare_cached(
            "SELECT state FROM rates WHERE account = ?1 AND region = ?2 AND source = ?3 AND name = ?4 AND error = ?5",
        )?
        .query_row(params![of.account.as_str(), of.region, of.source, of.name, of.error], |row| row.get(0))
        .optional()?;
    Ok(text.map(|text| serde_json::from_str(&text).unwrap_or_default()))
}

/// Keeps a series, which is to be looked at in the minute `due`.
pub fn put(tx: &Tx<'_>, of: &Of, series: &Series, due: u32) -> Result<()> {
    tx.conn
        .prepare_cached(
            "INSERT INTO rates (account, region, source, name, error, due, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (account, region, source, name, error) DO UPDATE SET due = excluded.due, state = excluded.state",
        )?
        .execute(params![of.account.as_str(), of.region, of.source, of.name, of.error, i64::from(due) * 60, json(series)?])
        .map(|_| ())
}

pub fn forget(tx: &Tx<'_>, of: &Of) -> Result<()> {
    tx.conn
        .prepare_cached(
            "DELETE FROM rates WHERE account = ?1 AND region = ?2 AND source = ?3 AND name = ?4 AND error = ?5",
        )?
        .execute(params![of.account.as_str(), of.region, of.source, of.name, of.error])
        .map(|_| ())
}

/// How many series an account has.
pub fn count(tx: &Tx<'_>, account: AccountId) -> Result<usize> {
    tx.conn
        .prepare_cached("SELECT count(*) FROM rates WHERE account = ?1")?
        .query_row([account.as_str()], |row| row.get::<_, i64>(0))
        .map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// Series that time alone may change something of by now, the longest due first.
pub fn due(tx: &Tx<'_>, limit: usize) -> Result<Vec<(Of, Series)>> {
    let text = |row: &Row<'_>, column| row.get::<_, String>(column);
    let series = |row: &Row<'_>| {
        let account = AccountId::parse(&text(row, 0)?).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
        })?;
        let of =
            Of { account, region: text(row, 1)?, source: text(row, 2)?, name: text(row, 3)?, error: text(row, 4)? };
        Ok((of, serde_json::from_str(&text(row, 5)?).unwrap_or_default()))
    };
    tx.conn
        .prepare_cached(
            "SELECT account, region, source, name, error, state FROM rates WHERE due <= ?1 ORDER BY due LIMIT ?2",
        )?
        .query_map(params![tx.seconds(), i64::try_from(limit).unwrap_or(i64::MAX)], series)?
        .collect()
}

/// Whether there are any by now, in seconds since the epoch.
pub fn is_due(conn: &Connection, now: i64) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM rates WHERE due <= ?1)")?.query_row([now], |row| row.get(0))
}

/// Since when a rate is watched, a minute since 1970; and when that was written down last, in seconds.
pub fn watched(conn: &Connection, kind: Kind) -> Result<Option<(u32, i64)>> {
    let since = lists::progress(conn, kind.name())?.and_then(|since| since.parse().ok());
    Ok(since.zip(lists::progress_at(conn, kind.name())?.map(|at| at.as_second())))
}

pub fn set_watched(tx: &Tx<'_>, kind: Kind, since: u32) -> Result<()> {
    lists::set_progress(tx, kind.name(), &since.to_string())
}

fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
