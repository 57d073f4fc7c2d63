//! Verification of a range: the strict algorithm over whatever lies in a bucket or a copy of one, with no ledger.
//!
//! Each account × region is one group, looked at on its own; *good*, *bad* and *could not check* are three answers.

mod group;
mod report;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

pub use report::{ChainReport, Counts, LogCounts, Report, Verdict};

use crate::core::chain::ChainId;
use crate::core::digest::VerifyingKey;
use crate::core::gzip::Caps;
use crate::core::id::{AccountId, Region};
use crate::core::key::{self, ObjectKey, Root};
use crate::core::shard::Shard;
use crate::delivery::Memory;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::listing;
use crate::seam::{DynBucket, DynKeys, Got};
use group::Group;

/// Groups looked at side by side; the objects of all of them share `concurrency`.
const GROUPS: usize = 16;
/// Bytes of objects in memory at once, stored and inflated.
const MEMORY: u64 = 256 << 20;
/// Digests that are asked for the bucket's name.
const NAME_SAMPLE: usize = 20;

/// What to verify.
#[derive(Clone)]
pub struct Range {
    pub bucket: DynBucket,
    pub keys: DynKeys,
    /// The bucket's real name; `None`: what the digests agree on.
    pub bucket_name: Option<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub now: Timestamp,
    pub grace: SignedDuration,
    pub account: Option<AccountId>,
    /// Only its accounts.
    pub shard: Shard,
    pub region: Option<Region>,
    /// Only this trail's chains are reported; others still count as coverage.
    pub trail: Option<(String, Region)>,
    /// Only accounts under this prefix.
    pub prefix: Option<String>,
    /// Whether a log that no digest lists is bad.
    pub unlisted: bool,
    /// Chains that are known from elsewhere, with an end time of one of their digests: they are expected in the range.
    pub known: Vec<(ChainId, Timestamp)>,
    pub caps: Caps,
    pub object_limit: u64,
    /// Objects read at once.
    pub concurrency: usize,
}

/// How far a verification is; shared with whoever draws it.
#[derive(Debug, Default)]
pub struct Progress {
    pub groups: AtomicU64,
    pub groups_done: AtomicU64,
    pub objects: AtomicU64,
    pub objects_done: AtomicU64,
}

/// A digest-signing key's region and fingerprint.
type KeyName = (Region, String);

/// What the groups share.
struct Shared {
    range: Range,
    bucket_name: Option<String>,
    has_metadata: bool,
    permits: Semaphore,
    memory: Memory,
    keys: Mutex<HashMap<KeyName, Option<Arc<VerifyingKey>>>>,
    progress: Arc<Progress>,
}

/// Verifies a range. Errors only when nothing could be listed at all.
pub async fn verify(range: Range, progress: Arc<Progress>) -> Result<Report> {
    let has_metadata = range.bucket.has_metadata().await?;
    let mut groups = discover(&range).await?;
    for (chain, _) in &range.known {
        let group = (chain.root.clone(), chain.region.clone());
        if wanted(&range, &group.0, &group.1) && !groups.contains(&group) {
            groups.push(group);
        }
    }
    let bucket_name = match &range.bucket_name {
        Some(name) => Some(name.clone()),
        None => agreed_name(&range, &groups).await,
    };
    progress.groups.store(groups.len() as u64, Ordering::Relaxed);
    let mut report = Report::new(&range, bucket_name.clone());
    let shared = Arc::new(Shared {
        permits: Semaphore::new(range.concurrency.max(1)),
        memory: Memory::new(MEMORY, Env::system()),
        bucket_name,
        has_metadata,
        keys: Mutex::default(),
        progress,
        range,
    });
    let horizon = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    let mut groups = groups.into_iter();
    loop {
        while running.len() < GROUPS
            && let Some((root, region)) = groups.next()
        {
            let (shared, horizon) = (shared.clone(), horizon.clone());
            running.spawn(async move {
                let outcome = Group::load(&shared, root, region).await;
                if let Ok(group) = &outcome {
                    horizon.fetch_max(group.horizon().as_second().unsigned_abs(), Ordering::Relaxed);
                }
                shared.progress.groups_done.fetch_add(1, Ordering::Relaxed);
                outcome
            });
        }
        let Some(joined) = running.join_next().await else { break };
        let group = joined.map_err(|error| Error::transient("verify", error))?;
        report.add(group.map(|group| group.share));
    }
    let seen = i64::try_from(horizon.load(Ordering::Relaxed)).unwrap_or(0);
    report.conclude(&shared.range, Timestamp::from_second(seen).unwrap_or(Timestamp::UNIX_EPOCH));
    Ok(report)
}

fn wanted(range: &Range, root: &Root, region: &Region) -> bool {
    range.account.is_none_or(|account| account == root.account)
        && range.shard.holds(root.account)
        && range.region.as_ref().is_none_or(|wanted| wanted == region)
        && range.prefix.as_ref().is_none_or(|prefix| prefix.trim_matches('/') == root.prefix)
}

/// The account × region groups that have a digest or a log folder.
async fn discover(range: &Range) -> Result<Vec<(Root, Region)>> {
    let bucket = range.bucket.as_ref();
    let mut groups = Vec::new();
    for root in listing::roots(bucket, &[]).await? {
        if range.account.is_some_and(|account| account != root.account) {
            continue;
        }
        let mut regions = listing::regions(bucket, &root, "CloudTrail-Digest").await?;
        regions.extend(listing::regions(bucket, &root, "CloudTrail").await?);
        regions.sort();
        regions.dedup();
        let of_root = regions.into_iter().filter(|region| wanted(range, &root, region));
        groups.extend(of_root.map(|region| (root.clone(), region)));
    }
    Ok(groups)
}

/// The name that most of a sample of digests give for their bucket.
async fn agreed_name(range: &Range, groups: &[(Root, Region)]) -> Option<String> {
    let mut votes: HashMap<String, usize> = HashMap::new();
    for (root, region) in groups.iter().take(NAME_SAMPLE) {
        let prefix = format!("{}CloudTrail-Digest/{region}/", root.path());
        let Ok(page) = range.bucket.list(&prefix, None).await else { continue };
        for listed in
            page.objects.iter().filter(|listed| matches!(key::parse(&listed.key), ObjectKey::Digest(_))).take(5)
        {
            let Ok(Got::Found(object)) = range.bucket.get(&listed.key, None, range.object_limit).await else {
                continue;
            };
            let Ok(inflated) = crate::core::gzip::inflate(&object.body, range.caps) else { continue };
            let Ok(digest) = crate::core::digest::Digest::parse(&inflated.bytes) else { continue };
            *votes.entry(digest.bucket).or_default() += 1;
        }
    }
    votes.into_iter().max_by_key(|(name, votes)| (*votes, std::cmp::Reverse(name.clone()))).map(|(name, _)| name)
}

impl Shared {
    async fn public_key(&self, region: &Region, fingerprint: &str, at: Timestamp) -> Result<Option<Arc<VerifyingKey>>> {
        let name = (region.clone(), fingerprint.to_owned());
        // Held while asking, so that a thousand digests of one key ask once.
        let mut keys = self.keys.lock().await;
        if let Some(known) = keys.get(&name) {
            return Ok(known.clone());
        }
        let found =
            self.range.keys.find(region, fingerprint, at).await?.map(|key| Arc::new(VerifyingKey::of(&key.der)));
        keys.insert(name, found.clone());
        Ok(found)
    }
}
