use std::path::PathBuf;

use jiff::Timestamp;

use super::*;
use crate::core::chain::{ChainId, HOUR};
use crate::core::digest::Verdict;
use crate::core::finding::{Finding, Kind};
use crate::core::id::Sha256;
use crate::core::key::{self, ObjectKey};
use crate::core::route::Route;
use crate::env::Env;
use crate::seam::PublicKey;
use crate::store::digests::NewDigest;
use crate::store::objects::{self, Listing, NewObject, State};
use crate::store::{Store, Tx, digests, findings, lists};

const FOLDER: &str = "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/03/02/111122223333_CloudTrail-Digest_eu-west-1_org_us-east-1_";

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn object(key: &str, kind: i64) -> NewObject {
    NewObject {
        source: 1,
        key: key.into(),
        version: None,
        kind,
        delivered: time("2026-03-02T10:00:00Z"),
        state: State::Admitted,
        listed: Listing::None,
        sha: Some(Sha256::of(key.as_bytes())),
        size: 700,
        etag: Some("e".into()),
        records: 3,
        rejects: 1,
    }
}

fn digest(tx: &Tx<'_>, hour: u8, verdict: Verdict) -> Result<String> {
    let name = format!("{FOLDER}20260302T{hour:02}0000Z.json.gz");
    let ObjectKey::Digest(parsed) = key::parse(&name) else { panic!("no digest's key") };
    let chain = digests::chain(tx, 1, &ChainId::of(&parsed))?;
    objects::insert(tx, &NewObject { listed: Listing::NotExpected, ..object(&name, objects::DIGEST_KIND) })?;
    let (start, end) = (parsed.end - HOUR, parsed.end);
    let row = NewDigest {
        source: 1,
        key: name.clone(),
        chain: chain.id,
        start,
        end,
        verdict,
        faulty: false,
        sha: Some(Sha256::of(name.as_bytes())),
        signature: Some(vec![1, 2]),
        previous: None,
        logs: 2,
        lacks: None,
    };
    digests::put(tx, &row)?;
    if verdict == Verdict::Good {
        digests::extend_chain(tx, chain.id, start, end)?;
    }
    Ok(name)
}

fn trouble(number: u32) -> Finding {
    Finding::of_object(Kind::LogModified, "bucket", &format!("key-{number}"), "its hash differs")
}

/// A bit of everything.
fn fill(tx: &Tx<'_>) -> Result<()> {
    objects::source_id(tx, "org")?;
    for number in 0..40 {
        objects::insert(tx, &object(&format!("log-{number}"), 0))?;
    }
    objects::insert(tx, &object("log-1", 0))?;
    objects::set_listed(tx, 1, "log-2", Listing::Fits)?;
    objects::await_log(tx, 1, "not-seen", &Sha256::of(b"x"), "d", tx.now)?;
    objects::await_log(tx, 1, "not-seen", &Sha256::of(b"x"), "d", tx.now)?;
    objects::set_claims(tx, 1, "d", ["claimed"])?;
    for hour in 1..9 {
        digest(tx, hour, Verdict::Good)?;
    }
    digest(tx, 10, Verdict::Bad)?;
    digest(tx, 11, Verdict::Unchecked)?;
    digest(tx, 11, Verdict::Good)?;
    digests::disown(tx, 1, &digest(tx, 12, Verdict::Good)?)?;
    for number in 0..4 {
        findings::raise(tx, &trouble(number))?;
    }
    findings::raise(tx, &trouble(0))?;
    findings::resolve(tx, Kind::LogModified, "bucket/key-1")?;
    findings::acknowledge(tx, trouble(2).fingerprint().as_str(), "seen")?;
    findings::raise(tx, &Finding::new(Kind::Heartbeat, "warden", "alive"))?;
    let held = lists::quarantine(tx, 1, "message", b"poison", "no JSON")?;
    lists::quarantine(tx, 1, "message", b"more poison", "no JSON")?;
    lists::quarantine_state(tx, &held, "dropped")?;
    let key = PublicKey { fingerprint: "ab".into(), der: vec![9; 40], valid_from: None, valid_to: None };
    lists::put_key(tx, &crate::core::id::Region::parse("eu-west-1").expect("a region"), &key)
}

struct Ground {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let ground = Self { path: dir.path().join("state.db"), _dir: dir };
        ground.write(fill).expect("it is filled");
        ground
    }

    /// One step by a warden of its own; its file is closed at the end.
    fn write(&self, step: fn(&Tx<'_>) -> Result<()>) -> error::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let store = Store::open(&self.path, &Env::manual(time("2026-03-03T00:00:00Z"), 1)).await?;
            store.set_routes(vec![Route { to: vec!["journal".into()], ..Route::default() }]);
            store.write(step).await
        })
    }

    fn hand(&self) -> Connection {
        Connection::open(&self.path).expect("it opens")
    }

    fn check(&self) -> Report {
        now(&self.path, None).expect("it can be looked at")
    }

    fn copy(&self) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("state.db");
        std::fs::copy(&self.path, &path).expect("a copy");
        Self { _dir: dir, path }
    }

    /// All rows of all tables.
    fn dump(&self) -> Option<Vec<String>> {
        let conn = open(&self.path).ok()?;
        let mut all = Vec::new();
        for table in [
            "meta",
            "counters",
            "sources",
            "places",
            "deliveries",
            "days",
            "folded",
            "chains",
            "links",
            "spans",
            "awaited",
            "claimed",
            "findings",
            "outbox",
            "quarantine",
            "members",
            "keys",
            "progress",
            "seals",
            "journal",
        ] {
            let mut query = conn.prepare(&format!("SELECT * FROM {table}")).ok()?;
            let columns = query.column_count();
            let mut rows = query.query([]).ok()?;
            while let Some(row) = rows.next().ok()? {
                all.push((0..columns).map(|at| format!("{:?} ", row.get_ref(at))).collect());
            }
        }
        Some(all)
    }
}

fn named(report: &Report) -> Vec<&'static str> {
    report.checks.iter().filter(|check| !check.faults.is_empty()).map(|check| check.name).collect()
}

#[test]
fn what_the_warden_wrote_is_good() {
    let ground = Ground::new();
    let report = ground.check();
    assert!(report.good, "{:?}", report.fault());
    assert!(report.head.seq > 8, "{}", report.head);
    assert_eq!(report.last_commit, Some(time("2026-03-03T00:00:00Z").as_second()));
}

#[test]
fn a_hand_in_the_ledger_is_noticed_and_named() {
    let ground = Ground::new();
    for (sql, name) in [
        ("UPDATE deliveries SET sha = zeroblob(32) WHERE name = 'log-3'", "seals"),
        ("UPDATE deliveries SET removed = 1 WHERE name = 'log-3'", "seals"),
        ("DELETE FROM deliveries WHERE name = 'log-3'", "seals"),
        ("DELETE FROM deliveries WHERE name = 'log-3'", "counters"),
        ("INSERT INTO awaited SELECT source, key, sha, 'd', 0, 0 FROM objects WHERE key = 'log-3'", "awaited"),
        ("UPDATE links SET verdict = 1 WHERE verdict = 2", "verdicts"),
        ("UPDATE links SET verdict = 2 WHERE end % 86400 = 3 * 3600", "verdicts"),
        ("UPDATE links SET disowned = 0", "verdicts"),
        ("DELETE FROM links WHERE verdict = 2", "verdicts"),
        ("DELETE FROM links WHERE end % 86400 = 3 * 3600", "digests"),
        ("DELETE FROM links WHERE end % 86400 = 8 * 3600", "seals"),
        ("DELETE FROM deliveries WHERE name LIKE '%d03%'", "digests"),
        ("UPDATE chains SET head = head + 3600", "chains"),
        ("DELETE FROM awaited", "seals"),
        ("DELETE FROM claimed", "seals"),
        ("UPDATE findings SET state = 'resolved', resolved_at = 1 WHERE state = 'open'", "findings"),
        ("UPDATE findings SET severity = 'info' WHERE kind = 'log_modified'", "findings"),
        ("UPDATE findings SET note = 'never mind'", "findings"),
        ("UPDATE findings SET detail = 'harmless'", "seals"),
        ("DELETE FROM findings WHERE object = 'key-0'", "findings"),
        ("DELETE FROM findings WHERE object = 'key-0'", "outbox"),
        ("DELETE FROM outbox", "seals"),
        ("UPDATE outbox SET state = 'sent' WHERE id = 1", "counters"),
        ("UPDATE quarantine SET body = 'nothing'", "seals"),
        ("DELETE FROM quarantine WHERE state = 'held'", "quarantine"),
        ("UPDATE quarantine SET state = 'replayed'", "quarantine"),
        ("UPDATE keys SET der = zeroblob(40)", "seals"),
        ("UPDATE counters SET value = value + 1 WHERE name = 'objects.seen'", "counters"),
        ("UPDATE meta SET value = '1'", "seals"),
        ("DELETE FROM journal WHERE seq = 3", "journal"),
        ("DELETE FROM journal WHERE seq > 9", "findings"),
        ("DELETE FROM journal", "journal"),
        ("UPDATE journal SET detail = detail || '.' WHERE seq = 4", "journal"),
        ("UPDATE journal SET at = at + 1 WHERE seq = 4", "journal"),
        ("DELETE FROM seals WHERE name = 'deliveries'", "seals"),
        ("CREATE TRIGGER quiet AFTER INSERT ON findings BEGIN DELETE FROM findings; END", "form"),
        ("DROP INDEX findings_open", "form"),
        ("CREATE TABLE other (a)", "form"),
        ("DROP TABLE progress", "form"),
    ] {
        let copy = ground.copy();
        let hand = copy.hand();
        hand.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        drop(hand);
        let report = copy.check();
        assert!(named(&report).contains(&name), "{sql}: {:?}", named(&report));
    }
}

#[test]
fn whoever_makes_the_seals_anew_is_told_by_the_journal() {
    let ground = Ground::new();
    let noted: Noted = ground.check().head.to_string().parse().expect("a head");
    for sql in [
        "UPDATE links SET verdict = 1 WHERE verdict = 2",
        "UPDATE findings SET state = 'resolved'",
        "DELETE FROM findings WHERE object = 'key-0'",
    ] {
        let copy = ground.copy();
        copy.hand().execute_batch(sql).expect("an edit");
        seal::set(&copy.hand()).expect("new seals");
        let names = named(&copy.check());
        assert!(!names.contains(&"seals") && !names.is_empty(), "{sql}: {names:?}");
    }
    // Whoever writes the journal anew too is told by whoever noted its head.
    let copy = ground.copy();
    let hand = copy.hand();
    hand.execute_batch("DELETE FROM journal; UPDATE findings SET state = 'resolved', note = NULL; UPDATE links SET verdict = 1, disowned = 0")
        .expect("an edit");
    journal::adopt(&Tx {
        conn: &hand,
        now: Timestamp::UNIX_EPOCH,
        routes: &[],
        rings: &false.into(),
        counts: &Default::default(),
        seals: &Default::default(),
        open: &Default::default(),
    })
    .expect("another past");
    hand.execute_batch("UPDATE chains SET head = (SELECT max(end) FROM digests)").expect("an edit");
    hand.execute_batch("DELETE FROM proven; INSERT INTO proven SELECT * FROM proof").expect("an edit");
    seal::set(&hand).expect("new seals");
    drop(hand);
    assert!(copy.check().good, "{:?}", copy.check().fault());
    let report = now(&copy.path, Some(&noted)).expect("it can be looked at");
    assert_eq!(named(&report), ["journal"]);

    // The ledger itself holds what it told, however far it went on.
    ground.write(|tx| findings::raise(tx, &trouble(9)).map(|_| ())).expect("a step");
    let report = now(&ground.path, Some(&noted)).expect("it can be looked at");
    assert!(report.good && report.head.seq > noted.seq, "{:?}", report.fault());
}

#[test]
fn a_flipped_byte_is_found_or_touches_nothing() {
    let ground = Ground::new();
    let (whole, bytes) = (ground.dump(), std::fs::read(&ground.path).expect("bytes"));
    let mut die = fastrand::Rng::with_seed(5);
    let (mut found, mut idle) = (0, 0);
    for _ in 0..600 {
        let mut changed = bytes.clone();
        let at = die.usize(..changed.len());
        changed[at] ^= 1 << die.u8(..8);
        let copy = ground.copy();
        std::fs::write(&copy.path, &changed).expect("a file");
        match now(&copy.path, None) {
            Ok(report) if report.good => {
                assert_eq!(copy.dump(), whole, "the byte at {at} was changed, and nothing was said");
                idle += 1;
            }
            Ok(_) => found += 1,
            // The version in the header: then it is another program's ledger.
            Err(error) => assert!((60..64).contains(&at), "{at}: {error}"),
        }
    }
    assert!(found > 40, "{found} found, {idle} in empty space");
}

#[test]
fn a_truncated_file_is_bad() {
    let ground = Ground::new();
    // A free page at the end has nothing to lose.
    ground.hand().execute_batch("VACUUM").expect("no free pages");
    let bytes = std::fs::read(&ground.path).expect("bytes");
    for length in [bytes.len() - 1, bytes.len() - 4_096, bytes.len() / 2, 4_096, 100, 50, 0] {
        std::fs::write(&ground.path, &bytes[..length]).expect("a file");
        let report = ground.check();
        assert!(!report.good, "{length} of {} bytes", bytes.len());
    }
    assert!(now(&ground.path.with_extension("none"), None).is_err(), "a file that is not there is no bad ledger");
}

#[test]
fn a_step_that_fails_takes_its_seals_back() {
    let ground = Ground::new();
    let before = ground.dump();
    let failed = ground.write(|tx| {
        fill(tx)?;
        objects::insert(tx, &object("more", 0))?;
        findings::raise(tx, &trouble(7))?;
        tx.conn.execute("DELETE FROM deliveries WHERE name = 'log-5'", [])?;
        Err(rusqlite::Error::InvalidQuery)
    });
    assert!(failed.is_err());
    assert_eq!(ground.dump(), before);
    assert!(ground.check().good);
}

#[test]
fn every_way_to_write_keeps_the_seals() {
    let ground = Ground::new();
    ground
        .write(|tx| {
            tx.conn.execute_batch(
                "REPLACE INTO deliveries SELECT * FROM deliveries WHERE name = 'log-4';
                 INSERT OR IGNORE INTO deliveries SELECT * FROM deliveries;
                 INSERT INTO keys SELECT * FROM keys WHERE true ON CONFLICT DO UPDATE SET first_seen = 7;
                 INSERT INTO keys SELECT * FROM keys WHERE true ON CONFLICT DO NOTHING;
                 UPDATE OR REPLACE members SET account = 'x';
                 UPDATE OR IGNORE deliveries SET name = 'log-1' WHERE name = 'log-4';
                 INSERT INTO progress VALUES ('a', '1', 1), ('b', '2', 2);
                 UPDATE OR REPLACE progress SET name = 'a' WHERE name = 'b';
                 DELETE FROM progress;
                 DELETE FROM claimed",
            )
        })
        .expect("a step");
    let report = ground.check();
    assert!(report.good, "{:?}", report.fault());
}

#[test]
fn a_ledger_from_before_there_were_seals_is_sealed_as_it_is() {
    let ground = Ground::new();
    std::fs::remove_file(&ground.path).expect("a file");
    let hand = ground.hand();
    hand.execute_batch(MIGRATIONS[0]).expect("an older ledger");
    hand.execute_batch(
        "PRAGMA user_version = 1; INSERT INTO sources VALUES (1, 'org');
         INSERT INTO findings SELECT value, 'log_modified', 'high', 'open', value, NULL, NULL, NULL, NULL, NULL, '[]', '', 1, 1,
                                     NULL, NULL, 1 FROM json_each('[1, 2, 3, 4, 5, 6, 7]')",
    )
    .expect("an older ledger");
    drop(hand);
    let error = now(&ground.path, None).expect_err("it has nothing to be held against");
    assert!(error.text.contains("version 1"), "{error}");
    ground.write(|_| Ok(())).expect("it is migrated");
    let report = ground.check();
    assert!(report.good, "{:?}", report.fault());
    assert!(report.head.seq > 6, "what it says already is written down: {}", report.head);
}

#[test]
fn what_waits_for_the_archive_waits_on_in_its_order_when_the_list_gets_numbers_for_good() {
    let ground = Ground::new();
    std::fs::remove_file(&ground.path).expect("a file");
    let hand = ground.hand();
    places::teach(&hand).expect("functions");
    MIGRATIONS[..10].iter().for_each(|script| hand.execute_batch(script).expect("an older ledger"));
    hand.execute_batch("PRAGMA user_version = 10; INSERT INTO unarchived VALUES (3, 1, 'b', ''), (7, 1, 'a', '')")
        .expect("logs that wait");
    seal::set(&hand).expect("seals");
    drop(hand);
    ground.write(|tx| tx.conn.execute_batch("DELETE FROM unarchived WHERE name = 'a'")).expect("it is migrated");
    ground
        .write(|tx| tx.conn.execute_batch("INSERT INTO unarchived (place, name, version) VALUES (1, 'c', '')"))
        .expect("one more");
    let waiting: String = ground
        .hand()
        .query_row("SELECT group_concat(id || name, ' ') FROM (SELECT * FROM unarchived ORDER BY id)", [], |row| {
            row.get(0)
        })
        .expect("a list");
    assert_eq!(waiting, "3b 8c");
    let report = ground.check();
    assert!(report.good, "{:?}", report.fault());
}
