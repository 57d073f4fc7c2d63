//! A message is held for as long as the work on it takes.

use std::time::Duration;

use trailwarden::core::notice::{self, Opened};
use trailwarden::world::Scale;

use crate::common::acts::{Acts, world};
use crate::common::hook::Hook;
use crate::common::warden::Warden;
use crate::emulated::Emulated;
use crate::ordeal::Ground as _;
use crate::proxy::Fault;

/// Bodies take longer than the visibility of 30 s: without extensions the queue would hand their messages out again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_slow_objects_are_handed_out_once() {
    let scale = Scale { accounts: 1, regions: 1, hours: 2, logs_per_hour: (3, 5), records_per_log: (1, 2) };
    let acts = Acts::of(world(7, scale, &[]));
    let Some(ground) = Emulated::of(&acts, Hook::ready(), 7).await else { return };
    ground.cloud.configure("48h", "1h");
    ground.proxy.set_slowness(Duration::from_secs(42));
    ground.proxy.set(vec![(Fault::SlowBody, 1.0)]);
    ground.cloud.change(&acts.first).await;
    // A message of two would take twice as long.
    let mut messages = Acts::messages(&acts.first);
    messages.retain(|body| matches!(notice::open(body), Opened::Notices { notices, .. } if notices.len() == 1));
    ground.cloud.send(&messages).await;
    let mut warden = Warden::start(&ground.cloud.config, &ground.cloud.env);
    let mut quiet = 0;
    while quiet < 8 {
        quiet = if ground.waiting().await == 0 { quiet + 1 } else { 0 };
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert!(warden.is_running(), "{}", warden.log());
    }
    tokio::task::block_in_place(|| assert_eq!(warden.stop(), Some(0), "{}", warden.log()));
    let slow = ground.proxy.hits().get(&Fault::SlowBody).copied().unwrap_or_default();
    assert!(slow >= 8, "{slow} slow bodies");
    let handed_out = ground.proxy.handed_out();
    let again: Vec<_> = handed_out.iter().filter(|(_, times)| **times > 1).collect();
    assert!(!handed_out.is_empty() && again.is_empty(), "handed out again: {again:?} of {}", handed_out.len());
}
