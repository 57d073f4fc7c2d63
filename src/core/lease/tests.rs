use proptest::prelude::*;

use super::*;
use crate::core::id::Sha256;
use crate::core::journal::Head;

const TTL: Duration = Duration::from_secs(60);

fn document(epoch: u64, holder: &str) -> Document {
    Document {
        warden: "acme".into(),
        epoch,
        holder: holder.into(),
        host: "a.example".into(),
        beat: 1,
        ttl: TTL,
        since: jiff::Timestamp::UNIX_EPOCH,
        ledger: Some(Head { seq: 7, hash: Sha256::of(b"x") }),
        released: false,
    }
}

fn seen(document: Document, tag: &str) -> Seen {
    Seen { document, tag: tag.into() }
}

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_document_comes_back_and_what_is_none_is_refused_with_a_reason() {
    let good = document(3, "ab");
    assert_eq!(Document::read(&good.write()), Ok(good.clone()));
    let changed = |from: &str, to: &str| {
        let text = String::from_utf8(good.write()).unwrap();
        assert!(text.contains(from), "{text}");
        Document::read(text.replace(from, to).as_bytes()).unwrap_err().to_string()
    };
    assert!(changed("\"form\":1", "\"form\":2").contains("form is 2"));
    for epoch in ["0", "9007199254740991", "18446744073709551615"] {
        assert!(changed("\"epoch\":3", &format!("\"epoch\":{epoch}")).contains("epoch"));
    }
    assert!(changed("\"epoch\":3", "\"epoch\":-3").contains("no lease"));
    for ttl in ["0", "600001"] {
        assert!(changed("\"ttl_ms\":60000", &format!("\"ttl_ms\":{ttl}")).contains("ttl"));
    }
    assert!(changed("\"host\":\"a.example\"", "\"host\":\"\"").contains("name"));
    assert!(changed("\"hash\":\"", "\"hash\":\"zz").contains("no head"));
    assert!(changed("\"seq\":7", "\"seq\":-7").contains("no head"));
    assert!(Document::read(&[b' '; LARGEST + 1]).unwrap_err().to_string().contains("bytes"));
    assert!(Document::read(b"").is_err());
}

#[test]
fn what_a_host_calls_itself_is_printable_where_people_read_it() {
    let told = Document { host: "a\nb\u{202e}".into(), ..document(3, "ab") }.told();
    assert!(told.contains("holds the lease (epoch 3)") && !told.contains(['\n', '\u{202e}']), "{told}");
    assert!(Document { released: true, ..document(3, "ab") }.told().contains("released"));
}

#[test]
fn a_lease_that_is_renewed_is_waited_for_and_one_that_is_not_is_taken() {
    let mut waiter = Waiter::new(TTL, 0);
    let (first, second) = (seen(document(4, "a"), "t1"), seen(document(4, "a"), "t2"));
    assert_eq!(waiter.look(Some(&first), at(1000)), Next::Wait);
    assert_eq!(waiter.look(Some(&first), at(1059)), Next::Wait);
    assert_eq!(waiter.look(Some(&second), at(1061)), Next::Wait, "renewed: counted anew");
    assert_eq!(waiter.look(Some(&second), at(1120)), Next::Wait);
    let take = Next::Take { epoch: 5, over: Some("t2".into()) };
    assert_eq!(waiter.look(Some(&second), at(1121)), take);
}

#[test]
fn the_longer_of_two_promises_counts() {
    let patient = Document { ttl: 2 * TTL, ..document(1, "a") };
    let mut waiter = Waiter::new(TTL, 0);
    assert_eq!(waiter.look(Some(&seen(patient.clone(), "t")), at(0)), Next::Wait);
    assert_eq!(waiter.look(Some(&seen(patient.clone(), "t")), at(119)), Next::Wait);
    assert!(matches!(waiter.look(Some(&seen(patient, "t")), at(120)), Next::Take { .. }));
    let hasty = seen(Document { ttl: TTL / 2, ..document(1, "a") }, "t");
    let mut waiter = Waiter::new(TTL, 0);
    assert_eq!(waiter.look(Some(&hasty), at(0)), Next::Wait);
    assert_eq!(waiter.look(Some(&hasty), at(59)), Next::Wait);
}

#[test]
fn a_released_lease_is_free_at_once_and_an_absent_one_where_nobody_ever_saw_one() {
    let released = Document { released: true, ..document(6, "a") };
    let take = Next::Take { epoch: 7, over: Some("t".into()) };
    assert_eq!(Waiter::new(TTL, 2).look(Some(&seen(released, "t")), at(5)), take);
    assert_eq!(Waiter::new(TTL, 0).look(None, at(5)), Next::Take { epoch: 1, over: None });
    // Somebody may have removed it while its holder works.
    let mut waiter = Waiter::new(TTL, 3);
    assert_eq!(waiter.look(None, at(5)), Next::Wait);
    assert_eq!(waiter.look(None, at(65)), Next::Take { epoch: 4, over: None });
    let mut waiter = Waiter::new(TTL, 0);
    assert_eq!(waiter.look(Some(&seen(document(9, "a"), "t")), at(0)), Next::Wait);
    assert_eq!(waiter.look(None, at(5)), Next::Wait);
    assert_eq!(waiter.look(None, at(65)), Next::Take { epoch: 10, over: None });
}

#[test]
fn an_older_document_does_not_bring_an_older_epoch_back() {
    let released = Document { released: true, ..document(2, "a") };
    let take = Next::Take { epoch: 8, over: Some("t".into()) };
    assert_eq!(Waiter::new(TTL, 7).look(Some(&seen(released, "t")), at(0)), take);
}

#[test]
fn a_holder_counts_from_before_the_write_that_succeeded() {
    let mut tenure = Tenure::new(document(5, "me"), Some("t0".into()));
    assert_eq!(tenure.until(), None);
    let (first, over) = tenure.attempt(at(100), |_| {});
    assert_eq!((over.as_deref(), first.epoch), (Some("t0"), 5));
    tenure.won("t1".into());
    assert_eq!(tenure.until(), Some(at(140)));
    let (second, over) = tenure.attempt(at(110), |document| document.ledger = None);
    assert_eq!((over.as_deref(), second.ledger.is_none()), (Some("t1"), true));
    assert_ne!(first.write(), second.write());
    assert_eq!(tenure.until(), Some(at(140)), "a write that is not known to have succeeded extends nothing");
    tenure.won("t2".into());
    assert_eq!(tenure.until(), Some(at(150)));
}

#[test]
fn a_write_of_unknown_outcome_counts_from_its_own_beginning() {
    let mut tenure = Tenure::new(document(5, "me"), None);
    tenure.attempt(at(100), |_| {});
    tenure.won("t1".into());
    let (early, _) = tenure.attempt(at(110), |_| {});
    let (late, over) = tenure.attempt(at(120), |_| {});
    assert_eq!(over.as_deref(), Some("t1"));
    // The early one arrived after all, and so the late one cannot.
    assert_eq!(tenure.found(Some(&seen(early, "t2"))), Standing::Ours);
    assert_eq!(tenure.until(), Some(at(150)));
    let (_, over) = tenure.attempt(at(125), |_| {});
    assert_eq!(over.as_deref(), Some("t2"));
    assert_eq!(tenure.found(Some(&seen(late.clone(), "t3"))), Standing::Ours, "of ours, whichever it is");
    assert_eq!(tenure.until(), Some(at(150)), "one that was given up extends nothing");
}

#[test]
fn what_another_wrote_is_theirs_and_so_is_nothing() {
    let mut tenure = Tenure::new(document(5, "me"), None);
    tenure.attempt(at(100), |_| {});
    tenure.won("t1".into());
    assert_eq!(tenure.found(None), Standing::Theirs);
    assert_eq!(tenure.found(Some(&seen(document(6, "you"), "t9"))), Standing::Theirs);
    assert_eq!(tenure.found(Some(&seen(document(6, "me"), "t9"))), Standing::Theirs);
    assert_eq!(tenure.found(Some(&seen(document(5, "you"), "t9"))), Standing::Theirs);
}

proptest! {
    /// A holder and one who waits, whose clocks start anywhere and run at paces up to a fifth apart either way: what the holder
    /// takes for its time has ended when the other takes over, however late each hears of the last renewal.
    #[test]
    fn clocks_of_different_pace_never_overlap(
        paces in (0.81f64..1.19, 0.81f64..1.19),
        starts in (0u64..1_000_000, 0u64..1_000_000),
        sent in 0.0f64..30.0,
        effect in 0.0f64..30.0,
        heard in 0.0f64..30.0,
        steps in proptest::collection::vec(0.1f64..20.0, 1..60),
    ) {
        let clock = |pace: f64, start: u64, true_time: f64| at(start) + Duration::from_secs_f64(pace * true_time);
        let mut tenure = Tenure::new(document(5, "me"), None);
        let (written, _) = tenure.attempt(clock(paces.0, starts.0, sent), |_| {});
        tenure.won("t".into());
        let until = tenure.until().unwrap();
        let mut waiter = Waiter::new(TTL, 0);
        let mut now = sent + effect + heard;
        let found = seen(written, "t");
        for step in steps {
            if waiter.look(Some(&found), clock(paces.1, starts.1, now)) != Next::Wait {
                prop_assert!(clock(paces.0, starts.0, now) >= until, "both would work");
                break;
            }
            now += step;
        }
    }

    #[test]
    fn any_bytes_are_a_lease_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(document) = Document::read(&bytes) {
            prop_assert_eq!(Document::read(&document.write()), Ok(document));
        }
    }

    #[test]
    fn a_lease_that_somebody_changed_is_a_lease_or_none(at in 0usize..400, to in any::<u8>()) {
        let mut bytes = document(3, "ab").write();
        let index = at % bytes.len();
        bytes[index] = to;
        if let Ok(document) = Document::read(&bytes) {
            prop_assert!(document.epoch.checked_add(1).is_some() && document.ttl <= LONGEST);
            prop_assert_eq!(Document::read(&document.write()), Ok(document));
        }
    }
}
