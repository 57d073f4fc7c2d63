#![no_main]

use libfuzzer_sys::fuzz_target;
use trailwarden::core::digest::Digest;

fuzz_target!(|bytes: &[u8]| {
    let _ = Digest::parse(bytes);
});
