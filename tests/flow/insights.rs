//! Insights: logs of made-up accounts through the daemon's own steps, with planted bursts and steady noise.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use trailwarden::config::Config;
use trailwarden::core::anomaly::{Insight, Kind as Rate, State as Turn};
use trailwarden::core::finding::{Held, Kind, State};
use trailwarden::core::gzip;
use trailwarden::core::notice::{Envelope, Notice};
use trailwarden::delivery::Fate;
use trailwarden::env::Env;
use trailwarden::store::{findings, insights};
use trailwarden::wiring::Works;

use crate::common::warden;

const DAY: u32 = 1_440;
/// 2026-03-02, a Monday, in minutes since 1970.
const BEGIN: u32 = 20_514 * DAY;
const LEARNING: u32 = 7;

struct Yard {
    dir: tempfile::TempDir,
    env: Env,
    works: Works,
    files: u64,
}

fn account(number: usize) -> String {
    format!("{:012}", 111_122_220_000 + number)
}

fn time(minute: u32) -> Timestamp {
    Timestamp::from_second(i64::from(minute) * 60).unwrap()
}

async fn open(dir: &Path, now: Timestamp) -> (Works, Env) {
    let env = Env::manual(now, 7);
    let works = Works::open(&Config::load(&dir.join("trailwarden.toml")).unwrap(), &env).await.unwrap();
    works.deliveries.roster.refresh().await.unwrap();
    (works, env)
}

impl Yard {
    async fn new(accounts: usize, insights: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["spool/new", "spool/cur", "spool/done", "keys", "bucket"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let members: String =
            (0..accounts).map(|number| format!("[[account]]\nid = \"{}\"\n", account(number))).collect();
        std::fs::write(dir.path().join("members.toml"), members).unwrap();
        let root = dir.path().display();
        let trail = |name: &str, bucket: &str| {
            format!(
                "[[trail]]\nname = \"{name}\"\nbucket = \"file://{root}/{bucket}\"\nbucket_name = \"{bucket}\"\n\
                 queue = \"file://{root}/spool{name}\"\nkeys = \"keys\"\nlayout = [\"AWSLogs/{{account}}/\"]\nvalidation = \"none\"\n"
            )
        };
        let text = format!(
            "[organization]\nmembers = \"members.toml\"\n{}{}[state]\npath = \"state.db\"\n[http]\nlisten = \"off\"\n[insights]\n{insights}",
            trail("org", "bucket"),
            trail("more", "second"),
        );
        std::fs::create_dir_all(dir.path().join("second")).unwrap();
        std::fs::write(dir.path().join("trailwarden.toml"), text).unwrap();
        let (works, env) = open(dir.path(), time(BEGIN)).await;
        Self { dir, env, works, files: 0 }
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("trailwarden.toml")
    }

    /// As after a crash: what was not committed never was.
    async fn restart(&mut self) {
        (self.works, self.env) = open(self.dir.path(), self.env.now()).await;
    }

    /// A log in a trail's bucket, as CloudTrail would deliver it now: the trail, and what announces the log.
    fn put(&mut self, trail: usize, account: &str, kind: &str, records: &[Value]) -> (usize, Notice) {
        let bucket = ["bucket", "second"][trail];
        self.files += 1;
        let day = self.env.now().strftime("%Y/%m/%d").to_string();
        let key = format!(
            "AWSLogs/{account}/{kind}/us-east-1/{day}/{account}_{kind}_us-east-1_{}_{:016}.json.gz",
            self.env.now().strftime("%Y%m%dT%H%MZ"),
            self.files
        );
        let path = self.dir.path().join(bucket).join(&key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, gzip::deflate(json!({ "Records": records }).to_string().as_bytes())).unwrap();
        (trail, Notice::listed(bucket, key, 1, None))
    }

    async fn settle(&self, notices: &[(usize, Notice)]) -> Vec<Fate> {
        let mut settling = JoinSet::new();
        for (trail, notice) in notices.iter().cloned() {
            let (deliveries, trail) = (self.works.deliveries.clone(), self.works.trails[trail].clone());
            settling.spawn(async move { deliveries.settle(&trail, &notice).await.unwrap() });
        }
        settling.join_all().await
    }

    async fn fold(&self) {
        self.works.deliveries.fold_tallies().await.unwrap();
    }

    async fn held(&self, kind: Kind) -> Vec<Held> {
        let all = self.works.store.read(|conn| findings::list(conn, true)).await.unwrap();
        all.into_iter().filter(|held| held.kind == kind).collect()
    }

    async fn insights(&self) -> Vec<Insight> {
        let (from, to) = (Timestamp::UNIX_EPOCH, self.env.now() + SignedDuration::from_hours(1));
        self.works.store.read(move |conn| insights::all(conn, from, to, None)).await.unwrap()
    }
}

/// `count` calls in a minute.
fn calls(account: &str, name: &str, error: &str, minute: u32, count: u32) -> Vec<Value> {
    let mut record = json!({
        "eventVersion": "1.11", "eventTime": time(minute).to_string(), "eventSource": "iam.amazonaws.com", "eventName": name,
        "awsRegion": "us-east-1", "recipientAccountId": account, "eventType": "AwsApiCall", "eventCategory": "Management",
        "managementEvent": true, "readOnly": !error.is_empty(), "sourceIPAddress": "198.51.100.7", "userAgent": "aws-cli/2",
        "userIdentity": { "type": "AssumedRole", "arn": format!("arn:aws:sts::{account}:assumed-role/Job/{minute}") },
    });
    if !error.is_empty() {
        record["errorCode"] = error.into();
    }
    vec![record; count as usize]
}

/// How often something happens of itself in an account, in a minute.
fn noise(account: usize, minute: u32, die: &mut Rng) -> u32 {
    let of_day = minute % DAY;
    let works = (minute / DAY - BEGIN / DAY) % 7 < 5 && (480..1_080).contains(&of_day);
    let mean = match account % 5 {
        // a service that is denied 3,000 times a day
        0 => 3_000.0 / f64::from(DAY),
        1 if works => 1.0,
        2 if (180..184).contains(&of_day) => 60.0,
        3 => 0.005,
        _ => 0.0,
    };
    // every account does something every day
    let daily = u32::from(of_day == 0);
    let (limit, mut product, mut count) = ((-mean).exp(), die.f64(), 0);
    while product > limit {
        product *= die.f64();
        count += 1;
    }
    count + daily
}

#[derive(Debug)]
struct Burst {
    account: usize,
    name: &'static str,
    start: u32,
    minutes: u32,
    /// In each of them.
    count: u32,
}

/// Lives for some days in steps of five minutes, with each message twice, and now and then a crash before the fold.
async fn live(accounts: usize, days: u32, bursts: &[Burst]) -> Yard {
    let (mut yard, mut die) = (Yard::new(accounts, "").await, Rng::with_seed(9));
    // what was delivered in which step; a log comes five to fifteen minutes after its records
    let mut due: BTreeMap<u32, Vec<(usize, Vec<Value>)>> = BTreeMap::new();
    for step in (BEGIN..BEGIN + (LEARNING + days) * DAY).step_by(5) {
        for number in 0..accounts {
            let (id, mut records) = (account(number), Vec::new());
            for minute in step..step + 5 {
                let error = if number.is_multiple_of(5) { "AccessDenied" } else { "" };
                records.extend(calls(&id, "ListUsers", error, minute, noise(number, minute, &mut die)));
                let planted = bursts
                    .iter()
                    .filter(|own| own.account == number && (own.start..own.start + own.minutes).contains(&minute));
                planted.for_each(|burst| records.extend(calls(&id, burst.name, "", minute, burst.count)));
            }
            if !records.is_empty() {
                due.entry(step + 5 * die.u32(2..=3)).or_default().push((number, records));
            }
        }
        let files = due.remove(&step).unwrap_or_default();
        let notices: Vec<_> =
            files.iter().map(|(number, records)| yard.put(0, &account(*number), "CloudTrail", records)).collect();
        yard.settle(&notices).await;
        if step % 977 == 0 {
            yard.restart().await;
        }
        assert!(yard.settle(&notices).await.iter().all(|fate| *fate == Fate::Repeated));
        yard.fold().await;
        for (_, notice) in &notices {
            std::fs::remove_file(yard.dir.path().join("bucket").join(&notice.key)).unwrap();
        }
        if let Some(late) =
            bursts.iter().find(|burst| step == burst.start / 5 * 5 + 15 + burst.minutes.next_multiple_of(5))
        {
            // its last log came now at the latest
            let subject = format!("{} us-east-1 iam.amazonaws.com {}", account(late.account), late.name);
            let begun = yard
                .insights()
                .await
                .into_iter()
                .any(|insight| insight.subject(account(late.account).parse().unwrap()) == subject);
            assert!(begun, "{late:?} is not found when its records are there");
        }
        yard.env.advance(SignedDuration::from_mins(5));
    }
    yard
}

/// What the ledger says of what was planted: all of it, and nothing else.
async fn judge(yard: &Yard, bursts: &[Burst]) {
    let all = yard.insights().await;
    assert_eq!(all.len(), 2 * bursts.len(), "{all:#?}");
    for burst in bursts {
        let id = account(burst.account);
        let of_burst = |turn| {
            let is_it = |insight: &&Insight| {
                insight.account.as_ref() == Some(&id) && insight.name == burst.name && insight.state == turn
            };
            all.iter().find(is_it).unwrap_or_else(|| panic!("{burst:?} {turn:?}"))
        };
        let (begin, end) = (of_burst(Turn::Start), of_burst(Turn::End));
        assert_eq!(
            (begin.kind, &begin.shared, begin.time.as_str()),
            (Rate::CallRate, &end.shared, time(burst.start).to_string().as_str())
        );
        // crashes and repeats lost and doubled nothing
        assert_eq!((end.duration, end.rate), (f64::from(burst.minutes), f64::from(burst.count)), "{burst:?}");
        assert_eq!(
            end.attributions[0].insight[0],
            (format!("arn:aws:sts::{id}:assumed-role/Job"), f64::from(burst.count))
        );
    }
    let held = yard.held(Kind::RateUnusual).await;
    assert_eq!(held.len(), bursts.len());
    assert!(held.iter().all(|held| held.state == State::Resolved && held.count == 1), "{held:?}");
}

#[tokio::test]
async fn planted_bursts_are_found_and_noise_is_not() {
    let at = |day: u32, hour: u32| BEGIN + (LEARNING + day) * DAY + hour * 60;
    let bursts = [
        Burst { account: 0, name: "CreateUser", start: at(0, 9), minutes: 4, count: 30 },
        Burst { account: 1, name: "CreateAccessKey", start: at(0, 3) + 13, minutes: 2, count: 26 },
        Burst { account: 4, name: "DeleteRole", start: at(0, 12) + 58, minutes: 7, count: 40 },
    ];
    let yard = live(5, 2, &bursts).await;
    judge(&yard, &bursts).await;
    let report = trailwarden::store::check::run(yard.works.store.path(), None, &yard.env).await.unwrap();
    assert_eq!(report.checks.into_iter().flat_map(|check| check.faults).collect::<Vec<_>>(), [] as [String; 0]);
}

/// The size that is promised; `cargo test --release --test flow -- --ignored month`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a million logs take minutes"]
async fn a_month_of_a_hundred_accounts_has_the_planted_bursts_alone() {
    let mut die = Rng::with_seed(3);
    let burst = |account: usize, die: &mut Rng| Burst {
        account,
        name: "CreateUser",
        start: BEGIN + (LEARNING + die.u32(0..29)) * DAY + die.u32(60..DAY),
        minutes: die.u32(1..=10),
        count: die.u32(51..200),
    };
    let bursts: Vec<_> = (0..100).map(|account| burst(account, &mut die)).collect();
    judge(&live(100, 30, &bursts).await, &bursts).await;
}

async fn learned(insights: &str) -> Yard {
    let mut yard = Yard::new(1, insights).await;
    let notice = yard.put(0, &account(0), "CloudTrail", &calls(&account(0), "GetUser", "", BEGIN - 5, 1));
    yard.settle(&[notice]).await;
    yard.fold().await;
    for _ in 0..2 * LEARNING {
        yard.env.advance(SignedDuration::from_hours(24));
        yard.fold().await;
    }
    yard
}

fn now(yard: &Yard) -> u32 {
    u32::try_from(yard.env.now().as_second() / 60).unwrap()
}

#[tokio::test]
async fn two_trails_of_the_same_calls_count_once_and_one_takes_over_from_the_other() {
    let mut yard = learned("").await;
    let burst = |yard: &Yard, count| calls(&account(0), "CreateUser", "", now(yard) - 5, count);
    let records = burst(&yard, 30);
    let notices = [0, 1].map(|trail| yard.put(trail, &account(0), "CloudTrail", &records));
    yard.settle(&notices[..1]).await;
    yard.settle(&notices[1..]).await;
    yard.fold().await;
    assert_eq!(yard.insights().await.len(), 0);
    yard.env.advance(SignedDuration::from_hours(25));
    let records = burst(&yard, 51);
    let notice = yard.put(1, &account(0), "CloudTrail", &records);
    yard.settle(&[notice]).await;
    yard.fold().await;
    assert_eq!(yard.insights().await.len(), 1);
    assert_eq!(yard.held(Kind::RateUnusual).await[0].state, State::Open);
    // time alone ends it
    yard.env.advance(SignedDuration::from_mins(26));
    yard.fold().await;
    assert_eq!(yard.held(Kind::RateUnusual).await[0].state, State::Resolved);
}

#[tokio::test]
async fn a_burst_is_found_when_its_log_was_delivered_in_time_and_read_a_day_later() {
    let mut yard = learned("").await;
    let records = calls(&account(0), "CreateUser", "", now(&yard) - 5, 60);
    let notice = yard.put(0, &account(0), "CloudTrail", &records);
    yard.env.advance(SignedDuration::from_hours(26));
    yard.settle(&[notice]).await;
    yard.fold().await;
    let all: Vec<_> = yard.insights().await.into_iter().map(|insight| (insight.state, insight.rate)).collect();
    assert_eq!(all, [(Turn::Start, 60.0)]);
    yard.fold().await;
    assert_eq!(yard.held(Kind::RateUnusual).await[0].state, State::Resolved);
}

#[tokio::test]
async fn whoever_did_not_look_for_days_learns_anew() {
    for (hours, found) in [(47, 1), (49, 0)] {
        let mut yard = learned("").await;
        yard.env.advance(SignedDuration::from_hours(hours));
        let records = calls(&account(0), "CreateUser", "", now(&yard) - 5, 60);
        let notice = yard.put(0, &account(0), "CloudTrail", &records);
        yard.settle(&[notice]).await;
        yard.fold().await;
        assert_eq!(yard.insights().await.len(), found, "{hours}");
    }
}

#[tokio::test]
async fn another_writing_of_a_log_is_not_counted_again() {
    let mut yard = learned("").await;
    let records = |name: &str| calls(&account(0), name, "", now(&yard) - 5, 40);
    let (first, second) = (records("CreateUser"), [records("CreateUser"), records("PutUserPolicy")].concat());
    let (_, notice) = yard.put(0, &account(0), "CloudTrail", &first);
    yard.settle(&[(0, notice.clone())]).await;
    let path = yard.dir.path().join("bucket").join(&notice.key);
    std::fs::write(path, gzip::deflate(json!({ "Records": second }).to_string().as_bytes())).unwrap();
    let again = Notice { envelope: Envelope::S3, etag: Some("another".into()), ..notice };
    yard.settle(&[(0, again)]).await;
    yard.fold().await;
    assert_eq!(yard.held(Kind::EvidenceOverwritten).await.len(), 1);
    assert_eq!(yard.insights().await.len(), 0);
}

#[tokio::test]
async fn switched_off_nothing_is_counted() {
    let mut yard = learned("call_rate = false\nerror_rate = false").await;
    let records = calls(&account(0), "CreateUser", "", now(&yard) - 5, 500);
    let notice = yard.put(0, &account(0), "CloudTrail", &records);
    yard.settle(&[notice]).await;
    let count =
        |conn: &rusqlite::Connection| conn.query_row("SELECT count(*) FROM tallies", [], |row| row.get::<_, i64>(0));
    assert_eq!(yard.works.store.read(count).await.unwrap(), 0);
    yard.fold().await;
    assert_eq!(yard.insights().await.len(), 0);
}

#[tokio::test]
async fn what_an_account_never_did_is_told_and_ends_after_a_week() {
    let mut yard = learned("never_seen = [\"api\", \"principal\", \"network\"]\nlearning = \"14d\"").await;
    let records = calls(&account(0), "CreateUser", "", now(&yard) - 5, 2);
    for _ in 0..2 {
        let notice = yard.put(0, &account(0), "CloudTrail", &records);
        yard.settle(&[notice]).await;
        yard.fold().await;
    }
    let [held] = &yard.held(Kind::NeverSeen).await[..] else { panic!("one") };
    assert_eq!((held.state, held.count), (State::Open, 1));
    let wanted = "api iam.amazonaws.com:CreateUser is new to the account: iam.amazonaws.com CreateUser in us-east-1 at 2026-03-15T23:55:00Z by";
    assert!(held.detail.starts_with(wanted), "{}", held.detail);
    yard.env.advance(SignedDuration::from_hours(7 * 24 + 1));
    yard.fold().await;
    assert_eq!(yard.held(Kind::NeverSeen).await[0].state, State::Resolved);

    // of very many only the first hundred of a day are told one by one
    let mut records = Vec::new();
    for n in 0..150 {
        records.extend(calls(&account(0), &format!("Do{n}"), "", now(&yard) - 5, 1));
    }
    let notice = yard.put(0, &account(0), "CloudTrail", &records);
    yard.settle(&[notice]).await;
    yard.fold().await;
    let held = yard.held(Kind::NeverSeen).await;
    assert_eq!(held.len(), 1 + 100 + 1);
    assert_eq!(held.iter().map(|held| held.count).max(), Some(50));
}

/// A record as CloudTrail's own Insights have it.
fn theirs(id: &str, state: &str, minute: u32) -> Value {
    json!({
        "eventVersion": "1.08", "eventTime": time(minute).to_string(), "awsRegion": "us-east-1", "eventID": id, "sharedEventID": "shared",
        "eventType": "AwsCloudTrailInsight", "recipientAccountId": account(0), "eventCategory": "Insight",
        "insightDetails": { "state": state, "eventSource": "ssm.amazonaws.com", "eventName": "UpdateInstanceInformation",
            "insightType": "ApiCallRateInsight", "insightContext": { "statistics": {
                "baseline": { "average": 0.25 }, "insight": { "average": 7.5 }, "insightDuration": 2, "baselineDuration": 10_083 } } },
    })
}

#[tokio::test]
async fn insights_of_cloudtrail_raise_and_resolve_in_any_order_and_are_printed() {
    let mut yard = Yard::new(1, "").await;
    let at = BEGIN - 30;
    let begin = yard.put(0, &account(0), "CloudTrail-Insight", &[theirs("begin", "Start", at)]);
    yard.settle(&[begin]).await;
    let [held] = &yard.held(Kind::RateUnusual).await[..] else { panic!("one") };
    let wanted = "ssm.amazonaws.com UpdateInstanceInformation in us-east-1: 7.5 a minute for 2 min from";
    assert!(held.state == State::Open && held.detail.starts_with(wanted), "{}", held.detail);
    assert!(held.detail.ends_with("; so says CloudTrail"));
    let end = yard.put(0, &account(0), "CloudTrail-Insight", &[theirs("end", "End", at + 2)]);
    let again = yard.put(0, &account(0), "CloudTrail-Insight", &[theirs("begin", "Start", at)]);
    yard.settle(&[end]).await;
    yard.settle(&[again]).await;
    assert_eq!(yard.held(Kind::RateUnusual).await[0].state, State::Resolved);

    let run = |args: &[&str]| warden::stdout(&warden::verb(&yard.config(), args));
    let table = run(&["insights", "--from", "2026-01-01"]);
    assert!(table.contains(&format!("{}  {}  Start  {wanted}", time(at), account(0))), "{table}");
    assert!(table.contains("ApiCallRateInsight of CloudTrail"), "{table}");
    let lines = run(&["insights", "--from", "2026-01-01", "--account", &account(0), "--json"]);
    let states: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["insightDetails"]["state"].clone())
        .collect();
    assert_eq!(states, ["Start", "End"]);
    assert_eq!(run(&["insights", "--from", "2026-01-01", "--account", &account(7)]), "nothing was unusual\n");
    drop(yard);

    // the end first: what is over is not told to begin
    let mut yard = Yard::new(1, "").await;
    for (id, state) in [("end", "End"), ("begin", "Start")] {
        let notice = yard.put(0, &account(0), "CloudTrail-Insight", &[theirs(id, state, at)]);
        yard.settle(&[notice]).await;
    }
    assert!(yard.held(Kind::RateUnusual).await.is_empty() && yard.insights().await.len() == 2);
}
