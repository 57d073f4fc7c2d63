//! What the warden said, as a chain of hashes: an entry is written in the transaction of its cause, and never changed.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::core::id::Sha256;
use crate::core::journal::{Entry, Head, Noted, What};
use crate::store::Tx;

pub fn append(tx: &Tx<'_>, what: What, subject: &str, detail: &str) -> Result<Head> {
    let before = head(tx.conn)?;
    let entry = Entry {
        seq: before.seq + 1,
        at: tx.seconds(),
        what: what.name().into(),
        subject: subject.into(),
        detail: detail.into(),
    };
    let hash = entry.hash(&before.hash);
    tx.conn.prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        entry.seq,
        entry.at,
        entry.what,
        subject,
        detail,
        &hash.0[..]
    ])?;
    Ok(Head { seq: entry.seq, hash })
}

pub fn head(conn: &Connection) -> Result<Head> {
    let last = conn
        .prepare_cached("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))
        .optional()?;
    Ok(last.map_or(Head::NONE, |(seq, hash)| Head { seq, hash: Sha256::from_slice(&hash).unwrap_or(Head::NONE.hash) }))
}

/// Writes down what a ledger from before there was a journal says already.
pub fn adopt(tx: &Tx<'_>) -> Result<()> {
    let texts = |sql: &str| -> Result<Vec<[Option<String>; 4]>> {
        let mut query = tx.conn.prepare(sql)?;
        query.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?.collect()
    };
    let standing = STANDING;
    for [id, told, state, note] in texts(
        "SELECT id, severity || ' ' || kind || ' ' || subject, state, note FROM findings WHERE kind <> 'heartbeat'
         ORDER BY first_seen, id",
    )? {
        let id = id.unwrap_or_default();
        append(tx, What::Raised, &id, &told.unwrap_or_default())?;
        if let Some(note) = note {
            append(tx, What::Acknowledged, &id, &note)?;
        }
        if state.as_deref() == Some(What::Resolved.name()) {
            append(tx, What::Resolved, &id, "")?;
        }
    }
    let rows = texts(&format!(
        "SELECT source || '/' || key, {standing}, NULL, NULL FROM digests WHERE {standing} <> 'good' ORDER BY source, key"
    ))?;
    for [digest, stands, ..] in rows {
        append(tx, What::Digest, &digest.unwrap_or_default(), &stands.unwrap_or_default())?;
    }
    for [id, state, ..] in texts("SELECT id, state, NULL, NULL FROM quarantine ORDER BY id")? {
        append(tx, What::Quarantine, &id.unwrap_or_default(), &state.unwrap_or_default())?;
    }
    Ok(())
}

/// How a row of `digests` stands, in words.
pub const STANDING: &str = "(CASE verdict WHEN 0 THEN 'unchecked' WHEN 1 THEN 'good' ELSE 'bad' END
  || CASE WHEN faulty THEN ', faulty' ELSE '' END || CASE WHEN disowned THEN ', disowned' ELSE '' END)";

/// The standing of the digest with this chain and end, if it is known.
pub fn standing(conn: &Connection, row: (i64, i64)) -> Result<Option<String>> {
    conn.prepare_cached(&format!("SELECT {STANDING} FROM links WHERE chain = ?1 AND end = ?2"))?
        .query_row(row, |row| row.get(0))
        .optional()
}

/// Tells how a digest stands now, unless it stands as before, or is good and always was.
pub fn tell_standing(tx: &Tx<'_>, source: i64, key: &str, row: (i64, i64), before: Option<&str>) -> Result<()> {
    let now = standing(tx.conn, row)?;
    match now.as_deref() {
        Some(now) if now != before.unwrap_or("good") => {
            append(tx, What::Digest, &format!("{source}/{key}"), now).map(|_| ())
        }
        _ => Ok(()),
    }
}

/// What the journal last said of a finding.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Severity, kind and subject.
    pub told: String,
    pub state: String,
    pub note: Option<String>,
}

/// All that the journal says, by what it is about.
#[derive(Debug, Default)]
pub struct Whole {
    pub entries: i64,
    pub head: Option<Head>,
    pub findings: HashMap<String, Said>,
    pub digests: HashMap<String, String>,
    pub quarantine: HashMap<String, String>,
    /// Tables that did not fit their seals before they were sealed anew.
    pub broken: Vec<String>,
    pub restored: Vec<String>,
    pub faults: Vec<String>,
    /// Whether the entry that somebody noted is there.
    pub holds: Option<bool>,
}

/// Walks the chain from its first entry.
pub fn walk(conn: &Connection, noted: Option<&Noted>) -> Result<Whole> {
    let mut whole = Whole { holds: noted.map(|_| false), ..Whole::default() };
    let mut query = conn.prepare("SELECT seq, at, what, subject, detail, hash FROM journal ORDER BY seq")?;
    let mut rows = query.query([])?;
    let mut before = Head::NONE;
    while let Some(row) = rows.next()? {
        let entry =
            Entry { seq: row.get(0)?, at: row.get(1)?, what: row.get(2)?, subject: row.get(3)?, detail: row.get(4)? };
        let hash = Sha256::from_slice(&row.get::<_, Vec<u8>>(5)?);
        if entry.seq != before.seq + 1 {
            whole
                .faults
                .push(format!("entry {} follows entry {}: what was between was removed", entry.seq, before.seq));
        } else if hash != Some(entry.hash(&before.hash)) {
            whole.faults.push(format!("entry {} is not what was written, or the one before it is not", entry.seq));
        }
        let hash = hash.unwrap_or(Head::NONE.hash);
        if noted.is_some_and(|noted| noted.seq == entry.seq && noted.fits(&hash)) {
            whole.holds = Some(true);
        }
        before = Head { seq: entry.seq, hash };
        whole.entries += 1;
        whole.hear(entry);
    }
    whole.head = Some(before);
    Ok(whole)
}

impl Whole {
    fn hear(&mut self, entry: Entry) {
        let Entry { what, subject, detail, seq, .. } = entry;
        let Some(what) = What::parse(&what) else {
            return self.faults.push(format!("entry {seq} says `{what}`, which this program never says"));
        };
        match what {
            What::Raised | What::Reopened => {
                let said = self.findings.entry(subject).or_default();
                said.told = detail;
                said.state = "open".into();
            }
            What::Resolved => self.findings.entry(subject).or_default().state = "resolved".into(),
            What::Acknowledged => {
                let said = self.findings.entry(subject).or_default();
                said.state = "acknowledged".into();
                said.note = Some(detail);
            }
            What::Digest => {
                self.digests.insert(subject, detail);
            }
            What::Quarantine => {
                self.quarantine.insert(subject, detail);
            }
            What::Broken => self.broken.push(format!("entry {seq}: {detail}")),
            What::Restored | What::Rebuilt => {
                self.restored.push(format!("entry {seq}: {} from {subject}", what.name()))
            }
            What::Begun | What::Sealed | What::Snapshot | What::Leased => {}
            What::Applied | What::Extended | What::Held | What::Released | What::Silenced => {}
        }
    }
}
