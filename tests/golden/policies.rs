//! Bucket policies with what is weak about them. Each file is one policy with the kinds that are to be found, each with the number
//! of its statement; what a case expects of the archive is the table below with the case's own differences.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;
use trailwarden::core::id::{AccountId, OrgId};
use trailwarden::core::policy::{
    Document, Expected, Fix, Kind, Principal, Weakness, recommended, weaknesses, weaknesses_of_key, weaknesses_of_queue,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What the case is about, in one sentence.
    about: String,
    /// Whose policy: `bucket` (if not said), `key` or `queue`.
    #[serde(default)]
    of: Option<String>,
    #[serde(default)]
    expected: Differences,
    /// `kind` or `kind N`, N counted from 1.
    weaknesses: Vec<String>,
    policy: Option<Box<RawValue>>,
    /// Where the policy is no JSON.
    text: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Differences {
    bucket: Option<String>,
    partition: Option<String>,
    prefixes: Option<Vec<String>>,
    org: Option<String>,
    management: Option<String>,
    trails: Option<Vec<String>>,
    encrypted: Option<bool>,
    readers: Vec<String>,
    writers: Vec<String>,
    administrators: Vec<String>,
    tls: Option<bool>,
    senders: Vec<String>,
}

fn account(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

fn principals(texts: &[String]) -> Vec<Principal> {
    texts.iter().map(|text| Principal::parse(text).unwrap()).collect()
}

/// An organization trail into a log archive account; an empty text takes away what is known.
fn expected(differences: &Differences) -> Expected {
    let or = |text: &Option<String>, usual: &str| text.clone().unwrap_or_else(|| usual.into());
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    let trail = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/org-main";
    Expected {
        partition: or(&differences.partition, "aws"),
        bucket: or(&differences.bucket, "example-org-trail"),
        prefixes: differences.prefixes.clone().unwrap_or_else(|| vec![String::new()]),
        org: known(or(&differences.org, "o-a1b2c3d4e5")).map(|text| OrgId::parse(&text).unwrap()),
        management: known(or(&differences.management, "111122223333")).map(|text| account(&text)),
        owner: Some(account("444455556666")),
        accounts: BTreeSet::from([account("777788889999")]),
        trails: differences.trails.clone().unwrap_or_else(|| vec![trail.into()]),
        encrypted: differences.encrypted,
        readers: principals(&differences.readers),
        writers: principals(&differences.writers),
        administrators: principals(&differences.administrators),
        tls: differences.tls.unwrap_or(true),
        queue: Some("arn:aws:sqs:eu-west-1:444455556666:trail-notices".into()),
        senders: differences.senders.clone(),
    }
}

impl Case {
    fn text(&self) -> &str {
        self.policy.as_ref().map_or_else(|| self.text.as_deref().unwrap(), |policy| policy.get())
    }

    fn judge(&self, text: &str) -> Vec<Weakness> {
        let (document, expected) = (Document::parse(text), expected(&self.expected));
        match self.of.as_deref() {
            None | Some("bucket") => weaknesses(&document, &expected),
            Some("key") => weaknesses_of_key(&document, &expected),
            Some("queue") => weaknesses_of_queue(&document, &expected),
            Some(other) => panic!("whose policy is {other}?"),
        }
    }
}

fn cases() -> Vec<(String, Case)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/policies");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let case = serde_json::from_str(&fs::read_to_string(&path).unwrap());
        let case: Case = case.unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, case)
    };
    paths.into_iter().map(read).collect()
}

fn told(found: &[Weakness]) -> Vec<String> {
    let one = |weakness: &Weakness| match &weakness.place {
        Some(place) => format!("{} {}", weakness.kind, place.index + 1),
        None => weakness.kind.to_string(),
    };
    let mut all: Vec<String> = found.iter().map(one).collect();
    all.sort();
    all
}

#[test]
fn every_policy_has_the_weaknesses_that_its_case_says() {
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    let cases = cases();
    for (name, case) in &cases {
        assert!(case.about.len() > 15, "{name} does not say what it is about");
        let found = case.judge(case.text());
        let mut wanted = case.weaknesses.clone();
        wanted.sort();
        if told(&found) != wanted {
            let risks: Vec<_> =
                found.iter().map(|weakness| format!("  {}: {}", weakness.kind, weakness.risk)).collect();
            wrong.push(format!("{name}: wanted {wanted:?}, found {:?}\n{}", told(&found), risks.join("\n")));
        }
        seen.extend(found.iter().map(|weakness| weakness.kind));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    let unseen: Vec<_> = Kind::ALL.iter().filter(|kind| !seen.contains(kind)).map(|kind| kind.name()).collect();
    assert!(unseen.is_empty(), "no case has {unseen:?}");
    let good = cases.iter().filter(|(_, case)| case.weaknesses.is_empty()).count();
    assert!(cases.len() >= 60 && good >= 12, "{} cases, {good} of them good", cases.len());
}

#[test]
fn pasting_the_correction_removes_the_weakness() {
    let mut pasted = 0;
    for (name, case) in cases() {
        let mut text = case.text().to_owned();
        // The worst first, one after the other, until there is nothing left to paste.
        for round in 0.. {
            let document = Document::parse(&text);
            let found = case.judge(&text);
            let Some(weakness) = found.iter().find(|weakness| !matches!(weakness.fix, Fix::Look(_))) else { break };
            for other in &found {
                let Some(corrected) = other.corrected(&document) else { continue };
                pasted += 1;
                let _: serde_json::Value = serde_json::from_str(&corrected)
                    .unwrap_or_else(|error| panic!("{name}: {}: {error}\n{corrected}", other.kind));
                let after = case.judge(&corrected);
                let count = |found: &[Weakness]| found.iter().filter(|one| one.kind == other.kind).count();
                assert!(count(&after) < count(&found), "{name}: {} stays\n{corrected}", other.kind);
                let unread = |found: &[Weakness]| found.iter().filter(|one| one.kind == Kind::CouldNotTell).count();
                assert!(unread(&after) <= unread(&found), "{name}: {} makes a doubt\n{corrected}", other.kind);
            }
            text = weakness.corrected(&document).unwrap();
            assert!(round < 20, "{name} is never done\n{text}");
        }
    }
    assert!(pasted > 100, "only {pasted} corrections were pasted");
}

#[test]
fn the_recommended_policy_has_no_weakness() {
    let organization = expected(&Differences::default());
    let several = Differences { prefixes: Some(vec!["logs".into(), "more/logs".into()]), ..Differences::default() };
    let china = Differences { partition: Some("aws-cn".into()), org: Some(String::new()), ..Differences::default() };
    for archive in [organization, expected(&several), expected(&china)] {
        let text = recommended(&archive);
        assert_eq!(told(&weaknesses(&Document::parse(&text), &archive)), Vec::<String>::new(), "{text}");
    }
    // Without the trails, the account is the best that can be named.
    let unnamed = Differences { trails: Some(vec![]), ..Differences::default() };
    let archive = expected(&unnamed);
    let found = weaknesses(&Document::parse(&recommended(&archive)), &archive);
    assert_eq!(told(&found), ["source_account_only 1", "source_account_only 2", "source_account_only 3"]);
}

#[test]
fn a_bucket_without_a_policy_is_told_what_it_needs() {
    let archive = expected(&Differences::default());
    let mut text = String::new();
    for wanted in ["acl_check_missing", "organization_write_missing", "tls_not_required", "write_missing"] {
        let document = if text.is_empty() { Document::default() } else { Document::parse(&text) };
        let found = weaknesses(&document, &archive);
        let weakness = found.iter().find(|weakness| weakness.kind.name() == wanted).unwrap();
        text = weakness.corrected(&document).unwrap();
    }
    assert_eq!(weaknesses(&Document::parse(&text), &archive), []);
}

#[test]
fn a_risk_is_one_sentence_for_whoever_is_woken_by_it() {
    for (name, case) in cases() {
        for weakness in case.judge(case.text()) {
            let risk = &weakness.risk;
            assert!((30..=600).contains(&risk.len()), "{name}: {risk}");
            assert!(!risk.ends_with('.') && !risk.contains(". ") && !risk.contains("  "), "{name}: {risk}");
            assert!(risk.chars().all(|c| !c.is_control()), "{name}: {risk}");
        }
    }
}

/// The blocks of docs/posture.md are made from the program; `TRAILWARDEN_BLESS=1 cargo test --test golden policies` writes them.
#[test]
fn every_weakness_is_documented() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/posture.md");
    let held = fs::read_to_string(&path).unwrap();
    let mut text = held.clone();
    let mut table = "| weakness | severity | in short |\n| --- | --- | --- |\n".to_owned();
    let mut sections = String::new();
    let found: Vec<Weakness> = cases().into_iter().flat_map(|(_, case)| case.judge(case.text())).collect();
    for kind in Kind::ALL {
        let (severity, title) = (kind.severity(), kind.title());
        table.push_str(&format!("| [`{kind}`](#{kind}) | {severity} | {title} |\n"));
        sections.push_str(&format!(
            "\n### {kind}\n\n*{severity}*: {title}. {}\n{}",
            kind.why(),
            example(*kind, &found)
        ));
    }
    let archive = expected(&Differences::default());
    let wanted = [
        ("recommended", format!("```json\n{}```\n", recommended(&archive))),
        ("weaknesses", table + &sections),
        ("settings", crate::posture::documentation()),
        ("trails", crate::trails::documentation()),
    ];
    for (name, block) in wanted {
        let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
        let from = text.find(&begin).unwrap() + begin.len();
        let until = from + text[from..].find(&end).unwrap();
        text.replace_range(from..until, &block);
    }
    if std::env::var_os("TRAILWARDEN_BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, text).unwrap();
    } else {
        assert!(held == text, "docs/posture.md lags: TRAILWARDEN_BLESS=1 cargo test --test golden policies");
    }
}

/// As it is told of the first of the worst that have it.
fn example(kind: Kind, found: &[Weakness]) -> String {
    let all = found.iter().filter(|weakness| weakness.kind == kind);
    let weakness = all.min_by_key(|weakness| Reverse(weakness.severity)).unwrap();
    let told = format!("\n**For example:** {}.\n\n**What to do:** {}.\n", weakness.risk, weakness.advice());
    match weakness.paste() {
        Some(statements) => format!("{told}\n```json\n{statements}\n```\n"),
        None => told,
    }
}
