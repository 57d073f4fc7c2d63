//! Keeps the walls: who may import whom, and how large a room may be. The table is read from the documentation of `src/lib.rs`,
//! so that map and law cannot disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Tests apart.
const LONGEST_FILE: usize = 600;
const LONGEST_MAIN: usize = 50;

/// A source file: where it is under `src/`, and its text without comments, strings and test modules. Lines stay where they are.
struct Source {
    path: String,
    code: String,
}

#[test]
fn a_module_imports_only_from_lower_rows() {
    let rows = rows();
    let sources = sources();
    let modules: BTreeSet<&str> = sources.iter().map(|source| module(&source.path)).collect();
    let named: BTreeSet<&str> = rows.keys().map(String::as_str).collect();
    assert_eq!(modules, named, "the layer table of src/lib.rs and the modules of src/ differ");
    let imports: usize = sources.iter().map(|source| imports(source).len()).sum();
    assert!(imports > 200, "only {imports} imports were seen: this test has gone blind");
    let broken: Vec<String> = sources.iter().flat_map(|source| violations(source, &rows)).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn a_planted_violation_is_found_with_file_and_line() {
    let rows = rows();
    let found = |path: &str, text: &str| violations(&Source { path: path.into(), code: bare(text).0 }, &rows);
    for (path, text, place) in [
        ("core/id.rs", "use crate::error::Error;\n", "src/core/id.rs:1"),
        ("store/mod.rs", "\nuse crate::{core::id, error::{Class, Error}, ingest::Ingest};\n", "src/store/mod.rs:2"),
        ("aws/s3.rs", "use crate::core;\nfn f() -> crate::local::dir::Dir {}\n", "src/aws/s3.rs:2"),
        ("alert.rs", "use crate::{\n    error::Error,\n    verify::Sweep,\n};\n", "src/alert.rs:3"),
        ("retry.rs", "use super::listing;\n", "src/retry.rs:1"),
        ("aws/sns.rs", "fn f() {\n    super::super::local::fault()\n}\n", "src/aws/sns.rs:2"),
        ("env.rs", "use crate::nowhere::Thing;\n", "src/env.rs:1"),
        ("main.rs", "use trailwarden::cli::Cli;\nuse trailwarden::nowhere;\n", "src/main.rs:2"),
        ("http/mod.rs", "#[cfg(test)]\nmod tests {\n}\nuse crate::cmd;\n", "src/http/mod.rs:4"),
    ] {
        let broken = found(path, text);
        assert_eq!(broken.len(), 1, "{path}: {text}: {broken:?}");
        assert!(broken[0].starts_with(&format!("{place}: ")), "{broken:?}");
    }
    for (path, text) in [
        ("store/mod.rs", "use crate::core::id;\nuse crate::store::outbox;\n"),
        ("core/id.rs", "// use crate::cmd;\n/// [`crate::cmd`]\nconst A: &str = \"crate::cmd::x\";\n"),
        ("core/id.rs", "#[cfg(test)]\nmod tests {\n    use crate::cmd;\n    const A: char = '}';\n}\n"),
        ("core/id.rs", "fn f<'a>(b: &'a str) { let c = r#\"crate::cmd\"#; }\n"),
        ("aws/sns.rs", "use super::class;\n"),
    ] {
        assert_eq!(found(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}

#[test]
fn no_file_outgrows_its_room() {
    for source in sources() {
        let lines = source.code.trim_end().lines().filter(|line| *line != CUT).count();
        let limit = if source.path == "main.rs" { LONGEST_MAIN } else { LONGEST_FILE };
        assert!(lines <= limit, "src/{} has {lines} lines besides its tests, the limit is {limit}", source.path);
    }
}

/// Row numbers by module, out of the fenced table in the documentation of `src/lib.rs`.
fn rows() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("//! ")) {
        let Some((number, rest)) = line.trim_start().split_once("  ") else { continue };
        let Ok(number) = number.parse::<u32>() else { continue };
        // What is said of a row stands apart by two blanks or more.
        for name in rest.trim().split("  ").next().unwrap_or_default().split(" · ") {
            assert!(rows.insert(name.trim().to_owned(), number).is_none(), "{name} stands twice in the layer table");
        }
    }
    assert_eq!(rows.values().collect::<BTreeSet<_>>().len(), 12, "the layer table of src/lib.rs could not be read");
    rows
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file under `src/` that is not itself a test module.
fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut paths = Vec::new();
    walk(&src, &mut paths);
    let (mut sources, mut tests) = (Vec::new(), BTreeSet::new());
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let (code, elsewhere) = bare(&text);
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let beside = path.parent().unwrap();
        let own = if matches!(stem, "mod" | "main" | "lib") { beside.to_owned() } else { beside.join(stem) };
        for file in elsewhere {
            match file {
                TestFile::At(name) => tests.insert(beside.join(name)),
                TestFile::Module(name) => {
                    let (file, folder) = (own.join(format!("{name}.rs")), own.join(name));
                    tests.insert(if file.exists() { file } else { folder })
                }
            };
        }
        sources.push((path, code));
    }
    for test in &tests {
        assert!(sources.iter().any(|(path, _)| path.starts_with(test)), "{} is no file", test.display());
    }
    sources
        .into_iter()
        .filter(|(path, _)| !tests.iter().any(|test| path.starts_with(test)))
        .map(|(path, code)| Source { path: path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned(), code })
        .collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// `store/outbox.rs` → `store`
fn module(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

/// What is wrong with a file's imports, each as `src/file:line: …`.
fn violations(source: &Source, rows: &BTreeMap<String, u32>) -> Vec<String> {
    let own = module(&source.path);
    let row = rows[own];
    let mut broken = Vec::new();
    for (at, name) in imports(source) {
        let line = source.code[..at].matches('\n').count() + 1;
        let why = match rows.get(&name) {
            _ if name == own => continue,
            // The binary stands outside of the library; this is the door.
            Some(_) if own == "main" && name == "cli" => continue,
            Some(other) if *other < row => continue,
            Some(other) => format!("`{own}` (row {row}) imports `{name}` (row {other})"),
            None => format!("`{own}` imports `{name}`, which the layer table does not know"),
        };
        broken.push(format!("src/{}:{line}: {why}", source.path));
    }
    broken
}

/// Top-level modules that a file names, each with its place: `crate::x`, `crate::{x::y, z}`, `super::…::x` up to the root, and in
/// `main.rs` the library by its name.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let mut found = Vec::new();
    let roots: &[&str] = if source.path == "main.rs" { &["crate::", "trailwarden::"] } else { &["crate::"] };
    for root in roots {
        for (at, _) in code.match_indices(root).filter(|(at, _)| is_start(code, *at)) {
            heads(code, at + root.len(), &mut found);
        }
    }
    let depth = source.path.trim_end_matches("/mod.rs").split('/').count();
    let mut after = 0;
    while let Some(at) = code[after..].find("super::").map(|at| after + at) {
        let mut end = at;
        while code[end..].starts_with("super::") {
            end += "super::".len();
        }
        after = end;
        if is_start(code, at) && (end - at) / "super::".len() >= depth && source.path != "main.rs" {
            heads(code, end, &mut found);
        }
    }
    found
}

fn is_start(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
}

/// The first names of a path or of a group of paths that begins here.
fn heads(code: &str, at: usize, found: &mut Vec<(usize, String)>) {
    let rest = &code[at..];
    let name = |at: usize| -> String {
        code[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    if !rest.starts_with('{') {
        found.push((at, name(at)));
        return;
    }
    let (mut depth, mut expects) = (0, true);
    for (offset, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expects = true,
            c if depth == 1 && expects && (c.is_alphabetic() || c == '_') => {
                found.push((at + offset, name(at + offset)));
                expects = false;
            }
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

/// A file that is a test module as a whole.
enum TestFile {
    /// `#[path = "…"]`, beside the file that names it.
    At(String),
    /// `mod tests;`
    Module(String),
}

/// Stands for a line of a test module.
const CUT: &str = "\u{7f}";

/// The code without comments, literals and test items, every line where it was; and the test files that it names.
fn bare(text: &str) -> (String, Vec<TestFile>) {
    let code = without_literals(text);
    let mut kept = String::with_capacity(code.len());
    let (mut elsewhere, mut at) = (Vec::new(), 0);
    while let Some(start) = code[at..].find("#[cfg(test)]").map(|start| at + start) {
        kept.push_str(&code[at..start]);
        let item = &code[start..];
        let end = start
            + match (item.find(';'), item.find('{')) {
                (Some(semicolon), open) if open.is_none_or(|open| semicolon < open) => semicolon + 1,
                (_, Some(open)) => closing(item, open),
                _ => item.len(),
            };
        if code[..end].ends_with(';')
            && let Some(module) = code[start..end].trim_end_matches(';').split("mod ").nth(1)
        {
            // The literal was blanked; the text at the same place still has it.
            let path = text[start..end].split_once("path = \"").and_then(|(_, rest)| rest.split_once('"'));
            elsewhere.push(match path {
                Some((path, _)) => TestFile::At(path.to_owned()),
                None => TestFile::Module(module.trim().to_owned()),
            });
        }
        kept.push_str(&vec![CUT; code[start..end].matches('\n').count() + 1].join("\n"));
        at = end;
    }
    kept.push_str(&code[at..]);
    (kept, elsewhere)
}

/// The end of the block that opens at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (offset, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset + 1;
        }
    }
    code.len()
}

/// Comments and the inside of literals as blanks, byte for byte.
fn without_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut blank = |from: usize, to: usize| {
        for byte in &mut out[from..to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text.as_bytes()[at..];
        let end = match rest {
            [b'/', b'/', ..] => at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => at + text[at..].find("*/").map_or(rest.len(), |end| end + 2),
            [b'r', b'"' | b'#', ..] if !is_word(bytes, at) && raw(rest).is_some() => at + raw(rest).unwrap(),
            [b'"', ..] => at + quoted(rest, b'"'),
            // A lifetime has no second quote where a character has one.
            [b'\'', b'\\', ..] => at + quoted(rest, b'\''),
            [b'\'', ..] if character(&text[at..]).is_some() => at + character(&text[at..]).unwrap(),
            _ => {
                at += 1;
                continue;
            }
        };
        blank(at, end);
        at = end;
    }
    String::from_utf8(out).unwrap()
}

fn is_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') && bytes[at - 1] != b'b'
}

/// The length of `r#"…"#`.
fn raw(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    (rest.get(1 + hashes) == Some(&b'"')).then_some(())?;
    let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let body = 2 + hashes;
    let end = rest[body..].windows(close.len()).position(|window| window == close)?;
    Some(body + end + close.len())
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let _ = chars.next()?;
    let (at, quote) = chars.next()?;
    (quote == '\'').then_some(at + 1)
}
