#![no_main]

use libfuzzer_sys::fuzz_target;
use trailwarden::core::gzip::{Caps, inflate};

fuzz_target!(|bytes: &[u8]| {
    let caps = Caps { inflated: 1 << 20, ratio: 100 };
    if let Ok(inflated) = inflate(bytes, caps) {
        assert!(inflated.bytes.len() <= caps.inflated && inflated.trailing < bytes.len());
    }
});
