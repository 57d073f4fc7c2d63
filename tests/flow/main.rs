//! The whole program, as a process, on made-up days: on an emulated AWS and on directories, with everything that goes wrong.

#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod coverage;
mod detect;
mod directories;
mod divided;
mod doctor;
mod emulated;
mod folded;
mod health;
mod insights;
mod keeping;
mod lease;
mod locking;
mod otlp;
mod posture;
mod reconcile;
mod retention;
mod scrub;
mod shard;
mod trails;
mod yard;
