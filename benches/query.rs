//! SQL beside DuckDB, over the same files in the same run: groups of a month, and a sort that memory has no room for.
//! `TRAILWARDEN_ROWS` says how many rows (a million). The files are those of the warden's own writer, merged.
#![expect(clippy::disallowed_methods, reason = "a bench measures wall time")]

mod common;
#[path = "../tests/common/emulator.rs"]
#[allow(dead_code)]
mod emulator;
#[path = "common/history.rs"]
#[allow(dead_code)]
mod history;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{Scratch, figure, median, peak_rss, time};
use history::{Duck, TIMES, configure, fill, table};
use trailwarden::archive::Archive;
use trailwarden::archive::sql::{ArchiveTable, Engine, Limits, Verdicts, Window};
use trailwarden::store::archive::files;

/// Questions, each answered by both.
const GROUPS: [(&str, &str, &str); 3] = [
    ("groups of a month", "eventsource, eventname, recipientaccountid", "date >= '2026-03-01' AND date < '2026-04-01'"),
    (
        "groups by a nested field",
        "useridentity.sessioncontext.sessionissuer.username, awsregion",
        "date >= '2026-03-01' AND date < '2026-04-01'",
    ),
    (
        "groups of few rows",
        "eventname, sourceipaddress",
        "eventname = 'RunInstances' AND recipientaccountid = '111122220100'",
    ),
];

fn main() {
    if !common::is_bench() {
        return;
    }
    let rows = history::rows();
    let Some(python) = emulator::duckdb() else { return };
    let scratch = Scratch::new("query");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let config = configure(&scratch.0);
    let archive = runtime.block_on(fill(&config, rows));
    println!("{rows} rows");
    let all = runtime.block_on(table(&archive, &config));
    let mut duck = Duck::start(&python, &[]);
    for (what, columns, condition) in GROUPS {
        let select = |table: &str| {
            format!(
                "SELECT {columns}, count(*) AS n, count(errorcode) AS e FROM {table} WHERE {condition} GROUP BY {columns}"
            )
        };
        let mut groups = 0;
        let both = duck.beside(what, &[select(&all)], || {
            groups = runtime.block_on(in_process(&archive, &scratch.0, &select("cloudtrail")));
            groups
        });
        let whole: Vec<f64> = (0..TIMES).map(|_| asked(&config, &select("cloudtrail"), &[])).collect();
        figure(&format!("{what}: {groups} groups, in process"), format!("{:.0} ms", both.ours() * 1e3), "");
        figure(&format!("{what}: the whole program"), format!("{:.0} ms", median(whole) * 1e3), "");
        figure(&format!("{what}: DuckDB, in process, warm"), format!("{:.0} ms", both.floor() * 1e3), "");
        figure(&format!("{what}: our time of DuckDB's"), format!("{:.2}", 1.0 / both.ratio()), "wanted: at most 1.3");
        let peak = peak_rss(&mut ask(&config, &select("cloudtrail"), &[]));
        figure(&format!("{what}: peak RSS"), format!("{peak:.0} MB"), "");
    }
    drop(duck);
    let sort = "SELECT eventid, requestid, eventtime, useridentity.arn FROM cloudtrail ORDER BY requestid";
    figure("a sort of all rows", format!("{:.1} s", asked(&config, sort, &[])), "");
    let peak = peak_rss(&mut ask(&config, sort, &[]));
    figure("a sort of all rows: peak RSS, with 512 MiB", format!("{peak:.0} MB"), "wanted: bounded");
    let small = ["--memory", "64MiB"];
    let refused =
        ask(&config, "SELECT a.requestid FROM cloudtrail a JOIN cloudtrail b ON a.requestid = b.requestid", &small);
    figure("a join of all rows in 64 MiB", outcome(refused), "wanted: an answer, or a clear error");
}

/// Asks as the program does, and counts the rows of the answer.
async fn in_process(archive: &Archive, scratch: &Path, sql: &str) -> usize {
    let files = archive.store.read(|conn| files(conn, None)).await.expect("files");
    let table = ArchiveTable::new(archive.place.clone(), files, Arc::default());
    let verdicts = Verdicts { ask: Box::new(|logs| Ok(vec!["unknown"; logs.len()])), without: "imported" };
    let limits = Limits { memory: 512 << 20, spill: 20 << 30, scratch: scratch.to_owned() };
    let engine = Engine::new(&limits, Arc::new(table), verdicts, Window::default()).expect("an engine");
    let mut answer = engine.ask(sql, &[], 2).await.expect("an answer");
    let mut rows = 0;
    while let Some(batch) = answer.next().await {
        rows += batch.expect("rows").num_rows();
    }
    rows
}

fn ask(config: &Path, sql: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailwarden"));
    command.args(["query", sql, "--format", "csv", "--config"]).arg(config).args(more);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Seconds that the whole program took.
fn asked(config: &Path, sql: &str, more: &[&str]) -> f64 {
    time(|| {
        let output = ask(config, sql, more).stderr(Stdio::piped()).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    })
    .as_secs_f64()
}

fn outcome(mut command: Command) -> String {
    let output = command.stderr(Stdio::piped()).output().expect("it starts");
    match output.status.success() {
        true => "answered".into(),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            said.lines().find(|line| line.starts_with("error")).unwrap_or_default().to_owned()
        }
    }
}
