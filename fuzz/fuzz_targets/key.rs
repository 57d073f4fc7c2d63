#![no_main]

use libfuzzer_sys::fuzz_target;
use trailwarden::core::key::{ObjectKey, parse};

fuzz_target!(|key: &str| {
    match parse(key) {
        ObjectKey::Log(log) => assert_eq!(log.format(), key),
        ObjectKey::Digest(digest) => assert_eq!(digest.format(), key),
        _ => {}
    }
});
