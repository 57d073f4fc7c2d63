//! Two wardens of one name, each with a ledger of its own, that take the archive over from each other.

use std::ops::Range;
use std::sync::atomic::Ordering;

use trailwarden::store::archive;

use crate::ground::{Contents, Ground, key};

const ACCOUNT: &str = "111122220000";

/// The records of a log: one of the first of March and one of the second.
fn records(number: usize) -> [(String, String); 2] {
    ["01", "02"].map(|day| {
        let record = format!(
            "{{\"eventTime\":\"2026-03-{day}T10:00:{number:02}Z\",\"eventID\":\"{day}-{number}\",\"recipientAccountId\":\"{ACCOUNT}\"}}"
        );
        (format!("2026-03-{day}"), record)
    })
}

/// The logs come to a warden: by messages, or by its own comparison of bucket and ledger.
async fn hears(ground: &Ground, logs: Range<usize>) {
    for number in logs {
        ground.deliver(0, &key(ACCOUNT, 1, number), &records(number).map(|(_, text)| text)).await;
    }
}

fn all(logs: Range<usize>) -> Contents {
    let mut contents = Contents::new();
    for (date, text) in logs.flat_map(records) {
        contents.entry((date, ACCOUNT.to_owned())).or_default().insert(text);
    }
    contents
}

/// Killed between the commit that makes two files part of the archive and the second list that names them.
async fn killed_before_it_lists(ground: &Ground) {
    let archive = ground.start().await;
    // two files are put, the list of the first day is, and the answer to that never comes
    ground.fuse.store(3, Ordering::SeqCst);
    assert!(archive.catch_up().await.is_err());
    ground.fuse.store(i64::MAX, Ordering::SeqCst);
    let unlisted = ground.works.store.read(|conn| archive::relist(conn, 9)).await.expect("dates");
    assert!(unlisted.contains(&"2026-03-02".to_owned()), "{unlisted:?}");
    assert_eq!(ground.works.store.read(archive::unfinished).await.expect("files"), Vec::<String>::new());
}

/// A warden's archive is what was delivered, and nothing else lies there.
async fn holds(ground: &Ground, logs: Range<usize>) {
    assert!(ground.contents().await == all(logs.clone()), "{:#?}", ground.contents().await);
    let archive = ground.start().await;
    let report = archive.check(|_| ()).await.expect("a check");
    assert_eq!((report.faults, report.orphans, report.waiting), (vec![], vec![], 0));
    assert_eq!(report.rows, 2 * logs.len() as u64);
}

async fn works(ground: &Ground, logs: Range<usize>) {
    let archive = ground.start().await;
    hears(ground, logs).await;
    archive.catch_up().await.expect("archived");
}

#[tokio::test]
async fn takeovers_lose_no_file_and_double_no_record() {
    let one = Ground::new(&[ACCOUNT.to_owned()]).await;
    works(&one, 0..2).await;
    let other = one.beside().await;
    works(&one, 2..4).await;
    hears(&one, 4..6).await;
    killed_before_it_lists(&one).await;

    // its own comparison brings the other what it does not know: it is in files that a list names, and in one that none names
    works(&other, 2..8).await;
    holds(&other, 0..8).await;
    hears(&other, 8..10).await;
    killed_before_it_lists(&other).await;

    works(&one, 6..12).await;
    holds(&one, 0..12).await;
    let archive = one.start().await;
    archive.compact(true, |_| ()).await.expect("compacted");
    hears(&one, 12..14).await;
    archive.catch_up().await.expect("archived");

    // within the hour in which replaced files still lie there
    works(&other, 10..14).await;
    holds(&other, 0..14).await;
    one.env.advance(jiff::SignedDuration::from_hours(2));
    other.start().await.remove_replaced().await.expect("removed");
    holds(&other, 0..14).await;
    let left = other.start().await.place.bucket.list("date=", None).await.expect("a listing").objects.len();
    assert_eq!(left, other.files().await.len(), "replaced files stay for ever");

    works(&one, 0..0).await;
    holds(&one, 0..14).await;
}

#[tokio::test]
async fn files_that_no_ledger_knows_any_more_wait_for_nobody_to_hear_of_their_logs_again() {
    let one = Ground::new(&[ACCOUNT.to_owned()]).await;
    works(&one, 0..2).await;
    let other = one.beside().await;
    hears(&one, 2..4).await;
    killed_before_it_lists(&one).await;
    works(&other, 0..0).await;
    assert!(other.contents().await == all(0..4), "{:#?}", other.contents().await);
    works(&other, 4..6).await;
    works(&one, 0..0).await;
    assert!(one.contents().await == all(0..6), "{:#?}", one.contents().await);
}
