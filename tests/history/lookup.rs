//! Whatever is asked of the archive: what is found is what a slow look at every record finds.

use std::collections::BTreeSet;
use std::sync::Arc;

use fastrand::Rng;
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use trailwarden::archive::lookup::{self, Hit, Newest, Search, Taker};
use trailwarden::archive::raw::{self, Raw};
use trailwarden::core::gzip::Caps;
use trailwarden::core::lookup::{Attribute, Question};
use trailwarden::delivery::Memory;
use trailwarden::local::dir::Dir;
use trailwarden::store::archive::{self, ArchiveFile};

use crate::ground::{Ground, key};

/// A record, and when its log was delivered.
#[derive(Clone)]
struct Made {
    text: String,
    delivered: i64,
}

fn seconds(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("a time").as_second()
}

const NAMES: [&str; 5] = ["alice", "bob", "deploy", "root", "ec2.amazonaws.com"];
const THINGS: [&str; 4] = ["bück", "i-1", "arn:aws:s3:::bück", "key/with \"quotes\""];

fn identity(rng: &mut Rng, account: &str) -> Value {
    let name = NAMES[rng.usize(..3)];
    match rng.u8(..7) {
        0 => json!({"type": "Root", "principalId": account, "arn": format!("arn:aws:iam::{account}:root")}),
        1 => json!({"type": "AWSService", "invokedBy": NAMES[4]}),
        2 => json!(name),
        3 => {
            json!({"type": "IAMUser", "userName": name, "principalId": "AIDA1", "accessKeyId": format!("AKIA{}", rng.u8(..5)),
            "arn": format!("arn:aws:iam::{account}:user/{name}")})
        }
        4 => json!({"type": "IAMUser", "userName": {"odd": name}, "accessKeyId": rng.u8(..5)}),
        _ => {
            json!({"type": "AssumedRole", "principalId": format!("AROA1:{name}"), "accessKeyId": format!("ASIA{}", rng.u8(..5)),
            "arn": format!("arn:aws:sts::{account}:assumed-role/deploy/{name}"),
            "sessionContext": {"sessionIssuer": {"arn": format!("arn:aws:iam::{account}:role/deploy"), "userName": "deploy", "principalId": "AROA1"}}})
        }
    }
}

/// Times as CloudTrail writes them, and as nobody should.
fn time(rng: &mut Rng, day: usize) -> Value {
    let plain = format!("2026-03-{day:02}T{:02}:{:02}:{:02}", rng.u8(..24), rng.u8(..60), rng.u8(..60));
    match rng.u8(..24) {
        0 => json!(format!("{plain}+14:00")),
        1 => json!(format!("{plain}-11:30")),
        2 => json!(format!("{plain}.75Z")),
        3 => json!(plain.replace('T', " ") + "Z"),
        4 => json!(plain.replace(['-', ':'], "") + "Z"),
        5 => json!("yesterday"),
        6 => json!(5),
        7 => Value::Null,
        8 => json!(format!("2019-03-{day:02}T00:00:00Z")),
        9 => json!(format!("2031-03-{day:02}T00:00:00Z")),
        _ => json!(format!("{plain}Z")),
    }
}

fn record(rng: &mut Rng, account: &str, day: usize, number: usize) -> String {
    let thing = THINGS[rng.usize(..4)];
    let mut record = json!({
        "userIdentity": identity(rng, account),
        "eventTime": time(rng, day),
        "eventSource": rng.choice(["ec2.amazonaws.com", "s3.amazonaws.com"]),
        "eventName": rng.choice(["RunInstances", "PutObject", "runinstances"]),
        "awsRegion": rng.choice(["eu-west-1", "us-east-1"]),
        "sourceIPAddress": format!("192.0.2.{}", rng.u8(..6)),
        "requestParameters": match rng.u8(..4) { 0 => json!({"a": {"b": [thing]}}), 1 => json!(thing), 2 => json!({"n": number}), _ => Value::Null },
        "readOnly": match rng.u8(..4) { 0 => json!("true"), 1 => Value::Null, _ => json!(rng.bool()) },
        "recipientAccountId": account,
        "number": number,
    });
    if rng.u8(..10) > 0 {
        record["eventID"] = json!(format!("e{number}"));
    }
    if rng.u8(..3) == 0 {
        record["errorCode"] = json!(rng.choice(["AccessDenied", "Throttling"]));
    }
    if rng.u8(..3) == 0 {
        let resource = json!({"ARN": format!("arn:aws:s3:::{}", ["bück", "other/i-1"][rng.usize(..2)]), "type": "AWS::S3::Bucket"});
        record["resources"] = json!([{"type": "AWS::KMS::Key"}, resource]);
    }
    let text = record.to_string();
    // some services escape what others do not
    if rng.bool() { text.replace('ü', "\\u00fc") } else { text }
}

/// As the questions are documented, of the record as any parser reads it.
fn is_asked(record: &Value, attribute: Attribute, wanted: &str) -> bool {
    let text = |pointer: &str| match record.pointer(pointer) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    let is = |pointer: &str| text(pointer).as_deref() == Some(wanted);
    let resource = |part: &str| -> Vec<String> {
        let all = record["resources"].as_array().into_iter().flatten();
        all.filter_map(|resource| resource[part].as_str().map(str::to_owned)).collect()
    };
    fn strings(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(all) => all.iter().for_each(|value| strings(value, found)),
            Value::Object(all) => all.values().for_each(|value| strings(value, found)),
            _ => {}
        }
    }
    match attribute {
        Attribute::EventId => is("/eventID"),
        Attribute::Event => is("/eventName"),
        Attribute::Source => is("/eventSource"),
        Attribute::AccessKey => is("/userIdentity/accessKeyId"),
        Attribute::Account => is("/recipientAccountId"),
        Attribute::Region => is("/awsRegion"),
        Attribute::SourceAddress => is("/sourceIPAddress"),
        Attribute::ErrorCode => is("/errorCode"),
        Attribute::ReadOnly => is("/readOnly"),
        Attribute::ResourceType => resource("type").iter().any(|kind| kind == wanted),
        Attribute::Resource => {
            let mut found = Vec::new();
            strings(&record["requestParameters"], &mut found);
            let names = |arn: &String| arn == wanted || arn.rsplit(['/', ':']).next() == Some(wanted);
            found.iter().any(|text| text == wanted) || resource("ARN").iter().any(names)
        }
        Attribute::User if wanted.starts_with("arn:") => {
            is("/userIdentity/arn") || is("/userIdentity/sessionContext/sessionIssuer/arn")
        }
        Attribute::User => {
            let session = text("/userIdentity/principalId").and_then(|id| Some(id.split_once(':')?.1.to_owned()));
            is("/userIdentity/userName")
                || is("/userIdentity/principalId")
                || is("/userIdentity/invokedBy")
                || is("/userIdentity/sessionContext/sessionIssuer/userName")
                || session.as_deref() == Some(wanted)
                || (wanted == "root" && record["userIdentity"]["type"] == "Root")
        }
    }
}

fn happened(made: &Made) -> i64 {
    let record: Value = serde_json::from_str(&made.text).expect("a record");
    let time = record["eventTime"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    time.map_or(made.delivered, Timestamp::as_second)
}

/// A question, and the same for the slow look.
struct Asked {
    question: Question,
    attributes: Vec<(Attribute, Vec<String>)>,
    text: Option<String>,
}

impl Asked {
    fn random(rng: &mut Rng, most: usize) -> Self {
        let mut asked = Self { question: Question::default(), attributes: Vec::new(), text: None };
        for _ in 0..rng.usize(..3) {
            let (attribute, value) = match rng.u8(..12) {
                0 => (Attribute::EventId, format!("e{}", rng.usize(..most))),
                1 => (Attribute::Event, (*rng.choice(["RunInstances", "PutObject", "None"]).expect("one")).to_owned()),
                2 => (Attribute::Source, "s3.amazonaws.com".into()),
                3 => (Attribute::User, NAMES[rng.usize(..5)].into()),
                4 => (Attribute::User, format!("arn:aws:iam::11112222000{}:role/deploy", rng.u8(..3))),
                5 => (Attribute::Resource, THINGS[rng.usize(..4)].into()),
                6 => (Attribute::ResourceType, "AWS::S3::Bucket".into()),
                7 => {
                    (Attribute::AccessKey, format!("{}{}", rng.choice(["AKIA", "ASIA", ""]).expect("one"), rng.u8(..5)))
                }
                8 => (Attribute::Account, format!("11112222000{}", rng.u8(..3))),
                9 => (Attribute::SourceAddress, format!("192.0.2.{}", rng.u8(..7))),
                10 => (Attribute::ErrorCode, "AccessDenied".into()),
                _ => (Attribute::ReadOnly, rng.bool().to_string()),
            };
            let mut values = vec![value];
            if attribute == Attribute::EventId {
                values.push(format!("e{}", rng.usize(..most)));
            }
            asked.question.ask(attribute, &values);
            asked.attributes.push((attribute, values));
        }
        if rng.u8(..4) == 0 {
            let text = (*rng.choice(["PUTOBJECT", "\"number\":7", "nowhere"]).expect("one")).to_owned();
            assert!(asked.question.search(&text));
            asked.text = Some(text);
        }
        let edge = |rng: &mut Rng| seconds("2026-03-01T00:00:00Z") + rng.i64(-3..10) * 86_400 + rng.i64(-4..4) * 3_600;
        asked.question.from = (rng.u8(..2) == 0).then(|| edge(rng));
        asked.question.to = (rng.u8(..2) == 0).then(|| edge(rng));
        asked
    }

    fn slowly(&self, made: &[Made]) -> BTreeSet<String> {
        let fits = |made: &&Made| {
            let record: Value = serde_json::from_str(&made.text).expect("a record");
            let when = happened(made);
            self.question.from.is_none_or(|from| when >= from)
                && self.question.to.is_none_or(|to| when < to)
                && self
                    .attributes
                    .iter()
                    .all(|(attribute, values)| values.iter().any(|value| is_asked(&record, *attribute, value)))
                && self
                    .text
                    .as_ref()
                    .is_none_or(|text| made.text.to_ascii_lowercase().contains(&text.to_ascii_lowercase()))
        };
        made.iter().filter(fits).map(|made| made.text.clone()).collect()
    }
}

/// Delivers logs in a random order, with flushes and compactions in between.
async fn lived(rng: &mut Rng, ground: &Ground) -> Vec<Made> {
    let archive = ground.start().await;
    let mut all = Vec::new();
    for log in 1..70 {
        let (account, day) = (format!("11112222000{}", rng.u8(..3)), rng.usize(1..7));
        let key = key(&account, day, log);
        let delivered = seconds(&format!("2026-03-{day:02}T{:02}:{:02}:00Z", log / 60, log % 60));
        let made: Vec<Made> = (0..rng.usize(1..12))
            .map(|at| {
                let (number, of_day) = (log * 100 + at, rng.usize(1..=day));
                Made { text: record(rng, &account, of_day, number), delivered }
            })
            .collect();
        let texts: Vec<String> = made.iter().map(|made| made.text.clone()).collect();
        ground.deliver(0, &key, &texts).await;
        all.extend(made);
        if rng.u8(..3) == 0 {
            archive.catch_up().await.expect("archived");
        }
        if rng.u8(..12) == 0 {
            archive.compact(rng.bool(), |_| ()).await.expect("compacted");
        }
    }
    archive.catch_up().await.expect("archived");
    all
}

fn search(ground: &Ground, question: Question) -> Search {
    let place = ground.works.archive.as_ref().expect("an archive").place.clone();
    Search { place, question: Arc::new(question) }
}

pub async fn newest(ground: &Ground, question: Question, files: Vec<ArchiveFile>, limit: usize) -> Vec<Hit> {
    let (mut newest, mut effort) = (Newest::new(limit, 64 << 20), lookup::Effort::default());
    search(ground, question).run(files, Taker::Newest(&mut newest), &mut effort).await.expect("searched");
    assert_eq!(effort.unreadable, Vec::<String>::new());
    assert!(effort.read <= effort.bytes * 2 && effort.groups_out <= effort.groups);
    newest.into_hits()
}

async fn everything(ground: &Ground, question: Question) -> Vec<String> {
    let (send, mut receive) = mpsc::channel::<Vec<Hit>>(100);
    let mut effort = lookup::Effort::default();
    let search = search(ground, question);
    let (searched, found) = tokio::join!(search.run(ground.files().await, Taker::All(send), &mut effort), async {
        let mut found = Vec::new();
        while let Some(hits) = receive.recv().await {
            found.extend(hits.into_iter().map(|hit| hit.record));
        }
        found
    });
    searched.expect("searched");
    found
}

async fn in_raw_logs(ground: &Ground, question: Question, limit: usize) -> (Vec<Hit>, raw::Effort) {
    let raw = Arc::new(Raw {
        bucket: Arc::new(Dir::open(&ground.dir.path().join("one")).expect("a directory")),
        prefix: String::new(),
        object_limit: 64 << 20,
        caps: Caps::default(),
        memory: Memory::new(64 << 20, ground.env.clone()),
        env: ground.env.clone(),
        question,
    });
    let (mut newest, mut effort) = (Newest::new(limit, 64 << 20), raw::Effort::default());
    raw.run(Taker::Newest(&mut newest), &mut effort).await.expect("searched");
    (newest.into_hits(), effort)
}

fn is_forged(text: &str) -> bool {
    text.contains("\"2019-") || text.contains("\"2031-")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_found_is_what_a_slow_look_at_every_record_finds() {
    for seed in 1..=2 {
        let mut rng = Rng::with_seed(seed);
        let accounts: Vec<String> = (0..3).map(|number| format!("11112222000{number}")).collect();
        let ground = Ground::new(&accounts).await;
        let all = lived(&mut rng, &ground).await;
        let files = ground.files().await;
        assert!(files.len() > 6);
        let mut answers = BTreeSet::new();
        for round in 0..50 {
            let asked = Asked::random(&mut rng, 7_000);
            let wanted = asked.slowly(&all);
            answers.insert(wanted.len());
            let what = || {
                format!(
                    "seed {seed}, round {round}: {:?} {:?} {:?}",
                    asked.attributes,
                    asked.text,
                    asked.question.from.zip(asked.question.to)
                )
            };
            let found = everything(&ground, asked.question.clone()).await;
            assert_eq!(found.len(), wanted.len(), "{}", what());
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), wanted, "{}", what());
            let limit = *rng.choice([1, 5, 50, 100_000].iter()).expect("one");
            let hits = newest(&ground, asked.question.clone(), files.clone(), limit).await;
            is_the_newest(&hits, &wanted, &all, limit, &what());
            let (hits, effort) = in_raw_logs(&ground, asked.question.clone(), 100_000).await;
            let raw: BTreeSet<String> = hits.into_iter().map(|hit| hit.record).collect();
            let left_out = |text: &&String| effort.out_of_time == 0 || !is_forged(text);
            assert_eq!(
                raw.iter().filter(left_out).collect::<Vec<_>>(),
                wanted.iter().filter(left_out).collect::<Vec<_>>(),
                "raw, {}",
                what()
            );
        }
        assert!(answers.len() > 12, "the questions are all alike: {answers:?}");
    }
}

/// In order, and nothing that was left out is newer than what was not.
fn is_the_newest(hits: &[Hit], wanted: &BTreeSet<String>, all: &[Made], limit: usize, what: &str) {
    assert_eq!(hits.len(), wanted.len().min(limit), "{what}");
    let whens: Vec<i64> = hits.iter().map(|hit| hit.rank.when().expect("each log was delivered")).collect();
    assert!(whens.is_sorted_by(|one, other| one >= other), "{what}: {whens:?}");
    let found: BTreeSet<&String> = hits.iter().map(|hit| &hit.record).collect();
    assert_eq!(found.len(), hits.len(), "twice, {what}");
    for made in all.iter().filter(|made| wanted.contains(&made.text)) {
        let is_in = found.contains(&made.text);
        assert!(is_in || whens.last().is_some_and(|last| happened(made) <= *last), "{what}: {} is newer", made.text);
    }
    assert!(hits.iter().all(|hit| wanted.contains(&hit.record) && hit.trail.as_deref() == Some("one")), "{what}");
}

#[tokio::test]
async fn what_becomes_known_is_in_one_gathered_file_however_late_it_is() {
    let account = "111122220000".to_owned();
    let ground = Ground::new(std::slice::from_ref(&account)).await;
    let archive = ground.start().await;
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut told: Vec<String> = Vec::new();
    for number in 1..140 {
        // some late by days, some of one second
        let time = if number % 5 == 0 {
            "2026-03-01T00:00:00Z".to_owned()
        } else {
            format!("2026-03-02T00:00:{:02}Z", number % 7)
        };
        let record =
            format!("{{\"eventTime\":\"{time}\",\"eventID\":\"{number}\",\"recipientAccountId\":\"{account}\"}}");
        ground.deliver(0, &key(&account, 2, number), &[record]).await;
        archive.catch_up().await.expect("archived");
        if number % 80 == 0 {
            assert!(archive.compact(false, |_| ()).await.expect("compacted").merged > 0);
        }
        if number % 3 == 0 {
            let view = ground.works.store.read(archive::view).await.expect("a look");
            let new: Vec<ArchiveFile> =
                view.gathered.iter().filter(|file| !known.contains(&file.name)).cloned().collect();
            known = view.gathered.into_iter().map(|file| file.name).collect();
            told.extend(newest(&ground, Question::default(), new, 1_000).await.into_iter().map(|hit| hit.record));
        }
    }
    let distinct: BTreeSet<&String> = told.iter().collect();
    assert_eq!((told.len(), distinct.len()), (138, 138), "each once");
}

#[tokio::test]
async fn a_file_that_is_damaged_or_gone_keeps_nobody_from_the_others() {
    let account = "111122220000".to_owned();
    let ground = Ground::new(std::slice::from_ref(&account)).await;
    let archive = ground.start().await;
    for day in 1..=3 {
        let record = format!("{{\"eventTime\":\"2026-03-{day:02}T00:00:00Z\",\"eventID\":\"{day}\"}}");
        ground.deliver(0, &key(&account, day, day), &[record]).await;
        archive.catch_up().await.expect("archived");
    }
    let files = ground.files().await;
    std::fs::write(ground.place().join(&files[0].name), vec![7; usize::try_from(files[0].bytes).expect("small")])
        .expect("a file");
    std::fs::remove_file(ground.place().join(&files[1].name)).expect("gone");
    let (mut newest, mut effort) = (Newest::new(10, 1 << 20), lookup::Effort::default());
    search(&ground, Question::default()).run(files, Taker::Newest(&mut newest), &mut effort).await.expect("searched");
    assert_eq!(effort.unreadable.len(), 2, "{:?}", effort.unreadable);
    assert_eq!(newest.into_hits().len(), 1);
}

/// The same rows, a few in each row group, with zeros for a column of one of them.
fn damaged(path: &std::path::Path, group: usize, column: &str) -> u64 {
    let rows = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).expect("a file")).expect("Parquet");
    let of_two = WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema().clone(), Some(of_two)).expect("a schema");
    rows.build().expect("rows").for_each(|batch| writer.write(&batch.expect("rows")).expect("written"));
    let mut bytes = writer.into_inner().expect("a file");
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::from(bytes.clone())).expect("a footer");
    let columns = metadata.row_group(group).columns();
    let (start, length) =
        columns.iter().find(|own| own.column_path().string() == column).expect("a column").byte_range();
    bytes[start as usize..(start + length) as usize].fill(0);
    std::fs::write(path, &bytes).expect("a file");
    bytes.len() as u64
}

#[tokio::test]
async fn a_damaged_part_of_a_file_keeps_nobody_from_the_rest_of_it() {
    let account = "111122220000".to_owned();
    // what is looked at first, and what is only in whole records
    for column in ["eventtime", "useragent"] {
        let ground = Ground::new(std::slice::from_ref(&account)).await;
        let archive = ground.start().await;
        let record = |number: usize| {
            format!(
                r#"{{"eventTime":"2026-03-01T00:00:0{number}Z","eventID":"{number}","eventName":"A","userAgent":"agent {number}"}}"#
            )
        };
        ground.deliver(0, &key(&account, 1, 1), &(0..6).map(record).collect::<Vec<_>>()).await;
        archive.catch_up().await.expect("archived");
        let mut files = ground.files().await;
        files[0].bytes = damaged(&ground.place().join(&files[0].name), 1, column);
        for room in [3, 10] {
            let mut effort = lookup::Effort::default();
            let mut newest = Newest::new(room, 1 << 20);
            let mut question = Question::default();
            question.ask(Attribute::Event, &["A".to_owned()]);
            search(&ground, question)
                .run(files.clone(), Taker::Newest(&mut newest), &mut effort)
                .await
                .expect("searched");
            let [fault] = effort.unreadable.as_slice() else { panic!("{column}: {:?}", effort.unreadable) };
            assert!(fault.starts_with(&format!("{}: row group 1: ", files[0].name)), "{fault}");
            let found: Vec<String> = newest.into_hits().into_iter().map(|hit| hit.record).collect();
            // of the newest three one cannot be put together
            let left = if room == 3 && column == "useragent" { 2 } else { room };
            let expected: Vec<String> = [5, 4, 1, 0].into_iter().take(left).map(record).collect();
            assert_eq!(found, expected, "{column}");
        }
    }
}

#[tokio::test]
async fn integrity_is_what_the_ledger_says_of_the_log_and_unknown_where_it_says_nothing() {
    use archive::Integrity::{Modified, Pending, Verified};
    let account = "111122220000".to_owned();
    let ground = Ground::new(std::slice::from_ref(&account)).await;
    for number in 1..=4 {
        ground.deliver(0, &key(&account, 1, number), &[format!("{{\"eventID\":\"{number}\"}}")]).await;
    }
    let proven = "UPDATE deliveries SET listed = 1 WHERE name LIKE '%1'; UPDATE deliveries SET listed = 2 WHERE name LIKE '%2';
        INSERT INTO deliveries SELECT place, name, 'v2', kind, delivered, state, 0, sha, size, etag, records, rejects, seen, removed, archived
          FROM deliveries WHERE name LIKE '%1';
        DELETE FROM deliveries WHERE name LIKE '%4'";
    ground.works.store.write(move |tx| tx.conn.execute_batch(proven)).await.expect("digests");
    let of = |trail: &str, number: usize| (trail.to_owned(), key("111122220000", 1, number));
    let asked = [of("one", 1), of("one", 2), of("one", 3), of("one", 4), of("two", 1), of("three", 1)];
    let known = ground.works.store.read(move |conn| archive::integrity(conn, &asked)).await.expect("a look");
    assert_eq!(known, [Some(Pending), Some(Modified), Some(Pending), None, None, None], "the worst of its versions");
    let one = "DELETE FROM deliveries WHERE version = 'v2'";
    ground.works.store.write(move |tx| tx.conn.execute_batch(one)).await.expect("one version");
    let asked = [of("one", 1)];
    let known = ground.works.store.read(move |conn| archive::integrity(conn, &asked)).await.expect("a look");
    assert_eq!(known, [Some(Verified)]);
}

#[tokio::test]
async fn hostile_records_are_found_as_they_were_written() {
    let account = "111122220000";
    let ground = Ground::new(&[account.to_owned()]).await;
    let archive = ground.start().await;
    let wide: String = (0..10_000).map(|number| format!("\"f{number}\":{number},")).collect();
    let mut rng = Rng::with_seed(1);
    let long: String = (0..256 << 10).map(|_| rng.alphanumeric()).collect();
    let time = "\"eventTime\":\"2026-03-01T10:00:00Z\"";
    let texts = [
        ("wide", format!("{{{wide}{time},\"eventID\":\"wide\"}}")),
        ("nul", format!("{{\"userAgent\":\"a\\u0000b\\ud800\",{time},\"eventID\":\"nul\"}}")),
        ("a\u{0}b", format!("{{{time},\"eventID\":\"a\\u0000b\"}}")),
        ("6", "{\"eventTime\":5,\"eventID\":6,\"recipientAccountId\":{}}".to_owned()),
        (
            "structs",
            format!(
                "{{\"userIdentity\":\"me\",\"resources\":{{\"a\":1}},\"tlsDetails\":[],{time},\"eventID\":\"structs\"}}"
            ),
        ),
        ("deep", format!("{{{time},\"eventID\":\"deep\",\"x\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000))),
        ("twice", format!("{{\"eventID\":\"once\",{time},\"eventID\":\"twice\"}}")),
    ];
    let mut records: Vec<String> = texts.iter().map(|(_, text)| text.clone()).collect();
    // one value that many records share
    records.extend((0..60).map(|number| {
        format!("{{\"userAgent\":\"{long}\",{time},\"eventID\":\"long-{number}\",\"requestParameters\":{{\"a\":\"{long}\"}}}}")
    }));
    for (number, of_log) in records.chunks(20).enumerate() {
        ground.deliver(0, &key(account, 1, number), of_log).await;
    }
    archive.catch_up().await.expect("archived");
    archive.compact(true, |_| ()).await.expect("compacted");
    for (id, text) in &texts {
        let mut question = Question::default();
        question.ask(Attribute::EventId, &[(*id).to_owned()]);
        let (raw, _) = in_raw_logs(&ground, question.clone(), 10).await;
        let found = newest(&ground, question, ground.files().await, 10).await;
        assert_eq!(found.iter().map(|hit| &hit.record).collect::<Vec<_>>(), [text], "{id}");
        assert_eq!(raw.iter().map(|hit| &hit.record).collect::<Vec<_>>(), [text], "{id} in raw logs");
    }
    let most = 8 << 20;
    let (mut newest, mut effort) = (Newest::new(10_000, most), lookup::Effort::default());
    let files = ground.files().await;
    search(&ground, Question::default()).run(files, Taker::Newest(&mut newest), &mut effort).await.expect("searched");
    assert!(newest.is_cut, "they do not all fit");
    let bytes: usize = newest.into_hits().iter().map(|hit| hit.record.len()).sum();
    assert!(bytes <= most && bytes > most / 2, "{bytes}");
}
