//! While files are compacted, whoever reads the ledger's files or the lists beside them sees every row, once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use trailwarden::archive::schema;
use trailwarden::store::archive;

use crate::ground::{Ground, key, records};

const FLUSHES: usize = 130;
const RECORDS: usize = 5;

async fn filled() -> Ground {
    let account = "111122220000".to_owned();
    let ground = Ground::new(std::slice::from_ref(&account)).await;
    let archive = ground.start().await;
    for number in 0..FLUSHES {
        let texts: Vec<String> = (0..RECORDS)
            .map(|at| {
                format!(
                    "{{\"eventTime\":\"2026-03-01T{:02}:{at:02}:00Z\",\"eventID\":\"{number}-{at}\",\"recipientAccountId\":\"{account}\"}}",
                    number % 24
                )
            })
            .collect();
        ground.deliver(0, &key(&account, 1, number), &texts).await;
        archive.catch_up().await.expect("archived");
    }
    assert_eq!(ground.files().await.len(), FLUSHES);
    ground
}

/// Reads what a list names; a file that is gone fails.
fn rows(ground: &Ground, names: impl IntoIterator<Item = String>) -> (usize, usize) {
    let all: Vec<String> =
        names.into_iter().flat_map(|name| records(&ground.place().join(name))).map(|(_, text)| text).collect();
    (all.len(), all.iter().collect::<BTreeSet<_>>().len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_sees_a_row_twice_or_not_at_all() {
    let ground = Arc::new(filled().await);
    let ended = Arc::new(AtomicBool::new(false));
    let whole = (FLUSHES * RECORDS, FLUSHES * RECORDS);
    let reading = tokio::spawn({
        let (ground, ended) = (ground.clone(), ended.clone());
        async move {
            let mut looks = 0;
            while !ended.load(Ordering::SeqCst) || looks < 2 {
                let files: Vec<String> = ground.files().await.into_iter().map(|file| file.name).collect();
                // somebody who is slow to open what was listed
                tokio::task::yield_now().await;
                assert_eq!(rows(&ground, files), whole, "by the ledger");
                let list =
                    std::fs::read_to_string(ground.place().join("manifest/date=2026-03-01/files-w")).expect("a list");
                let root = format!("file://{}/", ground.place().display());
                let files = list.lines().map(|line| line.strip_prefix(&root).expect("an address").to_owned());
                assert_eq!(rows(&ground, files), whole, "by the list");
                looks += 1;
            }
            looks
        }
    });
    let archive = ground.start().await;
    let done = archive.compact(false, |_| ()).await.expect("compacted");
    assert!(done.merged >= 64 && done.files * 32 <= done.merged, "{done:?}");
    archive.compact(true, |_| ()).await.expect("compacted");
    ended.store(true, Ordering::SeqCst);
    assert!(reading.await.expect("every look saw all") >= 2);
    assert!(ground.files().await.len() <= 3);
}

#[tokio::test]
async fn a_list_is_not_written_while_somebody_else_changes_what_it_names() {
    let ground = filled().await;
    let archive = ground.start().await;
    let list = ground.place().join("manifest/date=2026-03-01/files-w");
    let before = std::fs::read_to_string(&list).expect("a list");
    std::fs::remove_file(&list).expect("removed");
    let changed = "INSERT INTO relist (date) VALUES ('2026-03-01')";
    ground.works.store.write(move |tx| tx.conn.execute_batch(changed)).await.expect("a change");
    let lock = std::fs::File::create(ground.dir.path().join("state.archive-lock")).expect("a lock");
    lock.lock().expect("nobody has it");
    let writing = tokio::spawn(async move { archive.relist().await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!list.exists(), "it could be older than what the other writes next");
    drop(lock);
    writing.await.expect("it ends").expect("written");
    assert_eq!(std::fs::read_to_string(&list).expect("a list"), before);
}

#[tokio::test]
async fn what_was_replaced_goes_after_an_hour_and_what_a_crash_left_at_the_next_start() {
    let ground = filled().await;
    let archive = ground.start().await;
    let merged = archive.compact(true, |_| ()).await.expect("compacted").merged;
    assert!(merged >= FLUSHES);
    let count = || walk(&ground.place());
    ground.env.advance(jiff::SignedDuration::from_mins(59));
    assert_eq!(archive.remove_replaced().await.expect("looked"), 0);
    ground.env.advance(jiff::SignedDuration::from_mins(2));
    assert_eq!(archive.remove_replaced().await.expect("removed"), merged);
    let kept = ground.files().await.len();
    assert_eq!(count(), kept);
    // another warden's, somebody's, one of its own that it does not know, and one that a crash left
    let folder = ground.place().join("date=2026-03-01");
    let unfinished = "date=2026-03-01/w-00000000000000bb.parquet".to_owned();
    ground.works.store.write(move |tx| archive::begin(tx, &[unfinished])).await.expect("written");
    for name in
        ["w-00000000000000aa.parquet", "w-00000000000000bb.parquet", "w-2-00000000000000aa.parquet", "notes.txt"]
    {
        std::fs::write(folder.join(name), "x").expect("a file");
    }
    let report = ground.works.archive.as_ref().expect("an archive").check(|_| ()).await.expect("a check");
    assert_eq!(report.orphans, ["date=2026-03-01/w-00000000000000aa.parquet"]);
    assert!(report.faults.iter().any(|fault| fault.contains("notes.txt")), "{:?}", report.faults);
    ground.start().await;
    assert_eq!(count(), kept + 3, "only what was never finished is removed");
}

fn walk(place: &std::path::Path) -> usize {
    std::fs::read_dir(place.join("date=2026-03-01")).expect("a folder").count()
}

#[tokio::test]
async fn a_ledger_that_is_older_than_the_archive_takes_its_files_over() {
    let ground = filled().await;
    let archive = ground.start().await;
    archive.compact(true, |_| ()).await.expect("compacted");
    let before = ground.contents().await;
    let forget = "DELETE FROM files WHERE id > 60; UPDATE files SET replaced = NULL;
        INSERT INTO unarchived (place, name, version) SELECT place, name, version FROM deliveries;
        UPDATE deliveries SET archived = NULL";
    ground.works.store.write(move |tx| tx.conn.execute_batch(forget)).await.expect("an older ledger");
    let archive = ground.start().await;
    assert!(ground.contents().await == before, "as the lists say");
    let flushed = archive.catch_up().await.expect("archived");
    assert_eq!((flushed.rows, flushed.repeats), (0, (FLUSHES * RECORDS) as u64), "all of it is known");
    let report = archive.check(|_| ()).await.expect("a check");
    assert_eq!(report.faults, Vec::<String>::new());
}

#[tokio::test]
async fn logs_that_no_digest_has_listed_are_named() {
    let account = "111122220000".to_owned();
    let ground = Ground::new(std::slice::from_ref(&account)).await;
    let archive = ground.start().await;
    for number in [1, 2] {
        ground.deliver(0, &key(&account, 1, number), &[format!("{{\"eventID\":\"{number}\"}}")]).await;
    }
    archive.catch_up().await.expect("archived");
    let proven = "UPDATE deliveries SET listed = 1 WHERE name LIKE '%1'";
    ground.works.store.write(move |tx| tx.conn.execute_batch(proven)).await.expect("a digest");
    assert_eq!(archive.write_integrity().await.expect("written"), 1);
    let table = std::fs::File::open(ground.place().join("integrity/objects.parquet")).expect("a table");
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(table)
        .and_then(|builder| builder.build())
        .expect("a file of columns");
    let mut found = Vec::new();
    for batch in reader {
        let batch = batch.expect("rows");
        let cell = |column: &str| schema::text(schema::leaf(&batch, column), 0).unwrap_or_default().to_owned();
        found.push((cell("trail"), cell("object"), cell("integrity")));
    }
    assert_eq!(found, [("one".to_owned(), key(&account, 1, 2), "pending".to_owned())]);
}
