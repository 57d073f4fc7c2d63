//! Parts that several test binaries share. Each uses some of them.
#![allow(dead_code)]

pub mod acts;
pub mod cloud;
pub mod emulator;
pub mod expected;
pub mod hook;
pub mod keys_stub;
pub mod mended;
pub mod organization_stub;
pub mod stub;
pub mod warden;
