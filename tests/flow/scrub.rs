//! Tampering after the fact: what was read once is read again, slowly, and compared.

use trailwarden::config::Config;
use trailwarden::core::finding::Kind;
use trailwarden::core::gzip;
use trailwarden::env::Env;
use trailwarden::store::findings;
use trailwarden::verify::Scrub;
use trailwarden::wiring::Works;
use trailwarden::world::Scale;

use crate::common::acts::{Acts, world};
use crate::directories::Ground;

#[tokio::test]
async fn history_that_is_changed_later_is_found_however_small_the_slices() {
    let world = world(5, Scale::small(), &[]);
    let ground = Ground::of(&world);
    let acts = Acts::of(world);
    for happening in &acts.first {
        ground.stage.play(happening).expect("it happens");
    }
    ground.drain();
    let (mut logs, mut digests): (Vec<_>, Vec<_>) = acts
        .puts()
        .map(|(key, _)| key.clone())
        .filter(|key| key.ends_with(".json.gz") && key.contains("_CloudTrail"))
        .partition(|key| !key.contains("/CloudTrail-Digest/"));
    logs.sort();
    digests.sort();
    let (rewritten, deleted, damaged) = (&logs[0], &logs[logs.len() - 1], &digests[digests.len() / 2]);
    let object = |key: &str| ground.dir.path().join("bucket").join(key);
    std::fs::write(object(rewritten), gzip::deflate(b"{\"Records\":[]}")).expect("a rewritten log");
    std::fs::remove_file(object(deleted)).expect("a deleted log");
    std::fs::write(object(damaged), b"not gzip any more").expect("a damaged digest");

    let config = Config::load(&ground.config).expect("a configuration");
    let works = Works::open(&config, &Env::system()).await.expect("the works");
    let scrub = Scrub::new(works.deliveries.clone());
    let mut slices = 0;
    while !scrub.run(&works.trails[0], 20_000).await.expect("a slice") {
        slices += 1;
    }
    assert!(slices > 2, "the slices were not small: {slices}");
    let told = works.store.read(|conn| findings::list(conn, false)).await.expect("findings");
    let mut told: Vec<_> = told
        .into_iter()
        .filter(|held| matches!(held.kind, Kind::EvidenceOverwritten | Kind::EvidenceRemoved))
        .map(|held| (held.kind, held.object.expect("an object")))
        .collect();
    told.sort();
    let mut wanted = vec![
        (Kind::EvidenceOverwritten, rewritten.clone()),
        (Kind::EvidenceOverwritten, damaged.clone()),
        (Kind::EvidenceRemoved, deleted.clone()),
    ];
    wanted.sort();
    assert_eq!(told, wanted);
}
