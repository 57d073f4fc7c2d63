//! The real process, killed again and again, on directories and behind a bad network: nothing is lost, nothing counted twice,
//! nothing told that is not so, and every alert arrives.
//!
//! `cargo test --test torture` runs the short version; TRAILWARDEN_SEED replays one. The long one:
//! `cargo test --release --test torture -- --ignored --nocapture --test-threads 1`.

#[path = "../common/mod.rs"]
mod common;

mod directories;
mod disk;
mod emulated;
mod held;
mod ordeal;
mod proxy;
