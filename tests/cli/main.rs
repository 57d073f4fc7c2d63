//! The command line as people and scripts meet it: help, exit codes, what is on stdout, what a broken file is told.

#[path = "../common/mod.rs"]
mod common;

mod config;
mod coverage;
mod demo;
mod doctor;
mod ledger;
mod lookup;
mod query;
mod verbs;
