//! Parts that several test binaries share. Each uses some of them.
#![allow(dead_code)]

pub mod emulator;
pub mod keys_stub;
pub mod organization_stub;
pub mod stub;
pub mod warden;
