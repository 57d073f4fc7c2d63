//! Many small flushes become large files, while others write and read: no row is missing or double at any moment, and little is
//! written for it.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jiff::SignedDuration;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use trailwarden::archive::compact::Compacted;
use trailwarden::archive::rows::{Origin, Rows};
use trailwarden::archive::{Archive, Flushed, schema};

use crate::ground::Ground;

const ACCOUNT: &str = "111122220000";
const DATE: &str = "2026-03-01";

/// The records of a flush bear the numbers that follow those of the one before it; time goes on, and not in order.
fn rows(archive: &Archive, flush: usize, of: (usize, usize)) -> Rows {
    let (flushes, records) = of;
    let mut rows = Rows::new(archive.ids.identity.clone());
    let origin = |object: String| Origin { object, trail: None, delivered: None, day: jiff::civil::date(2026, 3, 2) };
    rows.begin(origin(format!("{flush}.json.gz")));
    for number in flush * records..(flush + 1) * records {
        let second = number * 86_000 / (flushes * records) + number * 7_919 % 300;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        rows.push(&format!(
            r#"{{"eventVersion":"1.11","userIdentity":{{"type":"AssumedRole","arn":"arn:aws:sts::{ACCOUNT}:assumed-role/role-{}/session","accessKeyId":"ASIA{:x}"}},"eventTime":"{DATE}T{hour:02}:{minute:02}:{second:02}Z","eventSource":"ec2.amazonaws.com","eventName":"DescribeInstances","awsRegion":"eu-west-1","sourceIPAddress":"10.0.{}.{}","requestParameters":{{"instanceId":"i-{mixed:017x}"}},"responseElements":null,"requestID":"{:016x}","eventID":"{number}","readOnly":true,"eventType":"AwsApiCall","recipientAccountId":"{ACCOUNT}"}}"#,
            mixed % 40,
            mixed % 3_000,
            mixed >> 8 & 255,
            mixed >> 16 & 255,
            mixed.rotate_left(31),
        ));
    }
    rows
}

/// Reads which events the files of a list hold; one that is gone or holds an event that another holds fails.
fn look(place: &Path, names: &[String]) -> usize {
    let mut seen = HashSet::new();
    for name in names {
        let file = File::open(place.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a file of columns");
        let ids = ProjectionMask::columns(reader.parquet_schema(), ["eventid"]);
        for batch in reader.with_projection(ids).build().expect("it is read") {
            let batch = batch.expect("rows");
            for id in schema::leaf(&batch, "eventid").expect("a column").iter().flatten() {
                let number: usize = id.parse().expect("a number");
                assert!(seen.insert(number), "{id} is there twice");
            }
        }
    }
    // whoever was first in the archive has no gap before him
    assert!(seen.iter().all(|number| *number < seen.len()), "one of {} is not there", seen.len());
    seen.len()
}

struct Readers {
    ground: Arc<Ground>,
    /// Events that are in the archive for sure, and whether no more will come.
    committed: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
}

impl Readers {
    /// Reads by the ledger and by the list beside it until the end; answers how often.
    async fn read(self) -> usize {
        let place = self.ground.place();
        let (mut looks, mut before) = (0, 0);
        loop {
            let is_last = self.ended.load(Ordering::SeqCst);
            let at_least = self.committed.load(Ordering::SeqCst);
            let names: Vec<String> = self.ground.files().await.into_iter().map(|file| file.name).collect();
            let list = std::fs::read_to_string(place.join(format!("manifest/date={DATE}/files-w"))).unwrap_or_default();
            let of = place.clone();
            let seen = tokio::task::spawn_blocking(move || {
                let root = format!("file://{}/", of.display());
                let listed: Vec<String> =
                    list.lines().map(|line| line.strip_prefix(&root).expect("an address").to_owned()).collect();
                [look(&of, &names), look(&of, &listed)]
            });
            for seen in seen.await.expect("every look sees all") {
                assert!(seen >= at_least, "{seen} events, {at_least} were there before");
            }
            looks += 1;
            if is_last {
                return looks;
            }
            // what was replaced goes after an hour, which is a few looks; no time goes by without a flush, so the day is not over
            if std::mem::replace(&mut before, at_least) < at_least {
                self.ground.env.advance(SignedDuration::from_mins(15));
            }
        }
    }
}

/// Flushes, merges and reads at once; says what that came to.
async fn live(flushes: usize, records: usize) {
    let ground = Arc::new(Ground::new(&[ACCOUNT.to_owned()]).await);
    let archive = ground.start().await;
    let (committed, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let readers = Readers { ground: ground.clone(), committed: committed.clone(), ended: ended.clone() };
    let readers = tokio::spawn(readers.read());
    let merging = tokio::spawn({
        let (archive, ended) = (archive.clone(), ended.clone());
        async move {
            let mut merged = Compacted::default();
            while !ended.load(Ordering::SeqCst) {
                let pass = archive.compact(false, |_| ()).await.expect("merged");
                add(&mut merged, &pass);
                tokio::task::yield_now().await;
            }
            merged
        }
    });
    let mut flushed = Flushed::default();
    for flush in 0..flushes {
        flushed += archive.commit(rows(&archive, flush, (flushes, records)), Vec::new()).await.expect("flushed").0;
        committed.store((flush + 1) * records, Ordering::SeqCst);
    }
    ended.store(true, Ordering::SeqCst);
    let mut merged = merging.await.expect("no merge failed");
    let looks = readers.await.expect("no row was missing or double");
    let last = archive.compact(true, |_| ()).await.expect("merged");
    add(&mut merged, &last);
    let files = ground.files().await;
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    assert_eq!(look(&ground.place(), &names), flushes * records);
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    println!(
        "{flushes} flushes of {records} records, {} bytes: {} files of {bytes} bytes; merging wrote {} bytes, {:.2} of what was flushed, \
         and each row {:.2} times; {looks} looks meanwhile",
        flushed.bytes,
        files.len(),
        merged.bytes,
        merged.bytes as f64 / flushed.bytes as f64,
        merged.rows as f64 / flushed.rows as f64,
    );
    assert_eq!((flushed.files, flushed.rows, flushed.repeats), (flushes, (flushes * records) as u64, 0));
    assert!(merged.rows <= 2 * flushed.rows && flushed.bytes + merged.bytes <= 2 * flushed.bytes, "{merged:?}");
    let small = files.iter().filter(|file| file.bytes < archive.target / 2).count();
    assert!(small <= 1, "{small} small files are left of {}", files.len());
    assert!(looks > 1);
}

fn add(total: &mut Compacted, pass: &Compacted) {
    total.rows += pass.rows;
    total.bytes += pass.bytes;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_flushes_become_large_files_while_others_read() {
    live(140, 3).await;
}

/// `cargo test --release --test history -- --ignored --nocapture a_hundred_thousand`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a hundred thousand flushes take half an hour"]
async fn a_hundred_thousand_flushes_become_large_files_while_others_read() {
    live(100_000, 10).await;
}
