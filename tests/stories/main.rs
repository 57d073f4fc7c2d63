//! Twelve stories of how consumers of audit logs failed their users, each told once as a test of what must hold instead. The
//! table in docs/guarantees.md says which promise each belongs to.
//!
//! The real daemon, over seams in memory and in time that flies.

#[path = "../common/mod.rs"]
mod common;

mod custody;
mod far;
mod scene;
mod sight;
