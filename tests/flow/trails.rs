//! Calls on what the evidence rests on, told from the logs they lie in; trails and the way of their announcements, audited.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use trailwarden::config::Config;
use trailwarden::core::chain::ChainId;
use trailwarden::core::finding::{Held, Kind, Severity, State};
use trailwarden::core::gzip;
use trailwarden::core::id::{AccountId, Region};
use trailwarden::core::key::Root;
use trailwarden::core::notice::Notice;
use trailwarden::core::protection::Part;
use trailwarden::daemon;
use trailwarden::delivery::Fate;
use trailwarden::env::Env;
use trailwarden::local::vault::LocalVault;
use trailwarden::posture::Posture;
use trailwarden::store::{Store, Tx, digests, findings};
use trailwarden::wiring::{self, Works};

const TRAIL: &str = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/org";
const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// A bucket and a spool in directories, and what CloudTrail would say.
struct Yard {
    dir: tempfile::TempDir,
}

impl Yard {
    fn new() -> Self {
        let yard = Self { dir: tempfile::tempdir().unwrap() };
        for folder in ["spool/new", "spool/cur", "spool/done", "keys", "bucket"] {
            std::fs::create_dir_all(yard.path().join(folder)).unwrap();
        }
        std::fs::write(yard.path().join("members.toml"), "[[account]]\nid = \"111122223333\"\n").unwrap();
        let root = yard.path().display();
        let text = format!(
            "[organization]\nid = \"o-a1b2c3d4e5\"\nmembers = \"members.toml\"\n[[trail]]\nname = \"org\"\n\
             bucket = \"file://{root}/bucket\"\nbucket_name = \"yard\"\nqueue = \"file://{root}/spool\"\nkeys = \"keys\"\n\
             layout = [\"AWSLogs/{{org}}/{{account}}/\"]\n[state]\npath = \"state.db\"\n[http]\nlisten = \"off\"\n\
             [channel.journal]\nkind = \"stdout\"\n[[route]]\nto = [\"journal\"]\n[posture]\nevery = \"1d\"\ntrails = [\"{TRAIL}\"]\n"
        );
        std::fs::write(yard.config(), text).unwrap();
        yard
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn config(&self) -> PathBuf {
        self.path().join("trailwarden.toml")
    }

    async fn works(&self) -> (Works, Config) {
        let config = Config::load(&self.config()).unwrap();
        let env = Env::manual("2026-03-01T22:20:00Z".parse().unwrap(), 7);
        let works = Works::open(&config, &env).await.unwrap();
        works.deliveries.roster.refresh().await.unwrap();
        (works, config)
    }

    /// Puts a log of these records into the bucket; answers its key.
    fn log(&self, unique: u32, records: &[Value]) -> String {
        let key = format!(
            "AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail/eu-west-1/2026/03/01/111122223333_CloudTrail_eu-west-1_20260301T2215Z_Ab3dEf6hIj9k{unique:04}.json.gz"
        );
        let path = self.path().join("bucket").join(&key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, gzip::deflate(json!({ "Records": records }).to_string().as_bytes())).unwrap();
        key
    }

    async fn deliver(&self, works: &Works, unique: u32, records: &[Value]) -> Fate {
        let key = self.log(unique, records);
        works.deliveries.settle(&works.trails[0], &Notice::listed("yard", key, 1, None)).await.unwrap()
    }

    fn vault(&self) -> LocalVault {
        LocalVault::open(&self.path().join("bucket"), Env::system()).unwrap()
    }

    fn queue(&self) -> String {
        format!("file://{}/spool", self.path().display())
    }

    /// What CloudTrail says of the one trail.
    fn say(&self, logging: bool, more: Value) {
        let selectors = json!([{ "basic": { "reads": "All", "management": true, "data": ["AWS::S3::Object"] } }]);
        let mut trail = json!({
            "arn": TRAIL, "key": KEY, "organization": true, "multi_region": true, "validation": true,
            "status": { "value": { "logging": logging } }, "selectors": { "value": selectors },
        });
        trail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let book = json!({ "trails": [trail] }).to_string();
        std::fs::write(self.path().join("bucket/.trails.json"), book).unwrap();
    }

    async fn announce(&self, to: Option<&str>) {
        let xml = to.map(|to| {
            format!("<NotificationConfiguration><QueueConfiguration><Queue>{to}</Queue><Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event></QueueConfiguration></NotificationConfiguration>")
        });
        self.vault().alter(Part::Notification, xml.as_deref()).await.unwrap();
    }
}

fn event(id: &str, service: &str, name: &str, parameters: Value) -> Value {
    json!({
        "eventVersion": "1.11", "eventTime": "2026-03-01T22:10:00Z", "eventSource": format!("{service}.amazonaws.com"),
        "eventName": name, "awsRegion": "eu-west-1", "recipientAccountId": "111122223333", "eventID": id,
        "sourceIPAddress": "198.51.100.7", "requestParameters": parameters, "eventType": "AwsApiCall",
        "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/eve", "accountId": "111122223333" },
    })
}

fn stop(id: &str) -> Value {
    event(id, "cloudtrail", "StopLogging", json!({ "name": TRAIL }))
}

async fn told(store: &Store) -> Vec<Held> {
    let all = store.read(|conn| findings::list(conn, false)).await.unwrap();
    all.into_iter().filter(|held| held.kind == Kind::EvidenceChainChanged).collect()
}

/// Whether an audit is asked for, since somebody last looked.
async fn is_asked(works: &Works) -> bool {
    tokio::time::timeout(Duration::from_millis(50), works.trails[0].audit.notified()).await.is_ok()
}

#[tokio::test]
async fn a_call_on_the_chain_of_evidence_is_told_once_with_its_actor_and_asks_for_an_audit() {
    let yard = Yard::new();
    let (works, _) = yard.works().await;
    let read = event("e0", "s3", "GetObject", json!({ "bucketName": "yard" }));
    assert_eq!(yard.deliver(&works, 1, std::slice::from_ref(&read)).await, Fate::Admitted);
    assert!(!is_asked(&works).await && told(&works.store).await.is_empty());

    assert_eq!(yard.deliver(&works, 2, &[read.clone(), stop("e1")]).await, Fate::Admitted);
    assert!(is_asked(&works).await);
    let all = told(&works.store).await;
    assert_eq!(all.len(), 1, "{all:#?}");
    let held = &all[0];
    assert_eq!((held.severity, held.state, held.count), (Severity::Critical, State::Open, 1));
    for words in
        ["StopLogging", TRAIL, "arn:aws:iam::111122223333:user/eve", "198.51.100.7", "2026-03-01T22:10:00Z", "event e1"]
    {
        assert!(held.detail.contains(words), "{words}: {}", held.detail);
    }
    assert_eq!((held.account.unwrap().as_str(), held.trail.as_deref()), ("111122223333", Some("org")));
    assert!(held.object.as_ref().unwrap().contains("0002.json.gz"));

    // The same log again, and the same event in another log.
    assert_eq!(yard.deliver(&works, 2, &[read.clone(), stop("e1")]).await, Fate::Repeated);
    assert_eq!(yard.deliver(&works, 3, &[stop("e1"), read]).await, Fate::Admitted);
    let again = told(&works.store).await;
    assert_eq!((again.len(), again[0].count), (1, 1));
    // The same call by the same actor is counted.
    yard.deliver(&works, 4, &[stop("e2"), stop("e3")]).await;
    let again = told(&works.store).await;
    assert_eq!((again.len(), again[0].count), (1, 3));

    // Of the ledger and not of this process.
    drop(works);
    let (works, _) = yard.works().await;
    yard.deliver(&works, 5, &[stop("e3")]).await;
    assert_eq!(told(&works.store).await[0].count, 3);
}

#[tokio::test]
async fn a_refused_attempt_weighs_less_and_what_is_somebody_elses_is_nothing() {
    let yard = Yard::new();
    let (works, _) = yard.works().await;
    let private = "arn:aws:cloudtrail:eu-west-1:111122223333:trail/private";
    let theirs = [
        event("t1", "cloudtrail", "StopLogging", json!({ "name": private })),
        event("t2", "s3", "PutBucketPolicy", json!({ "bucketName": "documents" })),
        event("t3", "kms", "DisableKey", json!({ "keyId": KEY })),
        event(
            "t4",
            "sqs",
            "PurgeQueue",
            json!({ "queueUrl": "https://sqs.eu-west-1.amazonaws.com/111122223333/warden" }),
        ),
    ];
    yard.deliver(&works, 1, &theirs).await;
    assert!(told(&works.store).await.is_empty() && !is_asked(&works).await);

    let mut refused = stop("r1");
    refused["errorCode"] = json!("AccessDenied");
    yard.deliver(&works, 2, &[refused]).await;
    let all = told(&works.store).await;
    assert_eq!((all.len(), all[0].severity), (1, Severity::Medium));
    assert!(all[0].detail.contains("was refused (AccessDenied)"), "{}", all[0].detail);
    assert!(!is_asked(&works).await, "nothing was changed");
    yard.deliver(&works, 3, &[event("b1", "s3", "PutBucketLifecycle", json!({ "bucketName": "yard" }))]).await;
    let all = told(&works.store).await;
    assert_eq!(all.iter().map(|held| held.severity).collect::<Vec<_>>(), [Severity::High, Severity::Medium]);

    // An account that is no member's file is not believed.
    let mut foreign = stop("f1");
    foreign["recipientAccountId"] = json!("999988887777");
    assert_eq!(yard.deliver(&works, 4, &[foreign]).await, Fate::Unusable);
    assert_eq!(told(&works.store).await.len(), 2);
}

async fn posture(works: &Works, config: &Config) -> Posture {
    wiring::posture(config, &config.trails[0], works).await.unwrap()
}

/// The open findings of these kinds: name, severity and the weakness.
async fn weak(store: &Store) -> Vec<(Kind, Severity, String)> {
    let kinds = [Kind::TrailStopped, Kind::TrailWeak, Kind::DeliveryPathBroken];
    let all = store.read(|conn| findings::list(conn, false)).await.unwrap();
    let ours = all.into_iter().filter(|held| kinds.contains(&held.kind));
    let mut weak: Vec<_> =
        ours.map(|held| (held.kind, held.severity, held.url.rsplit('#').next().unwrap().to_owned())).collect();
    weak.sort();
    weak
}

#[tokio::test]
async fn a_weak_trail_and_a_broken_way_are_told_and_end_when_they_are_mended() {
    let yard = Yard::new();
    let (works, config) = yard.works().await;
    let posture = posture(&works, &config).await;
    posture.audit().await.unwrap();
    assert_eq!(weak(&works.store).await, [], "there is nobody to ask");

    yard.say(true, json!({}));
    yard.announce(Some(&yard.queue())).await;
    posture.audit().await.unwrap();
    assert_eq!(weak(&works.store).await, []);

    yard.say(false, json!({ "validation": false }));
    yard.announce(Some("arn:aws:sqs:eu-west-1:111122223333:elsewhere")).await;
    for _ in 0..2 {
        posture.audit().await.unwrap();
        assert_eq!(
            weak(&works.store).await,
            [
                (Kind::TrailStopped, Severity::Critical, "logging_off".into()),
                (Kind::TrailWeak, Severity::High, "validation_off".into()),
                (Kind::DeliveryPathBroken, Severity::High, "path_missing".into()),
            ]
        );
    }
    // While nothing can be read, nothing is known to be well again.
    std::fs::write(yard.path().join("bucket/.trails.json"), "?").unwrap();
    posture.audit().await.unwrap();
    assert_eq!(weak(&works.store).await.len(), 3);
    yard.say(true, json!({}));
    posture.audit().await.unwrap();
    assert_eq!(weak(&works.store).await, [(Kind::DeliveryPathBroken, Severity::High, "path_missing".into())]);
    yard.announce(Some(&yard.queue())).await;
    posture.audit().await.unwrap();
    assert_eq!(weak(&works.store).await, []);

    // What an audit has learned is known to whoever reads logs, in this life and the next.
    let disable = event("k1", "kms", "DisableKey", json!({ "keyId": KEY }));
    yard.deliver(&works, 1, &[disable]).await;
    assert_eq!(told(&works.store).await.len(), 1);
    drop((works, posture));
    yard.say(true, json!({ "key": null }));
    let (works, _) = yard.works().await;
    yard.deliver(&works, 2, &[event("k2", "kms", "ScheduleKeyDeletion", json!({ "keyId": KEY }))]).await;
    assert_eq!(told(&works.store).await.len(), 2);
}

#[tokio::test]
async fn a_trail_that_delivered_lately_is_missed_and_history_is_not() {
    let yard = Yard::new();
    yard.say(true, json!({}));
    yard.announce(Some(&yard.queue())).await;
    let (works, config) = yard.works().await;
    let posture = posture(&works, &config).await;
    let source = works.trails[0].id;
    let step = move |tx: &Tx<'_>| {
        for (trail, org, hours) in [("old", true, 24 * 46), ("lately", true, 24 * 44), ("private", false, 1)] {
            let root = Root {
                prefix: String::new(),
                org: org.then(|| "o-a1b2c3d4e5".parse().unwrap()),
                account: AccountId::parse("111122223333").unwrap(),
            };
            let home = Region::parse("eu-west-1").unwrap();
            let id = ChainId { root, region: home.clone(), trail: trail.into(), home, backfill: false };
            let end = tx.now - SignedDuration::from_hours(hours);
            let chain = digests::chain(tx, source, &id)?.id;
            digests::extend_chain(tx, chain, end - SignedDuration::from_hours(1), end)?;
        }
        Ok(())
    };
    works.store.write(step).await.unwrap();
    let audit = posture.audit().await.unwrap();
    let gone: Vec<_> =
        audit.weaknesses.iter().filter(|one| one.kind == "trail_gone").map(|one| one.of.as_str()).collect();
    assert_eq!(gone, ["trails/lately"]);
}

#[tokio::test(start_paused = true)]
async fn the_daemon_audits_at_once_when_a_log_tells_of_a_change() {
    let yard = Yard::new();
    yard.say(true, json!({}));
    yard.announce(Some(&yard.queue())).await;
    let (works, config) = yard.works().await;
    let store = works.store.clone();
    let (tell, done) = tokio::sync::mpsc::channel(1);
    let path = yard.config();
    let daemon = tokio::spawn(async move { daemon::watch(config, &path, works, done).await });
    // Past the first audit; the next is due in a day.
    tokio::time::sleep(Duration::from_secs(600)).await;
    yard.say(false, json!({}));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(weak(&store).await, []);
    let key = yard.log(1, &[stop("e1")]);
    let body = json!({ "Records": [{ "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1",
        "eventTime": "2026-03-01T22:16:00.000Z", "eventName": "ObjectCreated:Put",
        "userIdentity": { "principalId": "AWS:AROAEXAMPLE:regionalDeliverySession" },
        "s3": { "s3SchemaVersion": "1.0", "bucket": { "name": "yard", "arn": "arn:aws:s3:::yard" }, "object": { "key": key, "size": 1 } } }] });
    std::fs::write(yard.path().join("spool/new/1"), body.to_string()).unwrap();
    for _ in 0..400 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if !weak(&store).await.is_empty() {
            break;
        }
    }
    assert_eq!(weak(&store).await, [(Kind::TrailStopped, Severity::Critical, "logging_off".into())]);
    assert_eq!(told(&store).await.len(), 1);
    tell.send(daemon::Told::Stop).await.unwrap();
    daemon.await.unwrap().unwrap();
}

/// The bucket may be silent where CloudTrail itself announces, and only where it is known to.
#[tokio::test]
async fn a_silent_bucket_is_no_weakness_where_cloudtrail_announces_to_the_queue() {
    const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:deliveries";
    let yard = Yard::new();
    yard.announce(None).await;
    let (works, config) = yard.works().await;
    let mut posture = wiring::posture(&config, &config.trails[0], &works).await.unwrap();
    posture.announces = true;
    for (subscribers, is_told) in [(vec![yard.queue()], false), (vec![], true)] {
        yard.say(true, json!({ "topic": TOPIC }));
        let path = yard.path().join("bucket/.trails.json");
        let mut book: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        book["topics"] = json!({ TOPIC: subscribers });
        std::fs::write(&path, book.to_string()).unwrap();
        let audit = posture.look().await.unwrap();
        assert_eq!(audit.open().any(|one| one.kind == "notification_missing"), is_told, "{audit:?}");
    }
}
