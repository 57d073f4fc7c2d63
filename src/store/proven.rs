//! What is proven: for each chain the stretches of time that its good digests cover, kept as the digests come.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::store::Tx;

/// As in the view `proof`, of which the table `proven` is the copy.
const PROVES: &str = "verdict = 1 AND NOT disowned AND end > start AND end - start <= 90000";

/// Takes a digest's time in, joined with what touches it.
fn add(tx: &Tx<'_>, chain: i64, start: i64, mut end: i64) -> Result<()> {
    // Stretches do not touch each other, so they end in the order in which they begin.
    let mut last = tx
        .conn
        .prepare_cached("SELECT start, end FROM proven WHERE chain = ?1 AND start <= ?2 ORDER BY start DESC LIMIT 1")?;
    loop {
        let row = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        match last.query_row(params![chain, end], row).optional()? {
            Some((from, to)) if from > start => {
                end = end.max(to);
                let mut drop = tx.conn.prepare_cached("DELETE FROM proven WHERE chain = ?1 AND start = ?2")?;
                drop.execute(params![chain, from])?;
            }
            Some((from, to)) if to >= start => {
                let mut extend =
                    tx.conn.prepare_cached("UPDATE proven SET end = ?3 WHERE chain = ?1 AND start = ?2")?;
                return extend.execute(params![chain, from, end.max(to)]).map(|_| ());
            }
            _ => {
                let mut put = tx.conn.prepare_cached("INSERT INTO proven VALUES (?1, ?2, ?3)")?;
                return put.execute(params![chain, start, end]).map(|_| ());
            }
        }
    }
}

/// Puts a chain's stretches together anew: a digest has lost its standing.
fn renew(tx: &Tx<'_>, chain: i64) -> Result<()> {
    tx.conn.prepare_cached("DELETE FROM proven WHERE chain = ?1")?.execute([chain])?;
    let mut digests = tx.conn.prepare_cached(&format!(
        "SELECT start, end FROM links WHERE chain = ?1 AND {PROVES} UNION ALL SELECT start, end FROM spans WHERE chain = ?1"
    ))?;
    let mut rows = digests.query([chain])?;
    while let Some(row) = rows.next()? {
        add(tx, chain, row.get(0)?, row.get(1)?)?;
    }
    Ok(())
}

/// Whether a digest's row proves its time, and which.
pub(super) fn of(conn: &Connection, chain: i64, end: i64) -> Result<Option<(i64, i64)>> {
    conn.prepare_cached(&format!("SELECT start, end FROM links WHERE chain = ?1 AND end = ?2 AND {PROVES}"))?
        .query_row(params![chain, end], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Keeps up with a digest's row that was written: `before` is what it proved until then.
pub(super) fn keep(tx: &Tx<'_>, chain: i64, end: i64, before: Option<(i64, i64)>) -> Result<()> {
    match (before, of(tx.conn, chain, end)?) {
        (before, after) if before == after => Ok(()),
        (None, Some((start, end))) => add(tx, chain, start, end),
        _ => renew(tx, chain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use crate::store::Store;

    /// Digests come in any order, overlap, and lose their standing: what is kept is what would be put together anew.
    #[tokio::test]
    async fn what_is_kept_is_what_the_digests_prove() {
        let dir = tempfile::tempdir().expect("a directory");
        let env = Env::manual("2026-03-03T00:00:00Z".parse().expect("a time"), 1);
        let store = Store::open(&dir.path().join("state.db"), &env).await.expect("a ledger");
        let play = |tx: &Tx<'_>| {
            let mut die = fastrand::Rng::with_seed(5);
            let chain = "INSERT INTO chains (source, root, account, region, trail, home, backfill)
                         VALUES (1, ?1, '111122223333', 'eu-west-1', 't', 'eu-west-1', 0)";
            (0..3).try_for_each(|nth| tx.conn.execute(chain, [nth]).map(|_| ()))?;
            let put = "INSERT INTO links (chain, end, start, verdict, seen) VALUES (?1, ?2, ?3, ?4, 0)
                       ON CONFLICT (chain, end) DO UPDATE SET start = excluded.start, verdict = excluded.verdict";
            for _ in 0..3_000 {
                let (chain, end, long) =
                    (die.i64(1..=3), die.i64(1..60) * 10, die.choice([5, 10, 10, 10, 25, -5, 90_001]));
                let verdict = i64::from(die.u8(..8) > 0);
                let before = of(tx.conn, chain, end)?;
                tx.conn.execute(put, params![chain, end, end - long.unwrap_or(10), verdict])?;
                keep(tx, chain, end, before)?;
                let apart = "SELECT count(*) FROM (SELECT * FROM proof EXCEPT SELECT * FROM proven)
                             UNION ALL SELECT count(*) FROM (SELECT * FROM proven EXCEPT SELECT * FROM proof)";
                let apart: Vec<i64> =
                    tx.conn.prepare_cached(apart)?.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
                assert_eq!(apart, [0, 0]);
            }
            tx.conn.query_row("SELECT count(*) FROM proven", [], |row| row.get::<_, i64>(0))
        };
        assert!(store.write(play).await.expect("a step") > 3);
    }
}
