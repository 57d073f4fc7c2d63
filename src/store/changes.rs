//! Which calls on the chain of evidence have been told: the same event comes in more than one log, and is told once.

use rusqlite::{Result, params};

use crate::core::change::{EventId, HISTORY};
use crate::store::Tx;

/// Events that one step forgets.
const STEP: i64 = 4_000;

/// True when the event is news.
pub fn note(tx: &Tx<'_>, event: &EventId) -> Result<bool> {
    let noted = tx
        .conn
        .prepare_cached("INSERT OR IGNORE INTO changes (event, at) VALUES (?1, ?2)")?
        .execute(params![&event[..], tx.seconds()])?;
    Ok(noted == 1)
}

/// Forgets some of what was told so long ago that it would wake nobody if it came again; answers how many.
pub fn forget(tx: &Tx<'_>) -> Result<usize> {
    tx.conn
        .prepare_cached("DELETE FROM changes WHERE event IN (SELECT event FROM changes WHERE at < ?1 LIMIT ?2)")?
        .execute(params![tx.seconds() - HISTORY, STEP])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use crate::store::Store;

    #[tokio::test]
    async fn what_was_told_long_ago_is_forgotten_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let env = Env::manual("2026-03-03T00:00:00Z".parse().expect("a time"), 1);
        let store = Store::open(&dir.path().join("state.db"), &env).await.expect("a ledger");
        let play = |tx: &Tx<'_>| {
            let [old, new] = [[1; 16], [2; 16]];
            assert!(note(tx, &old)? && note(tx, &new)? && !note(tx, &old)?);
            let age = "UPDATE changes SET at = at - ?2 WHERE event = ?1";
            tx.conn.execute(age, params![&old[..], HISTORY + 1])?;
            tx.conn.execute(age, params![&new[..], HISTORY])?;
            assert_eq!((forget(tx)?, forget(tx)?), (1, 0));
            Ok((note(tx, &old)?, note(tx, &new)?))
        };
        assert_eq!(store.write(play).await.expect("a step"), (true, false));
    }
}
