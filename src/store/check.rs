//! Whether a ledger is what the warden wrote: the file, its seals, its journal, and what must be true of the rows together.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Result};
use serde::Serialize;

use crate::core::journal::{Head, Noted};
use crate::env::Env;
use crate::error::{self, Error};
use crate::store::journal::{self, STANDING, Whole};
use crate::store::{MIGRATIONS, classify, newer, places, seal, version};

/// Faults that are told one by one; of more, only how many.
const TOLD: usize = 8;

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub name: &'static str,
    /// What was looked at, in words.
    pub looked: String,
    pub faults: Vec<String>,
}

impl Check {
    fn new(name: &'static str, looked: impl Into<String>, faults: Vec<String>) -> Self {
        Self { name, looked: looked.into(), faults }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub good: bool,
    /// Where the journal ends.
    #[serde(rename = "ledger")]
    pub head: Head,
    /// Of the last commit, in seconds; nothing is known of later.
    pub last_commit: Option<i64>,
    pub checks: Vec<Check>,
}

impl Report {
    /// The first fault, in one line.
    pub fn fault(&self) -> Option<String> {
        self.checks.iter().find_map(|check| check.faults.first().map(|fault| format!("{}: {fault}", check.name)))
    }
}

/// Looks at everything, in one transaction, beside a warden that works. An error means that it could not be looked at.
pub async fn run(path: &Path, noted: Option<Noted>, env: &Env) -> error::Result<Report> {
    let path = path.to_owned();
    env.blocking(move || now(&path, noted.as_ref())).await?
}

/// As [`run`], on this thread.
pub fn now(path: &Path, noted: Option<&Noted>) -> error::Result<Report> {
    if !path.is_file() {
        return Err(Error::permanent("ledger:open", format!("{} is no file", path.display())));
    }
    let failed = |error: rusqlite::Error| {
        let error = classify("ledger:check", &error);
        Error { text: format!("{}: {}", path.display(), error.text), ..error }
    };
    let opened = open(path).and_then(|conn| conn.execute_batch("BEGIN; SELECT * FROM sqlite_schema").map(|()| conn));
    let conn = match opened {
        Ok(conn) => conn,
        Err(error) if is_damage(&error) => return Ok(unreadable(&format!("it cannot be read as a ledger: {error}"))),
        Err(error) => return Err(failed(error)),
    };
    let form = version(&conn)?;
    if form > MIGRATIONS.len() {
        return Err(newer(form));
    }
    if form == 0 {
        return Ok(unreadable("there is no ledger in it"));
    }
    if !sealed_since(form) {
        let told =
            format!("{} has version {form}, from before there were seals: `run` brings it up to date", path.display());
        return Err(Error::permanent("ledger:check", told));
    }
    look(&conn, form, noted).map_err(failed)
}

/// Writes nothing, not even where the file has no journal mode of ours.
fn open(path: &Path) -> Result<Connection> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(std::time::Duration::from_secs(10))?;
    // Nothing that a stranger wrote into the file is to run.
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cache_size", -8_000)?;
    Ok(conn)
}

/// Whether a form of the ledger has seals.
fn sealed_since(form: usize) -> bool {
    MIGRATIONS.iter().take(form).any(|script| script.contains("CREATE TABLE seals "))
}

/// Whether a form of the ledger keeps what is proven.
fn has_proven(form: usize) -> bool {
    MIGRATIONS.iter().take(form).any(|script| script.contains("CREATE TABLE proven "))
}

/// Whether an error is the file's own fault, and not that of whoever could not read it.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    !matches!(
        error.sqlite_error_code(),
        Some(Code::DatabaseBusy | Code::DatabaseLocked | Code::CannotOpen | Code::PermissionDenied | Code::OutOfMemory)
    )
}

fn unreadable(why: &str) -> Report {
    let checks = vec![Check::new("file", "the file", vec![why.to_owned()])];
    Report { good: false, head: Head::NONE, last_commit: None, checks }
}

fn look(conn: &Connection, form: usize, noted: Option<&Noted>) -> Result<Report> {
    let mut checks =
        vec![bear("file", file(conn))?, bear("form", self::form(conn, form))?, bear("seals", seals(conn))?];
    let whole = match journal::walk(conn, noted) {
        Ok(whole) => whole,
        Err(error) if is_damage(&error) => Whole {
            faults: vec![format!("it cannot be read: {error}")],
            holds: noted.map(|_| false),
            ..Whole::default()
        },
        Err(error) => return Err(error),
    };
    checks.push(chain(&whole, noted));
    checks.push(bear("findings", findings(conn, &whole))?);
    checks.push(bear("verdicts", verdicts(conn, &whole))?);
    checks.push(bear("quarantine", quarantine(conn, &whole))?);
    for (name, looked, rules) in RULES.iter().filter(|(name, ..)| *name != "proven" || has_proven(form)) {
        checks.push(bear(name, ruled(conn, name, looked, rules))?);
    }
    let last_commit =
        conn.query_row("SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'last_commit'", [], |row| row.get(0)).ok();
    let good = checks.iter().all(|check| check.faults.is_empty());
    Ok(Report { good, head: whole.head.unwrap_or(Head::NONE), last_commit, checks })
}

/// A part that cannot be read for the file's own fault is a fault.
fn bear(name: &'static str, looked: Result<Check>) -> Result<Check> {
    match looked {
        Err(error) if is_damage(&error) => Ok(Check::new(name, "", vec![format!("cannot be read: {error}")])),
        other => other,
    }
}

fn file(conn: &Connection) -> Result<Check> {
    let mut faults: Vec<String> = conn
        .prepare("PRAGMA integrity_check(20)")?
        .query_map([], |row| row.get(0))?
        .filter(|line| !matches!(line, Ok(line) if line == "ok"))
        .collect::<Result<_>>()?;
    let mut query = conn.prepare("PRAGMA foreign_key_check")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        faults.push(format!(
            "a row of {} names one of {} that is not there",
            row.get::<_, String>(0)?,
            row.get::<_, String>(2)?
        ));
    }
    let pages: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    Ok(Check::new("file", format!("{pages} pages"), few(faults)))
}

/// Tables, indexes and triggers are those of the program, and no others.
fn form(conn: &Connection, form: usize) -> Result<Check> {
    let made = Connection::open_in_memory()?;
    places::teach(&made)?;
    for script in &MIGRATIONS[..form.min(MIGRATIONS.len())] {
        made.execute_batch(script)?;
    }
    let of = |conn: &Connection| -> Result<Vec<(String, String, String)>> {
        conn.prepare(
            "SELECT type, name, ifnull(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect()
    };
    let (wanted, found) = (of(&made)?, of(conn)?);
    let mut faults: Vec<String> = Vec::new();
    for (kind, name, sql) in &wanted {
        match found.iter().find(|(_, other, _)| other == name) {
            None => faults.push(format!("the {kind} {name} is missing")),
            Some((_, _, other)) if other != sql => faults.push(format!("the {kind} {name} was altered")),
            Some(_) => {}
        }
    }
    for (kind, name, _) in found.iter().filter(|(_, name, _)| wanted.iter().all(|(_, other, _)| other != name)) {
        faults.push(format!("the {kind} {} is not the warden's", crate::core::printable(name, 80)));
    }
    Ok(Check::new("form", format!("version {form}, {} tables and indexes", wanted.len()), few(faults)))
}

fn seals(conn: &Connection) -> Result<Check> {
    let all = seal::compare(conn)?;
    let rows: i64 = all.iter().map(|table| table.rows).sum();
    let looked = format!("{rows} rows of {} tables", all.len());
    Ok(Check::new("seals", looked, all.into_iter().filter_map(|table| table.fault).collect()))
}

fn chain(whole: &Whole, noted: Option<&Noted>) -> Check {
    let mut faults = whole.faults.clone();
    if whole.entries == 0 && faults.is_empty() {
        faults.push("it is empty: even a new ledger has its first entry".into());
    }
    faults.extend(whole.broken.iter().map(|told| format!("rows were found changed by another hand ({told})")));
    if let (Some(noted), Some(false)) = (noted, whole.holds) {
        let since = whole.restored.last().map(|told| format!(" ({told})")).unwrap_or_default();
        faults.push(format!(
            "{noted} is not in it: this is not the ledger that told so, or its past was rewritten{since}"
        ));
    }
    let held = noted.map(|noted| format!(", held against {noted}")).unwrap_or_default();
    Check::new("journal", format!("{} entries{held}", whole.entries), few(faults))
}

/// Each finding is what the journal last said of it, and none that it speaks of is gone.
fn findings(conn: &Connection, whole: &Whole) -> Result<Check> {
    let mut faults = Vec::new();
    let (mut seen, mut told) = (0, 0);
    let mut query = conn.prepare(
        "SELECT id, state, severity || ' ' || kind || ' ' || subject, note FROM findings WHERE kind <> 'heartbeat'",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (id, state, said): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        seen += 1;
        let Some(last) = whole.findings.get(&id) else {
            faults.push(format!("{id} is in no entry of the journal"));
            continue;
        };
        told += 1;
        if last.state != state {
            faults.push(format!("{id} is {state}, the journal says {}", last.state));
        } else if last.told != said {
            let shown = crate::core::printable(&said, 120);
            faults
                .push(format!("{id} is now `{shown}`, the journal says `{}`", crate::core::printable(&last.told, 120)));
        } else if last.note != row.get(3)? {
            faults.push(format!("{id} has another note than the journal"));
        }
    }
    if told < whole.findings.len() {
        let mut known = conn.prepare("SELECT EXISTS (SELECT 1 FROM findings WHERE id = ?1)")?;
        for id in whole.findings.keys() {
            if !known.query_row([id], |row| row.get::<_, bool>(0))? {
                faults.push(format!("{id} is gone, and the journal speaks of it"));
            }
        }
    }
    Ok(Check::new("findings", format!("{seen} held against the journal"), few(faults)))
}

/// A digest without an entry is good; one with an entry is what the last one says.
fn verdicts(conn: &Connection, whole: &Whole) -> Result<Check> {
    let mut faults = Vec::new();
    let mut query = conn.prepare(&format!("SELECT source || '/' || key, {STANDING} FROM digests"))?;
    let mut rows = query.query([])?;
    let (mut seen, mut told) = (0, std::collections::HashSet::new());
    while let Some(row) = rows.next()? {
        let (digest, stands): (String, String) = (row.get(0)?, row.get(1)?);
        seen += 1;
        let said = whole.digests.get_key_value(&digest);
        let last = said.map_or("good", |(_, last)| last.as_str());
        if last != stands {
            faults.push(format!("{} is {stands}, the journal says {last}", crate::core::printable(&digest, 300)));
        }
        told.extend(said.map(|(digest, _)| digest));
    }
    // Only what was good at last may have been folded away.
    for (digest, _) in whole.digests.iter().filter(|(digest, last)| *last != "good" && !told.contains(digest)) {
        faults.push(format!("{} is gone, and the journal speaks of it", crate::core::printable(digest, 300)));
    }
    Ok(Check::new("verdicts", format!("{seen} digests held against the journal"), few(faults)))
}

fn quarantine(conn: &Connection, whole: &Whole) -> Result<Check> {
    let mut faults = Vec::new();
    let mut left: std::collections::HashMap<&String, &String> = whole.quarantine.iter().collect();
    let mut query = conn.prepare("SELECT id, state FROM quarantine")?;
    let mut rows = query.query([])?;
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        let (id, state): (String, String) = (row.get(0)?, row.get(1)?);
        seen += 1;
        match left.remove(&id) {
            Some(last) if *last == state => {}
            Some(last) => faults.push(format!("{id} is {state}, the journal says {last}")),
            None => faults.push(format!("{id} is in no entry of the journal")),
        }
    }
    faults.extend(left.keys().map(|id| format!("{id} is gone, and the journal speaks of it")));
    Ok(Check::new("quarantine", format!("{seen} messages held against the journal"), few(faults)))
}

/// Queries that answer a row for everything that must not be: what, in words.
type Rules = &'static [&'static str];

const RULES: &[(&str, &str, Rules)] = &[
    (
        "counters",
        "totals and the rows they count",
        &[
            "SELECT name || ' says ' || value || ', the rows say ' || counted FROM (
               SELECT name, (SELECT ifnull(sum(value), 0) FROM counters WHERE counters.name = should.name) AS value, counted
               FROM (SELECT 'objects.seen' AS name, count(*) + (SELECT ifnull(sum(objects), 0) FROM days) AS counted FROM objects
                     UNION ALL SELECT 'objects.admitted', ifnull(sum(state = 0), 0) + (SELECT ifnull(sum(objects), 0) FROM days) FROM objects
                     UNION ALL SELECT 'objects.refused', ifnull(sum(state = 1), 0) FROM objects
                     UNION ALL SELECT 'objects.absent', ifnull(sum(state = 2), 0) FROM objects
                     UNION ALL SELECT 'objects.unusable', ifnull(sum(state = 3), 0) FROM objects
                     UNION ALL SELECT 'records', ifnull(sum(records), 0) + (SELECT ifnull(sum(records), 0) FROM days) FROM objects
                     UNION ALL SELECT 'rejects', ifnull(sum(rejects), 0) + (SELECT ifnull(sum(rejects), 0) FROM days) FROM objects
                     UNION ALL SELECT 'bytes/' || id,
                       (SELECT ifnull(sum(size), 0) FROM objects WHERE source = id AND sha IS NOT NULL)
                         + (SELECT ifnull(sum(bytes), 0) FROM days JOIN places ON places.id = place WHERE source = sources.id) FROM sources
                     UNION ALL SELECT 'watches/' || rule, count(*) FROM watches GROUP BY rule
                     UNION ALL SELECT 'alerts.sent', count(*) FROM outbox WHERE state = 'sent'
                     UNION ALL SELECT 'alerts.dead', count(*) FROM outbox WHERE state = 'dead') AS should)
             WHERE value <> counted",
        ],
    ),
    (
        "digests",
        "admitted digests and their verdicts",
        &[
            "SELECT key || ' was admitted and has no verdict' FROM objects
             WHERE kind = 9 AND state = 0 AND (source, key) NOT IN (SELECT source, key FROM digests)
               AND (source, key) NOT IN (SELECT source, key FROM objects WHERE state <> 0)
               AND NOT EXISTS (SELECT 1 FROM spans JOIN chains ON chains.id = chain JOIN places ON places.id = objects.place
                               WHERE chains.source = objects.source AND chains.root = places.root
                                 AND chains.region = places.region AND trail || '_' || home = substr(name, 16)
                                 AND start < delivered AND end >= delivered)",
            "SELECT key || ' has a verdict and was never admitted' FROM digests
             WHERE (source, key) NOT IN (SELECT source, key FROM objects WHERE kind = 9 AND state = 0)
               AND NOT EXISTS (SELECT 1 FROM chains JOIN places USING (source, root, region) JOIN days ON place = places.id
                               WHERE chains.id = digests.chain AND day = CAST(strftime('%Y%m%d', digests.end, 'unixepoch') AS INTEGER))",
        ],
    ),
    (
        "chains",
        "where each begins and ends",
        &["SELECT 'the chain of ' || account || ' ' || region || ' ' || trail || ' does not begin and end where its good digests do'
           FROM chains LEFT JOIN (SELECT chain, min(start) AS first_start, max(end) AS last_end FROM digests
                                  WHERE verdict = 1 GROUP BY chain) ON chain = chains.id
           WHERE first IS NOT first_start OR head IS NOT last_end"],
    ),
    (
        "proven",
        "stretches of time and the digests that prove them",
        &[
            "SELECT 'chain ' || chain || ' is not kept as proven from ' || datetime(start, 'unixepoch') || ' to ' || datetime(end, 'unixepoch')
             FROM (SELECT chain, start, end FROM proof EXCEPT SELECT chain, start, end FROM proven)",
            "SELECT 'chain ' || chain || ' is kept as proven from ' || datetime(start, 'unixepoch') || ' to ' || datetime(end, 'unixepoch')
               || ', and its digests do not prove that'
             FROM (SELECT chain, start, end FROM proven EXCEPT SELECT chain, start, end FROM proof)",
        ],
    ),
    (
        "days",
        "folded days and their entries",
        &[
            "SELECT 'the day ' || day || ' of place ' || place || ' sums up ' || objects || ' objects and has entries of ' || held
             FROM (SELECT place, day, objects, (SELECT ifnull(sum(length(entries)), 0) / 24 FROM folded
                                                WHERE folded.place = days.place AND folded.day = days.day) AS held FROM days)
             WHERE objects <> held",
            "SELECT 'the day ' || day || ' of place ' || place || ' has entries and no sum' FROM folded
             WHERE (place, day) NOT IN (SELECT place, day FROM days)",
        ],
    ),
    (
        "outbox",
        "alerts and their findings",
        &["SELECT 'alert ' || id || ' is about the finding ' || finding || ', which is not there' FROM outbox
           WHERE NOT EXISTS (SELECT 1 FROM findings WHERE findings.id = finding)"],
    ),
    (
        "awaited",
        "logs that are waited for",
        &["SELECT key || ' is waited for and was seen' FROM awaited
           WHERE (source, key, sha) IN (SELECT source, key, sha FROM objects)"],
    ),
];

fn ruled(conn: &Connection, name: &'static str, looked: &'static str, rules: Rules) -> Result<Check> {
    let mut faults = Vec::new();
    for rule in rules {
        let told: Vec<String> = conn.prepare(rule)?.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
        faults.extend(told.into_iter().map(|fault| crate::core::printable(&fault, 400)));
    }
    Ok(Check::new(name, looked, few(faults)))
}

fn few(mut faults: Vec<String>) -> Vec<String> {
    if faults.len() > TOLD {
        let more = faults.len() - TOLD;
        faults.truncate(TOLD);
        faults.push(format!("and {more} more"));
    }
    faults
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
