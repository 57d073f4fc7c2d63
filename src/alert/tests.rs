mod calls;
mod torture;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;

use super::*;
use crate::core::alert::Alert;
use crate::core::finding::{Held, Severity};
use crate::core::id::AccountId;
use crate::core::route::{Match, Route};
use crate::env::Env;
use crate::error::Error;
use crate::seam::Channel;

/// What a channel does with what it is told, and what it took.
#[derive(Default)]
struct Ear {
    refuses: Mutex<Option<Error>>,
    hangs: bool,
    took: Mutex<Vec<(String, Alert)>>,
}

impl Ear {
    fn took(&self) -> Vec<(String, Alert)> {
        self.took.lock().unwrap().clone()
    }

    /// `reason kind`
    fn heard(&self) -> Vec<String> {
        self.took().iter().map(|(_, alert)| format!("{} {}", alert.reason, alert.finding.kind)).collect()
    }

    fn refuse(&self, error: Option<Error>) {
        *self.refuses.lock().unwrap() = error;
    }
}

#[async_trait]
impl Channel for Ear {
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if let Some(error) = self.refuses.lock().unwrap().clone() {
            return Err(error);
        }
        self.took.lock().unwrap().push((key.to_owned(), alert.clone()));
        Ok(None)
    }
}

struct Ground {
    _dir: tempfile::TempDir,
    store: Store,
    env: Env,
}

impl Ground {
    async fn new(to: &[&str], repeat: Option<Duration>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env = Env::manual("2026-03-03T00:00:00Z".parse().unwrap(), 1);
        let store = Store::open(&dir.path().join("state.db"), &env).await.unwrap();
        let ground = Self { _dir: dir, store, env };
        ground.route(to, repeat);
        ground
    }

    fn route(&self, to: &[&str], repeat: Option<Duration>) {
        let to = to.iter().map(|name| (*name).to_owned()).collect();
        self.store.set_routes(vec![Route {
            matches: Match::default(),
            to,
            repeat,
            resolved: true,
            ..Route::default()
        }]);
    }

    fn alerts(&self, ears: &[(&str, &Arc<Ear>)]) -> Alerts {
        let channels: BTreeMap<String, DynChannel> =
            ears.iter().map(|(name, ear)| ((*name).to_owned(), (*ear).clone() as DynChannel)).collect();
        Alerts::new(self.store.clone(), Arc::default(), channels, "w".into(), None)
    }

    async fn raise(&self, kind: Kind, subject: &str) {
        let finding = finding(kind, subject);
        self.store.write(move |tx| findings::raise(tx, &finding)).await.unwrap();
    }

    async fn resolve(&self, kind: Kind, subject: &str) {
        let subject = subject.to_owned();
        self.store.write(move |tx| findings::resolve(tx, kind, &subject)).await.unwrap();
    }

    async fn count(&self, of: &'static str) -> i64 {
        let sql = format!("SELECT count(*) FROM {of}");
        self.store.read(move |conn| conn.query_row(&sql, [], |row| row.get(0))).await.unwrap()
    }

    async fn findings(&self) -> Vec<Held> {
        self.store.read(|conn| findings::list(conn, false)).await.unwrap()
    }
}

fn finding(kind: Kind, subject: &str) -> Finding {
    let account = if subject.ends_with('7') { "444455556666" } else { "111122223333" };
    Finding::new(kind, subject, "detail").account(AccountId::parse(account).unwrap())
}

async fn all(alerts: &Alerts) {
    while alerts.pump().await.unwrap() {}
}

const DUE_REPEATS: &str = "outbox WHERE reason = 'repeat' AND state = 'due'";

#[tokio::test]
async fn a_finding_has_one_repeat_however_often_it_comes_and_goes() {
    let (ground, ear) = (Ground::new(&["a"], Some(Duration::from_secs(3_600))).await, Arc::<Ear>::default());
    let alerts = ground.alerts(&[("a", &ear)]);
    for _ in 0..4 {
        ground.raise(Kind::LogMissing, "x").await;
        all(&alerts).await;
        assert_eq!(ground.count(DUE_REPEATS).await, 1);
        ground.resolve(Kind::LogMissing, "x").await;
        all(&alerts).await;
        assert_eq!(ground.count(DUE_REPEATS).await, 0);
    }
    ground.raise(Kind::LogMissing, "x").await;
    all(&alerts).await;
    for _ in 0..3 {
        ground.env.advance(SignedDuration::from_hours(1));
        all(&alerts).await;
    }
    let repeats = ear.heard().iter().filter(|heard| heard.starts_with("repeat")).count();
    assert_eq!((repeats, ground.count(DUE_REPEATS).await), (3, 1));
    let id = ground.findings().await[0].id.clone();
    ground.store.write(move |tx| findings::acknowledge(tx, &id, "seen")).await.unwrap();
    assert_eq!(ground.count(DUE_REPEATS).await, 0);
}

#[tokio::test]
async fn a_row_that_two_have_sent_is_repeated_once() {
    let ground = Ground::new(&["a"], Some(Duration::from_secs(3_600))).await;
    ground.raise(Kind::LogMissing, "x").await;
    let now = ground.env.now();
    let due = ground.store.read(move |conn| outbox::next(conn, "a", now)).await.unwrap().unwrap();
    for _ in 0..2 {
        ground.store.write(move |tx| outbox::sent(tx, due.id, None)).await.unwrap();
    }
    assert_eq!(ground.count(DUE_REPEATS).await, 1);
}

#[tokio::test]
async fn a_heartbeat_is_not_repeated_between_its_beats() {
    let (ground, ear) = (Ground::new(&["a"], Some(Duration::from_secs(3_600))).await, Arc::<Ear>::default());
    let alerts = Alerts { heartbeat: Some(SignedDuration::from_hours(24)), ..ground.alerts(&[("a", &ear)]) };
    for _ in 0..60 {
        all(&alerts).await;
        ground.env.advance(SignedDuration::from_hours(1));
    }
    assert_eq!(ear.heard(), ["first heartbeat"; 3]);
}

#[tokio::test]
async fn what_a_channel_refuses_for_a_while_is_told_by_others_and_then_by_itself() {
    let (ground, ear, other) = (Ground::new(&["a"], None).await, Arc::<Ear>::default(), Arc::<Ear>::default());
    let alerts = ground.alerts(&[("a", &ear), ("b", &other)]);
    ear.refuse(Some(Error::permanent("x", "403 forbidden")));
    ground.raise(Kind::LogMissing, "x").await;
    ground.raise(Kind::LogMissing, "y").await;
    for _ in 0..4 {
        all(&alerts).await;
        ground.env.advance(SignedDuration::from_mins(15));
    }
    let mut heard = other.heard();
    heard.sort();
    assert_eq!(heard, ["first channel_failing", "first log_missing", "first log_missing"]);
    assert!(ear.took().is_empty());
    ear.refuse(None);
    ground.env.advance(SignedDuration::from_mins(15));
    all(&alerts).await;
    let mut heard = ear.heard();
    assert_eq!(heard.pop().as_deref(), Some("resolved channel_failing"));
    heard.sort();
    assert_eq!(heard, ["first channel_failing", "first log_missing", "first log_missing"]);
    assert!(ground.findings().await.iter().all(|held| held.kind != Kind::ChannelFailing));
    // Another time is news again.
    ear.refuse(Some(Error::permanent("x", "403 forbidden")));
    ground.raise(Kind::LogMissing, "z").await;
    all(&alerts).await;
    assert_eq!(other.heard().iter().filter(|heard| *heard == "first channel_failing").count(), 2);
}

#[tokio::test]
async fn a_channel_of_its_own_is_told_what_it_refused() {
    let (ground, ear) = (Ground::new(&["a"], None).await, Arc::<Ear>::default());
    let alerts = ground.alerts(&[("a", &ear)]);
    ear.refuse(Some(Error::permanent("x", "401")));
    ground.raise(Kind::LogMissing, "x").await;
    all(&alerts).await;
    ear.refuse(None);
    ground.env.advance(SignedDuration::from_hours(1));
    all(&alerts).await;
    assert!(ear.heard().contains(&"first log_missing".to_owned()));
    ear.refuse(Some(Error::permanent("x", "401")));
    ground.raise(Kind::LogMissing, "y").await;
    ground.env.advance(SignedDuration::from_hours(8 * 24));
    all(&alerts).await;
    assert_eq!(ground.count("outbox WHERE state = 'dead'").await, 1, "nobody waits for ever");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_does_not_take_one_is_left_alone_for_a_while() {
    let (ground, ear) = (Ground::new(&["a"], None).await, Arc::<Ear>::default());
    let alerts = ground.alerts(&[("a", &ear)]);
    ear.refuse(Some(Error::transient("x", "503")));
    ground.raise(Kind::LogMissing, "x").await;
    ground.raise(Kind::LogMissing, "y").await;
    let mut outlet = alerts.outlet("a").unwrap();
    assert!(!outlet.turn().await.unwrap());
    assert!(!outlet.turn().await.unwrap());
    assert_eq!(ground.count("outbox WHERE attempts > 0").await, 1, "the other one was not tried");
    ear.refuse(None);
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(outlet.turn().await.unwrap());
}

#[tokio::test]
async fn a_channel_that_hangs_keeps_no_other_waiting() {
    let (ground, ear) = (Ground::new(&["a", "b"], None).await, Arc::<Ear>::default());
    let hanging = Arc::new(Ear { hangs: true, ..Ear::default() });
    let alerts = ground.alerts(&[("a", &hanging), ("b", &ear)]);
    let (mut first, mut second) = (alerts.outlet("a").unwrap(), alerts.outlet("b").unwrap());
    for subject in ["x", "y"] {
        ground.raise(Kind::LogMissing, subject).await;
        tokio::select! {
            biased;
            _ = first.turn() => panic!("it hangs"),
            sent = second.turn() => assert!(sent.unwrap()),
        }
    }
    assert_eq!(ear.took().len(), 2);
}

#[tokio::test]
async fn the_worst_is_told_first() {
    let (ground, ear) = (Ground::new(&["a"], None).await, Arc::<Ear>::default());
    let alerts = ground.alerts(&[("a", &ear)]);
    ground.raise(Kind::KeyUnexpected, "junk").await;
    ground.env.advance(SignedDuration::from_secs(5));
    ground.raise(Kind::LogModified, "x").await;
    all(&alerts).await;
    let severities: Vec<_> = ear.took().iter().map(|(_, alert)| alert.finding.severity).collect();
    assert_eq!(severities, [Severity::Critical, Severity::Medium]);
}

#[tokio::test]
async fn a_flood_is_one_alert_with_a_count_and_everything_in_it_is_remembered_as_told() {
    let (ground, ear) = (Ground::new(&["a"], Some(Duration::from_secs(86_400))).await, Arc::<Ear>::default());
    let alerts = ground.alerts(&[("a", &ear)]);
    for number in 0..120 {
        ground.raise(Kind::LogUnlisted, &number.to_string()).await;
    }
    ground.raise(Kind::LogMissing, "beside the flood").await;
    all(&alerts).await;
    let took = ear.took();
    assert_eq!(took.len(), 22, "twenty, one for all the others, and the other one");
    let more = took.iter().find_map(|(_, alert)| alert.more.clone()).unwrap();
    assert_eq!(more.count, 99);
    assert_eq!(more.accounts.iter().map(AccountId::as_str).collect::<Vec<_>>(), ["111122223333", "444455556666"]);
    let folded = took.iter().find(|(_, alert)| alert.more.is_some()).unwrap();
    assert!(folded.1.headline().contains("(and 99 more, of 111122223333, 444455556666)"), "{}", folded.1.headline());
    assert_eq!(ground.count("outbox WHERE state = 'folded'").await, 99);
    assert_eq!(ground.count(DUE_REPEATS).await, 121);
    ground.env.advance(SignedDuration::from_hours(24));
    all(&alerts).await;
    assert_eq!(ear.took().len(), 44, "their repeats are told in the same way");
    // What is over while it waits to be told together with others is not left behind.
    ground.env.advance(SignedDuration::from_hours(24));
    let now = ground.env.now();
    let lead = ground.store.read(move |conn| outbox::next(conn, "a", now)).await.unwrap().unwrap();
    let finding = lead.finding.clone();
    ground.store.write(move |tx| outbox::fold(tx, &lead)).await.unwrap();
    ground.store.write(move |tx| findings::resolve_id(tx, &finding)).await.unwrap();
    all(&alerts).await;
    assert_eq!(ground.count("outbox WHERE state = 'due' AND reason <> 'repeat'").await, 0);
    assert_eq!(ground.count(DUE_REPEATS).await, 120);
}

#[tokio::test(start_paused = true)]
async fn what_comes_on_top_waits_and_what_was_tried_is_not_changed() {
    let (ground, ear) = (Ground::new(&["a"], None).await, Arc::<Ear>::default());
    let alerts = ground.alerts(&[("a", &ear)]);
    let mut outlet = alerts.outlet("a").unwrap();
    for number in 0..30 {
        ground.raise(Kind::LogUnlisted, &number.to_string()).await;
    }
    while outlet.turn().await.unwrap() {}
    assert_eq!(ear.took().len(), 20);
    ground.raise(Kind::LogMissing, "beside the flood").await;
    assert!(outlet.turn().await.unwrap());
    assert_eq!(ear.took().len(), 21, "another kind does not wait");
    tokio::time::advance(Duration::from_secs(900)).await;
    ground.env.advance(SignedDuration::from_secs(900));
    ear.refuse(Some(Error::transient("x", "received, but the answer was lost")));
    assert!(!outlet.turn().await.unwrap());
    for number in 30..40 {
        ground.raise(Kind::LogUnlisted, &number.to_string()).await;
    }
    ear.refuse(None);
    tokio::time::advance(Duration::from_secs(900)).await;
    ground.env.advance(SignedDuration::from_secs(900));
    while outlet.turn().await.unwrap() {}
    let counts: Vec<_> = ear.took().iter().filter_map(|(_, alert)| Some(alert.more.as_ref()?.count)).collect();
    assert_eq!(
        counts.iter().sum::<u64>() + counts.len() as u64 + ground.count("outbox WHERE state = 'due'").await as u64,
        20
    );
    assert!(counts.contains(&9), "ten were told as ten, whatever came later: {counts:?}");
}

#[tokio::test]
async fn what_waits_for_a_channel_that_is_no_more_goes_where_the_routes_lead_now() {
    let (ground, ear) = (Ground::new(&["old"], None).await, Arc::<Ear>::default());
    ground.raise(Kind::LogMissing, "x").await;
    ground.resolve(Kind::LogMissing, "x").await;
    ground.route(&["new"], None);
    all(&ground.alerts(&[("new", &ear)])).await;
    assert_eq!(ear.heard(), ["first log_missing", "resolved log_missing"]);
    assert_eq!(ground.count("outbox WHERE state = 'due'").await, 0);
}

#[tokio::test]
async fn a_finding_of_an_unknown_kind_keeps_no_other_waiting() {
    let (ground, ear) = (Ground::new(&["a"], None).await, Arc::<Ear>::default());
    ground.raise(Kind::LogModified, "x").await;
    ground.store.write(|tx| tx.conn.execute("UPDATE findings SET kind = 'of_tomorrow'", [])).await.unwrap();
    ground.raise(Kind::KeyUnexpected, "y").await;
    all(&ground.alerts(&[("a", &ear)])).await;
    assert_eq!(ear.heard(), ["first key_unexpected"]);
    assert_eq!(ground.count("outbox WHERE state = 'due'").await, 1, "the newer program may tell it");
}

#[tokio::test]
async fn what_was_told_is_forgotten_after_a_season_and_what_waits_is_not() {
    let (ground, ear) = (Ground::new(&["a", "gone"], None).await, Arc::<Ear>::default());
    let alerts = ground.alerts(&[("a", &ear)]);
    ground.raise(Kind::LogModified, "x").await;
    let mut outlet = alerts.outlet("a").unwrap();
    assert!(outlet.turn().await.unwrap());
    ground.env.advance(SignedDuration::from_hours(91 * 24));
    alerts.forget().await.unwrap();
    assert_eq!((ground.count("outbox").await, ground.count("outbox WHERE channel = 'gone'").await), (1, 1));
}

/// Says when it was asked, and answers when it is told to.
#[derive(Default)]
struct Slow {
    asked: tokio::sync::Notify,
    go: tokio::sync::Notify,
}

#[async_trait]
impl Channel for Slow {
    async fn send(&self, _: &str, _: &Alert) -> Result<Option<String>> {
        self.asked.notify_one();
        self.go.notified().await;
        Ok(None)
    }
}

#[tokio::test]
async fn whoever_ends_the_sending_waits_for_what_was_begun() {
    let (ground, slow) = (Ground::new(&["a"], None).await, Arc::<Slow>::default());
    let channels = BTreeMap::from([("a".to_owned(), slow.clone() as DynChannel)]);
    let alerts = Alerts::new(ground.store.clone(), Arc::default(), channels, "w".into(), None);
    ground.raise(Kind::LogMissing, "x").await;
    let mut outlet = alerts.outlet("a").unwrap();
    let end = async {
        slow.asked.notified().await;
        let early = tokio::time::timeout(Duration::from_millis(20), alerts.still()).await;
        assert!(early.is_err(), "it is being sent");
        slow.go.notify_one();
        let _still = alerts.still().await;
        assert_eq!(ground.count("outbox WHERE state = 'sent'").await, 1);
    };
    let (turned, ()) = tokio::join!(outlet.turn(), end);
    assert!(turned.unwrap());
}
