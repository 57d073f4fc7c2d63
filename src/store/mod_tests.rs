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

#[tokio::test]
async fn what_a_step_counted_that_failed_is_not_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state.db"), &Env::system()).await.unwrap();
    let count = |by: i64, fails: bool| {
        store.write(move |tx| {
            tx.count("things", by);
            if fails { Err(rusqlite::Error::InvalidQuery) } else { Ok(()) }
        })
    };
    let (one, failed, two) = tokio::join!(count(1, false), count(10, true), count(2, false));
    assert!(one.is_ok() && failed.is_err() && two.is_ok());
    let total = store.read(|conn| Ok(lists::counters(conn)?.get("things").copied())).await.unwrap();
    assert_eq!(total, Some(3));
}

#[tokio::test]
async fn what_a_step_wrote_that_failed_is_under_no_seal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let store = Store::open(&path, &Env::system()).await.unwrap();
    let write = |name: &'static str, fails: bool| {
        store.write(move |tx| {
            tx.conn.execute("INSERT INTO sources (name) VALUES (?1)", [name])?;
            if fails { Err(rusqlite::Error::InvalidQuery) } else { Ok(()) }
        })
    };
    let (one, failed, two) = tokio::join!(write("one", false), write("failed", true), write("two", false));
    assert!(one.is_ok() && failed.is_err() && two.is_ok());
    assert!(give_up(&store).await.is_err());
    write("three", false).await.unwrap();
    let report = check::now(&path, None).unwrap();
    assert!(report.good, "{:?}", report.fault());
}
