//! Coverage of a month at size: a thousand accounts in seventeen regions, out of a ledger that has folded half of it and holds
//! the rows of the other half, with trouble here and there. The whole process is measured, start-up included.
#![expect(clippy::disallowed_methods, reason = "a bench measures wall time")]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::{Scratch, figure, median, peak_rss, time};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use trailwarden::core::id::AccountId;
use trailwarden::core::unit::OuPath;
use trailwarden::env::Env;
use trailwarden::seam::{Member, MemberState};
use trailwarden::store::{Store, members, objects};

const ACCOUNTS: usize = 1_000;
const REGIONS: usize = 17;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// Hours before the month, hours that are folded, hours whose digests have rows.
const BEFORE: i64 = 30 * 24;
const FOLDED: i64 = 16 * 24;
const OPEN: i64 = 14 * 24;

fn main() {
    if !common::is_bench() {
        return;
    }
    let scratch = Scratch::new("coverage");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let mut peaks = Vec::new();
    for accounts in [ACCOUNTS / 10, ACCOUNTS] {
        let dir = scratch.0.join(accounts.to_string());
        std::fs::create_dir_all(&dir).expect("the disk takes it");
        let digests = runtime.block_on(fill(&dir.join("state.db"), accounts));
        let config = configure(&dir);
        peaks.push(peak_rss(&mut ask(&config, &[])));
        if accounts < ACCOUNTS {
            continue;
        }
        println!("{accounts} accounts, {} chains, {digests} digests with rows", accounts * REGIONS);
        for (what, args) in [("as a calendar", &[][..]), ("as JSON, every hour", &["--json"])] {
            let mut took: Vec<f64> = (0..7).map(|_| time(|| run(&config, args)).as_secs_f64()).collect();
            took.sort_by(f64::total_cmp);
            figure(&format!("a month of coverage {what}, median"), format!("{:.2} s", median(took.clone())), "");
            figure("the same, slowest of seven", format!("{:.2} s", took[took.len() - 1]), "wanted: under 2 s");
        }
        peaks.push(peak_rss(&mut ask(&config, &["--json"])));
    }
    figure(&format!("peak RSS, {} accounts", ACCOUNTS / 10), format!("{:.0} MB", peaks[0]), "");
    figure(&format!("peak RSS, {ACCOUNTS} accounts"), format!("{:.0} MB", peaks[1]), "wanted: flat");
    figure(&format!("peak RSS, {ACCOUNTS} accounts, as JSON"), format!("{:.0} MB", peaks[2]), "wanted: flat");
}

fn ask(config: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailwarden"));
    command.args(["coverage", "--from", "30d", "--config"]).arg(config).args(more);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn run(config: &Path, more: &[&str]) {
    let status = ask(config, more).status().expect("the program starts");
    assert_eq!(status.code(), Some(4), "there are holes");
}

fn configure(dir: &Path) -> std::path::PathBuf {
    let config = dir.join("trailwarden.toml");
    let text = "[organization]\nmembers = \"members.toml\"\n[[trail]]\nname = \"org\"\nbucket = \"file://bucket\"\n\
                queue = \"file://spool\"\nkeys = \"keys\"\n[state]\npath = \"state.db\"\n[http]\nlisten = \"off\"\n";
    let text = text.replace("file://", &format!("file://{}/", dir.display()));
    std::fs::write(&config, text).expect("the disk takes it");
    config
}

/// Written past the warden's own way, which would take an hour. Of what is written, `proven` is put together by the ledger's own
/// view, as in a migration.
async fn fill(path: &Path, accounts: usize) -> usize {
    let env = Env::system();
    let now = env.now();
    let store = Store::open(path, &env).await.expect("a ledger");
    let units =
        ["Root/Security", "Root/Workloads/Prod", "Root/Workloads/Dev", "Root/Workloads/Prod/Payments", "Root/Sandbox"];
    let member = move |nth: usize| Member {
        account: account(nth),
        name: format!("account-{nth}"),
        ou: OuPath::of_names(units[nth % units.len()]),
        state: if nth % 97 == 5 { MemberState::Suspended } else { MemberState::Active },
        // Some came this month.
        joined: Some(now - SignedDuration::from_hours(if nth % 20 == 3 { (nth % 600) as i64 } else { 20_000 })),
    };
    let step = move |tx: &trailwarden::store::Tx<'_>| {
        objects::source_id(tx, "org")?;
        members::put(tx, &(0..accounts).map(member).collect::<Vec<_>>())
    };
    store.write(step).await.expect("a step");
    drop(store);
    rows(&Connection::open(path).expect("the ledger opens"), accounts, now)
}

fn account(nth: usize) -> AccountId {
    AccountId::parse(&format!("{:012}", 100_000_000_007_u64 * (nth as u64 + 1) % 999_999_999_989)).expect("an account")
}

fn rows(conn: &Connection, accounts: usize, now: Timestamp) -> usize {
    let fast = "PRAGMA synchronous = off; PRAGMA cache_size = -200000; BEGIN";
    conn.execute_batch(fast).expect("it is a ledger");
    let hour = now.as_second().div_euclid(HOUR) * HOUR;
    let mut digests = 0;
    let (mut die, hash) = (fastrand::Rng::with_seed(3), [7_u8; 32]);
    for nth in 0..accounts {
        for place in 0..REGIONS {
            let second = die.i64(..HOUR);
            let begin = match nth % 20 {
                3 => hour - HOUR * (nth % 600) as i64,
                _ => hour - HOUR * (BEFORE + FOLDED + OPEN),
            } + second;
            let silent = nth % 333 == 10;
            let end = if silent { hour - DAY } else { hour } - HOUR + second;
            conn.prepare_cached("INSERT INTO chains VALUES (NULL, 1, ?1, ?2, ?3, 'org-main', 'us-east-1', 0, ?4, ?5)")
                .and_then(|mut put| {
                    let root = format!("AWSLogs/o-a1b2c3d4e5/{}/", account(nth));
                    put.execute(params![root, account(nth).as_str(), format!("xx-place-{place}"), begin, end])
                })
                .expect("a chain");
            let chain = conn.last_insert_rowid();
            let open = (end - OPEN * HOUR).max(begin);
            if open > begin {
                conn.execute("INSERT INTO spans VALUES (?1, ?2, ?3, 9, 9)", [chain, begin, open]).expect("a span");
            }
            let gap = die.u8(..50) == 0;
            let gap = if gap { open + HOUR * die.i64(10..200)..open + HOUR * die.i64(200..220) } else { 0..0 };
            let mut put = conn
                .prepare_cached(
                    "INSERT INTO links (chain, end, start, verdict, joined, sha, signature, prev_end, prev_sha, prev_signature, logs, seen)
                     VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5, ?3, ?5, ?5, 4, ?2)",
                )
                .expect("a statement");
            for start in (open..end).step_by(HOUR as usize).filter(|start| !gap.contains(start)) {
                let verdict = i64::from(die.u16(..2_000) > 0);
                put.execute(params![chain, start + HOUR, start, verdict, hash]).expect("a digest");
                digests += 1;
            }
        }
    }
    conn.execute_batch("COMMIT").expect("the disk takes it");
    let took = time(|| conn.execute_batch("INSERT INTO proven SELECT * FROM proof").expect("the disk takes it"));
    println!("what {digests} digests prove was put together in {took:.1?}, as the migration does");
    digests
}
