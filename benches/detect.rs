//! Rules over log files of common size: inflate, parse and ask 50 and 1,000 rules, beside the same loop that asks none; and what a
//! rule takes up in memory.
#![expect(clippy::disallowed_methods, reason = "a bench measures wall time")]

mod common;

use std::hint::black_box;
use std::path::Path;

use common::{Beside, RECORDS, Scratch, figure, play, time};
use criterion::{BenchmarkId, Criterion, Throughput};
use trailwarden::config::rules::{PACKS, read};
use trailwarden::core::gzip::{self, Caps};
use trailwarden::core::key::{self, LogKey, LogKind, ObjectKey};
use trailwarden::core::record;
use trailwarden::core::rule::{Hits, Rule, Rules};
use trailwarden::world::Scale;

/// Rules whose memory is measured.
const WEIGHED: usize = 10_000;

struct File {
    key: LogKey,
    stored: Vec<u8>,
}

fn bare(file: &File) -> u64 {
    let inflated = gzip::inflate(&file.stored, Caps::default()).expect("a made file inflates");
    record::read(&inflated.bytes, &file.key, |record, raw| {
        black_box((record, raw));
    })
    .expect("a made file is a log")
    .rows
}

fn asked(file: &File, rules: &Rules) -> Hits {
    let inflated = gzip::inflate(&file.stored, Caps::default()).expect("a made file inflates");
    let mut hits = Hits::default();
    record::read(&inflated.bytes, &file.key, |record, raw| rules.look(record, raw, &mut hits))
        .expect("a made file is a log");
    hits
}

/// The rules of all packs.
fn shipped() -> Vec<Rule> {
    let all = PACKS.iter().map(|(name, text)| read(text, name, Path::new("")).expect("a pack is good"));
    all.flatten().collect()
}

/// As rules come together from many hands: most of them about calls that nobody makes, some about calls that are made all day,
/// some about every refusal, an identity, or a service.
fn mixed(count: usize) -> Vec<Rule> {
    const DAILY: &[(&str, &str)] = &[
        ("ec2", "DescribeInstances"),
        ("ec2", "RunInstances"),
        ("sts", "AssumeRole"),
        ("kms", "Decrypt"),
        ("s3", "GetBucketAcl"),
        ("iam", "AttachRolePolicy"),
        ("lambda", "UpdateFunctionCode20150331v2"),
        ("secretsmanager", "GetSecretValue"),
        ("ssm", "StartSession"),
        ("signin", "ConsoleLogin"),
    ];
    let mut text = String::new();
    for n in 0..count {
        let (service, name) = DAILY[n / 20 % DAILY.len()];
        let filter = match n % 20 {
            0..=1 => format!(
                r#"$.eventSource = "{service}.amazonaws.com" && $.eventName = "{name}" && $.requestParameters.name{n} = "x*""#
            ),
            2 => format!(r#"$.eventName = "{name}" && $.userIdentity.arn = "arn:aws:iam::*:user/nobody-{n}""#),
            3 => format!(r#"$.errorCode = "AccessDenied" && $.sourceIPAddress = "203.0.113.{n}""#),
            4 if n % 100 == 4 => format!(r#"$.userIdentity.type = "Root" && $.eventName != "Get{n}*""#),
            5 if n % 100 == 5 => format!(r#"$.eventSource = "service{n}.amazonaws.com" && $.readOnly IS FALSE"#),
            _ => format!(
                r#"$.eventSource = "{service}.amazonaws.com" && ($.eventName = "Put{n}" || $.eventName = "Delete{n}")"#
            ),
        };
        text.push_str(&format!("[[rule]]\nid = \"r{n}\"\ntitle = \"Rule {n}\"\nfilter = '''{{ {filter} }}'''\n"));
    }
    read(&text, "made", Path::new("")).unwrap_or_else(|error| panic!("{error}"))
}

fn files() -> Vec<File> {
    let scratch = Scratch::new("detect");
    let scale = Scale { accounts: 2, regions: 1, hours: 8, logs_per_hour: (2, 2), records_per_log: RECORDS };
    let played = play(&scratch.0, scale);
    let files = played.logs.iter().filter_map(|log| match key::parse(&log.key) {
        ObjectKey::Log(key) if key.kind == LogKind::Events => {
            Some(File { key, stored: std::fs::read(&log.path).expect("it was just written") })
        }
        _ => None,
    });
    files.collect()
}

/// Bytes that the process holds in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("a process of Linux");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number of pages") * 4096
}

fn main() {
    if !common::is_bench() {
        return;
    }
    let before = resident();
    let weighed = Rules::compile(mixed(WEIGHED));
    let weight = (resident() - before) / weighed.len();
    drop(weighed);

    let files = files();
    let records: u64 = files.iter().map(bare).sum();
    let mut thousand = shipped();
    thousand.extend(mixed(1_000 - thousand.len()));
    let sets = [("50", Rules::compile(shipped().into_iter().take(50).collect())), ("1,000", Rules::compile(thousand))];
    for (name, rules) in &sets {
        let hits: usize = files
            .iter()
            .map(|file| asked(file, rules).groups().map(|(_, group)| group.hits.len()).sum::<usize>())
            .sum();
        println!("{name} rules match {hits} times in {records} records of {} files", files.len());
    }

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("detect");
    group.throughput(Throughput::Elements(records));
    group.bench_function(BenchmarkId::from_parameter("no rules"), |b| b.iter(|| files.iter().map(bare).sum::<u64>()));
    for (name, rules) in &sets {
        group.bench_function(BenchmarkId::from_parameter(format!("{name} rules")), |b| {
            b.iter(|| files.iter().for_each(|file| drop(black_box(asked(file, rules)))));
        });
    }
    group.finish();
    criterion.final_summary();

    println!();
    for ((name, rules), wanted) in sets.iter().zip(["0.95", "0.8"]) {
        let beside = Beside::rounds(
            101,
            || time(|| files.iter().map(bare).sum::<u64>()),
            || time(|| files.iter().for_each(|file| drop(black_box(asked(file, rules))))),
        );
        let rate = |seconds: f64| format!("{:.0} records/s", records as f64 / seconds);
        figure("inflate + parse, one thread", rate(beside.floor()), "");
        figure(&format!("the same, with {name} rules"), rate(beside.ours()), "");
        figure("with ÷ without", format!("{:.2}", beside.ratio()), &format!("wanted: {wanted} or more"));
    }
    figure("memory of a rule", format!("{weight} bytes"), "wanted: 2 KB or less");
}
