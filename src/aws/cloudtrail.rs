//! Digest-signing keys, from CloudTrail's ListPublicKeys.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::config::{Builder, Region as SdkRegion};
use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::PublicKey as SdkKey;
use jiff::{SignedDuration, Timestamp};

use super::class::failed;
use crate::core::id::Region;
use crate::error::{Error, Result};
use crate::seam::{Keys, PublicKey};

const OP: &str = "cloudtrail:ListPublicKeys";
/// Around a digest's end, as `aws cloudtrail validate-logs` asks: keys overlap while they rotate.
const BEFORE: SignedDuration = SignedDuration::from_hours(1);
const AFTER: SignedDuration = SignedDuration::from_hours(2);
/// A key lives about a month, so this is more than any range of time holds.
const MOST_PAGES: usize = 1_000;

/// Keys belong to a region: each is asked for in the region of the digest, by a client that is kept once it was answered: whoever
/// writes to the bucket can make regions up.
#[derive(Debug)]
pub struct PublicKeys {
    config: SdkConfig,
    clients: Mutex<HashMap<Region, Client>>,
}

impl PublicKeys {
    pub(super) fn new(config: SdkConfig) -> Self {
        Self { config, clients: Mutex::default() }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<Region, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self, region: &Region) -> Client {
        let made = self.clients().get(region).cloned();
        made.unwrap_or_else(|| {
            let region = SdkRegion::new(region.as_str().to_owned());
            Client::from_conf(Builder::from(&self.config).region(region).build())
        })
    }
}

#[async_trait]
impl Keys for PublicKeys {
    async fn find(&self, region: &Region, fingerprint: &str, at: Timestamp) -> Result<Option<PublicKey>> {
        let keys = self.all(region, shifted(at, -BEFORE), shifted(at, AFTER)).await?;
        Ok(keys.into_iter().find(|key| key.fingerprint.eq_ignore_ascii_case(fingerprint)))
    }

    async fn all(&self, region: &Region, from: Timestamp, to: Timestamp) -> Result<Vec<PublicKey>> {
        let client = self.client(region);
        let mut keys = Vec::new();
        let mut token = None;
        for _ in 0..MOST_PAGES {
            let answer = client
                .list_public_keys()
                .start_time(aws_time(from))
                .end_time(aws_time(to))
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| failed(OP, &error))?;
            keys.extend(answer.public_key_list.unwrap_or_default().into_iter().filter_map(key));
            token = answer.next_token;
            if token.is_none() {
                self.clients().entry(region.clone()).or_insert(client);
                return Ok(keys);
            }
        }
        Err(Error::transient(OP, "the list of keys does not end"))
    }
}

/// The fingerprint is matched as it is given; one without fingerprint or value can check nothing.
fn key(key: SdkKey) -> Option<PublicKey> {
    Some(PublicKey {
        fingerprint: key.fingerprint?,
        der: key.value?.into_inner(),
        valid_from: key.validity_start_time.and_then(|at| our_time(&at)),
        valid_to: key.validity_end_time.and_then(|at| our_time(&at)),
    })
}

fn shifted(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}

fn aws_time(at: Timestamp) -> DateTime {
    DateTime::from_secs(at.as_second())
}

fn our_time(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), 0).ok()
}
