//! The units as systemd reads them.

use std::process::{Command, Output};

use crate::common::warden::{stderr, stdout};
use crate::{packaging, skip};

const SERVICES: [&str; 2] = ["trailwarden.service", "trailwarden-check.service"];
/// Tenths of what systemd-analyze calls the exposure.
const EXPOSED: &str = "12";

/// The units in a folder, calling the program where it is now.
fn installed() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for name in [SERVICES[0], SERVICES[1], "trailwarden-check.timer"] {
        let text = packaging(&format!("systemd/{name}"));
        let text = text.replace("=/usr/bin/trailwarden ", &format!("={} ", env!("CARGO_BIN_EXE_trailwarden")));
        // A manual page that is not installed is no fault of the unit.
        let lines = text.lines().filter(|line| !line.starts_with("Documentation="));
        std::fs::write(dir.path().join(name), lines.collect::<Vec<_>>().join("\n") + "\n").expect("a file");
    }
    dir
}

fn analyze(dir: &tempfile::TempDir, args: &[&str]) -> Option<Output> {
    let output = Command::new("systemd-analyze").args(args).current_dir(dir.path()).env("LC_ALL", "C").output();
    output.ok().or_else(|| skip("systemd-analyze is not here"))
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let dir = installed();
    for unit in [SERVICES[0], SERVICES[1], "trailwarden-check.timer"] {
        let Some(output) = analyze(&dir, &["verify", &format!("./{unit}")]) else { return };
        // Unknown keys are said, and are no failure.
        assert!(output.status.success() && stderr(&output).trim().is_empty(), "{unit}: {}", stderr(&output));
    }
    std::fs::write(dir.path().join("wrong.service"), "[Service]\nExecStart=/bin/true\nPrivatTmp=yes\n")
        .expect("a file");
    let Some(output) = analyze(&dir, &["verify", "./wrong.service"]) else { return };
    assert!(stderr(&output).contains("PrivatTmp"), "a misspelled key goes unnoticed");
}

#[test]
fn the_services_are_exposed_to_next_to_nothing() {
    let dir = installed();
    for unit in SERVICES {
        let threshold = format!("--threshold={EXPOSED}");
        let Some(output) = analyze(&dir, &["security", "--offline=true", &threshold, &format!("./{unit}")]) else {
            return;
        };
        assert!(output.status.success(), "{unit}:\n{}", stdout(&output));
    }
}

#[test]
fn both_services_live_in_the_same_sandbox() {
    let sandbox = |unit: &str| {
        let text = packaging(&format!("systemd/{unit}"));
        let (_, rest) = text.split_once("# What it may not do.").expect("a sandbox");
        rest.split("\n[").next().map(|text| text.trim_end().to_owned())
    };
    assert_eq!(sandbox(SERVICES[0]), sandbox(SERVICES[1]));
    for forbidden in ["DynamicUser=", "Restart=always", "ExecStartPre="] {
        assert!(!packaging("systemd/trailwarden.service").contains(forbidden), "{forbidden}");
    }
}

/// What may block, a thread each, is bounded by the runtime; the unit must leave that room.
#[test]
fn limits_of_the_unit_hold_what_the_program_needs() {
    let text = packaging("systemd/trailwarden.service");
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{key} is not set")).to_owned()
    };
    assert!(value("TasksMax").parse::<u32>().expect("a number") >= 512 + 128, "tokio blocks on up to 512 threads");
    assert_eq!(value("RestartPreventExitStatus"), "2 3", "bad usage and bad configuration");
    let watchdog = value("WatchdogSec");
    assert!(watchdog.trim_end_matches('s').parse::<u32>().is_ok_and(|limit| limit >= 60), "fed every 20 s at least");
    // 25 s for messages in work, and twice 15 s for alerts: src/daemon.rs, src/daemon/alerting.rs.
    let stop = value("TimeoutStopSec");
    assert!(stop.trim_end_matches('s').parse::<u32>().expect("seconds") > 25 + 15 + 15, "{stop}");
}

/// The two packages bring the same, and all of it is here or made by packaging/build.
#[test]
fn both_packages_have_the_same_files() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("Cargo.toml")).expect("Cargo.toml");
    let manifest: toml::Table = text.parse().expect("TOML");
    let metadata = &manifest["package"]["metadata"];
    let text = |value: &toml::Value| value.as_str().expect("a text").trim_start_matches('/').to_owned();
    let entries = |kind: &str| metadata[kind]["assets"].as_array().expect("a list").clone();
    let deb: Vec<_> = entries("deb").iter().map(|asset| (text(&asset[0]), text(&asset[1]), text(&asset[2]))).collect();
    let rpm: Vec<_> = entries("generate-rpm")
        .iter()
        .map(|asset| (text(&asset["source"]), text(&asset["dest"]), text(&asset["mode"])))
        .map(|(source, to, mode)| (source, to.replace("zsh/site-functions", "zsh/vendor-completions"), mode))
        .collect();
    assert_eq!(deb, rpm);
    let build = packaging("build");
    for (source, ..) in &deb {
        match source.strip_prefix("target/package/") {
            Some(made) if made.starts_with("trailwarden.") && !made.ends_with(".gz") => {}
            Some(made) => {
                assert!(build.contains(&format!("\"$out/{made}\"")), "packaging/build does not make {source}")
            }
            None => assert!(root.join(source.trim_end_matches("/*.md")).exists(), "{source} is not here"),
        }
    }
    let units = deb.iter().filter(|(_, to, _)| to.starts_with("usr/lib/systemd/system/"));
    assert_eq!(units.count(), std::fs::read_dir(root.join("packaging/systemd")).expect("units").count() - 2);
}
