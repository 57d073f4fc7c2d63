#![no_main]

use libfuzzer_sys::fuzz_target;
use trailwarden::core::key::{LogKind, ObjectKey, parse};
use trailwarden::core::record::read;

fuzz_target!(|bytes: &[u8]| {
    for kind in LogKind::ALL.map(LogKind::folder) {
        let key = format!(
            "AWSLogs/111122223333/{kind}/eu-west-1/2026/03/01/111122223333_{kind}_eu-west-1_20260301T2212Z_Ab3dEf6hIj9kLm2n.json.gz"
        );
        let ObjectKey::Log(key) = parse(&key) else { unreachable!("a log key") };
        let mut rows = 0;
        if let Ok(file) = read(bytes, &key, |_, _| rows += 1) {
            assert_eq!(file.rows, rows);
        }
    }
});
