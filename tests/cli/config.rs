//! A broken configuration is told by file, line and caret, and ends every verb with exit code 3.

use crate::common::warden::{stderr, stdout, verb};

const GOOD: &str = r#"
[organization]
members = "members.toml"

[[trail]]
name = "org"
bucket = "file:///nowhere/bucket"
queue = "file:///nowhere/spool"
keys = "keys"

[verify]
grace = "90m"

[channel.hook]
kind = "webhook"
url = { file = "hook-url" }

[[route]]
to = ["hook"]

[state]
path = "state.db"
"#;

/// Writes a configuration, with the file that it names.
fn written(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("warden.toml");
    std::fs::write(&config, text).expect("a file");
    std::fs::write(dir.path().join("hook-url"), "https://hook.example/secret-path\n").expect("a file");
    std::fs::write(dir.path().join("members.toml"), "").expect("a file");
    (dir, config)
}

#[test]
fn a_good_file_is_good_and_its_meaning_is_printed_without_secrets() {
    let (_dir, config) = written(GOOD);
    let output = verb(&config, &["check-config"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("warden.toml is good: 1 trail"), "{}", stdout(&output));
    let output = verb(&config, &["check-config", "--print"]);
    let meaning = stdout(&output);
    assert_eq!(output.status.code(), Some(0));
    for part in ["verify.grace", "90m", "verify.sweep", "5m", "/nowhere/bucket", "webhook"] {
        assert!(meaning.contains(part), "{part}: {meaning}");
    }
    assert!(!meaning.contains("secret-path"), "{meaning}");
}

#[test]
fn a_bad_file_is_told_with_line_and_caret() {
    for (old, new, line, culprit, says) in [
        ("grace = \"90m\"", "grase = \"90m\"", 12, "grase", "unknown"),
        ("grace = \"90m\"", "grace = \"90 parsecs\"", 12, "\"90 parsecs\"", "90 parsecs"),
        ("grace = \"90m\"", "grace = 90", 12, "90", ""),
        ("keys = \"keys\"", "keys = \"keys\"\nowner = \"12\"", 10, "\"12\"", "12"),
        ("to = [\"hook\"]", "to = [\"hook\", \"nobody\"]", 19, "\"nobody\"", "there is no [channel.nobody]"),
        ("kind = \"webhook\"", "kind = \"pigeon\"", 15, "\"pigeon\"", "pigeon"),
        ("[verify]", "[verify", 11, "", ""),
        ("bucket = \"file:///nowhere/bucket\"\n", "", 5, "", "no `bucket`"),
    ] {
        let (_dir, config) = written(&GOOD.replacen(old, new, 1));
        for args in [&["check-config"][..], &["run"], &["status"]] {
            let output = verb(&config, args);
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(3), "{new}: {said}");
            assert!(said.contains(&format!("warden.toml:{line}:")), "{new}: {said}");
            assert!(said.contains(says), "{new}: {said}");
            let caret = said.lines().rfind(|text| text.contains('^')).unwrap_or_default();
            if !culprit.is_empty() {
                assert_eq!(caret.matches('^').count(), culprit.chars().count(), "{new}: {said}");
            }
            assert!(!caret.is_empty(), "{new}: {said}");
            assert!(output.stdout.is_empty(), "{new}: {}", stdout(&output));
        }
    }
}

#[test]
fn a_missing_secret_is_told_by_its_place() {
    let (dir, config) = written(GOOD);
    std::fs::remove_file(dir.path().join("hook-url")).expect("removed");
    let output = verb(&config, &["run"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("hook-url") && said.contains("warden.toml:16:") && said.contains('^'), "{said}");

    let (_dir, config) = written(&GOOD.replacen("{ file = \"hook-url\" }", "{ credential = \"hook\" }", 1));
    let output = verb(&config, &["check-config"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("credential `hook`") && said.contains("CREDENTIALS_DIRECTORY"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = verb(std::path::Path::new("/nowhere/warden.toml"), &["status"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("/nowhere/warden.toml"), "{}", stderr(&output));
}
