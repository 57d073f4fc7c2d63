//! The archive over its whole life: what was delivered, late and twice, with crashes and compactions in between, is there once.

#[path = "../common/mod.rs"]
mod common;

mod compacting;
#[cfg(feature = "sql")]
mod cookbook;
mod engines;
mod exactly;
mod ground;
mod hostile;
mod lookup;
#[cfg(feature = "sql")]
mod query;
mod readers;
mod takeover;
