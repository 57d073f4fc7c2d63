use rusqlite::params;

use super::*;

async fn keep(store: &Store, name: &'static str) -> Result<()> {
    store.write(move |tx| tx.conn.execute("INSERT INTO meta VALUES (?1, '')", params![name]).map(|_| ())).await
}

/// As SQLite does by itself when the disk is full or fails: not the statement alone is undone, the transaction is over.
async fn give_up(store: &Store) -> Result<()> {
    store.write(|tx| tx.conn.execute_batch("ROLLBACK").and(Err(rusqlite::Error::InvalidQuery))).await
}

#[tokio::test]
async fn of_a_group_whose_transaction_is_given_up_nothing_is_done_and_nothing_is_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state.db"), &Env::system()).await.unwrap();
    // On one thread all three are asked for before the writer looks.
    let (before, given_up, after) = tokio::join!(keep(&store, "before"), give_up(&store), keep(&store, "after"));
    for told in [before, given_up, after] {
        assert!(told.unwrap_err().is_fatal());
    }
    let kept = store.read(|conn| {
        conn.query_row("SELECT count(*) FROM meta WHERE name IN ('before', 'after')", [], |row| row.get::<_, i64>(0))
    });
    assert_eq!(kept.await.unwrap(), 0);
    keep(&store, "later").await.unwrap();
}
