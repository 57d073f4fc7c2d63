//! The service as it is shipped, under the whole sandbox: its main job against an emulated AWS, and all that happens to a service.

use std::time::Duration;

use serde_json::Value;
use trailwarden::core::finding::Kind;
use trailwarden::world::Scale;

use crate::common::acts::{Acts, world};
use crate::common::cloud::Cloud;
use crate::common::hook::Hook;
use crate::common::warden::{pause, stderr};
use crate::machine::Machine;

const UNIT: &str = "trailwarden.service";
const CONFIG: &str = "etc/trailwarden/trailwarden.toml";

/// The configuration of a cloud, as it would be on a host: secrets are credentials, the ledger lies where it belongs.
fn config(cloud: &Cloud) -> String {
    let text = std::fs::read_to_string(&cloud.config).expect("a configuration");
    let text = text.replace("{ file = \"hook-", "{ credential = \"hook-");
    text.replace("[state]\npath = \"state.db\"", "").replace("127.0.0.1:0", "127.0.0.1:19417")
}

fn environment(cloud: &Cloud) -> String {
    cloud.env.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// The address and the secret of a webhook.
fn secrets(hook: &Hook) -> (String, String) {
    let dir = tempfile::tempdir().expect("a directory");
    hook.write(dir.path());
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("a secret");
    (read("hook-url"), read("hook-secret"))
}

const CREDENTIALS: &str = "[Service]\nRestartSec=1s\n\
     LoadCredential=hook-url:/etc/trailwarden/secrets/hook-url\n\
     LoadCredential=hook-secret:/etc/trailwarden/secrets/hook-secret\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_service_does_its_work_in_its_sandbox_and_survives_what_happens_to_services() {
    let scale = Scale { accounts: 3, regions: 2, hours: 10, logs_per_hour: (1, 2), records_per_log: (2, 4) };
    let acts = Acts::of(world(3, scale, &[Kind::LogModified, Kind::LogUnlisted]));
    let Some(cloud) = Cloud::set(&acts, Hook::ready()).await else { return };
    cloud.change(&acts.first).await;
    let bodies = Acts::messages(&acts.first);
    let (late, early) = bodies.split_at(bodies.len() / 4);
    cloud.send(early).await;
    let (url, secret) = secrets(&cloud.hook);
    let (config, environment) = (config(&cloud), environment(&cloud));
    let files = [
        (CONFIG, config.as_str()),
        ("etc/trailwarden/environment", &environment),
        ("etc/trailwarden/secrets/hook-url", &url),
        ("etc/trailwarden/secrets/hook-secret", &secret),
        ("etc/systemd/system/trailwarden.service.d/credentials.conf", CREDENTIALS),
    ];
    let machine = tokio::task::block_in_place(|| Machine::boot(&files));
    let Some(mut machine) = machine else { return };
    tokio::task::block_in_place(|| machine.must(&["systemctl", "start", UNIT]));
    emptied(&cloud, &mut machine).await;
    tokio::task::block_in_place(|| {
        sandboxed(&machine);
        does_its_work(&mut machine, early.len());
        assert!(!cloud.hook.told().is_empty(), "nothing was told");
        reloads(&mut machine, &config);
        is_ended_when_it_stalls(&mut machine);
    });
    let second = Hook::ready();
    tokio::task::block_in_place(|| takes_up_new_credentials(&machine, &second));
    let strange = b"not json at all".to_vec();
    cloud.send(&[late, &[strange]].concat()).await;
    emptied(&cloud, &mut machine).await;
    tokio::task::block_in_place(|| {
        machine.until("an alert by the new credential", |_| !second.told().is_empty());
        checks_daily(&machine);
        stops(&machine);
    });
    assert_eq!(cloud.depth().await, (0, 0), "what was in work is settled");
    tokio::task::block_in_place(|| gives_up_on_a_broken_configuration(&mut machine));
}

/// Until the queue holds nothing, visible or not.
async fn emptied(cloud: &Cloud, machine: &mut Machine) {
    for _ in 0..1_200 {
        if cloud.depth().await == (0, 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the queue is not emptied: {}", machine.journal());
}

/// What the kernel says of the process, not what the unit asks for.
fn sandboxed(machine: &Machine) {
    let pid = machine.show(UNIT, "MainPID");
    let status = machine.must(&["cat", &format!("/proc/{pid}/status")]);
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.split_whitespace().next().unwrap_or_default().to_owned()).unwrap_or_default()
    };
    let nothing = "0000000000000000";
    assert_eq!((field("NoNewPrivs").as_str(), field("Seccomp").as_str()), ("1", "2"), "{status}");
    assert_eq!((field("CapEff").as_str(), field("CapBnd").as_str()), (nothing, nothing));
    let user = machine.must(&["id", "-u", "trailwarden"]);
    assert_eq!(field("Uid"), user.trim());
    let mounts = machine.must(&["cat", &format!("/proc/{pid}/mounts")]);
    let options = |at: &str| {
        let line = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some(at));
        line.and_then(|line| line.split(' ').nth(3))
            .unwrap_or_default()
            .split(',')
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(["ro", "noexec"].iter().all(|wanted| options("/").iter().any(|have| have == wanted)), "{mounts}");
    assert!(options("/var/lib/trailwarden").iter().any(|have| have == "rw"), "{mounts}");
    assert!(
        machine.show(UNIT, "StatusText").starts_with("watching")
            || machine.show(UNIT, "StatusText").starts_with("starting")
    );
}

fn status(machine: &Machine) -> Value {
    serde_json::from_str(&machine.must(&["trailwarden", "status", "--json"])).expect("JSON")
}

fn does_its_work(machine: &mut Machine, messages: usize) {
    machine.until("objects and digests", |machine| {
        let status = status(machine);
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        number(&status["objects"]["admitted"]) >= messages as u64 / 2 && number(&status["digests"]["good"]) > 0
    });
    let owner = machine.must(&["stat", "-c", "%U %a", "/var/lib/trailwarden", "/var/lib/trailwarden/state.db"]);
    assert_eq!(owner, "trailwarden 700\ntrailwarden 600\n");
}

fn reloads(machine: &mut Machine, config: &str) {
    let pid = machine.show(UNIT, "MainPID");
    machine.must(&["systemctl", "reload", UNIT]);
    machine.until("a reload", |machine| machine.journal().contains("rules, routes and channels reloaded"));
    machine.write("/etc/trailwarden/trailwarden.toml", &format!("{config}\nnonsense"));
    machine.must(&["systemctl", "reload", UNIT]);
    machine.until("a refused reload", |machine| machine.journal().contains("reload refused"));
    machine.until("the end of the reload", |machine| machine.show(UNIT, "SubState") == "running");
    machine.write("/etc/trailwarden/trailwarden.toml", config);
    assert_eq!((machine.show(UNIT, "MainPID"), machine.show(UNIT, "NRestarts")), (pid, "0".into()));
}

/// A process that does nothing any more, not even die.
fn is_ended_when_it_stalls(machine: &mut Machine) {
    machine.write("/run/systemd/system/trailwarden.service.d/watchdog.conf", "[Service]\nWatchdogSec=3s\n");
    machine.must(&["systemctl", "daemon-reload"]);
    machine.must(&["systemctl", "restart", UNIT]);
    let pid = machine.show(UNIT, "MainPID");
    pause(Duration::from_secs(7));
    assert_eq!(machine.show(UNIT, "MainPID"), pid, "who works is left alone");
    machine.must(&["kill", "-STOP", &pid]);
    machine.until("a restart", |machine| {
        machine.show(UNIT, "NRestarts") == "1" && machine.show(UNIT, "SubState") == "running"
    });
    assert_ne!(machine.show(UNIT, "MainPID"), pid);
    assert!(machine.journal().contains("Watchdog timeout"));
    machine.must(&["rm", "/run/systemd/system/trailwarden.service.d/watchdog.conf"]);
    machine.must(&["systemctl", "daemon-reload"]);
}

/// Credentials are read when the service starts.
fn takes_up_new_credentials(machine: &Machine, hook: &Hook) {
    let (url, secret) = secrets(hook);
    machine.write("/etc/trailwarden/secrets/hook-url", &url);
    machine.write("/etc/trailwarden/secrets/hook-secret", &secret);
    machine.must(&["systemctl", "restart", UNIT]);
    // Root finds what the service was given; who only looks needs none of it.
    machine.must(&["trailwarden", "check-config"]);
}

fn checks_daily(machine: &Machine) {
    machine.inside(&["systemctl", "start", "trailwarden-check.service"]);
    let copies = machine.must(&["ls", "/var/lib/trailwarden/snapshots"]);
    assert!(!copies.trim().is_empty(), "{}", machine.journal());
    // The day before yesterday is before this world: what it comes to is for others to test, that it ran is for us.
    let code = machine.show("trailwarden-check.service", "ExecMainStatus");
    assert!(["0", "4", "5"].contains(&code.as_str()), "{code}: {}", machine.journal());
    machine.must(&["systemctl", "start", "trailwarden-check.timer"]);
}

fn stops(machine: &Machine) {
    machine.must(&["systemctl", "stop", UNIT]);
    let outcome = ["ActiveState", "Result", "ExecMainStatus"].map(|property| machine.show(UNIT, property));
    assert_eq!(outcome, ["inactive", "success", "0"].map(str::to_owned));
    assert!(machine.journal().contains("\"message\":\"stopped\""));
}

fn gives_up_on_a_broken_configuration(machine: &mut Machine) {
    machine.must(&["sh", "-c", "echo nonsense >>/etc/trailwarden/trailwarden.toml"]);
    let output = machine.inside(&["systemctl", "start", UNIT]);
    assert!(!output.status.success(), "{}", stderr(&output));
    pause(Duration::from_secs(3));
    let outcome = ["ActiveState", "ExecMainStatus", "NRestarts"].map(|property| machine.show(UNIT, property));
    assert_eq!(outcome, ["failed", "3", "0"].map(str::to_owned), "{}", machine.journal());
}

/// All on the machine itself: nobody is asked.
const PLACES: &str = "[organization]\nmembers = \"members.toml\"\n[[trail]]\nname = \"org\"\nbucket = \"file:///srv/bucket\"\n\
     queue = \"file:///var/lib/trailwarden/spool\"\nkeys = \"/srv/keys\"\n\
     [channel.journal]\nkind = \"stdout\"\n[[route]]\nto = [\"journal\"]\n[http]\nlisten = \"off\"\n";

/// The process is well, answers signals and feeds nothing: one read of one loop never returns. Takes two minutes, as long as a
/// receiver may do nothing.
#[test]
fn a_service_of_which_one_loop_hangs_is_started_again() {
    let members = "[[account]]\nid = \"111122223333\"\nname = \"one\"\n";
    let watchdog = "[Service]\nRestartSec=1s\nWatchdogSec=6s\n";
    let files = [
        (CONFIG, PLACES),
        ("etc/trailwarden/members.toml", members),
        ("srv/bucket/empty", ""),
        ("srv/keys/empty", ""),
        ("etc/systemd/system/trailwarden.service.d/watchdog.conf", watchdog),
    ];
    let Some(mut machine) = Machine::boot(&files) else { return };
    machine.must(&["systemctl", "start", UNIT]);
    machine.until("work", |machine| machine.show(UNIT, "StatusText") == "watching; all is well");
    let Some(_hanging) = machine.hang("/var/lib/trailwarden/spool/new") else { return };
    let mut told = false;
    machine.until("a restart", |machine| {
        told |= machine.show(UNIT, "StatusText").starts_with("not well: queue org: no progress for ");
        machine.show(UNIT, "NRestarts") != "0"
    });
    assert!(told && machine.journal().contains("Watchdog timeout"), "{}", machine.journal());
}
