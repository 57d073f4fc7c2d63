//! Members: who is one, and who was one when, in which state and which unit.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::core::admit::Membership;
use crate::core::id::AccountId;
use crate::core::unit::OuPath;
use crate::seam::{Member, MemberState};
use crate::store::{Tx, time};

/// Writes the whole membership: who is not in it any more has departed.
pub fn put(tx: &Tx<'_>, members: &[Member]) -> Result<()> {
    let listed: BTreeSet<&str> = members.iter().map(|member| member.account.as_str()).collect();
    let mut present = tx.conn.prepare_cached("SELECT account, last_seen FROM members WHERE present")?;
    let before: Vec<(String, i64)> =
        present.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_>>()?;
    for (account, last_seen) in before.iter().filter(|(account, _)| !listed.contains(account.as_str())) {
        tx.conn.prepare_cached("UPDATE members SET present = 0 WHERE account = ?1")?.execute([account])?;
        // It left at some time since it was last listed, so that is all that is certain.
        tx.conn
            .prepare_cached("UPDATE stays SET until = max(since, ?2) WHERE account = ?1 AND until IS NULL")?
            .execute(params![account, last_seen])?;
    }
    for member in members {
        stay(tx, member)?;
        tx.conn
            .prepare_cached(
                "INSERT INTO members (account, name, ou, state, first_seen, last_seen, present, joined)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, 1, ?6)
                 ON CONFLICT (account) DO UPDATE SET name = excluded.name, state = excluded.state,
                   ou = iif(excluded.ou = '[]', ou, excluded.ou), last_seen = excluded.last_seen, present = 1,
                   joined = excluded.joined",
            )?
            .execute(params![
                member.account.as_str(),
                member.name,
                written(&member.ou),
                member.state.name(),
                tx.seconds(),
                member.joined.map(Timestamp::as_second)
            ])?;
    }
    Ok(())
}

/// Goes on with the member's stay, or begins another one. A unit that is not known now is the one that was known before.
fn stay(tx: &Tx<'_>, member: &Member) -> Result<()> {
    let (account, state, ou) = (member.account.as_str(), member.state.name(), written(&member.ou));
    let last: Option<(i64, Option<i64>, String, String)> = tx
        .conn
        .prepare_cached("SELECT since, until, state, ou FROM stays WHERE account = ?1 ORDER BY since DESC LIMIT 1")?
        .query_row([account], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let now = tx.seconds();
    let joined = member.joined.map_or(now, Timestamp::as_second).min(now);
    let mut begin = tx.conn.prepare_cached("INSERT INTO stays VALUES (?1, ?2, NULL, ?3, ?4)")?;
    match last {
        None => begin.execute(params![account, joined, state, ou])?,
        // It has come back.
        Some((_, Some(until), ..)) => begin.execute(params![account, joined.max(until + 1), state, ou])?,
        Some((.., was, at)) if was == state && (at == ou || !member.ou.is_known()) => 0,
        // What was not known before was no other.
        Some((since, _, was, at)) if since >= now || (was == state && at == "[]") => tx
            .conn
            .prepare_cached("UPDATE stays SET state = ?3, ou = ?4 WHERE account = ?1 AND since = ?2")?
            .execute(params![account, since, state, ou])?,
        Some((since, _, _, at)) => {
            tx.conn
                .prepare_cached("UPDATE stays SET until = ?3 WHERE account = ?1 AND since = ?2")?
                .execute(params![account, since, now])?;
            begin.execute(params![account, now, state, if member.ou.is_known() { ou } else { at }])?
        }
    };
    Ok(())
}

fn written(ou: &OuPath) -> String {
    serde_json::to_string(ou).unwrap_or_else(|_| "[]".into())
}

fn read(row: &Row<'_>, column: usize) -> Result<OuPath> {
    // Only an older program left anything else there.
    Ok(row.get::<_, Option<String>>(column)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// A member as the ledger remembers it.
#[derive(Debug, Clone)]
pub struct Remembered {
    pub member: Member,
    pub first_seen: Timestamp,
    pub membership: Membership,
}

pub fn all(conn: &Connection) -> Result<BTreeMap<AccountId, Remembered>> {
    let mut all = BTreeMap::new();
    let mut query =
        conn.prepare_cached("SELECT account, name, ou, state, first_seen, last_seen, present, joined FROM members")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let Ok(account) = AccountId::parse(&row.get::<_, String>(0)?) else { continue };
        let member = Member {
            account,
            name: row.get(1)?,
            ou: read(row, 2)?,
            state: MemberState::parse(&row.get::<_, String>(3)?),
            joined: row.get::<_, Option<i64>>(7)?.map(time),
        };
        let membership = if row.get(6)? { Membership::Member } else { Membership::Departed(time(row.get(5)?)) };
        all.insert(account, Remembered { member, first_seen: time(row.get(4)?), membership });
    }
    Ok(all)
}

/// An account's name and unit, as far as they were ever known.
pub fn name_of(conn: &Connection, account: AccountId) -> Result<Option<(String, OuPath)>> {
    conn.prepare_cached("SELECT name, ou FROM members WHERE account = ?1")?
        .query_row([account.as_str()], |row| Ok((row.get(0)?, read(row, 1)?)))
        .optional()
}

/// A stretch of time in which an account was a member in one state and unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    pub since: Timestamp,
    /// `None`: still.
    pub until: Option<Timestamp>,
    pub state: MemberState,
    pub ou: OuPath,
}

/// An account's stays, the oldest first.
pub fn stays(conn: &Connection, account: AccountId) -> Result<Vec<Stay>> {
    conn.prepare_cached("SELECT since, until, state, ou FROM stays WHERE account = ?1 ORDER BY since")?
        .query_map([account.as_str()], |row| {
            Ok(Stay {
                since: time(row.get(0)?),
                until: row.get::<_, Option<i64>>(1)?.map(time),
                state: MemberState::parse(&row.get::<_, String>(2)?),
                ou: read(row, 3)?,
            })
        })?
        .collect()
}

/// Accounts whose silence is no news, with the time until which it would have been: they left, or are not active any more.
pub fn excused(conn: &Connection) -> Result<BTreeMap<AccountId, Timestamp>> {
    let mut query = conn.prepare_cached(
        "SELECT account, max(iif(state = 'active', until, 0)) FROM stays
         GROUP BY account HAVING NOT max(state = 'active' AND until IS NULL)",
    )?;
    let mut rows = query.query([])?;
    let mut excused = BTreeMap::new();
    while let Some(row) = rows.next()? {
        if let Ok(account) = AccountId::parse(&row.get::<_, String>(0)?) {
            excused.insert(account, time(row.get(1)?));
        }
    }
    Ok(excused)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::env::Env;
    use crate::store::Store;

    const ONE: &str = "111122223333";

    struct Ground {
        store: Store,
        env: Env,
        _dir: tempfile::TempDir,
    }

    impl Ground {
        async fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let env = Env::manual("2026-03-03T00:00:00Z".parse().expect("a time"), 1);
            let store = Store::open(&dir.path().join("state.db"), &env).await.expect("a ledger");
            Self { store, env, _dir: dir }
        }

        /// An hour later, these are the members.
        async fn later(&self, members: &[(&str, &str, MemberState)]) {
            self.env.advance(SignedDuration::from_hours(1));
            let member = |(id, ou, state): &(&str, &str, MemberState)| Member {
                account: AccountId::parse(id).expect("an account"),
                name: String::new(),
                ou: OuPath::of_names(ou),
                state: *state,
                joined: None,
            };
            let members: Vec<Member> = members.iter().map(member).collect();
            self.store.write(move |tx| put(tx, &members)).await.expect("a step");
        }

        /// `from-to unit state`, in hours.
        async fn told(&self) -> Vec<String> {
            let account = AccountId::parse(ONE).expect("an account");
            let hour = |time: Timestamp| time.strftime("%H").to_string();
            let stays = self.store.read(move |conn| stays(conn, account)).await.expect("a look");
            let told = |stay: &Stay| {
                let until = stay.until.map(hour).unwrap_or_default();
                format!("{}-{until} {} {}", hour(stay.since), stay.ou, stay.state.name())
            };
            stays.iter().map(told).collect()
        }
    }

    #[tokio::test]
    async fn moves_suspensions_departures_and_returns_are_stays_of_their_own() {
        use MemberState::{Active, Suspended};
        let ground = Ground::new().await;
        let other = ("444455556666", "Ops", Active);
        for _ in 0..2 {
            ground.later(&[(ONE, "Dev", Active), other]).await;
        }
        ground.later(&[(ONE, "Prod", Active), other]).await;
        ground.later(&[(ONE, "Prod", Suspended), other]).await;
        ground.later(&[other]).await;
        ground.later(&[other]).await;
        ground.later(&[(ONE, "Dev", Active), other]).await;
        assert_eq!(
            ground.told().await,
            ["01-03 Dev active", "03-04 Prod active", "04-04 Prod suspended", "07- Dev active"]
        );
        assert!(ground.store.read(excused).await.expect("a look").is_empty());
        ground.later(&[(ONE, "Dev", MemberState::Closed)]).await;
        let excused = ground.store.read(excused).await.expect("a look");
        let excused: Vec<_> = excused.iter().map(|(account, at)| format!("{account} {}", at.strftime("%H"))).collect();
        assert_eq!(excused, [format!("{ONE} 08"), "444455556666 07".to_owned()]);
        ground.later(&[(ONE, "Dev", Active), other]).await;
        let members = ground.store.read(all).await.expect("a look");
        assert_eq!(members.len(), 2);
        assert!(members.values().all(|member| member.membership == Membership::Member));
    }

    #[tokio::test]
    async fn a_unit_that_is_not_told_is_the_one_that_was_known() {
        let ground = Ground::new().await;
        ground.later(&[(ONE, "", MemberState::Active)]).await;
        ground.later(&[(ONE, "Dev", MemberState::Active)]).await;
        ground.later(&[(ONE, "", MemberState::Active)]).await;
        ground.later(&[(ONE, "", MemberState::Closed)]).await;
        assert_eq!(ground.told().await, ["01-04 Dev active", "04- Dev closed"]);
        let members = ground.store.read(all).await.expect("a look");
        assert!(members.values().all(|member| member.member.ou.is_in("Dev")));
    }
}
