use std::collections::BTreeMap;

use jiff::civil::date;

use super::cost::{Amount, Archive, Course, Pile};
use super::lifecycle::{Filter, When};
use super::*;

mod rules;

const GOVERNANCE: Mode = Mode::Governance;
const COMPLIANCE: Mode = Mode::Compliance;

fn term(mode: Mode, days: u32) -> Term {
    Term { mode, days }
}

fn account(digit: u8) -> AccountId {
    AccountId::parse(&digit.to_string().repeat(12)).unwrap()
}

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn promise(mode: Mode, days: u32) -> Promise {
    Promise {
        term: term(mode, days),
        overrides: Vec::new(),
        moves: Vec::new(),
        smallest: 128 << 10,
        expire: None,
        noncurrent: None,
        uploads: None,
    }
}

fn over(ou: Option<&str>, account: Option<AccountId>, evidence: Option<Evidence>, days: u32) -> Override {
    Override { ou: ou.map(Into::into), account, evidence, days }
}

#[test]
fn overrides_extend_whom_they_name_and_digests_follow_their_logs() {
    let mut promise = promise(GOVERNANCE, 100);
    promise.overrides = vec![
        over(Some("ou-prod"), None, None, 200),
        over(None, Some(account(1)), Some(Evidence::Log), 300),
        over(None, Some(account(2)), Some(Evidence::Digest), 400),
        over(Some("ou-prod"), Some(account(3)), None, 500),
        over(None, Some(account(1)), None, 150),
    ];
    let (none, prod) = (Vec::new(), vec!["r-1".to_owned(), "ou-prod".to_owned(), "ou-leaf".to_owned()]);
    for (number, path, logs, digests) in [
        (9, &none, 100, 100),
        (9, &prod, 200, 200),
        (1, &none, 300, 300),
        (2, &none, 100, 400),
        (2, &prod, 200, 400),
        (3, &none, 100, 100),
        (3, &prod, 500, 500),
    ] {
        let days = |kind| promise.days(account(number), &|ou| path.iter().any(|unit| unit == ou), kind);
        assert_eq!((days(Evidence::Log), days(Evidence::Digest)), (logs, digests), "{number} {path:?}");
    }
    assert_eq!(promise.longest(), 500);
}

/// Whatever is and whatever is wanted: what comes of it is never less.
#[test]
fn nothing_ever_becomes_shorter_or_weaker() {
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let all: Vec<Retention> = [GOVERNANCE, COMPLIANCE]
        .into_iter()
        .flat_map(|mode| [10, 20, 30].map(|second| Retention { mode, until: at(second) }))
        .collect();
    for actual in all.iter().copied().map(Some).chain([None]) {
        for wanted in all.iter().copied() {
            let keeps = |to: Retention| actual.is_none_or(|actual| to.until >= actual.until && to.mode >= actual.mode);
            match extension(actual, wanted) {
                Extension::Enough => {
                    let actual = actual.unwrap();
                    assert!(actual.until >= wanted.until && actual.mode >= wanted.mode);
                }
                Extension::Extend(to) => {
                    assert!(keeps(to) && to.until >= wanted.until && to.mode >= wanted.mode);
                    assert_eq!(refusal(actual, to), None);
                    assert_ne!(Some(to), actual);
                }
            }
            assert_eq!(refusal(actual, wanted).is_none(), keeps(wanted), "{actual:?} {wanted:?}");
        }
    }
    for actual in [term(GOVERNANCE, 10), term(COMPLIANCE, 10), term(GOVERNANCE, 20)] {
        for wanted in [term(GOVERNANCE, 10), term(COMPLIANCE, 15), term(GOVERNANCE, 20)] {
            let more = wanted.or_more(Some(actual));
            assert!(more.covers(actual) && more.covers(wanted));
            let fine = wanted.days >= actual.days && wanted.mode >= actual.mode;
            assert_eq!(default_refusal(Some(actual), wanted).is_none(), fine, "{actual} {wanted}");
        }
    }
    assert_eq!(default_refusal(None, term(GOVERNANCE, 1)), None);
}

#[test]
fn a_lock_ends_in_whole_seconds_and_never_early() {
    let created: Timestamp = "2026-01-01T00:00:00.25Z".parse().unwrap();
    assert_eq!(term(GOVERNANCE, 1).until(created).to_string(), "2026-01-02T00:00:01Z");
    assert_eq!(
        term(GOVERNANCE, 2557).until("2026-01-01T00:00:00Z".parse().unwrap()).to_string(),
        "2033-01-01T00:00:00Z"
    );
    let shown = Retention { mode: GOVERNANCE, until: "2026-01-02T00:00:01Z".parse().unwrap() };
    assert_eq!(shortfall(term(GOVERNANCE, 1), created, shown), None);
    assert!(shortfall(term(COMPLIANCE, 1), created, shown).is_some());
    assert!(shortfall(term(GOVERNANCE, 2), created, shown).is_some());
}

fn protection(parts: &[(Part, &str)]) -> Protection {
    let mut all: BTreeMap<Part, Fact> = Part::ALL.into_iter().map(|part| (part, Fact::Absent)).collect();
    all.extend(parts.iter().map(|(part, text)| (*part, Fact::Value((*text).into()))));
    Protection(all)
}

fn lock_xml(inner: &str) -> String {
    format!(
        "<O><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>{inner}</DefaultRetention></Rule></O>"
    )
}

#[test]
fn a_default_is_read_as_the_least_that_it_can_mean() {
    let of = |text: &str| default_of(&protection(&[(Part::ObjectLock, text)]));
    assert_eq!(of(&lock_xml("<Mode>COMPLIANCE</Mode><Days>5</Days>")), Ok(Some(term(COMPLIANCE, 5))));
    assert_eq!(of(&lock_xml("<Mode> GOVERNANCE </Mode><Years>7</Years>")), Ok(Some(term(GOVERNANCE, 2555))));
    assert_eq!(of("<O><ObjectLockEnabled>Enabled</ObjectLockEnabled></O>"), Ok(None));
    assert_eq!(default_of(&protection(&[])), Ok(None));
    for bad in [
        "<Mode>X</Mode><Days>1</Days>",
        "<Mode>GOVERNANCE</Mode>",
        "<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>",
        "<Mode>GOVERNANCE</Mode><Days>-1</Days>",
    ] {
        assert!(of(&lock_xml(bad)).is_err(), "{bad}");
    }
    assert!(of("<O").is_err() && default_of(&Protection::default()).is_err());
}

const VERSIONED: (Part, &str) = (Part::Versioning, "<V><Status>Enabled</Status></V>");

struct Case {
    promise: Promise,
    protection: Protection,
    stock: Stock,
    needs: Vec<Need>,
    scrubs: bool,
}

impl Case {
    fn new(promise: Promise, parts: &[(Part, &str)]) -> Self {
        Self { promise, protection: protection(parts), stock: Stock::default(), needs: Vec::new(), scrubs: true }
    }

    fn plan(&self) -> Plan {
        plan::make(&Input {
            trail: "org",
            bucket: "b",
            promise: &self.promise,
            protection: &self.protection,
            stock: &self.stock,
            needs: &self.needs,
            empty_units: &[],
            prices: &Prices::default(),
            prefixes: &["AWSLogs/".to_owned()],
            scrubs: self.scrubs,
            now: now(),
        })
    }

    fn warned(&self, kind: WarningKind) -> Vec<Warning> {
        self.plan().warnings.into_iter().filter(|warning| warning.kind == kind).collect()
    }
}

fn rules(inner: &str) -> String {
    format!("<LifecycleConfiguration xmlns=\"x\">{inner}</LifecycleConfiguration>")
}

fn foreign(acts: &str) -> String {
    format!("<Rule><ID>theirs</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>{acts}</Rule>")
}

const EXPIRE: &str = "<Expiration><Days>99</Days></Expiration>";

#[test]
fn a_bare_bucket_needs_everything_in_order_and_one_as_promised_needs_nothing() {
    let mut promise = promise(COMPLIANCE, 100);
    (promise.uploads, promise.noncurrent, promise.expire) = (Some(7), Some(200), Some(100));
    promise.moves = vec![Move { after: 30, class: Class::GlacierIr }];
    let mut case = Case::new(promise, &[]);
    case.needs = vec![Need {
        account: account(1),
        mode: COMPLIANCE,
        logs: 300,
        digests: 300,
        before: None,
        objects: 5,
        bytes: 10,
    }];
    let plan = case.plan();
    let calls: Vec<&str> = plan.steps.iter().map(|step| step.call.as_str()).collect();
    assert_eq!(
        calls,
        [
            "s3:PutBucketVersioning",
            "s3:PutBucketObjectLockConfiguration",
            "s3:PutLifecycleConfiguration",
            "s3:PutObjectRetention"
        ]
    );
    assert!(plan.steps.iter().all(|step| step.irreversible.is_some() && !step.diff.is_empty()));
    assert_eq!(plan.steps[1].action, Action::SetDefault { term: term(COMPLIANCE, 100) });
    assert!(plan.steps[1].means.contains("2027-03-01T10:00:00Z"), "{}", plan.steps[1].means);
    assert_eq!((plan.steps[3].effect.objects, plan.steps[3].effect.calls), (5, 10));

    // As it is once every step is taken.
    let Action::SetLifecycle { document: Some(document), .. } = &plan.steps[2].action else { panic!() };
    let lock = lock_xml("<Mode>COMPLIANCE</Mode><Days>100</Days>");
    let parts = [VERSIONED, (Part::ObjectLock, lock.as_str()), (Part::Lifecycle, document.as_str())];
    let after = Case::new(case.promise, &parts);
    assert_eq!(after.plan().steps, []);
    assert!(after.plan().is_empty() && !plan.is_empty());
    assert_ne!(after.plan().state, plan.state);
    assert_eq!(after.plan().wanted, plan.wanted);

    // The rest after each of them.
    for taken in 0..3 {
        let mut rest = Case::new(after.promise.clone(), &parts[..taken]);
        rest.needs = case.needs.clone();
        assert!(rest.plan().is_rest(&plan.steps[taken..]), "{taken}");
        assert!(!rest.plan().is_rest(&plan.steps[taken + 1..]) || taken == 3);
    }
}

#[test]
fn a_stronger_bucket_is_left_as_it_is_and_a_mixed_one_gets_the_best_of_both() {
    let stays = |mode: Mode, days: u32, actual: &str| {
        let lock = lock_xml(actual);
        Case::new(promise(mode, days), &[VERSIONED, (Part::ObjectLock, &lock)])
    };
    for actual in ["<Mode>COMPLIANCE</Mode><Days>100</Days>", "<Mode>GOVERNANCE</Mode><Days>101</Days>"] {
        let case = stays(GOVERNANCE, 100, actual);
        assert_eq!(case.plan().steps, [], "{actual}");
        assert_eq!(case.warned(WarningKind::KeepsLonger).len(), 1);
        assert!(case.plan().is_empty(), "to keep longer is no danger");
    }
    let case = stays(COMPLIANCE, 100, "<Mode>GOVERNANCE</Mode><Days>300</Days>");
    assert_eq!(case.plan().steps[0].action, Action::SetDefault { term: term(COMPLIANCE, 300) });
    let case = stays(GOVERNANCE, 100, "<Mode>GOVERNANCE</Mode><Days>99</Days>");
    assert_eq!(case.plan().steps[0].action, Action::SetDefault { term: term(GOVERNANCE, 100) });
    assert_eq!(case.plan().steps[0].irreversible, None, "governance can be taken back");
}

#[test]
fn what_could_not_be_read_is_told_and_not_touched() {
    let mut promise = promise(COMPLIANCE, 100);
    promise.uploads = Some(7);
    let mut case = Case::new(promise, &[]);
    for part in Part::RETENTION {
        case.protection.0.insert(part, Fact::Unread("denied".into()));
    }
    let plan = case.plan();
    assert_eq!(plan.steps, []);
    assert_eq!(plan.unread, ["object lock: denied", "versioning: denied", "lifecycle: denied"]);
    for strange in
        ["<Lifecycle/>", "<LifecycleConfiguration><Other/></LifecycleConfiguration>", "<LifecycleConfiguration>"]
    {
        case.protection = protection(&[VERSIONED, (Part::Lifecycle, strange)]);
        let plan = case.plan();
        assert_eq!(plan.steps.len(), 1, "only the default: {strange}");
        assert_eq!(plan.unread.len(), 1);
    }
}

#[test]
fn rules_of_others_stay_byte_for_byte_and_ours_are_replaced() {
    let theirs = "<Rule ><ID>a&#x20;&amp; b</ID>\n <Filter><And><Prefix>x</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>\
                  <Status>Disabled</Status><Brand><New/></Brand></Rule>";
    let old = "<Rule><ID>trailwarden-uploads</ID><Prefix/><Status>Enabled</Status></Rule>";
    let document = rules(&format!("\n{old}\n{theirs}\n<!-- c -->{}", foreign(EXPIRE)));
    let mut promise = promise(GOVERNANCE, 100);
    promise.uploads = Some(3);
    let lock = lock_xml("<Mode>GOVERNANCE</Mode><Days>100</Days>");
    let parts = [VERSIONED, (Part::ObjectLock, lock.as_str()), (Part::Lifecycle, document.as_str())];
    let plan = Case::new(promise.clone(), &parts).plan();
    let [step] = plan.steps.as_slice() else { panic!("{:?}", plan.steps) };
    let Action::SetLifecycle { document: Some(new), minimum: None, .. } = &step.action else { panic!() };
    assert!(new.contains(theirs) && new.contains(&foreign(EXPIRE)));
    assert!(!new.contains(old));
    let read = lifecycle::read(new).unwrap();
    assert_eq!(
        read.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(),
        ["a & b", "theirs", "trailwarden-uploads"]
    );
    assert_eq!(read[0].strange, ["Brand"]);
    assert_eq!(read[2].uploads, Some(3));
    assert_eq!(step.irreversible, None);
    assert_eq!(step.diff.len(), 4, "{:?}", step.diff);
    // Nothing of ours is wanted any more.
    promise.uploads = None;
    let plan = Case::new(promise.clone(), &parts).plan();
    let Action::SetLifecycle { document: Some(new), .. } = &plan.steps[0].action else { panic!() };
    assert_eq!(lifecycle::read(new).unwrap().len(), 2);
    let only = rules(old);
    let plan = Case::new(promise, &[VERSIONED, parts[1], (Part::Lifecycle, &only)]).plan();
    assert!(matches!(plan.steps[0].action, Action::SetLifecycle { document: None, minimum: None, .. }));
}

#[test]
fn a_document_says_what_it_means() {
    let rule = foreign(
        "<Expiration><Date>2027-01-01T00:00:00.000Z</Date></Expiration>\
         <Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>\
         <Transition><Date>2027-01-01T00:00:00Z</Date><StorageClass>NEWEST</StorageClass></Transition>\
         <NoncurrentVersionExpiration><NoncurrentDays>9</NoncurrentDays><NewerNoncurrentVersions>3</NewerNoncurrentVersions></NoncurrentVersionExpiration>\
         <NoncurrentVersionTransition><NoncurrentDays>8</NoncurrentDays><StorageClass>GLACIER</StorageClass></NoncurrentVersionTransition>",
    );
    let read = lifecycle::read(&rules(&rule)).unwrap().remove(0);
    assert!(read.enabled && read.strange.is_empty());
    let new_year: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(read.expiration, Some(When::Date(new_year)));
    assert_eq!(read.moves, [(When::Days(30), Some(Class::StandardIa)), (When::Date(new_year), None)]);
    assert_eq!((read.noncurrent, read.noncurrent_moves), (Some(9), vec![(8, Some(Class::Glacier))]));
    for bad in [
        "<Expiration><Days>x</Days></Expiration>",
        "<Transition><StorageClass>GLACIER</StorageClass></Transition>",
        "<Expiration><Date>soon</Date></Expiration>",
    ] {
        assert!(lifecycle::read(&rules(&foreign(bad))).is_err(), "{bad}");
    }
    let meets = |prefix: &str| Filter { prefix: prefix.into(), ..Filter::default() }.meets(&["AWSLogs/".to_owned()]);
    assert!(
        meets("") && meets("AWS") && meets("AWSLogs/") && meets("AWSLogs/1/") && !meets("tmp/") && !meets("AWSLogsX")
    );
    for own in
        ["o-ab12/", "o-ab12/1/", "1/Cloud", "1/CloudTrail/", "o-ab12/1/CloudTrail-Digest/eu-west-1/", "1/CloudTrail-I"]
    {
        assert!(meets(&format!("AWSLogs/{own}")), "{own}");
    }
    for other in ["1/elasticloadbalancing/", "o-ab12/1/Config/", "1/vpcflowlogs/eu-west-1/", "1/Con", "1/CloudTrailX/"]
    {
        assert!(!meets(&format!("AWSLogs/{other}")), "{other}");
    }
}

/// Each danger with the document that has it, and the same document without.
#[test]
fn what_is_about_to_go_wrong_is_told_before() {
    let small = Stock { days: BTreeMap::from([(date(2026, 11, 1), Pile { small: (90, 900), large: (10, 10 << 20) })]) };
    let lock = lock_xml("<Mode>GOVERNANCE</Mode><Days>100</Days>");
    let case = |document: &str, more: &[(Part, &str)]| {
        let document = rules(document);
        let mut parts = vec![VERSIONED, (Part::ObjectLock, lock.as_str()), (Part::Lifecycle, document.as_str())];
        parts.extend(more);
        Case { stock: small.clone(), ..Case::new(promise(GOVERNANCE, 100), &parts) }
    };
    let moves = |days: u32, class: &str| {
        format!("<Transition><Days>{days}</Days><StorageClass>{class}</StorageClass></Transition>")
    };
    let old = |days: u32| {
        format!("<NoncurrentVersionExpiration><NoncurrentDays>{days}</NoncurrentDays></NoncurrentVersionExpiration>")
    };
    let days = |days: u32| format!("<Expiration><Days>{days}</Days></Expiration>");
    let within = |filter: &str, acts: &str| {
        format!("<Rule><ID>r</ID><Filter>{filter}</Filter><Status>Enabled</Status>{acts}</Rule>")
    };
    use WarningKind as K;
    let off = (Part::Versioning, "<V/>");
    let unsure = (Part::LifecycleMinimum, "varies_by_storage_class");
    let digests = "<Prefix>AWSLogs/1/CloudTrail-Digest/</Prefix>";
    let both = |class: &str| {
        "<And><Prefix/><ObjectSizeGreaterThan>".to_owned()
            + class
            + "</ObjectSizeGreaterThan><ObjectSizeLessThan>11</ObjectSizeLessThan></And>"
    };
    type Row<'a> = (K, bool, String, Vec<(Part, &'a str)>, String);
    let rows: Vec<Row> = vec![
        (K::ExpiresEarly, true, foreign(&days(99)), vec![], foreign(&days(100))),
        (
            K::ExpiresEarly,
            true,
            foreign("<Expiration><Date>2090-01-01T00:00:00Z</Date></Expiration>"),
            vec![],
            foreign(""),
        ),
        (K::ExpiresEarly, false, foreign(&old(99)), vec![], foreign(&old(100))),
        (
            K::ExpiresEarly,
            false,
            within("<And><Prefix/><Tag><Key>k</Key><Value>v</Value></Tag></And>", &days(99)),
            vec![],
            within(&both("10"), &days(99)),
        ),
        (K::ExpiresEarly, true, foreign(&old(99)), vec![(Part::ObjectLock, "<O/>")], foreign(&old(100))),
        (
            K::DigestsDieFirst,
            true,
            within(digests, &days(500)),
            vec![],
            within("<Prefix>AWSLogs/1/</Prefix>", &days(500)),
        ),
        (K::NeverFires, false, within(&both("10"), &days(500)), vec![], within(&both("9"), &days(500))),
        (K::NeverFires, false, foreign(&old(500)), vec![off], foreign(&days(500))),
        (K::NeverFires, false, within("<Tag><Key>k</Key></Tag>", &days(500)), vec![], within("", &days(500))),
        (
            K::NeverFires,
            false,
            foreign(&(days(500) + &moves(500, "GLACIER_IR"))),
            vec![],
            foreign(&(days(500) + &moves(400, "GLACIER_IR"))),
        ),
        (K::TooSmall, false, foreign(&moves(30, "GLACIER_IR")), vec![], foreign(&days(500))),
        (
            K::TooSmall,
            false,
            foreign(&moves(30, "GLACIER")),
            vec![],
            within("<ObjectSizeGreaterThan>0</ObjectSizeGreaterThan>", &moves(30, "GLACIER")),
        ),
        (K::NotReadable, false, foreign(&moves(30, "DEEP_ARCHIVE")), vec![], foreign(&moves(30, "GLACIER_IR"))),
        (
            K::PaysTwice,
            false,
            foreign(&(moves(30, "GLACIER_IR") + &moves(119, "DEEP_ARCHIVE"))),
            vec![],
            foreign(&(moves(30, "GLACIER_IR") + &moves(120, "DEEP_ARCHIVE"))),
        ),
        (
            K::PaysTwice,
            false,
            foreign(&(moves(30, "GLACIER") + &moves(300, "STANDARD_IA"))),
            vec![],
            foreign(&moves(30, "GLACIER")),
        ),
        (
            K::PaysTwice,
            false,
            foreign(&(moves(400, "GLACIER") + &days(489))),
            vec![],
            foreign(&(moves(400, "GLACIER") + &days(490))),
        ),
        (
            K::PaysTwice,
            false,
            within("<ObjectSizeGreaterThan>9</ObjectSizeGreaterThan>", &moves(30, "GLACIER_IR")),
            vec![],
            foreign(&moves(30, "GLACIER_IR")),
        ),
        (K::HidesOnly, false, foreign(&days(500)), vec![], foreign(&(days(500) + &old(500)))),
        (K::ReplacesMinimum, false, foreign(&moves(30, "GLACIER")), vec![], foreign(&moves(30, "GLACIER_IR"))),
        (K::NotUnderstood, false, foreign("<Brand/>"), vec![], foreign("")),
        (
            K::LogTarget,
            false,
            foreign(""),
            vec![(Part::Policy, "{\"Service\":\"logging.s3.amazonaws.com\"}")],
            foreign(""),
        ),
    ];
    for (kind, danger, bad, more, good) in rows {
        let found = case(&bad, &more).warned(kind);
        assert!(found.iter().any(|warning| warning.danger == danger), "{kind:?}: {bad}: {found:?}");
        let fine = case(&good, &[]).warned(kind);
        assert_eq!(fine, [], "{kind:?}: {good}");
    }
    assert_eq!(case(&foreign(&moves(30, "GLACIER")), &[unsure]).warned(K::TooSmall), [], "all sizes go to an archive");
    assert_eq!(case(&foreign(&moves(30, "GLACIER")), &[unsure]).warned(K::ReplacesMinimum), []);
    let elsewhere = within("<Prefix>tmp/</Prefix>", &days(1));
    assert_eq!(case(&elsewhere, &[]).plan().warnings, [], "not about the archive");
    let disabled = foreign(&days(1)).replace("Enabled", "Disabled");
    assert_eq!(case(&disabled, &[]).plan().warnings, []);
    assert!(!case(&foreign(&days(99)), &[]).plan().is_empty(), "a danger is a difference");
    assert!(Case { scrubs: false, ..case(&foreign(&moves(30, "GLACIER")), &[]) }.warned(K::NotReadable).is_empty());
    let mut overridden = case(&foreign(&days(150)), &[]);
    assert_eq!(overridden.warned(K::ExpiresEarly), []);
    overridden.promise.overrides = vec![over(None, Some(account(1)), None, 151)];
    assert_eq!(overridden.warned(K::ExpiresEarly).len(), 1, "some are promised for longer");
}

#[test]
fn what_s3_would_refuse_is_no_step() {
    let mut promise = promise(GOVERNANCE, 100);
    promise.uploads = Some(7);
    let lock = lock_xml("<Mode>GOVERNANCE</Mode><Days>100</Days>");
    let device = "<V><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></V>";
    let plan = Case::new(promise.clone(), &[(Part::Versioning, device), (Part::ObjectLock, &lock)]).plan();
    assert_eq!((plan.steps.len(), plan.warnings[0].kind), (0, WarningKind::MfaDelete));
    for (number, steps) in [(999, 1), (1000, 0)] {
        let many = rules(&foreign("").repeat(number));
        let plan = Case::new(promise.clone(), &[VERSIONED, (Part::ObjectLock, &lock), (Part::Lifecycle, &many)]).plan();
        assert_eq!(plan.steps.len(), steps, "{number}");
    }
}

/// By hand, from the price list.
#[test]
fn a_month_costs_what_the_price_list_says() {
    let prices = Prices::default();
    let gib = (1_u64 << 30) as f64;
    let what = Amount { objects: 1_000_000.0, bytes: 20_000.0 * 1_000_000.0 };
    let paid = |class, dollars: f64| {
        let month = prices.month(what, class);
        assert!((month - dollars).abs() < dollars * 1e-9, "{class}: {month}, not {dollars}");
    };
    paid(Class::Standard, 2e10 / gib * 0.023);
    paid(Class::IntelligentTiering, 2e10 / gib * 0.023);
    paid(Class::StandardIa, 131_072e6 / gib * 0.0125);
    paid(Class::OnezoneIa, 131_072e6 / gib * 0.01);
    paid(Class::GlacierIr, 131_072e6 / gib * 0.004);
    paid(Class::Glacier, (2e10 + 32_768e6) / gib * 0.0036 + 8_192e6 / gib * 0.023);
    paid(Class::DeepArchive, (2e10 + 32_768e6) / gib * 0.00099 + 8_192e6 / gib * 0.023);
    let large = Amount { objects: 1_000.0, bytes: 2e8 };
    assert!((prices.month(large, Class::IntelligentTiering) - 2e8 / gib * 0.023 - 0.0025).abs() < 1e-12);
    assert!((prices.month(large, Class::GlacierIr) - 2e8 / gib * 0.004).abs() < 1e-12);
    assert!((prices.calls(1_000_000) - 5.4).abs() < 1e-9);
}

#[test]
fn objects_are_where_their_age_and_size_put_them() {
    let moves = "<Transition><Days>30</Days><StorageClass>GLACIER_IR</StorageClass></Transition>\
                 <Transition><Days>120</Days><StorageClass>DEEP_ARCHIVE</StorageClass></Transition>";
    let read =
        lifecycle::read(&rules(&(foreign(moves) + &foreign("<Expiration><Days>200</Days></Expiration>")))).unwrap();
    let course = Course::of(&read, &["AWSLogs/".into()], None);
    let today = date(2026, 11, 21);
    let pile = Pile { small: (2, 200), large: (1, 1 << 30) };
    let prices = Prices::default();
    let month = |age: i32| {
        let day = today.checked_sub(jiff::Span::new().days(age)).unwrap();
        course.month(&Stock { days: BTreeMap::from([(day, pile)]) }, today, &prices)
    };
    let (small, large) = (Amount::new(2, 200), Amount::new(1, 1 << 30));
    let sum = |class| prices.month(small, Class::Standard) + prices.month(large, class);
    for (age, wanted) in [
        (0, sum(Class::Standard)),
        (29, sum(Class::Standard)),
        (30, sum(Class::GlacierIr)),
        (119, sum(Class::GlacierIr)),
        (120, sum(Class::DeepArchive)),
        (199, sum(Class::DeepArchive)),
        (200, 0.0),
    ] {
        assert!((month(age) - wanted).abs() < 1e-12, "{age}: {} not {wanted}", month(age));
    }
    // A full archive: each of 250 days, 50 of which have expired.
    let daily: BTreeMap<_, _> =
        (1..=60).map(|age| (today.checked_sub(jiff::Span::new().days(age)).unwrap(), pile)).collect();
    let archive = Archive::of((&course, &course), &Stock { days: daily }, today, 250, &prices);
    assert_eq!((archive.objects, archive.bytes), (180, 60 * (200 + (1 << 30))));
    assert_eq!((archive.full_objects, archive.full_bytes), (600, 200 * (200 + (1 << 30))));
    let full = 30.0 * sum(Class::Standard) + 90.0 * sum(Class::GlacierIr) + 80.0 * sum(Class::DeepArchive);
    assert!((archive.full_month - full).abs() < 1e-9, "{} not {full}", archive.full_month);
}

#[test]
fn a_change_of_rules_moves_what_is_old_enough() {
    let mut promise = promise(GOVERNANCE, 100);
    promise.moves = vec![Move { after: 90, class: Class::Glacier }];
    let day = |age: i32| date(2026, 11, 21).checked_sub(jiff::Span::new().days(age)).unwrap();
    let pile = Pile { small: (1_000, 1_000), large: (2_000, 2_000 << 20) };
    let lock = lock_xml("<Mode>GOVERNANCE</Mode><Days>100</Days>");
    let mut case = Case::new(promise, &[VERSIONED, (Part::ObjectLock, &lock)]);
    case.stock.days = BTreeMap::from([(day(89), pile), (day(90), pile)]);
    let plan = case.plan();
    let effect = plan.steps[0].effect;
    assert_eq!((effect.objects, effect.bytes, effect.calls), (2_000, 2_000 << 20, 1));
    assert!((effect.once - (2.0 * 0.03 + 0.005 / 1000.0)).abs() < 1e-9, "{}", effect.once);
    let prices = Prices::default();
    let moved = Amount::new(2_000, 2_000 << 20);
    let monthly = prices.month(moved, Class::Glacier) - prices.month(moved, Class::Standard);
    assert!((effect.monthly - monthly).abs() < 1e-9 && monthly < 0.0);
    assert!((plan.archive.month_planned - plan.archive.month - monthly).abs() < 1e-9);
}
