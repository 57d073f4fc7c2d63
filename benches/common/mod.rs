//! What the benches share: a typical world on disk, times taken side by side, the figures at the end.
#![allow(dead_code)]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rusqlite::{Connection, params};
use trailwarden::core::gzip::{self, Caps};
use trailwarden::env::Env;
use trailwarden::world::stage::Stage;
use trailwarden::world::{Scale, Step, World};

/// Records of a log file of common size.
pub const RECORDS: (u32, u32) = (93, 93);

/// `cargo bench` says so; `cargo test --benches` does not, and measures nothing.
pub fn is_bench() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}

/// A directory under the build directory, empty at first and gone at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("the build directory can be written");
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A log file in the bucket.
pub struct Log {
    pub key: String,
    pub path: PathBuf,
    pub stored: u64,
}

/// A world that nobody tampers with, played into a directory: bucket, keys, members; messages in memory.
pub struct Played {
    pub dir: PathBuf,
    pub world: World,
    pub logs: Vec<Log>,
    pub digests: usize,
    pub messages: Vec<Vec<u8>>,
}

/// Plays a whole world whose last hour has just ended. Nothing is synced: the disk is warm and the benches sync on their own.
pub fn play(dir: &Path, scale: Scale) -> Played {
    let env = Env::system();
    let start = env.now() - SignedDuration::from_hours(i64::from(scale.hours) + 1);
    let mut world = World::clean(7, scale, start).expect("a world can be made");
    let stage = Stage::set(dir, &world, &env).expect("the stage can be set");
    let (mut logs, mut digests, mut messages) = (Vec::new(), 0, Vec::new());
    while let Some(hour) = world.next_hour().expect("hours go on") {
        for happening in hour.happenings {
            match &happening.step {
                Step::Message { body } => {
                    messages.push(body.clone());
                    continue;
                }
                Step::Put { key, .. } if key.contains("/CloudTrail-Digest/") => digests += 1,
                Step::Put { key, body, .. } if key.contains("/CloudTrail/") => {
                    logs.push(Log { key: key.clone(), path: dir.join("bucket").join(key), stored: body.len() as u64 })
                }
                _ => {}
            }
            stage.play(&happening).expect("the disk takes it");
        }
    }
    Played { dir: dir.to_owned(), world, logs, digests, messages }
}

impl Played {
    /// Puts messages into a spool as a sender would, but without its syncs.
    pub fn fill(spool: &Path, messages: &[Vec<u8>]) {
        for folder in ["tmp", "new", "cur", "done"] {
            fs::create_dir_all(spool.join(folder)).expect("the disk takes it");
        }
        for (nth, body) in messages.iter().enumerate() {
            let name = format!("{:016}-{nth:06}-0123456789abcdef", 1_700_000_000_000_000_u64);
            fs::write(spool.join("new").join(name), body).expect("the disk takes it");
        }
    }

    /// Keys like those of a log, and a message for each that gives its size as `size`; every second does not own up to it.
    pub fn more(&self, names: std::ops::Range<usize>, size: usize) -> Vec<(String, Vec<u8>)> {
        let model = self.logs.iter().find_map(|log| {
            let named = |body: &&Vec<u8>| {
                let text = String::from_utf8_lossy(body);
                text.contains(&log.key) && text.contains("ObjectCreated") && text.matches("json.gz").count() == 1
            };
            Some((log, String::from_utf8(self.messages.iter().find(named)?.clone()).ok()?))
        });
        let (log, message) = model.expect("some log is announced by a message of its own");
        let name = log.key.trim_end_matches(".json.gz");
        let (told, honest) = (format!("\"size\":{}", log.stored), format!("\"size\":{size}"));
        names
            .map(|nth| {
                let key = format!("{}{nth:04}.json.gz", &name[..name.len() - 4]);
                let message = message.replace(&log.key, &key);
                let message = if nth % 2 == 0 { message.replace(&told, &honest) } else { message };
                (key, message.into_bytes())
            })
            .collect()
    }

    /// A log as large as CloudTrail makes them, compressed: the records of a common one, again and again.
    pub fn large(&self, inflated: usize) -> Vec<u8> {
        let stored = fs::read(&self.logs.first().expect("a world has logs").path).expect("it was written");
        let raw = gzip::inflate(&stored, Caps::default()).expect("a made file inflates").bytes;
        let raw = String::from_utf8(raw).expect("a made file is UTF-8");
        let records = raw.trim_start_matches("{\"Records\":[").trim_end_matches("]}");
        gzip::deflate(format!("{{\"Records\":[{}]}}", vec![records; inflated / records.len()].join(",")).as_bytes())
    }

    /// A configuration over the played directories, with ledger and spool under `work`.
    pub fn config(&self, work: &Path) -> PathBuf {
        let (dir, name) = (self.dir.display(), &self.world.bucket);
        let bucket = format!("bucket = \"file://{dir}/bucket\"\nbucket_name = \"{name}\"");
        self.config_of(work, &bucket, &format!("file://{}/spool", work.display()))
    }

    /// The same with other lines for the bucket, and another queue.
    pub fn config_of(&self, work: &Path, bucket: &str, queue: &str) -> PathBuf {
        let text = format!(
            r#"[organization]
id = "{org}"
members = "{dir}/members.toml"

[[trail]]
name = "org"
{bucket}
region = "{region}"
queue = "{queue}"
layout = ["AWSLogs/{{org}}/{{account}}/", "AWSLogs/{{account}}/"]
keys = "{dir}/keys"

[channel.none]
kind = "stdout"

[[route]]
to = ["none"]

[state]
path = "{work}/state.db"

[http]
listen = "off"
"#,
            org = self.world.org,
            region = self.world.regions.first().expect("a world has regions"),
            dir = self.dir.display(),
            work = work.display(),
        );
        let path = work.join("trailwarden.toml");
        fs::write(&path, text).expect("the disk takes it");
        path
    }
}

/// Nothing but rows of the ledger's size and the syncs that make them durable.
pub fn bare_commits(dir: &Path, objects: u64) -> Duration {
    let path = dir.join("bare.db");
    for name in ["bare.db", "bare.db-wal", "bare.db-shm"] {
        let _ = fs::remove_file(dir.join(name));
    }
    let conn = Connection::open(path).expect("a database opens");
    conn.pragma_update(None, "journal_mode", "wal").expect("it is known");
    conn.pragma_update(None, "synchronous", "full").expect("it is known");
    conn.execute_batch(
        "CREATE TABLE objects (key TEXT PRIMARY KEY, sha BLOB, size INTEGER, seen INTEGER) WITHOUT ROWID",
    )
    .expect("it is SQL");
    time(|| {
        for number in 0..objects {
            if number % 64 == 0 {
                conn.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
            }
            let key = format!("AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail/eu-west-1/2026/03/01/{number:060}.json.gz");
            conn.prepare_cached("INSERT INTO objects VALUES (?1, ?2, ?3, ?4)")
                .and_then(|mut insert| insert.execute(params![key, [7_u8; 32], 20_480, 1_800_000_000]))
                .expect("it is a row");
            if number % 64 == 63 || number + 1 == objects {
                conn.execute_batch("COMMIT").expect("the disk takes it");
            }
        }
    })
}

pub fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    black_box(work());
    begun.elapsed()
}

/// Runs a command to its end and watches its memory. In megabytes.
pub fn peak_rss(command: &mut Command) -> f64 {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0_f64;
    while child.try_wait().expect("a child can be asked").is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        peak = peak.max(kibibytes.unwrap_or(0.0) * 1024.0 / 1e6);
        std::thread::sleep(Duration::from_millis(5));
    }
    peak
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One figure beside its floor: both are taken in turn, so that whatever else the machine does meets both.
#[derive(Default)]
pub struct Beside {
    floor: Vec<f64>,
    ours: Vec<f64>,
}

impl Beside {
    pub fn push(&mut self, floor: Duration, ours: Duration) {
        self.floor.push(floor.as_secs_f64());
        self.ours.push(ours.as_secs_f64());
    }

    pub fn rounds(rounds: usize, mut floor: impl FnMut() -> Duration, mut ours: impl FnMut() -> Duration) -> Self {
        let mut beside = Self::default();
        for _ in 0..rounds {
            let of_floor = floor();
            beside.push(of_floor, ours());
        }
        beside
    }

    /// Medians in seconds.
    pub fn floor(&self) -> f64 {
        median(self.floor.clone())
    }

    pub fn ours(&self) -> f64 {
        median(self.ours.clone())
    }

    /// Our throughput as a part of the floor's, for the same amount of work.
    pub fn ratio(&self) -> f64 {
        median(self.floor.iter().zip(&self.ours).map(|(floor, ours)| floor / ours).collect())
    }
}

/// A line of the closing table.
pub fn figure(what: &str, value: impl std::fmt::Display, wanted: &str) {
    println!("{what:<64} {value:>12}   {wanted}");
}
