//! What coverage is made of: chains with their proven time, region by region; what proves nothing; what is wrong in between.

use rusqlite::{Connection, Result, params};

use crate::core::coverage::{Stretch, since_most};
use crate::core::id::AccountId;
use crate::core::shard::Shard;

/// One trail in one region: what all accounts that it delivers have a chain in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    pub source: i64,
    pub trail: String,
    pub home: String,
    pub region: String,
}

/// A standard chain of an account that has a good digest.
#[derive(Debug)]
pub struct Chain {
    pub id: i64,
    pub lane: Lane,
    pub root: String,
    pub first: i64,
}

/// Whether the ledger is of a form that keeps what is proven.
pub fn is_kept(conn: &Connection) -> Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'proven')", [], |row| row.get(0))
}

/// Everybody who was ever a member or ever delivered, in order.
pub fn accounts(conn: &Connection) -> Result<Vec<AccountId>> {
    let mut query = conn.prepare_cached(
        "SELECT account FROM members UNION SELECT account FROM chains WHERE backfill = 0 AND first IS NOT NULL ORDER BY 1",
    )?;
    let mut rows = query.query([])?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next()? {
        accounts.extend(AccountId::parse(&row.get::<_, String>(0)?));
    }
    Ok(accounts)
}

/// Each lane, with the time from which it had a chain, for each chain of a shard's accounts, the oldest first.
pub fn lanes(conn: &Connection, shard: Shard) -> Result<Vec<(Lane, Vec<i64>)>> {
    let mut query = conn.prepare_cached(
        "SELECT source, trail, home, region, first FROM chains WHERE backfill = 0 AND first IS NOT NULL
           AND substr(account, -1) % ?1 = ?2 ORDER BY source, trail, home, region, first",
    )?;
    let mut rows = query.query([shard.count(), shard.index()])?;
    let mut lanes: Vec<(Lane, Vec<i64>)> = Vec::new();
    while let Some(row) = rows.next()? {
        let lane = Lane { source: row.get(0)?, trail: row.get(1)?, home: row.get(2)?, region: row.get(3)? };
        match lanes.last_mut() {
            Some((last, firsts)) if *last == lane => firsts.push(row.get(4)?),
            _ => lanes.push((lane, vec![row.get(4)?])),
        }
    }
    Ok(lanes)
}

/// Sources of which there is no good digest at all.
pub fn silent_sources(conn: &Connection) -> Result<Vec<String>> {
    conn.prepare_cached(
        "SELECT name FROM sources WHERE NOT EXISTS
           (SELECT 1 FROM chains WHERE source = sources.id AND backfill = 0 AND first IS NOT NULL) ORDER BY name",
    )?
    .query_map([], |row| row.get(0))?
    .collect()
}

/// When a shard's members began and ended to be there, both in order, and when members were last asked for.
pub fn attendance(conn: &Connection, shard: Shard) -> Result<(Vec<i64>, Vec<i64>, Option<i64>)> {
    let times = |time: &str| {
        conn.prepare_cached(&format!(
            "SELECT {time} FROM stays WHERE state = 'active' AND {time} IS NOT NULL AND substr(account, -1) % ?1 = ?2 ORDER BY 1"
        ))?
        .query_map([shard.count(), shard.index()], |row| row.get(0))?
        .collect::<Result<Vec<i64>>>()
    };
    let (begun, ended) = (times("since")?, times("until")?);
    Ok((begun, ended, conn.query_row("SELECT max(last_seen) FROM members", [], |row| row.get(0))?))
}

pub fn chains(conn: &Connection, account: AccountId) -> Result<Vec<Chain>> {
    conn.prepare_cached(
        "SELECT id, source, trail, home, region, root, first FROM chains
         WHERE account = ?1 AND backfill = 0 AND first IS NOT NULL ORDER BY region, source, trail",
    )?
    .query_map([account.as_str()], |row| {
        let lane = Lane { source: row.get(1)?, trail: row.get(2)?, home: row.get(3)?, region: row.get(4)? };
        Ok(Chain { id: row.get(0)?, lane, root: row.get(5)?, first: row.get(6)? })
    })?
    .collect()
}

/// The regions of a source in which most active members of a shard have a chain of one trail, with the time since when that is so.
pub fn common(conn: &Connection, source: i64, shard: Shard) -> Result<Vec<(Lane, i64)>> {
    let (begun, ended, _) = attendance(conn, shard)?;
    let common = lanes(conn, shard)?.into_iter().filter(|(lane, _)| lane.source == source);
    Ok(common
        .filter_map(|(lane, firsts)| Some((lane, since_most(&firsts, |at| present(&begun, &ended, at))?)))
        .collect())
}

/// How many members were there at a moment, of when they began and ended to be.
pub fn present(begun: &[i64], ended: &[i64], at: i64) -> usize {
    let before = |times: &[i64]| times.partition_point(|time| *time <= at);
    before(begun).saturating_sub(before(ended))
}

/// Where an account has a chain of a source, proven or not.
pub fn places(conn: &Connection, source: i64, account: AccountId) -> Result<Vec<Lane>> {
    conn.prepare_cached(
        "SELECT source, trail, home, region FROM chains WHERE account = ?1 AND source = ?2 AND backfill = 0",
    )?
    .query_map(params![account.as_str(), source], |row| {
        Ok(Lane { source: row.get(0)?, trail: row.get(1)?, home: row.get(2)?, region: row.get(3)? })
    })?
    .collect()
}

/// What is proven of a chain between two moments, in order.
pub fn proven(conn: &Connection, chain: i64, from: i64, to: i64) -> Result<Vec<Stretch>> {
    stretches(
        conn,
        "SELECT start, end FROM proven WHERE chain = ?1 AND start < ?3 AND end > ?2 ORDER BY start",
        chain,
        from,
        to,
    )
}

/// Time that only digests without proof speak of.
pub fn unproven(conn: &Connection, chain: i64, from: i64, to: i64) -> Result<Vec<Stretch>> {
    stretches(
        conn,
        "SELECT start, end FROM links INDEXED BY links_unproven
         WHERE chain = ?1 AND end > ?2 AND end <= ?3 + 3600 AND start < ?3 AND (verdict <> 1 OR disowned) ORDER BY end",
        chain,
        from,
        to,
    )
}

fn stretches(conn: &Connection, sql: &str, chain: i64, from: i64, to: i64) -> Result<Vec<Stretch>> {
    conn.prepare_cached(sql)?
        .query_map(params![chain, from, to], |row| Ok(Stretch { from: row.get(0)?, to: row.get(1)? }))?
        .collect()
}

/// Whether an open day has a log that was delivered in an hour: `20260302e10` for ten o'clock.
pub fn has_log(conn: &Connection, place: i64, hour: &str) -> Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM deliveries WHERE place = ?1 AND name >= ?2 AND name < ?2 || '~' AND state = 0)",
    )?
    .query_row(params![place, hour], |row| row.get(0))
}

/// The keys under a root that open findings of a kind are about.
pub fn troubled(conn: &Connection, kind: &str, root: &str) -> Result<Vec<String>> {
    conn.prepare_cached(
        "SELECT object FROM findings INDEXED BY findings_open
         WHERE kind = ?1 AND object >= ?2 AND object < ?2 || char(1114111) AND state <> 'resolved'",
    )?
    .query_map([kind, root], |row| row.get(0))?
    .collect()
}
