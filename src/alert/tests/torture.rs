//! Ten thousand firings in a minute, a channel that is down for six hours, restarts in between.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::core::alert::Reason;

const FIRINGS: u32 = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

/// A far side that keeps incidents as a pager does, and now and then takes an alert and loses its answer.
#[derive(Default)]
struct Pager {
    down: Mutex<bool>,
    heard: Mutex<Vec<(String, Alert)>>,
    die: Mutex<Option<fastrand::Rng>>,
}

#[async_trait]
impl Channel for Pager {
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        if *self.down.lock().unwrap() {
            return Err(Error::transient("pager", "503"));
        }
        self.heard.lock().unwrap().push((key.to_owned(), alert.clone()));
        let mut die = self.die.lock().unwrap();
        match die.get_or_insert_with(|| fastrand::Rng::with_seed(7)).u8(..8) {
            0 => Err(Error::transient("pager", "the answer was lost")),
            _ => Ok(None),
        }
    }
}

impl Pager {
    fn heard(&self) -> Vec<(String, Alert)> {
        self.heard.lock().unwrap().clone()
    }
}

/// A life of the warden's outbox, until it is killed: for so long, in virtual time.
async fn live(ground: &Ground, channels: &[(&str, &Arc<Pager>)], long: Duration) {
    let channels: BTreeMap<String, DynChannel> =
        channels.iter().map(|(name, pager)| ((*name).to_owned(), (*pager).clone() as DynChannel)).collect();
    let alerts = Alerts::new(ground.store.clone(), Arc::default(), channels, "w".into(), None);
    let outlets = alerts.names().map(|name| async {
        let mut outlet = alerts.outlet(name).unwrap();
        loop {
            if !outlet.turn().await.unwrap() {
                outlet.wait().await;
            }
        }
    });
    let tend = async {
        loop {
            alerts.tend().await.unwrap();
            tokio::time::sleep(MINUTE).await;
        }
    };
    let all = futures_util::future::join(futures_util::future::join_all::<_>(outlets), tend);
    let _: std::result::Result<(Vec<()>, ()), _> = tokio::time::timeout(long, all).await;
}

async fn in_batches(ground: &Ground, of: std::ops::Range<u32>, step: fn(&Tx<'_>, &Finding) -> rusqlite::Result<()>) {
    ground
        .store
        .write(move |tx| of.clone().try_for_each(|number| step(tx, &finding(Kind::LogUnlisted, &format!("{number}")))))
        .await
        .unwrap();
}

use crate::store::Tx;

#[tokio::test(start_paused = true)]
async fn ten_thousand_firings_a_dead_channel_and_restarts_lose_and_double_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::simulated("2026-03-03T00:00:00Z".parse().unwrap(), 1);
    let store = Store::open(&dir.path().join("state.db"), &env).await.unwrap();
    let ground = Ground { _dir: dir, store, env };
    ground.route(&["pager", "chat"], None);
    let (pager, chat) = (Arc::<Pager>::default(), Arc::<Pager>::default());
    *pager.down.lock().unwrap() = true;
    let channels = [("pager", &pager), ("chat", &chat)];
    // A minute of firings, with a restart every few seconds.
    for tenth in 0..10 {
        let of = tenth * FIRINGS / 10..(tenth + 1) * FIRINGS / 10;
        in_batches(&ground, of, |tx, finding| findings::raise(tx, finding).map(|_| ())).await;
        live(&ground, &channels, Duration::from_secs(6)).await;
    }
    for _ in 0..12 {
        live(&ground, &channels, 30 * MINUTE).await;
    }
    assert!(pager.heard().is_empty());
    *pager.down.lock().unwrap() = false;
    for _ in 0..4 {
        live(&ground, &channels, 30 * MINUTE).await;
    }
    let before_the_end = [pager.heard().len(), chat.heard().len()];
    in_batches(&ground, 0..FIRINGS, |tx, finding| findings::resolve(tx, finding.kind, &finding.subject).map(|_| ()))
        .await;
    for _ in 0..8 {
        live(&ground, &channels, 30 * MINUTE).await;
    }
    assert_eq!(ground.count("outbox WHERE state IN ('due', 'dead')").await, 0, "nothing is left or given up");
    for (name, pager, before) in [("pager", &pager, before_the_end[0]), ("chat", &chat, before_the_end[1])] {
        assert!((1..200).contains(&before), "{name}: {before} pages for {FIRINGS} firings");
        check(&ground, name, &pager.heard()).await;
    }
}

/// Every firing is told once, by itself or in a group; under one key; in order; and every incident that was opened is closed.
async fn check(ground: &Ground, channel: &str, heard: &[(String, Alert)]) {
    let mut keys: BTreeMap<(String, Reason), BTreeSet<String>> = BTreeMap::new();
    let (mut open, mut sums) = (BTreeSet::new(), BTreeMap::<String, (Reason, u64)>::new());
    for (key, alert) in heard.iter().filter(|(_, alert)| alert.finding.kind == Kind::LogUnlisted) {
        let id = alert.finding.id.clone();
        keys.entry((id.clone(), alert.reason)).or_default().insert(key.clone());
        let told = 1 + alert.more.as_ref().map_or(0, |more| more.count);
        let before = sums.insert(key.clone(), (alert.reason, told));
        assert!(before.is_none_or(|before| before.1 == told), "{channel}: a repeated send says the same: {key}");
        match alert.reason {
            Reason::Resolved => drop(open.remove(&id)),
            _ => drop(open.insert(id)),
        }
    }
    assert!(keys.values().all(|keys| keys.len() == 1), "{channel}: sent twice with different keys");
    assert!(open.is_empty(), "{channel}: {} incidents are open for ever", open.len());
    let sum = |reason| sums.values().filter(|(own, _)| *own == reason).map(|(_, told)| told).sum::<u64>();
    assert_eq!(sum(Reason::First), u64::from(FIRINGS), "{channel}: each was told once");
    assert_eq!(sum(Reason::Resolved), u64::from(FIRINGS), "{channel}: the end of each was told once");
    let name = channel.to_owned();
    let rows = "SELECT count(*) FROM outbox WHERE channel = ?1 AND reason = 'first' AND state IN ('sent', 'folded')";
    let rows: i64 = ground.store.read(move |conn| conn.query_row(rows, [name], |row| row.get(0))).await.unwrap();
    assert!(rows >= i64::from(FIRINGS), "{channel}: {rows}");
}
