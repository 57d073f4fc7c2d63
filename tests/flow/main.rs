//! The whole program, as a process, on made-up days: on an emulated AWS and on directories, with everything that goes wrong.

#[path = "../common/mod.rs"]
mod common;

mod acts;
mod bad_input;
mod cloud;
mod directories;
mod emulated;
mod expected;
mod folded;
mod scrub;
