use std::borrow::Cow;
use std::collections::BTreeMap;

use fastrand::Rng;

use super::*;
use crate::core::record::Record;
use crate::core::tree::Tree;

/// A Monday.
const BEGIN: u32 = 20_514 * DAY;
const LEARNING: u32 = 7;
const DAYS: u32 = 30;
const ACCOUNTS: usize = 100;
const BY: [&str; 3] = ["arn:aws:iam::111122223333:user/a", "aws-cli/2", "null"];

/// How often something happens of itself.
#[derive(Clone, Copy)]
enum Noise {
    /// All day, so many in a minute: a service that is denied 3,000 times a day.
    Steady(f64),
    /// In working hours on weekdays.
    Office(f64),
    /// Every night at about the same time, within minutes.
    Nightly(u32),
    /// Now and then a few at once.
    Rare,
}

impl Noise {
    fn count(self, die: &mut Rng, minute: u32) -> u32 {
        let of_day = minute % DAY;
        match self {
            Self::Steady(rate) => poisson(die, rate),
            Self::Office(rate) => {
                let works = (minute / DAY - BEGIN / DAY) % 7 < 5 && (480..1_080).contains(&of_day);
                poisson(die, if works { rate } else { rate / 50.0 })
            }
            Self::Nightly(count) => {
                if (180..184).contains(&of_day) {
                    poisson(die, f64::from(count) / 4.0)
                } else {
                    0
                }
            }
            Self::Rare => {
                if die.u32(..2_000) == 0 {
                    die.u32(1..20)
                } else {
                    0
                }
            }
        }
    }

    /// The most that five minutes bring, about.
    fn peak(self) -> u32 {
        match self {
            Self::Steady(rate) | Self::Office(rate) => (rate * 5.0 + 5.0 * (rate * 5.0).sqrt()) as u32 + 3,
            Self::Nightly(count) => count * 3 / 2,
            Self::Rare => 25,
        }
    }
}

fn poisson(die: &mut Rng, mean: f64) -> u32 {
    let (limit, mut product, mut count) = ((-mean).exp(), die.f64(), 0);
    while product > limit {
        product *= die.f64();
        count += 1;
    }
    count
}

struct World {
    series: Vec<(Noise, Series)>,
    /// What was delivered, by the minute of its delivery: series, minute, count.
    files: BTreeMap<u32, Vec<(usize, u32, u32)>>,
    turns: Vec<(usize, u32, Turn)>,
    open: Vec<usize>,
}

impl World {
    fn new(noises: Vec<Noise>) -> Self {
        let series = noises.into_iter().map(|noise| (noise, Series::default())).collect();
        Self { series, files: BTreeMap::new(), turns: Vec::new(), open: Vec::new() }
    }

    fn deliver(&mut self, die: &mut Rng, which: usize, minute: u32, count: u32) {
        // a file every five minutes, with five to fifteen minutes' delay
        let at = (minute / 5 + 1) * 5 + 5 * die.u32(1..=2);
        self.files.entry(at).or_default().push((which, minute, count));
    }

    fn tick(&mut self, now: u32) {
        let due = self.files.remove(&now).unwrap_or_default();
        let mut touched: Vec<usize> = due.iter().map(|(which, ..)| *which).chain(self.open.clone()).collect();
        touched.sort_unstable();
        touched.dedup();
        for (which, minute, count) in due {
            self.series[which].1.observe(minute, count, BY, now);
        }
        for which in touched {
            let learned = now >= BEGIN + LEARNING * DAY;
            if let Some(turn) = self.series[which].1.decide(now, learned, Tuning::default()) {
                self.open.retain(|own| *own != which || !turn.is_end);
                if !turn.is_end {
                    self.open.push(which);
                }
                self.turns.push((which, now, turn));
            }
        }
    }

    /// Bursts: series, first minute, minutes, count of each.
    fn live(&mut self, die: &mut Rng, days: u32, bursts: &[(usize, u32, u32, u32)]) {
        for minute in BEGIN..BEGIN + days * DAY {
            for which in 0..self.series.len() {
                let planted = bursts
                    .iter()
                    .filter(|(own, start, minutes, _)| *own == which && (*start..start + minutes).contains(&minute));
                let count = self.series[which].0.count(die, minute) + planted.map(|(.., count)| count).sum::<u32>();
                if count > 0 {
                    self.deliver(die, which, minute, count);
                }
            }
            if minute.is_multiple_of(5) {
                self.tick(minute);
            }
        }
    }
}

/// Of a hundred accounts: in each something that happens of itself, something rare and something small.
fn noises(die: &mut Rng) -> Vec<Noise> {
    let own = |account: usize, die: &mut Rng| match account % 5 {
        0 => Noise::Steady(3_000.0 / 1_440.0),
        1 => Noise::Office(die.f64() * 2.0),
        2 => Noise::Nightly(die.u32(20..400)),
        3 => Noise::Steady(die.f64() / 20.0),
        _ => Noise::Office(0.2),
    };
    (0..ACCOUNTS).flat_map(|account| [own(account, die), Noise::Rare, Noise::Steady(0.01)]).collect()
}

#[test]
fn a_quiet_month_of_a_hundred_accounts_has_no_insight() {
    let mut die = Rng::with_seed(seed());
    let mut world = World::new(noises(&mut die));
    world.live(&mut die, LEARNING + DAYS, &[]);
    let noises: Vec<_> = world.turns.iter().map(|(which, _, turn)| (world.series[*which].0.peak(), turn)).collect();
    assert_eq!(noises, []);
}

#[test]
fn every_burst_is_found_when_its_records_arrive_and_ends() {
    let mut die = Rng::with_seed(seed() + 1);
    let noises: Vec<_> = noises(&mut die).into_iter().take(60).collect();
    let burst = |which: usize, die: &mut Rng| {
        let minutes = die.u32(1..=10);
        let start = BEGIN + (LEARNING + die.u32(0..4)) * DAY + die.u32(..DAY - 60);
        let least = (noises[which].peak() * 3).max(60);
        (which, start, minutes, least.div_ceil(minutes.min(5)) + die.u32(..50))
    };
    let bursts: Vec<_> = (0..noises.len()).map(|which| burst(which, &mut die)).collect();
    let mut world = World::new(noises.clone());
    world.live(&mut die, LEARNING + 5, &bursts);
    for (which, start, minutes, count) in bursts {
        let turns: Vec<_> = world.turns.iter().filter(|(own, ..)| *own == which).collect();
        let [(_, told, begin), (_, _, end)] = turns.as_slice() else { panic!("{which}: {start} {turns:?}") };
        assert!(!begin.is_end && end.is_end);
        // the file with its last minute comes at most fifteen minutes after
        assert!(*told <= start + minutes + 20, "{which} told {} minutes after its start", told - start);
        assert!(begin.start + 5 > start && begin.start < start + minutes, "{begin:?} {start}");
        assert!(
            end.start == begin.start && end.duration < minutes + 10 && end.rate > f64::from(count) / 3.0,
            "{end:?} {minutes} {count}"
        );
        assert!(begin.baseline < f64::from(world.series[which].0.peak()), "{begin:?}");
        assert!(begin.baseline_duration >= 10_080 && begin.insight[0][0].0 == BY[0]);
    }
}

/// Other worlds: `TRAILWARDEN_SEED=7 cargo test anomaly`.
fn seed() -> u64 {
    std::env::var("TRAILWARDEN_SEED").map_or(1, |text| text.parse().unwrap())
}

#[test]
fn the_same_burst_of_three_days_is_usual_on_the_fourth() {
    let mut series = Series::default();
    let mut starts = Vec::new();
    for day in 0..14 {
        let minute = BEGIN + day * DAY + 60;
        series.observe(minute, if day < 7 { 1 } else { 200 }, BY, minute + 10);
        for now in (minute..minute + 120).step_by(5) {
            starts.extend(series.decide(now, true, Tuning::default()).filter(|turn| !turn.is_end).map(|_| day));
        }
    }
    assert_eq!(starts, [7, 8, 9]);
}

#[test]
fn a_rise_that_stays_is_one_incident_and_then_usual() {
    let mut series = Series::default();
    let mut turns = Vec::new();
    for minute in BEGIN..BEGIN + 20 * DAY {
        let (of_day, rate) = (minute / DAY - BEGIN / DAY, u32::from(minute.is_multiple_of(10)));
        let count = if of_day < 8 { rate } else { 40 };
        series.observe(minute, count, BY, minute);
        turns.extend(series.decide(minute, of_day >= 7, Tuning::default()));
    }
    let ends: Vec<_> = turns.iter().map(|turn| turn.is_end).collect();
    assert_eq!(ends, [false, true]);
    assert!(turns[1].duration.abs_diff(7 * DAY) < 10 && (turns[1].rate - 40.0).abs() < 1.0, "{:?}", turns[1]);
}

#[test]
fn what_comes_late_early_or_twice_as_a_series_does_no_harm() {
    let (mut series, now) = (Series::default(), BEGIN + 10 * DAY);
    series.observe(now + 10 * DAY, 1_000_000, BY, now);
    assert_eq!(series, Series::default(), "a time far ahead would make the baseline old");
    series.observe(now - 2 * DAY, 1_000, BY, now);
    assert_eq!(series.decide(now, true, Tuning::default()), None, "old records are no burst");
    series.observe(now, 500_000, BY, now);
    series.observe(now, 500_000, BY, now);
    assert!(series.decide(now, false, Tuning::default()).is_none(), "nothing is unusual before anything is usual");
    let turn = series.decide(now, true, Tuning::default()).unwrap();
    assert!((turn.baseline - 1_000.0 / 10_080.0).abs() < 1e-9 && turn.baseline_duration == 10_080);
    let kept = serde_json::to_vec(&series).unwrap();
    assert_eq!(serde_json::from_slice::<Series>(&kept).unwrap(), series);
    assert!(kept.len() < 600, "{}", kept.len());
    assert!(!series.is_idle(now) && Series::default().is_idle(now));
    for n in 0..10_000 {
        series.observe(now, 1, [&format!("{n}{}", "é".repeat(1_000)), "b", "c"], now);
    }
    assert!(serde_json::to_vec(&series).unwrap().len() < 10_000);
}

#[test]
fn insights_are_written_as_cloudtrail_writes_them_and_read_again() {
    let mut series = Series::default();
    series.observe(BEGIN + DAY, 3, BY, BEGIN + DAY);
    series.observe(
        BEGIN + 8 * DAY,
        100,
        ["arn:aws:sts::111122223333:assumed-role/r", "b", "AccessDenied"],
        BEGIN + 8 * DAY,
    );
    let turn = series.decide(BEGIN + 8 * DAY, true, Tuning::default()).unwrap();
    let api = ["s3.amazonaws.com", "PutObject"];
    let insight = Insight::of(&turn, "111122223333", "eu-west-1", api, Some("AccessDenied"));
    let text = insight.record().to_string();
    assert_eq!(Insight::parse(&Tree::parse(&text).unwrap()).as_ref(), Some(&insight));
    let record = insight.record();
    assert_eq!(record["insightDetails"]["insightType"], "ApiErrorRateInsight");
    assert_eq!(record["insightDetails"]["insightContext"]["statistics"]["insight"]["average"], 100.0);
    assert_eq!(record["insightDetails"]["insightContext"]["attributions"][2]["insight"][0]["value"], "AccessDenied");
    assert_eq!((record["eventSource"].as_str(), insight.is_theirs), (Some("trailwarden"), false));
    assert!(insight.id.starts_with("trailwarden-") && insight.id != insight.shared);
    let end = Insight::of(&Turn { is_end: true, ..turn }, "111122223333", "eu-west-1", api, Some("AccessDenied"));
    assert_eq!((end.shared, end.state), (insight.shared, State::End));

    let theirs = r#"{"eventVersion":"1.08","eventTime":"2026-03-01T22:10:00Z","awsRegion":"eu-west-1","eventID":"e","sharedEventID":"s",
        "eventType":"AwsCloudTrailInsight","recipientAccountId":"111122223333","eventCategory":"Insight","insightDetails":{"state":"End",
        "eventSource":"iam.amazonaws.com","eventName":"CreateUser","insightType":"ApiCallRateInsight","insightContext":{"statistics":{
        "baseline":{"average":0.02},"insight":{"average":7},"insightDuration":3,"baselineDuration":10083},
        "attributions":[{"attribute":"errorCode","insight":[{"value":"null","average":7}],"baseline":[]}]}}}"#;
    let insight = Insight::parse(&Tree::parse(theirs).unwrap()).unwrap();
    assert!(
        insight.is_theirs
            && insight.kind == Kind::CallRate
            && insight.attributions[0].insight == [("null".to_owned(), 7.0)]
    );
    assert_eq!(Insight::parse(&Tree::parse(&theirs.replace("\"insightType\"", "\"x\"")).unwrap()), None);
}

fn call(text: &str) -> String {
    format!(
        r#"{{"eventType":"AwsApiCall","eventTime":"2026-03-01T22:10:00Z","awsRegion":"eu-west-1","eventSource":"sts.amazonaws.com",
        "eventName":"AssumeRole","userIdentity":{{"arn":"arn:aws:sts::111122223333:assumed-role/Admin/me"}},
        "sourceIPAddress":"192.0.2.44","requestParameters":{{"roleArn":"arn:aws:iam::444455556666:role/Deploy"}}{text}}}"#
    )
}

#[test]
fn what_an_account_never_did_is_new_once_it_has_learned() {
    let look = |seen: &mut Seen, text: &str| {
        let record: Record<'_> = serde_json::from_str(text).unwrap();
        let call = Call::of(&record, text).unwrap();
        let names = Aspect::ALL.into_iter().filter_map(|aspect| Some((aspect, call.named(aspect)?.into_owned())));
        names
            .filter(|(aspect, name)| seen.look(*aspect, name, [call.minute / DAY; 2], &Plan::default()))
            .collect::<Vec<_>>()
    };
    let mut seen = Seen::default();
    assert_eq!(look(&mut seen, &call("")), []);
    let later = |month: &str| call("").replace("2026-03-01", &format!("2026-{month}-16"));
    assert_eq!(look(&mut seen, &later("03")), []);
    let elsewhere = later("03").replace("192.0.2.44", "2001:db8:1:2::3").replace("Admin/you", "Admin/me");
    assert_eq!(look(&mut seen, &elsewhere), [(Aspect::Network, "2001:db8:1::/48".to_owned())]);
    let other = later("03").replace("/Deploy", "/Root").replace("eu-west-1", "us-west-2");
    let chain = "arn:aws:sts::111122223333:assumed-role/Admin → arn:aws:iam::444455556666:role/Root";
    assert_eq!(look(&mut seen, &other), [(Aspect::Region, "us-west-2".into()), (Aspect::Chain, chain.into())]);
    assert_eq!(look(&mut seen, &later("08")).len(), 5, "what was not met for long is new again");
    for n in 0..6_000 {
        look(&mut seen, &later("08").replace("Admin", &n.to_string()));
    }
    assert!(serde_json::to_vec(&seen).unwrap().len() < 300_000);
    assert_eq!(look(&mut seen, &later("08").replace("Admin", "5999")), []);
    assert!(seen.forget(Aspect::Region) && !seen.forget(Aspect::Region));
    assert_eq!(
        look(&mut seen, &later("08").replace("Admin", "5999").replace("eu-west-1", "us-west-2")),
        [],
        "it is learned anew"
    );
}

#[test]
fn calls_are_counted_as_cloudtrail_counts_them() {
    let of = |text: &str| {
        let record: Record<'_> = serde_json::from_str(text).unwrap();
        Call::of(&record, text).map(|call| (call.is_write, call.error.map(Cow::into_owned), call.minute))
    };
    assert_eq!(of(&call("")), Some((true, None, 29_540_050)));
    assert_eq!(
        of(&call(r#","readOnly":true,"errorCode":"AccessDenied""#)),
        Some((false, Some("AccessDenied".into()), 29_540_050))
    );
    assert_eq!(of(&call(r#","eventCategory":"Data""#)), None);
    assert_eq!(of(&call("").replace("AwsApiCall", "AwsServiceEvent")), None);
    assert_eq!(of(&call("").replace("2026-03-01T22:10:00Z", "yesterday")), None);
}

fn tallied(texts: &[String], plan: &Plan) -> Tally {
    let mut tallying = Tallying::default();
    for text in texts {
        tallying.look(&serde_json::from_str(text).unwrap(), text, plan);
    }
    let tally = tallying.done();
    let kept = serde_json::to_string(&tally).unwrap();
    assert_eq!(serde_json::from_str::<Tally>(&kept).unwrap(), tally);
    tally
}

#[test]
fn a_log_is_tallied_by_what_was_called_when_and_by_whom() {
    let (write, read) = (call(r#","userAgent":"cli \u00e9""#), call(r#","readOnly":true"#));
    let denied = call(r#","readOnly":true,"errorCode":"AccessDenied","userAgent":7"#);
    let texts = [write.clone(), read.clone(), denied.clone(), write.replace("Admin/me", "Admin/you"), denied];
    let told = |plan: &Plan| {
        let tally = tallied(&texts, plan);
        tally
            .calls()
            .map(|call| (call.error.to_owned(), call.agent.to_owned(), call.is_write, call.count))
            .collect::<Vec<_>>()
    };
    let (written, failed) =
        ((String::new(), "cli é".to_owned(), true, 2), ("AccessDenied".to_owned(), "null".to_owned(), false, 2));
    assert_eq!(told(&Plan::default()), [written.clone(), failed.clone()]);
    assert_eq!(told(&Plan { error_rate: false, ..Plan::default() }), [written]);
    assert_eq!(told(&Plan { call_rate: false, ..Plan::default() }), [failed]);
    assert!(tallied(&texts, &Plan::none()).is_empty());
    let tally = tallied(&texts, &Plan::default());
    let first = tally.calls().next().unwrap();
    assert_eq!((first.region, first.source, first.name), ("eu-west-1", "sts.amazonaws.com", "AssumeRole"));
    assert_eq!((first.principal, first.minute), ("arn:aws:sts::111122223333:assumed-role/Admin", 29_540_050));

    let plan = Plan { never_seen: vec![Aspect::Network, Aspect::Chain], ..Plan::none() };
    let tally = tallied(&texts, &plan);
    let names: Vec<_> = tally.names().map(|(aspect, name, call)| (aspect, name, call.name)).collect();
    let chain = "arn:aws:sts::111122223333:assumed-role/Admin → arn:aws:iam::444455556666:role/Deploy";
    assert_eq!(names, [(Aspect::Network, "192.0.2.0/24", "AssumeRole"), (Aspect::Chain, chain, "AssumeRole")]);
    assert!(tally.calls().next().is_none());
}

#[test]
fn a_tally_stays_small_and_counts_what_hides_among_many() {
    let other = |n: u32, text: &str| {
        call("").replace("Admin/me", &format!("{n}{}/me", "x".repeat(2_000))).replace("eu-west-1", text)
    };
    let mut texts: Vec<String> = (0..6_000).map(|n| other(n, "eu-west-1")).collect();
    texts.extend((0..300).map(|n| other(n, "us-west-2")));
    let tally = tallied(&texts, &Plan { never_seen: Aspect::ALL.to_vec(), ..Plan::default() });
    assert!(tally.calls().count() <= 2_002 && tally.names().count() <= 2_000);
    assert_eq!((tally.calls().map(|call| call.count).sum::<u32>(), tally.left_out), (6_300, 0));
    let hidden: Vec<_> = tally.calls().filter(|call| call.region == "us-west-2").collect();
    assert!(matches!(hidden[..], [Counted { principal: "many", count: 300, .. }]), "{hidden:?}");
    let texts: Vec<String> = (0..5_000).map(|n| call("").replace("AssumeRole", &format!("Do{n}"))).collect();
    let tally = tallied(&texts, &Plan::default());
    assert_eq!((tally.calls().count(), tally.left_out), (4_000, 1_000));
}
