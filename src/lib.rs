//! trailwarden

#![deny(unsafe_code)]

pub mod aws;
pub mod core;
pub mod env;
pub mod error;
pub mod seam;
