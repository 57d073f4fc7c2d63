//! Where an object lies, and what its key says beyond that: the short form in which keys are kept.

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::core::id::Sha256;
use crate::core::key::{self, LogKind, ObjectKey, Root};
use crate::store::Tx;

/// A key in short. The view `objects` puts it together again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Short {
    /// With [`Short::region`], the place; both are empty for what no trail would deliver.
    pub root: String,
    pub region: String,
    pub name: String,
}

impl Short {
    pub fn of(key: &str) -> Self {
        match key::parse(key) {
            ObjectKey::Log(log) if log.format() == key => {
                let (usual, odd) = letters(log.kind).split_at(1);
                let (_, time) = key::digits(log.delivered);
                let date = format!("{:04}{:02}{:02}", log.date.year(), log.date.month(), log.date.day());
                let name = if log.odd_name {
                    format!("{date}{odd}{}", log.unique)
                } else {
                    format!("{date}{usual}{:04}{}", time / 100, log.unique)
                };
                Self { root: log.root.path(), region: log.region.into(), name }
            }
            ObjectKey::Digest(digest) if digest.format() == key => {
                let letter = if digest.backfill { 'b' } else { 'd' };
                let (date, time) = key::digits(digest.end);
                let name = format!("{date:08}{letter}{time:06}{}_{}", digest.trail, digest.home);
                Self { root: digest.root.path(), region: digest.region.into(), name }
            }
            _ => Self { name: key.to_owned(), ..Self::default() },
        }
    }

    /// The day of the key's folder, as yyyymmdd; `None` for what no trail would deliver.
    pub fn day(&self) -> Option<i64> {
        if self.root.is_empty() { None } else { day(&self.name) }
    }
}

/// The day at the front of a short name.
pub fn day(name: &str) -> Option<i64> {
    name.get(..8)?.parse().ok()
}

/// The letters of a kind's short names: the usual form, and another.
pub fn letters(kind: LogKind) -> &'static str {
    match kind {
        LogKind::Events => "eE",
        LogKind::Insight => "iI",
        LogKind::NetworkActivity => "nN",
        LogKind::Aggregated => "aA",
    }
}

/// The letters of digests.
pub const DIGESTS: &str = "db";

/// The place of a region folder (`root/kind/region/`), and the letters of what lies in it.
pub fn of_folder(folder: &str) -> Option<(Short, &'static str)> {
    let (rest, region) = folder.strip_suffix('/')?.rsplit_once('/')?;
    let (root, kind) = rest.rsplit_once('/')?;
    let log = LogKind::ALL.into_iter().find(|log| log.folder() == kind).map(letters);
    let letters = log.or((kind == key::DIGEST_FOLDER).then_some(DIGESTS))?;
    Some((Short { root: format!("{root}/"), region: region.into(), name: String::new() }, letters))
}

/// A root and region of a source.
#[derive(Debug, Clone)]
pub struct Place {
    pub id: i64,
    pub root: Root,
    pub region: crate::core::id::Region,
}

/// The number of a key's place, if anything was ever seen there.
pub fn find(conn: &Connection, source: i64, short: &Short) -> Result<Option<i64>> {
    conn.prepare_cached("SELECT id FROM places WHERE source = ?1 AND root = ?2 AND region = ?3")?
        .query_row(params![source, short.root, short.region], |row| row.get(0))
        .optional()
}

/// The number of a key's place, made at first sight.
pub fn make(tx: &Tx<'_>, source: i64, short: &Short) -> Result<i64> {
    if let Some(id) = find(tx.conn, source, short)? {
        return Ok(id);
    }
    tx.conn.prepare_cached("INSERT INTO places (source, root, region) VALUES (?1, ?2, ?3)")?.execute(params![
        source,
        short.root,
        short.region
    ])?;
    Ok(tx.conn.last_insert_rowid())
}

/// Those of a source that trails deliver to, from a number on.
pub fn from(conn: &Connection, source: i64, id: i64) -> Result<Vec<Place>> {
    let mut query = conn.prepare_cached(
        "SELECT id, root, region FROM places WHERE source = ?1 AND id >= ?2 AND root <> '' ORDER BY id",
    )?;
    let mut rows = query.query(params![source, id])?;
    let mut places = Vec::new();
    while let Some(row) = rows.next()? {
        let region: String = row.get(2)?;
        if let (Some(root), Ok(region)) = (Root::parse(&row.get::<_, String>(1)?), region.parse()) {
            places.push(Place { id: row.get(0)?, root, region });
        }
    }
    Ok(places)
}

pub fn get(conn: &Connection, id: i64) -> Result<Option<Place>> {
    Ok(from(conn, source(conn, id)?, id)?.into_iter().next().filter(|place| place.id == id))
}

pub fn source(conn: &Connection, id: i64) -> Result<i64> {
    conn.prepare_cached("SELECT source FROM places WHERE id = ?1")?.query_row([id], |row| row.get(0))
}

/// What the third migration asks of the program.
pub fn teach(conn: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    type Part = fn(Short) -> String;
    let parts: [(&str, Part); 3] =
        [("root", |short| short.root), ("region", |short| short.region), ("name", |short| short.name)];
    for (name, part) in parts {
        conn.create_scalar_function(name, 1, flags, move |call| Ok(part(Short::of(&call.get::<String>(0)?))))?;
    }
    conn.create_scalar_function("sha256", 1, flags, |call| {
        Ok(call.get::<Option<Vec<u8>>>(0)?.map(|bytes| Sha256::of(&bytes).0.to_vec()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "AWSLogs/o-a1b2c3d4e5/111122223333/";

    #[test]
    fn a_short_key_says_where_and_when_and_no_more() {
        let key = format!(
            "{PLACE}CloudTrail/eu-west-1/2026/03/02/111122223333_CloudTrail_eu-west-1_20260302T1015Z_aBcDeFgHiJkLmNoP.json.gz"
        );
        let short = Short::of(&key);
        assert_eq!((short.root.as_str(), short.region.as_str()), (PLACE, "eu-west-1"));
        assert_eq!((short.name.as_str(), short.day()), ("20260302e1015aBcDeFgHiJkLmNoP", Some(20_260_302)));
        let foreign = Short::of("20260302e1015/no/key/of/a/trail");
        assert_eq!((foreign.root.as_str(), foreign.day()), ("", None));
    }

    fn keys() -> Vec<String> {
        let file = "111122223333";
        let mut keys: Vec<String> = [
            "CloudTrail",
            "CloudTrail-Insight",
            "CloudTrail-NetworkActivity",
            "CloudTrail-Aggregated",
        ]
        .iter()
        .map(|folder| {
            format!(
                "{PLACE}{folder}/eu-west-1/2026/03/02/{file}_{folder}_eu-west-1_20260302T1015Z_aBcDeFgHiJkLmNoP.json.gz"
            )
        })
        .collect();
        let odd = [
            "CloudTrail/eu-west-1/2014/03/02/111122223333_CloudTrail_eu-west-1_20140302T1015ZaBcDeFgHiJkLmNoP",
            "CloudTrail-Insight/eu-west-1/2026/03/02/111122223333_CloudTrail-Insight_20260302T101500Z",
        ];
        keys.extend(odd.map(|rest| format!("a/b/{PLACE}{rest}.json.gz")));
        for backfill in ["", "_backfill"] {
            keys.push(format!(
                "{PLACE}CloudTrail-Digest/eu-west-1/2026/03/02/{file}_CloudTrail-Digest_eu-west-1_org-main_us-east-1_20260302T101502Z{backfill}.json.gz"
            ));
        }
        keys.push("elsewhere/20260302e".into());
        keys
    }

    /// A ledger of the first version, with a row for each kind of key.
    fn first_version(path: &std::path::Path) {
        let conn = Connection::open(path).unwrap();
        conn.execute_batch(include_str!("schema/001.sql")).unwrap();
        conn.execute_batch("PRAGMA user_version = 1; INSERT INTO sources VALUES (1, 'org')").unwrap();
        for key in keys() {
            conn.execute(
                "INSERT INTO objects VALUES (1, ?1, 'v', 0, '1', 'r', 7, 0, 1, ?2, 5, ?3, 2, 1, 9, NULL, NULL)",
                params![key, Sha256::of(key.as_bytes()).0, "0123456789abcdef0123456789abcdef"],
            )
            .unwrap();
        }
        let chain =
            "INSERT INTO chains VALUES (1, 1, ?1, '111122223333', 'eu-west-1', 'org-main', 'us-east-1', 0, 0, 9)";
        conn.execute(chain, [PLACE]).unwrap();
        let digest = &keys()[6];
        let end: jiff::Timestamp = "2026-03-02T10:15:02Z".parse().unwrap();
        conn.execute(
            "INSERT INTO digests VALUES (1, ?1, 1, ?2 - 3600, ?2, 1, 1, 0, 0, ?3, ?4, 'b', 'before', ?3, ?4, 3, NULL, NULL, 9)",
            params![digest, end.as_second(), Sha256::of(b"d").0, [1_u8, 2, 3]],
        )
        .unwrap();
    }

    #[tokio::test]
    async fn a_ledger_of_the_first_version_keeps_every_key_and_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        first_version(&path);
        let env = crate::env::Env::manual("2026-03-03T00:00:00Z".parse().unwrap(), 1);
        let store = crate::store::Store::open(&path, &env).await.unwrap();
        store
            .read(|conn| {
                let mut listed: Vec<String> =
                    conn.prepare("SELECT key FROM objects")?.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
                let mut wanted = keys();
                listed.sort();
                wanted.sort();
                assert_eq!(listed, wanted);
                for key in keys() {
                    let rows = crate::store::objects::versions(conn, 1, &key)?;
                    assert_eq!(rows.len(), 1, "{key}");
                    assert!(rows[0].sha.is_some_and(|sha| sha.fits(&Sha256::of(key.as_bytes()))));
                    assert_eq!(rows[0].etag.as_deref(), Some("0123456789abcdef0123456789abcdef"));
                }
                let link = crate::store::digests::link(conn, 1, &keys()[6])?.expect("the digest");
                assert_eq!(link.key, keys()[6]);
                assert_eq!(link.signature, Some(Sha256::of(&[1, 2, 3]).0.to_vec()));
                assert_eq!(link.previous.map(|previous| previous.key), Some("before".into()));
                Ok(())
            })
            .await
            .unwrap();
    }
}
