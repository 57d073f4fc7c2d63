//! Rules over log files of common size: inflate, parse and ask 50 and 1,000 rules, beside the same loop that asks none; and what a
//! rule takes up in memory (with `_RJEM_MALLOC_CONF=dirty_decay_ms:0,muzzy_decay_ms:0`, else the allocator's stock is counted
//! too). With `-- groups`: what ten million groups of one rule take up, each record making one of its own.
#![expect(clippy::disallowed_methods, reason = "a bench measures wall time")]

mod common;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;

use common::{Beside, RECORDS, Scratch, figure, play, time};
use criterion::{BenchmarkId, Criterion, Throughput};
use trailwarden::config::Config;
use trailwarden::config::rules::{PACKS, read};
use trailwarden::core::gzip::{self, Caps};
use trailwarden::core::key::{self, LogKey, LogKind, ObjectKey};
use trailwarden::core::notice::Notice;
use trailwarden::core::record;
use trailwarden::core::rule::{Hits, Rule, Rules};
use trailwarden::env::Env;
use trailwarden::wiring::Works;
use trailwarden::world::Scale;

/// Rules whose memory is measured: so many that what the allocator has in hand does not matter.
const WEIGHED: usize = 100_000;

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

/// Logs as the made organization writes them, where something happens all the time: many calls change something that a rule is
/// about.
fn busy() -> Vec<File> {
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

/// The same with one in twenty of the calls that change something, and reads in place of the others, about as it is in an
/// organization. One call in 24 is refused, as before.
fn calm(busy: &[File]) -> Vec<File> {
    let mut changes = 0;
    let thinned = |file: &File| {
        let inflated = gzip::inflate(&file.stored, Caps::default()).expect("a made file inflates");
        let (mut kept, mut last) = (Vec::new(), None);
        record::read(&inflated.bytes, &file.key, |record, raw| {
            let reads = record.read_only.is_some_and(|raw| raw.get() == "true");
            changes += usize::from(!reads);
            if reads {
                last = Some(raw);
            }
            kept.extend(if reads || changes % 20 == 0 { Some(raw) } else { last });
        })
        .expect("a made file is a log");
        let text = format!("{{\"Records\":[{}]}}", kept.join(","));
        File { key: file.key.clone(), stored: gzip::deflate(text.as_bytes()) }
    };
    busy.iter().map(thinned).collect()
}

/// Bytes that the process holds in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("a process of Linux");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number of pages") * 4096
}

const GROUPS: usize = 10_000_000;
const OF_A_LOG: usize = 2_000;
const CROWD: &str = r#"
[[rule]]
id = "crowd"
title = "A group for every call"
filter = '{ $.eventName = "GetCallerIdentity" }'
group = ["userIdentity.arn"]
count = { at_least = 2, within = "10m" }
"#;

/// A log of calls, each by somebody else.
fn crowd(log: usize, time: jiff::Timestamp) -> Vec<u8> {
    let record = |nth: usize| {
        let id = log * OF_A_LOG + nth;
        format!(
            r#"{{"eventVersion":"1.11","eventTime":"{time:.0}","eventSource":"sts.amazonaws.com","eventName":"GetCallerIdentity","awsRegion":"us-east-1","recipientAccountId":"111122223333","eventID":"{id:08}","eventType":"AwsApiCall","userIdentity":{{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/{id}"}}}}"#
        )
    };
    let records: Vec<String> = (0..OF_A_LOG).map(record).collect();
    gzip::deflate(format!("{{\"Records\":[{}]}}", records.join(",")).as_bytes())
}

async fn groups(dir: &Path) {
    let root = dir.display();
    for folder in ["spool", "keys", "bucket"] {
        std::fs::create_dir_all(dir.join(folder)).expect("the disk takes it");
    }
    let config = format!(
        "[organization]\nmembers = \"members.toml\"\n[[trail]]\nname = \"t\"\nbucket = \"file://{root}/bucket\"\n\
         queue = \"file://{root}/spool\"\nkeys = \"keys\"\n[state]\npath = \"state.db\"\n[channel.out]\nkind = \"stdout\"\n\
         [[route]]\nto = [\"out\"]\n[detect]\nrules = [\"crowd.toml\"]\n"
    );
    std::fs::write(dir.join("members.toml"), "[[account]]\nid = \"111122223333\"\n").expect("the disk takes it");
    std::fs::write(dir.join("crowd.toml"), CROWD).expect("the disk takes it");
    std::fs::write(dir.join("trailwarden.toml"), config).expect("the disk takes it");
    let config = Config::load(&dir.join("trailwarden.toml")).unwrap_or_else(|error| panic!("{error}"));
    let works = Works::open(&config, &Env::system()).await.expect("the works");
    works.deliveries.roster.refresh().await.expect("members");
    let time = works.env.now();
    let folder = format!("AWSLogs/111122223333/CloudTrail/us-east-1/{}", time.strftime("%Y/%m/%d"));
    std::fs::create_dir_all(dir.join("bucket").join(&folder)).expect("the disk takes it");
    let mut early = 0;
    for log in 0..GROUPS / OF_A_LOG {
        let name = format!("111122223333_CloudTrail_us-east-1_{}_{log:016}.json.gz", time.strftime("%Y%m%dT%H%MZ"));
        let (key, path) = (format!("{folder}/{name}"), dir.join("bucket").join(&folder).join(&name));
        std::fs::write(&path, crowd(log, time)).expect("the disk takes it");
        let notice = Notice::listed("bucket", key, 1, None);
        works.deliveries.settle(&works.trails[0], &notice).await.expect("it is settled");
        std::fs::remove_file(path).expect("it was there");
        if log * OF_A_LOG == GROUPS / 10 {
            early = resident();
        }
    }
    let ledger = std::fs::metadata(dir.join("state.db")).expect("the ledger").len();
    let held = "SELECT count(*), (SELECT count(*) FROM findings WHERE kind = 'rule_fired') FROM watches";
    let held = works.store.read(move |conn| conn.query_row(held, [], |row| Ok((row.get(0)?, row.get(1)?)))).await;
    let (watches, told): (i64, i64) = held.expect("the ledger answers");
    figure("groups that came; that are remembered; findings", format!("{GROUPS}; {watches}; {told}"), "");
    figure("RSS after a tenth of them; after all", format!("{}; {} MB", early >> 20, resident() >> 20), "wanted: flat");
    figure("ledger", format!("{} MB", ledger >> 20), "");
}

fn compare(kind: &str, files: &[File], name: &str, rules: &Rules, wanted: &str) {
    let records: u64 = files.iter().map(bare).sum();
    let mut by_rule: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files {
        for (number, group) in asked(file, rules).groups() {
            let id = &rules.get(number).expect("it matched").id;
            *by_rule.entry(id).or_default() += group.hits.len();
        }
    }
    let hits: usize = by_rule.values().sum();
    println!("{kind}: {name} rules match {hits} times in {records} records of {} files: {by_rule:?}", files.len());
    let beside = Beside::rounds(
        101,
        || time(|| files.iter().map(bare).sum::<u64>()),
        || time(|| files.iter().for_each(|file| drop(black_box(asked(file, rules))))),
    );
    let rate = |seconds: f64| format!("{:.0} records/s", records as f64 / seconds);
    figure("inflate + parse, one thread", rate(beside.floor()), "");
    figure(&format!("the same, with {name} rules"), rate(beside.ours()), "");
    figure(&format!("{kind}, with ÷ without"), format!("{:.2}", beside.ratio()), &format!("wanted: {wanted} or more"));
}

fn main() {
    if !common::is_bench() {
        return;
    }
    if std::env::args().any(|arg| arg == "groups") {
        let scratch = Scratch::new("groups");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        return runtime.expect("a runtime").block_on(groups(&scratch.0));
    }
    // what reading them took and gave back is there for the second
    let first = Rules::compile(mixed(WEIGHED));
    let before = resident();
    let weighed = Rules::compile(mixed(WEIGHED));
    let weight = (resident() - before) / weighed.len();
    drop((first, weighed));

    let busy = busy();
    let calm = calm(&busy);
    let mut thousand = shipped();
    thousand.extend(mixed(1_000 - thousand.len()));
    let sets = [("50", Rules::compile(shipped().into_iter().take(50).collect())), ("1,000", Rules::compile(thousand))];

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("detect");
    let records: u64 = calm.iter().map(bare).sum();
    group.throughput(Throughput::Elements(records));
    group.bench_function(BenchmarkId::from_parameter("no rules"), |b| b.iter(|| calm.iter().map(bare).sum::<u64>()));
    for (name, rules) in &sets {
        group.bench_function(BenchmarkId::from_parameter(format!("{name} rules")), |b| {
            b.iter(|| calm.iter().for_each(|file| drop(black_box(asked(file, rules)))));
        });
    }
    group.finish();
    criterion.final_summary();

    println!();
    for (kind, files) in [("calm", &calm), ("busy", &busy)] {
        for ((name, rules), wanted) in sets.iter().zip(["0.95", "0.8"]) {
            compare(kind, files, name, rules, wanted);
        }
    }
    figure("memory of a rule", format!("{weight} bytes"), "wanted: 2 KB or less");
}
