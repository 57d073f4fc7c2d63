//! What the scrub sees in the bucket.

use super::*;

async fn scrubbed(shelf: Shelf, change: impl FnOnce(&Shelf, &str), archived: bool) -> (Vec<Kind>, u64) {
    let mut ground = Ground::new(shelf).await;
    let body = gzip::deflate(b"{\"Records\":[]}");
    let key = log_key(1, now() - hours(9), "0123456789abcdef");
    ground.shelf.put(&key, "v1", &body);
    let (row, etag, size) = (key.clone(), Sha256::of(&body).to_string(), body.len() as u64);
    ground
        .write(move |tx| {
            let object = NewObject {
                source: 1,
                key: row,
                version: Some("v1".into()),
                kind: 0,
                delivered: now(),
                state: State::Admitted,
                listed: Listing::Fits,
                sha: Some(Sha256::of(b"{\"Records\":[]}")),
                size,
                etag: Some(etag),
                records: 0,
                rejects: 0,
            };
            objects::insert(tx, &object)
        })
        .await;
    change(&ground.shelf, &key);
    if let (true, Some(shelf)) = (archived, Arc::get_mut(&mut ground.shelf)) {
        shelf.archived = true;
    }
    while !Scrub::new(ground.deliveries.clone()).run(&ground.trail(1), 1 << 20).await.unwrap() {}
    let all = ground.store.read(|conn| findings::list(conn, false)).await.unwrap();
    let unchecked = Outcome { outcome: "unchecked" };
    let unchecked = ground.deliveries.metrics.scrubbed.get_or_create(&unchecked).get();
    (all.into_iter().map(|held| held.kind).collect(), unchecked)
}

#[tokio::test]
async fn the_scrub_sees_what_lies_before_the_version_that_it_knows() {
    let nothing = |_: &Shelf, _: &str| {};
    assert_eq!(scrubbed(Shelf::default(), nothing, false).await, (vec![], 0));
    assert_eq!(scrubbed(Shelf::default(), |shelf, key| shelf.hide(key), false).await.0, [Kind::EvidenceRemoved]);
    let over = |shelf: &Shelf, key: &str| shelf.put(key, "v2", b"forged");
    assert_eq!(scrubbed(Shelf::default(), over, false).await.0, [Kind::EvidenceOverwritten]);
}

#[tokio::test]
async fn an_archived_object_that_differs_is_told_and_one_that_cannot_be_asked_for_is_not() {
    let nothing = |_: &Shelf, _: &str| {};
    assert_eq!(scrubbed(Shelf::default(), nothing, true).await, (vec![], 0));
    let grown = |shelf: &Shelf, key: &str| {
        shelf.objects.lock().unwrap().remove(key);
        shelf.put(key, "v1", b"forged and archived");
    };
    assert_eq!(scrubbed(Shelf::default(), grown, true).await.0, [Kind::EvidenceOverwritten]);
    let broken = Shelf { broken: true, ..Shelf::default() };
    assert_eq!(scrubbed(broken, nothing, false).await, (vec![], 1));
}
