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

#[tokio::test]
async fn a_warden_that_lost_its_lease_in_the_middle_of_a_step_commits_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let env = Env::manual(Timestamp::from_second(1_760_000_000).unwrap(), 1);
    let fence = Fence::new(&env, 3, env.steady() + Duration::from_secs(10));
    let store = Store::open_behind(&path, &env, fence).await.unwrap();
    keep(&store, "before").await.unwrap();
    // It is stopped while the step is made, and goes on when its time is over.
    let stopped = env.clone();
    let late = store.write(move |tx| {
        tx.conn.execute("INSERT INTO meta VALUES ('late', '')", [])?;
        stopped.advance(SignedDuration::from_secs(60));
        Ok(())
    });
    let error = late.await.unwrap_err();
    assert!(error.is_fatal() && error.op == "lease", "{error}");
    assert!(keep(&store, "after").await.unwrap_err().is_fatal(), "nor does anything later");
    let kept = store.read(|conn| {
        conn.query_row("SELECT count(*) FROM meta WHERE name IN ('before', 'late', 'after')", [], |row| {
            row.get::<_, i64>(0)
        })
    });
    assert_eq!(kept.await.unwrap(), 1);
}

#[tokio::test]
async fn the_ledger_remembers_its_last_epoch_and_what_it_has_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let open = async |name: &str| Store::open(&dir.path().join(name), &Env::system()).await.unwrap();
    let (one, other) = (open("a.db").await, open("b.db").await);
    assert_eq!(one.read(lease::epoch).await.unwrap(), 0);
    for epoch in [4, 9] {
        one.write(move |tx| lease::taken(tx, epoch, "host holder")).await.unwrap();
    }
    assert_eq!(one.read(lease::epoch).await.unwrap(), 9);
    let head = one.read(journal::head).await.unwrap();
    let has = async |store: &Store| {
        let head = head.clone();
        store.read(move |conn| lease::has(conn, &head)).await.unwrap()
    };
    assert!(has(&one).await && !has(&other).await);
    one.write(|tx| lease::taken(tx, 10, "host holder")).await.unwrap();
    assert!(has(&one).await, "what was said later is more, not less");
    assert_eq!(lease::epoch(&Connection::open(dir.path().join("none.db")).unwrap()).unwrap(), 0);
}

/// As when a daemon ends: tasks that were stopped may still hold handles, and a look may be under way.
#[tokio::test]
async fn a_closed_ledger_is_one_file_and_says_so_to_whoever_still_asks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let store = Store::open(&path, &Env::manual(Timestamp::UNIX_EPOCH, 1)).await.unwrap();
    keep(&store, "kept").await.unwrap();
    let (begun, under_way) = oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let look = move |_: &Connection| {
        let _ = begun.send(());
        Ok(released.recv().is_ok())
    };
    let (slow, late, closing) = (store.clone(), store.clone(), store.clone());
    let look = tokio::spawn(async move { slow.read(look).await });
    under_way.await.unwrap();
    let late = tokio::spawn(async move { keep(&late, "asked before").await });
    tokio::task::yield_now().await;
    let closing = tokio::spawn(async move { closing.close().await });
    late.await.unwrap().unwrap();
    assert!(!closing.is_finished() && path.with_extension("db-wal").exists());

    release.send(()).unwrap();
    closing.await.unwrap();
    assert!(!path.with_extension("db-wal").exists());
    assert!(look.await.unwrap().unwrap());
    assert!(store.read(|_| Ok(())).await.is_err());
    assert!(keep(&store, "asked after").await.is_err());
    store.close().await;
    let names = "SELECT group_concat(name) FROM (SELECT name FROM meta WHERE value = '' ORDER BY name)";
    let kept: String = Connection::open(&path).unwrap().query_row(names, [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "asked before,kept");
}
