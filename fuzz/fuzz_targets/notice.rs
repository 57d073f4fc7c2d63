#![no_main]

use libfuzzer_sys::fuzz_target;
use trailwarden::core::notice::{Opened, open};

fuzz_target!(|body: &[u8]| {
    match open(body) {
        Opened::Notices { notices, rejects } => assert!(!notices.is_empty() || !rejects.is_empty()),
        Opened::Unintelligible { reason } => assert!(!reason.is_empty()),
        _ => {}
    }
});
