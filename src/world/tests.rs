//! An auditor that knows nothing of the plan looks at what a world did, and must come to what was planted.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

use super::*;
use crate::core::gzip::{BadGzip, Caps, inflate};
use crate::core::id::Sha256;

pub(super) fn start() -> Timestamp {
    "2026-03-01T18:00:00Z".parse().unwrap()
}

/// The demo's places with fewer records: tests are not optimized.
pub(super) fn quick() -> Scale {
    Scale { records_per_log: (2, 4), ..Scale::demo() }
}

/// All that a world did, in the end.
pub(super) struct Past {
    pub puts: Vec<(Timestamp, String, Vec<u8>, Metadata)>,
    removed: BTreeSet<String>,
    messages: Vec<(Timestamp, Vec<u8>)>,
}

pub(super) fn live(world: &mut World) -> Past {
    let mut past = Past { puts: vec![], removed: BTreeSet::new(), messages: vec![] };
    let mut last = world.start;
    while let Some(hour) = world.next_hour().unwrap() {
        for Happening { at, step } in hour.happenings {
            assert!(last <= at && hour.start <= at && at < hour.end, "{at} is out of order in hour {}", hour.number);
            last = at;
            match step {
                Step::Put { key, body, metadata } => past.puts.push((at, key, body, metadata)),
                Step::Remove { key } => assert!(past.removed.insert(key)),
                Step::Message { body } => past.messages.push((at, body)),
            }
        }
    }
    past
}

pub(super) fn plain(body: &[u8]) -> Vec<u8> {
    inflate(body, Caps::default()).unwrap().bytes
}

/// The keys that a message announces as created and removed, whatever its envelope.
fn announced(body: &[u8], copies: &mut Vec<String>) -> Option<Vec<(String, String)>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    if let Some(inner) = value["Message"].as_str() {
        return if inner.starts_with('{') { announced(inner.as_bytes(), copies) } else { Some(vec![]) };
    }
    if value["Event"] == "s3:TestEvent" {
        return Some(vec![]);
    }
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all = Vec::new();
    if let Some(records) = value["Records"].as_array() {
        for record in records {
            let key = text(&record["s3"]["object"]["key"]).replace("%3A", ":");
            if record["eventName"] == "ObjectCreated:Copy" {
                copies.push(key.clone());
            }
            all.push((text(&record["s3"]["bucket"]["name"]), key));
        }
    } else if let Some(keys) = value["s3ObjectKey"].as_array() {
        all.extend(keys.iter().map(|key| (text(&value["s3Bucket"]), text(key))));
    } else {
        all.push((value["detail"]["bucket"]["name"].as_str()?.to_owned(), text(&value["detail"]["object"]["key"])));
    }
    Some(all)
}

pub(super) struct Auditor<'a> {
    world: &'a World,
    /// First and last body of a key.
    bodies: BTreeMap<&'a str, (&'a [u8], &'a [u8])>,
    metadata: BTreeMap<&'a str, &'a Metadata>,
    listed: BTreeMap<String, String>,
    findings: Vec<(Kind, String)>,
}

impl<'a> Auditor<'a> {
    pub fn audit(world: &'a World, past: &'a Past) -> Vec<(Kind, String)> {
        let mut this = Self {
            world,
            bodies: BTreeMap::new(),
            metadata: BTreeMap::new(),
            listed: BTreeMap::new(),
            findings: vec![],
        };
        for (_, key, body, metadata) in &past.puts {
            this.bodies.entry(key).or_insert((body, body)).1 = body;
            this.metadata.insert(key, metadata);
        }
        this.chains();
        this.logs(past);
        this.messages(past);
        let mut findings = this.findings;
        findings.sort();
        findings.dedup();
        findings
    }

    fn say(&mut self, kind: Kind, object: impl Into<String>) {
        self.findings.push((kind, object.into()));
    }

    /// A digest, if it is one: its contents, and its hash. Signs are checked by hand, not with the code under test.
    fn digest(&mut self, key: &str) -> Option<(Value, Sha256)> {
        let raw = plain(self.bodies[key].0);
        let Ok(json) = serde_json::from_slice::<Value>(&raw) else {
            self.say(Kind::DigestMalformed, key);
            return None;
        };
        if json["digestS3Object"] != key {
            self.say(Kind::DigestMisplaced, key);
            return None;
        }
        let region = key.split('/').nth(4).unwrap();
        let fits = |(of, public): &&(Region, PublicKey)| {
            of.as_str() == region && json["digestPublicKeyFingerprint"] == public.fingerprint.as_str()
        };
        let hash = Sha256::of(&raw);
        let Some((_, public)) = self.world.keys.iter().find(fits) else {
            self.say(Kind::PublicKeyUnknown, key);
            return Some((json, hash));
        };
        let text = format!(
            "{}\n{}/{key}\n{hash}\n{}",
            json["digestEndTime"].as_str().unwrap(),
            self.world.bucket,
            json["previousDigestSignature"].as_str().unwrap_or("null")
        );
        let signature = hex::decode(&self.metadata[key]["signature"]).unwrap();
        if UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public.der).verify(text.as_bytes(), &signature).is_err()
        {
            self.say(Kind::DigestSignatureInvalid, key);
            return None;
        }
        Some((json, hash))
    }

    fn chains(&mut self) {
        let keys: Vec<&str> = self.bodies.keys().copied().filter(|key| key.contains("/CloudTrail-Digest/")).collect();
        // Without stamp and day a digest's key is its chain's.
        let mut chains: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for key in keys {
            let name = key.rsplit('/').next().unwrap();
            let chain = name.rsplit_once("_2026").unwrap().0;
            let kind = if name.ends_with("_backfill.json.gz") { "backfill" } else { "" };
            chains.entry(format!("{chain}{kind}")).or_default().push(key);
        }
        let mut silent: BTreeMap<&str, usize> = BTreeMap::new();
        for keys in chains.values() {
            let backfill = keys[0].contains("_backfill");
            let mut before: Option<(&str, Option<Sha256>)> = None;
            let mut newest = Timestamp::MIN;
            for key in keys {
                let count = self.findings.len();
                let read = self.digest(key);
                if self.findings.get(count).is_some_and(|(kind, _)| *kind == Kind::DigestMisplaced) {
                    continue;
                }
                let hash = read.as_ref().map(|(_, hash)| *hash);
                if let Some((json, _)) = &read {
                    newest = newest.max(json["digestEndTime"].as_str().unwrap().parse().unwrap());
                    self.link(key, json, before, backfill);
                }
                before = Some((key, hash));
            }
            if !backfill && newest + GRACE + SignedDuration::from_hours(1) <= self.world.end() {
                *silent.entry(keys[0].split('/').nth(2).unwrap()).or_default() += 1;
            }
        }
        let all = self.world.regions.len() * self.world.trails.len();
        for (account, count) in silent {
            let kind = if count == all { Kind::AccountSilent } else { Kind::DigestOverdue };
            self.say(kind, account);
        }
        for member in &self.world.members {
            let root = format!("AWSLogs/{}/{}/CloudTrail", self.world.org, member.account);
            if !self.bodies.keys().any(|key| key.starts_with(&root)) {
                self.findings.push((Kind::AccountUncovered, member.account.to_string()));
            }
        }
    }

    fn link(&mut self, key: &str, json: &Value, before: Option<(&str, Option<Sha256>)>, backfill: bool) {
        for log in json["logFiles"].as_array().unwrap() {
            let name = log["s3Object"].as_str().unwrap().to_owned();
            let again = self.listed.insert(name.clone(), log["hashValue"].as_str().unwrap().to_owned());
            assert!(again.is_none(), "{name} is listed twice");
        }
        let Some((place, hash)) = before else {
            assert!(json["previousDigestS3Object"].is_null(), "{key} should start its chain");
            return;
        };
        assert!(!backfill);
        match json["previousDigestS3Object"].as_str() {
            None => self.say(Kind::ChainRestarted, key),
            Some(named) if named != place => self.say(Kind::DigestMissing, named),
            Some(_) => {
                let Some(hash) = hash else { return };
                let signature = self.metadata[place]["signature"].as_str();
                let same = json["previousDigestHashValue"] == hash.to_string().as_str();
                assert_eq!(same, json["previousDigestSignature"] == signature, "{key}");
                if !same {
                    self.say(Kind::ChainBroken, place);
                }
            }
        }
    }

    fn logs(&mut self, past: &Past) {
        let members: BTreeSet<&str> = self.world.members.iter().map(|member| member.account.as_str()).collect();
        let mut copies = Vec::new();
        for (_, body) in &past.messages {
            announced(body, &mut copies);
        }
        let logs: Vec<&str> = self.bodies.keys().copied().filter(|key| is_log(key)).collect();
        for key in logs {
            let parts: Vec<&str> = key.split('/').collect();
            let (first, last) = self.bodies[key];
            if parts[1] != self.world.org.as_str() {
                self.say(Kind::OrganizationForeign, key);
            } else if !members.contains(parts[2]) {
                self.say(Kind::AccountForeign, key);
            } else if !parts[8].starts_with(parts[2]) {
                self.say(Kind::KeyUnexpected, key);
            } else if copies.iter().any(|copy| copy == key) {
                self.say(Kind::WriterForeign, key);
            } else if past.removed.contains(key) {
                self.say(Kind::EvidenceRemoved, key);
            } else if first != last {
                self.say(Kind::EvidenceOverwritten, key);
            } else {
                self.log(key, &parts, first);
            }
        }
        let gone: Vec<String> =
            self.listed.keys().filter(|key| !self.bodies.contains_key(key.as_str())).cloned().collect();
        for key in gone {
            self.say(Kind::LogMissing, key);
        }
    }

    fn log(&mut self, key: &str, parts: &[&str], body: &[u8]) {
        let inflated = match inflate(body, Caps::default()) {
            Ok(inflated) => inflated,
            Err(error) => {
                let kind = if error == BadGzip::Damaged { Kind::LogMalformed } else { Kind::ObjectTooLarge };
                return self.say(kind, key);
            }
        };
        if inflated.trailing > 0 {
            self.say(Kind::TrailingData, key);
        }
        match self.listed.get(key) {
            // What lies in the hours of a chain that does not prove them, or has not proved them yet, proves nothing.
            None if !self.is_provable(parts) => {}
            None => self.say(Kind::LogUnlisted, key),
            Some(hash) if *hash != Sha256::of(&inflated.bytes).to_string() => self.say(Kind::LogModified, key),
            Some(_) => {}
        }
        let json: Value = serde_json::from_slice(&inflated.bytes).unwrap();
        for record in json["Records"].as_array().unwrap() {
            let aggregated = parts[3] == "CloudTrail-Aggregated";
            let (account, time) = match aggregated {
                true => (&record["accountId"], &record["timeWindow"]["windowStart"]),
                false => (&record["recipientAccountId"], &record["eventTime"]),
            };
            assert_eq!(record["awsRegion"], parts[4], "{key}");
            if account != parts[2] {
                self.say(Kind::ContentMismatch, key);
            }
            match time.as_str().map(str::parse::<Timestamp>) {
                Some(time) => drop(time.unwrap()),
                None => self.say(Kind::RecordMalformed, key),
            }
        }
    }

    /// Every standard digest of the account and region for the three hours from the log's stamp on lies there, and is good.
    fn is_provable(&self, parts: &[&str]) -> bool {
        let stamp = parts[8].rsplit('_').nth(1).unwrap();
        let from =
            jiff::civil::DateTime::strptime("%Y%m%dT%H%MZ", stamp).unwrap().to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let from = from.timestamp();
        let root = format!("AWSLogs/{}/{}/CloudTrail-Digest/{}/", self.world.org, parts[2], parts[4]);
        let faulty = |key: &str| self.findings.iter().any(|(_, object)| object == key);
        let good =
            self.bodies.range(root.as_str()..).take_while(|(key, _)| key.starts_with(&root)).filter(|(key, _)| {
                let stamp =
                    key.trim_end_matches("_backfill.json.gz").trim_end_matches(".json.gz").rsplit('_').next().unwrap();
                let end = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp).unwrap();
                let end = end.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
                from <= end && end < from + SignedDuration::from_hours(2) && !key.contains("_backfill") && !faulty(key)
            });
        good.count() >= 2 * self.world.trails.len()
    }

    fn messages(&mut self, past: &Past) {
        let (mut copies, mut seen) = (Vec::new(), BTreeSet::new());
        for (_, body) in &past.messages {
            match announced(body, &mut copies) {
                Some(all) => seen.extend(all),
                None if body.as_slice() == b"CloudTrail validation message." => {}
                None => self.say(Kind::MessageUnintelligible, ""),
            }
        }
        for (bucket, key) in &seen {
            if *bucket != self.world.bucket {
                self.say(Kind::BucketForeign, key.as_str());
            } else if is_log(key) && !self.bodies.contains_key(key.as_str()) {
                self.say(Kind::ObjectMissing, key.as_str());
            }
        }
    }
}

pub(super) fn is_log(key: &str) -> bool {
    key.ends_with(".json.gz") && key.contains("/CloudTrail") && !key.contains("/CloudTrail-Digest/")
}

/// What the auditor should say of what was planted.
fn expected(world: &World) -> Vec<(Kind, String)> {
    let mut expected: Vec<_> = world
        .planted()
        .iter()
        .map(|planted| {
            let account = planted.account.map(|account| account.to_string()).unwrap_or_default();
            let object = match planted.kind {
                // The successor names the later of the two.
                Kind::DigestMissing => {
                    let end = planted.hours[1].strftime("%Y%m%dT%H%M%SZ").to_string();
                    let day = planted.hours[1].strftime("%Y/%m/%d").to_string();
                    let object = planted.object.clone().unwrap();
                    let (root, name) = (object.rsplitn(5, '/').last().unwrap(), object.rsplit('/').next().unwrap());
                    format!("{root}/{day}/{}_{end}.json.gz", name.rsplit_once('_').unwrap().0)
                }
                _ => planted.object.clone().unwrap_or(account),
            };
            (planted.kind, object)
        })
        .collect();
    expected.sort();
    expected
}

#[test]
fn a_clean_world_gives_an_auditor_nothing_to_say() {
    for seed in [1, 2] {
        let mut world = World::clean(seed, Scale { hours: 30, ..Scale::small() }, start()).unwrap();
        let past = live(&mut world);
        assert_eq!(Auditor::audit(&world, &past), []);
        assert!(world.planted().is_empty());
        let digests = past.puts.iter().filter(|(_, key, ..)| key.contains("/CloudTrail-Digest/")).count();
        assert!(digests > 8 * 29, "{digests}");
        let backfills = past.puts.iter().filter(|(_, key, ..)| key.ends_with("_backfill.json.gz")).count();
        assert_eq!(backfills, 1);
    }
}

#[test]
fn every_trouble_of_the_demo_is_there_once_and_is_what_it_says() {
    // In the second world a message for another bucket comes while one for ours waits to be shared.
    for (seed, hours) in [(4, 24), (109, 16)] {
        every_trouble_is_there(World::new(seed, Scale { hours, ..quick() }, start()).unwrap());
    }
}

fn every_trouble_is_there(mut world: World) {
    let past = live(&mut world);
    let kinds: BTreeSet<Kind> = world.planted().iter().map(|planted| planted.kind).collect();
    assert_eq!(kinds, PLANTABLE.iter().copied().collect());
    assert_eq!(world.planted().len(), PLANTABLE.len());
    assert_eq!(Auditor::audit(&world, &past), expected(&world));
    let silent = world.planted().iter().find(|planted| planted.kind == Kind::AccountSilent).unwrap().account;
    let mut places = BTreeSet::new();
    for planted in world.planted().iter().filter(|planted| planted.trail.is_some()) {
        assert!(places.insert((planted.account, planted.region.clone())), "{planted:?}");
        assert_ne!(planted.account, silent);
        assert!(!planted.story.contains('{'), "{}", planted.story);
    }
}

#[test]
fn each_trouble_can_be_planted_alone_in_a_small_world() {
    let scale = Scale { accounts: 3, regions: 1, ..Scale::small() };
    for kind in PLANTABLE {
        let mut world = World::with_trouble(9, scale, start(), &[*kind]).unwrap();
        let past = live(&mut world);
        assert_eq!(world.planted().len(), 1, "{kind}");
        assert_eq!(Auditor::audit(&world, &past), expected(&world), "{kind}");
    }
}

#[test]
fn missing_hours_are_told_and_known_only_after_the_grace() {
    let kinds = [Kind::DigestMissing, Kind::DigestOverdue, Kind::ChainRestarted];
    let mut world = World::with_trouble(5, Scale { accounts: 4, ..Scale::small() }, start(), &kinds).unwrap();
    let past = live(&mut world);
    for planted in world.planted() {
        assert!(matches!(planted.hours.len(), 2 | 3), "{planted:?}");
        for end in &planted.hours {
            let stamp = end.strftime("%Y%m%dT%H%M%SZ").to_string();
            let account = planted.account.unwrap();
            assert!(!past.puts.iter().any(|(_, key, ..)| key.contains(&stamp) && key.contains(account.as_str())));
        }
        let last = *planted.hours.last().unwrap();
        assert_eq!(planted.hours_by(last + GRACE, GRACE), planted.hours);
        assert_eq!(planted.hours_by(last, GRACE).len(), planted.hours.len() - 2);
    }
}

#[test]
fn the_same_seed_gives_the_same_world_but_for_signatures() {
    let live_once = |seed| live(&mut World::new(seed, Scale::small(), start()).unwrap());
    let (one, again, other) = (live_once(3), live_once(3), live_once(8));
    let keys = |past: &Past| past.puts.iter().map(|(at, key, ..)| (*at, key.clone())).collect::<Vec<_>>();
    assert_eq!(keys(&one), keys(&again));
    assert_ne!(keys(&one), keys(&other));
    assert_eq!(one.messages.len(), again.messages.len());
    for ((_, key, body, _), (.., twin, _)) in one.puts.iter().zip(&again.puts) {
        if is_log(key) {
            assert_eq!(body, twin, "{key}");
        } else if let Ok(mut digest) = serde_json::from_slice::<Value>(&plain(body)) {
            let mut same: Value = serde_json::from_slice(&plain(twin)).unwrap();
            for signed in ["digestPublicKeyFingerprint", "previousDigestHashValue", "previousDigestSignature"] {
                (digest[signed], same[signed]) = (Value::Null, Value::Null);
            }
            assert_eq!(digest, same);
        }
    }
}

#[test]
fn records_look_like_life() {
    let mut world = World::clean(6, Scale { accounts: 4, ..Scale::small() }, start()).unwrap();
    let past = live(&mut world);
    let (mut services, mut identities) = (BTreeSet::new(), BTreeSet::new());
    let (mut errors, mut foreign_letters, mut ids) = (0, 0, BTreeSet::new());
    for (_, key, body, _) in past.puts.iter().filter(|(_, key, ..)| key.contains("/CloudTrail/")) {
        let text = String::from_utf8(plain(body)).unwrap();
        foreign_letters += usize::from(!text.is_ascii());
        let json: Value = serde_json::from_str(&text).unwrap();
        for record in json["Records"].as_array().unwrap() {
            services.insert(record["eventSource"].as_str().unwrap().to_owned());
            identities.insert(record["userIdentity"]["type"].as_str().unwrap().to_owned());
            errors += usize::from(record["errorCode"].is_string());
            assert!(ids.insert(record["eventID"].as_str().unwrap().to_owned()), "{key}");
            let global = ["iam", "organizations", "signin"]
                .iter()
                .any(|name| record["eventSource"] == format!("{name}.amazonaws.com"));
            assert!(!global || record["awsRegion"] == "us-east-1");
        }
    }
    assert!(services.len() >= 14, "{services:?}");
    assert!(identities.len() >= 4, "{identities:?}");
    assert!(errors > 0 && foreign_letters > 0);
}

#[test]
fn digests_are_always_announced_within_the_grace_and_logs_nearly_always() {
    let mut world = World::clean(7, Scale { accounts: 6, hours: 24, ..Scale::small() }, start()).unwrap();
    let past = live(&mut world);
    let (mut copies, mut told, mut shared) = (Vec::new(), BTreeMap::<String, Vec<Timestamp>>::new(), 0);
    for (at, body) in &past.messages {
        let keys = announced(body, &mut copies).unwrap_or_default();
        shared += usize::from(keys.len() > 1);
        keys.into_iter().for_each(|(_, key)| told.entry(key).or_default().push(*at));
    }
    let (mut lost, mut twice, mut after_the_next) = (0, 0, 0);
    for (at, key, ..) in past.puts.iter().filter(|(at, ..)| *at + SignedDuration::from_hours(2) < world.end()) {
        let Some(times) = told.get(key) else {
            assert!(is_log(key), "{key}");
            lost += 1;
            continue;
        };
        let delay = times[0].duration_since(*at);
        // A digest comes up to twelve minutes after its end.
        assert!(!delay.is_negative() && delay + SignedDuration::from_mins(12) < GRACE, "{key} {delay}");
        twice += usize::from(times.len() > 1);
        after_the_next += usize::from(delay > SignedDuration::from_hours(1));
    }
    assert!(shared > 10 && twice > 10 && after_the_next > 1, "{shared} {twice} {after_the_next}");
    assert!((1..past.puts.len() / 40).contains(&lost), "{lost}");
}

#[test]
fn the_parsers_find_no_fault_in_a_clean_world() {
    use crate::core::digest::{Examined, Place, VerifyingKey};
    use crate::core::key::{ObjectKey, parse};
    use crate::core::notice::{Opened, open};

    let scale = Scale { accounts: 8, hours: 24, logs_per_hour: (0, 4), ..Scale::small() };
    let mut world = World::clean(10, scale, start()).unwrap();
    let past = live(&mut world);
    let mut kinds = BTreeSet::new();
    for (_, key, body, metadata) in &past.puts {
        match parse(key) {
            ObjectKey::Log(parsed) => {
                let bytes = plain(body);
                let file = crate::core::record::read(&bytes, &parsed, |_, _| ()).unwrap();
                assert!(file.rows > 0 && file.rejected == 0 && file.misfits.is_empty(), "{key} {file:?}");
                kinds.insert(format!("{:?}", parsed.kind));
            }
            ObjectKey::Digest(parsed) => {
                let place = Place { bucket: Some(&world.bucket), key, parsed: &parsed, has_metadata: true };
                let mut examined = Examined::open(&place, body, metadata, Caps::default());
                let public = world.keys.iter().find(|(region, _)| *region == parsed.region).unwrap();
                assert_eq!(examined.wants_key(), Some(public.1.fingerprint.as_str()));
                examined.seal(Some(&VerifyingKey::of(&public.1.der)));
                assert_eq!(examined.faults, [], "{key}");
            }
            ObjectKey::OtherService(_) => {}
            other => panic!("{key} is {other:?}"),
        }
    }
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    for (_, body) in &past.messages {
        match open(body) {
            Opened::Notices { notices, rejects } => assert!(!notices.is_empty() && rejects.is_empty()),
            Opened::TestEvent | Opened::Validation => {}
            other => panic!("{other:?}"),
        }
    }
}
