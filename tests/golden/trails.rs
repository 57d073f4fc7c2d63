//! Trails and the way from the bucket to the warden: all in order, and one change after the other.

mod selectors;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use trailwarden::core::finding;
use trailwarden::core::id::{AccountId, Region};
use trailwarden::core::policy::Expected;
use trailwarden::core::posture::{
    Acceptance, Archive, Audit, Delivery, Described, Field, Kind, Known, Look, Path, Redrive, Seen, Selector, Settings,
    Silent, Status, Validated, Weakness, of_path, of_trails, senders,
};
use trailwarden::core::protection::Fact;

use selectors::of_selectors;
use way::of_the_way;

const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/org-main";
const DATA: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/org-data";
const QUEUE: &str = "arn:aws:sqs:eu-west-1:444455556666:warden";
const DEAD: &str = "arn:aws:sqs:eu-west-1:444455556666:warden-dead";
const TOPIC: &str = "arn:aws:sns:eu-west-1:444455556666:deliveries";
const RULE: &str = "arn:aws:events:eu-west-1:444455556666:rule/deliveries";
const BUCKET: &str = "example-org-trail";

pub fn is_of_trails(kind: Kind) -> bool {
    matches!(kind.told_as(), finding::Kind::TrailStopped | finding::Kind::TrailWeak | finding::Kind::DeliveryPathBroken)
}

fn now() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

fn good() -> Delivery {
    Delivery { last: at("2026-03-02T11:55:00Z"), error: None }
}

fn status() -> Status {
    let started = at("2025-01-01T00:00:00Z");
    Status { logging: Some(true), started, stopped: None, logs: good(), digests: good(), topic: good() }
}

fn all() -> Selector {
    Selector::Basic { reads: "All".into(), management: true, excluded: vec![], data: vec!["AWS::S3::Object".into()] }
}

fn field(name: &str, equals: &[&str], not: &[&str]) -> Field {
    let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    Field { field: name.into(), equals: texts(equals), not_equals: texts(not), partly: false }
}

fn trail(arn: &str, selectors: Vec<Selector>) -> Described {
    Described {
        arn: arn.into(),
        prefix: None,
        topic: None,
        key: Some("arn:aws:kms:eu-west-1:444455556666:key/1234abcd".into()),
        organization: Some(true),
        multi_region: Some(true),
        validation: Some(true),
        status: Known::Value(status()),
        selectors: Known::Value(selectors),
    }
}

fn notification(entries: &str) -> Fact {
    Fact::Value(format!(
        "<NotificationConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{entries}</NotificationConfiguration>"
    ))
}

fn entry(name: &str, to: &str, arn: &str, events: &[&str], filter: &str) -> String {
    let events: String = events.iter().map(|event| format!("<Event>{event}</Event>")).collect();
    format!("<{name}><Id>a</Id><{to}>{arn}</{to}>{events}{filter}</{name}>")
}

const ALL: [&str; 2] = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"];

fn to_queue(events: &[&str], filter: &str) -> Fact {
    notification(&entry("QueueConfiguration", "Queue", QUEUE, events, filter))
}

fn filter(name: &str, value: &str) -> String {
    format!("<Filter><S3Key><FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule></S3Key></Filter>")
}

fn policy(service: &str, source: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"Send","Effect":"Allow","Principal":{{"Service":"{service}.amazonaws.com"}},"Action":"sqs:SendMessage","Resource":"{QUEUE}","Condition":{{"ArnEquals":{{"aws:SourceArn":"{source}"}},"StringEquals":{{"aws:SourceAccount":"444455556666"}}}}}}]}}"#
    )
}

/// Everything that is judged.
#[derive(Clone)]
struct Ground {
    trails: Option<Vec<Described>>,
    silent: Vec<Silent>,
    archive: Archive,
    path: Path,
}

impl Ground {
    fn new() -> Self {
        let queue = Settings {
            arn: QUEUE.into(),
            policy: Some(policy("s3", &format!("arn:aws:s3:::{BUCKET}"))),
            redrive: Some(Redrive { to: DEAD.into(), after: 50, exists: Some(true) }),
            retention: Some(Duration::from_secs(14 * 86_400)),
            key: None,
        };
        let home = Region::parse("eu-west-1").unwrap();
        Self {
            trails: Some(vec![trail(TRAIL, vec![all()])]),
            silent: Vec::new(),
            archive: Archive {
                bucket: BUCKET.into(),
                prefixes: vec!["AWSLogs/".into()],
                organization: true,
                validation: Validated::All,
                trails: vec![("org-main".into(), home)],
            },
            path: Path { notification: to_queue(&ALL, ""), queue: Known::Value(Some(queue)), topics: BTreeMap::new() },
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut ground = Self::new();
        change(&mut ground);
        ground
    }

    fn trail(change: impl FnOnce(&mut Described)) -> Self {
        Self::with(|ground| change(&mut ground.trails.as_mut().unwrap()[0]))
    }

    fn status(change: impl FnOnce(&mut Status)) -> Self {
        Self::trail(|trail| {
            let mut status = status();
            change(&mut status);
            trail.status = Known::Value(status);
        })
    }

    fn selectors(selectors: Vec<Selector>) -> Self {
        Self::trail(|trail| trail.selectors = Known::Value(selectors))
    }

    fn queue(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with(|ground| {
            let Known::Value(Some(queue)) = &mut ground.path.queue else { unreachable!() };
            change(queue);
        })
    }

    fn announced(notification: Fact) -> Self {
        Self::with(|ground| ground.path.notification = notification)
    }

    /// The bucket tells a topic, and the topic these.
    fn by_topic(subscribers: Known<Vec<String>>) -> Self {
        Self::with(|ground| {
            ground.path.notification = notification(&entry("TopicConfiguration", "Topic", TOPIC, &ALL, ""));
            ground.path.topics.insert(TOPIC.into(), subscribers);
            let Known::Value(Some(queue)) = &mut ground.path.queue else { unreachable!() };
            queue.policy = Some(policy("sns", TOPIC));
        })
    }

    /// CloudTrail itself tells a topic of its deliveries, and the bucket tells somebody else.
    fn by_trail(subscribers: Known<Vec<String>>) -> Self {
        let mut ground = Self::by_topic(subscribers);
        ground.trails.as_mut().unwrap()[0].topic = Some(TOPIC.into());
        ground.path.notification = notification(&entry("QueueConfiguration", "Queue", DEAD, &ALL, ""));
        ground
    }

    fn by_rule() -> Self {
        let mut ground = Self::queue(|queue| queue.policy = Some(policy("events", RULE)));
        ground.path.notification = notification("<EventBridgeConfiguration/>");
        ground
    }

    fn look(&self) -> Look {
        let owner = AccountId::parse("444455556666").ok();
        let expected = Expected { bucket: BUCKET.into(), owner, ..Expected::default() };
        let seen = Seen { trails: self.trails.clone().unwrap_or_default(), silent: self.silent.clone() };
        let mut look = of_trails(&seen, &self.archive, now());
        look.add(of_path(&self.path, &seen, &self.archive, &expected));
        look
    }
}

/// The organization's trail and one of a member's own.
fn beside(main: impl FnOnce(&mut Described), member: impl FnOnce(&mut Described)) -> Ground {
    Ground::with(|ground| {
        let trails = ground.trails.as_mut().unwrap();
        main(&mut trails[0]);
        trails.push(Described { organization: Some(false), ..trail(DATA, vec![all()]) });
        member(&mut trails[1]);
    })
}

fn stopped() -> Known<Status> {
    Known::Value(Status { logging: Some(false), ..status() })
}

fn silent(region: &str) -> Silent {
    Silent { region: Region::parse(region).ok(), why: "cloudtrail:DescribeTrails: no".into() }
}

type Case = (&'static str, Ground, &'static [&'static str], &'static [&'static str]);

/// Name, what is there, kind and severity of what is found, what could not be read.
fn cases() -> Vec<Case> {
    let mut all = of_the_trails();
    all.extend(of_selectors());
    all.extend(of_the_way());
    all
}

fn of_the_trails() -> Vec<Case> {
    vec![
        ("all is well", Ground::new(), &[], &[]),
        (
            "stopped",
            Ground::status(|status| (status.logging, status.stopped) = (Some(false), at("2026-03-02T10:00:00Z"))),
            &["logging_off critical"],
            &[],
        ),
        ("nobody knows whether it logs", Ground::status(|status| status.logging = None), &[], &["trails/org-main"]),
        (
            "status unread",
            Ground::trail(|trail| trail.status = Known::Unread("cloudtrail:GetTrailStatus: no".into())),
            &[],
            &["trails/org-main"],
        ),
        (
            "the trail is gone",
            Ground::with(|ground| ground.trails = Some(vec![trail(DATA, vec![self::all()])])),
            &["trail_gone critical"],
            &[],
        ),
        (
            "at home elsewhere",
            Ground::trail(|trail| trail.arn = trail.arn.replace("eu-west-1", "eu-west-2")),
            &["trail_gone critical"],
            &[],
        ),
        (
            "no trail is seen",
            Ground::with(|ground| (ground.trails, ground.archive.trails) = (Some(vec![]), vec![])),
            &[],
            &["trails"],
        ),
        (
            "one region does not answer, and another shows a weakness",
            Ground::with(|ground| {
                ground.trails = Some(vec![Described { multi_region: Some(false), ..trail(DATA, vec![self::all()]) }]);
                ground.silent = vec![silent("eu-west-1")];
            }),
            &["single_region high"],
            &["trails"],
        ),
        (
            "another region than the lost trail's does not answer",
            Ground::with(|ground| {
                (ground.trails, ground.silent) = (Some(vec![]), vec![silent("us-east-1"), silent("eu-west-2")])
            }),
            &["trail_gone critical"],
            &["trails"],
        ),
        (
            "nobody answers",
            Ground::with(|ground| (ground.trails, ground.silent) = (Some(vec![]), vec![silent("")])),
            &[],
            &["trails"],
        ),
        ("no digests", Ground::trail(|trail| trail.validation = Some(false)), &["validation_off high"], &[]),
        ("digests are not said", Ground::trail(|trail| trail.validation = None), &[], &["trails/org-main"]),
        (
            "no digests, as declared",
            Ground::with(|ground| {
                ground.archive.validation = Validated::None;
                ground.trails.as_mut().unwrap()[0].validation = Some(false);
            }),
            &[],
            &[],
        ),
        (
            "some have digests, as declared",
            Ground::with(|ground| {
                ground.archive.validation = Validated::Some;
                ground
                    .trails
                    .as_mut()
                    .unwrap()
                    .push(Described { validation: Some(false), ..trail(DATA, vec![self::all()]) });
            }),
            &[],
            &[],
        ),
        ("one region", Ground::trail(|trail| trail.multi_region = Some(false)), &["single_region high"], &[]),
        ("one account", Ground::trail(|trail| trail.organization = Some(false)), &["not_organization high"], &[]),
        (
            "one account, and no organization",
            Ground::with(|ground| {
                ground.archive.organization = false;
                ground.trails.as_mut().unwrap()[0].organization = Some(false);
            }),
            &[],
            &[],
        ),
        (
            "one account and region beside the whole",
            Ground::with(|ground| {
                ground.trails.as_mut().unwrap().push(Described {
                    organization: Some(false),
                    multi_region: Some(false),
                    ..trail(DATA, vec![])
                })
            }),
            &[],
            &[],
        ),
        (
            "a member's whole trail beside one region of the organization",
            beside(|main| main.multi_region = Some(false), |_| {}),
            &["single_region high"],
            &[],
        ),
        (
            "a whole trail that is stopped beside one region",
            Ground::with(|ground| {
                let trails = ground.trails.as_mut().unwrap();
                trails[0].multi_region = Some(false);
                trails.push(Described { status: stopped(), ..trail(DATA, vec![self::all()]) });
            }),
            &["logging_off critical", "single_region high"],
            &[],
        ),
        (
            "a member's trail beside the organization's, which is stopped",
            beside(|main| main.status = stopped(), |_| {}),
            &["logging_off critical"],
            &[],
        ),
        (
            "reach is not said",
            Ground::trail(|trail| (trail.organization, trail.multi_region) = (None, None)),
            &[],
            &["trails/org-main", "trails/org-main"],
        ),
        ("another prefix", Ground::trail(|trail| trail.prefix = Some("other".into())), &["prefix_other high"], &[]),
        (
            "a prefix as configured",
            Ground::with(|ground| {
                ground.archive.prefixes = vec!["a/AWSLogs/".into()];
                ground.trails.as_mut().unwrap()[0].prefix = Some("a".into());
            }),
            &[],
            &[],
        ),
        ("no key", Ground::trail(|trail| trail.key = None), &["trail_without_key low"], &[]),
        (
            "logs cannot be delivered",
            Ground::status(|status| {
                status.logs = Delivery { last: at("2026-03-01T12:00:00Z"), error: Some("AccessDenied".into()) }
            }),
            &["delivery_failing critical"],
            &[],
        ),
        (
            "digests cannot be delivered",
            Ground::status(|status| status.digests.error = Some("NoSuchBucket".into())),
            &["digest_failing high"],
            &[],
        ),
        (
            "announcements cannot be delivered",
            Ground::with(|ground| {
                let mut failing = status();
                failing.topic.error = Some("AuthorizationError".into());
                let trail = &mut ground.trails.as_mut().unwrap()[0];
                (trail.status, trail.topic) = (Known::Value(failing), Some(TOPIC.into()));
            }),
            &["topic_failing medium"],
            &[],
        ),
        (
            "a topic that is no more",
            Ground::status(|status| status.topic.error = Some("AuthorizationError".into())),
            &[],
            &[],
        ),
        (
            "nothing for a day",
            Ground::status(|status| status.logs.last = at("2026-03-01T11:59:00Z")),
            &["delivery_stale medium"],
            &[],
        ),
        (
            "nothing since it was started",
            Ground::status(|status| (status.logs.last, status.digests.last) = (None, None)),
            &["delivery_stale medium", "delivery_stale medium"],
            &[],
        ),
        (
            "just started",
            Ground::status(|status| {
                (status.logs.last, status.digests.last, status.started) = (None, None, at("2026-03-02T11:00:00Z"))
            }),
            &[],
            &[],
        ),
    ]
}

#[test]
fn every_case_is_judged_as_expected_and_every_kind_is_seen() {
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for (name, ground, wanted, unread) in cases() {
        let look = ground.look();
        let mut found: Vec<String> =
            look.weaknesses.iter().map(|one| format!("{} {}", one.kind, one.severity)).collect();
        found.sort();
        let unseen: Vec<&str> = look.unread.iter().map(|one| one.of.as_str()).collect();
        if found != wanted || unseen != unread {
            wrong.push(format!("{name}: found {found:?}, unread {unseen:?}"));
        }
        for weakness in &look.weaknesses {
            let Weakness { risk, advice, of, .. } = weakness;
            assert!((30..=600).contains(&risk.len()) && !risk.ends_with('.'), "{name}: {risk}");
            assert!(!advice.ends_with('.'), "{name}: {advice}");
            assert!(!look.unread.iter().any(|one| one.of == *of && of != "queue"), "{name}: {of} is both");
            seen.insert(weakness.kind);
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    let unseen: Vec<_> = Kind::ALL.iter().filter(|kind| is_of_trails(**kind) && !seen.contains(kind.name())).collect();
    assert!(unseen.is_empty(), "no case has {unseen:?}");
}

#[test]
fn what_a_queues_policy_lets_send_is_between_bucket_and_queue() {
    assert_eq!(senders(&policy("sns", TOPIC)), [TOPIC]);
    assert_eq!(senders(&policy("events", RULE)), [RULE]);
    assert_eq!(senders(&policy("s3", "arn:aws:s3:::b")), [""; 0]);
    assert_eq!(senders(&policy("sns", "arn:aws:sns:*:444455556666:*")), [""; 0]);
    assert_eq!(senders("nonsense"), [""; 0]);
}

#[test]
fn what_is_accepted_of_one_trail_is_not_accepted_of_another() {
    let twin = TRAIL.replace("111122223333", "777788889999");
    let stop = |trail: &mut Described| {
        trail.status = Known::Value(Status { logging: Some(false), ..status() });
        (trail.key, trail.validation) = (None, Some(false));
    };
    let mut ground =
        Ground::with(|ground| ground.trails.as_mut().unwrap().extend([DATA, &twin].map(|arn| trail(arn, vec![]))));
    ground.trails.as_mut().unwrap().iter_mut().for_each(stop);
    ground.archive.trails.push(("gone".into(), Region::parse("eu-west-1").unwrap()));
    ground.archive.trails.push(("gone".into(), Region::parse("eu-west-2").unwrap()));
    let all = ground.look().weaknesses;
    let ids: BTreeSet<&str> = all.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids.len(), all.len(), "{all:#?}");
    let mut audit = Audit::new("org", BUCKET, now());
    audit.add(ground.look());
    let legacy = all.iter().find(|one| one.kind == "logging_off" && one.of == "trails/org-data").unwrap();
    audit.accept(&[Acceptance { weakness: legacy.id.clone(), reason: "retired".into() }]);
    let open = audit.open().filter(|one| one.kind == "logging_off");
    assert_eq!(open.map(|one| one.of.as_str()).collect::<Vec<_>>(), ["trails/org-main"; 2]);
    audit.accept(&[Acceptance { weakness: "logging_off".into(), reason: "all of them".into() }]);
    assert!(!audit.open().any(|one| one.kind == "logging_off"));
}

#[test]
fn commands_name_the_trail_where_it_is_at_home() {
    let look = Ground::status(|status| status.logging = Some(false)).look();
    let start = format!("aws cloudtrail start-logging --region eu-west-1 --name {TRAIL}");
    assert_eq!(look.weaknesses[0].paste.as_deref(), Some(start.as_str()));
    let look = Ground::trail(|trail| trail.validation = Some(false)).look();
    let update = format!("aws cloudtrail update-trail --region eu-west-1 --name {TRAIL} --enable-log-file-validation");
    assert_eq!(look.weaknesses[0].paste.as_deref(), Some(update.as_str()));
}

#[test]
fn cloudtrails_own_announcements_feed_the_queue_only_if_it_is_known_to_listen() {
    let is_fed = |ground: &Ground| ground.path.is_fed_by(ground.trails.as_deref().unwrap_or_default());
    assert!(is_fed(&Ground::by_trail(Known::Value(vec![QUEUE.into()]))));
    for other in [
        Ground::by_topic(Known::Value(vec![QUEUE.into()])),
        Ground::by_trail(Known::Value(vec![DEAD.into()])),
        Ground::by_trail(Known::Unread("sns:ListSubscriptionsByTopic: no".into())),
    ] {
        assert!(!is_fed(&other));
    }
}

/// The table and the sections of docs/posture.md about trails and the way.
pub fn documentation() -> String {
    let found: Vec<Weakness> = cases().into_iter().flat_map(|(_, ground, ..)| ground.look().weaknesses).collect();
    let mut table = "| weakness | severity | in short |\n| --- | --- | --- |\n".to_owned();
    let mut sections = String::new();
    for kind in Kind::ALL.iter().filter(|kind| is_of_trails(**kind)) {
        let (severity, title) = (kind.severity(), kind.title());
        table.push_str(&format!("| [`{kind}`](#{kind}) | {severity} | {title} |\n"));
        let Weakness { risk, advice, paste, found, .. } = found.iter().find(|one| one.kind == kind.name()).unwrap();
        sections.push_str(&format!("\n### {kind}\n\n*{severity}*: {title}. {}\n", kind.why()));
        let evidence =
            found.as_ref().map(|text| format!(" Found:\n\n```text\n{}\n```", text.trim())).unwrap_or_default();
        sections.push_str(&format!("\n**For example:** {risk}.{evidence}\n\n**What to do:** {advice}.\n"));
        if let Some(paste) = paste {
            sections.push_str(&format!("\n```text\n{}\n```\n", paste.trim()));
        }
    }
    table + &sections
}
