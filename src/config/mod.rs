//! The configuration: one TOML file, as written (`raw`) and as meant (`Config`).

mod archive;
mod channel;
mod channels;
mod fault;
mod insights;
mod lease;
mod meaning;
mod otlp;
mod place;
mod posture;
mod raw;
mod read;
mod retention;
pub mod rules;
mod secret;
mod shard;
mod sigma;
mod trails;
pub mod units;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use archive::Archive;
pub use channel::{Channel, Email, Encryption, Format, Slack, Syslog};
pub use fault::{ConfigError, Spot, line_of};
pub use lease::Lease;
pub use otlp::Otlp;
pub use place::Place;
pub use secret::Secret;

use crate::core::anomaly::Plan;
use crate::core::id::{AccountId, OrgId, Region};
use crate::core::lock::{Prices, Promise};
use crate::core::policy::Principal;
use crate::core::posture::Acceptance;
use crate::core::route::Route;
use crate::core::rule::Rules;
use crate::core::shard::Shard;

/// What the file means, checked: nothing in it contradicts anything else in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The warden's name; the host's if the file gives none, with the shard's number behind it unless it is the first.
    pub name: String,
    /// Which accounts this warden answers for.
    pub shard: Shard,
    pub organization: Organization,
    /// At least one; names, queues and buckets are distinct.
    pub trails: Vec<Trail>,
    pub verify: Verify,
    /// What is promised of the archive, if anything.
    pub retention: Option<Retention>,
    /// How what protects the archive is audited, if it is.
    pub posture: Option<Posture>,
    /// What records are looked at for; may be empty.
    pub detect: Arc<Rules>,
    /// What is told without a rule.
    pub insights: Plan,
    /// Where records are kept for questions, if anywhere.
    pub archive: Option<Archive>,
    pub channels: BTreeMap<String, Channel>,
    /// Empty, or the last matches everything. All channels named exist.
    pub routes: Vec<Route>,
    /// How often a heartbeat is told, if at all.
    pub heartbeat: Option<Duration>,
    /// Where a kind of finding is explained in the house's own words: an address with `{kind}` in it.
    pub runbook: Option<String>,
    /// The ledger's file.
    pub state: PathBuf,
    /// Days of keys that ended this long ago are folded in the ledger; `None` never.
    pub fold: Option<Duration>,
    /// Where copies of the ledger are kept, if anywhere.
    pub snapshot: Option<Snapshot>,
    /// How several wardens agree on the one that works, if there are several.
    pub lease: Option<Lease>,
    /// A collector of logs and traces, if there is one.
    pub otlp: Option<Otlp>,
    /// Where metrics, health and the console are served, if at all.
    pub listen: Option<SocketAddr>,
    pub limits: Limits,
    /// Sentences about what is allowed and probably not meant.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    pub id: Option<OrgId>,
    pub members: MembersFrom,
    pub refresh: Duration,
    /// Assumed to ask AWS Organizations.
    pub role: Option<Role>,
    /// How long deliveries of an account that has left are still expected.
    pub departed_grace: Duration,
}

impl Default for Organization {
    fn default() -> Self {
        Self {
            id: None,
            members: MembersFrom::Organizations,
            refresh: Duration::from_secs(15 * 60),
            role: None,
            departed_grace: Duration::from_secs(7 * 86_400),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembersFrom {
    Organizations,
    /// A list in TOML.
    File(PathBuf),
}

/// An IAM role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    pub external_id: Option<String>,
}

/// A bucket that receives trails, and the queue that tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    pub name: String,
    pub bucket: Place,
    /// The name that notices and digests give the bucket; `None` where a directory stands for a bucket of unknown name.
    pub bucket_name: Option<String>,
    /// Known wherever bucket or queue is on AWS.
    pub region: Option<Region>,
    pub queue: Place,
    /// The account that must own the bucket.
    pub owner: Option<AccountId>,
    /// Templates as written, `[prefix/]AWSLogs/[{org}/]{account}/`; `None` allows any prefix.
    pub layout: Option<Vec<String>>,
    pub keys: KeysFrom,
    /// Assumed for bucket, queue and keys.
    pub role: Option<Role>,
    /// Assumed to ask CloudTrail about the trails themselves: in the management account, as a rule.
    pub audit_role: Option<Role>,
    pub validation: Validation,
    /// Patterns (`*` stands for anything) of principals that may write.
    pub writers: Vec<String>,
    pub visibility: Duration,
    /// A message that waits for longer is news.
    pub queue_age: Duration,
}

impl Trail {
    /// What the keys of its deliveries begin with, up to `AWSLogs/`.
    pub fn prefixes(&self) -> Vec<String> {
        let until = |template: &String| template.find("AWSLogs/").map(|at| format!("{}AWSLogs/", &template[..at]));
        let mut prefixes: Vec<String> = self.layout.iter().flatten().filter_map(until).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        if prefixes.is_empty() { vec!["AWSLogs/".into()] } else { prefixes }
    }
}

/// Who writes CloudTrail's deliveries, as EventBridge and as S3 name it.
pub const WRITERS: &[&str] = &["cloudtrail.amazonaws.com", "AWS:*:regionalDeliverySession"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysFrom {
    /// ListPublicKeys.
    CloudTrail,
    /// Saved answers.
    Dir(PathBuf),
}

/// How many of the trails that deliver here have log file validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Validation {
    All,
    Some,
    None,
}

impl Validation {
    pub const ALL: &'static [Self] = &[Self::All, Self::Some, Self::None];

    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Some => "some",
            Self::None => "none",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// A digest later than this is overdue.
    pub grace: Duration,
    pub sweep: Duration,
    /// All history is read and hashed again once in this time; `None` never.
    pub scrub: Option<Duration>,
    /// Bytes a second.
    pub scrub_limit: u64,
    /// A log that no digest lists for this long is news.
    pub unlisted_after: Duration,
    /// How often the last days of bucket and ledger are compared; `None` never.
    pub reconcile: Option<Duration>,
    /// How many days back.
    pub reconcile_window: Duration,
    /// All older days are compared once in this time; `None` never.
    pub reconcile_history: Option<Duration>,
    /// Listings and heads an hour, for each trail.
    pub reconcile_requests: u64,
}

impl Default for Verify {
    fn default() -> Self {
        let grace = Duration::from_secs(90 * 60);
        Self {
            grace,
            sweep: Duration::from_secs(5 * 60),
            scrub: Some(Duration::from_secs(30 * 86_400)),
            scrub_limit: 20 << 20,
            unlisted_after: grace,
            reconcile: Some(Duration::from_secs(86_400)),
            reconcile_window: Duration::from_secs(3 * 86_400),
            reconcile_history: Some(Duration::from_secs(30 * 86_400)),
            reconcile_requests: 3_600,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    pub promise: Promise,
    /// How often buckets are compared with it.
    pub audit: Duration,
    pub enforce: Enforce,
    /// Requests a second for objects, where they are locked one by one.
    pub requests: u64,
    /// Assumed instead of the trail's for reading and changing a bucket's protection.
    pub role: Option<Role>,
    pub prices: Prices,
}

impl Retention {
    /// Requests for objects in one audit: what fits between two, so that nothing else waits for longer to be looked at.
    pub fn budget(&self) -> u64 {
        self.requests.saturating_mul(self.audit.as_secs()).max(1)
    }
}

/// What the daemon does about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforce {
    /// Tells.
    Observe,
    /// Takes the steps that can be taken back, and tells of the others.
    Apply,
}

impl Enforce {
    pub const ALL: &'static [Self] = &[Self::Observe, Self::Apply];

    pub fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Apply => "apply",
        }
    }
}

/// An empty list is nothing known, and then nobody is called undeclared for its sake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posture {
    pub every: Duration,
    /// Assumed instead of the trail's for reading what protects a bucket.
    pub role: Option<Role>,
    /// ARNs of the trails that deliver.
    pub trails: Vec<String>,
    /// Who may read the archive, write to it besides CloudTrail, do anything with it.
    pub readers: Vec<Principal>,
    pub writers: Vec<Principal>,
    pub administrators: Vec<Principal>,
    pub accepted: Vec<Acceptance>,
}

impl Default for Posture {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(3600),
            role: None,
            trails: Vec::new(),
            readers: Vec::new(),
            writers: Vec::new(),
            administrators: Vec::new(),
            accepted: Vec::new(),
        }
    }
}

/// Bounds on what is in memory at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Messages in flight.
    pub messages: usize,
    /// Bytes of objects in memory, stored and inflated.
    pub bytes: u64,
    /// The largest object that is read.
    pub object: u64,
    /// The most that an object may inflate to.
    pub inflated: u64,
    /// The most inflated bytes per stored byte.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { messages: 256, bytes: 64 << 20, object: 64 << 20, inflated: 96 << 20, ratio: 400 }
    }
}

/// Copies of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// No trail's bucket.
    pub to: Place,
    /// Before the copies' names: empty, or ending in `/`.
    pub prefix: String,
    pub every: Duration,
    /// How many are kept in a directory; in a bucket a lifecycle rule decides.
    pub keep: usize,
    /// Known if the place is on AWS.
    pub region: Option<Region>,
}

const CREDENTIALS: &str = "/run/credentials/trailwarden.service";
const STATE: &str = "/var/lib/trailwarden/state.db";
/// As long as the sweep waits for the digest of a log, and as long as a queue keeps a message.
const FOLD: Duration = Duration::from_secs(14 * 86_400);
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9417);

impl Config {
    /// Reads the file, and the secrets that it names. Relative paths start from the file's folder.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::from_file(path, false)
    }

    /// The same without the secrets, for whoever tells nobody anything: its channels must not be opened.
    pub fn load_without_secrets(path: &Path) -> Result<Self, ConfigError> {
        Self::from_file(path, true)
    }

    fn from_file(path: &Path, unread: bool) -> Result<Self, ConfigError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::new(&origin, format!("the configuration cannot be read: {}", error.kind()))
        })?;
        read::config(&text, &origin, &secret::Places { unread, ..places(&origin) })
    }

    /// `origin` names the text in errors; if it is a path, relative paths start from its folder.
    pub fn from_text(text: &str, origin: &str) -> Result<Self, ConfigError> {
        read::config(text, origin, &places(origin))
    }

    /// Who reads and changes what a trail's bucket keeps.
    pub fn keeper<'c>(&'c self, trail: &'c Trail) -> Option<&'c Role> {
        self.retention.as_ref().and_then(|retention| retention.role.as_ref()).or(trail.role.as_ref())
    }

    /// Who reads what guards a trail's bucket and its key, and who listens to the topics between it and the queue.
    pub fn auditor<'c>(&'c self, trail: &'c Trail) -> Option<&'c Role> {
        self.posture.as_ref().and_then(|posture| posture.role.as_ref()).or(trail.role.as_ref())
    }

    /// Who asks CloudTrail about the trails themselves. A role of the management account is the one that sees all of them.
    pub fn trail_auditor<'c>(&'c self, trail: &'c Trail) -> Option<&'c Role> {
        trail.audit_role.as_ref().or(self.auditor(trail))
    }
}

/// Secrets are where systemd says, or for whoever is not run by it, where the running service has them.
fn places(origin: &str) -> secret::Places {
    let of_service = || Some(PathBuf::from(CREDENTIALS)).filter(|path| path.exists());
    secret::Places {
        credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).or_else(of_service),
        base: Path::new(origin).parent().map(Path::to_path_buf).unwrap_or_default(),
        unread: false,
    }
}

#[cfg(test)]
mod tests;
