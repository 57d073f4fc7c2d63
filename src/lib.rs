//! trailwarden

#![deny(unsafe_code)]

pub mod aws;
pub mod core;
pub mod delivery;
pub mod env;
pub mod error;
pub mod alert;
pub mod ingest;
pub mod listing;
pub mod metrics;
pub mod retry;
pub mod seam;
pub mod store;
pub mod trail;
pub mod verify;
