//! Is the world good: whether the warden may do what it has to, and whether what it stands on holds.
//!
//! Every permission of `core::grant` is tried through a question that does nothing, as the identity that would use it. Each part
//! asks by itself and for a bounded time, so what hangs keeps nobody else from an answer.

mod cloud;
mod host;
mod lease;
mod queue;
mod site;

use std::future::Future;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, join_all};
use serde::Serialize;

use crate::aws::Aws;
use crate::aws::probe::{Probe, Tried, Watch};
use crate::config::{self, Config, Trail};
use crate::core::grant::{Group, Role, Site, Statement};
use crate::core::id::Region;
use crate::env::Env;

pub use self::site::of as site;

/// Longer than a healthy answer takes from the other side of the world.
const PATIENCE: Duration = Duration::from_secs(10);
/// A clock that is further off judges wrongly what is late, and from five minutes on some services refuse what it signs.
const MOST_SKEW: i64 = 60;

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// This configuration has no such thing.
    NotApplicable,
    Ok,
    Unchecked,
    Bad,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Permission,
    State,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    pub kind: Kind,
    pub role: Role,
    /// An action as IAM names it, or what of the world's state it is.
    pub name: String,
    /// What it is about: ARNs, a path, a channel's name.
    pub on: String,
    pub answer: Answer,
    /// What was seen, or why nothing was.
    pub why: Option<String>,
    /// What stops working while it is bad.
    pub without: Option<String>,
    /// What is missing from the role's policy.
    pub statement: Option<Statement>,
    /// What to do where no statement helps: a sentence, a command, a statement of a resource's policy.
    pub remedy: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub answer: Answer,
    pub lines: Vec<Line>,
}

/// What the configuration does not say, and which roles are asked about.
#[derive(Debug, Default)]
pub struct Ask {
    /// `None`: all.
    pub role: Option<Role>,
    /// ARNs of KMS keys.
    pub keys: Vec<String>,
    /// ARNs of dead-letter queues.
    pub dead_letters: Vec<String>,
    /// ARNs of topics between a bucket and its queue.
    pub topics: Vec<String>,
}

struct Doctor<'a> {
    config: &'a Config,
    env: Env,
    ask: &'a Ask,
    site: Site,
    watch: Watch,
}

pub async fn examine(config: &Config, env: &Env, ask: &Ask) -> Report {
    let doctor = Doctor { config, env: env.clone(), ask, site: site(config, ask), watch: Watch::new(env) };
    let mut parts: Vec<LocalBoxFuture<'_, Vec<Line>>> = vec![
        Box::pin(doctor.host()),
        Box::pin(doctor.identities()),
        Box::pin(doctor.members()),
        Box::pin(doctor.copies()),
        Box::pin(doctor.history()),
        Box::pin(doctor.lease()),
        Box::pin(doctor.keys_of_kms()),
    ];
    parts.extend(config.trails.iter().flat_map(|trail| -> [LocalBoxFuture<'_, Vec<Line>>; 4] {
        [
            Box::pin(doctor.bucket(trail)),
            Box::pin(doctor.queue(trail)),
            Box::pin(doctor.public_keys(trail)),
            Box::pin(doctor.trails(trail)),
        ]
    }));
    parts.extend(
        config
            .channels
            .iter()
            .map(|(name, channel)| -> LocalBoxFuture<'_, Vec<Line>> { Box::pin(doctor.channel(name, channel)) }),
    );
    let mut lines = join_all(parts).await.concat();
    lines.push(doctor.clock());
    lines.retain(|line| ask.role.is_none_or(|role| line.role == role));
    // The lines of one role stand together; those of one group stay in its order.
    lines.sort_by_key(|line| line.role);
    let answer = lines.iter().map(|line| line.answer).max().unwrap_or(Answer::NotApplicable).max(Answer::Ok);
    Report { answer, lines }
}

impl Doctor<'_> {
    fn wants(&self, role: Role) -> bool {
        self.ask.role.is_none_or(|wanted| wanted == role)
    }

    async fn probe(&self, region: Option<&Region>, role: Option<&config::Role>) -> Probe {
        Aws::session(region, role).await.probe(&self.watch)
    }

    /// As whoever has the permissions of a role, for a trail.
    async fn probe_as(&self, role: Role, trail: &Trail) -> Probe {
        self.probe(trail.region.as_ref(), site::assumed(self.config, trail, role)).await
    }

    /// Tries every action of a group at once.
    async fn group(&self, group: &Group, on: &[String], attempt: impl AsyncFn(&'static str) -> Tried) -> Vec<Line> {
        if !self.wants(group.role) {
            return Vec::new();
        }
        let attempt = &attempt;
        let tries = group.actions.iter().map(|(action, without)| async move {
            let (tried, ()) = patient(async { (attempt(action).await, ()) }).await;
            self.permission(group, action, without, on, tried)
        });
        join_all(tries).await
    }

    fn permission(
        &self,
        group: &Group,
        action: &'static str,
        without: &'static str,
        on: &[String],
        tried: Tried,
    ) -> Line {
        let line = Line { kind: Kind::Permission, ..Line::new(group.role, action, &on.join(", ")) };
        match tried {
            Tried::Allowed => line,
            Tried::Unknown(why) => line.unchecked(why),
            Tried::Denied { action: Some(other), text } if other != action => {
                line.unchecked(format!("{other} is denied first: {text}"))
            }
            Tried::Denied { text, .. } => {
                let explicit = "a policy denies it explicitly, which no statement outweighs: take the denial away";
                Line {
                    remedy: text.contains("explicit deny").then(|| explicit.into()),
                    statement: Some(self.site.missing(group, action, on)),
                    ..line.bad(text, without)
                }
            }
        }
    }

    fn clock(&self) -> Line {
        let line = Line::new(Role::Process, "clock", "this machine");
        match self.watch.skew().map(|skew| skew.as_secs()) {
            None if self.site.resources.is_empty() => line.not_applicable("nothing is on AWS: there is no other clock"),
            None => line.unchecked("AWS did not answer"),
            Some(skew) if skew.abs() > MOST_SKEW => {
                let side = if skew > 0 { "behind" } else { "before" };
                let line = line.bad(
                    format!("this clock is {} seconds {side} AWS's", skew.abs()),
                    "what is late and what is overdue is judged wrongly, and AWS refuses what is signed at the wrong time",
                );
                line.remedy("let a time service set this clock: `timedatectl set-ntp true`")
            }
            Some(skew) => line.ok(format!("{skew} seconds from AWS's")),
        }
    }
}

impl Line {
    fn new(role: Role, name: &str, on: &str) -> Self {
        Self {
            kind: Kind::State,
            role,
            name: name.to_owned(),
            on: on.to_owned(),
            answer: Answer::Ok,
            why: None,
            without: None,
            statement: None,
            remedy: None,
        }
    }

    fn with(self, answer: Answer, why: impl Into<String>) -> Self {
        Self { answer, why: Some(why.into()), ..self }
    }

    fn ok(self, why: impl Into<String>) -> Self {
        self.with(Answer::Ok, why)
    }

    fn unchecked(self, why: impl Into<String>) -> Self {
        self.with(Answer::Unchecked, why)
    }

    fn not_applicable(self, why: impl Into<String>) -> Self {
        self.with(Answer::NotApplicable, why)
    }

    fn bad(self, why: impl Into<String>, without: &str) -> Self {
        Self { without: Some(without.to_owned()), ..self.with(Answer::Bad, why) }
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

/// Waits for an answer, and not for ever.
async fn patient<T: Default>(asked: impl Future<Output = (Tried, T)>) -> (Tried, T) {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => (Tried::Unknown(format!("no answer within {} seconds", PATIENCE.as_secs())), T::default()),
    }
}
