//! From what is written to what is meant: every value understood, every contradiction told, the first one with its place.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use super::raw::{self, At, Number, Text, Texts};
use super::secret::Places;
use super::{
    Config, ConfigError, FOLD, LISTEN, Limits, MembersFrom, Organization, Place, Role, STATE, Snapshot, Trail, Verify,
    place, shard, units,
};
use crate::core::id::{OrgId, Region};
use crate::core::printable;
use crate::core::route::Route;
use crate::core::shard::Shard;

pub(super) type Read<T> = Result<T, ConfigError>;

/// Bytes a second: a scrub reads a piece at a time, and less than this in a minute is none.
const LEAST_SCRUB: u64 = 2 << 10;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
/// Snapshots that are kept in a directory.
const KEEP: u64 = 7;
pub(super) const YEARS: Duration = Duration::from_secs(100 * 366 * 86_400);

pub(super) fn config(text: &str, origin: &str, places: &Places) -> Read<Config> {
    let reader = Reader { text, origin, places };
    let file: raw::File = toml::from_str(text).map_err(|error| {
        let message = error.message().trim_end().replace('\n', ", ");
        reader.wrong(error.span().unwrap_or_default(), message)
    })?;
    let organization = reader.organization(&file.organization)?;
    let trails = reader.trails(&file.trail, &organization)?;
    let channels = reader.channels(&file.channel)?;
    let routes = reader.routes(&file.route, &channels)?;
    let heartbeat = reader.optional_duration(&file.alert.heartbeat, MINUTE, YEARS)?;
    let (detect, remarks) = reader.detect(&file.detect)?;
    let shard = reader.shard(file.shard.as_ref())?;
    let mut config = Config {
        name: reader.name(&file.warden, shard)?,
        shard,
        organization,
        trails,
        verify: reader.verify(&file.verify)?,
        retention: reader.retention(&file.retention)?,
        posture: reader.posture(file.posture.as_ref())?,
        detect,
        insights: reader.insights(file.insights.as_ref())?,
        archive: None,
        channels,
        routes,
        heartbeat,
        runbook: reader.optional(&file.alert.runbook, runbook)?,
        state: file.state.path.as_ref().map_or_else(|| STATE.into(), |path| reader.path(path)),
        fold: reader.fold(&file.state)?,
        snapshot: None,
        lease: None,
        otlp: reader.otlp(&file.otlp)?,
        listen: reader.listen(&file.http)?,
        limits: reader.limits(&file.limits)?,
        warnings: Vec::new(),
    };
    config.snapshot = reader.snapshot(&file.state, &config.trails)?;
    config.archive = reader.archive(&file.archive, &config.trails)?;
    config.lease = reader.lease(&file.lease, file.warden.name.is_some(), &config.trails)?;
    config.warnings = warnings(&config);
    config.warnings.extend(remarks);
    Ok(config)
}

/// What is allowed, and probably not meant.
fn warnings(config: &Config) -> Vec<String> {
    let mut found: Vec<String> = shard::warning(config.shard).into_iter().collect();
    if config.channels.is_empty() {
        found.push("no channel is configured: findings are in the ledger only, and nobody is told".to_owned());
    }
    let named: Vec<&String> = config.routes.iter().flat_map(Route::channels).collect();
    for name in config.channels.keys().filter(|name| !named.contains(name)) {
        found.push(format!("channel `{name}` is in no route: nothing is ever told there"));
    }
    for (name, channel) in config.channels.iter().filter(|(_, channel)| channel.is_open()) {
        found.push(format!(
            "channel `{name}` speaks without TLS: whoever is on the way reads {} alerts",
            channel.kind()
        ));
    }
    if config.heartbeat.is_some() && config.routes.is_empty() {
        found.push("alert.heartbeat is set, and no route leads anywhere: nobody hears it".to_owned());
    }
    if config.organization.members == MembersFrom::Organizations && config.organization.id.is_none() {
        found.push("organization.id is not set: keys under another organization's id are not recognized".to_owned());
    }
    if let Some(listen) = config.listen.filter(|listen| !listen.ip().is_loopback()) {
        found.push(format!("http.listen is {listen}: whoever reaches it reads findings without a password"));
    }
    for trail in config.trails.iter().filter(|trail| config.retention.is_some() && trail.layout.is_none()) {
        found.push(format!(
            "trail `{}` has no layout: retention looks after what lies under AWSLogs/ alone",
            trail.name
        ));
    }
    for trail in config.trails.iter().filter(|trail| trail.owner.is_none() && matches!(trail.bucket, Place::Aws(_))) {
        found.push(format!(
            "trail `{}` names no owner: a bucket of that name in another account would be believed",
            trail.name
        ));
    }
    found
}

pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) origin: &'a str,
    pub(super) places: &'a Places,
}

impl Reader<'_> {
    pub(super) fn wrong(&self, span: Range<usize>, message: impl Into<String>) -> ConfigError {
        ConfigError::new(self.origin, message).at(self.text, span)
    }

    pub(super) fn at<T>(&self, value: &At<T>, message: impl Into<String>) -> ConfigError {
        self.wrong(value.span(), message)
    }

    /// Something that should be there and is not has no place.
    pub(super) fn missing(&self, message: &str) -> ConfigError {
        ConfigError::new(self.origin, message)
    }

    /// Understands a text, or says at its place why not.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &self,
        text: &At<String>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Read<T> {
        parse(text.get_ref()).map_err(|why| self.at(text, why.to_string()))
    }

    pub(super) fn optional<T, E: std::fmt::Display>(
        &self,
        text: &Text,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Read<Option<T>> {
        text.as_ref().map(|text| self.parsed(text, parse)).transpose()
    }

    pub(super) fn list<T, E: std::fmt::Display>(
        &self,
        texts: &Texts,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Read<Vec<T>> {
        texts.iter().flatten().map(|text| self.parsed(text, &parse)).collect()
    }

    pub(super) fn needed<'t, T>(&self, value: &'t Option<T>, section: &At<impl Sized>, message: &str) -> Read<&'t T> {
        value.as_ref().ok_or_else(|| self.at(section, message))
    }

    pub(super) fn optional_duration(&self, text: &Text, least: Duration, most: Duration) -> Read<Option<Duration>> {
        self.optional(text, |text| {
            let found = units::duration(text)?;
            let bound = |limit: Duration| units::show_duration(limit);
            if found < least {
                Err(format!("`{}` is too short: at least {}", text.trim(), bound(least)))
            } else if found > most {
                Err(format!("`{}` is too long: at most {}", text.trim(), bound(most)))
            } else {
                Ok(found)
            }
        })
    }

    pub(super) fn duration(&self, text: &Text, default: Duration, least: Duration, most: Duration) -> Read<Duration> {
        Ok(self.optional_duration(text, least, most)?.unwrap_or(default))
    }

    pub(super) fn size(&self, text: &Text, default: u64, least: u64) -> Read<u64> {
        let size = self.optional(text, |text| match units::size(text)? {
            size if size < least => {
                Err(format!("`{}` is too small: at least {}", text.trim(), units::show_size(least)))
            }
            size => Ok(size),
        })?;
        Ok(size.unwrap_or(default))
    }

    pub(super) fn number(&self, value: &Number, default: u64, least: u64, most: u64) -> Read<u64> {
        let Some(value) = value else { return Ok(default) };
        u64::try_from(*value.get_ref())
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.at(value, format!("{} is out of bounds: {least} to {most}", value.get_ref())))
    }

    pub(super) fn path(&self, text: &At<String>) -> PathBuf {
        self.places.base.join(text.get_ref())
    }

    /// Two wardens of one host would else be taken for one where copies, alerts and files of the archive bear their names.
    fn name(&self, warden: &raw::Warden, shard: Shard) -> Read<String> {
        let named = self.optional(&warden.name, |name| match name.len() {
            1..=64 if name.chars().all(|c| !c.is_control()) => Ok(name.to_owned()),
            _ => Err("a name is 1 to 64 bytes without control characters"),
        })?;
        Ok(named.unwrap_or_else(|| match shard.is_first() {
            true => host_name(),
            false => format!("{}-{}", host_name(), shard.index()),
        }))
    }

    pub(super) fn role(&self, role: &Text, external_id: &Text) -> Read<Option<Role>> {
        let arn = self.optional(role, |arn| {
            let is_role = arn.starts_with("arn:") && arn.contains(":iam::") && arn.contains(":role/");
            let shown = printable(arn, 120);
            let sentence =
                || format!("`{shown}` is no role: an arn like \"arn:aws:iam::111122223333:role/trailwarden\"");
            if is_role { Ok(arn.to_owned()) } else { Err(sentence()) }
        })?;
        match (arn, external_id) {
            (Some(arn), id) => Ok(Some(Role { arn, external_id: self.optional(id, filled)? })),
            (None, None) => Ok(None),
            (None, Some(id)) => Err(self.at(id, "`external_id` goes with `role`, and there is none")),
        }
    }

    fn organization(&self, raw: &raw::Organization) -> Read<Organization> {
        let usual = Organization::default();
        let members = match &raw.members {
            None => usual.members,
            Some(text) if text.get_ref() == "organizations" => MembersFrom::Organizations,
            Some(text) => MembersFrom::File(self.file_or_path(text)?),
        };
        let role = self.role(&raw.role, &raw.external_id)?;
        if let (Some(text), MembersFrom::File(_)) = (&raw.role, &members) {
            return Err(self.at(text, "a role is for asking AWS Organizations, and `members` is a file"));
        }
        Ok(Organization {
            id: self.optional(&raw.id, OrgId::parse)?,
            members,
            refresh: self.duration(&raw.refresh, usual.refresh, MINUTE, YEARS)?,
            role,
            departed_grace: self.duration(&raw.departed_grace, usual.departed_grace, Duration::ZERO, YEARS)?,
        })
    }

    /// A path, or a file URL.
    pub(super) fn file_or_path(&self, text: &At<String>) -> Read<PathBuf> {
        let url = self.parsed(text, place::file_url)?;
        if text.get_ref().is_empty() {
            return Err(self.at(text, "an empty path"));
        }
        Ok(url.unwrap_or_else(|| self.path(text)))
    }

    fn verify(&self, raw: &raw::Verify) -> Read<Verify> {
        let usual = Verify::default();
        let grace = self.duration(&raw.grace, usual.grace, MINUTE, YEARS)?;
        // never shorter than it takes to be polite to the bucket
        let or_off = |text: &Text, usual: Option<Duration>| match text {
            Some(text) if text.get_ref() == "off" => Ok(None),
            text => self.duration(text, usual.unwrap_or(YEARS), HOUR, YEARS).map(Some),
        };
        Ok(Verify {
            grace,
            sweep: self.duration(&raw.sweep, usual.sweep, SECOND, HOUR)?,
            scrub: or_off(&raw.scrub, usual.scrub)?,
            scrub_limit: self.size(&raw.scrub_limit, usual.scrub_limit, LEAST_SCRUB)?,
            unlisted_after: self.duration(&raw.unlisted_after, grace, MINUTE, YEARS)?,
            reconcile: or_off(&raw.reconcile, usual.reconcile)?,
            reconcile_window: self.duration(&raw.reconcile_window, usual.reconcile_window, DAY, YEARS)?,
            reconcile_history: or_off(&raw.reconcile_history, usual.reconcile_history)?,
            reconcile_requests: self.number(&raw.reconcile_requests, usual.reconcile_requests, 60, 1_000_000)?,
        })
    }

    fn fold(&self, raw: &raw::State) -> Read<Option<Duration>> {
        match &raw.fold {
            Some(text) if text.get_ref() == "never" => Ok(None),
            text => self.duration(text, FOLD, FOLD, YEARS).map(Some),
        }
    }

    fn limits(&self, raw: &raw::Limits) -> Read<Limits> {
        let usual = Limits::default();
        let messages = self.number(&raw.messages, usual.messages as u64, 1, 10_000)?;
        let limits = Limits {
            messages: usize::try_from(messages).unwrap_or(usual.messages),
            bytes: self.size(&raw.bytes, usual.bytes, 1 << 20)?,
            object: self.size(&raw.object, usual.object, 1 << 20)?,
            inflated: self.size(&raw.inflated, usual.inflated, 1 << 20)?,
            ratio: self.number(&raw.ratio, usual.ratio, 10, 100_000)?,
        };
        let shown = units::show_size;
        if limits.object > limits.bytes {
            let message = format!(
                "limits.object ({}) is more than limits.bytes ({}): such an object would never be read",
                shown(limits.object),
                shown(limits.bytes)
            );
            let culprit = raw.object.as_ref().or(raw.bytes.as_ref());
            return Err(culprit.map_or_else(|| ConfigError::new(self.origin, &message), |at| self.at(at, &message)));
        }
        Ok(limits)
    }

    fn snapshot(&self, raw: &raw::State, trails: &[Trail]) -> Read<Option<Snapshot>> {
        let Some(entry) = &raw.snapshot else { return Ok(None) };
        let raw = entry.get_ref();
        let at =
            self.needed(&raw.to, entry, "the snapshot has no `to`: \"file:///srv/ledgers\" or \"s3://bucket/prefix\"")?;
        let (to, prefix) = self.parsed(at, Place::snapshots)?;
        if let Some(trail) = trails.iter().find(|trail| trail.bucket.holds(&to)) {
            let told =
                format!("this is the bucket of trail `{}`: nothing is ever written among the evidence", trail.name);
            return Err(self.at(at, told));
        }
        let region = self.optional(&raw.region, Region::parse)?;
        let region = region.or_else(|| trails.iter().find_map(|trail| trail.region.clone()));
        if region.is_none() && matches!(to, Place::Aws(_)) {
            return Err(self.at(at, "the snapshot needs a `region`: this is on AWS, and no trail has one"));
        }
        let keep = self.number(&raw.keep, KEEP, 1, 10_000)?;
        Ok(Some(Snapshot {
            to,
            prefix,
            every: self.duration(&raw.every, DAY, MINUTE, YEARS)?,
            keep: usize::try_from(keep).unwrap_or(usize::MAX),
            region,
        }))
    }

    fn listen(&self, raw: &raw::Http) -> Read<Option<SocketAddr>> {
        let listen = self.optional(&raw.listen, |text| match text {
            "off" => Ok(None),
            address => address.parse().map(Some).map_err(|_| {
                let shown = printable(address, 80);
                format!("`{shown}` is nothing to listen on: an address and a port like \"127.0.0.1:9417\", or \"off\"")
            }),
        })?;
        Ok(listen.unwrap_or(Some(LISTEN)))
    }
}

fn runbook(text: &str) -> Result<String, &'static str> {
    let is_address = text.starts_with("https://") || text.starts_with("http://");
    if is_address {
        Ok(text.to_owned())
    } else {
        Err("a runbook is an address like \"https://wiki.example.com/{kind}\"")
    }
}

pub(super) fn filled(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("an empty text") } else { Ok(text.to_owned()) }
}

/// A word out of a list, or a sentence with the list.
pub(super) fn word<T: Copy>(text: &str, all: &[T], name: impl Fn(T) -> &'static str, what: &str) -> Result<T, String> {
    all.iter().copied().find(|value| name(*value) == text).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|value| name(*value)).collect();
        format!("`{}` is no {what}: {}", printable(text, 60), names.join(", "))
    })
}

/// The machine's own name for itself, or ours.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" | "(none)" => "trailwarden".to_owned(),
        name => printable(name, 64),
    }
}
