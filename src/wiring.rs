//! Configuration → the seams it names, plugged into the flows.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use jiff::SignedDuration;

use crate::alert::Alerts;
use crate::aws::Aws;
use crate::config::{self, Channel, Config, KeysFrom, MembersFrom, Place};
use crate::core::admit::{Layout, Rules};
use crate::core::gzip::Caps;
use crate::core::id::Region;
use crate::delivery::{Deliveries, Memory, Pace, Roster};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::health::Pulse;
use crate::local::dir::Dir;
use crate::local::keys::KeysDir;
use crate::local::members::MembersFile;
use crate::local::spool::Spool;
use crate::local::stdout::Stdout;
use crate::local::vault::LocalVault;
use crate::metrics::Metrics;
use crate::notify::webhook::Webhook;
use crate::retain::Retain;
use crate::seam::{DynBucket, DynChannel, DynKeys, DynMembers, DynQueue, DynVault};
use crate::snapshot::Snapshots;
use crate::store::{Store, objects};
use crate::trail::Trail;

/// Everything a running warden consists of.
pub struct Works {
    pub env: Env,
    pub store: Store,
    pub metrics: Arc<Metrics>,
    pub deliveries: Arc<Deliveries>,
    pub trails: Vec<Arc<Trail>>,
    pub alerts: Arc<Alerts>,
}

/// What a warden is plugged into: the far side of every seam.
pub struct Seams {
    pub members: DynMembers,
    /// In the order of the configuration's trails.
    pub trails: Vec<TrailSeams>,
    pub channels: BTreeMap<String, DynChannel>,
}

pub struct TrailSeams {
    pub bucket: DynBucket,
    pub queue: DynQueue,
    pub keys: DynKeys,
}

impl Seams {
    /// As the configuration names them.
    pub async fn connect(config: &Config, env: &Env) -> Result<Self> {
        let mut trails = Vec::new();
        for trail in &config.trails {
            let aws = Cloud::of(trail);
            let queue: DynQueue = match &trail.queue {
                Place::Aws(url) => Arc::new(aws.get().await.queue(url.clone(), trail.visibility)),
                Place::Dir(path) => Arc::new(Spool::open(path, trail.visibility, env.clone())?),
            };
            trails.push(TrailSeams { bucket: bucket(trail, &aws).await?, queue, keys: keys(&trail.keys, &aws).await });
        }
        Ok(Self { members: members(config).await, trails, channels: channels(config, env).await? })
    }
}

impl Works {
    /// Opens the ledger and plugs everything together. Members are recalled from the ledger, not asked for.
    pub async fn open(config: &Config, env: &Env) -> Result<Self> {
        let store = Store::open(&config.state, env).await?;
        Self::assemble(config, store, Seams::connect(config, env).await?).await
    }

    pub async fn assemble(config: &Config, store: Store, seams: Seams) -> Result<Self> {
        let env = store.env().clone();
        store.set_routes(config.routes.clone());
        let metrics = Arc::new(Metrics::default());
        let roster = Roster::new(seams.members, store.clone());
        roster.recall().await?;
        let grace = signed(config.verify.grace);
        let mut deliveries = Deliveries::new(store.clone(), metrics.clone(), roster, grace);
        deliveries.unlisted_after = signed(config.verify.unlisted_after);
        deliveries.memory = Memory::new(config.limits.bytes, env.clone());
        deliveries.pace = Pace::new(config.limits.messages, metrics.fetches.clone());
        let deliveries = Arc::new(deliveries);
        let mut trails = Vec::new();
        for (trail, seams) in config.trails.iter().zip(seams.trails) {
            let name = trail.name.clone();
            let id = store.write(move |tx| objects::source_id(tx, &name)).await?;
            trails.push(Arc::new(open_trail(config, trail, seams, id)?));
        }
        let alerts = Arc::new(outbox(config, seams.channels, &store, &metrics));
        Ok(Self { env, store, metrics, deliveries, trails, alerts })
    }
}

/// The channels of a configuration, with the outbox behind them.
pub async fn alerts(config: &Config, store: &Store, metrics: &Arc<Metrics>) -> Result<Alerts> {
    Ok(outbox(config, channels(config, store.env()).await?, store, metrics))
}

fn outbox(config: &Config, channels: BTreeMap<String, DynChannel>, store: &Store, metrics: &Arc<Metrics>) -> Alerts {
    let heartbeat = config.heartbeat.map(signed);
    Alerts::new(store.clone(), metrics.clone(), channels, config.name.clone(), heartbeat)
}

async fn channels(config: &Config, env: &Env) -> Result<BTreeMap<String, DynChannel>> {
    let mut channels = BTreeMap::new();
    for (name, channel) in &config.channels {
        channels.insert(name.clone(), self::channel(channel, env).await?);
    }
    Ok(channels)
}

/// The place of the ledger's copies. `keep` is for a directory: how many stay there.
pub async fn snapshots(warden: &str, to: &config::Snapshot, keep: Option<usize>, store: &Store) -> Result<Snapshots> {
    let (bucket, keep): (DynBucket, _) = match &to.to {
        Place::Dir(path) => (Arc::new(Dir::create(path)?), keep.map(|keep| (path.clone(), keep))),
        Place::Aws(name) => (Arc::new(connect(to.region.as_ref(), None).await.bucket(name.clone(), None)), None),
    };
    Ok(Snapshots { store: store.clone(), warden: warden.into(), bucket, prefix: to.prefix.clone(), keep })
}

pub async fn channel(channel: &Channel, env: &Env) -> Result<DynChannel> {
    Ok(match channel {
        Channel::Stdout(format) => Arc::new(Stdout::new(*format)),
        Channel::Webhook { url, secret, timeout } => {
            Arc::new(Webhook::new(url, secret.as_ref(), *timeout, env.clone())?)
        }
        Channel::Sns { topic, region, role } => {
            Arc::new(connect(Some(region), role.as_ref()).await.topic(topic.clone()))
        }
    })
}

async fn members(config: &Config) -> DynMembers {
    match &config.organization.members {
        MembersFrom::File(path) => Arc::new(MembersFile::new(path.clone())),
        MembersFrom::Organizations => {
            let region = config.trails.iter().find_map(|trail| trail.region.as_ref());
            let aws = connect(region, config.organization.role.as_ref()).await;
            Arc::new(aws.organizations().expecting(config.organization.id.clone()))
        }
    }
}

fn open_trail(config: &Config, trail: &config::Trail, seams: TrailSeams, id: i64) -> Result<Trail> {
    let bucket_name = OnceLock::new();
    if let Some(name) = real_name(trail) {
        let _ = bucket_name.set(name);
    }
    Ok(Trail {
        id,
        name: trail.name.clone(),
        bucket: seams.bucket,
        queue: seams.queue,
        keys: seams.keys,
        rules: rules(config, trail)?,
        caps: caps(config),
        object_limit: config.limits.object,
        validation: trail.validation,
        promise: config.retention.as_ref().map(|retention| retention.promise.term),
        bucket_name,
    })
}

/// What notices and digests call the bucket, as far as the configuration says.
pub fn real_name(trail: &config::Trail) -> Option<String> {
    trail.bucket_name.clone().or_else(|| match &trail.bucket {
        Place::Aws(name) => Some(name.clone()),
        Place::Dir(_) => None,
    })
}

pub fn caps(config: &Config) -> Caps {
    let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Caps { inflated: whole(config.limits.inflated), ratio: whole(config.limits.ratio) }
}

fn rules(config: &Config, trail: &config::Trail) -> Result<Rules> {
    let mut layout = Vec::new();
    for template in trail.layout.iter().flatten() {
        let parsed = Layout::parse(template);
        layout.push(parsed.ok_or_else(|| Error::permanent("config:layout", format!("`{template}` is no layout")))?);
    }
    Ok(Rules {
        org: config.organization.id.clone(),
        bucket: None,
        layout,
        writers: trail.writers.clone(),
        departed_grace: signed(config.organization.departed_grace),
    })
}

pub async fn connect(region: Option<&Region>, role: Option<&config::Role>) -> Aws {
    Aws::session(region, role).await
}

/// AWS, reached for only when something is there: a warden on directories touches no network.
#[derive(Default)]
pub struct Cloud {
    region: Option<Region>,
    role: Option<config::Role>,
    aws: tokio::sync::OnceCell<Aws>,
}

impl Cloud {
    pub fn of(trail: &config::Trail) -> Self {
        Self { region: trail.region.clone(), role: trail.role.clone(), ..Self::default() }
    }

    async fn get(&self) -> &Aws {
        self.aws.get_or_init(|| connect(self.region.as_ref(), self.role.as_ref())).await
    }
}

pub async fn bucket(trail: &config::Trail, cloud: &Cloud) -> Result<DynBucket> {
    Ok(match &trail.bucket {
        Place::Aws(name) => Arc::new(cloud.get().await.bucket(name.clone(), trail.owner)),
        Place::Dir(path) => Arc::new(Dir::open(path)?),
    })
}

/// What looks after a trail's bucket, if anything was promised of it.
pub async fn retain(config: &Config, trail: &config::Trail, works: &Works) -> Result<Option<Retain>> {
    let Some(wanted) = &config.retention else { return Ok(None) };
    let Some(open) = works.trails.iter().find(|open| open.name == trail.name) else { return Ok(None) };
    let vault: DynVault = match &trail.bucket {
        Place::Aws(name) => {
            let role = wanted.role.as_ref().or(trail.role.as_ref());
            Arc::new(connect(trail.region.as_ref(), role).await.vault(name.clone(), trail.owner))
        }
        Place::Dir(path) => Arc::new(LocalVault::open(path, works.env.clone())?),
    };
    Ok(Some(Retain {
        store: works.store.clone(),
        metrics: works.metrics.clone(),
        vault,
        trail: trail.name.clone(),
        source: open.id,
        bucket: real_name(trail).unwrap_or_else(|| trail.bucket.to_string()),
        prefixes: trail.prefixes(),
        wanted: wanted.clone(),
        scrubs: config.verify.scrub.is_some(),
        pulse: Pulse::default(),
    }))
}

pub async fn keys(from: &KeysFrom, cloud: &Cloud) -> DynKeys {
    match from {
        KeysFrom::CloudTrail => Arc::new(cloud.get().await.public_keys()),
        KeysFrom::Dir(path) => open_keys(path),
    }
}

pub fn open_keys(path: &Path) -> DynKeys {
    Arc::new(KeysDir::new(path))
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
