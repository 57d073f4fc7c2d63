//! The configuration as `check-config --print` tells it: every value as it was understood.

use std::time::Duration;

use super::units::{show_duration, show_size};
use super::{
    Channel, Config, Email, KeysFrom, MembersFrom, Place, Posture, Retention, Role, Slack, Snapshot, Syslog, Trail,
    archive, insights, lease, otlp, shard,
};
use crate::core::route::Route;
use crate::core::rule::Rules;

pub(super) type Lines = Vec<(String, String)>;

impl Config {
    /// Names and meanings, in the order of the file: `verify.grace`, `90m = 5400 s`. No secret is among them.
    pub fn meaning(&self) -> Vec<(String, String)> {
        let mut lines = Lines::new();
        let mut say = |name: &str, value: String| lines.push((name.to_owned(), value));
        let organization = &self.organization;
        say("warden.name", self.name.clone());
        say("shard", shard::tell(self.shard));
        say("organization.id", or(organization.id.as_ref(), "not set"));
        say(
            "organization.members",
            match &organization.members {
                MembersFrom::Organizations => "asks AWS Organizations".into(),
                MembersFrom::File(path) => format!("the list {}", path.display()),
            },
        );
        say("organization.refresh", show_duration(organization.refresh));
        say("organization.role", role(organization.role.as_ref()));
        say("organization.departed_grace", show_duration(organization.departed_grace));
        self.trails.iter().for_each(|trail| say_trail(trail, &mut lines));
        let mut say = |name: &str, value: String| lines.push((name.to_owned(), value));
        let verify = &self.verify;
        say("verify.grace", show_duration(verify.grace));
        say("verify.sweep", show_duration(verify.sweep));
        say("verify.scrub", off_or(verify.scrub));
        say("verify.scrub_limit", format!("{} a second", show_size(verify.scrub_limit)));
        say("verify.unlisted_after", show_duration(verify.unlisted_after));
        say("verify.reconcile", off_or(verify.reconcile));
        say("verify.reconcile_window", show_duration(verify.reconcile_window));
        say("verify.reconcile_history", off_or(verify.reconcile_history));
        say("verify.reconcile_requests", format!("{} an hour", verify.reconcile_requests));
        match &self.retention {
            Some(retention) => say_retention(retention, &mut lines),
            None => say("retention.keep", "nothing is promised".into()),
        }
        match &self.posture {
            Some(posture) => say_posture(posture, &mut lines),
            None => lines.push(("posture.every".into(), "never".into())),
        }
        lines.push(("detect.rules".into(), tell_rules(&self.detect)));
        insights::say(&self.insights, &mut lines);
        archive::say(self.archive.as_ref(), &mut lines);
        let mut say = |name: &str, value: String| lines.push((name.to_owned(), value));
        for (name, channel) in &self.channels {
            say(&format!("channel.{name}"), tell_channel(channel));
        }
        for (number, route) in self.routes.iter().enumerate() {
            say(&format!("route.{}", number + 1), tell_route(route));
        }
        say("alert.heartbeat", off_or(self.heartbeat));
        say("state.path", self.state.display().to_string());
        say("state.fold", self.fold.map_or_else(|| "never".to_owned(), show_duration));
        say("state.snapshot", self.snapshot.as_ref().map_or_else(|| "never".into(), tell_snapshot));
        lease::say(self.lease.as_ref(), &mut lines);
        otlp::say(self.otlp.as_ref(), &mut lines);
        let mut say = |name: &str, value: String| lines.push((name.to_owned(), value));
        say("alert.runbook", or(self.runbook.as_ref(), "the installed documentation"));
        say("http.listen", or(self.listen, "off"));
        let limits = &self.limits;
        say("limits.messages", limits.messages.to_string());
        say("limits.bytes", show_size(limits.bytes));
        say("limits.object", show_size(limits.object));
        say("limits.inflated", show_size(limits.inflated));
        say("limits.ratio", limits.ratio.to_string());
        lines
    }
}

fn say_trail(trail: &Trail, lines: &mut Lines) {
    let mut say = |key: &str, value: String| lines.push((format!("trail.{}.{key}", trail.name), value));
    say("bucket", trail.bucket.to_string());
    say("bucket_name", or(trail.bucket_name.as_ref(), "not known: any is believed"));
    say("region", or(trail.region.as_ref(), "none"));
    say("queue", trail.queue.to_string());
    say("owner", or(trail.owner.as_ref(), "any account"));
    say("layout", trail.layout.as_ref().map_or("any prefix".into(), |templates| templates.join(", ")));
    say(
        "keys",
        match &trail.keys {
            KeysFrom::CloudTrail => "asks CloudTrail's ListPublicKeys".into(),
            KeysFrom::Dir(path) => format!("saved in {}", path.display()),
        },
    );
    say("role", role(trail.role.as_ref()));
    say("audit_role", trail.audit_role.as_ref().map_or("that of the posture".into(), |own| role(Some(own))));
    say("validation", trail.validation.name().into());
    say("writers", trail.writers.join(", "));
    say("visibility", show_duration(trail.visibility));
    say("queue_age", show_duration(trail.queue_age));
}

fn say_retention(retention: &Retention, lines: &mut Lines) {
    let mut say = |key: &str, value: String| lines.push((format!("retention.{key}"), value));
    let promise = &retention.promise;
    let days = |days: u32| format!("{days} days");
    say("keep", days(promise.term.days));
    say("mode", promise.term.mode.name().into());
    let moves: Vec<String> = promise.moves.iter().map(|to| format!("{} after {} days", to.class, to.after)).collect();
    say("transitions", if moves.is_empty() { "none".into() } else { moves.join(", ") });
    say("transition_at_least", show_size(promise.smallest));
    say("expire", promise.expire.map_or("never".into(), days));
    say("noncurrent", promise.noncurrent.map_or("kept".into(), days));
    say("incomplete_uploads", promise.uploads.map_or("kept".into(), days));
    say("audit", show_duration(retention.audit));
    say("enforce", retention.enforce.name().into());
    say("requests", format!("{} a second", retention.requests));
    say("role", retention.role.as_ref().map_or("that of the trail".into(), |own| role(Some(own))));
    for (number, more) in promise.overrides.iter().enumerate() {
        say(&format!("override.{}", number + 1), more.to_string());
    }
    say("prices.source", retention.prices.source.clone());
}

fn say_posture(posture: &Posture, lines: &mut Lines) {
    let mut say = |key: &str, value: String| lines.push((format!("posture.{key}"), value));
    say("every", show_duration(posture.every));
    say("role", posture.role.as_ref().map_or("that of the trail".into(), |own| role(Some(own))));
    say("trails", listed(&posture.trails, "not known"));
    say("readers", listed(&posture.readers, "not known: nobody is called an undeclared reader"));
    say("writers", listed(&posture.writers, "CloudTrail alone"));
    say("administrators", listed(&posture.administrators, "the owner alone"));
    for (number, acceptance) in posture.accepted.iter().enumerate() {
        say(&format!("accept.{}", number + 1), format!("{}: {}", acceptance.weakness, acceptance.reason));
    }
}

/// How many rules, and where they are from.
fn tell_rules(rules: &Rules) -> String {
    let mut origins: Vec<(&str, usize)> = Vec::new();
    for rule in rules.iter() {
        match origins.iter_mut().find(|(origin, _)| *origin == rule.origin) {
            Some((_, count)) => *count += 1,
            None => origins.push((&rule.origin, 1)),
        }
    }
    let told: Vec<String> = origins.iter().map(|(origin, count)| format!("{count} of {origin}")).collect();
    if told.is_empty() { "none".into() } else { told.join(", ") }
}

fn listed(all: &[impl ToString], none: &str) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    if all.is_empty() { none.into() } else { all.join(", ") }
}

fn tell_channel(channel: &Channel) -> String {
    match channel {
        Channel::Stdout(format) => format!("stdout, {}", format.name()),
        Channel::Webhook { secret, template, timeout, .. } => {
            let signed = if secret.is_some() { "signed" } else { "not signed" };
            let template = if template.is_some() { ", by a template" } else { "" };
            format!("webhook, {signed}{template}, timeout {}", show_duration(*timeout))
        }
        Channel::PagerDuty { timeout, .. }
        | Channel::Opsgenie { timeout, .. }
        | Channel::Teams { timeout, .. }
        | Channel::Alertmanager { timeout, .. }
        | Channel::Slack { to: Slack::Webhook(_), timeout } => {
            format!("{}, timeout {}", channel.kind(), show_duration(*timeout))
        }
        Channel::Slack { to: Slack::Bot { channel, .. }, timeout } => {
            format!("slack, as a bot in {channel}, timeout {}", show_duration(*timeout))
        }
        Channel::Email(email) => {
            let Email { host, port, tls, from, to, timeout, .. } = email;
            let (to, timeout) = (to.join(", "), show_duration(*timeout));
            format!("email, by {host}:{port}, tls: {}, from {from} to {to}, timeout {timeout}", tls.name())
        }
        Channel::Syslog(syslog) => {
            let tls = if syslog.tls { "over TLS" } else { "without TLS" };
            let Syslog { host, port, facility, timeout, .. } = syslog;
            format!("syslog, {host}:{port} {tls}, facility {facility}, timeout {}", show_duration(*timeout))
        }
        Channel::EventBridge { bus, region, role: assumed } => {
            format!("eventbridge, {bus} in {region}, role: {}", role(assumed.as_ref()))
        }
        Channel::Lambda { function, region, role: assumed } => {
            format!("lambda, {function} in {region}, role: {}", role(assumed.as_ref()))
        }
        Channel::SecurityHub { account, region, role: assumed } => {
            format!("securityhub of {account} in {region}, role: {}", role(assumed.as_ref()))
        }
        Channel::Sns { topic, region, role: assumed } => {
            format!("sns, {topic} in {region}, role: {}", role(assumed.as_ref()))
        }
    }
}

fn tell_snapshot(snapshot: &Snapshot) -> String {
    let every = show_duration(snapshot.every);
    match &snapshot.to {
        Place::Dir(path) => {
            format!("every {every} to the directory {}, the last {} are kept", path.display(), snapshot.keep)
        }
        Place::Aws(bucket) => {
            let region = or(snapshot.region.as_ref(), "its region");
            format!(
                "every {every} to s3://{bucket}/{} in {region}, where a lifecycle rule decides what is kept",
                snapshot.prefix
            )
        }
    }
}

fn tell_route(route: &Route) -> String {
    let matches = &route.matches;
    let mut asked = Vec::new();
    let mut ask = |what: &str, names: Vec<String>| {
        if !names.is_empty() {
            asked.push(format!("{what} {}", names.join(" or ")));
        }
    };
    ask("class", matches.class.iter().map(ToString::to_string).collect());
    ask("kind", matches.kind.iter().map(ToString::to_string).collect());
    ask("severity at least", matches.severity_at_least.iter().map(ToString::to_string).collect());
    ask("account", matches.account.iter().map(ToString::to_string).collect());
    let asked = if asked.is_empty() { "everything".to_owned() } else { asked.join(" and ") };
    let repeat = route.repeat.map_or("told once".into(), |every| format!("repeated every {}", show_duration(every)));
    let end = if route.resolved { "its end is told" } else { "its end is not told" };
    let escalation = route.escalation.as_ref().map(|escalation| {
        format!(", after {} unacknowledged also to {}", show_duration(escalation.after), escalation.to.join(", "))
    });
    format!("{asked} to {}, {repeat}, {end}{}", route.to.join(", "), escalation.unwrap_or_default())
}

fn role(role: Option<&Role>) -> String {
    match role {
        Some(Role { arn, external_id: Some(_) }) => format!("{arn} with an external id"),
        Some(Role { arn, external_id: None }) => arn.clone(),
        None => "none".into(),
    }
}

fn or(value: Option<impl ToString>, otherwise: &str) -> String {
    value.map_or_else(|| otherwise.to_owned(), |value| value.to_string())
}

fn off_or(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "off".to_owned(), show_duration)
}
