//! Policies made by a die, against an evaluator that is slow and obviously right: it knows a small universe of callers, actions,
//! objects and circumstances, and tries them all. What it finds allowed, ours may not call denied; and a policy that it finds open
//! to somebody who should not write, delete or administer has a weakness at a statement that opens it.
//! `TRAILWARDEN_SEED=2 TRAILWARDEN_CASES=100000 cargo test --test golden openness` throws other dice, and more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use fastrand::Rng;
use serde_json::{Value, json};
use trailwarden::core::id::{AccountId, OrgId};
use trailwarden::core::policy::{
    Context, Document, Expected, Given, Principal, Request, Resource, Verdict, evaluate, recommended, weaknesses,
};

const CASES: usize = 2_000;

const BUCKET: &str = "arn:aws:s3:::b";
const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/main";
const FOREIGN_TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:999900001111:trail/main";
const LOG: &str = "arn:aws:s3:::b/AWSLogs/o-a1b2c3d4e5/777788889999/CloudTrail/x";
const DIGEST: &str = "arn:aws:s3:::b/AWSLogs/o-a1b2c3d4e5/777788889999/CloudTrail-Digest/x";
const MALLORYS: &str = "arn:aws:s3:::b/AWSLogs/mallory/x";
const OUTSIDE: &str = "arn:aws:s3:::b/exports/x";

/// Who asks: by which elements of a Principal they are meant, and what is always so of their requests.
struct Caller {
    who: &'static str,
    is: &'static [(&'static str, &'static str)],
    keys: &'static [(&'static str, &'static str)],
    /// Whether each of the actions below is none of their business.
    is_bad: bool,
}

static CALLERS: [Caller; 10] = [
    Caller { who: "", is: &[], keys: &[], is_bad: true },
    Caller {
        who: "arn:aws:iam::999900001111:user/mallory",
        is: &[
            ("AWS", "999900001111"),
            ("AWS", "arn:aws:iam::999900001111:root"),
            ("AWS", "arn:aws:iam::999900001111:user/mallory"),
        ],
        keys: &[
            ("aws:PrincipalArn", "arn:aws:iam::999900001111:user/mallory"),
            ("aws:PrincipalAccount", "999900001111"),
            ("aws:PrincipalOrgID", "o-zzzzzzzzzz"),
            ("aws:PrincipalIsAWSService", "false"),
            ("aws:username", "mallory"),
        ],
        is_bad: true,
    },
    Caller {
        who: "arn:aws:sts::999900001111:assumed-role/tool/s",
        is: &[
            ("AWS", "999900001111"),
            ("AWS", "arn:aws:iam::999900001111:root"),
            ("AWS", "arn:aws:iam::999900001111:role/path/tool"),
        ],
        keys: &[
            ("aws:PrincipalArn", "arn:aws:iam::999900001111:role/path/tool"),
            ("aws:PrincipalAccount", "999900001111"),
            ("aws:PrincipalOrgID", "o-zzzzzzzzzz"),
            ("aws:PrincipalIsAWSService", "false"),
        ],
        is_bad: true,
    },
    Caller {
        who: "arn:aws:iam::777788889999:role/member",
        is: &[("AWS", "777788889999"), ("AWS", "arn:aws:iam::777788889999:role/member")],
        keys: &[
            ("aws:PrincipalArn", "arn:aws:iam::777788889999:role/member"),
            ("aws:PrincipalAccount", "777788889999"),
            ("aws:PrincipalOrgID", "o-a1b2c3d4e5"),
            ("aws:PrincipalIsAWSService", "false"),
        ],
        is_bad: true,
    },
    Caller {
        who: "arn:aws:iam::444455556666:role/writer",
        is: &[("AWS", "444455556666"), ("AWS", "arn:aws:iam::444455556666:role/writer")],
        keys: &[
            ("aws:PrincipalArn", "arn:aws:iam::444455556666:role/writer"),
            ("aws:PrincipalAccount", "444455556666"),
            ("aws:PrincipalOrgID", "o-a1b2c3d4e5"),
            ("aws:PrincipalIsAWSService", "false"),
        ],
        is_bad: false,
    },
    Caller {
        who: "cloudtrail.amazonaws.com",
        is: &[("Service", "cloudtrail.amazonaws.com")],
        keys: &[
            ("aws:SourceArn", TRAIL),
            ("aws:SourceAccount", "111122223333"),
            ("aws:SourceOrgID", "o-a1b2c3d4e5"),
            ("aws:PrincipalIsAWSService", "true"),
            ("aws:PrincipalServiceName", "cloudtrail.amazonaws.com"),
        ],
        is_bad: false,
    },
    Caller {
        who: "cloudtrail.amazonaws.com",
        is: &[("Service", "cloudtrail.amazonaws.com")],
        keys: &[
            ("aws:SourceArn", FOREIGN_TRAIL),
            ("aws:SourceAccount", "999900001111"),
            ("aws:SourceOrgID", "o-zzzzzzzzzz"),
            ("aws:PrincipalIsAWSService", "true"),
            ("aws:PrincipalServiceName", "cloudtrail.amazonaws.com"),
        ],
        is_bad: true,
    },
    Caller {
        who: "config.amazonaws.com",
        is: &[("Service", "config.amazonaws.com")],
        keys: &[
            ("aws:SourceAccount", "999900001111"),
            ("aws:SourceOrgID", "o-zzzzzzzzzz"),
            ("aws:PrincipalIsAWSService", "true"),
            ("aws:PrincipalServiceName", "config.amazonaws.com"),
        ],
        is_bad: true,
    },
    Caller {
        who: "config.amazonaws.com",
        is: &[("Service", "config.amazonaws.com")],
        keys: &[
            ("aws:SourceAccount", "777788889999"),
            ("aws:SourceOrgID", "o-a1b2c3d4e5"),
            ("aws:PrincipalIsAWSService", "true"),
            ("aws:PrincipalServiceName", "config.amazonaws.com"),
        ],
        is_bad: false,
    },
    Caller {
        who: "arn:aws:iam::444455556666:role/owners-other",
        is: &[("AWS", "444455556666"), ("AWS", "arn:aws:iam::444455556666:role/owners-other")],
        keys: &[
            ("aws:PrincipalArn", "arn:aws:iam::444455556666:role/owners-other"),
            ("aws:PrincipalAccount", "444455556666"),
            ("aws:PrincipalOrgID", "o-a1b2c3d4e5"),
            ("aws:PrincipalIsAWSService", "false"),
        ],
        is_bad: false,
    },
];

/// Each with what it is done to.
const ACTIONS: [(&str, &[&str]); 9] = [
    ("s3:PutObject", &[LOG, DIGEST, MALLORYS, OUTSIDE]),
    ("s3:DeleteObject", &[LOG, DIGEST, OUTSIDE]),
    ("s3:PutObjectRetention", &[LOG, OUTSIDE]),
    ("s3:BypassGovernanceRetention", &[DIGEST]),
    ("s3:PutBucketPolicy", &[BUCKET]),
    ("s3:PutLifecycleConfiguration", &[BUCKET]),
    ("s3:PutBucketVersioning", &[BUCKET]),
    ("s3:GetObject", &[LOG, OUTSIDE]),
    ("s3:GetBucketAcl", &[BUCKET]),
];

fn tampers(action: &str, resource: &str) -> bool {
    !action.starts_with("s3:Get") && resource != OUTSIDE
}

/// What may be so of a request, whoever makes it.
const CIRCUMSTANCES: [(&str, [Option<&str>; 2]); 3] = [
    ("aws:SecureTransport", [Some("true"), Some("false")]),
    ("aws:SourceIp", [Some("203.0.113.9"), Some("198.51.100.1")]),
    ("aws:SourceVpce", [None, Some("vpce-1")]),
];

type Keys = BTreeMap<&'static str, &'static str>;

/// Every caller with each request that it may make.
fn everybody() -> Vec<(&'static Caller, Vec<Keys>)> {
    CALLERS.iter().map(|caller| (caller, requests_of(caller))).collect()
}

fn requests_of(caller: &Caller) -> Vec<Keys> {
    let mut all: Vec<Keys> = vec![caller.keys.iter().copied().collect()];
    for (key, values) in CIRCUMSTANCES {
        all = all
            .into_iter()
            .flat_map(|keys| {
                values.map(|value| {
                    let mut keys = keys.clone();
                    keys.extend(value.map(|value| (key, value)));
                    keys
                })
            })
            .collect();
    }
    all
}

const PRINCIPALS: [(&str, &str); 11] = [
    ("AWS", "*"),
    ("AWS", "*"),
    ("AWS", "999900001111"),
    ("AWS", "arn:aws:iam::999900001111:root"),
    ("AWS", "arn:aws:iam::999900001111:user/mallory"),
    ("AWS", "arn:aws:iam::999900001111:role/path/tool"),
    ("AWS", "arn:aws:iam::777788889999:role/member"),
    ("AWS", "444455556666"),
    ("AWS", "arn:aws:iam::444455556666:role/writer"),
    ("Service", "cloudtrail.amazonaws.com"),
    ("Service", "config.amazonaws.com"),
];
const ACTION_PATTERNS: [&str; 14] = [
    "*",
    "s3:*",
    "s3:Put*",
    "s3:*Object",
    "S3:DELETE*",
    "s3:Get*",
    "s3:?utObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:PutBucketPolicy",
    "s3:PutObject*",
    "s3:PutLifecycleConfiguration",
    "s3:BypassGovernanceRetention",
    "s3:GetBucketAcl",
];
const RESOURCE_PATTERNS: [&str; 12] = [
    "*",
    "arn:aws:s3:::b",
    "arn:aws:s3:::b/*",
    "arn:aws:s3:::b*",
    "arn:aws:s3:::b/AWSLogs/*",
    "arn:aws:s3:::?/AWSLogs/o-*",
    "arn:aws:s3:::b/AWSLogs/o-a1b2c3d4e5/*",
    "arn:aws:s3:::b/*/CloudTrail/*",
    "arn:aws:s3:::b/*Digest/x",
    "arn:aws:s3:::b/exports/*",
    "arn:aws:s3:::b/AWSLogs/${aws:username}/*",
    "arn:aws:s3:::other/*",
];
const TEXTS: [&str; 8] = [
    "StringEquals",
    "StringNotEquals",
    "StringLike",
    "StringNotLike",
    "StringEqualsIfExists",
    "ForAnyValue:StringLike",
    "ForAllValues:StringEquals",
    "ForAnyValue:StringNotEquals",
];
const ARNS: [&str; 6] = ["StringEquals", "StringLike", "ArnLike", "ArnEquals", "ArnNotLike", "ArnLikeIfExists"];
const TRUTHS: [&str; 3] = ["Bool", "BoolIfExists", "StringEquals"];
const ADDRESSES: [&str; 2] = ["IpAddress", "NotIpAddress"];

/// Keys with the operators and the values that go with them; `Null` goes with each.
const CONDITIONS: [(&str, &[&str], &[&str]); 10] = [
    ("aws:SecureTransport", &TRUTHS, &["true", "false"]),
    ("aws:PrincipalIsAWSService", &TRUTHS, &["true", "false"]),
    ("aws:SourceIp", &ADDRESSES, &["203.0.113.0/24", "0.0.0.0/0", "192.0.2.0/24"]),
    ("aws:SourceVpce", &TEXTS, &["vpce-1", "vpce-2", "vpce-?"]),
    ("aws:PrincipalOrgID", &TEXTS, &["o-a1b2c3d4e5", "o-zzzzzzzzzz", "o-*"]),
    ("aws:PrincipalAccount", &TEXTS, &["444455556666", "999900001111", "777788889999", "4*"]),
    (
        "aws:PrincipalArn",
        &ARNS,
        &[
            "arn:aws:iam::444455556666:role/writer",
            "arn:aws:iam::999900001111:*",
            "arn:aws:iam::*:role/member",
            "arn:aws:iam::444455556666:role/*",
        ],
    ),
    (
        "aws:SourceArn",
        &ARNS,
        &[TRAIL, FOREIGN_TRAIL, "arn:aws:cloudtrail:*:111122223333:trail/*", "arn:aws:cloudtrail:*:*:trail/main"],
    ),
    ("aws:SourceAccount", &TEXTS, &["111122223333", "999900001111", "777788889999", "*"]),
    ("aws:SourceOrgID", &TEXTS, &["o-a1b2c3d4e5", "o-zzzzzzzzzz"]),
];

#[derive(Debug, Clone)]
struct Condition {
    operator: &'static str,
    key: &'static str,
    values: Vec<&'static str>,
}

#[derive(Debug, Clone)]
struct Statement {
    allows: bool,
    principals: (bool, Vec<(&'static str, &'static str)>),
    actions: (bool, Vec<&'static str>),
    resources: (bool, Vec<&'static str>),
    conditions: Vec<Condition>,
}

fn some<T: Copy>(die: &mut Rng, from: &[T], most: usize) -> Vec<T> {
    (0..die.usize(1..=most)).map(|_| from[die.usize(..from.len())]).collect()
}

impl Statement {
    fn random(die: &mut Rng) -> Self {
        let conditions = (0..die.usize(..3)).map(|_| {
            let (key, operators, values) = CONDITIONS[die.usize(..CONDITIONS.len())];
            if die.u8(..10) == 0 {
                return Condition { operator: "Null", key, values: some(die, &["true", "false"], 1) };
            }
            Condition { operator: operators[die.usize(..operators.len())], key, values: some(die, values, 2) }
        });
        let mut conditions: Vec<Condition> = conditions.collect();
        // An operator and a key stand once in a statement.
        conditions.dedup_by_key(|condition| (condition.operator, condition.key));
        Self {
            allows: die.u8(..10) < 7,
            principals: (die.u8(..12) == 0, some(die, &PRINCIPALS, 2)),
            actions: (die.u8(..12) == 0, some(die, &ACTION_PATTERNS, 2)),
            resources: (die.u8(..12) == 0, some(die, &RESOURCE_PATTERNS, 2)),
            conditions,
        }
    }

    fn json(&self) -> Value {
        let element = |name: &str, not: bool| if not { format!("Not{name}") } else { name.to_owned() };
        let mut families: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (family, text) in &self.principals.1 {
            families.entry(family).or_default().push(text);
        }
        let mut conditions: BTreeMap<&str, BTreeMap<&str, &Vec<&str>>> = BTreeMap::new();
        for condition in &self.conditions {
            conditions.entry(condition.operator).or_default().insert(condition.key, &condition.values);
        }
        json!({
            "Effect": if self.allows { "Allow" } else { "Deny" },
            element("Principal", self.principals.0): families,
            element("Action", self.actions.0): self.actions.1,
            element("Resource", self.resources.0): self.resources.1,
            "Condition": conditions,
        })
    }

    /// The rule of AWS, word by word; what does not hang on the circumstances.
    fn speaks_of(&self, caller: &Caller, action: &str, resource: &str) -> bool {
        let name = caller.keys.iter().find(|(key, _)| *key == "aws:username").map(|(_, name)| name);
        let is_meant = self.principals.1.iter().any(|one| *one == ("AWS", "*") || caller.is.contains(one));
        let is_action = self.actions.1.iter().any(|one| fits(&one.to_lowercase(), &action.to_lowercase()));
        let is_resource = self.resources.1.iter().any(|one| match (one.contains("${"), name) {
            (true, None) => false,
            (true, Some(name)) => fits(&one.replace("${aws:username}", name), resource),
            (false, _) => fits(one, resource),
        });
        is_meant != self.principals.0 && is_action != self.actions.0 && is_resource != self.resources.0
    }

    fn holds(&self, keys: &Keys) -> bool {
        self.conditions.iter().all(|condition| condition.holds(keys.get(condition.key).copied()))
    }
}

impl Condition {
    fn holds(&self, given: Option<&str>) -> bool {
        let values = &self.values;
        let equal = |given: &str| values.contains(&given);
        let like = |given: &str| values.iter().any(|value| fits(value, given));
        let arn = |given: &str| {
            values.iter().any(|value| {
                let (value, given): (Vec<&str>, Vec<&str>) = (value.split(':').collect(), given.split(':').collect());
                value.len() == given.len() && value.iter().zip(given).all(|(value, given)| fits(value, given))
            })
        };
        let address = |given: &str| {
            values.iter().any(|value| match *value {
                "0.0.0.0/0" => true,
                network => given.starts_with(network.trim_end_matches("0/24")),
            })
        };
        match self.operator {
            "Null" => values.iter().any(|value| (*value == "true") == given.is_none()),
            "StringEquals" | "Bool" => given.is_some_and(equal),
            "StringEqualsIfExists" | "BoolIfExists" | "ForAllValues:StringEquals" => given.is_none_or(equal),
            "StringNotEquals" => given.is_none_or(|given| !equal(given)),
            "ForAnyValue:StringNotEquals" => given.is_some_and(|given| !equal(given)),
            "StringLike" | "ForAnyValue:StringLike" => given.is_some_and(like),
            "StringNotLike" => given.is_none_or(|given| !like(given)),
            "ArnLike" | "ArnEquals" => given.is_some_and(arn),
            "ArnNotLike" => given.is_none_or(|given| !arn(given)),
            "ArnLikeIfExists" => given.is_none_or(arn),
            "IpAddress" => given.is_some_and(address),
            "NotIpAddress" => given.is_none_or(|given| !address(given)),
            other => panic!("{other}"),
        }
    }
}

fn fits(pattern: &str, text: &str) -> bool {
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', others @ ..], _) => slowly(others, text) || (!text.is_empty() && slowly(pattern, &text[1..])),
            ([one, others @ ..], [first, rest @ ..]) => (*one == b'?' || one == first) && slowly(others, rest),
            _ => false,
        }
    }
    slowly(pattern.as_bytes(), text.as_bytes())
}

/// Which Allows let a caller do something in some of these circumstances, the first in which any does; none, if a Deny always
/// stops it or nothing allows it.
fn allowing(policy: &[Statement], caller: &Caller, action: &str, resource: &str, requests: &[Keys]) -> Vec<usize> {
    let speaking: Vec<usize> =
        (0..policy.len()).filter(|index| policy[*index].speaks_of(caller, action, resource)).collect();
    for keys in requests {
        let applying: Vec<usize> = speaking.iter().copied().filter(|index| policy[*index].holds(keys)).collect();
        if !applying.is_empty() && applying.iter().all(|index| policy[*index].allows) {
            return applying;
        }
    }
    Vec::new()
}

/// Every request of the universe that somebody makes who should not, with the Allows that let it through.
fn open(policy: &[Statement], everybody: &[(&Caller, Vec<Keys>)]) -> Vec<(String, Vec<usize>)> {
    let mut open = Vec::new();
    for (caller, requests) in everybody.iter().filter(|(caller, _)| caller.is_bad) {
        for (action, resources) in ACTIONS {
            for resource in resources.iter().filter(|resource| tampers(action, resource)) {
                let by = allowing(policy, caller, action, resource, requests);
                if !by.is_empty() {
                    open.push((format!("{} {action} {resource}", caller.who), by));
                }
            }
        }
    }
    open
}

fn document(policy: &[Statement], before: &[Value]) -> String {
    let statements: Vec<Value> = before.iter().cloned().chain(policy.iter().map(Statement::json)).collect();
    serde_json::to_string_pretty(&json!({ "Version": "2012-10-17", "Statement": statements })).unwrap()
}

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

fn dice() -> (Rng, usize) {
    let seed = number("TRAILWARDEN_SEED", 1);
    println!("TRAILWARDEN_SEED={seed}");
    (Rng::with_seed(seed as u64), number("TRAILWARDEN_CASES", CASES))
}

fn policies(mut die: Rng, cases: usize) -> impl Iterator<Item = Vec<Statement>> {
    (0..cases).map(move |_| (0..die.usize(1..=4)).map(|_| Statement::random(&mut die)).collect())
}

fn principal(caller: &Caller) -> Principal {
    Principal::parse(caller.who).unwrap_or(Principal::Anonymous)
}

#[test]
fn no_request_is_called_denied_that_is_allowed_nor_the_reverse() {
    let (die, cases) = dice();
    let mut other = Rng::with_seed(die.clone().u64(..));
    let everybody = everybody();
    let (mut allowed, mut denied, mut unknown) = (0, 0, 0);
    for policy in policies(die, cases) {
        let text = document(&policy, &[]);
        let read = Document::parse(&text);
        assert!(read.doubts.is_empty() && read.statements.iter().all(|one| one.doubts.is_empty()), "{text}");
        for _ in 0..40 {
            let (caller, requests) = &everybody[other.usize(..everybody.len())];
            let (action, resources) = ACTIONS[other.usize(..ACTIONS.len())];
            let resource = resources[other.usize(..resources.len())];
            let keys = std::slice::from_ref(&requests[other.usize(..requests.len())]);
            let context =
                keys[0].iter().fold(Context::complete(), |context, (key, value)| context.with(key, Given::is(*value)));
            let who = principal(caller);
            let request = Request { who: &who, action, resource: Resource::One(resource), context: &context };
            let verdict = evaluate(&read, &request);
            let is_allowed = !allowing(&policy, caller, action, resource, keys).is_empty();
            match (&verdict, is_allowed) {
                (Verdict::Allowed(_), true) => allowed += 1,
                (Verdict::Denied(_), false) => denied += 1,
                (Verdict::Unknown(_), _) => unknown += 1,
                _ => panic!("{} {action} {resource} {keys:?} is {verdict:?} by\n{text}", caller.who),
            }
        }
    }
    println!("{allowed} allowed, {denied} denied, {unknown} unknown");
    assert!(allowed > cases && denied > cases, "{allowed} allowed, {denied} denied: too few of each to say anything");
    // Only NotPrincipal and policy variables leave something open in circumstances that are all given.
    assert!(unknown < (allowed + denied) / 10, "{unknown} unknown");
}

#[test]
fn who_may_do_a_thing_in_some_circumstances_is_never_called_denied() {
    let (die, cases) = dice();
    let nothing = Context::default();
    let everybody = everybody();
    let mut possible = 0;
    for policy in policies(die, cases / 3) {
        let text = document(&policy, &[]);
        let read = Document::parse(&text);
        for (caller, requests) in &everybody {
            let who = principal(caller);
            for (action, resources) in ACTIONS {
                for resource in resources {
                    let request = Request { who: &who, action, resource: Resource::One(resource), context: &nothing };
                    if !matches!(evaluate(&read, &request), Verdict::Denied(_)) {
                        continue;
                    }
                    let by = allowing(&policy, caller, action, resource, requests);
                    assert!(by.is_empty(), "{} {action} {resource} is allowed by {by:?} of\n{text}", caller.who);
                    possible += 1;
                }
            }
        }
    }
    assert!(possible > cases, "{possible} were called denied: too few to say anything");
}

#[test]
fn a_policy_that_is_open_to_tampering_has_a_weakness_at_a_statement_that_opens_it() {
    let (die, cases) = dice();
    let expected = Expected {
        bucket: "b".into(),
        prefixes: vec![String::new()],
        org: Some(OrgId::parse("o-a1b2c3d4e5").unwrap()),
        management: Some(AccountId::parse("111122223333").unwrap()),
        owner: Some(AccountId::parse("444455556666").unwrap()),
        accounts: BTreeSet::from([AccountId::parse("777788889999").unwrap()]),
        trails: vec![TRAIL.into()],
        writers: vec![Principal::parse("arn:aws:iam::444455556666:role/writer").unwrap()],
        tls: true,
        ..Expected::default()
    };
    let good: Value = serde_json::from_str(&recommended(&expected)).unwrap();
    let good = good["Statement"].as_array().unwrap();
    let everybody = everybody();
    let (mut bad, mut closed) = (0, 0);
    for policy in policies(die, cases) {
        let holes = open(&policy, &everybody);
        let text = document(&policy, good);
        let found = weaknesses(&Document::parse(&text), &expected);
        let named: BTreeSet<usize> = found.iter().filter_map(|weakness| Some(weakness.place.as_ref()?.index)).collect();
        for (request, by) in &holes {
            let told = by.iter().any(|index| named.contains(&(index + good.len())));
            if !told {
                let mut report = format!("{request} is open by {by:?}, and only this was found:\n");
                for weakness in &found {
                    let _ =
                        writeln!(report, "  {} {:?}", weakness.kind, weakness.place.as_ref().map(|place| place.index));
                }
                panic!("{report}{text}");
            }
        }
        if holes.is_empty() { closed += 1 } else { bad += 1 }
    }
    println!("{bad} open, {closed} closed");
    assert!(bad > cases / 5 && closed > cases / 5, "{bad} open, {closed} closed: too few of each to say anything");
}
