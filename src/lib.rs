//! trailwarden

#![deny(
    clippy::dbg_macro,
    clippy::expect_used,
    clippy::panic,
    clippy::todo,
    clippy::unimplemented,
    clippy::unwrap_used
)]

pub mod alert;
pub mod aws;
pub mod backfill;
pub mod cli;
pub mod cmd;
pub mod config;
pub mod core;
pub mod daemon;
pub mod delivery;
pub mod env;
pub mod error;
pub mod http;
pub mod ingest;
pub mod listing;
pub mod local;
pub mod metrics;
pub mod notify;
pub mod retry;
pub mod seam;
pub mod store;
pub mod trail;
pub mod verify;
pub mod wiring;
pub mod world;
