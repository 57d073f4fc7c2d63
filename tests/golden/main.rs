//! Cases with an expected answer: our own vectors, and third-party samples where they are at hand.

#[path = "../common/mod.rs"]
mod common;

mod bench;
mod blind_spots;
mod cases;
mod filters;
mod keys;
mod notices;
mod openness;
mod patterns;
mod plain_copy;
mod policies;
mod posture;
mod samples;
mod sigma;
mod signing;
mod trails;
