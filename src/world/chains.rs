//! What the trails deliver: log files, and the hourly chains of signed digests that list them
//! (CloudTrail User Guide: finding log files; digest file structure).

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use fastrand::Rng;
use serde::Serialize;

use super::cast::{ALPHANUMERIC, die, letters};
use super::events::{self, Records, Scene};
use super::plan::Plan;
use super::tamper::Turn;
use super::{Delivery, HOUR, Manner, World, instant};
use crate::core::digest::{HASH_ALGORITHM, SIGNATURE_ALGORITHM, metadata, string_to_sign};
use crate::core::finding::Kind;
use crate::core::gzip::deflate;
use crate::core::id::{AccountId, Region, Sha256};
use crate::error::{Error, Result};
use crate::seam::{Metadata, PublicKey};

/// A region's key, as CloudTrail holds it.
pub(super) struct Signer {
    pair: KeyPair,
    fingerprint: String,
}

impl Signer {
    /// The key of a number: made when it is first asked for, the same for all worlds of a process.
    pub fn number(number: usize) -> Result<Arc<Self>> {
        static MADE: Mutex<Vec<Arc<Signer>>> = Mutex::new(Vec::new());
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        while made.len() <= number {
            made.push(Arc::new(Self::new()?));
        }
        made.get(number).cloned().ok_or_else(|| Error::fatal("world:key", "no such key"))
    }

    fn new() -> Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|error| Error::fatal("world:key", error))?;
        // A fingerprint is opaque; CloudTrail's are 32 hexadecimal digits.
        let fingerprint = Sha256::of(pair.public_key().as_ref()).to_string().chars().take(32).collect();
        Ok(Self { pair, fingerprint })
    }

    pub fn public(&self, began: i64) -> PublicKey {
        PublicKey {
            fingerprint: self.fingerprint.clone(),
            der: self.pair.public_key().as_ref().to_vec(),
            valid_from: Some(instant(began - 10 * 24 * HOUR)),
            valid_to: Some(instant(began + 20 * 24 * HOUR)),
        }
    }

    fn sign(&self, text: &str) -> Result<String> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|error| Error::fatal("world:sign", error))?;
        Ok(hex::encode(signature))
    }
}

/// The digests of one account, region and trail. Accounts, regions and trails are positions in the world's lists.
pub(super) struct Chain {
    pub account: usize,
    pub region: usize,
    pub trail: usize,
    /// Seconds after the full hour at which this chain's hours end.
    phase: i64,
    previous: Option<Sealed>,
    /// Log files delivered since the last digest.
    pub listed: Vec<Entry>,
    /// A log file that only a backfill digest will list.
    held: Option<Entry>,
}

/// All chains; the order is account, region, trail.
pub(super) fn all(rng: &mut Rng, plan: &Plan, accounts: usize, regions: usize, trails: usize) -> Vec<Chain> {
    let mut chains = Vec::new();
    for account in 0..accounts {
        for region in 0..regions {
            for trail in 0..trails {
                let usual = rng.i64(0..HOUR);
                // A silent account's chains fall silent together, so that no sweep sees only some of them overdue.
                let phase = if plan.is_silent(account) {
                    600 + i64::try_from(region * trails + trail).unwrap_or_default() % 60
                } else {
                    usual
                };
                chains.push(Chain::new(account, region, trail, phase));
            }
        }
    }
    chains
}

impl Chain {
    /// `phase` in seconds after the full hour.
    pub fn new(account: usize, region: usize, trail: usize, phase: i64) -> Self {
        Self { account, region, trail, phase, previous: None, listed: Vec::new(), held: None }
    }

    /// The end of the digest with this number, in seconds since the epoch; number 0 is the starting digest.
    pub fn end(&self, began: i64, number: u32) -> i64 {
        began + i64::from(number) * HOUR + self.phase
    }
}

/// A log file as a digest lists it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    key: String,
    sha: Sha256,
    oldest: i64,
    newest: i64,
}

/// A log file before it is stored.
pub(super) struct Log {
    pub key: String,
    pub at: i64,
    pub records: Records,
}

impl Log {
    pub fn entry(&self) -> Entry {
        let Records { oldest, newest, .. } = self.records;
        Entry { key: self.key.clone(), sha: Sha256::of(&self.records.file()), oldest, newest }
    }

    pub fn body(&self) -> Vec<u8> {
        deflate(&self.records.file())
    }
}

/// What a log file holds; its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavor {
    Events,
    Insight,
    NetworkActivity,
    Aggregated,
}

impl Flavor {
    fn folder(self) -> &'static str {
        match self {
            Self::Events => "CloudTrail",
            Self::Insight => "CloudTrail-Insight",
            Self::NetworkActivity => "CloudTrail-NetworkActivity",
            Self::Aggregated => "CloudTrail-Aggregated",
        }
    }

    fn roll(rng: &mut Rng, data: bool) -> Self {
        match (rng.u8(..50), data) {
            (0, false) => Self::Insight,
            (0, true) => Self::NetworkActivity,
            (1, true) => Self::Aggregated,
            _ => Self::Events,
        }
    }
}

#[derive(Serialize, Clone)]
#[serde(rename_all = "camelCase")]
struct DigestFile<'a> {
    aws_account_id: AccountId,
    digest_start_time: String,
    digest_end_time: String,
    digest_s3_bucket: &'a str,
    digest_s3_object: String,
    digest_public_key_fingerprint: &'a str,
    digest_signature_algorithm: &'a str,
    newest_event_time: Option<String>,
    oldest_event_time: Option<String>,
    previous_digest_s3_bucket: Option<&'a str>,
    previous_digest_s3_object: Option<&'a str>,
    previous_digest_hash_value: Option<String>,
    previous_digest_hash_algorithm: Option<&'a str>,
    previous_digest_signature: Option<&'a str>,
    log_files: Vec<LogEntry<'a>>,
}

#[derive(Serialize, Clone)]
#[serde(rename_all = "camelCase")]
struct LogEntry<'a> {
    s3_bucket: &'a str,
    s3_object: &'a str,
    hash_value: String,
    hash_algorithm: &'a str,
    newest_event_time: String,
    oldest_event_time: String,
}

/// What a digest is about, before it is written and signed.
#[derive(Clone)]
pub(super) struct Draft {
    pub key: String,
    pub account: AccountId,
    /// Seconds since the epoch; the interval is the hour before.
    pub end: i64,
    pub entries: Vec<Entry>,
    /// Seconds by which the oldest event is given too old; not 0 only where somebody plays with a digest.
    pub shift: i64,
    pub previous: Option<Sealed>,
}

/// A digest written and signed.
#[derive(Clone)]
pub(super) struct Sealed {
    pub key: String,
    /// Before compression.
    pub raw: Vec<u8>,
    signature: String,
}

impl Sealed {
    pub fn metadata(&self) -> Metadata {
        Metadata::from([
            (metadata::SIGNATURE.into(), self.signature.clone()),
            (metadata::ALGORITHM.into(), SIGNATURE_ALGORITHM.into()),
        ])
    }

    pub fn delivery(&self, at: i64) -> Delivery {
        Delivery { key: self.key.clone(), body: deflate(&self.raw), metadata: self.metadata(), at }
    }
}

impl World {
    pub(super) fn account_of(&self, chain: &Chain) -> Option<&super::Account> {
        self.accounts.get(chain.account)
    }

    pub(super) fn region_of(&self, chain: &Chain) -> Option<&Region> {
        self.regions.get(chain.region)
    }

    /// The key of a log file delivered at `at`; the name's stamp is a multiple of five minutes.
    pub(super) fn log_key(
        &self,
        rng: &mut Rng,
        (folder_account, file_account): (&AccountId, &AccountId),
        region: &Region,
        flavor: Flavor,
        at: i64,
    ) -> String {
        let stamp = instant(at - at.rem_euclid(300));
        let folder = flavor.folder();
        format!(
            "AWSLogs/{}/{folder_account}/{folder}/{region}/{}/{file_account}_{folder}_{region}_{}_{}.json.gz",
            self.org,
            stamp.strftime("%Y/%m/%d"),
            stamp.strftime("%Y%m%dT%H%MZ"),
            letters(rng, ALPHANUMERIC, 16)
        )
    }

    pub(super) fn digest_key(&self, chain: &Chain, end: i64, backfill: bool) -> Option<String> {
        let account = self.account_of(chain)?.id;
        let region = self.region_of(chain)?;
        let trail = self.trails.get(chain.trail)?;
        let stamp = instant(end);
        Some(format!(
            "AWSLogs/{}/{account}/CloudTrail-Digest/{region}/{}/{account}_CloudTrail-Digest_{region}_{}_{}_{}{}.json.gz",
            self.org,
            stamp.strftime("%Y/%m/%d"),
            trail.name,
            trail.home,
            stamp.strftime("%Y%m%dT%H%M%SZ"),
            if backfill { "_backfill" } else { "" }
        ))
    }

    /// A log file of a chain, delivered at `at`, with records for `recipient` (its own account if `None`).
    pub(super) fn log(
        &self,
        rng: &mut Rng,
        chain: &Chain,
        at: i64,
        flavor: Flavor,
        recipient: Option<AccountId>,
    ) -> Option<Log> {
        let account = self.account_of(chain)?;
        let region = self.region_of(chain)?;
        let data = self.trails.get(chain.trail)?.data;
        let span = (at - 900, at - 60);
        let scene = Scene { account, region, recipient: recipient.unwrap_or(account.id), data, span };
        let records = match flavor {
            Flavor::Events => {
                let (fewest, most) = self.scale.records_per_log;
                let roll = rng.f64();
                // Squared: small files are the common ones.
                let more = (f64::from(most.saturating_sub(fewest) + 1) * roll * roll) as u32;
                events::records(rng, &scene, fewest + more)
            }
            Flavor::Insight => events::insight(rng, &scene),
            Flavor::NetworkActivity => events::network(rng, &scene),
            Flavor::Aggregated => events::aggregated(rng, &scene),
        };
        let key = self.log_key(rng, (&account.id, &account.id), region, flavor, at);
        Some(Log { key, at, records })
    }

    /// The log files that a chain delivers between its digests `number` and `number + 1`.
    pub(super) fn logs(&mut self, index: usize, chain: &mut Chain, number: u32) {
        let mut rng = die(self.seed, &[1, index as u64, number.into()]);
        let (fewest, most) = self.scale.logs_per_hour;
        let usual = rng.u32(fewest..=most.max(fewest));
        let count = self.plan.logs_wanted(index, number, usual);
        let trouble = self.plan.log_trouble(index, number);
        let manner = if self.plan.is_troubled(index) { Manner::Plain } else { Manner::Log };
        let data = self.trails.get(chain.trail).is_some_and(|trail| trail.data);
        let from = chain.end(self.began, number);
        for nth in 0..count {
            let at = from + rng.i64(0..HOUR);
            let flavor = if nth == 0 { Flavor::Events } else { Flavor::roll(&mut rng, data) };
            let Some(log) = self.log(&mut rng, chain, at, flavor, None) else { return };
            if let (0, Some(kind)) = (nth, trouble) {
                chain.listed.extend(self.spoil_log(&mut rng, kind, chain, log));
                continue;
            }
            if nth == 1 && self.plan.holds_back(index, number) {
                chain.held = Some(log.entry());
            } else {
                chain.listed.push(log.entry());
            }
            let delivery = Delivery { body: log.body(), key: log.key, metadata: Metadata::new(), at };
            self.deliver(&mut rng, delivery, manner);
        }
    }

    /// The chain's digest with this number: the hour that ends within the world's hour of that number.
    pub(super) fn digest(&mut self, index: usize, chain: &mut Chain, number: u32) -> Result<()> {
        if self.plan.is_off(index, number) {
            chain.previous = None;
            return Ok(());
        }
        let mut rng = die(self.seed, &[2, index as u64, number.into()]);
        let end = chain.end(self.began, number);
        let at = end + rng.i64(180..720);
        let (Some(key), Some(account)) = (self.digest_key(chain, end, false), self.account_of(chain)) else {
            return Ok(());
        };
        let entries = std::mem::take(&mut chain.listed);
        let draft = Draft { key, account: account.id, end, entries, shift: 0, previous: chain.previous.take() };
        let trouble = self.plan.digest_trouble(index, number);
        let sealed = self.seal(chain, &draft, trouble == Some(Kind::PublicKeyUnknown))?;
        match trouble {
            Some(kind) => {
                let begins = self.plan.begins(index, number);
                let turn = Turn { chain, draft: &draft, sealed: &sealed, at, number, begins };
                self.spoil_digest(&mut rng, kind, &turn)?;
            }
            None => {
                let manner = if self.plan.is_troubled(index) { Manner::Plain } else { Manner::Digest };
                self.deliver(&mut rng, sealed.delivery(at), manner);
            }
        }
        chain.previous = Some(sealed);
        self.backfill(&mut rng, chain, end)
    }

    /// A backfill digest for the log file that the hour's digest did not name, some minutes later.
    fn backfill(&mut self, rng: &mut Rng, chain: &mut Chain, end: i64) -> Result<()> {
        let Some(entry) = chain.held.take() else { return Ok(()) };
        let (Some(key), Some(account)) = (self.digest_key(chain, end, true), self.account_of(chain)) else {
            return Ok(());
        };
        let draft = Draft { key, account: account.id, end, entries: vec![entry], shift: 0, previous: None };
        let at = end + 1_500;
        let mut delivery = self.seal(chain, &draft, false)?.delivery(at);
        let generated = instant(at - 20).strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
        delivery.metadata.insert(metadata::BACKFILL_GENERATION.into(), generated);
        self.deliver(rng, delivery, Manner::Plain);
        Ok(())
    }

    /// Writes a digest and signs it with its region's key, or with one that CloudTrail does not have.
    pub(super) fn seal(&self, chain: &Chain, draft: &Draft, rogue: bool) -> Result<Sealed> {
        let signer = if rogue { self.rogue.as_ref() } else { self.signers.get(chain.region) };
        let signer = signer.ok_or_else(|| Error::fatal("world:sign", "no key for the region"))?;
        let previous = draft.previous.as_ref();
        let oldest = draft.entries.iter().map(|entry| entry.oldest - draft.shift).min();
        let file = DigestFile {
            aws_account_id: draft.account,
            digest_start_time: instant(draft.end - HOUR).to_string(),
            digest_end_time: instant(draft.end).to_string(),
            digest_s3_bucket: &self.bucket,
            digest_s3_object: draft.key.clone(),
            digest_public_key_fingerprint: &signer.fingerprint,
            digest_signature_algorithm: SIGNATURE_ALGORITHM,
            newest_event_time: draft.entries.iter().map(|entry| entry.newest).max().map(|at| instant(at).to_string()),
            oldest_event_time: oldest.map(|at| instant(at).to_string()),
            previous_digest_s3_bucket: previous.map(|_| self.bucket.as_str()),
            previous_digest_s3_object: previous.map(|sealed| sealed.key.as_str()),
            previous_digest_hash_value: previous.map(|sealed| Sha256::of(&sealed.raw).to_string()),
            previous_digest_hash_algorithm: previous.map(|_| HASH_ALGORITHM),
            previous_digest_signature: previous.map(|sealed| sealed.signature.as_str()),
            log_files: draft
                .entries
                .iter()
                .map(|entry| LogEntry {
                    s3_bucket: &self.bucket,
                    s3_object: &entry.key,
                    hash_value: entry.sha.to_string(),
                    hash_algorithm: HASH_ALGORITHM,
                    newest_event_time: instant(entry.newest).to_string(),
                    oldest_event_time: instant(entry.oldest).to_string(),
                })
                .collect(),
        };
        let raw = serde_json::to_vec(&file).map_err(|error| Error::fatal("world:digest", error))?;
        let text = string_to_sign(
            &file.digest_end_time,
            &self.bucket,
            &file.digest_s3_object,
            &Sha256::of(&raw),
            file.previous_digest_signature,
        );
        let signature = signer.sign(&text)?;
        Ok(Sealed { key: draft.key.clone(), raw, signature })
    }
}
