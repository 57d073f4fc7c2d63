//! What every implementation of a seam must do. One suite per seam, run on each implementation.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use trailwarden::core::id::{Region, Sha256};
use trailwarden::seam::{Bucket, Got, Keys, Member, Members, Message, Metadata, Object, PublicKey, Queue};

/// More than one page of a listing holds.
const MANY: usize = 1_005;
const MIB: u64 = 1 << 20;

/// An empty bucket. `versioned` says whether an overwritten object stays readable under its version id.
pub async fn bucket_contract(bucket: &dyn Bucket, versioned: bool) {
    absent_is_absent(bucket).await;
    put_then_get(bucket).await;
    put_from_a_file(bucket).await;
    too_large(bucket).await;
    versions(bucket, versioned).await;
    listing(bucket).await;
    folders(bucket).await;
    paging(bucket).await;
    ranges(bucket).await;
    nothing_is_removed(bucket).await;
}

async fn ranges(bucket: &dyn Bucket) {
    let body: Vec<u8> = (0..=250).cycle().take(10_000).collect();
    put(bucket, "ranges", &body).await;
    for (from, length) in [(0, 1), (0, 10_000), (9_990, 10), (5, 300)] {
        let range = bucket.range("ranges", from as u64, length as u64).await.unwrap().unwrap();
        assert_eq!(range, body[from..from + length], "{from} {length}");
    }
    assert_eq!(bucket.range("ranges", 9_999, 5).await.unwrap().unwrap(), body[9_999..], "no further than the end");
    assert_eq!(bucket.range("ranges", 10_000, 5).await.unwrap(), Some(vec![]));
    assert_eq!(bucket.range("ranges", 3, 0).await.unwrap(), Some(vec![]));
    assert_eq!(bucket.range("ranges/none", 0, 5).await.unwrap(), None);
}

async fn nothing_is_removed(bucket: &dyn Bucket) {
    put(bucket, "evidence", b"x").await;
    assert!(bucket.remove("evidence").await.is_err());
    assert_eq!(found(bucket, "evidence", None).await.body, b"x");
}

/// Of a bucket that was opened as the warden's own.
pub async fn own_bucket_contract(bucket: &dyn Bucket) {
    put(bucket, "own/one", b"x").await;
    put(bucket, "own/other", b"y").await;
    for _ in 0..2 {
        bucket.remove("own/one").await.unwrap();
        assert!(matches!(bucket.get("own/one", None, MIB).await.unwrap(), Got::Absent));
    }
    assert_eq!(keys(bucket, "own/", None).await, ["own/other"]);
}

pub async fn found(bucket: &dyn Bucket, key: &str, version: Option<&str>) -> Object {
    match bucket.get(key, version, MIB).await.unwrap() {
        Got::Found(object) => object,
        other => panic!("{key}: {other:?}"),
    }
}

async fn put(bucket: &dyn Bucket, key: &str, body: &[u8]) {
    bucket.put(key, body.to_vec(), Metadata::new()).await.unwrap();
}

async fn absent_is_absent(bucket: &dyn Bucket) {
    for key in ["absent", "absent/", "a/b/absent.json.gz", ""] {
        assert!(matches!(bucket.get(key, None, MIB).await.unwrap(), Got::Absent), "{key}");
        assert!(bucket.head(key, None).await.unwrap().is_none(), "{key}");
    }
    // A folder is no object.
    put(bucket, "folder/object", b"x").await;
    assert!(matches!(bucket.get("folder", None, MIB).await.unwrap(), Got::Absent));
    assert!(matches!(bucket.get("folder/", None, MIB).await.unwrap(), Got::Absent));
}

async fn put_then_get(bucket: &dyn Bucket) {
    // No text, and what a client with good intentions would inflate.
    let body: Vec<u8> = [0x1f, 0x8b, 8, 0].into_iter().chain((0..=255).cycle().take(100_000)).collect();
    let metadata = Metadata::from([
        ("signature".to_owned(), "0a1bC2".to_owned()),
        ("signature-algorithm".to_owned(), "SHA256withRSA".to_owned()),
    ]);
    bucket.put("round/trip.json.gz", body.clone(), metadata.clone()).await.unwrap();
    let object = found(bucket, "round/trip.json.gz", None).await;
    assert_eq!(object.body, body);
    assert_eq!(object.head.size, body.len() as u64);
    let head = bucket.head("round/trip.json.gz", None).await.unwrap().unwrap();
    assert_eq!(head.size, body.len() as u64);
    assert_eq!((&head.version, &head.etag), (&object.head.version, &object.head.etag));
    assert!(head.etag.is_none_or(|etag| !etag.contains('"')));
    if bucket.has_metadata().await.unwrap() {
        assert_eq!(object.head.metadata, metadata);
        assert_eq!(head.metadata, metadata);
    }
    put(bucket, "empty", b"").await;
    assert_eq!(found(bucket, "empty", None).await.body, b"");
}

async fn put_from_a_file(bucket: &dyn Bucket) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    // More than goes over the wire in one piece.
    let body: Vec<u8> = (0..=250).cycle().take(900_001).collect();
    std::fs::write(&path, &body).unwrap();
    let sha = Sha256::of(&body);
    bucket.put_file("from/file.db", &path, &sha).await.unwrap();
    assert_eq!(found(bucket, "from/file.db", None).await.body, body);
    std::fs::write(&path, b"").unwrap();
    bucket.put_file("from/file.db", &path, &Sha256::of(b"")).await.unwrap();
    assert_eq!(found(bucket, "from/file.db", None).await.body, b"", "it is replaced as a whole");
    assert!(bucket.put_file("from/none", &dir.path().join("none"), &sha).await.is_err());
    assert!(matches!(bucket.get("from/none", None, MIB).await.unwrap(), Got::Absent));
}

async fn too_large(bucket: &dyn Bucket) {
    put(bucket, "large", &[7; 1000]).await;
    assert!(matches!(bucket.get("large", None, 999).await.unwrap(), Got::TooLarge(1000)));
    assert!(matches!(bucket.get("large", None, 1000).await.unwrap(), Got::Found(_)));
}

async fn versions(bucket: &dyn Bucket, versioned: bool) {
    put(bucket, "twice", b"first").await;
    let first = bucket.head("twice", None).await.unwrap().unwrap().version;
    put(bucket, "twice", b"second").await;
    assert_eq!(found(bucket, "twice", None).await.body, b"second");
    let Some(first) = first.filter(|_| versioned) else {
        assert!(!versioned, "a versioned bucket names versions");
        return;
    };
    let pinned = found(bucket, "twice", Some(&first)).await;
    assert_eq!((pinned.body.as_slice(), pinned.head.version.as_ref()), (b"first".as_slice(), Some(&first)));
    assert_eq!(bucket.head("twice", Some(&first)).await.unwrap().unwrap().size, 5);
    // A version of another object.
    put(bucket, "once", b"x").await;
    let other = bucket.head("once", None).await.unwrap().unwrap().version.unwrap();
    assert!(matches!(bucket.get("twice", Some(&other), MIB).await.unwrap(), Got::Absent));
}

/// All pages.
async fn keys(bucket: &dyn Bucket, prefix: &str, after: Option<&str>) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    let mut after = after.map(str::to_owned);
    loop {
        let page = bucket.list(prefix, after.as_deref()).await.unwrap();
        assert!(!page.more || !page.objects.is_empty(), "more would follow nothing");
        keys.extend(page.objects.into_iter().map(|object| object.key));
        if !page.more {
            return keys;
        }
        after = keys.last().cloned();
    }
}

async fn listing(bucket: &dyn Bucket) {
    // In the order of their bytes, with what a careless encoding would change.
    let sorted =
        ["list/+plus", "list/A", "list/a b", "list/a%20b", "list/a+b", "list/a-b/c", "list/a/b", "list/b", "list/ü"];
    for key in sorted.iter().rev() {
        put(bucket, key, key.as_bytes()).await;
    }
    put(bucket, "lisa", b"x").await;
    put(bucket, "listing", b"x").await;
    assert_eq!(keys(bucket, "list/", None).await, sorted);
    assert_eq!(keys(bucket, "list/", Some("list/a+b")).await, sorted[5..]);
    assert_eq!(keys(bucket, "list/", Some("list/a+a")).await, sorted[4..], "`after` need not exist");
    assert_eq!(keys(bucket, "list/a", None).await, sorted[2..7], "a prefix may end inside a name");
    assert_eq!(keys(bucket, "list/none", None).await, [""; 0]);
    for key in sorted {
        assert_eq!(found(bucket, key, None).await.body, key.as_bytes());
    }
    let page = bucket.list("list/", None).await.unwrap();
    assert!(page.objects.iter().all(|object| object.size == object.key.len() as u64));
}

async fn folders(bucket: &dyn Bucket) {
    for key in ["top/b/1", "top/b/2/3", "top/a b/1", "top/c/d/e", "top/file", "topmost/x"] {
        put(bucket, key, b"x").await;
    }
    assert_eq!(bucket.folders("top/").await.unwrap(), ["top/a b/", "top/b/", "top/c/"]);
    assert_eq!(bucket.folders("top/c/").await.unwrap(), ["top/c/d/"]);
    assert_eq!(bucket.folders("top/none/").await.unwrap(), [""; 0]);
    let roots = bucket.folders("").await.unwrap();
    assert!(roots.contains(&"top/".to_owned()) && roots.contains(&"topmost/".to_owned()), "{roots:?}");
}

async fn paging(bucket: &dyn Bucket) {
    let wanted: Vec<String> = (0..MANY).map(|number| format!("many/{number:05}/x")).collect();
    let puts = wanted.iter().map(|key| bucket.put(key, b"x".to_vec(), Metadata::new()));
    stream::iter(puts).buffer_unordered(16).try_collect::<Vec<()>>().await.unwrap();
    let first = bucket.list("many/", None).await.unwrap();
    assert!(first.objects.len() <= 1000 || !first.more);
    assert_eq!(keys(bucket, "many/", None).await, wanted);
    assert_eq!(bucket.folders("many/").await.unwrap().len(), MANY);
}

/// The far end of a queue.
#[async_trait]
pub trait Feed: Send + Sync {
    async fn send(&self, body: &str);
}

/// An empty queue whose received messages come back after two seconds.
pub async fn queue_contract(queue: &dyn Queue, feed: &dyn Feed) {
    assert_eq!(queue.visibility(), Duration::from_secs(2));
    assert!(queue.receive(10, Duration::ZERO).await.unwrap().is_empty());
    assert!(queue.depth().await.unwrap().is_empty());
    held_and_back(queue, feed).await;
    done_is_done(queue, feed).await;
    later_is_later(queue, feed).await;
    bogus_receipts(queue).await;
    many_at_once(queue, feed).await;
    assert!(queue.depth().await.unwrap().is_empty());
}

async fn one(queue: &dyn Queue) -> Message {
    let mut messages = queue.receive(1, Duration::from_secs(5)).await.unwrap();
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

async fn none(queue: &dyn Queue) {
    let messages = queue.receive(10, Duration::ZERO).await.unwrap();
    assert!(messages.is_empty(), "{messages:?}");
}

fn receipts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| message.receipt.clone()).collect()
}

async fn held_and_back(queue: &dyn Queue, feed: &dyn Feed) {
    feed.send("{\"text\":\"ü\"}").await;
    let first = one(queue).await;
    assert_eq!(first.body, "{\"text\":\"ü\"}".as_bytes());
    assert_eq!(first.deliveries, 1);
    assert!(first.sent.is_none_or(|sent| sent > Timestamp::UNIX_EPOCH));
    none(queue).await;
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.visible, depth.in_flight), (0, 1));
    // Kept for longer than it would have stayed away by itself.
    assert_eq!(queue.extend(&receipts(std::slice::from_ref(&first)), Duration::from_secs(4)).await.unwrap(), [""; 0]);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    none(queue).await;
    // It comes back, is counted, and has a new receipt.
    let second = one(queue).await;
    assert_eq!((&second.id, &second.body, second.deliveries), (&first.id, &first.body, 2));
    assert_ne!(second.receipt, first.receipt);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let third = one(queue).await;
    assert_eq!((&third.id, third.deliveries), (&first.id, 3), "back after the queue's own visibility");
    assert_eq!(queue.done(&[third.receipt]).await.unwrap(), [""; 0]);
}

async fn done_is_done(queue: &dyn Queue, feed: &dyn Feed) {
    feed.send("done").await;
    let receipts = [one(queue).await.receipt];
    assert_eq!(queue.done(&receipts).await.unwrap(), [""; 0]);
    assert!(queue.depth().await.unwrap().is_empty());
    assert_eq!(queue.done(&receipts).await.unwrap(), [""; 0], "twice is fine");
    assert_eq!(queue.extend(&receipts, Duration::from_secs(2)).await.unwrap(), receipts, "what is done is lost");
    queue.later(&receipts[0], Duration::ZERO).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    none(queue).await;
}

async fn later_is_later(queue: &dyn Queue, feed: &dyn Feed) {
    feed.send("later").await;
    let first = one(queue).await;
    queue.later(&first.receipt, Duration::ZERO).await.unwrap();
    let second = one(queue).await;
    assert_eq!(second.deliveries, 2, "given back at once");
    queue.later(&second.receipt, Duration::from_secs(3)).await.unwrap();
    assert!(!queue.depth().await.unwrap().is_empty(), "what waits is not gone");
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    none(queue).await;
    let third = one(queue).await;
    assert_eq!((&third.id, third.deliveries), (&first.id, 3));
    assert_eq!(queue.done(&[third.receipt]).await.unwrap(), [""; 0]);
}

async fn bogus_receipts(queue: &dyn Queue) {
    let bogus: Vec<String> = ["no-such-receipt", "../../etc/passwd", "AQEB+/="].map(str::to_owned).into();
    assert_eq!(queue.done(&bogus).await.unwrap(), [""; 0]);
    assert_eq!(queue.extend(&bogus, Duration::from_secs(2)).await.unwrap(), bogus);
    queue.later(&bogus[0], Duration::from_secs(2)).await.unwrap();
    assert_eq!(queue.done(&[]).await.unwrap(), [""; 0]);
    assert_eq!(queue.extend(&[], Duration::from_secs(2)).await.unwrap(), [""; 0]);
}

/// More than one batch call takes, with a lost one among them.
async fn many_at_once(queue: &dyn Queue, feed: &dyn Feed) {
    for number in 0..25 {
        feed.send(&format!("many {number}")).await;
    }
    assert!(queue.receive(0, Duration::ZERO).await.unwrap().is_empty());
    let few = queue.receive(3, Duration::from_secs(5)).await.unwrap();
    assert!((1..=3).contains(&few.len()), "{}", few.len());
    let mut held = few;
    while held.len() < 25 {
        let more = queue.receive(25, Duration::from_secs(5)).await.unwrap();
        assert!(!more.is_empty(), "only {} of 25", held.len());
        held.extend(more);
    }
    let bodies: BTreeSet<_> = held.iter().map(|message| message.body.clone()).collect();
    assert_eq!(bodies.len(), 25);
    let mut all = receipts(&held);
    all.insert(12, "no-such-receipt".to_owned());
    assert_eq!(queue.extend(&all, Duration::from_secs(30)).await.unwrap(), ["no-such-receipt"]);
    assert_eq!(queue.depth().await.unwrap().in_flight, 25);
    assert_eq!(queue.done(&all).await.unwrap(), [""; 0]);
}

/// `expected` in any order.
pub async fn members_contract(members: &dyn Members, expected: &[Member]) {
    let by_account = |members: &[Member]| {
        let mut members = members.to_vec();
        members.sort_by_key(|member| member.account);
        members
    };
    // Asking again begins anew.
    for _ in 0..2 {
        assert_eq!(by_account(&members.all().await.unwrap()), by_account(expected));
    }
}

/// At least two keys, all of `region`, with fingerprints in lower case; `valid_from` and `valid_to` in whole seconds.
pub async fn keys_contract(keys: &dyn Keys, region: &Region, expected: &[PublicKey]) {
    let hour = SignedDuration::from_hours(1);
    for key in expected {
        let (from, to) = (key.valid_from.unwrap(), key.valid_to.unwrap());
        for at in [from + hour, to - hour] {
            assert_eq!(keys.find(region, &key.fingerprint, at).await.unwrap().as_ref(), Some(key));
        }
        let shouted = key.fingerprint.to_ascii_uppercase();
        assert_eq!(keys.find(region, &shouted, from + hour).await.unwrap().as_ref(), Some(key));
        assert_eq!(keys.find(region, "00000000000000000000000000000000", from + hour).await.unwrap(), None);
        let elsewhere = Region::parse("xx-elsewhere-9").unwrap();
        assert_eq!(keys.find(&elsewhere, &key.fingerprint, from + hour).await.unwrap(), None);
    }
    let from = expected.iter().filter_map(|key| key.valid_from).min().unwrap();
    let to = expected.iter().filter_map(|key| key.valid_to).max().unwrap();
    let fingerprints = |keys: Vec<PublicKey>| keys.into_iter().map(|key| key.fingerprint).collect::<BTreeSet<_>>();
    assert_eq!(fingerprints(keys.all(region, from, to).await.unwrap()), fingerprints(expected.to_vec()));
    let before = from - hour * 48;
    assert_eq!(keys.all(region, before, before + hour).await.unwrap(), []);
}
