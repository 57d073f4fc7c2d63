//! The trails that deliver to the bucket, and the way from the bucket to the queue.

use std::collections::{BTreeMap, BTreeSet};

use super::Posture;
use crate::core::change::{self, Ours};
use crate::core::id::Region;
use crate::core::policy::Expected;
use crate::core::posture::{
    Archive, Described, Known, Look, Path, Seen, Silent, Validated, key_of, of_key, of_path, of_trails, senders, topics,
};
use crate::core::protection::{Fact, Part};
use crate::error::Result;
use crate::store::digests::{self, Chain};
use crate::store::lists;
use crate::trail::Validation;

/// Of each kind of thing; more would be somebody's mischief.
const MOST: usize = 100;

/// With whether CloudTrail itself announces what it delivers to the queue.
pub async fn look(posture: &Posture, expected: &Expected) -> Result<(Look, bool)> {
    let archive = archive(posture).await?;
    let mut look = Look::default();
    let seen = match posture.trails.of(&posture.bucket, &regions(posture)).await {
        Ok(Some(seen)) => seen,
        Ok(None) => return Ok((look, false)),
        Err(error) => Seen { silent: vec![Silent { region: None, why: error.to_string() }], ..Seen::default() },
    };
    look.add(of_trails(&seen, &archive, posture.store.env().now()));
    let all = seen.trails.as_slice();
    let protection = posture.vault.describe(&[Part::Notification, Part::Encryption]).await;
    let of_bucket = key_of(&protection);
    let known = posture.watched.ours();
    // What was encrypted with a key that no trail names any more can be read only as long as there is that key.
    let keys: BTreeSet<String> =
        all.iter().filter_map(|trail| trail.key.clone()).chain(known.keys.iter().cloned()).collect();
    for key in keys.iter().filter(|key| Some(*key) != of_bucket.as_ref()) {
        look.add(of_key(key, Some(&posture.vault.key(key).await), expected));
    }
    let path = path(posture, protection.of(Part::Notification), all).await;
    look.add(of_path(&path, &seen, &archive, expected));
    let policy = match &path.queue {
        Known::Value(Some(queue)) => queue.policy.as_deref().map(senders).unwrap_or_default(),
        _ => Vec::new(),
    };
    let arns = all.iter().map(|trail| trail.arn.clone()).collect();
    remember(posture, arns, keys.into_iter().chain(of_bucket).collect(), policy).await?;
    Ok((look, path.is_fed_by(all)))
}

async fn archive(posture: &Posture) -> Result<Archive> {
    let delivered = delivered(posture).await?;
    Ok(Archive {
        bucket: posture.bucket.clone(),
        prefixes: posture.prefixes.clone(),
        organization: posture.expected.org.is_some(),
        validation: match posture.watched.validation {
            Validation::All => Validated::All,
            Validation::Some => Validated::Some,
            Validation::None => Validated::None,
        },
        trails: delivered.into_iter().chain(configured(posture)).collect(),
    })
}

/// The organization's trails that wrote a good digest not long ago: name and home. What ended before is history.
async fn delivered(posture: &Posture) -> Result<BTreeSet<(String, Region)>> {
    let (source, now) = (posture.watched.id, posture.store.env().now());
    let chains = posture.store.read(move |conn| digests::chains(conn, source)).await?;
    let is_recent =
        |chain: &Chain| chain.head.is_some_and(|head| now.duration_since(head).as_secs() <= change::HISTORY);
    let recent = chains.into_iter().filter(|chain| chain.chain.root.org.is_some() && is_recent(chain));
    Ok(recent.map(|chain| (chain.chain.trail, chain.chain.home)).collect())
}

/// The configured trails: name and home.
fn configured(posture: &Posture) -> impl Iterator<Item = (String, Region)> {
    posture.wanted.trails.iter().filter_map(|arn| {
        let home = Region::parse(arn.split(':').nth(3)?).ok()?;
        Some((arn.rsplit('/').next()?.to_owned(), home))
    })
}

/// Where trails that deliver here are at home, as far as is known, and where the bucket is.
fn regions(posture: &Posture) -> Vec<Region> {
    let ours = posture.watched.ours();
    let seen = ours.trails.iter().filter_map(|arn| Region::parse(arn.split(':').nth(3)?).ok());
    let homes = configured(posture).map(|(_, home)| home).chain(ours.names.iter().map(|name| name.home.clone()));
    let mut all: Vec<Region> = posture.region.iter().cloned().chain(homes).chain(seen).collect();
    all.sort_unstable();
    all.dedup();
    all
}

async fn path(posture: &Posture, notification: Fact, all: &[Described]) -> Path {
    let queue = match posture.watched.queue.settings().await {
        Ok(settings) => Known::Value(settings),
        Err(error) => Known::Unread(error.to_string()),
    };
    let mut listeners = BTreeMap::new();
    let of_bucket = notification.value().map(topics).unwrap_or_default();
    for topic in all.iter().filter_map(|trail| trail.topic.clone()).chain(of_bucket).take(MOST) {
        let subscribers = match posture.trails.subscribers(&topic).await {
            Ok(all) => Known::Value(all),
            Err(error) => Known::Unread(error.to_string()),
        };
        listeners.insert(topic, subscribers);
    }
    Path { notification, queue, topics: listeners }
}

/// What was ever ours stays so: evidence may rest on a key that no trail names any more.
async fn remember(posture: &Posture, trails: Vec<String>, keys: Vec<String>, senders: Vec<String>) -> Result<()> {
    let before = posture.watched.ours();
    posture.watched.learn(|ours| {
        for (known, found) in [(&mut ours.trails, trails), (&mut ours.keys, keys), (&mut ours.senders, senders)] {
            for one in found {
                if !known.contains(&one) && known.len() < MOST {
                    known.push(one);
                }
            }
        }
    });
    let ours = posture.watched.ours();
    if *ours == *before {
        return Ok(());
    }
    let (name, text) = (progress(&posture.watched.name), serde_json::to_string(&*ours).unwrap_or_default());
    posture.store.write(move |tx| lists::set_progress(tx, &name, &text)).await
}

fn progress(trail: &str) -> String {
    format!("ours/{trail}")
}

/// What audits before have found to be a trail's.
pub fn recalled(conn: &rusqlite::Connection, trail: &str) -> rusqlite::Result<Ours> {
    let kept = lists::progress(conn, &progress(trail))?;
    Ok(kept.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}
