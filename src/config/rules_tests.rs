use std::collections::BTreeSet;

use super::*;

fn one(text: &str) -> Result<Rule, String> {
    let rules = read(text, "rules.toml", Path::new("")).map_err(|error| error.to_string())?;
    Ok(rules.into_iter().next().expect("a rule"))
}

const LEAST: &str = "[[rule]]\nid = \"a-1\"\ntitle = \"A\"\nfilter = '{ $.eventName = \"A\" }'\n";

#[test]
fn rules_of_packs_are_complete_and_their_tests_hold() {
    let mut ids = BTreeSet::new();
    for (name, text) in PACKS {
        let rules = read(text, name, Path::new("")).unwrap_or_else(|error| panic!("{error}"));
        assert!(!rules.is_empty(), "{name}");
        for rule in &rules {
            assert!(ids.insert(rule.id.clone()), "{} stands twice", rule.id);
            let told = [&rule.title, &rule.why, &rule.action];
            assert!(told.iter().all(|text| text.len() > 10), "{name} {}", rule.id);
            assert!(!rule.false_positives.is_empty() && !rule.attack.is_empty(), "{name} {}", rule.id);
            for fires in [true, false] {
                assert!(rule.tests.iter().any(|case| case.fires == fires), "{name} {}: {fires}", rule.id);
            }
            for (number, case) in rule.tests.iter().enumerate() {
                let Events::Inline(events) = &case.events else { panic!("{name} {}", rule.id) };
                assert_eq!(case.play(rule, events), Ok(case.fires), "{name} {}, test {number}: {events}", rule.id);
            }
        }
    }
    assert!(ids.len() >= 50, "{} rules", ids.len());
}

#[test]
fn a_rule_says_little_where_little_is_meant() {
    let rule = one(LEAST).unwrap();
    assert_eq!((rule.severity, rule.window.at_least, rule.window.within), (Severity::Medium, 1, 300));
    assert_eq!(rule.group.iter().map(ToString::to_string).collect::<Vec<_>>(), ["recipientAccountId"]);
    let rest = "group = [\"userIdentity.arn\", \"principal\"]\ncount = { at_least = 3, within = \"1h\" }\nperiods = \"2 of 3\"\n\
                missing = \"ignore\"\nattack = [\"T1078.004\"]\n";
    let rule = one(&format!("{LEAST}{rest}")).unwrap();
    assert_eq!((rule.window.at_least, rule.window.within, rule.window.periods), (3, 3600, (2, 3)));
    assert_eq!((rule.window.missing, rule.group.len()), (Missing::Ignore, 2));
    let then = "then = [{ filter = '{ $.eventName = \"B\" }', within = \"10m\" }]\ndistinct = \"sourceIPAddress\"\n";
    let rule = one(&format!("{LEAST}{then}")).unwrap();
    assert_eq!((rule.window.then, rule.then.len(), rule.window.distinct), (vec![600], 1, true));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (line, told) in [
        ("idd = 1", "rules.toml:5:1: unknown field `idd`"),
        ("count = { at_least = 0 }", "rules.toml:5:22: 0 is out of bounds"),
        ("count = { within = \"0s\" }", "`0s` is too short"),
        ("group = [\"a b\"]", "rules.toml:5:10: `a b` is no field"),
        ("severity = \"bad\"", "`bad` is no severity"),
        ("periods = \"4 of 3\"", "rules.toml:5:11: `4 of 3` is no share"),
        ("missing = \"ok\"", "`ok` is no treatment of missing data"),
        (
            "distinct = \"sourceIPAddress\"\nperiods = \"1 of 2\"",
            "rules.toml:1:1: `periods` and `missing` go with plain counts",
        ),
        ("then = [{ filter = '{ $.a = 1 }' }]", "rules.toml:5:9: a step has a `within`"),
        ("attack = [\"X1\"]", "`X1` is no technique"),
        ("test.fires = [\"\"]", "a test without events"),
        ("test.fires = [{ events = '{}', times = 0 }]", "`times` is 1 to"),
        ("test.fires = [{ event = '{}' }]", "unknown field `event`"),
    ] {
        let error = one(&format!("{LEAST}{line}\n")).unwrap_err();
        assert!(error.contains(told), "{line}: {error}");
    }
    for (text, told) in [
        ("[[rule]]\ntitle = \"A\"", "rules.toml:1:1: the rule has no `id`"),
        ("[[rule]]\nid = \"A b\"\ntitle = \"A\"", "rules.toml:2:6: an id is 1 to 64"),
        ("[[rule]]\nid = \"a\"\ntitle = \"A\"", "neither a `filter` nor a `pattern`"),
    ] {
        let error = one(text).unwrap_err();
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn a_fault_of_a_pattern_is_told_where_it_stands_in_the_file() {
    let text = "[[rule]]\nid = \"a\"\ntitle = \"A\"\npattern = '''\n{\n  \"detail\": { \"eventName\": [{ \"prefx\": \"A\" }] }\n}'''\n";
    let error = one(text).unwrap_err();
    assert!(error.starts_with("rules.toml:6:"), "{error}");
}

/// The caret stands under what is wrong with the filter, and not under the whole of it.
#[test]
fn a_fault_of_a_filter_is_told_where_it_stands_in_the_file() {
    for quote in ["'", "'''", "'''\n"] {
        let text =
            format!("[[rule]]\nid = \"a\"\ntitle = \"A\"\nfilter = {quote}{{ $.key ~ 1 }}{}\n", quote.trim_end());
        let error = one(&text).unwrap_err();
        let lines: Vec<&str> = error.lines().collect();
        let at = lines[3].find('^').expect("a caret");
        assert_eq!(lines[2].chars().nth(at), Some('~'), "{error}");
    }
}
