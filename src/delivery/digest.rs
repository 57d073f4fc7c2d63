//! A digest's step: examine and seal it, join it to its neighbors, compare each log it lists with the hash seen at ingest.

use jiff::Timestamp;

use crate::core::admit::Evidence;
use crate::core::chain::{self, ChainId, HOUR, Joint, Link};
use crate::core::digest::{Examined, Place, Verdict};
use crate::core::finding::{Finding, Kind};
use crate::core::key::DigestKey;
use crate::core::notice::Notice;
use crate::delivery::{Deliveries, Fate, Fetched, arrived, overwritten, raise};
use crate::error::Result;
use crate::metrics::Outcome;
use crate::seam::Got;
use crate::store::digests::{self, Beside, Chain, NewDigest};
use crate::store::objects::{self, Known, Listing, NewObject, State};
use crate::store::{Tx, findings};
use crate::trail::Trail;

/// Everything a digest's commit needs.
#[derive(Clone)]
struct Step {
    row: NewObject,
    key: DigestKey,
    bucket: String,
    examined: Examined,
    told: Vec<Finding>,
    grace: jiff::SignedDuration,
}

impl Deliveries {
    pub(super) async fn digest(
        &self,
        trail: &Trail,
        notice: &Notice,
        key: &DigestKey,
        note: Option<Finding>,
    ) -> Result<Fate> {
        let evidence = Evidence::Digest(key.clone());
        let mut fetched = match self.fetch_or_settle(trail, notice, &evidence).await? {
            Ok(fetched) => fetched,
            Err(fate) => return Ok(fate),
        };
        let examined = self.examine_digest(trail, &notice.key, key, &mut fetched).await?;
        if examined.verdict == Verdict::Good
            && let Some(digest) = &examined.digest
        {
            trail.learn_of(key, &digest.bucket);
        }
        let verdict = verdict_name(examined.verdict);
        self.metrics.digests.get_or_create(&Outcome { outcome: verdict }).inc();
        let bucket = trail.name_or(&notice.bucket).to_owned();
        let mut row = self.row(trail, notice, &evidence, State::Admitted);
        row.version.clone_from(&fetched.object.head.version);
        row.etag = fetched.object.head.etag.clone().or_else(|| row.etag.take());
        row.size = fetched.object.head.size;
        row.sha = examined.sha;
        row.listed = Listing::NotExpected;
        let told: Vec<Finding> = note.into_iter().collect();
        let step = Step { row, key: key.clone(), bucket, examined, told, grace: self.grace };
        let fresh = self.step(move |tx| step.clone().commit(tx)).await?;
        Ok(if fresh { Fate::Admitted } else { Fate::Repeated })
    }

    async fn examine_digest(
        &self,
        trail: &Trail,
        object: &str,
        key: &DigestKey,
        fetched: &mut Fetched,
    ) -> Result<Examined> {
        let (body, stored) = fetched.take();
        let place = Place {
            bucket: trail.bucket_name.get().map(String::as_str),
            key: object,
            parsed: key,
            has_metadata: trail.bucket.has_metadata().await?,
        };
        let room = self.memory.most(&body, trail.caps).await;
        let mut examined = Examined::open(&place, &body, &fetched.object.head.metadata, trail.caps);
        drop((body, stored, room));
        if let Some(fingerprint) = examined.wants_key() {
            let fingerprint = fingerprint.to_owned();
            match self.public_key(trail, &key.region, &fingerprint, examined.key_time).await {
                Ok(key) => examined.seal(key.as_deref()),
                Err(error) if error.is_fatal() => return Err(error),
                // Who names the region may have made it up: the digest is kept, and the sweep asks again.
                Err(error) => tracing::warn!(error = %error, %key.region, "a digest's key could not be asked for"),
            }
        }
        Ok(examined)
    }

    /// Looks at a digest again whose key was not known before. False when it still is not.
    pub async fn try_again(&self, trail: &Trail, object: &str, key: &DigestKey) -> Result<bool> {
        let notice = Notice::listed(trail.name_or(""), object, 0, None);
        let (source, name) = (trail.id, object.to_owned());
        let known = self.store.read(move |conn| objects::versions(conn, source, &name)).await?;
        let Some(seen) = known.into_iter().find(Known::is_admitted) else { return Ok(false) };
        let version = (!seen.version.is_empty()).then_some(seen.version.as_str());
        let (Got::Found(found), room) = self.get(trail, object, version, None).await? else { return Ok(false) };
        let mut fetched = Fetched { object: found, room: Some(room) };
        let examined = self.examine_digest(trail, object, key, &mut fetched).await?;
        // Another writing has another row, or was told as one.
        if examined.verdict == Verdict::Unchecked
            || !examined.sha.zip(seen.sha).is_some_and(|(sha, seen)| seen.fits(&sha))
        {
            return Ok(false);
        }
        let row = self.row(trail, &notice, &Evidence::Digest(key.clone()), State::Admitted);
        let bucket = trail.name_or("").to_owned();
        let step = Step { row, key: key.clone(), bucket, examined, told: Vec::new(), grace: self.grace };
        self.step(move |tx| step.clone().apply(tx)).await?;
        Ok(true)
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Bad => "bad",
        Verdict::Unchecked => "unchecked",
    }
}

fn about(kind: Kind, bucket: &str, object: &str, key: &DigestKey, detail: String) -> Finding {
    Finding::of_object(kind, bucket, object, detail).account(key.root.account).region(&key.region).trail(&key.trail)
}

impl Step {
    /// A crash before this did nothing; a crash after it makes the message a repeat.
    fn commit(mut self, tx: &Tx<'_>) -> rusqlite::Result<(bool, Vec<Kind>)> {
        let (source, key) = (self.row.source, self.row.key.clone());
        let known = arrived(tx, &self.row, &self.bucket)?;
        let again = overwritten(&known, &self.row);
        let again = again.map(|detail| about(Kind::EvidenceOverwritten, &self.bucket, &key, &self.key, detail));
        let is_proven = || -> rusqlite::Result<bool> {
            Ok(known.iter().any(|row| row.folded) || digests::link(tx.conn, source, &key)?.is_some())
        };
        if known.iter().any(Known::is_admitted) && (!self.examined.is_signed() || is_proven()?) {
            // Another writing of a key: the first one is the evidence, the second is only told.
            objects::insert(tx, &self.row)?;
            let (_, news) = raise(tx, again.as_slice())?;
            return Ok((false, news));
        }
        // Whatever was there before a proven one was not the digest.
        for state in [State::Refused, State::Unusable, State::Admitted] {
            if known.iter().any(|row| row.is(state)) {
                objects::forget(tx, source, &key, state)?;
            }
        }
        findings::resolve(tx, Kind::ObjectTooLarge, &format!("{}/{key}", self.bucket))?;
        objects::insert(tx, &self.row)?;
        self.told.extend(again);
        self.apply(tx)
    }

    fn apply(mut self, tx: &Tx<'_>) -> rusqlite::Result<(bool, Vec<Kind>)> {
        let chain = digests::chain(tx, self.row.source, &ChainId::of(&self.key))?;
        let signed = self.examined.is_signed();
        objects::set_claims(tx, self.row.source, &self.row.key, self.examined.claims(&self.key))?;
        let digest = self.examined.digest.take();
        let start = digest.as_ref().map_or(self.key.end - HOUR, |digest| digest.start);
        let lacks = (self.examined.verdict == Verdict::Unchecked)
            .then(|| digest.as_ref().map(|digest| (digest.fingerprint.clone(), self.examined.key_time)))
            .flatten();
        let unchecked = self.examined.verdict == Verdict::Unchecked;
        let row = NewDigest {
            source: self.row.source,
            key: self.row.key.clone(),
            chain: chain.id,
            start,
            end: self.key.end,
            verdict: if signed { Verdict::Good } else { self.examined.verdict },
            faulty: !self.examined.faults.is_empty(),
            sha: self.examined.sha,
            signature: self.examined.signature.clone(),
            previous: digest.as_ref().and_then(|digest| digest.previous.clone()),
            logs: digest.as_ref().map_or(0, |digest| digest.logs.len()),
            lacks,
        };
        digests::put(tx, &row)?;
        let subject = format!("{}/{}", self.bucket, self.row.key);
        if !unchecked {
            findings::resolve(tx, Kind::PublicKeyUnknown, &subject)?;
        }
        let mut told = std::mem::take(&mut self.told);
        told.extend(self.faults());
        let mut news = raise(tx, &told)?.1;
        if let (true, Some(digest)) = (signed, digest) {
            digests::extend_chain(tx, chain.id, digest.start, digest.end)?;
            for log in &digest.logs {
                news.extend(self.compare(tx, log)?);
            }
            news.extend(self.neighbors(tx, &chain, &row.link())?);
        }
        self.settle_overdue(tx, &chain, signed)?;
        Ok((true, news))
    }

    /// One finding per kind, however many faults.
    fn faults(&self) -> Vec<Finding> {
        let mut told: Vec<Finding> = Vec::new();
        for (kind, detail) in &self.examined.faults {
            match told.iter_mut().find(|finding| finding.kind == *kind) {
                Some(finding) => finding.detail = format!("{}; {detail}", finding.detail),
                None => told.push(about(*kind, &self.bucket, &self.row.key, &self.key, detail.clone())),
            }
        }
        told
    }

    /// A listed log against the hash seen at ingest; what was not seen yet is awaited.
    fn compare(&self, tx: &Tx<'_>, log: &crate::core::digest::ListedLog) -> rusqlite::Result<Vec<Kind>> {
        let source = self.row.source;
        let rows = objects::versions(tx.conn, source, &log.key)?;
        let subject = format!("{}/{}", self.bucket, log.key);
        let fits = |row: &Known| row.sha.is_some_and(|sha| sha.fits(&log.sha));
        if rows.iter().any(fits) {
            // Another writing beside it was told when it came.
            for row in &rows {
                let listed = if fits(row) { Listing::Fits } else { Listing::Differs };
                objects::set_version_listed(tx, source, &log.key, &row.version, listed)?;
            }
            findings::resolve(tx, Kind::LogUnlisted, &subject)?;
            return Ok(vec![]);
        }
        objects::await_log(tx, source, &log.key, &log.sha, &self.row.key, self.key.end + self.grace)?;
        let sha = rows.iter().find_map(|row| row.sha);
        if sha.is_none() && !rows.iter().any(|row| row.state == State::Unusable as i64) {
            return Ok(vec![]);
        }
        // Not looked for; the promise stays, for whoever restores it.
        objects::told_awaited(tx, source, &log.key)?;
        objects::set_listed(tx, source, &log.key, Listing::Differs)?;
        let Some(sha) = sha else { return Ok(vec![]) };
        let detail = format!("SHA-256 is {sha}, the digest {} says {}", self.row.key, log.sha);
        let finding = about(Kind::LogModified, &self.bucket, &log.key, &self.key, detail);
        Ok(raise(tx, std::slice::from_ref(&finding))?.1)
    }

    /// The joint to the digest before, and that of the digest after, whose predecessor this may be.
    fn neighbors(&self, tx: &Tx<'_>, chain: &Chain, link: &Link) -> rusqlite::Result<Vec<Kind>> {
        let mut news = settle_joint(tx, chain, link, &self.bucket, false)?.news;
        if let Some(next) = digests::following(tx.conn, chain.id, link.end)? {
            news.extend(settle_joint(tx, chain, &next, &self.bucket, false)?.news);
        }
        Ok(news)
    }

    /// A digest that arrives ends the wait for it.
    fn settle_overdue(&self, tx: &Tx<'_>, chain: &Chain, signed: bool) -> rusqlite::Result<()> {
        let subject = chain.subject();
        if !findings::is_open(tx, Kind::DigestOverdue, &subject)? {
            return Ok(());
        }
        let Some(head) = chain.head.max(signed.then_some(self.key.end)) else { return Ok(()) };
        let slots = digests::slots(tx.conn, chain.id, head, tx.now)?;
        let mut hours = chain::overdue_hours(head, tx.now, self.grace).into_iter();
        if hours.all(|hour| slots.iter().any(|slot| slot.end == hour)) {
            findings::resolve(tx, Kind::DigestOverdue, &subject)?;
        }
        Ok(())
    }
}

/// What a joint turned out to be, and which findings are news.
pub struct Joined {
    pub joint: Joint,
    pub news: Vec<Kind>,
}

/// Decides how a good digest fits to the one before it. Hours without a digest are told only when `last_word` is given:
/// until the grace has passed, a digest may still be on its way.
pub fn settle_joint(
    tx: &Tx<'_>,
    chain: &Chain,
    link: &Link,
    bucket: &str,
    last_word: bool,
) -> rusqlite::Result<Joined> {
    let subject = format!("{bucket}/{}", link.key);
    let finding = |kind, detail: String| {
        Finding::of_object(kind, bucket, &link.key, detail)
            .account(chain.chain.account())
            .region(&chain.chain.region)
            .trail(&chain.chain.trail)
    };
    let joint = if chain.chain.backfill { backfill_joint(tx, chain, link)? } else { standard_joint(tx, chain, link)? };
    let mut news = Vec::new();
    let mut tell = |finding: &Finding| -> rusqlite::Result<()> {
        if findings::hold(tx, finding)? {
            news.push(finding.kind);
        }
        Ok(())
    };
    let told_gap = findings::is_open(tx, Kind::DigestMissing, &subject)?;
    match &joint {
        // What lies between the two may be on its way yet.
        Joint::Broken { suspect, .. } if *suspect == link.key && !last_word => {}
        Joint::Broken { suspect, why } => {
            let mut broken = finding(Kind::ChainBroken, format!("{why}: {}", link.key));
            broken.object = Some(suspect.clone());
            tell(&broken)?;
            if *suspect != link.key {
                digests::disown(tx, chain.source, suspect)?;
            }
        }
        Joint::Gap(hours) if last_word || told_gap => {
            tell(&missing(&finding(Kind::DigestMissing, String::new()), link, hours.clone()))?;
        }
        Joint::Restart(hours) if last_word => {
            let detail = format!("a starting digest follows an older chain; {} hours have no digest", hours.len());
            tell(&finding(Kind::ChainRestarted, detail).hours(hours.clone()))?;
        }
        _ => {}
    }
    if told_gap && !matches!(joint, Joint::Gap(_)) {
        findings::resolve(tx, Kind::DigestMissing, &subject)?;
    }
    if joint == Joint::Linked {
        findings::resolve(tx, Kind::ChainBroken, &subject)?;
    }
    let settled = match &joint {
        Joint::Linked | Joint::Start => true,
        Joint::Broken { suspect, .. } => *suspect != link.key,
        _ => false,
    };
    // A predecessor that turns up later opens the question again: what looked like a beginning may follow a gap.
    let answered = settled || (last_word && !matches!(joint, Joint::Horizon));
    digests::set_joined_of(tx, chain.id, link.end, answered)?;
    Ok(Joined { joint, news })
}

/// Digests that are not there: the finding's object is the one that the digest after them names.
pub fn missing(about: &Finding, link: &Link, hours: Vec<Timestamp>) -> Finding {
    let mut finding = about.clone().hours(hours);
    finding.object = link.previous.as_ref().map(|previous| previous.key.clone());
    finding.detail = format!("{} names it as its predecessor, and it is not there", link.key);
    finding
}

fn standard_joint(tx: &Tx<'_>, chain: &Chain, link: &Link) -> rusqlite::Result<Joint> {
    match digests::beside_span(tx.conn, chain.id, link)? {
        Some(Beside::Follows) => return Ok(Joint::Linked),
        Some(Beside::Intrudes) => {
            let why = "the chain is proven without it for the time that it claims".to_owned();
            return Ok(Joint::Broken { suspect: link.key.clone(), why });
        }
        None => {}
    }
    let before = digests::before(tx.conn, chain.id, link.end)?;
    let from = before.as_ref().map_or(link.start - HOUR * 48, |before| before.end);
    let slots = digests::slots(tx.conn, chain.id, from, link.end)?;
    Ok(chain::join(before.as_ref(), link, &slots))
}

/// What a backfill digest names may be of either chain or of none; only hash and signature are compared, and of a folded one
/// the hash.
fn backfill_joint(tx: &Tx<'_>, chain: &Chain, link: &Link) -> rusqlite::Result<Joint> {
    let Some(previous) = &link.previous else { return Ok(Joint::Start) };
    let suspect = previous.key.clone();
    if let Some(named) = digests::link(tx.conn, chain.source, &previous.key)? {
        let why = chain::differences(previous, &named);
        return Ok(why.map_or(Joint::Linked, |why| Joint::Broken { suspect, why }));
    }
    let known = objects::versions(tx.conn, chain.source, &previous.key)?;
    Ok(match known.into_iter().filter(|row| row.folded).find_map(|row| row.sha) {
        Some(sha) if sha.fits(&previous.sha) => Joint::Linked,
        Some(_) => Joint::Broken { suspect, why: "the hash is not the one that its successor names".into() },
        None => Joint::Unjudged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::digest::Previous;
    use crate::core::id::Sha256;
    use crate::core::key;
    use crate::core::shard::Shard;
    use crate::env::Env;
    use crate::store::{Store, fold};

    const ROOT: &str = "AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail-Digest/eu-west-1/2026/03/02/111122223333_CloudTrail-Digest_eu-west-1_org-main_us-east-1_";

    fn starting(tx: &Tx<'_>, chain: &Chain, end: &str) -> rusqlite::Result<Link> {
        let end: Timestamp = end.parse().expect("a time");
        add(tx, chain, end - HOUR, end, None)
    }

    fn add(
        tx: &Tx<'_>,
        chain: &Chain,
        start: Timestamp,
        end: Timestamp,
        before: Option<&str>,
    ) -> rusqlite::Result<Link> {
        let key = format!("{ROOT}{}.json.gz", end.strftime("%Y%m%dT%H%M%SZ"));
        let digest = NewDigest {
            source: 1,
            key: key.clone(),
            chain: chain.id,
            start,
            end,
            verdict: Verdict::Good,
            faulty: false,
            sha: Some(Sha256::of(key.as_bytes())),
            signature: Some(vec![1]),
            previous: before.map(|before| Previous {
                bucket: "b".into(),
                key: before.into(),
                sha: Sha256::of(before.as_bytes()),
                signature: vec![1],
            }),
            logs: 0,
            lacks: None,
        };
        digests::put(tx, &digest)?;
        let link = digests::link(tx.conn, 1, &key)?.expect("the digest");
        assert_eq!(link, digest.link());
        Ok(link)
    }

    #[tokio::test]
    async fn a_beginning_is_asked_about_again_when_an_older_digest_turns_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let env = Env::manual("2026-03-03T00:00:00Z".parse().expect("a time"), 1);
        let store = Store::open(&dir.path().join("state.db"), &env).await.expect("a ledger");
        let told = store
            .write(|tx| {
                objects::source_id(tx, "org")?;
                let key::ObjectKey::Digest(parsed) = key::parse(&format!("{ROOT}20260302T100000Z.json.gz")) else {
                    panic!("no digest's key")
                };
                let chain = digests::chain(tx, 1, &ChainId::of(&parsed))?;
                let later = starting(tx, &chain, "2026-03-02T10:00:00Z")?;
                settle_joint(tx, &chain, &later, "b", false)?;
                assert!(
                    digests::loose(tx.conn, 1, Shard::WHOLE, tx.now, 9)?.is_empty(),
                    "a beginning leaves nothing to ask"
                );
                let older = starting(tx, &chain, "2026-03-02T07:00:00Z")?;
                settle_joint(tx, &chain, &older, "b", false)?;
                settle_joint(tx, &chain, &later, "b", false)?;
                assert_eq!(digests::loose(tx.conn, 1, Shard::WHOLE, tx.now, 9)?.len(), 1);
                settle_joint(tx, &chain, &later, "b", true)?;
                assert!(digests::loose(tx.conn, 1, Shard::WHOLE, tx.now, 9)?.is_empty());
                findings::list(tx.conn, false)
            })
            .await
            .expect("a step");
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].kind, told[0].hours.len()), (Kind::ChainRestarted, 2));
    }

    #[tokio::test]
    async fn a_chain_goes_on_after_its_digests_are_folded_and_takes_in_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let env = Env::manual("2026-03-30T00:00:00Z".parse().expect("a time"), 1);
        let store = Store::open(&dir.path().join("state.db"), &env).await.expect("a ledger");
        let linked = |tx: &Tx<'_>, chain: &Chain, end: &str, before: Option<&Link>| -> rusqlite::Result<Link> {
            let link = starting(tx, chain, end)?;
            let previous = before.map(|before| Previous {
                bucket: "b".into(),
                key: before.key.clone(),
                sha: before.sha.expect("a hash"),
                signature: vec![1],
            });
            let (key, start, sha) = (link.key.clone(), link.start, link.sha);
            let digest = NewDigest {
                source: 1,
                key: key.clone(),
                chain: chain.id,
                start,
                end: link.end,
                verdict: Verdict::Good,
                faulty: false,
                sha,
                signature: Some(vec![1]),
                previous,
                logs: 2,
                lacks: None,
            };
            digests::put(tx, &digest)?;
            let link = digests::link(tx.conn, 1, &key)?.expect("the digest");
            settle_joint(tx, chain, &link, "b", false)?;
            digests::extend_chain(tx, chain.id, start, link.end)?;
            Ok(link)
        };
        store
            .write(move |tx| {
                objects::source_id(tx, "org")?;
                let key::ObjectKey::Digest(parsed) = key::parse(&format!("{ROOT}20260302T100000Z.json.gz")) else {
                    panic!("no digest's key")
                };
                let chain = digests::chain(tx, 1, &ChainId::of(&parsed))?;
                let mut last: Option<Link> = None;
                for hour in 1..=6 {
                    last = Some(linked(tx, &chain, &format!("2026-03-02T{hour:02}:00:00Z"), last.as_ref())?);
                }
                let day: Timestamp = "2026-03-03T00:00:00Z".parse().expect("a time");
                let folded = |conn: &rusqlite::Connection| {
                    conn.query_row("SELECT count(*), sum(digests), sum(logs) FROM spans", [], |row| {
                        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
                    })
                };
                assert_eq!(fold::fold_chain(tx, chain.id, i64::MIN, day)?.0, 4);
                assert_eq!(folded(tx.conn)?, (1, 4, 8));
                assert_eq!(digests::tally(tx.conn)?.good, 6);
                // The newest one's joint holds, and the chain goes on into the same span.
                let newest = last.expect("a digest");
                assert_eq!(settle_joint(tx, &chain, &newest, "b", true)?.joint, Joint::Linked);
                let next = linked(tx, &chain, "2026-03-02T07:00:00Z", Some(&newest))?;
                linked(tx, &chain, "2026-03-02T08:00:00Z", Some(&next))?;
                assert_eq!(fold::fold_chain(tx, chain.id, i64::MIN, day)?.0, 2);
                assert_eq!(folded(tx.conn)?, (1, 6, 12));
                assert!(findings::list(tx.conn, true)?.is_empty());
                // Every moment of the chain is covered, and none after it.
                let covered = |at: &str| {
                    let (root, at) = (parsed.root.path(), at.parse().expect("a time"));
                    digests::coverage(tx.conn, 1, &root, &parsed.region, at, day)
                };
                for (at, both) in [("00:30", 1), ("03:30", 1), ("06:59", 1), ("07:30", 1), ("08:00", 0)] {
                    assert_eq!(covered(&format!("2026-03-02T{at}:00Z"))?, (both, both), "{at}");
                }
                // One that claims a part of the folded time is no part of the chain.
                let intruder = linked(tx, &chain, "2026-03-02T03:30:00Z", Some(&newest))?;
                settle_joint(tx, &chain, &intruder, "b", true)?;
                let told = findings::list(tx.conn, true)?;
                assert_eq!(told.len(), 1);
                assert_eq!((told[0].kind, told[0].object.as_deref()), (Kind::ChainBroken, Some(intruder.key.as_str())));
                Ok(())
            })
            .await
            .expect("a step");
    }

    #[tokio::test]
    async fn a_short_digest_that_comes_late_is_no_break() {
        let dir = tempfile::tempdir().expect("a directory");
        let env = Env::manual("2026-03-03T00:00:00Z".parse().expect("a time"), 1);
        let store = Store::open(&dir.path().join("state.db"), &env).await.expect("a ledger");
        let step = |tx: &Tx<'_>| {
            objects::source_id(tx, "org")?;
            let key::ObjectKey::Digest(parsed) = key::parse(&format!("{ROOT}20260302T100000Z.json.gz")) else {
                panic!("no digest's key")
            };
            let chain = digests::chain(tx, 1, &ChainId::of(&parsed))?;
            let first = starting(tx, &chain, "2026-03-02T10:00:00Z")?;
            let minutes = jiff::SignedDuration::from_mins(20);
            let name = format!("{ROOT}20260302T102000Z.json.gz");
            let third = add(tx, &chain, first.end + minutes, first.end + minutes * 2, Some(&name))?;
            settle_joint(tx, &chain, &third, "b", false)?;
            assert!(findings::list(tx.conn, false)?.is_empty(), "it may be on its way");
            assert_eq!(digests::loose(tx.conn, 1, Shard::WHOLE, tx.now, 9)?.len(), 1, "and is asked about");
            settle_joint(tx, &chain, &third, "b", true)?;
            assert_eq!(findings::list(tx.conn, false)?[0].kind, Kind::ChainBroken);
            let second = add(tx, &chain, first.end, first.end + minutes, Some(&first.key))?;
            settle_joint(tx, &chain, &second, "b", false)?;
            settle_joint(tx, &chain, &third, "b", false)?;
            findings::list(tx.conn, false)
        };
        assert!(store.write(step).await.expect("a step").is_empty(), "it came after all");
    }
}
