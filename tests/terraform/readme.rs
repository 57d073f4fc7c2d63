//! Each module and example says in its README what it takes and what it gives.

use std::path::Path;

use crate::tool::root;

/// A block `variable "x"` or `output "x"`, as far as a table tells it.
struct Said {
    name: String,
    description: String,
    default: Option<String>,
}

#[test]
fn readmes_say_what_modules_take_and_give() {
    let blessed = std::env::var_os("TRAILWARDEN_BLESS").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for of in ["modules", "examples"] {
        for entry in std::fs::read_dir(root().join(of)).expect("a directory") {
            let dir = entry.expect("an entry").path();
            seen += 1;
            let path = dir.join("README.md");
            let held = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{} is missing", path.display()));
            let mut text = held.clone();
            for (block, table) in [("variables", variables(&dir)), ("outputs", outputs(&dir))] {
                let (begin, end) = (format!("<!-- begin {block} -->\n"), format!("<!-- end {block} -->"));
                let from =
                    text.find(&begin).unwrap_or_else(|| panic!("{} has no `{begin}`", path.display())) + begin.len();
                let until =
                    from + text[from..].find(&end).unwrap_or_else(|| panic!("{} has no `{end}`", path.display()));
                text.replace_range(from..until, &table);
            }
            if text != held {
                if blessed {
                    std::fs::write(&path, text).expect("a file");
                } else {
                    wrong.push(path.display().to_string());
                }
            }
        }
    }
    assert_eq!(seen, 13, "a module or example was added or lost");
    assert!(wrong.is_empty(), "TRAILWARDEN_BLESS=1 cargo test --test terraform writes anew: {wrong:?}");
}

fn variables(dir: &Path) -> String {
    let mut table = String::from("| variable | default | meaning |\n| --- | --- | --- |\n");
    for one in said(dir, "variable") {
        let default = one.default.map_or_else(|| "needed".to_owned(), |text| format!("`{text}`"));
        table.push_str(&format!("| `{}` | {default} | {} |\n", one.name, one.description));
    }
    table
}

fn outputs(dir: &Path) -> String {
    let mut table = String::from("| output | what it is |\n| --- | --- |\n");
    for one in said(dir, "output") {
        table.push_str(&format!("| `{}` | {} |\n", one.name, one.description));
    }
    table
}

/// As `terraform fmt` writes them: a block begins and ends at the beginning of a line.
fn said(dir: &Path, kind: &str) -> Vec<Said> {
    let text = std::fs::read_to_string(dir.join(format!("{kind}s.tf"))).expect("a file");
    let head = format!("{kind} \"");
    let mut all = Vec::new();
    for block in text.split("\n}\n") {
        let Some(block) = block.trim_start().strip_prefix(&head) else { continue };
        let name = block.split('"').next().expect("a name").to_owned();
        let value = |key: &str| {
            let mut lines = block.lines().skip_while(|line| {
                let is_it = line.strip_prefix("  ").and_then(|line| line.split_whitespace().next()) == Some(key);
                !is_it
            });
            let first = lines.next()?.split_once("= ")?.1.to_owned();
            if !matches!(first.as_str(), "{" | "[") {
                return Some(first);
            }
            let rest: Vec<&str> =
                lines.take_while(|line| line.starts_with("    ") || line.trim() == "}").map(str::trim).collect();
            Some(format!("{first} {}", rest.join(" ")))
        };
        let quoted = value("description").unwrap_or_else(|| panic!("{}: {name} has no description", dir.display()));
        let description: String = serde_json::from_str(&quoted).expect("a string");
        assert!(
            description.ends_with(['.', '…']),
            "{}: {name}: a description is a sentence: {description}",
            dir.display()
        );
        all.push(Said { name, description: description.replace('|', "\\|"), default: value("default") });
    }
    assert!(!all.is_empty(), "{}: no {kind} was seen", dir.display());
    all
}
