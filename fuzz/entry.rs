//! What is done with outside bytes, and what must hold of the answer: run by cargo-fuzz, and by `cargo test --test fuzz`.

use std::collections::BTreeMap;

use trailwarden::config::Config;
use trailwarden::core::change::{Changes, Ours};
use trailwarden::core::digest::{Digest, Examined, Place, VerifyingKey};
use trailwarden::core::envelope;
use trailwarden::core::filter::Filter;
use trailwarden::core::gzip::{self, Caps, inflate};
use trailwarden::core::key::{DigestKey, LogKind, ObjectKey, parse};
use trailwarden::core::lease::{self, Document as Lease};
use trailwarden::core::lock::{Action, Class, Input, Mode, Move, Prices, Promise, Stock, Term, lifecycle, plan};
use trailwarden::core::notice::{Opened, open};
use trailwarden::core::pattern::Pattern;
use trailwarden::core::policy::{self, Document, Expected, Fix, Kind, Principal, Request, Resource, Verdict};
use trailwarden::core::posture::{self, Archive, Known, Redrive, Settings};
use trailwarden::core::protection::{Fact, Part, Protection};
use trailwarden::core::record;
use trailwarden::core::row;
use trailwarden::core::sigma;
use trailwarden::core::tree::Tree;

const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/t";
const CAPS: Caps = Caps { inflated: 1 << 20, ratio: 100 };

pub fn notice(body: &[u8]) {
    match open(body) {
        Opened::Notices { notices, rejects } => assert!(!notices.is_empty() || !rejects.is_empty()),
        Opened::Unintelligible { reason } => assert!(!reason.is_empty()),
        _ => {}
    }
}

pub fn key(bytes: &[u8]) {
    let Ok(key) = std::str::from_utf8(bytes) else { return };
    match parse(key) {
        ObjectKey::Log(log) => assert_eq!(log.format(), key),
        ObjectKey::Digest(digest) => assert_eq!(digest.format(), key),
        _ => {}
    }
}

/// The bytes as every part of a bucket's protection, with a promise that has something to say about each.
pub fn bucket(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let term = Term { mode: Mode::Compliance, days: 90 };
    let moves = vec![Move { after: 30, class: Class::GlacierIr }];
    let (expire, noncurrent, uploads) = (Some(90), Some(90), Some(7));
    let promise = Promise { term, overrides: Vec::new(), moves, smallest: 1 << 17, expire, noncurrent, uploads };
    let protection = Protection(Part::ALL.into_iter().map(|part| (part, Fact::Value(text.into()))).collect());
    let made = plan::make(&Input {
        trail: "org",
        bucket: "b",
        promise: &promise,
        protection: &protection,
        stock: &Stock::default(),
        needs: &[],
        empty_units: &[],
        prices: &Prices::default(),
        prefixes: &["AWSLogs/".to_owned()],
        scrubs: true,
        now: jiff::Timestamp::UNIX_EPOCH,
    });
    let Ok(rules) = lifecycle::read(text) else { return };
    assert_eq!(lifecycle::read(&lifecycle::write(&rules)), Ok(rules.clone()));
    for step in &made.steps {
        let Action::SetLifecycle { document: Some(document), .. } = &step.action else { continue };
        let after = lifecycle::read(document).expect("what we write we can read");
        let theirs =
            |rules: &[lifecycle::Rule]| rules.iter().filter(|rule| !rule.is_ours()).cloned().collect::<Vec<_>>();
        assert_eq!(theirs(&after), theirs(&rules));
        assert!(theirs(&rules).iter().all(|rule| text.contains(&rule.raw) && document.contains(&rule.raw)));
    }
}

/// The bytes as the notification configuration, the queue's policy and the redrive's name at once.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let redrive = Redrive { to: text.chars().take(200).collect(), after: 1, exists: Some(false) };
    let queue = Settings {
        arn: "arn:aws:sqs:eu-west-1:111122223333:q".into(),
        policy: Some(text.into()),
        redrive: Some(redrive),
        retention: None,
        key: Some(text.into()),
    };
    let topics = posture::topics(text).into_iter().map(|topic| (topic, Known::Value(vec![queue.arn.clone()])));
    let path = posture::Path {
        notification: Fact::Value(text.into()),
        queue: Known::Value(Some(queue.clone())),
        topics: topics.collect(),
    };
    let archive = Archive { bucket: "b".into(), prefixes: vec!["AWSLogs/".into()], ..Archive::default() };
    let look = posture::of_path(&path, &posture::Seen::default(), &archive, &Expected::default());
    assert!(look.weaknesses.iter().any(|one| one.kind == "redrive_tight"));
}

pub fn record(bytes: &[u8]) {
    let ours = Ours { bucket: Some("b".into()), trails: vec![TRAIL.into()], ..Ours::default() };
    for kind in LogKind::ALL.map(LogKind::folder) {
        let key = format!(
            "AWSLogs/111122223333/{kind}/eu-west-1/2026/03/01/111122223333_{kind}_eu-west-1_20260301T2212Z_Ab3dEf6hIj9kLm2n.json.gz"
        );
        let ObjectKey::Log(key) = parse(&key) else { unreachable!("a log key") };
        let (mut rows, mut changes) = (0, Changes::default());
        let each = |record: &record::Record<'_>, raw: &str| {
            rows += 1;
            changes.look(record, raw, &ours);
        };
        if let Ok(file) = record::read(bytes, &key, each) {
            assert_eq!(file.rows, rows);
        }
        for group in changes.groups() {
            let finding = group.last.finding(&group.subject, "b", "k", 1, jiff::Timestamp::UNIX_EPOCH);
            assert!(finding.detail.len() < 4_000 && finding.detail.chars().all(|c| !c.is_control()));
        }
    }
}

/// Cut up by a parser of ours: it must take what another one takes, and what is cut out must fit back.
pub fn row(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let is_object = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
    let parsed = record::frame::value::<serde::de::IgnoredAny>(text).ok().map(|(_, end)| end);
    let end = row::cut(text, &mut Vec::new()).map(|(end, _)| end);
    assert_eq!(end, parsed.filter(|_| is_object), "{text}");
    let columns = row::columns(text);
    let (row, resources, mut shape) = (columns.row(), columns.row().resources(), String::new());
    row.shape(&mut shape);
    if !text.contains([row::LEAF_MARK, row::RESOURCE_MARK]) {
        let back = row::rebuild(&shape, |leaf| row.leaf(leaf), |number, part| resources.get(number)?[part]);
        assert_eq!(back.as_deref(), Some(text));
    }
}

/// The bytes as a digest's text, and as its stored body with metadata that says whatever the bytes end in.
pub fn digest(bytes: &[u8]) {
    const KEY: &str = "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/03/01/111122223333_CloudTrail-Digest_eu-west-1_main_us-east-1_20260301T221200Z.json.gz";
    let _ = Digest::parse(bytes);
    let ObjectKey::Digest(parsed) = parse(KEY) else { unreachable!("a digest's key") };
    examine(KEY, &parsed, bytes, &BTreeMap::new());
    let said = String::from_utf8_lossy(&bytes[bytes.len() - bytes.len().min(40)..]).into_owned();
    let names = ["signature", "signature-algorithm", "backfill-generation-timestamp"];
    let metadata = names.into_iter().map(|name| (name.to_owned(), said.clone())).collect();
    examine(KEY, &parsed, &gzip::deflate(bytes), &metadata);
}

fn examine(key: &str, parsed: &DigestKey, body: &[u8], metadata: &BTreeMap<String, String>) {
    let place = Place { bucket: Some("b"), key, parsed, has_metadata: true };
    let mut examined = Examined::open(&place, body, metadata, CAPS);
    if examined.wants_key().is_some() {
        examined.seal(Some(&VerifyingKey::of(&[0x30, 0x00])));
    }
    assert!(!examined.is_signed(), "nothing signed this");
}

pub fn gzip(bytes: &[u8]) {
    if let Ok(inflated) = inflate(bytes, CAPS) {
        assert!(inflated.bytes.len() <= CAPS.inflated && inflated.trailing < bytes.len());
    }
}

pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = Config::from_text(text, "fuzz.toml") {
        assert!(!error.to_string().is_empty());
    }
}

/// A line of pattern, and the record that it is tried on; the whole as a pattern too.
pub fn filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (line, rest) = text.split_once('\n').unwrap_or((text, r#"{"eventName":"a","errorCode":null}"#));
    for pattern in [line, text] {
        let filter = match Filter::parse(pattern) {
            Ok(filter) => filter,
            Err(fault) => {
                assert!(fault.span.end <= pattern.len() && fault.to_string().contains('^'));
                continue;
            }
        };
        let record = Tree::parse(rest).unwrap_or(Tree::Null);
        let tried = filter.explain(&record);
        assert!(!tried.is_empty() && tried.iter().all(|one| !one.condition.is_empty()));
        assert!(!filter.matches(&record) || tried.iter().any(|one| one.held));
    }
}

/// The bytes as a file of rules, which are tried on records of a few shapes.
pub fn sigma(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let rules = match sigma::read(text) {
        Ok(rules) => rules,
        Err(fault) => return assert!(fault.span.end <= text.len()),
    };
    let records =
        ["null", r#"{"eventName":"CreateUser","userIdentity":{"arn":["a",null,{"b":1.0}]},"errorCode":true}"#];
    for rule in rules.into_iter().flatten() {
        let sigma::Body::Detection(detection) = rule.body else { continue };
        for record in records.iter().filter_map(|record| Tree::parse(record)) {
            let (matched, impossible) = (detection.matches(&record), detection.needs().alternatives().len() == 0);
            assert!(!matched || !impossible);
            assert!(!detection.explain(&record).is_empty());
        }
    }
}

/// The bytes as the policy of a bucket, of a key and of a queue.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let document = Document::parse(text);
    let context = policy::Context::default();
    let request = Request {
        who: &Principal::Everyone,
        action: "s3:PutObject",
        resource: Resource::Every("arn:aws:s3:::b/*"),
        context: &context,
    };
    let verdict = policy::evaluate(&document, &request);
    let doubtful = !document.doubts.is_empty() || document.statements.iter().any(|one| !one.doubts.is_empty());
    assert!(!doubtful || matches!(verdict, Verdict::Unknown(_) | Verdict::Denied(Some(_))), "{verdict:?}");
    let trails = vec![TRAIL.to_owned()];
    let expected = Expected { bucket: "b".into(), trails, tls: true, ..Expected::default() };
    for judge in [policy::weaknesses, policy::weaknesses_of_key, policy::weaknesses_of_queue] {
        let found = judge(&document, &expected);
        assert!(!doubtful || found.iter().any(|weakness| weakness.kind == Kind::CouldNotTell), "silent about a doubt");
        for weakness in found.iter().filter(|weakness| !matches!(weakness.fix, Fix::Look(_))) {
            let corrected = weakness.corrected(&document).unwrap_or_default();
            let before = document.doubts.len();
            assert!(Document::parse(&corrected).doubts.len() <= before, "{}: {corrected}", weakness.kind);
        }
    }
}

/// A pattern and, after a line break, an event; without one, the pattern is tried on itself.
pub fn pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (pattern, event) = text.split_once('\n').unwrap_or((text, text));
    let compiled = match Pattern::parse(pattern) {
        Ok(compiled) => compiled,
        Err(fault) => {
            assert!(pattern.is_char_boundary(fault.at) && !fault.says.is_empty(), "{fault:?}");
            return;
        }
    };
    let Some(event) = Tree::parse(event) else { return };
    let matches = compiled.matches(&event);
    assert_eq!(compiled.explain(&event).holds(), matches);
    let possible = compiled.needs().alternatives().len() > 0;
    assert!(possible || !compiled.matches(&envelope::wrap(event, None)));
}

/// The bytes as a lease: what is accepted has a successor, and is written as it was understood.
pub fn lease(bytes: &[u8]) {
    let Ok(document) = Lease::read(bytes) else { return };
    assert!(document.epoch.checked_add(1).is_some() && document.ttl <= lease::LONGEST);
    assert_eq!(Lease::read(&document.write()), Ok(document.clone()));
    assert!(document.told().chars().all(|c| !c.is_control()));
}
