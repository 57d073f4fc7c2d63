//! A disk that fills up: the warden stops and says so, and goes on where it was once there is room.

use trailwarden::world::Scale;

use crate::common::acts::{Acts, world};
use crate::common::expected;
use crate::common::hook::Hook;
use crate::common::warden::Warden;
use crate::directories::Directories;
use crate::ordeal::Ground as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_the_warden_and_loses_nothing() {
    let scale = Scale { accounts: 3, regions: 2, hours: 8, logs_per_hour: (1, 2), records_per_log: (1, 3) };
    let world = world(9, scale, &[]);
    let ground = Directories::of(&world, Hook::ready());
    let acts = Acts::of(world);
    ground.configure("48h");
    // Not the sweep is to meet the full disk, but the work on messages.
    let text = std::fs::read_to_string(ground.config()).expect("a file").replace("sweep = \"1s\"", "sweep = \"1h\"");
    std::fs::write(ground.config(), text).expect("a file");
    ground.play(&acts.first, 0).await;
    let waiting = ground.waiting().await;
    for blocks in [300, 300, 500] {
        let mut warden = Warden::start_cramped(ground.config(), blocks);
        let code = tokio::task::block_in_place(|| warden.ended());
        assert_eq!(code, Some(1), "{}", warden.log());
        let log = warden.log();
        let last = log.lines().rfind(|line| line.contains("error: ")).unwrap_or_default();
        assert!(last.contains("ledger:"), "{log}");
    }
    assert!(ground.waiting().await > 0, "none of {waiting} messages stayed: the disk was not full");
    let mut warden = Warden::start(ground.config(), &[]);
    while ground.waiting().await > 0 {
        assert!(warden.is_running(), "{}", warden.log());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    tokio::task::block_in_place(|| assert_eq!(warden.stop(), Some(0), "{}", warden.log()));
    let lost = expected::unsettled(ground.state(), &acts, &Acts::messages(&acts.first));
    assert!(lost.is_empty(), "{lost:?}");
}
