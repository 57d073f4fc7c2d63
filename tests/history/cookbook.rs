//! docs/cookbook.md, played: each of its commands is typed in the world that it is about, and answers what the document says.
//! `TRAILWARDEN_BLESS=1 cargo test --features sql --test history query_cookbook` writes the answers anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use trailwarden::core::finding::Kind;
use trailwarden::core::gzip::{Caps, inflate};
use trailwarden::world::{PLANTABLE, Scale, Step, World};

use crate::common::warden::{run, stderr, stdout, verb};

const SEED: u64 = 7;
const UNTIL: &str = "2026-03-02";
/// Investigations that the document promises.
const PROMISED: usize = 25;
/// Columns and lines that can still be read on a page.
const WIDEST: usize = 200;
const LONGEST: usize = 20;

/// A part of the document: as it stands, or a command with its answer.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Typed { lines: String, answer: String },
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cookbook.md")
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let (mut inside, mut open) = (false, false);
    for line in text.split_inclusive('\n') {
        if line.starts_with("```") {
            inside = line.trim() == "```console";
            parts.push(Part::Text(line.to_owned()));
        } else if inside && (open || line.starts_with("$ ")) {
            match parts.last_mut() {
                Some(Part::Typed { lines, .. }) if open => lines.push_str(line),
                _ => parts.push(Part::Typed { lines: line.to_owned(), answer: String::new() }),
            }
            open = line.trim_end().ends_with('\\');
        } else {
            match parts.last_mut() {
                Some(Part::Typed { answer, .. }) if inside => answer.push_str(line),
                Some(Part::Text(text)) => text.push_str(line),
                _ => parts.push(Part::Text(line.to_owned())),
            }
        }
    }
    parts
}

/// What a shell says to it.
fn type_in(world: &Path, lines: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_trailwarden"));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(program.parent().expect("a folder").to_owned()).chain(std::env::split_paths(&paths));
    let typed = Command::new("sh")
        .args(["-c", lines.trim_start_matches("$ ")])
        .current_dir(world)
        .env_clear()
        .env("PATH", std::env::join_paths(paths).expect("paths"))
        .env("TRAILWARDEN_CONFIG", "trailwarden.toml")
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    assert_eq!(typed.status.code(), Some(0), "{lines}: {}", stderr(&typed));
    stdout(&typed)
}

/// The answer without the lines that the document shows once for all: up to where each of them reaches.
fn without_horizon(text: &str, answer: &str) -> String {
    let (_, horizon) = text.split_once("```text\n").expect("the horizon is shown");
    let (horizon, _) = horizon.split_once("```").expect("a block ends");
    let horizon: Vec<&str> = horizon.lines().collect();
    assert!(answer.lines().any(|line| line == horizon[0]), "an answer says up to where it reaches:\n{answer}");
    answer.lines().filter(|line| !horizon.contains(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn query_cookbook_answers_as_it_says() {
    let text = std::fs::read_to_string(document()).expect("the cookbook");
    let dir = tempfile::tempdir().expect("a directory");
    let world = dir.path().join("world");
    let played =
        run(&["demo", "--once", "--seed", &SEED.to_string(), "--until", UNTIL, "--dir", world.to_str().expect("text")]);
    assert_eq!(played.status.code(), Some(0), "{}", stderr(&played));
    let set_up = format!("$ trailwarden demo --once --seed {SEED} --until {UNTIL} --dir ./world\n");
    let (mut made, mut asked) = (String::new(), 0);
    for part in parts(&text) {
        match part {
            Part::Typed { lines, .. } if lines.starts_with("$ trailwarden ") && lines != set_up => {
                let answer = without_horizon(&text, &type_in(&world, &lines));
                let (long, wide) = (answer.lines().count(), answer.lines().map(|line| line.chars().count()).max());
                assert!(long <= LONGEST && wide.unwrap_or(0) <= WIDEST, "too long or too wide:\n{lines}{answer}");
                asked += 1;
                made.push_str(&lines);
                made.push_str(&answer);
            }
            Part::Typed { lines, answer } => made.extend([lines, answer]),
            Part::Text(text) => made.push_str(&text),
        }
    }
    let investigations = text.lines().filter(|line| line.starts_with("### ")).count();
    assert_eq!((investigations, text.matches(&set_up).count()), (PROMISED, 1));
    assert!(asked >= PROMISED, "{asked}");
    if std::env::var_os("TRAILWARDEN_BLESS").is_some() {
        std::fs::write(document(), &made).expect("it can be written");
    } else {
        let differs = text.lines().zip(made.lines()).find(|(told, made)| told != made);
        assert!(text == made, "the document has fallen behind; it says, and the program:\n{differs:#?}");
    }
    holds_the_story(&world);
}

/// What came from the intruder's addresses is in the archive, byte for byte, once, and proven: so the document tells all of it.
fn holds_the_story(dir: &Path) {
    let kinds = [PLANTABLE, &[Kind::EvidenceChainChanged, Kind::RuleFired]].concat();
    let start = "2026-03-01T00:00:00Z".parse().expect("a time");
    let mut world = World::with_trouble(SEED, Scale::demo(), start, &kinds).expect("a world");
    let addresses = ["192.0.2.201", "192.0.2.215"];
    let mut wanted = BTreeSet::new();
    while let Some(hour) = world.next_hour().expect("an hour") {
        for happening in hour.happenings {
            let Step::Put { body, .. } = happening.step else { continue };
            let Ok(file) = inflate(&body, Caps::default()) else { continue };
            let Ok(file) = serde_json::from_slice::<Value>(&file.bytes) else { continue };
            for record in file["Records"].as_array().into_iter().flatten() {
                let is_his = addresses.iter().any(|address| record["sourceIPAddress"] == *address);
                wanted.extend(is_his.then(|| record.to_string()));
            }
        }
    }
    let [one, two] = addresses;
    let config = dir.join("trailwarden.toml");
    let asked = verb(&config, &["lookup", "--source-ip", one, "--source-ip", two, "--format", "json"]);
    let found: Vec<String> =
        stdout(&asked).lines().map(|line| serde_json::from_str::<Value>(line).expect("a record").to_string()).collect();
    assert!(wanted.len() >= 60, "{}", wanted.len());
    assert_eq!((found.len(), found.into_iter().collect::<BTreeSet<_>>()), (wanted.len(), wanted));
    assert!(stderr(&asked).contains("records: ") && stderr(&asked).contains(" verified\n"), "{}", stderr(&asked));
}

#[test]
fn query_cookbook_is_taken_apart_into_what_is_typed_and_what_is_answered() {
    let text = "a\n```console\n$ one \\\n  two\nanswer\n$ three\n```\nb\n```sql\n$ no\n```\n";
    let typed = |lines: &str, answer: &str| Part::Typed { lines: lines.into(), answer: answer.into() };
    let plain = |text: &str| Part::Text(text.into());
    assert_eq!(
        parts(text),
        [
            plain("a\n"),
            plain("```console\n"),
            typed("$ one \\\n  two\n", "answer\n"),
            typed("$ three\n", ""),
            plain("```\nb\n"),
            plain("```sql\n$ no\n"),
            plain("```\n")
        ]
    );
}
