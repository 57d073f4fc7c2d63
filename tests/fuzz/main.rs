//! The fuzz targets' entry points without a fuzzer: known inputs, changed by a die. cargo-fuzz, which needs nightly, goes
//! deeper; this runs everywhere. `TRAILWARDEN_FUZZ=1000000 cargo test --release --test fuzz` changes more.

#[path = "../../fuzz/entry.rs"]
mod entry;

use std::fs;
use std::path::Path;

use fastrand::Rng;

/// Inputs that each target is given by default.
const ROUNDS: u64 = 3_000;
/// Known inputs of a target, at most, and the largest of them in bytes.
const SEEDS: usize = 400;
const LARGEST: usize = 60_000;
/// Words that a parser looks for; others are met by chance only.
const WORDS: &[&str] = &[
    "Records",
    "awsRegion",
    "eventTime",
    "recipientAccountId",
    "userIdentity",
    "Message",
    "TopicArn",
    "s3:TestEvent",
    "s3Bucket",
    "s3ObjectKey",
    "detail",
    "ObjectCreated:Put",
    "ObjectRemoved:DeleteMarkerCreated",
    "%2F",
    "%",
    "+",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-0",
    "1e999",
    "99999999999999999999",
    "9999-12-31T23:59:59Z",
    "20260229T240000Z",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\\",
    "\n",
    "../",
    "//",
    "AWSLogs/",
    "o-a1b2c3d4e5/",
    "CloudTrail-Digest",
    "_backfill",
    ".json.gz",
    "digestEndTime",
    "logFiles",
    "hashValue",
    "previousDigestSignature",
    "NotPrincipal",
    "NotAction",
    "NotResource",
    "\"Condition\":{\"StringEqualsIfExists\":{\"aws:SourceArn\":\"arn:*\"}},",
    "ForAnyValue:",
    "${aws:username}",
    "<Rule>",
    "</Rule>",
    "<ID>trailwarden-",
    "<Days>",
    "&#x41;",
    "<![CDATA[",
    "<!--",
    "GLACIER",
    "[[trail]]",
    "{\"Records\":[{\"eventTime\":\"2026-03-01T22:10:00Z\",\"eventSource\":\"s3.amazonaws.com\",\"eventName\":\"PutBucketPolicy\",\"requestParameters\":{\"bucketName\":\"b\"}",
    "\"epoch\":9007199254740991,",
    "\"ttl_ms\":0,",
    "<NotificationConfiguration>",
    "<QueueConfiguration><Queue>arn:aws:sqs:eu-west-1:111122223333:q</Queue><Event>s3:ObjectCreated:*</Event>",
    "<FilterRule><Name>prefix</Name><Value>",
    "bucket = ",
    "|contains|all: ",
    "|re: ",
    "|base64offset|contains: ",
    " and not 1 of ",
    "\n---\n",
    "{ $.a = ",
    " }",
    "$.['a.b'][*]",
    " NOT EXISTS && (",
    " IS NULL || ",
    "%^[a-z]{2}\\d%",
    "\"1h\"",
    "{\"detail\":{\"eventName\":[\"DeleteTrail\",{\"exists\":false}]}}\n{\"detail\":{\"eventName\":[\"DeleteTrail\"]}}",
    "{\"anything-but\":{\"wildcard\":[\"*a*\"]}}",
    "{\"numeric\":[\">=\",1e3,\"<\",2e3]}",
    "{\"cidr\":\"10.0.0.0/8\"}",
    "\"$or\":[{\"a\":[1]},{\"a.b\":[null]}],",
    "\u{feff}",
    "é",
];

type Target = (&'static str, fn(&[u8]), &'static [&'static str]);

const NOTICES: &[&str] = &["tests/golden/notifications"];
const CASES: &[&str] = &["tests/golden/cases"];

#[test]
fn outside_bytes_are_understood_or_refused() {
    let targets: &[Target] = &[
        ("notice", entry::notice, NOTICES),
        ("key", entry::key, &["tests/golden/keys.json"]),
        ("record", entry::record, CASES),
        ("row", entry::row, CASES),
        ("digest", entry::digest, CASES),
        ("gzip", entry::gzip, CASES),
        ("bucket", entry::bucket, &["tests/golden/buckets"]),
        ("config", entry::config, &["config", "docs/configuration.md"]),
        ("filter", entry::filter, &["tests/golden/filters.json"]),
        ("policy", entry::policy, &["tests/golden/policies"]),
        ("pattern", entry::pattern, &["tests/golden/patterns"]),
        ("sigma", entry::sigma, &["tests/golden/sigma/rules.yml"]),
        ("lease", entry::lease, &["tests/golden/leases"]),
        ("path", entry::path, &["tests/golden/policies", "tests/golden/buckets"]),
    ];
    let rounds = std::env::var("TRAILWARDEN_FUZZ").map_or(ROUNDS, |text| text.parse().expect("a number"));
    let seed = std::env::var("TRAILWARDEN_SEED").map_or(1, |text| text.parse().expect("a number"));
    std::thread::scope(|scope| {
        for (name, run, places) in targets {
            scope.spawn(move || fuzz(name, *run, &corpus(name, places), seed, rounds));
        }
    });
}

fn fuzz(name: &str, run: fn(&[u8]), corpus: &[Vec<u8>], seed: u64, rounds: u64) {
    assert!(!corpus.is_empty(), "{name} has nothing to begin with");
    let mut die = Rng::with_seed(seed);
    for round in 0..rounds {
        let mut input = if die.u8(..40) == 0 { Vec::new() } else { pick(&mut die, corpus).clone() };
        for _ in 0..die.u8(..6) {
            change(&mut die, &mut input, corpus);
        }
        let _told = Told { name, round, input: &input };
        run(&input);
    }
}

/// Keeps the input that a panic came of.
struct Told<'i> {
    name: &'i str,
    round: u64,
    input: &'i [u8],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", self.name));
            let _ = fs::write(&kept, self.input);
            eprintln!("{} fails in round {}; its input is kept as {}", self.name, self.round, kept.display());
        }
    }
}

fn pick<'c>(die: &mut Rng, corpus: &'c [Vec<u8>]) -> &'c Vec<u8> {
    &corpus[die.usize(..corpus.len())]
}

fn change(die: &mut Rng, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = die.usize(..=input.len());
    let to = (at + die.usize(..40)).min(input.len());
    match die.u8(..8) {
        0 if at < input.len() => input[at] ^= 1 << die.u8(..8),
        1 if at < input.len() => input[at] = die.u8(..),
        2 => input.truncate(at),
        3 => _ = input.drain(at..to),
        4 => {
            let copied = input[at..to].to_vec();
            let times = if die.u8(..50) == 0 { 2_000 } else { 1 };
            input.splice(at..at, copied.repeat(times));
        }
        5 => {
            let other = pick(die, corpus);
            let from = die.usize(..=other.len());
            let end = (from + die.usize(..400)).min(other.len());
            input.splice(at..to, other[from..end].iter().copied());
        }
        _ => _ = input.splice(at..to, WORDS[die.usize(..WORDS.len())].bytes()),
    }
    input.truncate(LARGEST * 4);
}

/// What lies in the repository, and beside it where `TRAILWARDEN_SAMPLES` says so; JSON files also string by string, and
/// what is compressed also inflated.
fn corpus(name: &str, places: &[&str]) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for place in places {
        gather(Path::new(place), &mut files);
    }
    if let (Some(samples), "notice" | "record") = (std::env::var_os("TRAILWARDEN_SAMPLES"), name) {
        gather(Path::new(&samples), &mut files);
    }
    let mut corpus = Vec::new();
    for file in files {
        if matches!(name, "key" | "notice" | "policy" | "filter" | "pattern") {
            strings(&file, &mut corpus);
        }
        if name == "sigma" {
            let text = String::from_utf8(file).expect("rules are text");
            corpus.extend(text.split("---\n").map(|rule| rule.as_bytes().to_vec()));
            continue;
        }
        if name != "gzip" && file.starts_with(&[0x1f, 0x8b]) {
            let caps = trailwarden::core::gzip::Caps { inflated: LARGEST, ratio: 100 };
            corpus.extend(trailwarden::core::gzip::inflate(&file, caps).map(|inflated| inflated.bytes));
        } else {
            corpus.push(file);
        }
    }
    let every = corpus.len().div_ceil(SEEDS).max(1);
    corpus.into_iter().step_by(every).collect()
}

fn gather(place: &Path, files: &mut Vec<Vec<u8>>) {
    let Ok(folder) = fs::read_dir(place) else {
        files.extend(fs::read(place).ok().filter(|bytes| bytes.len() <= LARGEST));
        return;
    };
    let mut entries: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries.iter().for_each(|path| gather(path, files));
}

fn strings(file: &[u8], corpus: &mut Vec<Vec<u8>>) {
    fn walk(value: &serde_json::Value, corpus: &mut Vec<Vec<u8>>) {
        match value {
            serde_json::Value::String(text) => corpus.push(text.clone().into_bytes()),
            serde_json::Value::Array(all) => all.iter().for_each(|value| walk(value, corpus)),
            serde_json::Value::Object(all) => {
                corpus.push(value.to_string().into_bytes());
                all.values().for_each(|value| walk(value, corpus));
            }
            _ => {}
        }
    }
    if let Ok(value) = serde_json::from_slice(file) {
        walk(&value, corpus);
    }
}
