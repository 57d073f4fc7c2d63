//! The documentation says what the program does, or this fails. Blocks between `<!-- begin NAME -->` and `<!-- end NAME -->`
//! are made from the program; `TRAILWARDEN_BLESS=1 cargo test --test docs` writes them anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use trailwarden::cli::Cli;
use trailwarden::cmd::{Exit, Failure};
use trailwarden::config::Config;
use trailwarden::core::finding::Kind;
use trailwarden::core::grant::{GROUPS, Role};
use trailwarden::error::Error;
use trailwarden::metrics::{KindLabel, Metrics, Outcome, Sending};

/// Hand-written evidence shorter than this says nothing.
const LEAST_EVIDENCE: usize = 80;

#[test]
fn commands_are_documented_with_their_own_help() {
    let blocks = commands().into_iter().map(|(name, help)| (format!("help {name}"), format!("```text\n{help}\n```")));
    check("docs/commands.md", blocks.chain([("exit codes".into(), exit_table())]).collect());
}

#[test]
fn exit_codes_are_those_of_the_program() {
    // Whoever adds a way to end adds it here, to the help and to the table.
    let ends = |exit: Exit| match exit {
        Exit::Done | Exit::Bad | Exit::Unsure | Exit::Interrupted => exit.code(),
    };
    let fails = |failure: Failure| match failure {
        Failure::Config(_) | Failure::Usage(_) | Failure::Warden(_) | Failure::Io(_) => failure.code(),
    };
    let mut codes: BTreeSet<u8> = [Exit::Done, Exit::Bad, Exit::Unsure, Exit::Interrupted].map(ends).into();
    codes.extend([
        fails(Failure::Config(Config::from_text("[", "broken").unwrap_err())),
        fails(Failure::Usage(String::new())),
        fails(Failure::Warden(Error::fatal("ledger:open", "gone"))),
        fails(Failure::Io(std::io::Error::other("gone"))),
    ]);
    let told: BTreeSet<u8> = exit_codes().into_iter().map(|(code, _)| code).collect();
    assert_eq!(told, codes);
}

#[test]
fn metrics_are_documented() {
    check("docs/metrics.md", vec![("metrics".into(), metrics_table())]);
}

#[test]
fn every_kind_of_finding_has_its_section() {
    let mut blocks = vec![("kinds".to_owned(), kinds_table())];
    for kind in Kind::ALL {
        let (class, severity) = (kind.class(), kind.severity());
        let means = format!("*{class}, {severity}*: {}.\n\n**What it means.** {}", kind.title(), kind.means());
        blocks.push((format!("{kind} means"), means));
        blocks.push((format!("{kind} action"), format!("**What to do.** {}", kind.action())));
    }
    check("docs/findings.md", blocks);
    let text = read("docs/findings.md");
    let sections: Vec<&str> = text.split("\n## ").skip(1).collect();
    let titles: Vec<&str> = sections.iter().map(|section| section.lines().next().unwrap_or_default()).collect();
    for kind in Kind::ALL {
        // A heading's anchor is its own text, as these have neither capitals nor blanks.
        let url = kind.url();
        let anchor = url.split_once("findings.md#").map(|(_, anchor)| anchor);
        let section = anchor.and_then(|anchor| titles.iter().position(|title| *title == anchor));
        let section = sections[section.unwrap_or_else(|| panic!("no section for {kind} at {url}"))];
        let evidence =
            section.split_once("**Evidence.**").map(|(_, rest)| rest.split("<!--").next().unwrap_or_default());
        let evidence = evidence.unwrap_or_else(|| panic!("{kind} has no paragraph on its evidence")).trim();
        assert!(evidence.len() >= LEAST_EVIDENCE, "{kind}: `{evidence}` says too little of the evidence");
        assert!(section.contains(&format!("<!-- begin {kind} means -->")), "the block of {kind} is in another section");
    }
    let known: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let strangers: Vec<_> = titles.iter().filter(|title| title.contains('_') && !known.contains(*title)).collect();
    assert!(strangers.is_empty(), "sections about no kind: {strangers:?}");
}

#[test]
fn commands_in_the_documentation_are_understood_by_the_program() {
    let mut seen = 0;
    for path in files().iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        for line in console_lines(&fs::read_to_string(path).unwrap()) {
            let words = shell_words(&line);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let Some(args) = program_arguments(&words) else { continue };
            seen += 1;
            if let Err(error) = Cli::command().try_get_matches_from(["trailwarden"].iter().chain(args)) {
                let asks_only = matches!(
                    error.kind(),
                    clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
                );
                assert!(asks_only, "{}: `{line}`: {error}", path.display());
            }
        }
    }
    assert!(seen >= 10, "only {seen} commands were seen in the documentation: this test has gone blind");
    let readme = read("README.md");
    for wanted in ["cargo run --release -- demo", "cargo test"] {
        assert!(console_lines(&readme).iter().any(|line| line == wanted), "README.md does not show `{wanted}`");
    }
}

#[test]
fn every_key_of_the_configuration_is_explained() {
    let explained = read("docs/configuration.md");
    let reference = read("config/reference.toml");
    let mut seen = 0;
    for line in reference.lines() {
        let Some((key, _)) = line.trim_start_matches('#').split_once(" = ") else { continue };
        if !key.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.')) {
            continue;
        }
        seen += 1;
        let told = [format!("`{key}`"), format!(".{key}`")].iter().any(|key| explained.contains(key));
        assert!(told, "docs/configuration.md does not explain `{key}`");
    }
    assert!(seen > 50, "only {seen} keys were seen in config/reference.toml");
}

#[test]
fn what_an_audit_reads_is_what_the_doctor_tries_for_it() {
    let text = read("docs/posture.md");
    let table = text.split("\n\n").find(|part| part.starts_with("| what is read |")).expect("a table");
    let told: BTreeSet<&str> = table.split('`').skip(1).step_by(2).collect();
    let audit = GROUPS.iter().filter(|group| group.role == Role::Audit).flat_map(|group| group.actions);
    // The queue is looked at by whoever reads it.
    let of_queue = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"];
    assert_eq!(told, audit.map(|(action, _)| *action).chain(of_queue).collect());
}

#[test]
fn every_table_of_the_ledger_is_explained() {
    let told = read("docs/architecture.md");
    let mut seen = 0;
    for script in fs::read_dir(root().join("src/store/schema")).unwrap() {
        let script = fs::read_to_string(script.unwrap().path()).unwrap();
        for name in script.split("CREATE TABLE ").skip(1).filter_map(|rest| rest.split_whitespace().next()) {
            seen += 1;
            assert!(told.contains(&format!("`{name}`")), "docs/architecture.md does not explain the table `{name}`");
        }
    }
    assert!(seen > 10, "only {seen} tables were seen");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut seen = 0;
    for path in files().iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(path).unwrap();
        for (_, rest) in text.match_indices("](").map(|(at, mark)| (at, &text[at + mark.len()..])) {
            let Some((target, _)) = rest.split_once(')') else { continue };
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            seen += 1;
            let file = target.split('#').next().unwrap_or_default();
            assert!(path.parent().unwrap().join(file).exists(), "{}: there is no {target}", path.display());
        }
    }
    assert!(seen >= 10, "only {seen} links were seen");
}

/// A test is named as a link to the file that it stands in; and every story is told there.
#[test]
fn every_test_that_proves_a_guarantee_exists() {
    let guarantees = read("docs/guarantees.md");
    let mut seen = 0;
    for link in guarantees.split("[`").skip(1) {
        let Some((name, file)) = link.split_once("`](").and_then(|(name, rest)| Some((name, rest.split_once(')')?.0)))
        else {
            continue;
        };
        if !file.ends_with(".rs") {
            continue;
        }
        seen += 1;
        let source = read(&format!("docs/{file}"));
        let stands = source.lines().collect::<Vec<_>>().windows(2).any(|two| {
            let [above, line] = two else { return false };
            let line = line.trim_start().trim_start_matches("async ");
            above.trim_start().starts_with("#[") && line.starts_with(&format!("fn {name}("))
        });
        assert!(stands, "docs/guarantees.md names the test `{name}`, which {file} does not have");
    }
    assert!(seen > 40, "only {seen} tests were seen in docs/guarantees.md");
    for file in ["custody", "sight"] {
        let source = read(&format!("tests/stories/{file}.rs"));
        for story in source.split("\n#[").skip(1).filter_map(|rest| rest.split("fn ").nth(1)?.split('(').next()) {
            let link = format!("[`{story}`](../tests/stories/{file}.rs)");
            assert!(guarantees.contains(&link), "docs/guarantees.md does not name the story `{story}`");
        }
    }
    for row in 1..=12 {
        assert!(guarantees.contains(&format!("\n| {row} | ")), "docs/guarantees.md has no story {row}");
    }
}

#[test]
fn the_old_tls_stack_is_not_locked() {
    // rustls-webpki 0.101 came with the AWS SDK's legacy TLS feature and has known vulnerabilities.
    let lock = read("Cargo.lock");
    let versions: Vec<&str> = lock
        .split("[[package]]")
        .filter(|package| package.contains("\nname = \"rustls-webpki\"\n"))
        .filter_map(|package| package.split_once("version = \"")?.1.split('"').next())
        .collect();
    assert!(!versions.is_empty(), "rustls-webpki is not locked at all: drop this test");
    assert!(versions.iter().all(|version| !version.starts_with("0.101.")), "{versions:?}");
}

#[test]
fn no_work_is_left_open_and_no_path_of_a_machine_is_told() {
    // Put together, so that this file does not find itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["/wo", "rk/"], ["/fa", "rm/"], ["/ro", "ot/"], ["/Us", "ers/"]];
    let words = words.map(|parts| parts.concat());
    let mut found = Vec::new();
    for path in files() {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Every dependency line gives its reason, on the line before it.
#[test]
fn dependencies_give_their_reason() {
    let text = read("Cargo.toml");
    let (mut section, mut before, mut seen) = ("", "", 0);
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.contains("dependencies]") && line.contains('=') {
            seen += 1;
            assert!(before.starts_with("# "), "Cargo.toml: `{line}` gives no reason");
        }
        before = line;
    }
    assert!(seen > 30, "only {seen} dependencies were seen");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Compares the blocks of a file with what the program says, or writes them.
fn check(path: &str, blocks: Vec<(String, String)>) {
    let bless = std::env::var_os("TRAILWARDEN_BLESS").is_some_and(|value| value == "1");
    let mut text = read(path);
    let mut wrong = Vec::new();
    for (name, wanted) in &blocks {
        let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("\n<!-- end {name} -->"));
        let from = text.find(&begin).map(|at| at + begin.len());
        let until = from.and_then(|from| text[from - 1..].find(&end).map(|at| from - 1 + at));
        let (Some(from), Some(until)) = (from, until) else {
            panic!("{path} has no block between {begin} and {end}");
        };
        let held = if until < from { "" } else { &text[from..until] };
        if held == wanted {
            continue;
        }
        wrong.push(format!("block `{name}` says\n{held}\n\nthe program says\n{wanted}\n"));
        text.replace_range(from..until.max(from), &if until < from { format!("{wanted}\n") } else { wanted.clone() });
    }
    let marked = text.matches("<!-- begin ").count();
    assert_eq!(marked, blocks.len(), "{path} has {marked} blocks, the program makes {}", blocks.len());
    if bless && !wrong.is_empty() {
        fs::write(root().join(path), text).unwrap();
    } else {
        let hint = "TRAILWARDEN_BLESS=1 cargo test --test docs";
        assert!(wrong.is_empty(), "{path} is not what the program says; `{hint}` writes it anew\n{}", wrong.join("\n"));
    }
}

/// Every verb with its help, `findings` before `findings list`.
fn commands() -> Vec<(String, String)> {
    let mut whole = Cli::command().term_width(100).mut_args(|arg| arg.hide_env_values(true));
    whole.build();
    let mut found = vec![("trailwarden".to_owned(), help(&whole))];
    gather(&whole, "", &mut found);
    found
}

fn gather(command: &Command, above: &str, found: &mut Vec<(String, String)>) {
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let name = format!("{above}{}", verb.get_name());
        found.push((name.clone(), help(verb)));
        gather(verb, &format!("{name} "), found);
    }
}

fn help(command: &Command) -> String {
    let text = command.clone().term_width(100).render_long_help().to_string();
    text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Codes and meanings, out of the help that the program prints.
fn exit_codes() -> Vec<(u8, String)> {
    let help = Cli::command().get_after_help().unwrap().to_string();
    let lines = help.lines().skip(1).map(|line| line.trim().split_once(' ').unwrap());
    lines.map(|(code, meaning)| (code.parse().unwrap(), meaning.trim().to_owned())).collect()
}

fn exit_table() -> String {
    let rows: String = exit_codes().iter().map(|(code, meaning)| format!("\n| {code} | {meaning} |")).collect();
    format!("| code | meaning |\n| --- | --- |{rows}")
}

/// One row for each metric that `/metrics` would print.
fn metrics_table() -> String {
    let metrics = Metrics::default();
    // A family prints nothing before it has a member.
    for family in [&metrics.messages, &metrics.notices, &metrics.digests, &metrics.scrubbed, &metrics.reconciled] {
        let _ = family.get_or_create(&Outcome { outcome: "x" });
    }
    let _ = metrics.findings.get_or_create(&KindLabel { kind: "x" });
    let _ = metrics.alerts.get_or_create(&Sending { channel: "x".into(), outcome: "x" });
    let page = metrics.render();
    let mut rows = Vec::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, help) = line.split_once(' ').unwrap();
        let kind = page.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).unwrap();
        let sample = page.lines().find(|line| line.starts_with(name)).unwrap();
        let (full, labels) = sample.split_once('{').unwrap_or((sample.split(' ').next().unwrap(), ""));
        let labels: Vec<String> = labels
            .split('}')
            .next()
            .unwrap()
            .split(',')
            .filter_map(|label| label.split_once('=').map(|(name, _)| format!("`{name}`")))
            .collect();
        let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
        rows.push(format!("| `{full}` | {kind} | {labels} | {} |", help.trim_end_matches('.')));
    }
    rows.sort();
    let declared = read("src/metrics.rs");
    let fields =
        declared.split_once("pub struct Metrics {").unwrap().1.split('}').next().unwrap().matches("pub ").count();
    assert_eq!(rows.len(), fields, "a metric is declared and not registered, or its family is not touched here");
    format!("| metric | type | labels | what it counts |\n| --- | --- | --- | --- |\n{}", rows.join("\n"))
}

fn kinds_table() -> String {
    let mut table = "| kind | class | severity | in short |\n| --- | --- | --- | --- |".to_owned();
    for kind in Kind::ALL {
        table.push_str(&format!(
            "\n| [`{kind}`](#{kind}) | {} | {} | {} |",
            kind.class(),
            kind.severity(),
            kind.title()
        ));
    }
    table
}

/// What stands after `$ ` in blocks marked `console`, continued lines put together.
fn console_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let (mut inside, mut open) = (false, false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = line.trim() == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        let command = line.trim_start().strip_prefix("$ ");
        let part = match command {
            Some(command) => command,
            None if open => line.trim(),
            None => continue,
        };
        let whole = part.trim_end_matches('\\').trim();
        match (open, lines.last_mut()) {
            (true, Some(last)) => last.push_str(&format!(" {whole}")),
            _ => lines.push(whole.to_owned()),
        }
        open = part.ends_with('\\');
    }
    lines
}

/// Words at blanks, with what stands between double quotes in one.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (number, part) in line.split('"').enumerate() {
        let mut pieces = part.split(' ');
        let quoted = number % 2 == 1;
        let first = if quoted { part } else { pieces.next().unwrap_or_default() };
        words.last_mut().unwrap().push_str(first);
        if !quoted {
            words.extend(pieces.map(str::to_owned));
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The arguments that a command line gives to the program, if it starts the program.
fn program_arguments<'a>(words: &'a [&'a str]) -> Option<&'a [&'a str]> {
    let words = match words.iter().position(|word| matches!(*word, "|" | ">" | "#" | "&&")) {
        Some(end) => &words[..end],
        None => words,
    };
    match words {
        ["sudo", rest @ ..] => program_arguments(rest),
        ["trailwarden", rest @ ..] => Some(rest),
        ["cargo", "run", rest @ ..] => rest.iter().position(|word| *word == "--").map(|at| &rest[at + 1..]),
        _ => None,
    }
}

/// Every file of the repository that people write.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    gather_files(&root(), &mut found);
    assert!(found.iter().any(|path| path.ends_with(".ci/run")), ".ci/run was not seen");
    found
}

fn gather_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name == "target" || name == "Cargo.lock" || (name.starts_with('.') && name != ".ci") {
            continue;
        }
        if path.is_dir() {
            gather_files(&path, found);
        } else {
            found.push(path);
        }
    }
}
