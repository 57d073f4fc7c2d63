//! One account and region: its digests, its chains, its logs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use crate::core::chain::{self, ChainId, HOUR, Joint, Link, Slot};
use crate::core::digest::{Examined, Place, Verdict as Sealed};
use crate::core::finding::{Finding, Kind};
use crate::core::id::{Region, Sha256};
use crate::core::key::{self, DigestKey, ObjectKey, Root};
use crate::error::{Error, Result};
use crate::listing;
use crate::seam::Got;
use crate::verify::range::report::{ChainReport, Share, Verdict, phase_hours};
use crate::verify::range::{Range, Shared};

/// A log's name gives its delivery to the minute; close to the end of an hour the next digest may list it.
const EDGE: SignedDuration = SignedDuration::from_mins(10);
/// Logs whose hashing is planned at once; more would only hold memory.
const CHUNK: usize = 4_096;

/// What one group came to.
pub(super) struct Group {
    pub share: Share,
    newest: Timestamp,
    root: Root,
    region: Region,
    bucket: String,
}

/// Logs that lie in the bucket: when each was delivered, and its stored bytes.
type Lying = BTreeMap<String, (Timestamp, u64)>;

/// A digest object, looked at.
struct Seen {
    key: String,
    parsed: DigestKey,
    examined: Examined,
}

/// What a log's bytes turned out to be.
enum Hashed {
    Sha(Sha256, usize),
    Malformed(String),
    TooLarge(String),
    Absent,
    Unread(String),
}

impl Group {
    pub(super) async fn load(shared: &Arc<Shared>, root: Root, region: Region) -> Result<Self> {
        let mut group = Self {
            share: Share::default(),
            newest: Timestamp::UNIX_EPOCH,
            bucket: shared.bucket_name.clone().unwrap_or_default(),
            root,
            region,
        };
        let seen = group.digests(shared).await?;
        let lying = group.list_logs(shared).await?;
        let joined = group.join_chains(shared, &seen);
        group.without_chains(&shared.range, &seen, &lying);
        group.check_logs(shared, &seen, lying, &joined).await?;
        Ok(group)
    }

    /// The newest moment that anything here speaks of.
    pub(super) fn horizon(&self) -> Timestamp {
        self.newest
    }

    fn about(&self, kind: Kind, object: &str, detail: String) -> Finding {
        Finding::of_object(kind, &self.bucket, object, detail).account(self.root.account).region(&self.region)
    }

    /// Lists, reads and seals the digests whose hour lies in the range.
    async fn digests(&mut self, shared: &Arc<Shared>) -> Result<Vec<Seen>> {
        let range = &shared.range;
        let window = window(range, HOUR);
        let listed =
            listing::days(range.bucket.as_ref(), &self.root, "CloudTrail-Digest", &self.region, window).await?;
        let mut reading = JoinSet::new();
        for listed in listed {
            let ObjectKey::Digest(parsed) = key::parse(&listed.key) else { continue };
            let inside =
                range.from.is_none_or(|from| parsed.end > from) && range.to.is_none_or(|to| parsed.end - HOUR < to);
            if !inside || parsed.root != self.root {
                continue;
            }
            self.newest = self.newest.max(parsed.end);
            shared.progress.objects.fetch_add(1, Ordering::Relaxed);
            let shared = shared.clone();
            reading.spawn(async move { read_digest(&shared, listed.key, listed.size, parsed).await });
        }
        let mut seen = Vec::new();
        while let Some(outcome) = reading.join_next().await {
            match outcome.map_err(|error| Error::transient("verify", error))? {
                Ok(Some(digest)) => seen.push(digest),
                Ok(None) => {}
                Err((key, error)) => {
                    self.share.digests.unchecked += 1;
                    self.share.unchecked.push(format!("{key}: {error}"));
                }
            }
        }
        seen.sort_by(|a, b| (a.parsed.end, &a.key).cmp(&(b.parsed.end, &b.key)));
        if shared.has_metadata {
            for digest in &mut seen {
                seal(shared, digest).await?;
            }
        } else {
            seal_backwards(shared, &mut seen).await?;
        }
        Ok(seen)
    }

    /// Faults, joints and counts, chain by chain. Answers the good digests' hours, for coverage.
    fn join_chains(&mut self, shared: &Shared, seen: &[Seen]) -> Coverage {
        let mut chains: BTreeMap<String, (ChainId, Vec<&Seen>)> = BTreeMap::new();
        for digest in seen {
            let id = ChainId::of(&digest.parsed);
            chains.entry(id.to_string()).or_insert_with(|| (id, Vec::new())).1.push(digest);
        }
        for (id, _) in &shared.range.known {
            if id.root == self.root && id.region == self.region && !id.backfill {
                chains.entry(id.to_string()).or_insert_with(|| (id.clone(), Vec::new()));
            }
        }
        let mut coverage = Coverage::default();
        for (id, digests) in chains.into_values() {
            let told = shared.range.trail.as_ref().is_none_or(|(name, home)| *name == id.trail && *home == id.home);
            // Whoever can write here could invent a trail, so that no hour is covered by all: a chain is one that has proven
            // something, now or before.
            let exists = digests.iter().any(|digest| digest.examined.is_signed())
                || shared.range.known.iter().any(|(known, _)| *known == id);
            if !id.backfill && exists {
                coverage.add(&digests);
            }
            if told {
                self.join_chain(shared, &id, &digests, seen);
            }
        }
        coverage
    }

    fn join_chain(&mut self, shared: &Shared, id: &ChainId, digests: &[&Seen], seen: &[Seen]) {
        let before = (self.share.findings.len(), self.share.digests.unchecked);
        let mut logs = 0;
        for digest in digests {
            self.tell_faults(shared, digest, id);
            if digest.examined.is_signed() {
                logs += digest.examined.digest.as_ref().map_or(0, |digest| digest.logs.len() as u64);
            }
        }
        let (links, slots) = links_and_slots(digests);
        if id.backfill {
            self.join_backfill(id, &links, seen);
        } else {
            self.join_links(&shared.range, id, &links, &slots);
        }
        if digests.is_empty() {
            self.nothing_of(shared, id);
        }
        let bad = self.share.findings.len() > before.0;
        let verdict = match (bad, self.share.digests.unchecked > before.1 || links.is_empty()) {
            (true, _) => Verdict::Bad,
            (false, true) => Verdict::Incomplete,
            (false, false) => Verdict::Good,
        };
        self.share.chains.push(ChainReport {
            account: id.account(),
            region: id.region.clone(),
            trail: id.trail.clone(),
            kind: id.kind(),
            digests: digests.len() as u64,
            logs,
            first: digests.first().map(|digest| digest.parsed.end),
            last: links
                .last()
                .map(|link| link.end)
                .max(slots.iter().map(|slot| slot.end).max().filter(|_| !links.is_empty())),
            verdict,
            id: Some(id.clone()),
            ends: digests.iter().map(|digest| digest.parsed.end).collect(),
            bucket: self.bucket.clone(),
        });
    }

    fn tell_faults(&mut self, shared: &Shared, digest: &Seen, id: &ChainId) {
        let mut told: Vec<Finding> = Vec::new();
        for (kind, detail) in &digest.examined.faults {
            match told.iter_mut().find(|finding| finding.kind == *kind) {
                Some(finding) => finding.detail = format!("{}; {detail}", finding.detail),
                None => told.push(self.about(*kind, &digest.key, detail.clone()).trail(&id.trail)),
            }
        }
        match digest.examined.verdict {
            Sealed::Good => self.share.digests.good += 1,
            Sealed::Bad => self.share.digests.bad += 1,
            Sealed::Unchecked => {
                self.share.digests.unchecked += 1;
                if let Some(fingerprint) = digest.examined.wants_key() {
                    let name = crate::core::printable(fingerprint, 80);
                    let detail = format!("{} has no key with fingerprint {name}", id.region);
                    told.push(self.about(Kind::PublicKeyUnknown, &digest.key, detail).trail(&id.trail));
                } else {
                    let what = if shared.has_metadata {
                        "could not be checked"
                    } else {
                        "is a copy without metadata, and no later digest gives its signature"
                    };
                    self.share.unchecked.push(format!("{}: {what}", digest.key));
                }
            }
        }
        self.share.findings.extend(told);
    }

    fn join_links(&mut self, range: &Range, id: &ChainId, links: &[Link], slots: &[Slot]) {
        for (n, link) in links.iter().enumerate() {
            let before = n.checked_sub(1).and_then(|n| links.get(n));
            let (kind, mut hours, detail) = match chain::join(before, link, slots) {
                Joint::Linked | Joint::Start | Joint::Unjudged => continue,
                Joint::Broken { suspect, why } => {
                    self.tell_break(id, link, suspect, &why);
                    continue;
                }
                Joint::Gap(hours) => (Kind::DigestMissing, hours, names(link)),
                Joint::Restart(hours) => {
                    (Kind::ChainRestarted, hours, "a starting digest follows an older chain".into())
                }
                Joint::Horizon => {
                    // Its predecessor belongs to the range only if it ends after the range begins.
                    let from = range.from.unwrap_or(Timestamp::MIN);
                    if link.start <= from {
                        continue;
                    }
                    let hours = match range.from {
                        Some(from) => phase_hours(link.start, from, link.start),
                        None => vec![link.start],
                    };
                    (Kind::DigestMissing, hours, names(link))
                }
            };
            hours.retain(|hour| range.from.is_none_or(|from| *hour > from));
            self.share.digests.missing += hours.len() as u64;
            let mut finding = self.about(kind, &link.key, detail).trail(&id.trail).hours(hours);
            if let (Kind::DigestMissing, Some(previous)) = (kind, &link.previous) {
                finding.object = Some(previous.key.clone());
            }
            self.share.findings.push(finding);
        }
    }

    /// A backfill digest may name one of either kind; hash and signature of whatever it names are compared.
    fn join_backfill(&mut self, id: &ChainId, links: &[Link], seen: &[Seen]) {
        for link in links {
            let Some(previous) = &link.previous else { continue };
            let named = seen.iter().find(|digest| digest.key == previous.key && digest.examined.is_signed());
            if let Some(why) = named.and_then(self::link).and_then(|named| chain::differences(previous, &named)) {
                self.tell_break(id, link, previous.key.clone(), &why);
            }
        }
    }

    fn tell_break(&mut self, id: &ChainId, link: &Link, suspect: String, why: &str) {
        self.share.digests.bad += 1;
        self.share.digests.good = self.share.digests.good.saturating_sub(1);
        let mut finding = self.about(Kind::ChainBroken, &link.key, format!("{why}: {}", link.key)).trail(&id.trail);
        finding.object = Some(suspect);
        self.share.findings.push(finding);
    }

    /// A chain that is known to exist and has no digest in the range.
    fn nothing_of(&mut self, shared: &Shared, id: &ChainId) {
        let Some((_, phase)) = shared.range.known.iter().find(|(known, _)| known == id) else { return };
        let (Some(from), Some(to)) = (shared.range.from, shared.range.to) else { return };
        let mut hours = phase_hours(*phase, from, to);
        hours.retain(|hour| *hour + shared.range.grace <= shared.range.now);
        if hours.is_empty() {
            return;
        }
        self.share.digests.missing += hours.len() as u64;
        let mut finding = Finding::new(Kind::DigestMissing, id.to_string(), "the chain has no digest in the range")
            .account(id.account())
            .region(&id.region)
            .trail(&id.trail)
            .hours(hours);
        finding.bucket = Some(self.bucket.clone());
        self.share.findings.push(finding);
    }

    /// Logs lie here, and not one digest: either nothing validates this trail, or all digests were deleted.
    fn without_chains(&mut self, range: &Range, seen: &[Seen], lying: &Lying) {
        let delivered = || lying.values().map(|(delivered, _)| delivered);
        let (Some(first), Some(last)) = (delivered().min(), delivered().max()) else { return };
        if !seen.is_empty() || !range.unlisted || !self.share.chains.is_empty() {
            return;
        }
        let hours = match (range.from, range.to) {
            (Some(from), Some(to)) => phase_hours(from, from, to),
            _ => phase_hours(*first, *first - HOUR, *last + HOUR),
        };
        self.share.digests.missing += hours.len() as u64;
        let detail = format!("{} logs lie here and no digest at all", lying.len());
        let mut finding =
            Finding::new(Kind::DigestMissing, format!("{}{}", self.root.path(), self.region), detail).hours(hours);
        finding.account = Some(self.root.account);
        finding.region = Some(self.region.clone());
        finding.bucket = Some(self.bucket.clone());
        finding.trail = range.trail.as_ref().map(|(name, _)| name.clone());
        self.share.findings.push(finding);
    }

    /// Event logs that lie in the bucket, delivered in the range.
    async fn list_logs(&mut self, shared: &Arc<Shared>) -> Result<Lying> {
        let range = &shared.range;
        let window = window(range, SignedDuration::ZERO);
        let listed = listing::days(range.bucket.as_ref(), &self.root, "CloudTrail", &self.region, window).await?;
        let mut lying = BTreeMap::new();
        for listed in listed {
            let ObjectKey::Log(parsed) = key::parse(&listed.key) else { continue };
            let inside = range.from.is_none_or(|from| parsed.delivered >= from)
                && range.to.is_none_or(|to| parsed.delivered <= to);
            if inside {
                self.newest = self.newest.max(parsed.delivered);
                lying.insert(listed.key, (parsed.delivered, listed.size));
            }
        }
        Ok(lying)
    }

    /// Each log that a signed digest lists is hashed; what lies there and is listed by none is unlisted or unproven.
    async fn check_logs(
        &mut self,
        shared: &Arc<Shared>,
        seen: &[Seen],
        mut lying: Lying,
        coverage: &Coverage,
    ) -> Result<()> {
        let mut promised: HashMap<&str, (Sha256, &str)> = HashMap::new();
        let claims: HashSet<&str> = seen.iter().flat_map(|digest| digest.examined.claims(&digest.parsed)).collect();
        let mut sizes: HashMap<&str, u64> = HashMap::new();
        for digest in seen.iter().filter(|digest| digest.examined.is_signed()) {
            let told = shared
                .range
                .trail
                .as_ref()
                .is_none_or(|(name, home)| *name == digest.parsed.trail && *home == digest.parsed.home);
            for log in digest.examined.digest.iter().flat_map(|digest| &digest.logs) {
                if let Some((_, size)) = lying.remove(&log.key) {
                    sizes.insert(&log.key, size);
                }
                if told {
                    promised.insert(&log.key, (log.sha, digest.key.as_str()));
                }
            }
        }
        shared.progress.objects.fetch_add(promised.len() as u64, Ordering::Relaxed);
        let mut keys: Vec<&str> = promised.keys().copied().collect();
        keys.sort_unstable();
        for chunk in keys.chunks(CHUNK) {
            let mut hashing = JoinSet::new();
            for key in chunk {
                let (shared, size, key) = (shared.clone(), sizes.get(key).copied(), (*key).to_owned());
                hashing.spawn(async move {
                    let hashed = hash_log(&shared, &key, size).await;
                    shared.progress.objects_done.fetch_add(1, Ordering::Relaxed);
                    (key, hashed)
                });
            }
            while let Some(joined) = hashing.join_next().await {
                let (key, hashed) = joined.map_err(|error| Error::transient("verify", error))?;
                if let Some((sha, digest)) = promised.get(key.as_str()) {
                    self.judge_log(&key, hashed, sha, digest);
                }
            }
        }
        self.judge_unlisted(shared, lying, &claims, coverage);
        Ok(())
    }

    fn judge_log(&mut self, key: &str, hashed: Hashed, promised: &Sha256, digest: &str) {
        let (kind, detail) = match hashed {
            Hashed::Sha(sha, 0) if sha == *promised => {
                self.share.logs.good += 1;
                return;
            }
            Hashed::Unread(why) => {
                self.share.logs.unchecked += 1;
                self.share.unchecked.push(format!("{key}: {why}"));
                return;
            }
            Hashed::Sha(sha, trailing) if sha == *promised => {
                (Kind::TrailingData, format!("{trailing} bytes follow the log's gzip member"))
            }
            Hashed::Sha(sha, _) => {
                (Kind::LogModified, format!("SHA-256 is {sha}, the digest {digest} says {promised}"))
            }
            Hashed::Malformed(why) => (Kind::LogMalformed, why),
            Hashed::TooLarge(why) => (Kind::ObjectTooLarge, why),
            Hashed::Absent => (Kind::LogMissing, format!("the digest {digest} lists it with SHA-256 {promised}")),
        };
        if kind == Kind::LogMissing {
            self.share.logs.missing += 1;
        } else {
            self.share.logs.bad += 1;
        }
        let finding = self.about(kind, key, detail);
        self.share.findings.push(finding);
    }

    fn judge_unlisted(&mut self, shared: &Shared, lying: Lying, claims: &HashSet<&str>, coverage: &Coverage) {
        let mut unproven = 0u64;
        for (key, (delivered, _)) in lying {
            let covered = coverage.covers(delivered) && coverage.covers(delivered + EDGE);
            if shared.range.unlisted && covered && !claims.contains(key.as_str()) {
                self.share.logs.unlisted += 1;
                let finding =
                    self.about(Kind::LogUnlisted, &key, "the digests of its hour are there, and none lists it".into());
                self.share.findings.push(finding);
            } else if shared.range.unlisted {
                unproven += 1;
            }
        }
        self.share.logs.unchecked += unproven;
        if unproven > 0 {
            let place = format!("{}{}", self.root.path(), self.region);
            self.share.unchecked.push(format!("{unproven} logs under {place} lie in hours without a proven digest, or are listed by one that proves nothing"));
        }
    }
}

/// The hours that each standard chain's good digests cover.
#[derive(Default)]
struct Coverage {
    chains: Vec<Vec<(Timestamp, Timestamp)>>,
}

impl Coverage {
    fn add(&mut self, digests: &[&Seen]) {
        let (links, slots) = links_and_slots(digests);
        // Another digest was signed into the chain in its place, and nobody knows what that one listed.
        let disowned: HashSet<String> = links
            .windows(2)
            .filter_map(|pair| match (pair, chain::join(pair.first(), pair.last()?, &slots)) {
                ([before, _], Joint::Broken { suspect, .. }) if suspect == before.key => Some(suspect),
                _ => None,
            })
            .collect();
        let hours: Vec<_> = digests
            .iter()
            .filter(|digest| digest.examined.is_signed() && !disowned.contains(&digest.key))
            .filter_map(|digest| digest.examined.digest.as_ref())
            .map(|digest| (digest.start, digest.end))
            .collect();
        self.chains.push(hours);
    }

    /// Every chain has a good digest for this moment.
    fn covers(&self, at: Timestamp) -> bool {
        !self.chains.is_empty()
            && self.chains.iter().all(|hours| hours.iter().any(|(start, end)| *start <= at && at < *end))
    }
}

fn window(range: &Range, margin: SignedDuration) -> Option<(Timestamp, Timestamp)> {
    let from = range.from?;
    Some((from, range.to.unwrap_or(range.now).min(range.now) + margin))
}

fn names(link: &Link) -> String {
    format!("{} names it as its predecessor, and it is not there", link.key)
}

/// What proves something, and what only lies there.
fn links_and_slots(digests: &[&Seen]) -> (Vec<Link>, Vec<Slot>) {
    let (mut links, mut slots) = (Vec::new(), Vec::new());
    for digest in digests {
        if digest.examined.is_signed() {
            links.extend(link(digest));
        } else {
            slots.push(Slot { key: digest.key.clone(), end: digest.parsed.end });
        }
    }
    (links, slots)
}

fn link(seen: &Seen) -> Option<Link> {
    let digest = seen.examined.digest.as_ref()?;
    Some(Link {
        key: seen.key.clone(),
        start: digest.start,
        end: digest.end,
        sha: seen.examined.sha,
        signature: seen.examined.signature.clone(),
        previous: digest.previous.clone().map(Into::into),
    })
}

async fn read_digest(
    shared: &Shared,
    key: String,
    size: u64,
    parsed: DigestKey,
) -> std::result::Result<Option<Seen>, (String, Error)> {
    let got = {
        let _permit = shared.permits.acquire().await;
        let range = &shared.range;
        shared.memory.get(range.bucket.as_ref(), &key, None, Some(size), range.object_limit).await
    };
    shared.progress.objects_done.fetch_add(1, Ordering::Relaxed);
    match got {
        Err(error) => Err((key, error)),
        // Listed a moment ago and gone: its successor will say that it is missing.
        Ok((Got::Absent, _)) => Ok(None),
        Ok((Got::TooLarge(size), _)) => Err((key, Error::permanent("verify", format!("{size} bytes are too many")))),
        Ok((Got::Found(object), _stored)) => {
            let _inflated = shared.memory.most(&object.body, shared.range.caps).await;
            let place = Place {
                bucket: shared.bucket_name.as_deref(),
                key: &key,
                parsed: &parsed,
                has_metadata: shared.has_metadata,
            };
            let examined = Examined::open(&place, &object.body, &object.head.metadata, shared.range.caps);
            Ok(Some(Seen { key, parsed, examined }))
        }
    }
}

/// A plain copy carries no signatures; every digest but the newest finds its own in its successor. What fails is bad only if
/// that successor is proven: otherwise the signature may be what was changed.
async fn seal_backwards(shared: &Shared, seen: &mut [Seen]) -> Result<()> {
    let mut kept: HashMap<String, (Vec<u8>, String)> = HashMap::new();
    for digest in seen.iter() {
        if let Some(previous) = digest.examined.digest.as_ref().and_then(|digest| digest.previous.as_ref()) {
            kept.insert(previous.key.clone(), (previous.signature.clone(), digest.key.clone()));
        }
    }
    let mut proven: HashSet<String> = HashSet::new();
    for digest in seen.iter_mut().rev() {
        let Some((signature, keeper)) = kept.remove(&digest.key) else { continue };
        digest.examined.signature = Some(signature);
        seal(shared, digest).await?;
        if digest.examined.is_signed() {
            proven.insert(digest.key.clone());
        } else if !proven.contains(&keeper) {
            digest.examined.unseal();
        }
    }
    Ok(())
}

async fn seal(shared: &Shared, digest: &mut Seen) -> Result<()> {
    let Some(fingerprint) = digest.examined.wants_key() else { return Ok(()) };
    let key = shared.public_key(&digest.parsed.region, fingerprint, digest.examined.key_time).await?;
    digest.examined.seal(key.as_deref());
    Ok(())
}

async fn hash_log(shared: &Shared, key: &str, size: Option<u64>) -> Hashed {
    let range = &shared.range;
    let _permit = shared.permits.acquire().await;
    let (object, _stored) = match shared.memory.get(range.bucket.as_ref(), key, None, size, range.object_limit).await {
        Err(error) => return Hashed::Unread(error.to_string()),
        Ok((Got::Absent, _)) => return Hashed::Absent,
        Ok((Got::TooLarge(size), _)) => return Hashed::TooLarge(format!("{size} bytes stored")),
        Ok((Got::Found(object), room)) => (object, room),
    };
    match shared.memory.inflate(object.body, range.caps).await {
        Err(error) => Hashed::Unread(error.to_string()),
        Ok((Ok(inflated), _room)) => Hashed::Sha(Sha256::of(&inflated.bytes), inflated.trailing),
        Ok((Err(error), _)) if error.is_cap() => Hashed::TooLarge(error.to_string()),
        Ok((Err(error), _)) => Hashed::Malformed(error.to_string()),
    }
}
