//! Duplicates, late and out-of-order deliveries, overlapping trails, crashes and compactions: each record once.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;
use std::sync::atomic::Ordering;

use fastrand::Rng;
use jiff::SignedDuration;
use serde_json::json;
use trailwarden::archive::ddl::{Engine, ddl};
use trailwarden::archive::rows::{Origin, Rows};

use crate::common::emulator::duckdb;
use crate::ground::{Contents, Ground, key};

struct Size {
    accounts: usize,
    days: usize,
    /// Logs of an account and a day.
    logs: usize,
    records: usize,
}

/// A log that is delivered: to a trail, at a key.
struct Delivery {
    trail: usize,
    key: String,
    records: Vec<String>,
}

struct Made {
    deliveries: Vec<Delivery>,
    /// What the archive must hold in the end.
    expected: Contents,
    accounts: Vec<String>,
}

fn hex(rng: &mut Rng, digits: usize) -> String {
    (0..digits).map(|_| char::from_digit(rng.u32(..16), 16).unwrap_or('0')).collect()
}

fn record(rng: &mut Rng, account: &str, day: usize, with_id: bool) -> (String, String) {
    let (hour, minute, second) = (rng.u8(..24), rng.u8(..60), rng.u8(..60));
    let fraction = if rng.u8(..50) == 0 { ".5" } else { "" };
    let name = rng.choice(["RunInstances", "DescribeInstances", "StopInstances"]);
    let mut record = json!({
        "eventVersion": "1.11",
        "userIdentity": {"type": "AssumedRole", "principalId": format!("AROA{}:s", rng.u8(..9)),
            "arn": format!("arn:aws:sts::{account}:assumed-role/r{}/s", rng.u8(..9)), "accessKeyId": format!("ASIA{}", rng.u8(..50))},
        "eventTime": format!("2026-03-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"),
        "eventSource": "ec2.amazonaws.com",
        "eventName": name,
        "awsRegion": "eu-west-1",
        "sourceIPAddress": format!("192.0.2.{}", rng.u8(..)),
        "requestParameters": {"instanceId": hex(rng, 17), "n": rng.u16(..)},
        "responseElements": null,
        "requestID": hex(rng, 32),
        "readOnly": rng.bool(),
        "eventType": "AwsApiCall",
        "recipientAccountId": account,
    });
    if with_id {
        record["eventID"] = json!(hex(rng, 32));
    }
    if rng.u8(..20) == 0 {
        record["newMember"] = json!({"of": ["next", "year"], "é": "\u{1}\u{0}"});
    }
    (format!("2026-03-{day:02}"), record.to_string())
}

fn make(rng: &mut Rng, size: &Size) -> Made {
    let accounts: Vec<String> = (0..size.accounts).map(|number| format!("11112222{number:04}")).collect();
    let (mut deliveries, mut expected) = (Vec::new(), Contents::new());
    let mut number = 0;
    for account in &accounts {
        for day in 1..=size.days {
            for log in 0..size.logs {
                number += 1;
                let key_of = |number: usize, later: usize| key(account, day + later, number);
                let records: Vec<String> = (0..size.records)
                    .map(|at| {
                        let (date, text) = record(rng, account, day, at % 40 != 7);
                        expected.entry((date, account.clone())).or_default().insert(text.clone());
                        text
                    })
                    .collect();
                let with_id = |records: &[String]| -> Vec<String> {
                    records.iter().filter(|text| text.contains("eventID")).cloned().collect()
                };
                // some late, by up to a week
                let later = if log % 7 == 3 { rng.usize(1..8) } else { 0 };
                // one log with every record twice
                let twice = if log % 11 == 0 { [&records[..], &records].concat() } else { records.clone() };
                deliveries.push(Delivery { trail: 0, key: key_of(number, later), records: twice });
                if log % 5 == 0 {
                    // again in another file of the same trail, half of it
                    number += 1;
                    let half = with_id(&records[records.len() / 2..]);
                    deliveries.push(Delivery { trail: 0, key: key_of(number, rng.usize(..3)), records: half });
                }
                if log % 3 == 0 {
                    // and a second trail that covers the same
                    number += 1;
                    let key = key_of(number, later);
                    deliveries.push(Delivery { trail: 1, key, records: with_id(&records) });
                }
            }
        }
    }
    rng.shuffle(&mut deliveries);
    Made { deliveries, expected, accounts }
}

/// Lets it live through everything, with a crash after every few writes.
async fn live(size: &Size, seed: u64, step: usize) {
    let mut rng = Rng::with_seed(seed);
    let made = make(&mut rng, size);
    let ground = Ground::new(&made.accounts).await;
    let (mut crashes, mut delivered, mut merged) = (0, 0, 0);
    let mut archive = ground.start().await;
    for deliveries in made.deliveries.chunks(step) {
        for delivery in deliveries {
            ground.deliver(delivery.trail, &delivery.key, &delivery.records).await;
            delivered += delivery.records.len();
        }
        ground.fuse.store(if rng.u8(..3) > 0 { rng.i64(1..9) } else { i64::MAX }, Ordering::SeqCst);
        let outcome = match archive.catch_up().await {
            Ok(_) if rng.u8(..4) == 0 => archive.compact(rng.bool(), |_| ()).await.map(|done| merged += done.merged),
            outcome => outcome.map(drop),
        };
        ground.fuse.store(i64::MAX, Ordering::SeqCst);
        if outcome.is_err() {
            crashes += 1;
            archive = ground.start().await;
        }
        ground.env.advance(SignedDuration::from_mins(rng.i64(0..50)));
    }
    assert!(crashes > 0, "nothing ever went wrong");
    archive.catch_up().await.expect("the rest");
    merged += archive.compact(true, |_| ()).await.expect("large files").merged;
    assert!(merged > 0, "nothing was ever compacted");
    let contents = ground.contents().await;
    let distinct: usize = made.expected.values().map(std::collections::BTreeSet::len).sum();
    assert!(delivered > distinct, "nothing came twice");
    for (day, records) in &made.expected {
        let found = contents.get(day).map_or(0, std::collections::BTreeSet::len);
        assert_eq!(found, records.len(), "{day:?} of seed {seed}");
    }
    assert!(contents == made.expected, "other records than were delivered, seed {seed}");
    let report = archive.check(|_| ()).await.expect("a check");
    assert_eq!((report.faults, report.orphans, report.waiting), (vec![], vec![], 0));
    assert_eq!(report.rows, distinct as u64);
    println!(
        "{delivered} records delivered, {distinct} distinct, {crashes} crashes, {} files",
        ground.files().await.len()
    );
    ground.env.advance(SignedDuration::from_hours(2));
    archive.remove_replaced().await.expect("old files go");
    let left = archive.place.bucket.list("date=", None).await.expect("a listing").objects.len();
    assert_eq!(left, ground.files().await.len(), "replaced files stay for ever");
    counted_by_duckdb(&ground, &made.expected);
}

/// An engine that we did not write reads the same files by the DDL that we print.
fn counted_by_duckdb(ground: &Ground, expected: &Contents) {
    let Some(python) = duckdb() else { return };
    let script = "import sys, json, duckdb\ncon = duckdb.connect()\ncon.execute('SET enable_progress_bar = false')\nfor part in sys.stdin.read().split(';\\n'):\n    if part.strip(): con.execute(part)\n\
        rows = con.execute('SELECT CAST(date AS VARCHAR), recipientaccountid, count(*), count(DISTINCT record), count(record) FROM cloudtrail GROUP BY ALL').fetchall()\nprint(json.dumps(rows))";
    let statements = ddl(Engine::DuckDb, &format!("file://{}/", ground.place().display()));
    let file = ground.dir.path().join("ddl.sql");
    std::fs::write(&file, statements).expect("a file");
    let output = Command::new(python)
        .args(["-c", script])
        .stdin(std::fs::File::open(&file).expect("a file"))
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<(String, String, usize, usize, usize)> = serde_json::from_slice(&output.stdout).expect("rows");
    let found: BTreeMap<(String, String), (usize, usize, usize)> = rows
        .into_iter()
        .map(|(date, account, rows, texts, records)| ((date, account), (rows, texts, records)))
        .collect();
    let wanted: BTreeMap<(String, String), (usize, usize, usize)> =
        expected.iter().map(|(day, records)| (day.clone(), (records.len(), records.len(), records.len()))).collect();
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn every_record_is_there_once_whatever_happens() {
    for seed in [1, 2] {
        live(&Size { accounts: 3, days: 3, logs: 12, records: 20 }, seed, 12).await;
    }
}

/// As two threads of an import that find the same events in different files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_write_the_same_at_once_the_second_leaves_it_out() {
    let account = "111122220000".to_owned();
    let ground = Ground::new(std::slice::from_ref(&account)).await;
    let archive = ground.start().await;
    // neither gets on before both have looked what is there already, and have written their files
    let lock = File::create(ground.dir.path().join("state.archive-lock")).expect("a lock");
    lock.lock().expect("nobody has it");
    let both = ["a.json", "b.json"].map(|object| {
        let (archive, mut rng) = (archive.clone(), Rng::with_seed(3));
        let mut rows = Rows::new(archive.ids.identity.clone());
        let day = jiff::civil::date(2026, 3, 1);
        rows.begin(Origin { object: object.into(), trail: None, delivered: None, day });
        (0..20).for_each(|_| rows.push(&record(&mut rng, &account, 1, true).1));
        tokio::spawn(async move { archive.commit(rows, Vec::new()).await })
    });
    let written = || {
        let files = std::fs::read_dir(ground.dir.path()).expect("a folder").flatten();
        files.filter(|file| file.file_name().to_string_lossy().starts_with("state.db.archive-")).count()
    };
    while written() < 2 {
        tokio::task::yield_now().await;
    }
    drop(lock);
    let mut total = trailwarden::archive::Flushed::default();
    for one in both {
        total += one.await.expect("it ends").expect("committed").0;
    }
    assert_eq!((total.files, total.rows, total.repeats), (1, 20, 20));
    assert_eq!(ground.contents().await.values().map(std::collections::BTreeSet::len).sum::<usize>(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_that_write_many_days_at_once_each_record_is_there_once() {
    let account = "111122220000".to_owned();
    let ground = Ground::new(std::slice::from_ref(&account)).await;
    let archive = ground.start().await;
    let mut distinct = 0;
    for round in 0..4 {
        let mut rng = Rng::with_seed(round);
        let records: Vec<String> = (1..=15).map(|day| record(&mut rng, &account, day, true).1).collect();
        let all: Vec<_> = (0..4)
            .map(|number| {
                let mut rows = Rows::new(archive.ids.identity.clone());
                let day = jiff::civil::date(2026, 3, 1);
                rows.begin(Origin { object: format!("{number}.json"), trail: None, delivered: None, day });
                records.iter().for_each(|record| rows.push(record));
                let archive = archive.clone();
                tokio::spawn(async move { archive.commit(rows, Vec::new()).await })
            })
            .collect();
        for one in all {
            one.await.expect("it ends").expect("committed");
        }
        distinct += records.len();
    }
    assert_eq!(ground.contents().await.values().map(std::collections::BTreeSet::len).sum::<usize>(), distinct);
}

/// `cargo test --release --test history -- --ignored --nocapture two_million`
#[tokio::test]
#[ignore = "two million records take minutes"]
async fn two_million_records_are_there_once_whatever_happens() {
    live(&Size { accounts: 20, days: 10, logs: 100, records: 100 }, 7, 150).await;
}

#[tokio::test]
async fn what_comes_after_a_flush_is_taken_too() {
    let account = "111122220000".to_owned();
    let ground = Ground::new(std::slice::from_ref(&account)).await;
    let archive = ground.start().await;
    let (mut gathered, mut expected) = (archive.gather(), std::collections::BTreeSet::new());
    for logs in [0..3, 3..4, 4..6] {
        for number in logs {
            let record = json!({ "eventID": number.to_string(), "eventTime": "2026-03-01T10:00:00Z", "recipientAccountId": account });
            ground.deliver(0, &key(&account, 1, number), &[record.to_string()]).await;
            expected.insert(record.to_string());
        }
        while archive.take(&mut gathered).await.expect("logs are read") {}
        archive.flush(&mut gathered).await.expect("written");
        let contents: std::collections::BTreeSet<String> = ground.contents().await.into_values().flatten().collect();
        assert_eq!(contents, expected);
    }
}

#[tokio::test]
async fn no_more_is_gathered_than_a_buffer_and_a_log() {
    const LOG: usize = 400 << 10;
    let account = "111122220000".to_owned();
    let ground = Ground::new(std::slice::from_ref(&account)).await;
    let archive = ground.start().await;
    let mut expected = Contents::new();
    for number in 0..12 {
        let record = |half: usize| {
            let (id, text) = (format!("{number}-{half}"), "x".repeat(LOG / 2));
            json!({ "eventID": id, "eventTime": "2026-03-01T10:00:00Z", "recipientAccountId": account, "text": text })
        };
        let records = [0, 1].map(|half| record(half).to_string());
        ground.deliver(0, &key(&account, 1, number), &records).await;
        expected.entry(("2026-03-01".to_owned(), account.clone())).or_default().extend(records);
    }
    let (mut gathered, mut flushes) = (archive.gather(), 0);
    while archive.take(&mut gathered).await.expect("logs are read") {
        assert!((archive.buffer..archive.buffer + LOG + 4_000).contains(&gathered.bytes()), "{}", gathered.bytes());
        archive.flush(&mut gathered).await.expect("written");
        flushes += 1;
    }
    assert_eq!(flushes, 12 / archive.buffer.div_ceil(LOG));
    assert!(ground.contents().await == expected, "something is missing");
}
