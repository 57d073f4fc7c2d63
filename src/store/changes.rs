//! Which calls on the chain of evidence have been told: the same event comes in more than one log, and is told once.

use rusqlite::{Result, params};

use crate::core::change::EventId;
use crate::store::Tx;

/// True when the event is news.
pub fn note(tx: &Tx<'_>, event: &EventId) -> Result<bool> {
    let noted = tx
        .conn
        .prepare_cached("INSERT OR IGNORE INTO changes (event, at) VALUES (?1, ?2)")?
        .execute(params![&event[..], tx.seconds()])?;
    Ok(noted == 1)
}
