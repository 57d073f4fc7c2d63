//! Every implementation of a seam against the suite of that seam, and AWS's own corners against emulators and stubs.

#[path = "../common/mod.rs"]
mod common;

mod aws;
mod channels;
mod far;
mod faults;
mod members;
mod register;
mod suite;
mod trails;
mod vault;
