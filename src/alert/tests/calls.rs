//! Escalation, acknowledgement, silences: who is told when, and who is left alone.

use super::*;
use crate::core::alert::Reason;
use crate::core::route::Escalation;
use crate::store::silences::{self, About};

impl Ground {
    fn escalate(&self, to: &[&str], after: u64, also: &[&str]) {
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
        let escalation = Some(Escalation { after: Duration::from_secs(after), to: names(also) });
        self.store.set_routes(vec![Route { to: names(to), escalation, resolved: true, ..Route::default() }]);
    }

    async fn acknowledge(&self, id: &str) {
        let id = id.to_owned();
        assert!(self.store.write(move |tx| findings::acknowledge(tx, &id, "on it")).await.unwrap());
    }

    async fn silence(&self, about: About, minutes: i64) -> i64 {
        let until = self.env.now() + SignedDuration::from_mins(minutes);
        self.store.write(move |tx| silences::begin(tx, &about, "alice", "maintenance", until)).await.unwrap()
    }
}

fn of_kind(kind: Kind) -> About {
    About { kind: Some(kind), ..About::default() }
}

#[tokio::test]
async fn what_nobody_acknowledges_is_told_to_others_and_its_end_too() {
    let (ground, ear, boss) = (Ground::new(&[], None).await, Arc::<Ear>::default(), Arc::<Ear>::default());
    ground.escalate(&["a"], 1_800, &["boss"]);
    let alerts = ground.alerts(&[("a", &ear), ("boss", &boss)]);
    ground.raise(Kind::LogMissing, "x").await;
    ground.raise(Kind::LogMissing, "seen").await;
    all(&alerts).await;
    assert!(boss.took().is_empty());
    let seen = finding(Kind::LogMissing, "seen").fingerprint().to_string();
    ground.acknowledge(&seen).await;
    ground.env.advance(SignedDuration::from_mins(31));
    all(&alerts).await;
    let told: Vec<_> = boss.took().iter().map(|(_, alert)| (alert.reason, alert.finding.id.clone())).collect();
    let id = finding(Kind::LogMissing, "x").fingerprint().to_string();
    assert_eq!(told, [(Reason::Escalated, id)], "what is acknowledged is not escalated");
    ground.resolve(Kind::LogMissing, "x").await;
    ground.resolve(Kind::LogMissing, "seen").await;
    all(&alerts).await;
    assert_eq!(boss.heard(), ["escalated log_missing", "resolved log_missing"], "whoever was not called hears nothing");
    assert_eq!(ear.heard().iter().filter(|heard| *heard == "resolved log_missing").count(), 2);
    // It comes again and goes before anybody is called.
    ground.raise(Kind::LogMissing, "x").await;
    ground.resolve(Kind::LogMissing, "x").await;
    ground.env.advance(SignedDuration::from_mins(31));
    all(&alerts).await;
    assert_eq!(boss.took().len(), 2);
    assert_eq!(ground.count("outbox WHERE state = 'due'").await, 0);
}

#[tokio::test]
async fn that_somebody_is_on_it_is_told_to_those_who_were_called() {
    let (ground, ear) = (Ground::new(&["a", "b"], None).await, Arc::<Ear>::default());
    let down = Arc::<Ear>::default();
    down.refuse(Some(Error::transient("x", "503")));
    let alerts = ground.alerts(&[("a", &ear), ("b", &down)]);
    ground.raise(Kind::LogMissing, "x").await;
    all(&alerts).await;
    let id = ground.findings().await[0].id.clone();
    ground.acknowledge(&id).await;
    all(&alerts).await;
    assert_eq!(ear.heard(), ["first log_missing", "acknowledged log_missing"]);
    assert_eq!(ear.took()[1].1.finding.note.as_deref(), Some("on it"));
    down.refuse(None);
    ground.env.advance(SignedDuration::from_hours(1));
    all(&alerts).await;
    assert_eq!(down.heard(), ["first log_missing", "acknowledged log_missing"], "in this order, however late");
}

#[tokio::test]
async fn a_silence_holds_back_and_releases_what_is_still_open() {
    let (ground, ear) = (Ground::new(&["a"], None).await, Arc::<Ear>::default());
    let alerts = ground.alerts(&[("a", &ear)]);
    ground.raise(Kind::LogMissing, "before").await;
    all(&alerts).await;
    ground.silence(of_kind(Kind::LogMissing), 60).await;
    for subject in ["stays", "passes"] {
        ground.raise(Kind::LogMissing, subject).await;
    }
    ground.raise(Kind::LogModified, "another kind").await;
    ground.resolve(Kind::LogMissing, "passes").await;
    ground.resolve(Kind::LogMissing, "before").await;
    all(&alerts).await;
    let mut heard = ear.heard();
    heard.sort();
    assert_eq!(
        heard,
        ["first alerts_silenced", "first log_missing", "first log_modified", "resolved log_missing"],
        "what was told before is told to its end, and that there is a silence is told"
    );
    assert_eq!(
        ground
            .store
            .read({
                let now = ground.env.now();
                move |conn| outbox::pending(conn, now)
            })
            .await
            .unwrap(),
        0
    );
    ground.env.advance(SignedDuration::from_mins(61));
    all(&alerts).await;
    let after: Vec<_> = ear.heard().split_off(4);
    assert_eq!(after, ["first log_missing", "resolved alerts_silenced"]);
    assert_eq!(ear.took()[4].1.finding.id, finding(Kind::LogMissing, "stays").fingerprint().to_string());
    assert_eq!(ground.count("outbox WHERE state = 'due'").await, 0);
    assert_eq!(alerts.late(), None, "the time of the silence is no delay of the channel's");
}

#[tokio::test]
async fn a_silence_is_of_what_it_names_and_can_be_ended() {
    let (ground, ear) = (Ground::new(&["a"], None).await, Arc::<Ear>::default());
    let alerts = ground.alerts(&[("a", &ear)]);
    let account = AccountId::parse("444455556666").ok();
    let both = ground.silence(About { account, ..of_kind(Kind::LogMissing) }, 60).await;
    let id = Some(finding(Kind::LogModified, "x").fingerprint().to_string());
    let one = ground.silence(About { finding: id, ..About::default() }, 60).await;
    for (kind, subject) in
        [(Kind::LogMissing, "of 7"), (Kind::LogMissing, "of 8"), (Kind::LogModified, "of 7"), (Kind::LogModified, "x")]
    {
        ground.raise(kind, subject).await;
    }
    all(&alerts).await;
    let told: Vec<_> = ear.took().into_iter().map(|(_, alert)| alert.finding).collect();
    let told: Vec<_> = told.iter().filter(|held| held.kind != Kind::AlertsSilenced).map(|held| &held.id).collect();
    let ids = [(Kind::LogMissing, "of 8"), (Kind::LogModified, "of 7")]
        .map(|(kind, at)| finding(kind, at).fingerprint().to_string());
    assert_eq!(told.len(), 2);
    assert!(ids.iter().all(|id| told.contains(&id)));
    for silence in [both, one] {
        assert!(ground.store.write(move |tx| silences::end(tx, silence)).await.unwrap());
        assert!(!ground.store.write(move |tx| silences::end(tx, silence)).await.unwrap(), "it is over");
    }
    all(&alerts).await;
    assert_eq!(ear.heard().iter().filter(|heard| heard.starts_with("first log")).count(), 4);
    let listed = ground.store.read(|conn| silences::list(conn, true)).await.unwrap();
    assert_eq!(listed.iter().map(|silence| silence.author.as_str()).collect::<Vec<_>>(), ["alice"; 2]);
}

#[tokio::test]
async fn an_alert_says_whose_account_it_is() {
    let (ground, ear) = (Ground::new(&["a"], None).await, Arc::<Ear>::default());
    let alerts = ground.alerts(&[("a", &ear)]).runbook(Some("https://wiki.example.com/{kind}".into()));
    let member = "INSERT INTO members (account, name, ou, state, first_seen, last_seen, present)
                  VALUES ('111122223333', 'payments', '[{\"id\":\"r\",\"name\":\"Root\"},{\"id\":\"ou\",\"name\":\"Prod\"}]', 'active', 0, 0, 1)";
    ground.store.write(move |tx| tx.conn.execute(member, [])).await.unwrap();
    ground.raise(Kind::LogMissing, "x").await;
    all(&alerts).await;
    let alert = &ear.took()[0].1;
    assert_eq!(alert.facts()[0], ("account", "111122223333 (payments, Root/Prod)".to_owned()));
    assert_eq!(alert.links[0].url, "https://wiki.example.com/log_missing");
    assert!(alert.commands[1].starts_with("trailwarden findings ack "));
}
