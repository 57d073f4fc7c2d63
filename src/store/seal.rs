//! Seals: for each table the number of its rows and the sum of their hashes, kept in the transaction of every change.
//!
//! Triggers of the writing connection tell of each row, and the sums are written when the transaction ends. They are temporary:
//! a hand with another program has none, and what it changes no longer fits. A rollback takes a seal back with its rows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Null, ValueRef};
use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::core::id::Sha256;

/// The seals themselves; the journal, which is a chain of its own; totals, which are held against the rows that they count. Every
/// other table is sealed, and so is one that comes later.
const UNSEALED: &str = "'seals', 'journal', 'counters'";

/// A sum of hashes, modulo 2^256: the order of rows does not matter, and a row can be taken out again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum([u64; 4]);

impl Sum {
    fn of(hash: &Sha256) -> Self {
        let mut sum = Self::default();
        for (digit, part) in sum.0.iter_mut().zip(hash.0.as_chunks().0) {
            *digit = u64::from_le_bytes(*part);
        }
        sum
    }

    fn add(&mut self, other: &Self) {
        self.combine(other, u64::overflowing_add);
    }

    fn subtract(&mut self, other: &Self) {
        self.combine(other, u64::overflowing_sub);
    }

    fn combine(&mut self, other: &Self, step: fn(u64, u64) -> (u64, bool)) {
        let mut carry = false;
        for (digit, part) in self.0.iter_mut().zip(other.0) {
            let (once, over) = step(*digit, part);
            let (twice, over_again) = step(once, u64::from(carry));
            (*digit, carry) = (twice, over || over_again);
        }
    }

    fn bytes(self) -> Vec<u8> {
        self.0.iter().flat_map(|digit| digit.to_le_bytes()).collect()
    }

    fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut sum = Self::default();
        for (digit, part) in sum.0.iter_mut().zip(bytes.chunks(8)) {
            *digit = u64::from_le_bytes(part.try_into().ok()?);
        }
        (bytes.len() == 32).then_some(sum)
    }
}

/// A row as bytes that no other row has.
struct Row(Vec<u8>);

impl Row {
    fn of(table: &str) -> Self {
        let mut row = Self(Vec::with_capacity(512));
        row.value(ValueRef::Text(table.as_bytes()));
        row
    }

    fn value(&mut self, value: ValueRef<'_>) {
        let mut put = |kind: u8, bytes: &[u8]| {
            self.0.push(kind);
            self.0.extend((bytes.len() as u64).to_le_bytes());
            self.0.extend(bytes);
        };
        match value {
            ValueRef::Null => put(0, &[]),
            ValueRef::Integer(number) => put(1, &number.to_le_bytes()),
            ValueRef::Real(number) => put(2, &number.to_bits().to_le_bytes()),
            ValueRef::Text(text) => put(3, text),
            ValueRef::Blob(bytes) => put(4, bytes),
        }
    }

    fn hash(&self) -> Sha256 {
        Sha256::of(&self.0)
    }
}

/// Whether the ledger is of a form that has seals.
pub fn is_sealed(conn: &Connection) -> Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE name = 'seals')", [], |row| row.get(0))
}

fn tables(conn: &Connection) -> Result<Vec<String>> {
    conn.prepare(&format!(
        "SELECT name FROM main.sqlite_schema
         WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT IN ({UNSEALED}) ORDER BY name"
    ))?
    .query_map([], |row| row.get(0))?
    .collect()
}

fn columns(conn: &Connection, table: &str) -> Result<Vec<String>> {
    conn.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?.query_map([table], |row| row.get(0))?.collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// By how much the rows of each table changed since the transaction began.
pub type Changes = Vec<(i64, Sum)>;

/// What the triggers of a connection tell, table by table.
#[derive(Clone, Default)]
pub struct Seals {
    tables: Arc<Vec<String>>,
    told: Arc<Mutex<Changes>>,
}

impl Seals {
    fn told(&self) -> MutexGuard<'_, Changes> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the case that what comes next is taken back.
    pub fn mark(&self) -> Changes {
        self.told().clone()
    }

    pub fn back_to(&self, mark: Changes) {
        *self.told() = mark;
    }

    /// Writes the seals anew, as the last thing of a transaction.
    pub fn write(&self, conn: &Connection) -> Result<()> {
        let told = std::mem::take(&mut *self.told());
        for (table, (rows, change)) in self.tables.iter().zip(told) {
            if (rows, change) == Default::default() {
                continue;
            }
            let sealed: Vec<u8> =
                conn.prepare_cached("SELECT sum FROM seals WHERE name = ?1")?.query_row([table], |row| row.get(0))?;
            let wrong = || rusqlite::Error::UserFunctionError("a seal is no sum".into());
            let mut sum = Sum::from_slice(&sealed).ok_or_else(wrong)?;
            sum.add(&change);
            conn.prepare_cached("UPDATE seals SET rows = rows + ?2, sum = ?3 WHERE name = ?1")?.execute(params![
                table,
                rows,
                sum.bytes()
            ])?;
        }
        Ok(())
    }
}

/// Makes a writing connection tell of the rows that it changes.
pub fn keep(conn: &Connection) -> Result<Seals> {
    let seals = Seals { tables: Arc::new(tables(conn)?), told: Arc::default() };
    for (name, by) in [("seal_add", 1), ("seal_subtract", -1)] {
        let seals = seals.clone();
        conn.create_scalar_function(name, -1, FunctionFlags::SQLITE_UTF8, move |call| tell(&seals, call, by))?;
    }
    // Else a row that another replaces would leave without a word.
    conn.pragma_update(None, "recursive_triggers", true)?;
    for (number, table) in seals.tables.iter().enumerate() {
        let columns = columns(conn, table)?;
        let row = |side: &str| {
            let values: Vec<String> = columns.iter().map(|name| format!("{side}.{}", quoted(name))).collect();
            format!("{number}, '{}', {}", table.replace('\'', "''"), values.join(", "))
        };
        let (add, subtract) = (format!("seal_add({})", row("NEW")), format!("seal_subtract({})", row("OLD")));
        let both = format!("{subtract}, {add}");
        for (event, told) in [("INSERT", add), ("DELETE", subtract), ("UPDATE", both)] {
            conn.execute_batch(&format!(
                "CREATE TEMP TRIGGER {trigger} AFTER {event} ON main.{on} BEGIN SELECT {told}; END",
                trigger = quoted(&format!("seal_{table}_{event}")),
                on = quoted(table),
            ))?;
        }
    }
    Ok(seals)
}

/// `(number, table, values…)`
fn tell(seals: &Seals, call: &Context<'_>, by: i64) -> Result<Null> {
    let mut row = Row(Vec::with_capacity(512));
    (1..call.len()).for_each(|place| row.value(call.get_raw(place)));
    let hash = Sum::of(&row.hash());
    let mut told = seals.told();
    told.resize(seals.tables.len(), Default::default());
    if let Some((rows, sum)) = told.get_mut(usize::from(call.get::<u8>(0)?)) {
        *rows += by;
        if by > 0 { sum.add(&hash) } else { sum.subtract(&hash) }
    }
    Ok(Null)
}

/// The rows of a table as they are.
fn count(conn: &Connection, table: &str) -> Result<(i64, Sum)> {
    let names: Vec<String> = columns(conn, table)?.iter().map(|name| quoted(name)).collect();
    let mut query = conn.prepare(&format!("SELECT {} FROM main.{}", names.join(", "), quoted(table)))?;
    let mut rows = query.query([])?;
    let (mut number, mut sum) = (0, Sum::default());
    while let Some(found) = rows.next()? {
        let mut row = Row::of(table);
        for column in 0..names.len() {
            row.value(found.get_ref(column)?);
        }
        number += 1;
        sum.add(&Sum::of(&row.hash()));
    }
    Ok((number, sum))
}

/// Seals every table as it is now.
pub fn set(conn: &Connection) -> Result<()> {
    conn.execute("DELETE FROM seals", [])?;
    for table in tables(conn)? {
        let (rows, sum) = count(conn, &table)?;
        conn.execute("INSERT INTO seals VALUES (?1, ?2, ?3)", params![table, rows, sum.bytes()])?;
    }
    Ok(())
}

/// A table held against its seal.
#[derive(Debug)]
pub struct Compared {
    pub rows: i64,
    /// What does not fit.
    pub fault: Option<String>,
}

/// Every table and every seal.
pub fn compare(conn: &Connection) -> Result<Vec<Compared>> {
    let mut all = Vec::new();
    let tables = tables(conn)?;
    for table in &tables {
        let sealed: Option<(i64, Vec<u8>)> = conn
            .query_row("SELECT rows, sum FROM seals WHERE name = ?1", [table], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (rows, fault) = match count(conn, table) {
            Ok((rows, sum)) => (rows, judge(table, rows, sum, sealed)),
            Err(error) => (0, Some(format!("{table} cannot be read: {error}"))),
        };
        all.push(Compared { rows, fault });
    }
    let names: Vec<String> =
        conn.prepare("SELECT name FROM seals")?.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
    for table in names.into_iter().filter(|name| !tables.contains(name)) {
        let fault = Some(format!("{table} has a seal and is no table"));
        all.push(Compared { rows: 0, fault });
    }
    Ok(all)
}

fn judge(table: &str, rows: i64, sum: Sum, sealed: Option<(i64, Vec<u8>)>) -> Option<String> {
    let Some((should, bytes)) = sealed else { return Some(format!("{table} has no seal")) };
    match rows - should {
        0 if Sum::from_slice(&bytes) == Some(sum) => None,
        0 => Some(format!(
            "{table} has the {rows} rows it should have, and not their content: a row was changed by another hand"
        )),
        more @ 1.. => Some(format!("{table} has {rows} rows, {more} more than the warden wrote")),
        less => Some(format!("{table} has {rows} rows, {} fewer than the warden wrote", -less)),
    }
}
