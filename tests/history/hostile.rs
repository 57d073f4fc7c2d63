//! Records that nobody should write: kept as they are, and nothing breaks.

use trailwarden::archive::schema;
use trailwarden::delivery::Fate;

use crate::ground::{Ground, key};

#[tokio::test]
async fn hostile_records_are_kept_as_they_are() {
    let account = "111122220000";
    let ground = Ground::new(&[account.to_owned()]).await;
    let archive = ground.start().await;
    let wide: String = (0..10_000).map(|number| format!("\"f{number}\":{number},")).collect();
    let long = "x".repeat(256 << 10);
    let time = "\"eventTime\":\"2026-03-01T10:00:00Z\"";
    let records: Vec<String> = [
        format!("{{{wide}{time},\"eventID\":\"wide\"}}"),
        format!("{{\"userAgent\":\"{long}\",{time},\"eventID\":\"long\",\"requestParameters\":{{\"a\":\"{long}\"}}}}"),
        format!("{{\"userAgent\":\"a\\u0000b\\ud800\",{time},\"eventID\":\"nul\"}}"),
        format!(
            "{{\"readOnly\":\"true\",\"managementEvent\":1,\"awsRegion\":[\"eu-west-1\"],{time},\"eventID\":\"types\"}}"
        ),
        format!(
            "{{\"userIdentity\":\"me\",\"resources\":{{\"a\":1}},\"tlsDetails\":[],{time},\"eventID\":\"structs\"}}"
        ),
        "{\"eventTime\":\"yesterday\",\"eventID\":\"timeless\"}".to_owned(),
        "{\"eventTime\":5,\"eventID\":6,\"recipientAccountId\":{}}".to_owned(),
        format!("{{\"eventID\":\"twice\",{time},\"eventID\":\"twice\",{time}}}"),
        format!("{{{time},\"eventID\":\"deep\",\"x\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000)),
        "{}".to_owned(),
    ]
    .into();
    ground.deliver(0, &key(account, 1, 1), &records).await;
    let flushed = archive.catch_up().await.expect("nothing breaks");
    assert_eq!(flushed.rows, records.len() as u64);
    let kept: Vec<String> = ground.contents().await.into_values().flatten().collect();
    let mut wanted = records.clone();
    wanted.sort();
    let mut found = kept.clone();
    found.sort();
    assert!(found == wanted, "not as they were written");
    assert!(ground.files().await.iter().all(|file| file.date == "2026-03-01"), "the day of the key, or their own");

    // again, through a compaction, and by what an engine sees
    ground.deliver(0, &key(account, 1, 2), &records[..9]).await;
    let flushed = archive.catch_up().await.expect("nothing breaks");
    assert_eq!((flushed.rows, flushed.repeats), (0, 9), "the same events");
    let file = ground.files().await.into_iter().next().expect("a file");
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
        std::fs::File::open(ground.place().join(&file.name)).expect("a file"),
    )
    .and_then(|builder| builder.build())
    .expect("a file of columns");
    let mut agents = Vec::new();
    for batch in reader {
        let batch = batch.expect("rows");
        let column = |name: &str| schema::leaf(&batch, name).expect("a column").iter().collect::<Vec<_>>();
        for (id, agent) in column("eventid").into_iter().zip(column("useragent")) {
            agents.push((id.unwrap_or_default().to_owned(), agent.map(str::len)));
        }
    }
    assert!(agents.contains(&("long".into(), Some(256 << 10))), "{agents:?}");
    assert!(agents.contains(&("6".into(), None)) && agents.contains(&("twice".into(), None)));
}

#[tokio::test]
async fn what_is_no_utf8_is_no_log_and_is_told() {
    let account = "111122220000";
    let ground = Ground::new(&[account.to_owned()]).await;
    let archive = ground.start().await;
    let fate = ground.deliver_bytes(0, &key(account, 1, 1), b"{\"Records\":[{\"eventName\":\"\xff\"}]}").await;
    assert_eq!(fate, Fate::Unusable);
    assert_eq!(archive.catch_up().await.expect("nothing breaks").rows, 0);
}

#[tokio::test]
async fn thousands_of_forged_days_are_one_file() {
    let account = "111122220000";
    let ground = Ground::new(&[account.to_owned()]).await;
    let archive = ground.start().await;
    let records: Vec<String> = (0..3_000)
        .map(|number| format!("{{\"eventTime\":\"{}-03-01T00:00:00Z\",\"eventID\":\"{number}\"}}", 1_000 + number * 2))
        .collect();
    ground.deliver(0, &key(account, 1, 1), &records).await;
    assert_eq!(archive.catch_up().await.expect("archived").files, 1);
}

/// Whoever knows an event's id takes it out of the archive with no record of another time, whichever comes first.
#[tokio::test]
async fn a_record_with_the_id_of_another_takes_nothing_out() {
    let account = "111122220000";
    let ground = Ground::new(&[account.to_owned()]).await;
    let archive = ground.start().await;
    let [early, real, late] = ["09", "10", "11"].map(|hour| {
        format!("{{\"eventTime\":\"2026-03-01T{hour}:00:00Z\",\"eventID\":\"e\",\"recipientAccountId\":\"{account}\"}}")
    });
    ground.deliver(0, &key(account, 1, 1), &[early.clone(), real.clone()]).await;
    let flushed = archive.catch_up().await.expect("archived");
    assert_eq!((flushed.rows, flushed.repeats), (2, 0));
    ground.deliver(0, &key(account, 1, 2), &[late.clone(), real.clone()]).await;
    let flushed = archive.catch_up().await.expect("archived");
    assert_eq!((flushed.rows, flushed.repeats), (1, 1));
    let kept: Vec<String> = ground.contents().await.into_values().flatten().collect();
    assert_eq!(kept, [early, real, late]);
}
