//! Retention: what was promised of a trail's bucket compared with what protects it, told, and on demand done. A plan is made from
//! what is; a step is taken only while the plan still fits; nothing is ever shortened, and rules of others are never touched.

mod extend;
mod holds;

use std::sync::Arc;
use std::time::Duration;

pub use holds::Scope;

use crate::config::{self, Enforce};
use crate::core::finding::{Finding, Kind};
use crate::core::id::AccountId;
use crate::core::journal::What;
use crate::core::lock::{Action, Evidence, Input, Need, Plan, Step, Term, WarningKind, default_of, plan};
use crate::core::protection::{Part, Protection};
use crate::core::shard::Shard;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::health::Pulse;
use crate::metrics::{KindLabel, Metrics};
use crate::retry::{Policy, retry};
use crate::seam::DynVault;
use crate::store::retention::{self, Lacks};
use crate::store::{Store, findings, journal, members, places};

/// Besides what a plan is made from: who else delivers access logs here.
const ALSO: [Part; 2] = [Part::Policy, Part::Acl];

/// A trail's bucket and its promise.
pub struct Retain {
    pub store: Store,
    pub metrics: Arc<Metrics>,
    pub vault: DynVault,
    /// The trail's name, and its number in the ledger.
    pub trail: String,
    /// Whose objects are locked one by one. The bucket itself is the first one's to compare and to change.
    pub shard: Shard,
    pub source: i64,
    /// The bucket's name, or the directory.
    pub bucket: String,
    /// What the archive's keys begin with.
    pub prefixes: Vec<String>,
    pub wanted: config::Retention,
    pub scrubs: bool,
    pub pulse: Pulse,
}

/// Looks after a change that S3 does not show yet.
const SETTLING: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// What became of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// All steps, so many.
    Done(usize),
    /// Something is not as it was when the plan was made. So many steps were taken before.
    Stale { taken: usize, why: String },
    /// Nothing was done: these steps cannot be taken back, and nobody said that they may be taken.
    NotAccepted(Vec<String>),
    /// Nothing was done: these parts cannot be read.
    Unread(Vec<String>),
}

impl Retain {
    fn env(&self) -> &Env {
        self.store.env()
    }

    /// What the ledger knows of the bucket's protection, and what was consented to, is of this trail in this bucket alone.
    fn archive(&self) -> String {
        format!("{}/{}", self.trail, self.bucket)
    }

    /// What separates the bucket from its promise, as of now.
    pub async fn plan(&self) -> Result<Plan> {
        let parts: Vec<Part> = Part::RETENTION.into_iter().chain(ALSO).collect();
        let protection = self.vault.describe(&parts).await;
        let needs = self.needs(&protection).await?;
        let empty_units = self.empty_units().await?;
        let source = self.source;
        let stock = self.store.read(move |conn| retention::stock(conn, source)).await?;
        let mut plan = plan::make(&Input {
            trail: &self.trail,
            bucket: &self.bucket,
            promise: &self.wanted.promise,
            protection: &protection,
            stock: &stock,
            needs: &needs,
            empty_units: &empty_units,
            prices: &self.wanted.prices,
            prefixes: &self.prefixes,
            scrubs: self.scrubs,
            now: self.env().now(),
        });
        if !self.shard.is_first() {
            leave_the_bucket(&mut plan);
        }
        Ok(plan)
    }

    /// Units of overrides that no known member is in; none before anybody said who is a member.
    async fn empty_units(&self) -> Result<Vec<String>> {
        let known = self.store.read(members::all).await?;
        let paths = known.values().map(|known| &known.member.ou);
        Ok(self.wanted.promise.empty_units(paths))
    }

    /// Whose objects have to be locked one by one, once the default is as promised. None of those that have it by default.
    async fn needs(&self, protection: &Protection) -> Result<Vec<Need>> {
        let Ok(default) = default_of(protection) else { return Ok(Vec::new()) };
        let (archive, source, shard) = (self.archive(), self.source, self.shard);
        let promise = self.wanted.promise.clone();
        let history = self
            .store
            .write(move |tx| {
                let mut history = retention::history(tx.conn, &archive)?;
                history.note(default, tx.now);
                retention::set_history(tx, &archive, &history).map(|()| history)
            })
            .await?;
        let planned = Some(promise.term.or_more(default));
        let (archive, now) = (self.archive(), self.env().now());
        let look = move |conn: &rusqlite::Connection| {
            let members = members::all(conn)?;
            let mut needs: Vec<Need> = Vec::new();
            for place in places::from(conn, source, 0)?.into_iter().filter(|place| shard.holds(place.root.account)) {
                let account = place.root.account;
                let ou = members.get(&account).map(|known| &known.member.ou);
                let days = |kind| promise.days(account, &|unit| ou.is_some_and(|ou| ou.is_in(unit)), kind);
                let (logs, digests) = (days(Evidence::Log), days(Evidence::Digest));
                let term = Term { mode: promise.term.mode, days: logs.max(digests) };
                let before = match history.lacks(term, planned, now) {
                    Lacks::None => continue,
                    Lacks::Before(time) => Some(time),
                    Lacks::All => None,
                };
                let mut need = Need { account, mode: term.mode, logs, digests, before, objects: 0, bytes: 0 };
                let done = retention::extended(conn, &archive, place.id, &need)?;
                let ((objects, bytes), _) = retention::left(conn, place.id, &done)?;
                (need.objects, need.bytes) = (objects.unsigned_abs(), bytes.unsigned_abs());
                match needs.iter_mut().find(|other| other.account == account) {
                    Some(other) => {
                        other.objects += need.objects;
                        other.bytes += need.bytes;
                    }
                    None => needs.push(need),
                }
            }
            needs.sort_by_key(|need| need.account);
            Ok(needs)
        };
        self.store.read(look).await
    }

    /// Takes a plan's steps, as long as each time what is left of it is what a new plan says. A crash between two steps
    /// leaves the rest, which is the next plan.
    pub async fn apply(&self, made: &Plan, accepted: bool) -> Result<Applied> {
        let mut now = self.plan().await?;
        if now.is_blind() {
            return Ok(Applied::Unread(now.unread));
        }
        if made.bucket != self.bucket || made.state != now.state {
            return Ok(stale(0, "the bucket's protection has changed since the plan was made"));
        }
        if made.wanted != now.wanted || !now.is_rest(&made.steps) {
            return Ok(stale(0, "the configuration asks for something else than the plan"));
        }
        // As this plan says, not the file; which objects are to be locked may have come since.
        let asked = |step: &&Step| !step.action.is_extension() || made.extension().is_some();
        let irreversible: Vec<String> =
            now.steps.iter().filter(asked).filter_map(|step| step.irreversible.clone()).collect();
        if !accepted && !irreversible.is_empty() {
            return Ok(Applied::NotAccepted(irreversible));
        }
        for (taken, step) in made.steps.iter().enumerate() {
            if taken > 0 {
                now = self.plan_where(|plan| plan.is_rest(made.steps.get(taken..).unwrap_or_default())).await?;
            }
            if !now.is_rest(made.steps.get(taken..).unwrap_or_default()) {
                return Ok(stale(taken, "the bucket's protection was changed by somebody else meanwhile"));
            }
            let own = if step.action.is_extension() { now.extension() } else { now.steps.first() };
            // What this plan says is done, never what its file says. All objects may have been locked meanwhile.
            if let Some(own) = own {
                if !accepted && own.irreversible.is_some() {
                    return Ok(stale(taken, "a step cannot be taken back any more that could be"));
                }
                let said = |error: Error| {
                    let text = format!("{} (after {taken} of {} steps)", error.text, made.steps.len());
                    Error { text, ..error }
                };
                self.take(own, u64::MAX).await.map_err(said)?;
            }
        }
        Ok(Applied::Done(made.steps.len()))
    }

    /// The plan once it is as it should be after a change, else the last one: S3 may go on answering what was.
    async fn plan_where(&self, fits: impl Fn(&Plan) -> bool) -> Result<Plan> {
        let mut pauses = SETTLING.into_iter();
        loop {
            let plan = self.plan().await?;
            match pauses.next() {
                Some(pause) if !fits(&plan) => {
                    self.pulse.beat();
                    tokio::time::sleep(pause).await;
                }
                _ => return Ok(plan),
            }
        }
    }

    /// With no more than about so many requests for objects.
    async fn take(&self, step: &Step, budget: u64) -> Result<()> {
        if let Action::Extend { needs } = &step.action {
            let (archive, promise) = (self.archive(), self.wanted.promise.digest());
            self.store.write(move |tx| retention::set_accepted(tx, &archive, &promise)).await?;
            return self.extend(needs, budget).await;
        }
        let apply = || self.store.fence().guard(self.vault.apply(&step.action));
        retry(self.env(), Policy::STEP, apply).await?;
        let (subject, detail) = (self.bucket.clone(), format!("{}: {}", step.call, step.diff.join("; ")));
        self.store.write(move |tx| journal::append(tx, What::Applied, &subject, &detail).map(|_| ())).await
    }

    /// Compares, tells, and does what may be done without asking. Answers what is left. A step that is refused keeps nothing from
    /// being told, nor the other steps from being taken: it is the error after all of that.
    pub async fn audit(&self) -> Result<Plan> {
        let plan = self.plan().await?;
        if self.wanted.enforce != Enforce::Apply {
            self.tell(&plan, true).await?;
            return Ok(plan);
        }
        let again = self.is_accepted().await?;
        let may = |step: &Step| step.irreversible.is_none() || step.action.is_extension() && again;
        let stands = plan.steps.iter().filter(|step| !may(step)).cloned().collect();
        // What is about to be mended is told if it could not be.
        self.tell(&Plan { steps: stands, ..plan.clone() }, false).await?;
        let (plan, refused) = self.enforce(plan, may).await?;
        self.tell(&plan, true).await?;
        refused.map_or(Ok(plan), Err)
    }

    /// Whether locks that nobody can lift were accepted once for all that comes.
    async fn is_accepted(&self) -> Result<bool> {
        let archive = self.archive();
        let accepted = self.store.read(move |conn| retention::accepted(conn, &archive)).await?;
        Ok(accepted.is_some_and(|promise| promise == self.wanted.promise.digest()))
    }

    /// Takes the steps that may be taken; answers what is left, and the first refusal.
    async fn enforce(&self, mut plan: Plan, may: impl Fn(&Step) -> bool) -> Result<(Plan, Option<Error>)> {
        // No step is taken twice in a round, even if it does not help.
        let mut taken: Vec<String> = Vec::new();
        let mut refused = None;
        while let Some(step) = plan.steps.iter().find(|step| may(step) && !taken.contains(&step.call)).cloned() {
            match self.take(&step, self.wanted.budget()).await {
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    tracing::warn!(trail = self.trail, step = step.call, error = %error, "a step of retention was refused");
                    refused.get_or_insert(error);
                }
                Ok(()) => {}
            }
            let stands = |plan: &Plan| plan.steps.iter().any(|other| other.action == step.action);
            let awaited = refused.is_none() && !step.action.is_extension();
            plan = self.plan_where(|plan| !awaited || !stands(plan)).await?;
            taken.push(step.call);
        }
        Ok((plan, refused))
    }

    /// Each difference is a finding while it lasts; only a plan that is `whole` says of what is not in it that it is mended.
    async fn tell(&self, plan: &Plan, whole: bool) -> Result<()> {
        let standing = self.findings(plan);
        let (trail, bucket) = (self.trail.clone(), self.bucket.clone());
        let blind = plan.is_blind();
        let news = self
            .store
            .write(move |tx| {
                let mut news = Vec::new();
                for finding in &standing {
                    if findings::hold(tx, finding)? {
                        news.push(finding.kind);
                    }
                }
                const KINDS: [Kind; 5] = [
                    Kind::LockMissing,
                    Kind::LockShort,
                    Kind::RetentionDrift,
                    Kind::LifecycleDangerous,
                    Kind::RetentionUnchecked,
                ];
                for kind in KINDS.into_iter().filter(|_| whole) {
                    // What could not be read is not known to be well again.
                    if blind && kind != Kind::RetentionUnchecked {
                        continue;
                    }
                    for (id, subject) in findings::open_of(tx.conn, kind)? {
                        let rule = subject.strip_prefix(&bucket).is_some_and(|rest| rest.starts_with("/rule/"));
                        let own = subject == trail || rule;
                        if own && !standing.iter().any(|finding| finding.kind == kind && finding.subject == subject) {
                            findings::resolve_id(tx, &id)?;
                        }
                    }
                }
                Ok(news)
            })
            .await?;
        for kind in news {
            self.metrics.findings.get_or_create(&KindLabel { kind: kind.name() }).inc();
        }
        Ok(())
    }

    fn findings(&self, plan: &Plan) -> Vec<Finding> {
        let about = |kind: Kind, subject: String, detail: String| {
            let mut finding = Finding::new(kind, subject, detail);
            finding.bucket = Some(self.bucket.clone());
            finding
        };
        let mut found = Vec::new();
        let mut drift = Vec::new();
        for step in &plan.steps {
            match &step.action {
                Action::SetDefault { .. } => {
                    let none = step.diff.iter().any(|line| line.starts_with("- default retention: none"));
                    let kind = if none { Kind::LockMissing } else { Kind::LockShort };
                    found.push(about(kind, self.trail.clone(), step.diff.join("; ")));
                }
                _ => drift.push(format!("{}: {}", step.call, step.diff.join("; "))),
            }
        }
        if !drift.is_empty() {
            found.push(about(Kind::RetentionDrift, self.trail.clone(), drift.join(". ")));
        }
        for warning in plan.warnings.iter().filter(|warning| warning.danger) {
            let rule = warning.rule.as_deref().unwrap_or_default();
            let subject = format!("{}/rule/{rule}", self.bucket);
            let detail = format!("rule `{rule}`: {}", warning.text);
            match found.iter_mut().find(|finding| finding.subject == subject) {
                Some(finding) => finding.detail = format!("{}; {}", finding.detail, warning.text),
                None => found.push(about(kind_of(warning.kind), subject, detail)),
            }
        }
        if !plan.unread.is_empty() {
            found.push(about(Kind::RetentionUnchecked, self.trail.clone(), plan.unread.join("; ")));
        }
        found
    }
}

fn kind_of(warning: WarningKind) -> Kind {
    match warning {
        WarningKind::ExpiresEarly | WarningKind::DigestsDieFirst => Kind::LifecycleDangerous,
        _ => Kind::RetentionDrift,
    }
}

/// What is left to a warden that is not the first: its objects, once they can be locked.
fn leave_the_bucket(plan: &mut Plan) {
    let comes_first = |step: &Step| matches!(step.action, Action::EnableVersioning | Action::SetDefault { .. });
    let waits = plan.steps.iter().any(comes_first);
    plan.steps.retain(|step| step.action.is_extension() && !waits);
    plan.warnings.clear();
}

fn stale(taken: usize, why: &str) -> Applied {
    Applied::Stale { taken, why: why.into() }
}

/// Whose objects lie under a root.
fn account_of(prefix: &str) -> Option<AccountId> {
    crate::core::key::Root::parse(prefix).map(|root| root.account)
}
