//! Insights records, CloudTrail's and ours.

use jiff::Timestamp;
use rusqlite::{Connection, Result, params};

use crate::core::anomaly::{Insight, State};
use crate::core::id::AccountId;
use crate::core::tree::Tree;
use crate::store::Tx;

/// How long they are kept, in seconds.
const KEPT: i64 = 400 * 86_400;

/// False when it is known already.
pub fn insert(tx: &Tx<'_>, insight: &Insight, account: AccountId) -> Result<bool> {
    let added = tx
        .conn
        .prepare_cached(
            "INSERT OR IGNORE INTO insights (id, shared, account, at, ended, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            insight.id,
            insight.shared,
            account.as_str(),
            insight.at(),
            insight.state == State::End,
            insight.record().to_string(),
        ])?;
    Ok(added == 1)
}

/// Whether the end of an incident is known: records of one come in any order.
pub fn has_ended(tx: &Tx<'_>, shared: &str) -> Result<bool> {
    tx.conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM insights WHERE shared = ?1 AND ended = 1)")?
        .query_row([shared], |row| row.get(0))
}

/// Records of a time, `[from, to)`, and of an account if one is given; the oldest first.
pub fn list(conn: &Connection, from: Timestamp, to: Timestamp, account: Option<AccountId>) -> Result<Vec<String>> {
    conn.prepare_cached(
        "SELECT record FROM insights WHERE at >= ?1 AND at < ?2 AND (?3 IS NULL OR account = ?3) ORDER BY at, ended, id",
    )?
    .query_map(params![from.as_second(), to.as_second(), account.as_ref().map(AccountId::as_str)], |row| row.get(0))?
    .collect()
}

/// As [`list`], understood.
pub fn all(conn: &Connection, from: Timestamp, to: Timestamp, account: Option<AccountId>) -> Result<Vec<Insight>> {
    let records = list(conn, from, to, account)?;
    Ok(records.iter().filter_map(|record| Insight::parse(&Tree::parse(record)?)).collect())
}

/// Forgets some of what is long ago; answers how many.
pub fn forget(tx: &Tx<'_>, limit: usize) -> Result<usize> {
    tx.conn
        .prepare_cached("DELETE FROM insights WHERE id IN (SELECT id FROM insights WHERE at < ?1 LIMIT ?2)")?
        .execute(params![tx.seconds() - KEPT, i64::try_from(limit).unwrap_or(i64::MAX)])
}

/// Whether there is anything to be forgotten by now, in seconds since the epoch.
pub fn is_due(conn: &Connection, now: i64) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM insights WHERE at < ?1)")?
        .query_row([now - KEPT], |row| row.get(0))
}
