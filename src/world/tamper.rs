//! Trouble: who tampers with what, and what an honest warden must say of it.

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::cast::{KEY_LETTERS, account_id, die, letters, organization};
use super::chains::{Chain, Draft, Entry, Flavor, Log, Sealed};
use super::events::{self, Scene};
use super::notices::{How, News, Wrap};
use super::plan::{SILENCE, STOP};
use super::{Delivery, GRACE, HOUR, Manner, Pending, Step, World, instant};
use crate::core::finding::Kind;
use crate::core::gzip::deflate;
use crate::core::id::{AccountId, Region};
use crate::error::Result;
use crate::seam::Metadata;

/// Every kind of trouble that a world knows how to make with deliveries alone. `EvidenceChainChanged` can be asked for besides: a
/// log tells who put another policy on the bucket, and whoever plays the world has to put it there. So can `RuleFired`: an intruder,
/// whose deeds rules find that the player has to have loaded; one of them is a call on the evidence that is refused.
pub const PLANTABLE: &[Kind] = &[
    Kind::DigestSignatureInvalid,
    Kind::LogModified,
    Kind::DigestMissing,
    Kind::LogUnlisted,
    Kind::AccountForeign,
    Kind::ChainBroken,
    Kind::LogMissing,
    Kind::DigestMalformed,
    Kind::WriterForeign,
    Kind::TrailingData,
    Kind::OrganizationForeign,
    Kind::DigestMisplaced,
    Kind::EvidenceRemoved,
    Kind::ChainRestarted,
    Kind::ContentMismatch,
    Kind::MessageUnintelligible,
    Kind::PublicKeyUnknown,
    Kind::LogMalformed,
    Kind::BucketForeign,
    Kind::EvidenceOverwritten,
    Kind::KeyUnexpected,
    Kind::RecordMalformed,
    Kind::ObjectMissing,
    Kind::ObjectTooLarge,
    Kind::DigestOverdue,
    Kind::AccountSilent,
    Kind::AccountUncovered,
];

/// A trouble that was made: the finding that an honest warden comes to, and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planted {
    pub kind: Kind,
    /// The hour in which it happens; its finding may need until after a grace.
    pub hour: u32,
    pub account: Option<AccountId>,
    pub region: Option<Region>,
    pub trail: Option<String>,
    /// The object's key.
    pub object: Option<String>,
    /// The id of the rule that fires on it.
    pub rule: Option<&'static str>,
    /// End times of the digests that miss; for an overdue chain, those known at the end of the world after [`GRACE`].
    pub hours: Vec<Timestamp>,
    /// One sentence about what was done.
    pub story: String,
}

impl Planted {
    /// The hours that a warden with this `grace` knows to be missing at `now`; for overdue chains.
    pub fn hours_by(&self, now: Timestamp, grace: SignedDuration) -> Vec<Timestamp> {
        let late = |end: &Timestamp| end.checked_add(grace).is_ok_and(|due| due <= now);
        self.hours.iter().copied().filter(late).collect()
    }
}

/// A digest whose turn has come, with what was made for it.
pub(super) struct Turn<'a> {
    pub chain: &'a Chain,
    pub draft: &'a Draft,
    pub sealed: &'a Sealed,
    /// When CloudTrail would deliver it.
    pub at: i64,
    pub number: u32,
    /// The first digest of its trouble.
    pub begins: bool,
}

/// Where and when a trouble happens, for its [`Planted`].
struct Spot<'a> {
    at: i64,
    chain: &'a Chain,
    object: Option<&'a str>,
    hours: Vec<Timestamp>,
}

impl World {
    fn plant(&mut self, kind: Kind, spot: Spot<'_>, story: &str) {
        let account = self.account_of(spot.chain);
        let place = format!(
            "{} in {}",
            account.map(|account| account.name.as_str()).unwrap_or_default(),
            self.region_of(spot.chain).map(Region::as_str).unwrap_or_default()
        );
        let planted = Planted {
            kind,
            hour: u32::try_from((spot.at - self.began) / HOUR).unwrap_or_default(),
            account: account.map(|account| account.id),
            region: self.region_of(spot.chain).cloned(),
            trail: self.trails.get(spot.chain.trail).map(|trail| trail.name.clone()),
            object: spot.object.map(str::to_owned),
            hours: spot.hours,
            rule: None,
            story: story.replace("{place}", &place),
        };
        self.planted.push(planted);
    }

    fn plain(&mut self, rng: &mut Rng, key: &str, body: Vec<u8>, at: i64) {
        self.deliver(rng, Delivery { key: key.into(), body, metadata: Metadata::new(), at }, Manner::Plain);
    }

    /// Does `kind` to a log file or beside it; answers what the chain's next digest lists.
    pub(super) fn spoil_log(&mut self, rng: &mut Rng, kind: Kind, chain: &Chain, log: Log) -> Option<Entry> {
        match kind {
            Kind::LogModified
            | Kind::LogMalformed
            | Kind::TrailingData
            | Kind::LogMissing
            | Kind::DigestSignatureInvalid => self.spoil_stored(rng, kind, chain, &log),
            Kind::ContentMismatch | Kind::RecordMalformed | Kind::EvidenceChainChanged => {
                return self.spoil_content(rng, kind, chain, log);
            }
            Kind::EvidenceRemoved | Kind::EvidenceOverwritten => self.spoil_later(rng, kind, chain, &log),
            _ => {
                self.spoil_beside(rng, kind, chain, log.at);
                self.plain(rng, &log.key, log.body(), log.at);
            }
        }
        Some(log.entry())
    }

    /// The digest tells the truth; what lies in the bucket is something else.
    fn spoil_stored(&mut self, rng: &mut Rng, kind: Kind, chain: &Chain, log: &Log) {
        let mut body = log.body();
        let story = match kind {
            Kind::LogModified => {
                let mut texts = log.records.texts.clone();
                texts.pop();
                body = deflate(format!("{{\"Records\":[{}]}}", texts.join(",")).as_bytes());
                "one record was cut out of a log of {place} before anybody heard of the file"
            }
            Kind::LogMalformed => {
                body.truncate(body.len() / 2);
                "half of a log of {place} was cut off"
            }
            Kind::TrailingData => {
                body.extend(deflate(b"{\"Records\":[]}"));
                "a second gzip member was glued to a log of {place}, where the hash does not reach"
            }
            Kind::LogMissing => "a log of {place} was deleted before anybody heard of it",
            // The digest's own story is told when its turn comes; its only log is gone, too.
            _ => return,
        };
        if kind != Kind::LogMissing {
            self.plain(rng, &log.key, body, log.at);
        }
        self.plant(kind, Spot { at: log.at, chain, object: Some(&log.key), hours: vec![] }, story);
    }

    /// The digest lists the file as it lies there, and still something is wrong with it, or with what it tells.
    fn spoil_content(&mut self, rng: &mut Rng, kind: Kind, chain: &Chain, mut log: Log) -> Option<Entry> {
        let story = if kind == Kind::ContentMismatch {
            let own = self.account_of(chain)?.id;
            let other = self.accounts.iter().map(|account| account.id).find(|id| *id != own);
            let foreign = other.or_else(|| account_id(rng, &[own], false));
            log.records = self.log(rng, chain, log.at, Flavor::Events, foreign)?.records;
            "a log in the folder of {place} holds another account's records"
        } else if kind == Kind::EvidenceChainChanged {
            let (account, region) = (self.account_of(chain)?, self.region_of(chain)?);
            let span = (log.records.oldest, log.records.newest);
            let scene = Scene { account, region, recipient: account.id, data: false, span };
            log.records.texts.push(events::policy_put(rng, &scene, &self.bucket));
            "somebody in {place} put a policy on the bucket that lets any trail of anybody write"
        } else {
            let nameless = log.records.texts.first().map(|text| text.replacen("\"eventTime\"", "\"when\"", 1));
            log.records.texts.extend(nameless);
            "a log of {place} holds an element without a time"
        };
        self.plain(rng, &log.key, log.body(), log.at);
        self.plant(kind, Spot { at: log.at, chain, object: Some(&log.key), hours: vec![] }, story);
        Some(log.entry())
    }

    /// The file was right when it came; hours later somebody returns to it.
    fn spoil_later(&mut self, rng: &mut Rng, kind: Kind, chain: &Chain, log: &Log) {
        self.plain(rng, &log.key, log.body(), log.at);
        let at = log.at + 5 * HOUR / 2;
        let mut news = News::put(&self.bucket, &log.key, b"", at);
        let story = if kind == Kind::EvidenceRemoved {
            news.how = How::Delete;
            self.post(at, Pending::Step(Step::Remove { key: log.key.clone() }));
            "a verified log of {place} was deleted"
        } else {
            let texts: Vec<&str> = log.records.texts.iter().skip(1).map(String::as_str).collect();
            let body = deflate(format!("{{\"Records\":[{}]}}", texts.join(",")).as_bytes());
            news = News::put(&self.bucket, &log.key, &body, at);
            self.put(at, &log.key, body, Metadata::new());
            "a verified log of {place} was written a second time, without its first record"
        };
        self.post(at + 2, Pending::News(news));
        self.plant(kind, Spot { at, chain, object: Some(&log.key), hours: vec![] }, story);
    }

    /// Somebody puts an object of their own beside the genuine ones; no digest lists it.
    fn spoil_beside(&mut self, rng: &mut Rng, kind: Kind, chain: &Chain, at: i64) {
        let Some(forged) = self.log(rng, chain, at, Flavor::Events, None) else { return };
        let mut key = forged.key.clone();
        let mut body = forged.body();
        let story = match kind {
            Kind::LogUnlisted => "a forged log was slipped into the folder of {place}",
            Kind::KeyUnexpected => {
                let (Some(own), Some(region)) = (self.account_of(chain), self.region_of(chain)) else { return };
                let Some(other) = account_id(rng, &[own.id], false) else { return };
                key = self.log_key(rng, (&own.id, &other), region, Flavor::Events, at);
                "a file in the folder of {place} carries another account's number in its name"
            }
            Kind::WriterForeign => {
                let news = News { how: How::Copy, ..News::put(&self.bucket, &key, &body, at) };
                self.put(at, &key, std::mem::take(&mut body), Metadata::new());
                self.post(at + 3, Pending::News(news));
                "a person copied a log to a new name in the folder of {place}"
            }
            Kind::ObjectMissing => {
                let news = News::put(&self.bucket, &key, &body, at);
                self.post(at + 3, Pending::News(news));
                "a log of {place} was announced that is not in the bucket"
            }
            Kind::ObjectTooLarge => {
                body = deflate(&vec![0; 200 << 20]);
                "a small file that swells to 200 MiB was put into the folder of {place}"
            }
            _ => return,
        };
        if !matches!(kind, Kind::WriterForeign | Kind::ObjectMissing) {
            self.plain(rng, &key, body, at);
        }
        self.plant(kind, Spot { at, chain, object: Some(&key), hours: vec![] }, story);
    }

    /// Does `kind` to a digest; the chain goes on from the genuine one.
    pub(super) fn spoil_digest(&mut self, rng: &mut Rng, kind: Kind, turn: &Turn<'_>) -> Result<()> {
        let Turn { chain, draft, sealed, at, number, .. } = *turn;
        let mut delivery = sealed.delivery(at);
        let mut key = sealed.key.clone();
        let story = match kind {
            Kind::DigestMissing | Kind::DigestOverdue => {
                self.spoil_absent(kind, turn);
                return Ok(());
            }
            Kind::DigestSignatureInvalid => {
                let emptied = Draft { entries: Vec::new(), ..draft.clone() };
                delivery.body = deflate(&self.seal(chain, &emptied, false)?.raw);
                "a log of {place} was deleted, and its entry cut out of the signed digest"
            }
            Kind::DigestMalformed => {
                let half = sealed.raw.len() / 2;
                delivery.body = deflate(sealed.raw.get(..half).unwrap_or_default());
                "a digest of {place} was overwritten with half of itself"
            }
            Kind::ChainBroken => {
                let shifted = Draft { shift: 1, ..draft.clone() };
                delivery = self.seal(chain, &shifted, false)?.delivery(at);
                "a digest of {place} was replaced by another with a good signature, which its successor does not know"
            }
            Kind::DigestMisplaced => {
                let copied = at + 240;
                let Some(place) = self.digest_key(chain, draft.end + 300, false) else { return Ok(()) };
                let copy = Delivery { key: place.clone(), ..sealed.delivery(copied) };
                self.deliver(rng, copy, Manner::Plain);
                key = place;
                "a genuine digest of {place} was copied to a name of its own"
            }
            Kind::PublicKeyUnknown => "a digest of {place} is signed with a key that CloudTrail does not have",
            Kind::ChainRestarted => "logging in {place} was stopped for two hours, then started again",
            _ => return Ok(()),
        };
        self.deliver(rng, delivery, Manner::Plain);
        let mut hours = Vec::new();
        if kind == Kind::ChainRestarted {
            hours.extend((number.saturating_sub(2)..number).map(|gone| instant(chain.end(self.began, gone))));
        }
        self.plant(kind, Spot { at, chain, object: Some(&key), hours }, story);
        Ok(())
    }

    /// Digests that CloudTrail made and nobody gets to see; told once, at the first of them.
    fn spoil_absent(&mut self, kind: Kind, turn: &Turn<'_>) {
        let Turn { chain, sealed, at, number, begins, .. } = *turn;
        if !begins {
            return;
        }
        let count = if kind == Kind::DigestMissing { 2 } else { STOP };
        let ends = (number..number + count).map(|gone| instant(chain.end(self.began, gone)));
        let mut planted = Vec::from_iter(ends);
        let story = if kind == Kind::DigestMissing {
            "two digests of {place} in a row were deleted before anybody heard of them"
        } else {
            let over = self.end();
            planted.retain(|end| end.checked_add(GRACE).is_ok_and(|due| due <= over));
            "the newest digests of one trail of {place} were deleted, one after the other"
        };
        let object = (kind == Kind::DigestMissing).then_some(sealed.key.as_str());
        self.plant(kind, Spot { at, chain, object, hours: planted }, story);
    }

    /// Trouble that lies in no chain, and what begins or ends for a whole account.
    pub(super) fn loose_trouble(&mut self, number: u32, from: i64) {
        let due: Vec<(Kind, usize)> = self
            .plan
            .loose
            .iter()
            .filter(|(_, hour, _)| *hour == number)
            .map(|(kind, _, chain)| (*kind, *chain))
            .collect();
        for (nth, (kind, chain)) in (0i64..).zip(due) {
            let mut rng = die(self.seed, &[5, kind as u64]);
            let at = from + 600 + nth * 660 + rng.i64(0..600);
            let chains = std::mem::take(&mut self.chains);
            if let Some(chain) = chains.get(chain) {
                self.spoil_loose(&mut rng, kind, chain, at);
            }
            self.chains = chains;
        }
        let silent = self.plan.silent.filter(|_| number + SILENCE == self.hours);
        let uncovered = self.plan.uncovered.filter(|_| number == 0);
        self.plant_account(Kind::AccountSilent, silent, number, "fell silent in all its regions");
        self.plant_account(Kind::AccountUncovered, uncovered, number, "is a member and has never delivered anything");
    }

    fn plant_account(&mut self, kind: Kind, account: Option<usize>, hour: u32, what: &str) {
        let Some(account) = account.and_then(|account| self.accounts.get(account)) else { return };
        self.planted.push(Planted {
            kind,
            hour,
            account: Some(account.id),
            region: None,
            trail: None,
            object: None,
            hours: Vec::new(),
            rule: None,
            story: format!("{} {what}", account.name),
        });
    }

    fn spoil_loose(&mut self, rng: &mut Rng, kind: Kind, chain: &Chain, at: i64) {
        let Some(log) = self.log(rng, chain, at, Flavor::Events, None) else { return };
        let (Some(own), Some(region)) = (self.account_of(chain).map(|account| account.id), self.region_of(chain))
        else {
            return;
        };
        let taken: Vec<AccountId> = self.accounts.iter().map(|account| account.id).collect();
        let mut planted = Planted {
            kind,
            hour: u32::try_from((at - self.began) / HOUR).unwrap_or_default(),
            account: None,
            region: Some(region.clone()),
            trail: None,
            object: None,
            hours: Vec::new(),
            rule: None,
            story: String::new(),
        };
        match kind {
            Kind::AccountForeign => {
                let Some(foreign) = account_id(rng, &taken, false) else { return };
                let key = self.log_key(rng, (&foreign, &foreign), region, Flavor::Events, at);
                self.plain(rng, &key, log.body(), at);
                planted.story =
                    format!("account {foreign}, which is no member, wrote a log into the organization's folder");
                (planted.account, planted.object) = (Some(foreign), Some(key));
            }
            Kind::OrganizationForeign => {
                let Some(other) = organization(rng) else { return };
                let key = log.key.replacen(self.org.as_str(), other.as_str(), 1);
                self.plain(rng, &key, log.body(), at);
                planted.story = format!("a log was delivered under the organization {other}, which is not ours");
                (planted.account, planted.object) = (Some(own), Some(key));
            }
            Kind::BucketForeign => {
                let bucket = format!("kestrel-trail-copy-{}", letters(rng, KEY_LETTERS, 6).to_lowercase());
                let mut news = News::put(&bucket, &log.key, b"{}", at);
                news.wrap = Wrap::CloudTrail;
                planted.story = format!("a message points to the bucket {bucket}, which nobody here serves");
                (planted.account, planted.object) = (Some(own), Some(log.key));
                self.post(at, Pending::News(news));
            }
            _ => {
                let body = Value::from("please call the depot about shipment 4711").to_string().into_bytes();
                planted.region = None;
                planted.story = "somebody sent the queue a message that is no notice at all".into();
                self.post(at, Pending::Step(Step::Message { body }));
            }
        }
        self.planted.push(planted);
    }
}
