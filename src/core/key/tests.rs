use proptest::prelude::*;

use super::*;

const LOG: &str = "AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail/eu-west-1/2026/03/01/\
                   111122223333_CloudTrail_eu-west-1_20260301T2212Z_Ab3dEf6hIj9kLm2n.json.gz";
const DIGEST: &str = "p/AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/03/02/\
                      111122223333_CloudTrail-Digest_eu-west-1_org-main_us-east-1_20260302T000713Z.json.gz";

fn fault(key: &str) -> KeyFault {
    match parse(key) {
        ObjectKey::Rejected(fault) => fault,
        other => panic!("{key} is {other:?}"),
    }
}

fn log_of(key: &str) -> LogKey {
    match parse(key) {
        ObjectKey::Log(log) => log,
        other => panic!("{key} is {other:?}"),
    }
}

#[test]
fn years_without_cloudtrail_are_no_dates() {
    for (year, accepted) in [("2012", false), ("2013", true), ("2199", true), ("2200", false), ("9999", false)] {
        for key in [LOG, DIGEST] {
            let judged = parse(&key.replace("2026", year));
            let refused = matches!(judged, ObjectKey::Rejected(KeyFault::BadDate(_)));
            assert_eq!(refused, !accepted, "{judged:?}");
        }
    }
}

#[test]
fn path_tricks_are_refused_wherever_they_stand() {
    assert!(matches!(parse(LOG), ObjectKey::Log(_)));
    for bad in [
        "".to_owned(),
        "/".into(),
        "//".into(),
        format!("/{LOG}"),
        format!("a//{LOG}"),
        format!("../{LOG}"),
        format!("./{LOG}"),
        LOG.replace("2026/03", "2026/../2026/03"),
        LOG.replace("AWSLogs/", "AWSLogs\\"),
        LOG.replace("_Ab3d", "_\nb3d"),
        format!("a\u{85}/{LOG}"),
        "AWSLogs/111122223333/CloudTrail//".into(),
        "AWSLogs/../".into(),
    ] {
        assert_eq!(fault(&bad), KeyFault::Unsafe, "{bad}");
    }
    assert!(matches!(fault(&format!("{}/{LOG}", "p".repeat(1000))), KeyFault::BadName(_)));
}

#[test]
fn what_the_folders_say_binds_the_file_name() {
    let mismatch = |from: &str, to: &str| fault(&LOG.replace(from, to));
    assert_eq!(
        mismatch("111122223333_", "999988887777_"),
        KeyFault::AccountMismatch { folder: "111122223333".into(), file: "999988887777".into() }
    );
    assert_eq!(
        mismatch("_eu-west-1_", "_us-east-1_"),
        KeyFault::RegionMismatch { folder: "eu-west-1".into(), file: "us-east-1".into() }
    );
    assert!(matches!(mismatch("_eu-west-1_2026", "_eu-west-1-2026"), KeyFault::RegionMismatch { .. }));
    let dates = KeyFault::DateMismatch { folder: "2026-03-01".into(), file: "2026-03-02".into() };
    assert_eq!(mismatch("20260301T", "20260302T"), dates);
    assert_eq!(mismatch("T2212Z", "T2460Z"), KeyFault::BadDate("20260301T2460Z".into()));
    assert_eq!(mismatch("2026/03/01", "2026/3/1"), KeyFault::BadDate("2026/3/1".into()));
    assert_eq!(mismatch("/111122223333/", "/11112222333/"), KeyFault::BadAccount);
    let digest = |from: &str, to: &str| fault(&DIGEST.replace(from, to));
    assert!(matches!(digest("111122223333_", "999988887777_"), KeyFault::AccountMismatch { .. }));
    assert!(matches!(digest("_eu-west-1_", "_us-east-1_"), KeyFault::RegionMismatch { .. }));
    assert!(matches!(digest("20260302T", "20260301T"), KeyFault::DateMismatch { .. }));
}

#[test]
fn names_outside_the_grammar_are_refused() {
    for (key, from, to) in [
        (LOG, "_CloudTrail_", "_CloudTrail-Insight_"),
        (LOG, "CloudTrail_eu", "CloudTrail-eu"),
        (LOG, "T2212Z", "T221205Z"),
        (LOG, "Ab3dEf6hIj9kLm2n", ""),
        (LOG, "_Ab3dEf6hIj9kLm2n", ""),
        (LOG, "Ab3d", "Ab-d"),
        (LOG, ".json.gz", ".json"),
        (LOG, "/eu-west-1/", "/eu-west/"),
        (LOG, "/CloudTrail/", "/CloudTrail/extra/"),
        (LOG, "o-a1b2c3d4e5", "o-short"),
        (DIGEST, "org-main", "or"),
        (DIGEST, "org-main", "-org-main"),
        (DIGEST, "org-main", "org--main"),
        (DIGEST, "org-main", "org main"),
        (DIGEST, "_us-east-1_", "_us-east_"),
        (DIGEST, "T000713Z", "T0007Z"),
        (DIGEST, "Z.json", "Z_other.json"),
        (DIGEST, "_org-main", ""),
    ] {
        let bad = key.replacen(from, to, 1);
        assert!(matches!(fault(&bad), KeyFault::BadName(_)), "{bad}");
    }
    assert_eq!(fault("2026/03/01/x.json.gz"), KeyFault::Outside);
    assert!(matches!(fault("AWSLogs/111122223333/CloudTrail"), KeyFault::BadName(_)));
}

#[test]
fn names_of_2014_lack_an_underscore() {
    let old = LOG.replace("Z_Ab3d", "ZAb3d");
    let log = log_of(&old);
    assert!(log.odd_name);
    assert_eq!(log.delivered, log_of(LOG).delivered);
    assert_eq!(log.format(), old);
}

#[test]
fn undocumented_names_are_accepted_only_where_nothing_is_documented() {
    let insight = LOG.replace("/CloudTrail/", "/CloudTrail-Insight/");
    let log = log_of(&insight);
    assert_eq!((log.kind, log.odd_name, log.format()), (LogKind::Insight, true, insight.clone()));
    assert_eq!(log.delivered.to_string(), "2026-03-01T22:12:00Z");
    let bare = insight.replace("_CloudTrail_eu-west-1_20260301T2212Z_Ab3dEf6hIj9kLm2n", "_CloudTrailX");
    assert_eq!(log_of(&bare).delivered.to_string(), "2026-03-01T00:00:00Z");
    assert!(matches!(fault(&insight.replace("_eu-west-1_", "_us-east-1_")), KeyFault::RegionMismatch { .. }));
    assert!(matches!(fault(&insight.replace("0301T", "0302T")), KeyFault::DateMismatch { .. }));
    assert!(matches!(fault(&insight.replace("333_CloudTrail", "333_Config")), KeyFault::BadName(_)));
}

#[test]
fn the_last_aws_logs_with_a_valid_remainder_counts() {
    assert_eq!(log_of(&format!("AWSLogs/111122223333/x/{LOG}")).root.prefix, "AWSLogs/111122223333/x");
    assert_eq!(parse("AWSLogs/111122223333/Config/AWSLogs/x"), ObjectKey::OtherService("Config".into()));
}

#[test]
fn markers_name_the_account_if_there_is_one() {
    let account = Some(AccountId::parse("111122223333").unwrap());
    assert_eq!(parse("AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail/"), ObjectKey::Marker(account));
    assert_eq!(parse("p/AWSLogs/111122223333/"), ObjectKey::Marker(account));
    assert_eq!(parse("p/AWSLogs/"), ObjectKey::Marker(None));
    assert_eq!(parse("p/"), ObjectKey::Marker(None));
}

prop_compose! {
    fn a_root()(
        prefix in prop::collection::vec("[a-zA-Z0-9 +%=é_.-]{1,8}[a-z]|AWSLogs|o-a1b2c3d4e5", 0..3),
        org in prop::option::of("o-[a-z0-9]{10,32}"),
        account in "[0-9]{12}",
    ) -> Root {
        Root {
            prefix: prefix.join("/"),
            org: org.map(|org| OrgId::parse(&org).unwrap()),
            account: AccountId::parse(&account).unwrap(),
        }
    }
}

prop_compose! {
    fn a_region()(text in "[a-z]{2,4}(-[a-z]{1,8}){1,2}-[0-9]{1,2}") -> Region {
        Region::parse(&text).unwrap()
    }
}

/// The years of [`YEARS`], in whole minutes.
const MINUTES: std::ops::Range<i64> = 22_616_640..120_968_640;

proptest! {
    #[test]
    fn a_log_key_reads_back_as_it_was_written(
        root in a_root(), region in a_region(), minutes in MINUTES,
        kind in prop::sample::select(LogKind::ALL.to_vec()), unique in "[A-Za-z0-9]{16}",
    ) {
        let delivered = Timestamp::from_second(minutes * 60).unwrap();
        let date = Offset::UTC.to_datetime(delivered).date();
        let log = LogKey { root, kind, region, date, delivered, unique, odd_name: false };
        prop_assert_eq!(parse(&log.format()), ObjectKey::Log(log));
    }

    #[test]
    fn a_digest_key_reads_back_as_it_was_written(
        root in a_root(), region in a_region(), home in a_region(), minutes in MINUTES, second in 0_i64..60,
        trail in "[a-z0-9]{1,9}([._-][a-zA-Z0-9]{1,9}){1,4}(_us-west-2|_backfill|_20260302T000713Z)?", backfill in any::<bool>(),
    ) {
        let end = Timestamp::from_second(minutes * 60 + second).unwrap();
        let digest = DigestKey { root, region, trail, home, end, backfill };
        prop_assert_eq!(parse(&digest.format()), ObjectKey::Digest(digest));
    }

    #[test]
    fn any_text_is_judged(text in any::<String>(), at in 0_usize..160, with in any::<char>()) {
        parse(&text);
        for key in [LOG, DIGEST] {
            let changed: String = key.chars().enumerate().map(|(i, c)| if i == at { with } else { c }).collect();
            // whatever is accepted is accepted exactly as it stands
            match parse(&changed) {
                ObjectKey::Log(log) => prop_assert_eq!(log.format(), changed),
                ObjectKey::Digest(digest) => prop_assert_eq!(digest.format(), changed),
                _ => {}
            }
        }
    }
}
