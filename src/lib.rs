//! trailwarden

#![deny(unsafe_code)]

pub mod core;
pub mod env;
pub mod error;
pub mod seam;
