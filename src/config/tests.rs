use std::fmt::Write;

use super::*;

const MINIMAL: &str = r#"
[[trail]]
name = "org"
bucket = "acme-org-cloudtrail"
region = "eu-central-1"
queue = "https://sqs.eu-central-1.amazonaws.com/111122223333/trailwarden"
"#;
const REFERENCE: &str = include_str!("../../config/reference.toml");
const SHIPPED: &str = include_str!("../../config/trailwarden.toml");

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::from_text(text, "/etc/trailwarden/trailwarden.toml")
}

/// What is said about the minimal file with this added.
fn refused(added: &str) -> String {
    read(&format!("{MINIMAL}{added}")).expect_err(added).to_string()
}

#[track_caller]
fn refuses(added: &str, place: &str, words: &[&str]) {
    let said = refused(added);
    assert!(said.contains(place), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

/// The reference with every key in use, and the secrets it names.
fn uncommented() -> (String, tempfile::TempDir) {
    let text = REFERENCE.lines().fold(String::new(), |mut text, line| {
        let setting =
            line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()));
        writeln!(text, "{}", setting.unwrap_or(line)).unwrap();
        text
    });
    let credentials = tempfile::tempdir().unwrap();
    std::fs::write(credentials.path().join("hook-url"), "https://hooks.example/t0ken\n").unwrap();
    for name in ["hook-secret", "hook-token", "pagerduty-key", "slack-token", "smtp-password", "collector-token"] {
        std::fs::write(credentials.path().join(name), "hunter2\n").unwrap();
    }
    std::fs::write(credentials.path().join("hook.json"), "{\"text\": \"{{title}}\"}").unwrap();
    std::fs::write(credentials.path().join("private-ca.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    (text, credentials)
}

fn read_all() -> Config {
    let (text, credentials) = uncommented();
    // a folder without rules
    let text = text.replace("/etc/trailwarden/rules", &credentials.path().display().to_string());
    let places =
        secret::Places { credentials: Some(credentials.path().into()), base: credentials.path().into(), unread: false };
    read::config(&text, "reference.toml", &places).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_reference_states_the_defaults() {
    let defaults = read(MINIMAL).unwrap();
    assert_eq!(read(REFERENCE).unwrap(), defaults);
    assert_eq!(defaults.organization, Organization::default());
    assert_eq!((defaults.verify, defaults.limits), (Verify::default(), Limits::default()));
    let trail = &defaults.trails[0];
    assert_eq!((trail.validation, &trail.keys, &trail.layout), (Validation::All, &KeysFrom::CloudTrail, &None));
    assert_eq!((trail.visibility, trail.writers.len()), (Duration::from_secs(300), 2));
    assert_eq!(trail.bucket_name.as_deref(), Some("acme-org-cloudtrail"));
    assert_eq!(defaults.listen, "127.0.0.1:9417".parse().ok());
}

#[test]
fn the_examples_in_the_reference_are_good_and_state_defaults_too() {
    let all = read_all();
    let (url, hunter) = (Secret::new("https://hooks.example/t0ken"), Secret::new("hunter2"));
    let ten = Duration::from_secs(10);
    let hook = &all.channels["hook"];
    assert!(matches!(hook, Channel::Webhook { url: own, timeout, .. } if *own == url && *timeout == ten));
    assert!(matches!(hook, Channel::Webhook { secret: Some(a), token: Some(b), .. } if [a, b] == [&hunter; 2]));
    assert!(
        matches!(&all.channels["mail"], Channel::Email(mail) if mail.tls == Encryption::StartTls && mail.port == 587)
    );
    assert!(matches!(&all.channels["siem"], Channel::Syslog(siem) if siem.tls && siem.facility == 13));
    assert_eq!(
        all.routes[0].escalation.as_ref().map(|escalation| escalation.to.as_slice()),
        Some(&["oncall".to_owned()][..])
    );
    assert_eq!(all.channels["journal"], Channel::Stdout(Format::Human));
    assert_eq!(all.routes.len(), 2);
    assert_eq!(all.routes[0].resolved, all.routes[1].resolved);
    assert_eq!(all.verify, Verify::default());
    let retention = all.retention.unwrap();
    assert_eq!(retention.prices, Prices::default());
    assert_eq!((retention.promise.term.days, retention.promise.overrides[0].days), (2557, 3653));
    let usual = read(&format!("{MINIMAL}[retention]\nkeep = \"7y\"\n")).unwrap().retention.unwrap();
    let defaults =
        |of: &Retention| (of.promise.term, of.promise.smallest, of.promise.uploads, of.audit, of.enforce, of.requests);
    assert_eq!(defaults(&retention), defaults(&usual));
    assert_eq!((usual.promise.expire, usual.promise.noncurrent, usual.promise.moves), (None, None, vec![]));
    assert_eq!(all.heartbeat, Some(Duration::from_secs(86_400)));
    assert_eq!(all.warnings, Vec::<String>::new());
}

#[test]
fn the_shipped_file_is_good_and_needs_no_excuse() {
    let config = read(SHIPPED).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.routes.len(), 1);
}

/// The keys come from what the parser itself says it expects, so none can be forgotten.
#[test]
fn every_key_stands_in_the_reference() {
    let (text, _credentials) = uncommented();
    let mut stated = std::collections::BTreeMap::<String, Vec<String>>::new();
    let mut section = String::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']).split('.').next().unwrap().to_owned();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.starts_with('#')) {
            stated.entry(section.clone()).or_default().push(key.to_owned());
        }
    }
    let expected = |added: &str| -> Vec<String> {
        let said = toml::from_str::<raw::File>(added).unwrap_err().message().to_owned();
        let (_, list) = said.split_once("expected").unwrap_or_else(|| panic!("{said}"));
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let tables = ["[retention.prices]", "[[retention.override]]", "[[posture.accept]]"];
    let sections = expected("nonsense = 1");
    assert!(sections.len() >= 10);
    for section in sections {
        let header = match section.as_str() {
            "trail" | "route" => format!("[[{section}]]"),
            "channel" => "[channel.x]".to_owned(),
            _ => format!("[{section}]"),
        };
        let stated = stated.get(&section).unwrap_or_else(|| panic!("[{section}] is not in the reference"));
        for key in expected(&format!("{header}\nnonsense = 1")) {
            if key == "match" || key == "snapshot" {
                for inner in expected(&format!("{header}\n{key}.nonsense = 1")) {
                    assert!(stated.contains(&format!("{key}.{inner}")), "{key}.{inner}");
                }
            } else if let Some(table) = tables.iter().find(|table| table.contains(&format!(".{key}]"))) {
                for inner in expected(&format!("{table}\nnonsense = 1")) {
                    assert!(stated.contains(&inner), "{key}.{inner}");
                }
            } else {
                assert!(stated.contains(&key), "{section}.{key} is not in the reference");
            }
        }
    }
}

#[test]
fn the_meaning_is_told_and_no_secret_in_it() {
    let all = read_all();
    let lines = all.meaning();
    let told = |name: &str| &lines.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name}")).1;
    assert_eq!(told("verify.grace"), "90m = 5400 s");
    assert_eq!(told("verify.scrub_limit"), "20MiB = 20971520 bytes a second");
    assert_eq!(told("route.2"), "everything to journal, siem, bus, function, hub, told once, its end is told");
    assert!(
        told("route.1").starts_with("class integrity or delivery and kind log_modified or account_silent and severity")
    );
    assert_eq!(told("channel.hook"), "webhook, signed, by a template, timeout 10 s");
    let shown = format!("{lines:?} {all:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("t0ken"), "{shown}");
}

#[test]
fn errors_point_at_the_place() {
    let said = refused("[verify]\ngrace = \"90x\"\n");
    let want = "/etc/trailwarden/trailwarden.toml:8:9: `90x` is no duration: a whole number and one of s, m, h, d, w, y, \
                like \"90m\" or \"30d\"\n  |\n8 | grace = \"90x\"\n  |         ^^^^^";
    assert_eq!(said, want);
    refuses("[verify]\ngracce = \"90m\"\n", ":8:1: unknown field `gracce`", &["`grace`", "^^^^^^"]);
    refuses("[verify\n", ":7:", &["^"]);
    refuses("[nonsense]\n", ":7:2: unknown field", &["`limits`"]);
    refuses("[[trail]]\nname = \"b\"\nbucket = \"bbb\"\n", ":7:1:", &["no `queue`"]);
    let none = read("").unwrap_err();
    assert!(none.to_string().contains("no [[trail]]") && none.spot.is_none());
    let gone = Config::load(Path::new("/nonexistent/w.toml")).unwrap_err().to_string();
    assert!(gone.starts_with("/nonexistent/w.toml: ") && gone.contains("not found"), "{gone}");
}

#[test]
fn values_are_bounded() {
    for (added, words) in [
        ("[limits]\nmessages = 0\n", "out of bounds"),
        ("[limits]\nratio = -1\n", "out of bounds"),
        ("[limits]\nobject = \"65MiB\"\n", "never be read"),
        ("[limits]\nbytes = \"32MiB\"\n", "never be read"),
        ("[limits]\ninflated = \"1KiB\"\n", "too small"),
        ("[verify]\nscrub_limit = \"1KiB\"\n", "too small"),
        ("[limits]\nbytes = 64\n", "expected a string"),
        ("[verify]\ngrace = \"1s\"\n", "too short"),
        ("[verify]\nsweep = \"2h\"\n", "too long"),
        ("[http]\nlisten = \"localhost\"\n", "off"),
        ("[warden]\nname = \"\"\n", "1 to 64"),
        ("[organization]\nid = \"o-1\"\n", "organization `o-1`"),
        ("[organization]\nexternal_id = \"x\"\n", "goes with `role`"),
        ("[organization]\nrole = \"admin\"\n", "no role"),
        ("[organization]\nmembers = \"m.toml\"\nrole = \"arn:aws:iam::111122223333:role/x\"\n", "is a file"),
        ("[alert]\nheartbeat = \"1s\"\n", "too short"),
    ] {
        refuses(added, "trailwarden.toml:", &[words, "^"]);
    }
}

#[test]
fn trails_are_checked_against_each_other_and_themselves() {
    let other = |lines: &str| {
        let mut fields = vec![("name", "two"), ("bucket", "file:///srv/two"), ("queue", "file:///srv/spool")];
        fields.retain(|(key, _)| !lines.lines().any(|line| line.starts_with(&format!("{key} ="))));
        let rest: String = fields.iter().map(|(key, value)| format!("{key} = \"{value}\"\n")).collect();
        format!("[[trail]]\n{lines}\n{rest}")
    };
    assert!(read(&format!("{MINIMAL}{}", other(""))).is_ok());
    let queue =
        "queue = \"https://sqs.eu-central-1.amazonaws.com/111122223333/trailwarden\"\nregion = \"eu-central-1\"";
    for (lines, words) in [
        ("name = \"org\"", "this name already"),
        ("bucket = \"acme-org-cloudtrail\"\nregion = \"eu-west-1\"", "this bucket already"),
        (queue, "this queue already"),
        ("bucket = \"other-bucket\"", "needs a `region`"),
        ("name = \"Two\"", "no name"),
        ("owner = \"1\"", "twelve digits"),
        ("validation = \"most\"", "all, some, none"),
        ("layout = [\"AWSLogs/{org}/{account}/\"]", "organization.id"),
        ("layout = []", "`layout` is empty"),
        ("visibility = \"5s\"", "too short"),
        ("visibility = \"1d\"", "too long"),
        ("writers = [\"\"]", "empty"),
        ("bucket_name = \"B\"", "no bucket's name"),
        ("bucket = \"s3://x\"", "no bucket"),
        ("queue = \"q\"", "no queue"),
        ("keys = \"\"", "empty path"),
        ("region = \"EU\"", "region"),
    ] {
        refuses(&other(lines), "trailwarden.toml:", &[words, "^"]);
    }
    let named = MINIMAL.to_owned() + "bucket_name = \"another\"\n";
    assert!(read(&named).unwrap_err().to_string().contains("stands for one"));
}

#[test]
fn paths_start_from_the_file() {
    let text = format!("{MINIMAL}keys = \"keys\"\n[organization]\nmembers = \"m.toml\"\n[state]\npath = \"/s.db\"\n");
    let config = read(&text).unwrap();
    assert_eq!(config.trails[0].keys, KeysFrom::Dir("/etc/trailwarden/keys".into()));
    assert_eq!(config.organization.members, MembersFrom::File("/etc/trailwarden/m.toml".into()));
    assert_eq!(config.state, PathBuf::from("/s.db"));
}

#[test]
fn what_may_be_off_can_be_off_and_what_follows_grace_follows_it() {
    let text = format!("{MINIMAL}[verify]\nscrub = \"off\"\ngrace = \"3h\"\n[http]\nlisten = \"off\"\n");
    let config = read(&text).unwrap();
    assert_eq!((config.verify.scrub, config.listen), (None, None));
    assert_eq!(config.verify.unlisted_after, Duration::from_secs(3 * 3600));
}

#[test]
fn snapshots_go_anywhere_but_among_the_evidence() {
    let of = |lines: &str| read(&format!("{MINIMAL}[state]\nsnapshot = {{ {lines} }}\n"));
    let snapshot = of("to = \"file:///srv/ledgers\"").unwrap().snapshot.unwrap();
    assert_eq!((snapshot.to, snapshot.keep), (Place::Dir("/srv/ledgers".into()), 7));
    assert_eq!(snapshot.every, Duration::from_secs(86_400));
    let snapshot = of("to = \"s3://acme-ledgers/org\", every = \"1h\"").unwrap().snapshot.unwrap();
    assert_eq!((snapshot.to, snapshot.prefix.as_str()), (Place::Aws("acme-ledgers".into()), "org/"));
    assert!(snapshot.region.is_some(), "the trail's");
    for (lines, words) in [
        ("every = \"1d\"", "no `to`"),
        ("to = \"/srv\"", "no place for snapshots"),
        ("to = \"s3://acme-org-cloudtrail/ledgers\"", "among the evidence"),
        ("to = \"file:///srv\", every = \"1s\"", "too short"),
        ("to = \"file:///srv\", keep = 0", "out of bounds"),
        ("to = \"file:///srv\", at = 1", "unknown field"),
    ] {
        let error = of(lines).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn channels_have_the_keys_of_their_kind() {
    let channel = |lines: &str| format!("[channel.c]\n{lines}\n[[route]]\nto = [\"c\"]\n");
    for (lines, words) in [
        ("format = \"json\"", "no `kind`"),
        ("kind = \"pigeon\"", "no kind of channel"),
        ("kind = \"stdout\"\nformat = \"xml\"", "human, json"),
        ("kind = \"stdout\"\ntopic = \"x\"", "`topic` is no key of a stdout channel"),
        ("kind = \"webhook\"", "needs a `url`"),
        ("kind = \"webhook\"\nurl = \"hooks/x\"", "begins with https://"),
        ("kind = \"webhook\"\nurl = { file = \"/nonexistent\" }", "not found"),
        ("kind = \"webhook\"\nurl = { path = \"/x\" }", "`credential`"),
        ("kind = \"webhook\"\nurl = { file = \"/x\", credential = \"x\" }", "one place"),
        ("kind = \"webhook\"\nurl = {}", "names no secret"),
        ("kind = \"webhook\"\nurl = \"https://h/\"\ntimeout = \"1h\"", "too long"),
        ("kind = \"sns\"", "needs a `topic`"),
        ("kind = \"pagerduty\"", "needs a `key`"),
        ("kind = \"jsm\"\nkey = \"hunter2\"", "does not belong in this file"),
        ("kind = \"slack\"", "needs a `url`, or a `token` and a `channel`"),
        ("kind = \"slack\"\nchannel = \"C1\"", "goes with a bot's `token`"),
        ("kind = \"teams\"\nurl = \"x\"", "not an address"),
        ("kind = \"webhook\"\nurl = \"https://h/\"\ncontent_type = \"a/b\"", "goes with `template`"),
        ("kind = \"email\"\nserver = \"h:0\"", "no server"),
        ("kind = \"email\"\nserver = \"::1\"", "no server"),
        ("kind = \"email\"\nserver = \"h\"\nfrom = \"a\\nb@c\"\nto = [\"a@b\"]", "no address"),
        ("kind = \"email\"\nserver = \"h\"\nfrom = \"a@b\"\nto = []", "1 to 50 addresses"),
        ("kind = \"email\"\nserver = \"h\"\nfrom = \"a@b\"\nto = [\"a@b\"]\nuser = \"u\"", "goes with `password`"),
        ("kind = \"syslog\"\nserver = \"h\"\nfacility = \"x\"", "no facility"),
        ("kind = \"syslog\"\nserver = \"h\"\nca = \"/nonexistent\"", "`ca`: "),
        ("kind = \"eventbridge\"\nbus = \"default\"", "no event bus"),
        ("kind = \"lambda\"\nfunction = \"arn:aws:lambda:eu-west-1:111122223333:layer:x\"", "no function"),
        ("kind = \"securityhub\"\naccount = \"111122223333\"", "needs a `region`"),
        ("kind = \"sns\"\ntopic = \"alerts\"", "no topic"),
        ("kind = \"sns\"\ntopic = \"arn:aws:sns:eu-west-1:111122223333:a\"\nregion = \"us-east-1\"", "in eu-west-1"),
    ] {
        refuses(&channel(lines), "trailwarden.toml:", &[words, "^"]);
    }
    refuses("[channel.\"a b\"]\nkind = \"stdout\"\n", "trailwarden.toml:", &["no name"]);
}

#[test]
fn a_secret_written_out_is_refused_and_not_repeated() {
    let hook = "[channel.c]\nkind = \"webhook\"\nurl = \"https://h/t0ken\"\n";
    let said = refused(&format!("{hook}secret = \"hunter2\"\n"));
    assert!(said.contains("does not belong in this file") && said.contains(":10:"), "{said}");
    let wrong = [
        format!("{hook}secret = \"hunter2\n"),
        format!("{hook}secret = 'hunter2' x\n"),
        "[channel.c]\nkind = \"stdout\"\nsecret = \"hunter2\"\n".to_owned(),
        "[channel.c]\nkind = \"webhook\"\nurl = \"htp://hunter2\"\n".to_owned(),
        "[channel]\nc = { kind = \"webhook\", url = \"hunter2\" }\n".to_owned(),
    ];
    for text in wrong {
        let said = refused(&text);
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn routes_lead_somewhere_and_lose_nothing() {
    let with = |routes: &str| format!("[channel.c]\nkind = \"stdout\"\n{routes}");
    let all = "[[route]]\nto = [\"c\"]\n";
    let some = "[[route]]\nto = [\"c\"]\nmatch.class = [\"integrity\"]\n";
    assert!(read(&format!("{MINIMAL}{}", with(&format!("{some}{all}")))).is_ok());
    for (routes, words) in [
        ("", "no [[route]]"),
        (some, "must match everything"),
        (&format!("{all}{some}"), "never asked"),
        (&format!("{all}{all}"), "never asked"),
        ("[[route]]\nto = [\"d\"]\n", "no [channel.d]"),
        ("[[route]]\nto = []\n", "leads nowhere"),
        ("[[route]]\n", "leads nowhere"),
        ("[[route]]\nto = [\"c\"]\nmatch.class = [\"x\"]\n", "integrity, delivery"),
        ("[[route]]\nto = [\"c\"]\nmatch.kind = [\"x\"]\n", "no kind of finding"),
        ("[[route]]\nto = [\"c\"]\nmatch.severity_at_least = \"x\"\n", "info, low"),
        ("[[route]]\nto = [\"c\"]\nmatch.account = [\"x\"]\n", "twelve digits"),
        ("[[route]]\nto = [\"c\"]\nrepeat = \"1s\"\n", "too short"),
    ] {
        refuses(&with(routes), "trailwarden.toml:", &[words]);
    }
}

#[test]
fn a_promise_is_whole_and_is_never_less_for_some() {
    let of = |lines: &str| read(&format!("{MINIMAL}[retention]\n{lines}\n"));
    let more = |lines: &str| format!("keep = \"1y\"\n[[retention.override]]\n{lines}");
    let moves = |list: &str| format!("keep = \"1y\"\ntransitions = [{list}]");
    for (lines, words) in [
        ("mode = \"compliance\"".to_owned(), "no `keep`"),
        ("keep = \"36h\"".into(), "whole days"),
        ("keep = \"101y\"".into(), "hundred years"),
        ("keep = \"1y\"\nmode = \"strict\"".into(), "governance, compliance"),
        ("keep = \"1y\"\nenforce = \"yes\"".into(), "observe, apply"),
        ("keep = \"1y\"\nexpire = \"365d\"".into(), "sooner than the promise of 366 days"),
        ("keep = \"1y\"\nnoncurrent = \"1d\"".into(), "sooner than the promise"),
        (
            "keep = \"1y\"\nexpire = \"1y\"\n[[retention.override]]\naccount = \"111122223333\"\nkeep = \"2y\"".into(),
            "promise of 731 days",
        ),
        ("keep = \"1y\"\nrequests = 0".into(), "out of bounds"),
        ("keep = \"1y\"\nexternal_id = \"x\"".into(), "goes with `role`"),
        (more("keep = \"2y\""), "for nobody"),
        (more("ou = \"x\""), "no `keep`"),
        (more("ou = \"x\"\nkeep = \"365d\""), "an override extends"),
        (more("kind = \"logs\"\nkeep = \"2y\""), "log, digest"),
        (more("account = \"1\"\nkeep = \"2y\""), "twelve digits"),
        (moves("{ after = \"90d\" }"), "no `class`"),
        (moves("{ class = \"GLACIER\" }"), "no `after`"),
        (moves("{ after = \"90d\", class = \"TAPE\" }"), "no storage class"),
        (moves("{ after = \"29d\", class = \"STANDARD_IA\" }"), "before day 30"),
        (
            moves("{ after = \"4d\", class = \"GLACIER_IR\" }, { after = \"93d\", class = \"DEEP_ARCHIVE\" }"),
            "89 days, and 90",
        ),
        (
            moves("{ after = \"4d\", class = \"GLACIER\" }, { after = \"99d\", class = \"GLACIER_IR\" }"),
            "never go from",
        ),
        (moves("{ after = \"2y\", class = \"GLACIER\" }") + "\nexpire = \"1y\"", "expired by then"),
        ("keep = \"1y\"\n[retention.prices]\nmonth = { TAPE = 1 }".into(), "no storage class"),
        ("keep = \"1y\"\n[retention.prices]\nput = -1.0".into(), "no price"),
    ] {
        let error = of(&lines).expect_err(&lines).to_string();
        assert!(error.contains(words), "{lines}: {error}");
    }
    let list = "{ after = \"4d\", class = \"GLACIER_IR\" }, { after = \"94d\", class = \"DEEP_ARCHIVE\" }";
    let good = of(&format!("{}\nincomplete_uploads = \"keep\"", moves(list))).unwrap();
    assert!(good.warnings.iter().any(|told| told.contains("no layout: retention")), "{:?}", good.warnings);
    let promise = &good.retention.as_ref().unwrap().promise;
    assert_eq!((promise.moves.len(), promise.uploads), (2, None));
    let meaning = good.meaning();
    let told = |key: &str| meaning.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    assert_eq!(told("retention.keep"), Some("366 days"));
    assert_eq!(told("retention.transitions"), Some("GLACIER_IR after 4 days, DEEP_ARCHIVE after 94 days"));
    assert_eq!(read(MINIMAL).unwrap().retention, None);
    let layout = "layout = [\"a/AWSLogs/{account}/\", \"AWSLogs/{account}/\", \"b/c/AWSLogs/{account}/\"]\n";
    let trails = read(&format!("{MINIMAL}{layout}")).unwrap().trails;
    assert_eq!(trails[0].prefixes(), ["AWSLogs/", "a/AWSLogs/", "b/c/AWSLogs/"]);
}

#[test]
fn what_is_known_of_the_posture_is_whole() {
    let of = |lines: &str| read(&format!("{MINIMAL}[posture]\n{lines}\n"));
    for (lines, words) in [
        ("every = \"59s\"", "too short"),
        ("external_id = \"x\"", "goes with `role`"),
        ("trails = [\"org\"]", "no trail"),
        ("trails = [\"arn:aws:cloudtrail:*:111122223333:trail/org\"]", "no trail"),
        ("trails = [\"arn:aws:s3:::trail/org\"]", "no trail"),
        ("readers = [\"*\"]", "names nobody"),
        ("writers = [\"arn:aws:iam::111122223333:role/*\"]", "names nobody"),
        ("administrators = [\"me\"]", "names nobody"),
        ("[[posture.accept]]\nreason = \"x\"", "no `weakness`"),
        ("[[posture.accept]]\nweakness = \"public\"", "for a `reason`"),
        ("[[posture.accept]]\nweakness = \"public\"\nreason = \"\"", "an empty text"),
        ("[[posture.accept]]\nweakness = \"publick\"\nreason = \"x\"", "is no weakness"),
        ("[[posture.accept]]\nweakness = \"public:3\"\nreason = \"x\"", "is no weakness"),
    ] {
        let error = of(lines).expect_err(lines).to_string();
        assert!(error.contains(words), "{lines}: {error}");
    }
    assert_eq!(read(MINIMAL).unwrap().posture, None);
    assert_eq!(of("").unwrap().posture, Some(Posture::default()));
    let good = of(
        "readers = [\"111122223333\", \"logging.s3.amazonaws.com\"]\n[[posture.accept]]\nweakness = \"public:0123456789ab\"\nreason = \"a test\"",
    );
    let meaning = good.unwrap().meaning();
    let told = |key: &str| meaning.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    assert_eq!(told("posture.readers"), Some("account 111122223333, the service logging.s3.amazonaws.com"));
    assert_eq!(told("posture.accept.1"), Some("public:0123456789ab: a test"));
}

#[test]
fn what_is_probably_not_meant_is_told() {
    let warned = |added: &str| read(&format!("{MINIMAL}{added}")).unwrap().warnings.join("\n");
    let plain = warned("[alert]\nheartbeat = \"24h\"\n");
    assert!(plain.contains("nobody is told") && plain.contains("nobody hears"), "{plain}");
    assert!(plain.contains("names no owner") && plain.contains("organization.id"), "{plain}");
    let unused = warned("[channel.a]\nkind = \"stdout\"\n[channel.b]\nkind = \"stdout\"\n[[route]]\nto = [\"a\"]\n");
    assert!(unused.contains("channel `b`") && !unused.contains("channel `a`"), "{unused}");
    assert!(warned("[http]\nlisten = \"0.0.0.0:9417\"\n").contains("without a password"));
    assert!(!plain.contains("without a password"));
}
