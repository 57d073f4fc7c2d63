//! What must come of a made-up day, however it was played.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;
use trailwarden::core::finding::Kind;
use trailwarden::core::gzip::{Caps, inflate};
use trailwarden::core::key::{self, ObjectKey};
use trailwarden::core::notice::{self, Opened};
use trailwarden::world::{GRACE, Planted};

use super::acts::Acts;
use super::warden::json;

/// A finding that is wanted beside the planted ones: its kind, and a part of its object or detail.
pub type Wanted = (Kind, String);

/// Every planted trouble is found once, every other wanted finding once, and nothing else; answers the findings' ids.
pub fn findings(config: &Path, acts: &Acts, wanted: &[Wanted]) -> Vec<String> {
    let all = json(config, &["findings", "list"]);
    let mut left: Vec<&Value> = all.as_array().expect("a list").iter().collect();
    let ids = left.iter().map(|held| text(held, "id").to_owned()).collect();
    let mut wrong = Vec::new();
    for (kind, part) in wanted {
        let found = take(&mut left, |held| {
            text(held, "kind") == kind.name()
                && (text(held, "object").contains(part) || text(held, "detail").contains(part))
        });
        if found.len() != 1 {
            wrong.push(format!("{} × {kind} of {part}", found.len()));
        }
    }
    for planted in &acts.planted {
        let found = take(&mut left, |held| fits(planted, held, acts));
        if found.len() != 1 {
            wrong.push(format!("{} × {planted:?}", found.len()));
        }
    }
    wrong.extend(left.iter().map(|held| format!("nobody planted {held}")));
    assert!(wrong.is_empty(), "{} findings are wrong:\n{}", wrong.len(), wrong.join("\n"));
    ids
}

fn take<'a>(left: &mut Vec<&'a Value>, fits: impl Fn(&Value) -> bool) -> Vec<&'a Value> {
    let (found, others) = left.iter().partition(|held| fits(held));
    *left = others;
    found
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn fits(planted: &Planted, held: &Value, acts: &Acts) -> bool {
    let agrees = |field: &str, wanted: Option<String>| {
        held[field].is_null() || wanted.is_none_or(|wanted| text(held, field) == wanted)
    };
    let hours = |hours: Vec<jiff::Timestamp>| hours.iter().map(ToString::to_string).collect::<Vec<_>>();
    let held_hours: Vec<String> = held["hours"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|hour| hour.as_str().unwrap_or_default().to_owned())
        .collect();
    let hours_fit = match planted.kind {
        // Real time goes on after the world's end, and with it the hours that are overdue.
        Kind::DigestOverdue => {
            held_hours.starts_with(&hours(planted.hours_by(acts.end, GRACE))) && !held_hours.is_empty()
        }
        _ => held_hours == hours(planted.hours.clone()),
    };
    text(held, "kind") == planted.kind.name()
        && agrees("account", planted.account.map(|account| account.to_string()))
        && agrees("region", planted.region.as_ref().map(ToString::to_string))
        && (!planted.hours.is_empty() || agrees("object", planted.object.clone()))
        && hours_fit
}

/// Every object of the day is settled, once, and its records are counted once. Answers how many there are.
pub fn ledger(state: &Path, acts: &Acts, also: &[&str]) -> usize {
    let conn = Connection::open(state).expect("the ledger opens");
    let mut rows: BTreeMap<String, (usize, i64, i64)> = BTreeMap::new();
    let mut query = conn.prepare("SELECT key, records + rejects, state FROM objects").expect("a query");
    let found = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))).expect("rows");
    for (key, records, state) in found.map(|row| row.expect("a row")) {
        let entry = rows.entry(key).or_insert((0, records, state));
        entry.0 += 1;
    }
    let twice: Vec<_> = rows.iter().filter(|(_, (count, ..))| *count != 1).collect();
    assert!(twice.is_empty(), "settled more than once: {twice:?}");
    let messages = [Acts::messages(&acts.first), Acts::messages(&acts.late)].concat();
    let announced = announced(&acts.bucket, &messages);
    for key in &announced {
        assert!(rows.contains_key(key), "announced and not settled: {key}");
    }
    let bodies: BTreeMap<&String, &Vec<u8>> = acts.puts().collect();
    for (key, (_, records, state)) in &rows {
        let Some(body) = bodies.get(key) else {
            assert!(announced.contains(key) || also.contains(&key.as_str()), "nobody spoke of {key}");
            continue;
        };
        let is_log = matches!(key::parse(key), ObjectKey::Log(_));
        if is_log && *state == ADMITTED {
            assert_eq!(usize::try_from(*records).ok(), records_in(body), "records of {key}");
        }
    }
    let sum = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    let counter = |name: &str| sum(&format!("SELECT ifnull(sum(value), 0) FROM counters WHERE name = '{name}'"));
    assert_eq!(
        counter("records"),
        sum("SELECT sum(records) FROM (SELECT records FROM objects UNION ALL SELECT records FROM days)"),
        "each record is counted once"
    );
    assert_eq!(
        counter("rejects"),
        sum("SELECT sum(rejects) FROM (SELECT rejects FROM objects UNION ALL SELECT rejects FROM days)"),
        "each reject is counted once"
    );
    assert_eq!(counter("objects.admitted"), sum("SELECT count(*) FROM objects WHERE state = 0"));
    assert_eq!(counter("objects.refused"), sum("SELECT count(*) FROM objects WHERE state = 1"));
    assert_eq!(
        sum("SELECT count(*) FROM digests"),
        sum("SELECT count(*) FROM objects WHERE kind = 9 AND state = 0"),
        "every admitted digest is in its chain"
    );
    rows.len()
}

const ADMITTED: i64 = 0;

/// What messages tell of and the ledger does not know.
pub fn unsettled(state: &Path, acts: &Acts, messages: &[Vec<u8>]) -> Vec<String> {
    let conn = Connection::open(state).expect("the ledger opens");
    let mut known = conn.prepare("SELECT key FROM objects").expect("a query");
    let known: BTreeSet<String> =
        known.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("keys");
    let mut keys = announced(&acts.bucket, messages);
    keys.retain(|key| !known.contains(key));
    keys
}

/// Logs and digests that messages tell of, in this bucket.
fn announced(bucket: &str, messages: &[Vec<u8>]) -> Vec<String> {
    let mut keys = Vec::new();
    for body in messages {
        let Opened::Notices { notices, .. } = notice::open(body) else { continue };
        let ours = notices.into_iter().filter(|notice| notice.bucket == bucket);
        keys.extend(ours.map(|notice| notice.key).filter(|key| {
            matches!(key::parse(key), ObjectKey::Log(_) | ObjectKey::Digest(_) | ObjectKey::Rejected(_))
        }));
    }
    keys.sort();
    keys.dedup();
    keys
}

/// Elements of `Records`: each becomes a record or a reject.
fn records_in(body: &[u8]) -> Option<usize> {
    let raw = inflate(body, Caps::default()).ok()?.bytes;
    let log: Value = serde_json::from_slice(&raw).ok()?;
    log["Records"].as_array().map(Vec::len)
}
