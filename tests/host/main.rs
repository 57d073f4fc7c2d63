//! What is installed on a host: the units, and what they really do under systemd.
//!
//! What systemd-analyze says needs systemd; a machine that is booted in namespaces needs root besides, and a kernel that lets it.
//! Without them the tests are skipped loudly; with `TRAILWARDEN_REQUIRE_SYSTEMD=1` they fail.

#[path = "../common/mod.rs"]
mod common;

mod debian;
mod machine;
mod observed;
mod service;
mod shipped;
mod sizes;
mod units;

/// `None`, and why.
fn skip<T>(reason: &str) -> Option<T> {
    let required = std::env::var_os("TRAILWARDEN_REQUIRE_SYSTEMD").is_some_and(|value| value == "1");
    assert!(!required, "systemd is required: {reason}");
    eprintln!("SKIPPED: {reason}");
    None
}

/// What the repository has for a host.
fn packaging(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
