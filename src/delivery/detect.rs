//! What rules matched in a log, counted in the step that commits the log; and what ends as time goes by.

use std::sync::Arc;

use super::Deliveries;
use crate::core::change::HISTORY;
use crate::core::finding::{Finding, Kind};
use crate::core::rule::{Detection, Group, Hit, Hits, Rule, Rules, Watch, many};
use crate::core::window::Turn;
use crate::error::Result;
use crate::store::watches::{self, Watched};
use crate::store::{Tx, findings};

/// Groups of one rule that are told one by one at a time; more are told together.
const MOST_ALARMS: i64 = 1_000;
/// Groups of one rule that are remembered; more are counted together.
const MOST_GROUPS: i64 = 100_000;
/// Groups that one step looks at.
const STEP: usize = 500;

impl Deliveries {
    /// Looks at every group whose time has come: what is over is resolved, what is spent is forgotten.
    pub async fn rest_watches(&self) -> Result<()> {
        let rules = self.rules();
        let known: Vec<String> = rules.iter().map(|rule| rule.id.clone()).collect();
        let (now, names) = (self.env.now().as_second(), known.clone());
        // a look that finds nothing writes nothing
        if !self.store.read(move |conn| watches::is_due(conn, now, &names)).await? {
            return Ok(());
        }
        self.store.write(move |tx| watches::release(tx, &known)).await?;
        loop {
            let rules = rules.clone();
            let looked = self
                .store
                .write(move |tx| {
                    let forgotten = watches::forget_events(tx)?;
                    let due = watches::due(tx, STEP)?;
                    due.iter().try_for_each(|watched| rest(tx, &rules, watched))?;
                    Ok(forgotten.max(due.len()))
                })
                .await?;
            if looked < STEP {
                return Ok(());
            }
        }
    }
}

/// Counts what was matched in a log, and tells what is too much. Answers which findings are news.
pub(super) fn tell(
    tx: &Tx<'_>,
    rules: &Arc<Rules>,
    hits: &Hits,
    bucket: &str,
    log: &str,
) -> rusqlite::Result<Vec<Kind>> {
    let mut news = Vec::new();
    for (number, group) in hits.groups() {
        let Some(rule) = rules.get(number) else { continue };
        let mut fresh = Vec::new();
        for hit in &group.hits {
            // what happened long ago is for a backtest
            let recent = tx.seconds() - hit.moment.at <= HISTORY;
            if recent && watches::count(tx, &hit.event())? {
                fresh.push(hit);
            }
        }
        if !fresh.is_empty() {
            news.extend(take(tx, rule, group, &fresh, (bucket, log))?);
        }
    }
    Ok(news)
}

fn take(
    tx: &Tx<'_>,
    rule: &Rule,
    group: &Group,
    fresh: &[&Hit],
    (bucket, log): (&str, &str),
) -> rusqlite::Result<Option<Kind>> {
    let held = watches::get(tx, &group.watch)?;
    if held.is_none() && group.values != many() && watches::groups(tx, &rule.id)? >= MOST_GROUPS {
        return take(tx, rule, &together(rule), fresh, (bucket, log));
    }
    let mut watch = held.unwrap_or_default();
    let known = watch.state.alarm.map_or(0, |alarm| alarm.count);
    let turn = watch.take(rule, fresh, log, tx.seconds());
    if turn == Turn::Fire && group.values != many() && watches::alarms(tx, &rule.id)? >= MOST_ALARMS {
        watch.state.alarm = None;
        remember(tx, rule, group, watch)?;
        let mut anyone = rule.clone();
        anyone.window.at_least = 1;
        anyone.window.then.clear();
        let mut hits: Vec<Hit> = fresh.iter().map(|hit| (*hit).clone()).collect();
        hits.iter_mut().for_each(|hit| hit.moment.step = 0);
        return take(tx, &anyone, &together(rule), &hits.iter().collect::<Vec<_>>(), (bucket, log));
    }
    let detection = watch.detection(rule, &group.values);
    let count = watch.state.alarm.map_or(0, |alarm| alarm.count.saturating_sub(known)).max(1);
    remember(tx, rule, group, watch)?;
    match (turn, detection) {
        (Turn::Fire | Turn::Hold, Some(detection)) => {
            let mut finding = finding(rule, group, detection);
            finding.bucket = Some(bucket.to_owned());
            finding.object = Some(log.to_owned());
            Ok(findings::raise_times(tx, &finding, count)?.then_some(finding.kind))
        }
        (Turn::Clear, _) => {
            findings::resolve(tx, Kind::RuleFired, &subject(&rule.id, &group.values))?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// The group of those of a rule that are too many.
fn together(rule: &Rule) -> Group {
    Group::new(&rule.id, many())
}

fn remember(tx: &Tx<'_>, rule: &Rule, group: &Group, watch: Watch) -> rusqlite::Result<()> {
    let due = watch.state.due(&rule.window);
    let watched = Watched { id: group.watch, rule: rule.id.clone(), group: group.values.clone(), watch };
    watches::put(tx, &watched, due)
}

/// A group whose time has come.
fn rest(tx: &Tx<'_>, rules: &Rules, watched: &Watched) -> rusqlite::Result<()> {
    let subject = subject(&watched.rule, &watched.group);
    let Some(rule) = rules.find(&watched.rule) else {
        findings::resolve(tx, Kind::RuleFired, &subject)?;
        return watches::forget(tx, watched);
    };
    let mut after = watched.clone();
    let turn = after.watch.state.rest(&rule.window, tx.seconds());
    match (turn, after.watch.detection(rule, &watched.group)) {
        (Turn::Fire, Some(detection)) => {
            findings::raise(tx, &finding(rule, &Group::new(&rule.id, watched.group.clone()), detection))?;
        }
        (Turn::Clear, _) => {
            findings::resolve(tx, Kind::RuleFired, &subject)?;
        }
        _ => {}
    }
    if after.watch.state.is_spent(&rule.window, tx.seconds()) {
        findings::resolve(tx, Kind::RuleFired, &subject)?;
        return watches::forget(tx, watched);
    }
    // never at once again, whatever it says
    let due = after.watch.state.due(&rule.window).max(tx.seconds() + 1);
    watches::put(tx, &after, due)
}

fn subject(rule: &str, group: &[String]) -> String {
    let values: Vec<&str> = group.iter().map(|value| if value.is_empty() { "-" } else { value.as_str() }).collect();
    std::iter::once(rule).chain(values).collect::<Vec<_>>().join(" ")
}

fn finding(rule: &Rule, group: &Group, detection: Detection) -> Finding {
    let mut finding =
        Finding::new(Kind::RuleFired, subject(&rule.id, &group.values), detection.sentence()).severity(rule.severity);
    finding.account = group.account;
    finding.region.clone_from(&group.region);
    finding.detection = Some(Box::new(detection));
    finding
}
