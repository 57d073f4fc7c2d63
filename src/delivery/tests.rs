//! Deliveries in orders that an attacker or a busy queue chooses, over a bucket with versions.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Barrier;

use super::*;
use crate::config::Validation;
use crate::core::admit::Rules;
use crate::core::digest::Digest;
use crate::core::gzip::{self, Caps};
use crate::core::id::AccountId;
use crate::core::id::Sha256;
use crate::core::key::{self, ObjectKey};
use crate::core::notice::{Event, How};
use crate::core::shard::Shard;
use crate::local::spool::Spool;
use crate::seam::{Bucket, Head, Keys, Listed, Member, Members, Metadata, Page, PublicKey};
use crate::store::digests;
use crate::world::{Scale, Step, World};

/// As the world names it.
const BUCKET: &str = "kestrel-org-trail-logs";
const GRACE: jiff::SignedDuration = jiff::SignedDuration::from_mins(90);

#[derive(Clone)]
struct Writing {
    version: String,
    body: Vec<u8>,
    metadata: Metadata,
}

/// All writings of each key, with versions of their own or without any.
#[derive(Default)]
struct Shelf {
    writings: Mutex<BTreeMap<String, Vec<Writing>>>,
    versioned: bool,
    /// Reads end together.
    together: Option<Barrier>,
}

impl Shelf {
    fn put(&self, key: &str, body: &[u8], metadata: &Metadata) -> Notice {
        let mut writings = self.writings.lock().expect("the shelf");
        let all = writings.entry(key.to_owned()).or_default();
        let version = if self.versioned { format!("v{}", all.len()) } else { String::new() };
        let writing = Writing { version, body: body.to_owned(), metadata: metadata.clone() };
        let head = head(&writing);
        all.push(writing);
        Notice {
            envelope: Envelope::S3,
            event: Event::Created(How::Put),
            version: head.version,
            ..Notice::listed(BUCKET, key, head.size, head.etag)
        }
    }

    fn find(&self, key: &str, version: Option<&str>) -> Option<Writing> {
        let writings = self.writings.lock().expect("the shelf");
        let all = writings.get(key)?;
        all.iter().rfind(|writing| version.is_none_or(|version| writing.version == version)).cloned()
    }
}

fn head(writing: &Writing) -> Head {
    Head {
        size: writing.body.len() as u64,
        version: (!writing.version.is_empty()).then(|| writing.version.clone()),
        etag: Some(Sha256::of(&writing.body).to_string()),
        metadata: writing.metadata.clone(),
        storage_class: None,
        lock: None,
    }
}

#[async_trait]
impl Bucket for Shelf {
    async fn get(&self, key: &str, version: Option<&str>, max_bytes: u64) -> Result<Got> {
        if let Some(together) = &self.together {
            together.wait().await;
        }
        Ok(match self.find(key, version) {
            None => Got::Absent,
            Some(writing) if writing.body.len() as u64 > max_bytes => Got::TooLarge(writing.body.len() as u64),
            Some(writing) => Got::Found(Object { head: head(&writing), body: writing.body }),
        })
    }

    async fn head(&self, key: &str, version: Option<&str>) -> Result<Option<Head>> {
        Ok(self.find(key, version).as_ref().map(head))
    }

    async fn list(&self, _: &str, _: Option<&str>) -> Result<Page> {
        Ok(Page { objects: Vec::<Listed>::new(), more: false })
    }

    async fn folders(&self, _: &str) -> Result<Vec<String>> {
        Ok(vec![])
    }

    async fn put(&self, _: &str, _: Vec<u8>, _: Metadata) -> Result<()> {
        Ok(())
    }

    async fn has_metadata(&self) -> Result<bool> {
        Ok(true)
    }
}

/// Fails while it has no answer.
struct Answers<T>(Mutex<Option<Vec<T>>>);

impl<T: Clone> Answers<T> {
    fn get(&self) -> Result<Vec<T>> {
        self.0.lock().expect("the answers").clone().ok_or_else(|| Error::permanent("ask", "AccessDenied"))
    }

    fn set(&self, answer: &[T]) {
        *self.0.lock().expect("the answers") = Some(answer.to_owned());
    }
}

#[async_trait]
impl Keys for Answers<(Region, PublicKey)> {
    async fn find(&self, region: &Region, fingerprint: &str, _: Timestamp) -> Result<Option<PublicKey>> {
        let found = self.get()?.into_iter().find(|(of, key)| of == region && key.fingerprint == fingerprint);
        Ok(found.map(|(_, key)| key))
    }

    async fn all(&self, _: &Region, _: Timestamp, _: Timestamp) -> Result<Vec<PublicKey>> {
        Ok(self.get()?.into_iter().map(|(_, key)| key).collect())
    }
}

#[async_trait]
impl Members for Answers<Member> {
    async fn all(&self) -> Result<Vec<Member>> {
        self.get()
    }
}

/// An object as CloudTrail would write it.
#[derive(Clone)]
struct Made {
    key: String,
    body: Vec<u8>,
    metadata: Metadata,
}

/// A digest that lists a log, the log, and all that is needed to settle them.
struct Ground {
    digest: Made,
    log: Made,
    forged: Vec<u8>,
    all_keys: Vec<(Region, PublicKey)>,
    all_members: Vec<Member>,
    keys: Arc<Answers<(Region, PublicKey)>>,
    members: Arc<Answers<Member>>,
    shelf: Arc<Shelf>,
    deliveries: Deliveries,
    trail: Trail,
    _dir: tempfile::TempDir,
}

impl Ground {
    async fn of(shelf: Shelf) -> Self {
        let start = "2026-03-01T00:00:00Z".parse().expect("a time");
        let scale = Scale { accounts: 1, regions: 1, hours: 8, logs_per_hour: (1, 2), records_per_log: (2, 3) };
        let mut world = World::clean(1, scale, start).expect("a world");
        let mut made = Vec::new();
        while let Some(hour) = world.next_hour().expect("an hour") {
            made.extend(hour.happenings.into_iter().filter_map(|happening| match happening.step {
                Step::Put { key, body, metadata } => Some(Made { key, body, metadata }),
                _ => None,
            }));
        }
        let digest = made.iter().find(|made| !logs(made).is_empty()).expect("a digest with logs").clone();
        let name = logs(&digest).swap_remove(0);
        let log = made.into_iter().find(|made| made.key == name).expect("its log");
        let forged = gzip::deflate(br#"{"Records":[]}"#);
        let dir = tempfile::tempdir().expect("a directory");
        let env = Env::manual(world.end(), 1);
        let store = Store::open(&dir.path().join("state.db"), &env).await.expect("a ledger");
        let id = store.write(|tx| objects::source_id(tx, "org")).await.expect("a source");
        let members = Arc::new(Answers(Mutex::new(Some(world.members.clone()))));
        let keys = Arc::new(Answers(Mutex::new(Some(world.keys.clone()))));
        let roster = Roster::new(members.clone(), store.clone());
        roster.refresh().await.expect("members");
        let shelf = Arc::new(shelf);
        let trail = Trail {
            id,
            name: "org".into(),
            shard: Shard::WHOLE,
            bucket: shelf.clone(),
            queue: Arc::new(Spool::open(&dir.path().join("spool"), Duration::from_secs(60), env).expect("a spool")),
            keys: keys.clone(),
            rules: Rules::default(),
            caps: Caps::default(),
            object_limit: 1 << 20,
            validation: Validation::All,
            promise: None,
            bucket_name: OnceLock::new(),
            ours: RwLock::default(),
            audit: Default::default(),
            strays: Default::default(),
        };
        let deliveries = Deliveries::new(store, Arc::default(), roster, GRACE);
        let (all_keys, all_members) = (world.keys.clone(), world.members.clone());
        Self { digest, log, forged, all_keys, all_members, keys, members, shelf, deliveries, trail, _dir: dir }
    }

    async fn versioned() -> Self {
        Self::of(Shelf { versioned: true, ..Shelf::default() }).await
    }

    fn put(&self, made: &Made) -> Notice {
        self.shelf.put(&made.key, &made.body, &made.metadata)
    }

    fn forge(&self, key: &str) -> Notice {
        self.shelf.put(key, &self.forged, &Metadata::new())
    }

    async fn settle(&self, notice: &Notice) -> Fate {
        self.deliveries.settle(&self.trail, notice).await.expect("it is settled")
    }

    /// State and listing of each writing of a key.
    async fn rows(&self, key: &str) -> Vec<(String, i64, i64)> {
        let (source, key) = (self.trail.id, key.to_owned());
        let rows = self.deliveries.store.read(move |conn| objects::versions(conn, source, &key)).await.expect("rows");
        rows.into_iter().map(|row| (row.version, row.state, row.listed)).collect()
    }

    async fn open(&self) -> Vec<Kind> {
        let open = self.deliveries.store.read(|conn| findings::list(conn, false)).await.expect("findings");
        let mut kinds: Vec<Kind> = open.into_iter().map(|held| held.kind).collect();
        kinds.sort();
        kinds
    }

    async fn is_proven(&self) -> bool {
        let (source, key) = (self.trail.id, self.digest.key.clone());
        self.deliveries.store.read(move |conn| digests::link(conn, source, &key)).await.expect("a look").is_some()
    }
}

fn logs(made: &Made) -> Vec<String> {
    let ObjectKey::Digest(_) = key::parse(&made.key) else { return vec![] };
    let inflated = gzip::inflate(&made.body, Caps::default()).expect("gzip");
    let digest = Digest::parse(&inflated.bytes).expect("a digest");
    digest.logs.into_iter().map(|log| log.key).collect()
}

fn row(version: &str, listed: Listing) -> (String, i64, i64) {
    (version.into(), State::Admitted as i64, listed as i64)
}

#[tokio::test]
async fn an_overwriting_in_the_same_batch_is_told() {
    let shelf = Shelf { versioned: true, together: Some(Barrier::new(2)), ..Shelf::default() };
    let mut ground = Ground::of(shelf).await;
    let (first, second) = (ground.put(&ground.log), ground.forge(&ground.log.key));
    tokio::join!(ground.settle(&first), ground.settle(&second));
    assert_eq!(ground.open().await, [Kind::EvidenceOverwritten]);
    let quiet = Shelf { versioned: true, ..Shelf::default() };
    quiet.put(&ground.digest.key, &ground.digest.body, &ground.digest.metadata);
    ground.trail.bucket = Arc::new(quiet);
    ground.settle(&Notice { envelope: Envelope::S3, ..Notice::listed(BUCKET, &ground.digest.key, 0, None) }).await;
    // Which of them fits is a matter of content, and not of who came first.
    assert_eq!(ground.rows(&ground.log.key).await, [row("v0", Listing::Fits), row("v1", Listing::Differs)]);
}

#[tokio::test]
async fn the_calls_of_another_writing_are_not_counted_again() {
    let ground = Ground::versioned().await;
    ground.deliveries.set_insights(Arc::new(Plan::default()));
    for id in ["a", "b"] {
        let record = r#"{"eventTime":"2026-03-01T04:00:00Z","eventSource":"iam.amazonaws.com","eventName":"CreateUser","awsRegion":"us-east-1""#;
        let text = format!("{{\"Records\":[{record},\"eventID\":\"{id}\"}}]}}");
        let notice = ground.shelf.put(&ground.log.key, &gzip::deflate(text.as_bytes()), &Metadata::new());
        ground.settle(&notice).await;
    }
    assert_eq!(ground.rows(&ground.log.key).await.len(), 2);
    let count = |conn: &rusqlite::Connection| conn.query_row("SELECT count(*) FROM tallies", [], |row| row.get(0));
    assert_eq!(ground.deliveries.store.read::<i64, _>(count).await.expect("a count"), 1);
}

#[tokio::test]
async fn a_writing_after_the_digest_is_compared_with_what_it_says() {
    let ground = Ground::versioned().await;
    let (log, digest) = (ground.put(&ground.log), ground.put(&ground.digest));
    ground.settle(&log).await;
    ground.settle(&digest).await;
    let forged = ground.forge(&ground.log.key);
    ground.settle(&forged).await;
    assert_eq!(ground.rows(&ground.log.key).await, [row("v0", Listing::Fits), row("v1", Listing::Differs)]);
    assert_eq!(ground.open().await, [Kind::EvidenceOverwritten]);
}

#[tokio::test]
async fn the_restored_original_fits() {
    for digest_first in [true, false] {
        let ground = Ground::versioned().await;
        let (forged, digest) = (ground.forge(&ground.log.key), ground.put(&ground.digest));
        let order = if digest_first { [&digest, &forged] } else { [&forged, &digest] };
        for notice in order {
            ground.settle(notice).await;
        }
        assert_eq!(ground.open().await, [Kind::LogModified]);
        let restored = ground.put(&ground.log);
        ground.settle(&restored).await;
        assert_eq!(ground.rows(&ground.log.key).await, [row("v0", Listing::Differs), row("v1", Listing::Fits)]);
    }
}

#[tokio::test]
async fn the_original_takes_the_forgerys_place_where_there_are_no_versions() {
    let ground = Ground::of(Shelf::default()).await;
    let (forged, digest) = (ground.forge(&ground.log.key), ground.put(&ground.digest));
    ground.settle(&forged).await;
    ground.settle(&digest).await;
    let restored = ground.put(&ground.log);
    assert_eq!(ground.settle(&restored).await, Fate::Admitted);
    assert_eq!(ground.rows(&ground.log.key).await, [row("", Listing::Fits)]);
    assert_eq!(ground.settle(&restored).await, Fate::Repeated);
}

#[tokio::test]
async fn a_proven_digest_takes_the_place_of_whatever_came_before_it() {
    for (versioned, junk) in [(true, "no gzip"), (false, "no gzip"), (true, ""), (false, "")] {
        let ground = Ground::of(Shelf { versioned, ..Shelf::default() }).await;
        let early = match junk {
            "" => ground.forge(&ground.digest.key),
            junk => ground.shelf.put(&ground.digest.key, junk.as_bytes(), &Metadata::new()),
        };
        ground.settle(&early).await;
        assert!(!ground.is_proven().await);
        let digest = ground.put(&ground.digest);
        assert_eq!(ground.settle(&digest).await, Fate::Admitted);
        assert!(ground.is_proven().await, "{versioned} {junk}");
        assert_eq!(ground.open().await, [Kind::DigestMalformed, Kind::EvidenceOverwritten]);
        // Nothing that comes later takes its place.
        let late = ground.forge(&ground.digest.key);
        ground.settle(&late).await;
        assert!(ground.is_proven().await);
    }
}

#[tokio::test]
async fn what_was_refused_is_admitted_once_its_account_is_a_member() {
    let ground = Ground::versioned().await;
    let stranger =
        Member { account: AccountId::parse("999988887777").expect("an account"), ..ground.all_members[0].clone() };
    ground.members.set(&[stranger]);
    ground.deliveries.store.write(|tx| tx.conn.execute("DELETE FROM members", [])).await.expect("nobody is known");
    ground.deliveries.roster.refresh().await.expect("members");
    let (log, digest) = (ground.put(&ground.log), ground.put(&ground.digest));
    for notice in [&log, &digest] {
        assert_eq!(ground.settle(notice).await, Fate::Refused);
    }
    assert_eq!(ground.open().await, [Kind::AccountForeign]);
    ground.members.set(&ground.all_members);
    ground.deliveries.roster.refresh().await.expect("members");
    assert_eq!(ground.open().await, []);
    for made in [&ground.log, &ground.digest] {
        let listed = Notice::listed(BUCKET, &made.key, made.body.len() as u64, None);
        assert_eq!(ground.settle(&listed).await, Fate::Admitted);
    }
    assert!(ground.is_proven().await);
    assert_eq!(ground.rows(&ground.log.key).await, [row("v0", Listing::Fits)]);
}

#[tokio::test]
async fn late_files_of_an_account_that_left_are_evidence_with_a_note_until_they_are_foreign() {
    for (left_before, fate, told) in [
        (-60, Fate::Admitted, vec![]),
        (60, Fate::Admitted, vec![Kind::AccountDeparted]),
        (8 * 86_400, Fate::Refused, vec![Kind::AccountForeign]),
    ] {
        let mut ground = Ground::versioned().await;
        let stranger =
            Member { account: AccountId::parse("999988887777").expect("an account"), ..ground.all_members[0].clone() };
        let ObjectKey::Log(delivered) = key::parse(&ground.log.key) else { panic!("no log's key") };
        ground.trail.rules.departed_grace = jiff::SignedDuration::from_hours(7 * 24);
        let last = delivered.delivered.as_second() - left_before;
        let see = "UPDATE members SET last_seen = ?1";
        ground.deliveries.store.write(move |tx| tx.conn.execute(see, [last])).await.expect("a step");
        ground.members.set(std::slice::from_ref(&stranger));
        ground.deliveries.roster.refresh().await.expect("members");
        let log = ground.put(&ground.log);
        assert_eq!(ground.settle(&log).await, fate);
        assert_eq!(ground.open().await, told, "{left_before}");
        // It comes back.
        ground.members.set(&ground.all_members);
        ground.deliveries.roster.refresh().await.expect("members");
        assert_eq!(ground.open().await, []);
    }
}

#[tokio::test]
async fn what_was_too_large_is_read_once_the_limit_allows() {
    for of_digest in [true, false] {
        let mut ground = Ground::versioned().await;
        let made = if of_digest { ground.digest.clone() } else { ground.log.clone() };
        ground.trail.object_limit = 10;
        let notice = ground.put(&made);
        assert_eq!(ground.settle(&notice).await, Fate::Unusable);
        assert_eq!(ground.open().await, [Kind::ObjectTooLarge]);
        ground.trail.object_limit = 1 << 20;
        let listed = Notice::listed(BUCKET, &made.key, made.body.len() as u64, None);
        assert_eq!(ground.settle(&listed).await, Fate::Admitted);
        assert_eq!(ground.open().await, []);
    }
}

#[tokio::test]
async fn a_refusal_that_is_overtaken_by_another_message_of_the_object_is_not_told() {
    let ground = Ground::versioned().await;
    let ObjectKey::Log(parsed) = key::parse(&ground.log.key) else { panic!("no log's key") };
    let (notice, denied) = (ground.put(&ground.log), Error::permanent("s3:GetObject", "access denied"));
    let evidence = Evidence::Log(parsed);
    ground.deliveries.unreadable(&ground.trail, &notice, &evidence, &denied).await.expect("it is told");
    assert_eq!(ground.open().await, [Kind::ObjectUnreadable]);
    ground.settle(&notice).await;
    ground.deliveries.unreadable(&ground.trail, &notice, &evidence, &denied).await.expect("nothing is told");
    assert_eq!(ground.open().await, []);
}

#[tokio::test]
async fn what_turns_out_to_be_missing_is_not_called_unreadable_as_well() {
    let ground = Ground::versioned().await;
    let ObjectKey::Log(parsed) = key::parse(&ground.log.key) else { panic!("no log's key") };
    let (notice, denied) =
        (Notice::listed(BUCKET, &ground.log.key, 9, None), Error::permanent("s3:GetObject", "denied"));
    ground.deliveries.unreadable(&ground.trail, &notice, &Evidence::Log(parsed), &denied).await.expect("it is told");
    assert_eq!(ground.settle(&notice).await, Fate::Absent);
    assert_eq!(ground.open().await, [Kind::ObjectMissing]);
}

#[tokio::test]
async fn a_copy_onto_a_known_key_is_told() {
    let ground = Ground::versioned().await;
    let log = ground.put(&ground.log);
    ground.settle(&log).await;
    let copy = Notice { event: Event::Created(How::Copy), ..ground.put(&ground.log) };
    assert_eq!(ground.settle(&copy).await, Fate::Repeated);
    assert_eq!(ground.open().await, [Kind::WriterForeign]);
}

#[tokio::test]
async fn a_digest_whose_key_cannot_be_asked_for_waits_for_it() {
    let ground = Ground::versioned().await;
    *ground.keys.0.lock().expect("the answers") = None;
    let digest = ground.put(&ground.digest);
    assert_eq!(ground.settle(&digest).await, Fate::Admitted);
    assert!(!ground.is_proven().await);
    let source = ground.trail.id;
    let lacked =
        ground.deliveries.store.read(move |conn| digests::lacked_keys(conn, source, None, 9)).await.expect("a look");
    assert_eq!(lacked.len(), 1);
    ground.keys.set(&ground.all_keys);
    let ObjectKey::Digest(parsed) = key::parse(&ground.digest.key) else { panic!("no digest's key") };
    // What lies there by now is another's writing.
    ground.forge(&ground.digest.key);
    assert!(ground.deliveries.try_again(&ground.trail, &ground.digest.key, &parsed).await.expect("it is there"));
    assert!(ground.is_proven().await);
}

#[tokio::test]
async fn an_escape_in_a_key_is_meant_as_written_where_there_is_such_an_object() {
    let ground = Ground::versioned().await;
    let escaped = ground.log.key.replace("_CloudTrail_", "_CloudTrai%6C_");
    let bridge = |key: &str, decoded: &str| Notice {
        envelope: Envelope::EventBridge,
        event: Event::Created(How::Put),
        key_decoded: Some(decoded.to_owned()),
        ..Notice::listed(BUCKET, key, 0, None)
    };
    // Only the decoded one is there: the envelope encodes.
    ground.put(&ground.log);
    assert_eq!(ground.settle(&bridge(&escaped, &ground.log.key)).await, Fate::Admitted);
    assert_eq!(ground.rows(&ground.log.key).await, [row("v0", Listing::None)]);
    // Somebody writes the escaped one.
    ground.forge(&escaped);
    assert_eq!(ground.settle(&bridge(&escaped, &ground.log.key)).await, Fate::Refused);
    assert_eq!(ground.open().await, [Kind::KeyUnexpected]);
    let marker = format!("{}%2F", ground.log.key);
    ground.forge(&marker);
    assert_eq!(ground.settle(&bridge(&marker, &format!("{}/", ground.log.key))).await, Fate::Refused);
}

#[tokio::test]
async fn a_digest_that_proves_nothing_ends_no_wait() {
    let ground = Ground::versioned().await;
    let digest = ground.put(&ground.digest);
    ground.settle(&digest).await;
    let ObjectKey::Digest(parsed) = key::parse(&ground.digest.key) else { panic!("no digest's key") };
    let subject = crate::core::chain::ChainId::of(&parsed).to_string();
    let overdue = Finding::new(Kind::DigestOverdue, subject, "hours are overdue");
    ground.deliveries.store.write(move |tx| findings::raise(tx, &overdue)).await.expect("a step");
    let later = crate::core::key::DigestKey { end: parsed.end + jiff::SignedDuration::from_hours(24 * 7), ..parsed };
    let junk = ground.forge(&later.format());
    ground.settle(&junk).await;
    assert!(ground.open().await.contains(&Kind::DigestOverdue));
}
