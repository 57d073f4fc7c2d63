//! `coverage`, with the ledger that a warden wrote.

use rusqlite::Connection;

use crate::common::warden::{stderr, stdout, verb};
use crate::verbs::Ground;

#[test]
fn coverage_says_complete_holes_or_could_not_tell() {
    let ground = Ground::new();
    let ask = |more: &[&str]| {
        let output = verb(&ground.config, &[&["coverage"], more].concat());
        (output.status.code(), stdout(&output), stderr(&output))
    };
    let (code, _, error) = ask(&[]);
    assert!(code == Some(1) && error.contains("nothing has run yet"), "{error}");
    ground.drain();
    let (code, text, error) = ask(&[]);
    assert_eq!(code, Some(0), "{text}{error}");
    assert!(text.contains("answer    complete") && text.contains('█') && !text.contains('\u{1b}'), "{text}");
    assert_eq!(ask(&["--from", "30d"]).0, Some(5));
    assert_eq!(ask(&["--from", "1h", "--to", "2h"]).0, Some(2));
    assert_eq!(ask(&["--from", "2000-01-01"]).0, Some(2));

    // Somebody who was a member all the time and never delivered.
    let list = ground.dir.path().join("members.toml");
    let members = std::fs::read_to_string(&list).expect("a list");
    std::fs::write(&list, members + "[[account]]\nid = \"000000000042\"\nname = \"forgotten\"\n").expect("a list");
    ground.drain();
    let ledger = Connection::open(ground.dir.path().join("state.db")).expect("a ledger");
    ledger.execute("UPDATE stays SET since = 0 WHERE account = '000000000042'", []).expect("a row");
    let (code, text, _) = ask(&["--color", "always"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("000000000042 forgotten") && text.contains('\u{1b}') && text.contains('x'), "{text}");
    let (code, text, _) = ask(&["--account", "000000000042", "--json"]);
    assert_eq!(code, Some(4));
    let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(told["accounts"][0]["name"], "forgotten");
    assert_eq!(told["total"]["missing"], told["accounts"][0]["missing"]);

    ledger.execute("DELETE FROM members", []).expect("nobody is known");
    assert_eq!(ask(&[]).0, Some(5));
    ledger.execute("DROP TABLE proven", []).expect("an older form");
    let (code, _, error) = ask(&[]);
    assert!(code == Some(1) && error.contains("older form"), "{error}");
}
