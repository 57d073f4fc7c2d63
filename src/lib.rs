//! trailwarden

#![deny(unsafe_code)]

pub mod config;
pub mod core;
pub mod env;
pub mod error;
pub mod local;
pub mod notify;
pub mod seam;
