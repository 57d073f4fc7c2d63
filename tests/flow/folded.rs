//! A ledger that has folded its closed days says and does what one says and does that has not.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use trailwarden::config::Config;
use trailwarden::core::finding::Kind;
use trailwarden::core::gzip;
use trailwarden::core::notice::{Event, How, Notice};
use trailwarden::delivery::Fate;
use trailwarden::env::Env;
use trailwarden::ingest::settle_body;
use trailwarden::store::{check, days, digests, findings, lists, objects};
use trailwarden::verify::{Fold, Folded, Scrub, Sweep};
use trailwarden::wiring::Works;
use trailwarden::world::{Happening, Scale, Step, World};

use crate::directories::Ground;

const AFTER: Duration = Duration::from_secs(14 * 86_400);

/// A warden on directories that was there for two days of a world, a month ago.
struct Warden {
    ground: Ground,
    works: Works,
    env: Env,
}

/// Four chains over a midnight.
fn world() -> (World, Vec<Happening>) {
    let start = "2026-03-01T20:00:00Z".parse().expect("a time");
    let scale = Scale { accounts: 2, regions: 1, hours: 9, logs_per_hour: (1, 2), records_per_log: (2, 4) };
    let mut world = World::clean(7, scale, start).expect("a world");
    let mut happenings = Vec::new();
    while let Some(hour) = world.next_hour().expect("an hour") {
        happenings.extend(hour.happenings);
    }
    (world, happenings)
}

impl Warden {
    async fn of(world: &World, happenings: &[Happening]) -> Self {
        let ground = Ground::of(world);
        let env = Env::manual(world.start, 1);
        let works =
            Works::open(&Config::load(&ground.config).expect("a configuration"), &env).await.expect("the works");
        works.deliveries.roster.refresh().await.expect("members");
        let this = Self { ground, works, env };
        for happening in happenings {
            this.env.advance(happening.at.duration_since(this.env.now()).max(SignedDuration::ZERO));
            match &happening.step {
                Step::Message { body } => this.message(body).await,
                _ => this.ground.stage.play(happening).expect("it happens"),
            }
        }
        for wait in [SignedDuration::from_hours(3), SignedDuration::from_hours(30 * 24)] {
            this.env.advance(wait);
            this.sweep().await;
        }
        this
    }

    async fn message(&self, body: &[u8]) {
        settle_body(&self.works.deliveries, &self.works.trails[0], "again", body).await.expect("it is settled");
    }

    async fn settle(&self, notice: &Notice) -> Fate {
        self.works.deliveries.settle(&self.works.trails[0], notice).await.expect("it is settled")
    }

    async fn sweep(&self) {
        Sweep::new(self.works.deliveries.clone()).run(&self.works.trails[0]).await.expect("a sweep");
    }

    async fn scrub(&self) {
        let scrub = Scrub::new(self.works.deliveries.clone());
        while !scrub.run(&self.works.trails[0], 5_000).await.expect("a slice") {}
    }

    async fn fold(&self) -> Folded {
        let fold = Fold::new(self.works.store.clone(), AFTER);
        fold.run(self.works.trails[0].id).await.expect("it can be folded")
    }

    /// What everybody can see: findings and their objects, counters, verdicts.
    async fn seen(&self) -> (BTreeSet<(Kind, String, String)>, Vec<(String, i64)>, i64) {
        let look = |conn: &rusqlite::Connection| {
            let told = findings::list(conn, true)?.into_iter().map(|held| {
                (held.kind, held.object.unwrap_or_default(), format!("{} {:?}", held.state.name(), held.hours))
            });
            let counters = lists::counters(conn)?.into_iter().collect();
            Ok((told.collect(), counters, digests::tally(conn)?.good))
        };
        self.works.store.read(look).await.expect("the ledger answers")
    }

    async fn told(&self, kind: Kind) -> Vec<(String, String)> {
        let list = self.works.store.read(|conn| findings::list(conn, false)).await.expect("findings");
        list.into_iter()
            .filter(|held| held.kind == kind)
            .map(|held| (held.object.unwrap_or_default(), held.detail))
            .collect()
    }

    /// Seals, journal and what must be true of the rows together.
    fn check(&self) {
        let report = check::now(self.works.store.path(), None).expect("it can be looked at");
        assert!(report.good, "{:?}", report.checks);
    }

    async fn rows(&self) -> i64 {
        let count = "SELECT count(*) FROM objects";
        self.works.store.read(|conn| conn.query_row(count, [], |row| row.get(0))).await.expect("the ledger answers")
    }

    fn object(&self, key: &str) -> PathBuf {
        self.ground.dir.path().join("bucket").join(key)
    }

    fn announce(&self, key: &str, event: Event) -> Notice {
        let bucket = self.works.trails[0].name_or("").to_owned();
        let mut notice = Notice::listed(bucket, key, 0, Some("another".to_owned()));
        notice.envelope = trailwarden::core::notice::Envelope::S3;
        notice.event = event;
        notice.size = None;
        notice
    }
}

fn keys(happenings: &[Happening]) -> (Vec<String>, Vec<String>) {
    let keys = happenings.iter().filter_map(|happening| match &happening.step {
        Step::Put { key, .. } if key.ends_with(".json.gz") && key.contains("_CloudTrail") => Some(key.clone()),
        _ => None,
    });
    keys.partition(|key| !key.contains("/CloudTrail-Digest/"))
}

#[tokio::test]
async fn a_folded_ledger_says_what_an_unfolded_one_says() {
    let (world, happenings) = world();
    let (open, folded) = (Warden::of(&world, &happenings).await, Warden::of(&world, &happenings).await);
    let before = folded.rows().await;
    let did = folded.fold().await;
    assert!(did.objects > 0 && did.digests > 0, "{did:?}");
    assert_eq!(folded.rows().await, before - did.objects as i64);
    let sum = folded.works.store.read(days::total).await.expect("a sum");
    assert_eq!(sum.objects, did.objects as i64);
    assert_eq!(folded.fold().await, Folded { days: folded.fold().await.days, ..Folded::default() }, "nothing is left");
    assert_eq!(open.seen().await, folded.seen().await);
    folded.check();

    let (mut logs, digests) = keys(&happenings);
    // What came after the last digest is listed by none, so a folded ledger could not name it.
    logs.retain(|key| !key.contains("20260302T04"));
    let bodies: Vec<&Vec<u8>> = happenings
        .iter()
        .filter_map(|happening| if let Step::Message { body } = &happening.step { Some(body) } else { None })
        .collect();
    let mut die = fastrand::Rng::with_seed(11);
    for nth in 0..120 {
        let (log, digest) = (&logs[die.usize(..logs.len())], &digests[die.usize(..digests.len())]);
        let act = die.u8(..8);
        let body = bodies[die.usize(..bodies.len())];
        let mut fates = Vec::new();
        for warden in [&open, &folded] {
            let created = |key: &str| warden.announce(key, Event::Created(How::Put));
            let path = warden.object(log);
            fates.push(match act {
                0 => {
                    warden.message(body).await;
                    Fate::Ignored
                }
                1 => warden.settle(&created(log)).await,
                2 => warden.settle(&created(digest)).await,
                3 => warden.settle(&Notice::listed("", log, 9, None)).await,
                4 if nth % 3 == 0 => {
                    std::fs::write(path, gzip::deflate(b"{\"Records\":[]}")).expect("another content");
                    warden.settle(&created(log)).await
                }
                5 if nth % 3 == 0 => {
                    std::fs::write(path, b"not gzip").expect("garbage");
                    warden.settle(&created(log)).await
                }
                6 => {
                    let _ = std::fs::remove_file(path);
                    let gone = Event::Removed { marker: false, lifecycle: false };
                    if nth % 2 == 0 { warden.settle(&warden.announce(log, gone)).await } else { Fate::Ignored }
                }
                7 => {
                    let forged = log.replace(".json.gz", &format!("x{nth}.json.gz"));
                    let _ = std::fs::copy(path, warden.object(&forged));
                    if nth % 2 == 0 { warden.settle(&created(&forged)).await } else { Fate::Ignored }
                }
                _ => Fate::Ignored,
            });
        }
        assert_eq!(fates[0], fates[1], "act {nth} is {act} on {log} or {digest}");
    }
    // What was forged and not announced is found only where folders are listed: that is by the folded one's scrub.
    let silent = |key: &str| {
        key.rsplit_once('x')
            .is_some_and(|(_, nth)| nth.trim_end_matches(".json.gz").parse().is_ok_and(|nth: u32| nth % 2 == 1))
    };
    for warden in [&open, &folded] {
        warden.scrub().await;
        warden.env.advance(SignedDuration::from_hours(1));
        warden.sweep().await;
    }
    folded.check();
    let (mut one, mut other) = (open.seen().await, folded.seen().await);
    let found: Vec<_> =
        other.0.iter().filter(|(kind, key, _)| *kind == Kind::LogUnlisted && silent(key)).cloned().collect();
    assert!(!found.is_empty(), "the scrub of folded days found no forged log");
    other.0.retain(|(_, key, _)| !silent(key));
    assert_eq!(one.0, other.0);
    assert!(one.0.iter().any(|(kind, ..)| *kind == Kind::EvidenceRemoved));
    assert!(one.0.iter().any(|(kind, ..)| *kind == Kind::EvidenceOverwritten));
    assert!(one.0.iter().any(|(kind, ..)| *kind == Kind::LogUnlisted));
    for (name, count) in [&mut one.1, &mut other.1].into_iter().flatten() {
        // Each forged log that only one of them met counts once there.
        if matches!(name.as_str(), "objects.seen" | "objects.admitted") {
            *count = 0;
        }
    }
    let only =
        |counters: &[(String, i64)]| counters.iter().filter(|(name, _)| name == "rejects").cloned().collect::<Vec<_>>();
    assert_eq!((only(&one.1), one.2), (only(&other.1), other.2));
}

#[tokio::test]
async fn what_is_gone_from_a_folded_day_is_named_by_the_digests_that_are_left() {
    let (world, happenings) = world();
    let warden = Warden::of(&world, &happenings).await;
    assert!(warden.fold().await.objects > 0);
    let (logs, mut digests) = keys(&happenings);
    digests.retain(|key| key.contains("/2026/03/01/"));
    digests.sort();
    let (log, digest) = (&logs[0], &digests[0]);
    for key in [log, digest] {
        std::fs::remove_file(warden.object(key)).expect("it is there");
    }
    warden.scrub().await;
    let told: BTreeSet<String> =
        warden.told(Kind::EvidenceRemoved).await.into_iter().map(|(object, _)| object).collect();
    let listed_by_it = told.iter().any(|object| object.contains('*'));
    assert!(told.contains(digest), "{told:?}");
    assert!(told.contains(log) || listed_by_it, "{told:?}");

    // With all digests of the day and the next one gone, nobody names anything: that is said of the day.
    for key in keys(&happenings).1 {
        let _ = std::fs::remove_file(warden.object(&key));
    }
    warden.scrub().await;
    let told = warden.told(Kind::EvidenceRemoved).await;
    assert!(told.iter().any(|(object, detail)| object.contains("*/") && detail.contains("no digest")), "{told:?}");
}

#[tokio::test]
async fn trouble_keeps_its_rows_and_a_late_log_joins_its_day() {
    let (world, happenings) = world();
    let warden = Warden::of(&world, &happenings).await;
    let (logs, _) = keys(&happenings);
    std::fs::write(warden.object(&logs[0]), gzip::deflate(b"{\"Records\":[]}")).expect("another content");
    warden.settle(&warden.announce(&logs[0], Event::Created(How::Put))).await;
    warden.fold().await;
    let source = warden.works.trails[0].id;
    let known = |key: &str| {
        let (store, key) = (warden.works.store.clone(), key.to_owned());
        async move { store.read(move |conn| objects::versions(conn, source, &key)).await.expect("rows") }
    };
    assert!(known(&logs[0]).await.iter().all(|row| !row.folded), "an open finding names it");
    assert!(known(&logs[1]).await.iter().all(|row| row.folded));
    let sum = warden.works.store.read(days::total).await.expect("a sum");

    // Forged, told as unlisted, and acknowledged or not: never folded.
    let forged = logs[1].replace(".json.gz", "x1.json.gz");
    std::fs::copy(warden.object(&logs[1]), warden.object(&forged)).expect("a forged log");
    assert_eq!(warden.settle(&warden.announce(&forged, Event::Created(How::Put))).await, Fate::Admitted);
    warden.sweep().await;
    let mut told = warden.told(Kind::LogUnlisted).await;
    // What came after the last digest no digest can list.
    told.retain(|(object, _)| !object.contains("20260302T04"));
    assert_eq!(told.into_iter().map(|(object, _)| object).collect::<Vec<_>>(), std::slice::from_ref(&forged));
    warden.env.advance(SignedDuration::from_hours(24 * 30));
    warden.fold().await;
    assert!(known(&forged).await.iter().all(|row| !row.folded));
    assert_eq!(warden.works.store.read(days::total).await.expect("a sum"), sum);
}
