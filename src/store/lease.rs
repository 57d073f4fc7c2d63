//! Under which epoch of the lease the ledger is written.

use rusqlite::{Connection, OptionalExtension, Result};

use crate::core::id::Sha256;
use crate::core::journal::{Head, What};
use crate::store::{Tx, journal};

/// Where the last epoch is remembered.
const EPOCH: &str = "lease_epoch";

/// Writes down that from this commit on everything is under `epoch`. `by` is who holds it: host and holder.
pub fn taken(tx: &Tx<'_>, epoch: u64, by: &str) -> Result<()> {
    journal::append(tx, What::Leased, &epoch.to_string(), by)?;
    tx.conn
        .prepare_cached("INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")?
        .execute([EPOCH, &epoch.to_string()])
        .map(|_| ())
}

/// The last epoch that it was written under; 0 is none, as in a file that nobody has made a ledger of yet.
pub fn epoch(conn: &Connection) -> Result<u64> {
    if !conn.table_exists(None, "meta")? {
        return Ok(0);
    }
    let text: Option<String> =
        conn.query_row("SELECT value FROM meta WHERE name = ?1", [EPOCH], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Whether this ledger says all that another did when its journal ended with `head`.
pub fn has(conn: &Connection, head: &Head) -> Result<bool> {
    if *head == Head::NONE {
        return Ok(true);
    }
    let hash: Option<Vec<u8>> =
        conn.query_row("SELECT hash FROM journal WHERE seq = ?1", [head.seq], |row| row.get(0)).optional()?;
    Ok(hash.and_then(|hash| Sha256::from_slice(&hash)) == Some(head.hash))
}
