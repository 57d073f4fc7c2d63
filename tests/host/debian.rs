//! The package on a fresh Debian: installed, run, upgraded, taken back, removed, purged.
//!
//! Takes some minutes and half a gigabyte, so it is asked for: `TRAILWARDEN_DEB` names a package that `packaging/build` made,
//! `TRAILWARDEN_DEB_OLDER` one of an older version, `TRAILWARDEN_DEBIAN` a folder that `debootstrap --variant=minbase
//! --include=systemd,ca-certificates,procps bookworm` filled. docs/operating.md has the commands.

use std::path::{Path, PathBuf};

use crate::common::warden::{stderr, stdout};
use crate::machine::Machine;

const UNIT: &str = "trailwarden.service";
const PLACES: &str = "[organization]\nmembers = \"members.toml\"\n[[trail]]\nname = \"org\"\nbucket = \"file:///srv/bucket\"\n\
     queue = \"file:///var/lib/trailwarden/spool\"\nkeys = \"/srv/keys\"\n\
     [channel.journal]\nkind = \"stdout\"\n[[route]]\nto = [\"journal\"]\n[http]\nlisten = \"off\"\n";
const MEMBERS: &str = "[[account]]\nid = \"111122223333\"\nname = \"one\"\n";

fn named(name: &str) -> PathBuf {
    let value = std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set"));
    std::fs::canonicalize(value).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
#[ignore = "needs packages and a Debian; docs/operating.md has the commands"]
fn a_package_comes_stays_and_goes_as_packages_do() {
    let (older, newer) = (named("TRAILWARDEN_DEB_OLDER"), named("TRAILWARDEN_DEB"));
    let machine = Machine::boot_root(&named("TRAILWARDEN_DEBIAN"), &[], None).expect("a machine");
    for (from, to) in [(&older, "/older.deb"), (&newer, "/newer.deb")] {
        machine.copy_in(from, to);
    }
    installs(&machine);
    works(&machine);
    is_upgraded(&machine);
    is_taken_back(&machine);
    goes(&machine);
}

fn dpkg(machine: &Machine, args: &[&str]) -> String {
    machine.must(&[&["env", "DEBIAN_FRONTEND=noninteractive", "dpkg"], args].concat())
}

fn state(machine: &Machine) -> String {
    machine.show(UNIT, "ActiveState")
}

/// New, it is there and does nothing: its configuration is an example.
fn installs(machine: &Machine) {
    dpkg(machine, &["--install", "/older.deb"]);
    assert_eq!(state(machine), "inactive");
    assert_eq!(machine.must(&["stat", "-c", "%U %a", "/var/lib/trailwarden"]), "trailwarden 700\n");
    assert!(machine.must(&["trailwarden", "check-config"]).contains("is good"));
    for file in ["/usr/share/man/man1/trailwarden.1.gz", "/usr/share/bash-completion/completions/trailwarden"] {
        // Small images leave documentation out; what is left must be whole.
        let left_out =
            machine.must(&["sh", "-c", "cat /etc/dpkg/dpkg.cfg.d/* 2>/dev/null || true"]).contains("path-exclude");
        assert!(left_out || machine.inside(&["test", "-s", file]).status.success(), "{file}");
    }
}

fn works(machine: &Machine) {
    machine.write("/etc/trailwarden/trailwarden.toml", PLACES);
    machine.write("/etc/trailwarden/members.toml", MEMBERS);
    machine.must(&["mkdir", "-p", "/srv/bucket", "/srv/keys"]);
    machine.must(&["systemctl", "enable", "--now", UNIT]);
    assert_eq!(state(machine), "active", "{}", machine.journal());
    machine.must(&["sh", "-c", "trailwarden ledger check"]);
}

/// It runs on with the new program, the same configuration and the same ledger.
fn is_upgraded(machine: &Machine) {
    let (pid, before) = (machine.show(UNIT, "MainPID"), journal_of(machine));
    dpkg(machine, &["--install", "--force-confold", "/newer.deb"]);
    assert_eq!(state(machine), "active", "{}", machine.journal());
    assert_ne!(machine.show(UNIT, "MainPID"), pid, "the new program was not started");
    machine.must(&["trailwarden", "ledger", "check", "--head", &before]);
    assert_eq!(machine.must(&["cat", "/etc/trailwarden/trailwarden.toml"]), PLACES);
}

fn journal_of(machine: &Machine) -> String {
    let status: serde_json::Value =
        serde_json::from_str(&machine.must(&["trailwarden", "status", "--json"])).expect("JSON");
    format!("{}:{}", status["ledger"]["seq"], status["ledger"]["head"].as_str().unwrap_or_default())
}

/// An older program takes the ledger as long as its form is the same, and says so when it is not.
fn is_taken_back(machine: &Machine) {
    let head = journal_of(machine);
    dpkg(machine, &["--install", "--force-confold", "--force-downgrade", "/older.deb"]);
    assert_eq!(state(machine), "active", "{}", machine.journal());
    machine.must(&["trailwarden", "ledger", "check", "--head", &head]);
    machine.must(&["systemctl", "stop", UNIT]);
    // The form is a number at byte 60 of the file; a program of a later version wrote it.
    let later =
        "printf '\\000\\000\\003\\347' | dd of=/var/lib/trailwarden/state.db bs=1 seek=60 conv=notrunc status=none";
    machine.must(&["cp", "-a", "/var/lib/trailwarden/state.db", "/var/lib/trailwarden/kept.db"]);
    machine.must(&["sh", "-c", later]);
    let output = machine.inside(&["systemctl", "start", UNIT]);
    assert!(!output.status.success(), "{}", stdout(&output));
    assert!(machine.journal().contains("install the newer program"), "{}", machine.journal());
    machine.must(&["systemctl", "stop", UNIT]);
    machine.must(&["mv", "/var/lib/trailwarden/kept.db", "/var/lib/trailwarden/state.db"]);
    dpkg(machine, &["--install", "--force-confold", "/newer.deb"]);
    machine.must(&["systemctl", "start", UNIT]);
}

/// What was installed goes, what was configured goes with a purge, what is evidence stays.
fn goes(machine: &Machine) {
    dpkg(machine, &["--remove", "trailwarden"]);
    assert!(machine.inside(&["systemctl", "is-active", UNIT]).status.code() != Some(0));
    assert!(
        machine.inside(&["test", "-e", "/etc/trailwarden/trailwarden.toml"]).status.success(),
        "only a purge takes it"
    );
    machine.must(&["rm", "/etc/trailwarden/members.toml"]);
    let output = machine.inside(&["dpkg", "--purge", "trailwarden"]);
    assert!(
        output.status.success() && stdout(&output).contains("the ledger stays"),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    let left = machine.must(&[
        "sh",
        "-c",
        "find / -xdev -name '*trailwarden*' -not -path '/proc/*' -not -path '/run/*' -not -path '/var/log/*'",
    ]);
    let left: Vec<&str> = left.lines().filter(|path| *path != "/var/lib/trailwarden").collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(machine.inside(&["test", "-s", "/var/lib/trailwarden/state.db"]).status.success());
}

impl Machine {
    fn copy_in(&self, from: &Path, to: &str) {
        let into = format!("cat >{to}");
        let mut command = self.nsenter(&["sh", "-c", &into]);
        let file = std::fs::File::open(from).expect("a package");
        assert!(command.stdin(file).status().expect("nsenter starts").success());
    }
}
