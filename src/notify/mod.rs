//! Channels to the outside.

pub mod webhook;
