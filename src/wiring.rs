//! Configuration → the seams it names, plugged into the flows.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use jiff::SignedDuration;
use tokio::sync::Notify;

use crate::alert::Alerts;
use crate::archive::{self, Archive};
use crate::aws::Aws;
use crate::backtest::Backtest;
use crate::channel;
use crate::config::{self, Config, KeysFrom, MembersFrom, Place};
use crate::core::admit::{Layout, Rules};
use crate::core::change::{Name, Ours};
use crate::core::gzip::Caps;
use crate::core::id::Region;
use crate::core::policy::Expected;
use crate::delivery::{Deliveries, Handoff, Memory, Pace, Roster};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::health::Pulse;
use crate::lease::Bid;
use crate::local::dir::Dir;
use crate::local::keys::KeysDir;
use crate::local::members::MembersFile;
use crate::local::register::FileRegister;
use crate::local::spool::Spool;
use crate::local::trails::TrailsFile;
use crate::local::vault::LocalVault;
use crate::metrics::Metrics;
use crate::posture::{self, Posture};
use crate::retain::Retain;
use crate::seam::{DynBucket, DynChannel, DynKeys, DynMembers, DynQueue, DynRegister, DynTrails, DynVault};
use crate::snapshot::{self, Snapshots};
use crate::store::digests::Chain;
use crate::store::{self, Store, digests, objects};
use crate::trail::Trail;

/// Everything a running warden consists of.
pub struct Works {
    pub env: Env,
    pub store: Store,
    pub metrics: Arc<Metrics>,
    pub deliveries: Arc<Deliveries>,
    pub trails: Vec<Arc<Trail>>,
    pub alerts: Arc<Alerts>,
    pub archive: Option<Arc<Archive>>,
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
        Self::open_behind(config, env, Fence::none(), Arc::default()).await
    }

    /// As [`Works::open`], for a warden that may lose its lease, and whose metrics are served already.
    pub async fn open_behind(config: &Config, env: &Env, fence: Fence, metrics: Arc<Metrics>) -> Result<Self> {
        let store = Store::open_behind(&config.state, env, fence).await?;
        Self::measured(config, store, Seams::connect(config, env).await?, metrics).await
    }

    pub async fn assemble(config: &Config, store: Store, seams: Seams) -> Result<Self> {
        Self::measured(config, store, seams, Arc::default()).await
    }

    async fn measured(config: &Config, store: Store, seams: Seams, metrics: Arc<Metrics>) -> Result<Self> {
        let env = store.env().clone();
        store.set_routes(config.routes.clone());
        metrics.shard(config.shard);
        let roster = Roster::new(seams.members, store.clone());
        roster.recall().await?;
        let grace = signed(config.verify.grace);
        let mut deliveries = Deliveries::new(store.clone(), metrics.clone(), roster, grace);
        deliveries.unlisted_after = signed(config.verify.unlisted_after);
        deliveries.memory = Memory::new(config.limits.bytes, env.clone());
        deliveries.pace = Pace::new(config.limits.messages, metrics.fetches.clone());
        deliveries.set_rules(config.detect.clone());
        deliveries.set_insights(Arc::new(config.insights.clone()));
        if let Some(archive) = &config.archive {
            // as stored, an object is a fraction of what it inflates to
            let most = usize::try_from(archive.buffer / 4).unwrap_or(usize::MAX);
            deliveries.handoff = Arc::new(Handoff::new(most));
        }
        let deliveries = Arc::new(deliveries);
        let mut trails = Vec::new();
        for (trail, seams) in config.trails.iter().zip(seams.trails) {
            let name = trail.name.clone();
            let id = store.write(move |tx| objects::source_id(tx, &name)).await?;
            let chains = store.read(move |conn| digests::chains(conn, id)).await?;
            let name = trail.name.clone();
            let ours = store.read(move |conn| posture::recalled(conn, &name)).await?;
            trails.push(Arc::new(open_trail(config, trail, seams, id, known_of(config, trail, ours, &chains))?));
        }
        let alerts = Arc::new(outbox(config, seams.channels, &store, &metrics));
        let archive = match &config.archive {
            Some(wanted) => Some(Arc::new(archive(config, wanted, &deliveries, &trails).await?)),
            None => {
                if store.read(store::archive::is_noted).await? {
                    store.write(store::archive::unnoted).await?;
                }
                None
            }
        };
        Ok(Self { env, store, metrics, deliveries, trails, alerts, archive })
    }
}

/// The channels of a configuration, with the outbox behind them.
pub async fn alerts(config: &Config, store: &Store, metrics: &Arc<Metrics>) -> Result<Alerts> {
    Ok(outbox(config, channels(config, store.env()).await?, store, metrics))
}

fn outbox(config: &Config, channels: BTreeMap<String, DynChannel>, store: &Store, metrics: &Arc<Metrics>) -> Alerts {
    let heartbeat = config.heartbeat.map(signed);
    Alerts::new(store.clone(), metrics.clone(), channels, config.name.clone(), heartbeat)
        .runbook(config.runbook.clone())
}

async fn channels(config: &Config, env: &Env) -> Result<BTreeMap<String, DynChannel>> {
    let mut channels = BTreeMap::new();
    for (name, channel) in &config.channels {
        channels.insert(name.clone(), channel::open(channel, env).await?);
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

/// What the lease is asked for with, by a holder that has not been before.
pub async fn bid(config: &Config, to: &config::Lease, env: &Env) -> Result<Bid> {
    let name = config::Lease::file(&snapshot::label(&config.name));
    let register: DynRegister = match &to.location {
        Place::Dir(path) => Arc::new(FileRegister::new(path, name, env)),
        Place::Aws(bucket) => {
            let aws = connect(to.region.as_ref(), None).await;
            Arc::new(aws.register(bucket.clone(), format!("{}{name}", to.prefix)))
        }
    };
    let holder = format!("{}{}", env.token(), env.token());
    let warden = match config.shard.is_first() {
        true => config.name.clone(),
        false => format!("{} (shard {})", config.name, config.shard.index()),
    };
    let host = env.host();
    Ok(Bid { register, env: env.clone(), warden, host, holder, ttl: to.ttl })
}

async fn archive(
    config: &Config,
    wanted: &config::Archive,
    deliveries: &Arc<Deliveries>,
    trails: &[Arc<Trail>],
) -> Result<Archive> {
    let bucket: DynBucket = match &wanted.location {
        Place::Dir(path) => Arc::new(Dir::own(path)?),
        Place::Aws(name) => {
            let aws = connect(wanted.region.as_ref(), None).await;
            Arc::new(aws.own_bucket(name.clone(), None, wanted.kms_key.clone()))
        }
    };
    Ok(Archive {
        place: archive_place(config, wanted, bucket, (&deliveries.env, deliveries.store.fence())),
        address: wanted.address(),
        store: deliveries.store.clone(),
        env: deliveries.env.clone(),
        deliveries: deliveries.clone(),
        trails: trails.to_vec(),
        shard: config.shard,
        ids: archive::Ids::new(),
        flush: wanted.flush,
        buffer: usize::try_from(wanted.buffer).unwrap_or(usize::MAX),
        target: wanted.target,
        begun: Default::default(),
        turn: Default::default(),
    })
}

fn archive_place(
    config: &Config,
    wanted: &config::Archive,
    bucket: DynBucket,
    (env, fence): (&Env, &Fence),
) -> archive::Place {
    archive::Place {
        bucket,
        prefix: wanted.prefix.clone(),
        label: snapshot::label(&config.name),
        state: config.state.clone(),
        env: env.clone(),
        fence: fence.clone(),
    }
}

/// The archive for whoever only reads it.
pub async fn archive_reader(config: &Config, wanted: &config::Archive, env: &Env) -> Result<archive::Place> {
    let bucket: DynBucket = match &wanted.location {
        Place::Dir(path) => Arc::new(Dir::open(path)?),
        Place::Aws(name) => Arc::new(connect(wanted.region.as_ref(), None).await.bucket(name.clone(), None)),
    };
    Ok(archive_place(config, wanted, bucket, (env, &Fence::none())))
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

/// What is a trail's own: as configured, as audits found it, as its digests say.
fn known_of(config: &Config, trail: &config::Trail, recalled: Ours, chains: &[Chain]) -> Ours {
    let queue = match &trail.queue {
        Place::Aws(url) => Some(url.clone()),
        Place::Dir(_) => None,
    };
    let keeper = config.retention.as_ref().and_then(|retention| retention.role.as_ref().or(trail.role.as_ref()));
    let keepers = keeper.map(|role| role.arn.clone()).into_iter().collect();
    let mut ours = Ours { bucket: real_name(trail), queue, names: Vec::new(), keepers, ..recalled };
    for arn in config.posture.iter().flat_map(|posture| &posture.trails) {
        if !ours.trails.contains(arn) {
            ours.trails.push(arn.clone());
        }
    }
    for Chain { chain, .. } in chains.iter().filter(|chain| chain.head.is_some()) {
        ours.learn(Name::of(&chain.root, &chain.trail, &chain.home));
    }
    ours
}

fn open_trail(config: &Config, trail: &config::Trail, seams: TrailSeams, id: i64, ours: Ours) -> Result<Trail> {
    let bucket_name = OnceLock::new();
    if let Some(name) = real_name(trail) {
        let _ = bucket_name.set(name);
    }
    Ok(Trail {
        id,
        name: trail.name.clone(),
        shard: config.shard,
        bucket: seams.bucket,
        queue: seams.queue,
        keys: seams.keys,
        rules: rules(config, trail)?,
        caps: caps(config),
        object_limit: config.limits.object,
        validation: trail.validation,
        promise: config.retention.as_ref().map(|retention| retention.promise.term),
        bucket_name,
        ours: RwLock::new(Arc::new(ours)),
        audit: Notify::default(),
        strays: Mutex::default(),
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

/// A rule's history: where a trail's logs lie.
pub async fn backtest(config: &Config, trail: &config::Trail, concurrency: usize, env: &Env) -> Result<Backtest> {
    Ok(Backtest {
        bucket: bucket(trail, &Cloud::of(trail)).await?,
        layout: rules(config, trail)?.layout,
        caps: caps(config),
        object_limit: config.limits.object,
        memory: Memory::new(config.limits.bytes, env.clone()),
        env: env.clone(),
        concurrency,
    })
}

/// What looks after a trail's bucket, if anything was promised of it.
pub async fn retain(config: &Config, trail: &config::Trail, works: &Works) -> Result<Option<Retain>> {
    let Some(wanted) = &config.retention else { return Ok(None) };
    let Some(open) = works.trails.iter().find(|open| open.name == trail.name) else { return Ok(None) };
    Ok(Some(Retain {
        store: works.store.clone(),
        metrics: works.metrics.clone(),
        vault: vault(trail, config.keeper(trail), works).await?,
        trail: trail.name.clone(),
        shard: config.shard,
        source: open.id,
        bucket: real_name(trail).unwrap_or_else(|| trail.bucket.to_string()),
        prefixes: trail.prefixes(),
        wanted: wanted.clone(),
        scrubs: config.verify.scrub.is_some(),
        pulse: Pulse::default(),
    }))
}

/// What protects a trail's bucket, as somebody sees it.
async fn vault(trail: &config::Trail, role: Option<&config::Role>, works: &Works) -> Result<DynVault> {
    Ok(match &trail.bucket {
        Place::Aws(name) => Arc::new(connect(trail.region.as_ref(), role).await.vault(name.clone(), trail.owner)),
        Place::Dir(path) => Arc::new(LocalVault::open(path, works.env.clone())?),
    })
}

/// What audits a trail's bucket, as `[posture]` says or as it would by default.
pub async fn posture(config: &Config, trail: &config::Trail, works: &Works) -> Result<Posture> {
    let wanted = config.posture.clone().unwrap_or_default();
    let bucket = real_name(trail).unwrap_or_else(|| trail.bucket.to_string());
    let watched = works.trails.iter().find(|open| open.name == trail.name);
    let watched = watched.ok_or_else(|| Error::permanent("posture", "the trail is not watched"))?;
    Ok(Posture {
        store: works.store.clone(),
        metrics: works.metrics.clone(),
        vault: vault(trail, config.auditor(trail), works).await?,
        trails: trails(config, trail).await,
        watched: watched.clone(),
        region: trail.region.clone(),
        prefixes: if trail.layout.is_some() { trail.prefixes() } else { Vec::new() },
        trail: trail.name.clone(),
        expected: expected(config, trail, &wanted, &bucket),
        bucket,
        wanted,
        promised: config.retention.is_some(),
        announces: matches!(trail.queue, Place::Aws(_)),
    })
}

/// What CloudTrail says of the trails.
async fn trails(config: &Config, trail: &config::Trail) -> DynTrails {
    match &trail.bucket {
        Place::Aws(_) => {
            let topics = connect(trail.region.as_ref(), config.auditor(trail)).await;
            Arc::new(connect(trail.region.as_ref(), config.trail_auditor(trail)).await.trails(&topics))
        }
        Place::Dir(path) => Arc::new(TrailsFile::new(path)),
    }
}

/// What the configuration knows of how a bucket should be.
fn expected(config: &Config, trail: &config::Trail, wanted: &config::Posture, bucket: &str) -> Expected {
    let partition = match trail.region.as_ref().map(Region::as_str) {
        Some(region) if region.starts_with("cn-") => "aws-cn",
        Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    let prefix = |prefix: String| prefix.trim_end_matches("AWSLogs/").trim_end_matches('/').to_owned();
    Expected {
        partition: partition.into(),
        bucket: bucket.into(),
        prefixes: trail.layout.is_some().then(|| trail.prefixes()).into_iter().flatten().map(prefix).collect(),
        org: config.organization.id.clone(),
        owner: trail.owner,
        trails: wanted.trails.clone(),
        readers: wanted.readers.clone(),
        writers: wanted.writers.clone(),
        administrators: wanted.administrators.clone(),
        tls: true,
        ..Expected::default()
    }
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
