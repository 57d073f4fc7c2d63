//! What the vector tests share: the cases, copies of them to damage, the program itself, and its answers in comparable form.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Where all cases play.
pub const BUCKET: &str = "example-org-trail-logs";
const ROOT: &str = "trail-prefix/AWSLogs/o-a1b2c3d4e5/111122223333";
/// The end of the first digest's hour is the first of these. The day changes between the first two.
const ENDS: [&str; 6] = [
    "2026-03-01T23:07:13Z",
    "2026-03-02T00:07:13Z",
    "2026-03-02T01:07:13Z",
    "2026-03-02T02:07:13Z",
    "2026-03-02T03:07:13Z",
    "2026-03-02T04:07:13Z",
];
const LOGS: [&str; 4] =
    ["2212Z_Ab3dEf6hIj9kLm2n", "2257Z_Qq1Ww2Ee3Rr4Tt5Y", "2317Z_zZ9yX8wV7uT6sR5q", "2347Z_Mn0Bv1Cx2Zl3Kj4H"];

/// The end time of the n-th digest.
pub fn end(n: usize) -> &'static str {
    ENDS[n]
}

/// The key of the n-th digest of the trail under test.
pub fn digest(n: usize) -> String {
    digest_at("org-main", ENDS[n], "")
}

pub fn digest_at(trail: &str, end: &str, suffix: &str) -> String {
    let stamp = end.replace(['-', ':'], "");
    let day = end[..10].replace('-', "/");
    format!(
        "{ROOT}/CloudTrail-Digest/eu-west-1/{day}/111122223333_CloudTrail-Digest_eu-west-1_{trail}_us-east-1_{stamp}{suffix}.json.gz"
    )
}

/// The key of the n-th log; the first two belong to digest 0, the others to digest 1.
pub fn log(n: usize) -> String {
    log_at("2026/03/01", &format!("20260301T{}", LOGS[n]))
}

pub fn log_at(day: &str, stamp: &str) -> String {
    format!("{ROOT}/CloudTrail/eu-west-1/{day}/111122223333_CloudTrail_eu-west-1_{stamp}.json.gz")
}

/// A case as it lies in the repository.
pub struct Case {
    pub name: String,
    pub dir: PathBuf,
    pub from: String,
    pub to: String,
    pub arn: String,
    pub account: String,
    pub region: String,
    pub keys: Value,
}

/// The case whose folder begins with this number.
pub fn case(number: &str) -> Case {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cases");
    let entries = fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path());
    let dir = entries.into_iter().find(|dir| folder(dir).starts_with(&format!("{number}-"))).unwrap();
    let written: Value = serde_json::from_slice(&fs::read(dir.join("case.json")).unwrap()).unwrap();
    assert_eq!(written["bucket"], BUCKET);
    let text = |name: &str| written[name].as_str().unwrap().to_owned();
    Case {
        name: folder(&dir),
        from: text("start"),
        to: text("end"),
        arn: text("trailArn"),
        account: text("accountId"),
        region: text("digestRegion"),
        keys: written["publicKeys"].clone(),
        dir,
    }
}

pub fn folder(dir: &Path) -> String {
    dir.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Every object of a folder with its key, in key order; sidecars are none.
pub fn objects(root: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(root, &path, found);
        } else if !path.to_str().unwrap().ends_with(".meta.json") {
            found.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), path));
        }
    }
}

/// Where an object's user metadata lies.
pub fn sidecar(object: &Path) -> PathBuf {
    PathBuf::from(format!("{}.meta.json", object.display()))
}

/// A copy of a case's objects, to be damaged.
pub struct Copy {
    pub case: Case,
    pub temp: TempDir,
}

impl Copy {
    /// With or without the sidecars that carry the metadata.
    pub fn of(number: &str, metadata: bool) -> Self {
        let copy = Self { case: case(number), temp: tempfile::tempdir().unwrap() };
        for (key, path) in objects(&copy.case.dir.join("objects")) {
            copy.write(&key, &fs::read(&path).unwrap());
            if metadata && sidecar(&path).exists() {
                fs::copy(sidecar(&path), sidecar(&copy.path(&key))).unwrap();
            }
        }
        copy
    }

    pub fn bucket(&self) -> PathBuf {
        self.temp.path().join("bucket")
    }

    pub fn path(&self, key: &str) -> PathBuf {
        self.bucket().join(key)
    }

    pub fn read(&self, key: &str) -> Vec<u8> {
        fs::read(self.path(key)).unwrap()
    }

    pub fn write(&self, key: &str, body: &[u8]) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, body).unwrap();
    }

    pub fn delete(&self, key: &str) {
        fs::remove_file(self.path(key)).unwrap();
        fs::remove_file(sidecar(&self.path(key))).ok();
    }

    /// Puts another case's object, with its metadata, in the place of this one's.
    pub fn take(&self, number: &str, key: &str, metadata: bool) {
        let from = case(number).dir.join("objects").join(key);
        self.write(key, &fs::read(&from).unwrap());
        if metadata {
            fs::copy(sidecar(&from), sidecar(&self.path(key))).unwrap();
        }
    }

    /// Verifies the copy over the case's range.
    pub fn verify(&self) -> Answer {
        verify(&self.case, &self.bucket(), self.temp.path(), true)
    }
}

/// Writes the case's keys as `aws cloudtrail list-public-keys` prints them.
pub fn save_keys(case: &Case, into: &Path) -> PathBuf {
    let dir = into.join("keys");
    fs::create_dir_all(&dir).unwrap();
    let text = json!({ "PublicKeyList": case.keys }).to_string();
    fs::write(dir.join(format!("{}.json", case.region)), text).unwrap();
    dir
}

/// `verify --offline` over the case's range, of all trails or of the one under test.
pub fn verify(case: &Case, bucket: &Path, scratch: &Path, one_trail: bool) -> Answer {
    let mut command = program();
    command.arg("verify").arg("--offline").arg(bucket).arg("--keys").arg(save_keys(case, scratch));
    command.args(["--from", &case.from, "--to", &case.to, "--json"]);
    if one_trail {
        command.args(["--trail-arn", &case.arn, "--account-id", &case.account]);
    }
    answer(command)
}

/// The program, knowing nothing of the caller's environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailwarden"));
    command.env_clear();
    command
}

/// What `verify` answers, as far as it is to be the same each time.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub exit: Option<i32>,
    pub verdict: String,
    /// Good, bad, missing, unchecked.
    pub digests: [u64; 4],
    /// Good, bad, missing, unlisted, unchecked.
    pub logs: [u64; 5],
    pub findings: Vec<Told>,
    /// What could not be checked, in words.
    pub unchecked: Vec<String>,
}

/// A finding: kind, object, hours, and the trail where a digest or a chain is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    pub kind: String,
    pub object: Option<String>,
    pub hours: Vec<String>,
    pub trail: Option<String>,
}

impl Told {
    pub fn of(kind: &str, object: &str) -> Self {
        let trail = object.contains("/CloudTrail-Digest/").then(|| "org-main".to_owned());
        Self { kind: kind.to_owned(), object: Some(object.to_owned()), hours: Vec::new(), trail }
    }

    /// The whole chain of a trail.
    pub fn chain(kind: &str, trail: &str) -> Self {
        Self { kind: kind.to_owned(), object: None, hours: Vec::new(), trail: Some(trail.to_owned()) }
    }

    #[must_use]
    pub fn hours(mut self, ends: &[usize]) -> Self {
        self.hours = ends.iter().map(|n| end(*n).to_owned()).collect();
        self
    }
}

pub fn answer(mut command: Command) -> Answer {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{command:?} prints no JSON: {errors}"));
    let counts = |part: &str, name: &str| report[part][name].as_u64().unwrap();
    Answer {
        exit: output.status.code(),
        verdict: report["verdict"].as_str().unwrap().to_owned(),
        digests: ["good", "bad", "missing", "unchecked"].map(|name| counts("digests", name)),
        logs: ["good", "bad", "missing", "unlisted", "unchecked"].map(|name| counts("logs", name)),
        findings: told(&report["findings"]),
        unchecked: texts(&report["unchecked"]),
    }
}

/// Findings as `verify` and `findings list` print them, in a fixed order. Whether a log's finding names a trail depends on
/// who saw it first, so it is left out.
pub fn told(findings: &Value) -> Vec<Told> {
    let mut all: Vec<Told> = findings.as_array().unwrap().iter().map(told_one).collect();
    all.sort();
    all
}

fn told_one(finding: &Value) -> Told {
    let text = |name: &str| finding[name].as_str().map(str::to_owned);
    let object = text("object");
    let of_log = object.as_ref().is_some_and(|key| key.contains("/CloudTrail/"));
    Told {
        kind: text("kind").unwrap(),
        hours: texts(&finding["hours"]),
        trail: text("trail").filter(|_| !of_log),
        object,
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}
