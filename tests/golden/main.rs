//! Cases with an expected answer: our own vectors, and third-party samples where they are at hand.

mod keys;
mod notices;
mod samples;
