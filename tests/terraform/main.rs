//! What `terraform/` makes: its permissions are the program's, its tables say what its modules take, and an organization that it
//! made is one that the warden can work in.
//!
//! Without terraform, or without its provider, what needs them is skipped loudly; with `TRAILWARDEN_REQUIRE_TERRAFORM=1` it fails.
//! `TRAILWARDEN_TF_MIRROR` names a folder with the provider, where no registry can be reached.

#[path = "../common/mod.rs"]
mod common;

mod apply;
mod equality;
mod grants;
mod readme;
mod shards;
mod tables;
mod tool;
