//! What is unusual without a rule: tallies of logs are folded into what is known of their accounts, a moment after the step that
//! committed them. A crash before the fold leaves them waiting, a crash after it finds them gone.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use super::Deliveries;
use crate::core::anomaly::{
    Aspect, BASELINE_DAYS, Counted, DAY, Insight, Kind as Rate, MOST_SERIES, Plan, REACH, State, Tuning, Turn, is_near,
};
use crate::core::finding::{Finding, Kind};
use crate::core::id::{AccountId, Region};
use crate::core::printable;
use crate::error::Result;
use crate::metrics::KindLabel;
use crate::store::rates::{self, Baseline, Of, Waiting};
use crate::store::{Tx, findings, insights, time};

/// Tallies that one step folds, and series that one step looks at.
const STEP: usize = 100;
/// Seconds after which it is written down again that rates are watched, and without which what was learned is out of date.
const AGAIN: i64 = 3_600;
const BLIND: i64 = 2 * 86_400;
/// Names of an account that are told one by one on one day; more are told together.
const MOST_NAMES: u32 = 100;
/// Bytes that are told; a chain of roles has 1,300 at most.
const TEXT: usize = 2_000;
/// Seconds after which it is no news any more that something had never been seen.
const NEWS: i64 = 7 * 86_400;

/// Answers how much was done, and which findings are news.
type Step = fn(&Tx<'_>, &Plan) -> rusqlite::Result<(usize, Vec<Kind>)>;
/// Calls of one series, each with the minute in which its log was delivered; in that order.
type Calls<'t> = Vec<(u32, Counted<'t>)>;

impl Deliveries {
    /// What accounts are looked at for from now on.
    pub fn set_insights(&self, plan: Arc<Plan>) {
        *self.insights.write().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    pub fn insights(&self) -> Arc<Plan> {
        self.insights.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Folds what waits, and looks at what time alone changes.
    pub async fn fold_tallies(&self) -> Result<()> {
        let (plan, now) = (self.insights(), self.env.now().as_second());
        let (forgets, kinds) = (plan.never_seen.is_empty(), watched(&plan));
        let is_due = move |conn: &rusqlite::Connection| {
            let is_known = |kind: Rate| Ok(rates::watched(conn, kind)?.is_some_and(|(_, at)| now - at < AGAIN));
            let unknown = kinds.into_iter().map(is_known).collect::<rusqlite::Result<Vec<_>>>()?.contains(&false);
            let old = is_old(conn, now)? || forgets && rates::is_acquainted(conn)?;
            Ok([unknown, rates::is_waiting(conn)?, rates::is_due(conn, now)?, old])
        };
        // a look that finds nothing writes nothing
        let [unknown, waits, rests, old] = self.store.read(is_due).await?;
        if unknown {
            self.repeat(&plan, watch).await?;
        }
        if waits {
            self.repeat(&plan, fold).await?;
        }
        if rests {
            self.repeat(&plan, rest).await?;
        }
        if old {
            self.repeat(&plan, forget).await?;
        }
        Ok(())
    }

    /// As long as there is more than one step's work.
    async fn repeat(&self, plan: &Arc<Plan>, step: Step) -> Result<()> {
        loop {
            let plan = plan.clone();
            let (done, news) = self.store.write(move |tx| step(tx, &plan)).await?;
            for kind in news {
                self.metrics.findings.get_or_create(&KindLabel { kind: kind.name() }).inc();
            }
            if done < STEP {
                return Ok(());
            }
        }
    }
}

/// Keeps and tells an Insights record, once; answers whether it is news.
pub(super) fn tell(tx: &Tx<'_>, insight: &Insight, account: AccountId) -> rusqlite::Result<Option<Kind>> {
    let subject = insight.subject(account);
    if !insights::insert(tx, insight, account)? {
        return Ok(None);
    }
    if insight.state == State::End {
        findings::resolve(tx, Kind::RateUnusual, &subject)?;
        return Ok(None);
    }
    let long_ago = insight.at() < tx.seconds() - i64::from(REACH * DAY) * 60;
    if long_ago || insights::has_ended(tx, &insight.shared)? {
        return Ok(None);
    }
    let mut finding = Finding::new(Kind::RateUnusual, subject, insight.sentence()).account(account);
    finding.region = Region::parse(&insight.region).ok();
    Ok(findings::raise(tx, &finding)?.then_some(finding.kind))
}

fn minute(tx: &Tx<'_>) -> u32 {
    u32::try_from(tx.seconds() / 60).unwrap_or(0)
}

fn watched(plan: &Plan) -> Vec<Rate> {
    let calls = plan.call_rate.then_some(Rate::CallRate);
    calls.into_iter().chain(plan.error_rate.then_some(Rate::ErrorRate)).collect()
}

/// Since when rates are watched: whoever did not look for days knows no more what is usual.
fn watch(tx: &Tx<'_>, plan: &Plan) -> rusqlite::Result<(usize, Vec<Kind>)> {
    for kind in watched(plan) {
        let known = rates::watched(tx.conn, kind)?.filter(|(_, at)| tx.seconds() - at <= BLIND);
        rates::set_watched(tx, kind, known.map_or(minute(tx), |(since, _)| since))?;
    }
    Ok((0, Vec::new()))
}

/// Whether both rates of an account are known for as many days as a baseline has.
fn learned(tx: &Tx<'_>, baseline: &Baseline) -> rusqlite::Result<[bool; 2]> {
    let mut learned = [false; 2];
    for (learned, kind) in learned.iter_mut().zip([Rate::CallRate, Rate::ErrorRate]) {
        let since = rates::watched(tx.conn, kind)?.map_or(minute(tx), |(since, _)| since).max(baseline.since);
        *learned = minute(tx) >= since.saturating_add(DAY * BASELINE_DAYS as u32);
    }
    Ok(learned)
}

fn fold(tx: &Tx<'_>, plan: &Plan) -> rusqlite::Result<(usize, Vec<Kind>)> {
    let (mut folded, mut news) = (0, Vec::new());
    for (account, tallies) in rates::take(tx, STEP)? {
        folded += tallies.len();
        let known = rates::baseline(tx, account)?;
        let mut baseline = known.clone().unwrap_or_else(|| Baseline::since(minute(tx)));
        let [calls_learned, errors_learned] = learned(tx, &baseline)?;
        let mut room = None;
        for ([region, source, name, error], calls) in series(&tallies, plan, &mut baseline, minute(tx)) {
            let [region, source, name, error] = [region, source, name, error].map(str::to_owned);
            let of = Of { account, region, source, name, error };
            let learned = if of.error.is_empty() { calls_learned } else { errors_learned };
            news.extend(observe(tx, &of, &calls, learned, plan.tuning, &mut room)?);
        }
        if !plan.never_seen.is_empty() {
            news.extend(meet(tx, account, &tallies, plan, &mut baseline)?);
        }
        if known.as_ref() != Some(&baseline) {
            rates::put_baseline(tx, account, &baseline)?;
        }
    }
    Ok((folded, news))
}

/// Region, source, name and error of each series, with its calls.
fn series<'t>(
    tallies: &'t [Waiting],
    plan: &Plan,
    baseline: &mut Baseline,
    now: u32,
) -> BTreeMap<[&'t str; 4], Calls<'t>> {
    let mut all: BTreeMap<_, Calls<'_>> = BTreeMap::new();
    for waiting in tallies {
        for call in waiting.tally.calls() {
            let is_old = call.minute.saturating_add(REACH * DAY) < now;
            if is_old || !baseline.owns(call.region, waiting.source, waiting.arrived) {
                continue;
            }
            let mut count = |error| {
                all.entry([call.region, call.source, call.name, error]).or_default().push((waiting.arrived, call));
            };
            if plan.call_rate && call.is_write {
                count("");
            }
            if plan.error_rate && !call.error.is_empty() {
                count(call.error);
            }
        }
    }
    all
}

/// `room`: how many series the account may still get, once it is known.
fn observe(
    tx: &Tx<'_>,
    of: &Of,
    calls: &Calls<'_>,
    learned: bool,
    tuning: Tuning,
    room: &mut Option<usize>,
) -> rusqlite::Result<Vec<Kind>> {
    let mut news = Vec::new();
    let mut series = match rates::get(tx, of)? {
        Some(series) => series,
        None => {
            let left = match *room {
                Some(left) => left,
                None => MOST_SERIES.saturating_sub(rates::count(tx, of.account)?),
            };
            *room = Some(left.saturating_sub(1));
            if left == 0 {
                return Ok(news);
            }
            Default::default()
        }
    };
    // as if each log had been read when it was delivered, however late we are
    for delivered in calls.chunk_by(|(one, _), (other, _)| one == other) {
        let mut now = 0;
        for (arrived, call) in delivered {
            series.observe(call.minute, call.count, call.attributes(), *arrived);
            now = *arrived;
        }
        if let Some(turn) = series.decide(now, learned, tuning) {
            news.extend(tell(tx, &insight(&turn, of), of.account)?);
        }
    }
    rates::put(tx, of, &series, series.due(tuning))?;
    Ok(news)
}

fn insight(turn: &Turn, of: &Of) -> Insight {
    let error = Some(of.error.as_str()).filter(|error| !error.is_empty());
    Insight::of(turn, of.account.as_str(), &of.region, [&of.source, &of.name], error)
}

/// What an account never did before.
fn meet(
    tx: &Tx<'_>,
    account: AccountId,
    tallies: &[Waiting],
    plan: &Plan,
    baseline: &mut Baseline,
) -> rusqlite::Result<Vec<Kind>> {
    let before = rates::seen(tx, account)?;
    let (mut seen, mut news, now) = (before.clone(), Vec::new(), minute(tx));
    for aspect in Aspect::ALL {
        if !plan.never_seen.contains(&aspect) {
            seen.forget(aspect);
        }
    }
    for waiting in tallies {
        for (aspect, name, call) in waiting.tally.names() {
            let is_asked = plan.never_seen.contains(&aspect) && is_near(call.minute, waiting.arrived);
            let is_recent = call.minute.saturating_add(REACH * DAY) >= now;
            if is_asked && seen.look(aspect, name, [call.minute / DAY, now / DAY], plan) && is_recent {
                let count = baseline.tell(now / DAY);
                let finding = never_seen(account, aspect, name, &call, count > MOST_NAMES);
                news.extend(findings::raise(tx, &finding)?.then_some(finding.kind));
            }
        }
    }
    if seen != before {
        rates::put_seen(tx, account, &seen)?;
    }
    Ok(news)
}

fn never_seen(account: AccountId, aspect: Aspect, name: &str, call: &Counted<'_>, together: bool) -> Finding {
    let subject = if together { format!("{account} many") } else { format!("{account} {} {name}", aspect.name()) };
    let detail = format!(
        "{} {name} is new to the account: {} {} in {} at {} by {} with {}",
        aspect.name(),
        call.source,
        call.name,
        call.region,
        time(i64::from(call.minute) * 60),
        call.principal,
        call.agent,
    );
    let (subject, detail) = (printable(&subject, TEXT), printable(&detail, TEXT));
    let mut finding = Finding::new(Kind::NeverSeen, subject, detail).account(account);
    finding.region = Region::parse(call.region).ok();
    finding
}

/// Series whose time has come: an incident is over, or nothing has happened for so long that nothing is known any more.
fn rest(tx: &Tx<'_>, plan: &Plan) -> rusqlite::Result<(usize, Vec<Kind>)> {
    let (due, now) = (rates::due(tx, STEP)?, minute(tx));
    let mut news = Vec::new();
    for (of, mut series) in due.iter().cloned() {
        // time alone begins nothing
        if let Some(turn) = series.decide(now, false, plan.tuning) {
            news.extend(tell(tx, &insight(&turn, &of), of.account)?);
        }
        if series.is_idle(now) {
            rates::forget(tx, &of)?;
        } else {
            // never at once again, whatever it says
            rates::put(tx, &of, &series, series.due(plan.tuning).max(now + 1))?;
        }
    }
    Ok((due.len(), news))
}

/// What was told or kept long enough.
fn forget(tx: &Tx<'_>, plan: &Plan) -> rusqlite::Result<(usize, Vec<Kind>)> {
    if plan.never_seen.is_empty() {
        rates::forget_seen(tx)?;
    }
    let told = findings::older(tx.conn, Kind::NeverSeen, tx.seconds() - NEWS, STEP)?;
    for id in &told {
        findings::resolve_id(tx, id)?;
    }
    Ok((told.len().max(insights::forget(tx, STEP)?), Vec::new()))
}

fn is_old(conn: &rusqlite::Connection, now: i64) -> rusqlite::Result<bool> {
    Ok(insights::is_due(conn, now)? || !findings::older(conn, Kind::NeverSeen, now - NEWS, 1)?.is_empty())
}
