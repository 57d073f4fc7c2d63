use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::world::tests::{Auditor, Past, is_log, live, plain, quick, start};
use crate::world::{PLANTABLE, Scale};

fn told(seed: u64) -> (World, Past) {
    let mut world = World::with_trouble(seed, quick(), start(), &[Kind::RuleFired]).unwrap();
    let past = live(&mut world);
    (world, past)
}

/// The story's records, in the order of their times.
fn deeds(past: &Past) -> Vec<Value> {
    let mut deeds = Vec::new();
    for (_, key, body, _) in past.puts.iter().filter(|(_, key, ..)| is_log(key)) {
        let file: Value = serde_json::from_slice(&plain(body)).unwrap();
        for record in file["Records"].as_array().unwrap() {
            if [ADDRESS, HOME_ADDRESS].iter().any(|address| record["sourceIPAddress"] == *address) {
                assert_eq!(record["recipientAccountId"], key.split('/').nth(2).unwrap());
                assert_eq!(record["awsRegion"], key.split('/').nth(4).unwrap());
                deeds.push(record.clone());
            }
        }
    }
    deeds.sort_by_key(|record| record["eventTime"].as_str().unwrap().to_owned());
    deeds
}

fn named<'a>(deeds: &'a [Value], name: &str) -> Vec<&'a Value> {
    deeds.iter().filter(|deed| deed["eventName"] == name).collect()
}

#[test]
fn bad_deeds_leave_the_evidence_whole() {
    for seed in [1, 7] {
        let (world, past) = told(seed);
        assert_eq!(Auditor::audit(&world, &past), []);
        let rules: Vec<_> = world.planted().iter().filter_map(|planted| planted.rule).collect();
        assert_eq!(rules.len() + 1, world.planted().len(), "the attempt on the trail is found without a rule, too");
        let victim = world.intruded().unwrap().0.account;
        assert!(world.planted().iter().filter(|planted| planted.account == Some(victim)).count() >= 5);
    }
}

#[test]
fn the_story_hangs_together() {
    let (world, past) = told(7);
    let deeds = deeds(&past);
    assert!((60..=80).contains(&deeds.len()), "{}", deeds.len());
    let ids: BTreeSet<&str> = deeds.iter().filter_map(|deed| deed["eventID"].as_str()).collect();
    assert_eq!(ids.len(), deeds.len());
    // Each key is used after it was had, by whom it was made for.
    let mut keys: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for deed in &deeds {
        keys.entry(deed["userIdentity"]["accessKeyId"].as_str().unwrap_or_default()).or_default().push(deed);
    }
    let made = named(&deeds, "CreateAccessKey")[0];
    let twin = made["responseElements"]["accessKey"]["accessKeyId"].as_str().unwrap();
    assert!(keys[twin].iter().all(|deed| deed["eventTime"].as_str() > made["eventTime"].as_str()));
    assert!(keys[twin].iter().all(|deed| deed["userIdentity"]["userName"] == TWIN));
    let roles = named(&deeds, "AssumeRole");
    let of = |kind: &str| roles.iter().rfind(|deed| deed["userIdentity"]["type"] == kind).expect("a role was taken");
    let (caller, target) = (of("IAMUser"), of("AWSAccount"));
    assert_eq!((&caller["sharedEventID"], &caller["eventTime"]), (&target["sharedEventID"], &target["eventTime"]));
    assert_ne!(caller["recipientAccountId"], target["recipientAccountId"]);
    assert_eq!(caller["userIdentity"]["accessKeyId"], twin);
    let session = caller["responseElements"]["credentials"]["accessKeyId"].as_str().unwrap();
    for deed in &keys[session] {
        assert_eq!(deed["userIdentity"]["arn"], caller["responseElements"]["assumedRoleUser"]["arn"]);
        assert_eq!(deed["recipientAccountId"], target["recipientAccountId"]);
        assert!(deed["eventTime"].as_str() > caller["eventTime"].as_str());
    }
    assert_eq!(named(&deeds, "GetObject").len(), 14);
    assert_eq!(named(&deeds, "GetSecretValue").len(), 3);
    let started = named(&deeds, "RunInstances").pop().unwrap();
    assert_eq!((&started["awsRegion"], started["errorCode"].is_null()), (&OPTED.into(), true));
    let switched = named(&deeds, "EnableRegion")[0];
    assert_eq!(switched["requestParameters"]["RegionName"], OPTED);
    let stopped = named(&deeds, "StopLogging")[0];
    assert_eq!(
        (&stopped["errorCode"], &stopped["requestParameters"]["name"]),
        (&"AccessDenied".into(), &world.arns()[0].as_str().into())
    );
}

#[test]
fn the_region_that_is_switched_on_delivers_digests_from_then_on() {
    let (_, past) = told(3);
    let opted = format!("/CloudTrail-Digest/{OPTED}/");
    let digests: Vec<_> = past.puts.iter().filter(|(_, key, ..)| key.contains(&opted)).collect();
    let switched = named(&deeds(&past), "EnableRegion")[0]["eventTime"].as_str().unwrap().parse().unwrap();
    assert!(digests.iter().all(|(at, ..)| *at > switched));
    // seven hours of two trails
    assert_eq!(digests.len(), 14);
}

#[test]
fn whoever_breaks_in_changes_nothing_else() {
    let logs = |kinds: &[Kind]| {
        let mut world = World::with_trouble(5, quick(), start(), kinds).unwrap();
        let past = live(&mut world);
        let logs = past.puts.into_iter().filter(|(_, key, ..)| is_log(key));
        (logs.map(|(at, key, body, _)| ((at, key), body)).collect::<BTreeMap<_, _>>(), world.planted().to_vec())
    };
    let (without, troubles) = logs(PLANTABLE);
    let (with, all) = logs(&[PLANTABLE, &[Kind::RuleFired]].concat());
    assert!(without.iter().all(|(place, body)| with.get(place) == Some(body)));
    assert_eq!(with.len() - without.len(), 12, "the story's own logs");
    assert_eq!(troubles, all.into_iter().filter(|planted| PLANTABLE.contains(&planted.kind)).collect::<Vec<_>>());
}

#[test]
fn there_is_no_story_where_there_is_no_room() {
    let mut world = World::with_trouble(5, Scale::small(), start(), &[Kind::RuleFired]).unwrap();
    let past = live(&mut world);
    assert!(world.intruded().is_none() && world.planted().is_empty() && deeds(&past).is_empty());
    assert_eq!(world.regions.len(), 2);
}

#[test]
fn every_world_of_the_demo_has_room() {
    let kinds = [PLANTABLE, &[Kind::EvidenceChainChanged, Kind::RuleFired]].concat();
    let has_none =
        |seed: &u64| World::with_trouble(*seed, Scale::demo(), start(), &kinds).unwrap().intruded().is_none();
    assert_eq!((1..=200).filter(has_none).collect::<Vec<u64>>(), Vec::<u64>::new());
}
