//! Members of which nothing was ever seen: the bucket is asked for their digests before that is said.

use std::collections::{BTreeMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::Sweep;
use crate::core::chain::HOUR;
use crate::core::finding::{Finding, Kind};
use crate::core::id::AccountId;
use crate::core::key::{self, DIGEST_FOLDER, ObjectKey, Root};
use crate::core::notice::Notice;
use crate::core::printable;
use crate::error::{Class, Result};
use crate::listing;
use crate::store::members::Remembered;
use crate::store::{findings, objects};
use crate::trail::{Trail, Validation};

/// Accounts that one sweep asks the bucket for.
pub(super) const ASKED_FOR: usize = 50;
/// Digests of a trail in a region that are read before it is believed that none of them is good.
const TRIED: usize = 2;

impl Sweep {
    /// Active members of which nothing was ever seen, where others are: `alive`.
    pub(super) async fn uncovered(&self, trail: &Trail, now: Timestamp, alive: &HashSet<AccountId>) -> Result<()> {
        if trail.validation == Validation::None || alive.is_empty() {
            // Nobody delivers: that is told as silence, not account by account.
            return Ok(());
        }
        let open = self.deliveries.store.read(|conn| findings::open_of(conn, Kind::AccountUncovered)).await?;
        let told: HashSet<String> = open.into_iter().map(|(_, subject)| subject).collect();
        let seen: HashSet<String> = self.deliveries.store.read(objects::accounts_seen).await?.into_iter().collect();
        let mut unseen = self.deliveries.roster.expected(trail.shard);
        let expected: HashSet<String> = unseen.iter().map(|member| member.member.account.to_string()).collect();
        unseen.retain(|member| {
            let account = member.member.account.to_string();
            !seen.contains(&account) && !told.contains(&account) && member.first_seen + HOUR + self.grace <= now
        });
        if told.is_empty() && unseen.is_empty() {
            return Ok(());
        }
        unseen.truncate(ASKED_FOR);
        let without = self.without_digests(trail, now, unseen).await?;
        let seen: HashSet<String> = self.deliveries.store.read(objects::accounts_seen).await?.into_iter().collect();
        self.commit(move |tx| {
            // Those of regions are another matter.
            for subject in told.iter().filter(|subject| !subject.contains('/')) {
                if seen.contains(subject) || !expected.contains(subject) {
                    findings::resolve(tx, Kind::AccountUncovered, subject)?;
                }
            }
            let mut news = Vec::new();
            for member in without.iter().map(|remembered| &remembered.member) {
                let subject = member.account.to_string();
                if seen.contains(&subject) {
                    continue;
                }
                let name = printable(&member.name, 80);
                let detail = format!("{name} is an active member, and no log or digest of it has been seen");
                let finding = Finding::new(Kind::AccountUncovered, subject, detail).account(member.account);
                if findings::hold(tx, &finding)? {
                    news.push(finding.kind);
                }
            }
            Ok(news)
        })
        .await
    }

    /// Those of these members for whom the bucket holds no digest of the last days that could be read; of whom it does not
    /// tell, nothing is said.
    async fn without_digests(&self, trail: &Trail, now: Timestamp, unseen: Vec<Remembered>) -> Result<Vec<Remembered>> {
        if unseen.is_empty() {
            return Ok(unseen);
        }
        let asked = listing::roots(trail.bucket.as_ref(), &trail.rules.layout).await;
        let Some(roots) = self.tolerate(asked)? else { return Ok(vec![]) };
        let mut without = Vec::new();
        for remembered in unseen {
            let of_it = roots.iter().filter(|root| root.account == remembered.member.account);
            if self.read_digests(trail, now, of_it).await? {
                without.push(remembered);
            }
        }
        Ok(without)
    }

    /// Reads the first digests of the last two days of each trail in each region by the ordinary path; false when it could not be told what
    /// lies there.
    pub(super) async fn read_digests<'r>(
        &self,
        trail: &Trail,
        now: Timestamp,
        roots: impl Iterator<Item = &'r Root>,
    ) -> Result<bool> {
        let bucket = trail.bucket.as_ref();
        let window = Some((now - SignedDuration::from_hours(24), now));
        for root in roots {
            let Some(regions) = self.tolerate(listing::regions(bucket, root, DIGEST_FOLDER).await)? else {
                return Ok(false);
            };
            for region in regions {
                let asked = listing::days(bucket, root, DIGEST_FOLDER, &region, window).await;
                let Some(digests) = self.tolerate(asked)? else { return Ok(false) };
                let mut tried = BTreeMap::new();
                for listed in digests {
                    let ObjectKey::Digest(digest) = key::parse(&listed.key) else { continue };
                    let of_it: &mut usize = tried.entry((digest.trail, digest.home)).or_default();
                    *of_it += 1;
                    if *of_it > TRIED {
                        continue;
                    }
                    let notice = Notice::listed(trail.name_or(""), &listed.key, listed.size, listed.etag);
                    match self.deliveries.settle(trail, &notice).await {
                        Ok(_) => {}
                        // It lies there: why it cannot be read is told on its own.
                        Err(error) if error.class == Class::Permanent => return Ok(false),
                        outcome => return self.tolerate(outcome).map(|_| false),
                    }
                }
            }
        }
        Ok(true)
    }
}
