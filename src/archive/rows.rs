//! Records on their way into files: cut up, in columns, to be sorted.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{
    Array, ArrayRef, ListArray, RecordBatch, StringArray, StructArray, TimestampMillisecondArray, UInt32Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field};
use arrow_select::take::{take, take_record_batch};
use jiff::Timestamp;
use jiff::civil::Date;

use super::schema;
use crate::core::record::seconds;
use crate::core::row::{self, EVENT_ID, EVENT_TIME, GROUPS, Holds, LEAVES, RECIPIENT, RESOURCE, Row};

const DAY: i64 = 86_400;

/// Where records come from: an object of a bucket, or a file that is imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its key.
    pub object: String,
    /// The configured trail whose bucket it lies in.
    pub trail: Option<String>,
    pub delivered: Option<Timestamp>,
    /// The day of its key: where records go whose own time is not to be believed.
    pub day: Date,
}

/// What makes two records the same one; by a key that only this process knows, so nobody can make another one the same.
#[derive(Clone, Default)]
pub struct Identity(RandomState, RandomState);

impl Identity {
    /// By event and account; of a record without an id, by the object that it lies in and its whole text.
    pub fn of(&self, id: Option<&str>, account: Option<&str>, otherwise: impl FnOnce() -> (String, String)) -> u128 {
        match id {
            Some(id) => self.hash(&(true, id, account.unwrap_or_default())),
            None => self.hash(&(false, otherwise())),
        }
    }

    fn hash(&self, value: &impl std::hash::Hash) -> u128 {
        u128::from(self.0.hash_one(value)) << 64 | u128::from(self.1.hash_one(value))
    }
}

/// What rows are sorted and compared by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Days since the epoch.
    pub day: i64,
    pub account: u64,
    pub seconds: i64,
    pub id: u128,
    /// Its time is written as CloudTrail writes it, so that texts sort as times do.
    pub plain: bool,
}

/// Accounts sort as numbers; what is none comes last.
pub fn account_number(account: Option<&str>) -> u64 {
    account.and_then(|account| account.parse().ok()).unwrap_or(u64::MAX)
}

/// Rows in columns, in the order in which they came.
pub struct Rows {
    identity: Identity,
    leaves: Vec<StringBuilder>,
    groups: [Vec<bool>; GROUPS],
    resources: Vec<StringBuilder>,
    /// Where each row's resources end, and whether it has any.
    ends: Vec<i32>,
    listed: Vec<bool>,
    rest: StringBuilder,
    shapes: HashMap<Arc<str>, u32>,
    shape: Vec<u32>,
    origins: Vec<Origin>,
    origin: Vec<u32>,
    keys: Vec<Key>,
    ids: Vec<Option<Box<str>>>,
    bytes: usize,
}

impl Rows {
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            leaves: (0..LEAVES).map(|_| StringBuilder::new()).collect(),
            groups: Default::default(),
            resources: (0..RESOURCE.len()).map(|_| StringBuilder::new()).collect(),
            ends: vec![0],
            listed: Vec::new(),
            rest: StringBuilder::new(),
            shapes: HashMap::new(),
            shape: Vec::new(),
            origins: Vec::new(),
            origin: Vec::new(),
            keys: Vec::new(),
            ids: Vec::new(),
            bytes: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Bytes of the records' texts.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// The next rows are of this one.
    pub fn begin(&mut self, origin: Origin) {
        self.origins.push(origin);
    }

    /// A record of the origin begun last: a JSON object's text.
    pub fn push(&mut self, text: &str) {
        let Some(origin) = self.origins.last() else { return };
        let row = row::columns(text);
        let id = row.leaf(EVENT_ID);
        let account = row.leaf(RECIPIENT);
        let time = row.leaf(EVENT_TIME).and_then(seconds);
        self.keys.push(Key {
            day: day(time, origin),
            account: account_number(account),
            seconds: time.unwrap_or(i64::MIN),
            id: self.identity.of(id, account, || (origin.object.clone(), text.to_owned())),
            plain: row.leaf(EVENT_TIME).is_some_and(|time| time.len() == 20 && time.ends_with('Z')),
        });
        self.ids.push(id.map(Into::into));
        self.columns(&row);
        self.origin.push(u32::try_from(self.origins.len() - 1).unwrap_or(u32::MAX));
        self.bytes += text.len();
    }

    fn columns(&mut self, row: &Row<'_>) {
        for (column, value) in self.leaves.iter_mut().zip(&row.leaves) {
            column.append_option(value.as_deref());
        }
        for (column, there) in self.groups.iter_mut().zip(row.groups) {
            column.push(there);
        }
        for resource in row.resources.iter().flatten() {
            for (column, value) in self.resources.iter_mut().zip(resource) {
                column.append_option(value.as_deref());
            }
        }
        let before = self.ends.last().copied().unwrap_or(0);
        let more = row.resources.as_ref().map_or(0, Vec::len);
        self.ends.push(before.saturating_add(i32::try_from(more).unwrap_or(i32::MAX)));
        self.listed.push(row.resources.is_some());
        self.rest.append_option(row.rest.as_deref());
        let number = match self.shapes.get(row.shape.as_str()) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
                self.bytes += row.shape.len();
                self.shapes.insert(row.shape.as_str().into(), number);
                number
            }
        };
        self.shape.push(number);
    }

    /// All rows as columns, with what they are sorted by.
    pub fn finish(mut self) -> Result<Table, ArrowError> {
        let mut leaves: Vec<ArrayRef> = Vec::with_capacity(LEAVES);
        for column in &mut self.leaves {
            leaves.push(Arc::new(column.finish()));
        }
        let resources: Vec<ArrayRef> =
            self.resources.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
        let resources = StructArray::try_new(schema::resource(), resources, None)?;
        let element = Arc::new(Field::new("element", DataType::Struct(schema::resource()), true));
        let resources = ListArray::try_new(
            element,
            OffsetBuffer::new(ScalarBuffer::from(std::mem::take(&mut self.ends))),
            Arc::new(resources),
            Some(NullBuffer::from(std::mem::take(&mut self.listed))),
        )?;
        let mut columns = assemble(row::FIELDS, &leaves, &self.groups, &(Arc::new(resources) as ArrayRef))?;
        columns.push(Arc::new(self.rest.finish()));
        let fields: Vec<_> = schema::schema().fields().iter().take(columns.len()).cloned().collect();
        let batch = RecordBatch::try_new(Arc::new(arrow_schema::Schema::new(fields)), columns)?;
        let mut shapes: Vec<(Arc<str>, u32)> = self.shapes.into_iter().collect();
        shapes.sort_unstable_by_key(|(_, number)| *number);
        Ok(Table {
            batch,
            shapes: StringArray::from_iter_values(shapes.iter().map(|(shape, _)| shape)),
            shape: UInt32Array::from(self.shape),
            objects: StringArray::from_iter_values(self.origins.iter().map(|origin| &origin.object)),
            trails: self.origins.iter().map(|origin| origin.trail.as_deref()).collect(),
            delivered: TimestampMillisecondArray::from_iter(
                self.origins.iter().map(|origin| origin.delivered.map(Timestamp::as_millisecond)),
            )
            .with_timezone("UTC"),
            origin: UInt32Array::from(self.origin),
            keys: self.keys,
            ids: self.ids,
            origins: self.origins,
        })
    }
}

/// The day that a record belongs to: of its own time if that is to be believed, else of the key.
fn day(time: Option<i64>, origin: &Origin) -> i64 {
    let of_key = days_of(origin.day);
    let (from, to) = match origin.delivered {
        Some(_) => (of_key * DAY - schema::LATEST.as_secs(), (of_key + 1) * DAY + schema::EARLIEST.as_secs()),
        // what is imported may be of any time since there is CloudTrail
        None => (days_of(jiff::civil::date(2013, 11, 1)) * DAY, (of_key + 1) * DAY + schema::EARLIEST.as_secs()),
    };
    time.filter(|time| (from..to).contains(time)).map_or(of_key, |time| time.div_euclid(DAY))
}

/// Days since the epoch.
pub fn days_of(date: Date) -> i64 {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.until(date).map_or(0, |span| i64::from(span.get_days()))
}

/// `yyyy-mm-dd`
pub fn date_of(day: i64) -> String {
    let time = Timestamp::from_second(day.saturating_mul(DAY)).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%d").to_string()
}

/// Puts leaves into their structs.
fn assemble(
    fields: &[row::Field],
    leaves: &[ArrayRef],
    groups: &[Vec<bool>],
    resources: &ArrayRef,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let missing = || ArrowError::SchemaError("a column is missing".into());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(fields.len());
    for field in fields {
        columns.push(match &field.holds {
            Holds::Leaf(number) => leaves.get(*number).ok_or_else(missing)?.clone(),
            Holds::Resources => resources.clone(),
            Holds::Group(number, inner) => {
                let inner_columns = assemble(inner, leaves, groups, resources)?;
                let names: Vec<Field> = inner
                    .iter()
                    .zip(&inner_columns)
                    .map(|(field, column)| Field::new(schema::name(field.json), column.data_type().clone(), true))
                    .collect();
                let there = NullBuffer::from(groups.get(*number).ok_or_else(missing)?.clone());
                Arc::new(StructArray::try_new(names.into(), inner_columns, Some(there))?)
            }
        });
    }
    Ok(columns)
}

/// Rows as columns; each batch of them is made when it is written.
pub struct Table {
    /// The columns that are made of records.
    batch: RecordBatch,
    shapes: StringArray,
    shape: UInt32Array,
    objects: StringArray,
    trails: StringArray,
    delivered: TimestampMillisecondArray,
    /// Each row's place in those three.
    origin: UInt32Array,
    pub keys: Vec<Key>,
    /// Each row's event id.
    pub ids: Vec<Option<Box<str>>>,
    pub origins: Vec<Origin>,
}

impl Table {
    /// Which origin a row is of.
    pub fn origin(&self, row: u32) -> usize {
        self.origin.values().get(row as usize).map_or(0, |origin| *origin as usize)
    }

    /// Rows in the order asked for, with all columns.
    pub fn rows(&self, rows: &[u32]) -> Result<RecordBatch, ArrowError> {
        let rows = UInt32Array::from(rows.to_vec());
        let picked = take_record_batch(&self.batch, &rows)?;
        let mut columns = picked.columns().to_vec();
        let shape = take(&self.shape, &rows, None)?;
        columns.push(take(&self.shapes, &shape, None)?);
        let origin = take(&self.origin, &rows, None)?;
        for of_origin in [&self.objects as &dyn Array, &self.trails, &self.delivered] {
            columns.push(take(of_origin, &origin, None)?);
        }
        RecordBatch::try_new(schema::schema(), columns)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn origin(delivered: Option<&str>) -> Origin {
        Origin {
            object: "key".into(),
            trail: Some("org".into()),
            delivered: delivered.map(|time| time.parse().unwrap()),
            day: date(2026, 3, 1),
        }
    }

    #[test]
    fn a_record_belongs_to_its_own_day_unless_that_is_not_to_be_believed() {
        let of = |time: &str, delivered| {
            let mut rows = Rows::new(Identity::default());
            rows.begin(origin(delivered));
            rows.push(&format!("{{\"eventTime\":{time}}}"));
            date_of(rows.keys[0].day)
        };
        let delivered = Some("2026-03-01T12:00:00Z");
        for (time, day) in [
            ("\"2026-02-27T23:59:59Z\"", "2026-02-27"),
            ("\"2026-02-28T00:30:00+01:00\"", "2026-02-27"),
            ("\"2026-01-20T00:00:00Z\"", "2026-01-20"),
            ("\"2025-03-01T00:00:00Z\"", "2026-03-01"),
            ("\"2026-03-03T00:00:00Z\"", "2026-03-03"),
            ("\"2027-03-01T00:00:00Z\"", "2026-03-01"),
            ("\"yesterday\"", "2026-03-01"),
            ("5", "2026-03-01"),
        ] {
            assert_eq!(of(time, delivered), day, "{time}");
        }
        assert_eq!(of("\"2019-03-01T00:00:00Z\"", None), "2019-03-01", "imported");
        assert_eq!(of("\"1999-03-01T00:00:00Z\"", None), "2026-03-01");
        assert_eq!(date_of(days_of(date(1969, 12, 31))), "1969-12-31");
    }

    #[test]
    fn rows_come_back_as_their_records_in_any_order() {
        let texts = [
            r#"{"eventTime":"2026-03-01T00:00:01Z","eventID":"a","recipientAccountId":"111122223333","userIdentity":{"type":"Root"}}"#,
            r#"{"eventID":"b", "resources":[{"ARN":"x"},{"ARN":"y","type":"t"}], "new":1}"#,
            r#"{"eventID":"c","userIdentity":{"sessionContext":{"attributes":{"mfaAuthenticated":"true"}}},"resources":[]}"#,
            r#"{"eventId":"7d","accountId":"111122223333","timeWindow":{"windowStart":"2026-03-01T00:05:00Z"},"summary":{}}"#,
        ];
        let mut rows = Rows::new(Identity::default());
        rows.begin(origin(Some("2026-03-01T12:00:00Z")));
        texts.iter().for_each(|text| rows.push(text));
        let table = rows.finish().unwrap();
        let batch = table.rows(&[3, 1, 0, 2]).unwrap();
        assert_eq!(batch.schema(), schema::schema());
        let records = schema::record(&batch);
        let back: Vec<&str> = records.iter().flatten().collect();
        assert_eq!(back, [texts[3], texts[1], texts[0], texts[2]]);
        let column = |path: &str| schema::leaf(&batch, path).unwrap().iter().collect::<Vec<_>>();
        assert_eq!(column("eventid"), [Some("7d"), Some("b"), Some("a"), Some("c")]);
        assert_eq!(column("eventtime")[0], Some("2026-03-01T00:05:00Z"));
        assert_eq!(column("rest")[1], Some(r#"{"new":1}"#));
        assert_eq!(column("object"), [Some("key"); 4]);
        assert_eq!(column("useridentity.sessioncontext.attributes.mfaauthenticated")[3], Some("true"));
        assert!(
            batch.column_by_name("useridentity").unwrap().is_null(1)
                && !batch.column_by_name("useridentity").unwrap().is_null(2)
        );
    }

    #[test]
    fn the_same_event_of_an_account_is_the_same_record() {
        let identity = Identity::default();
        let of = |text: &str, object: &str| {
            let mut rows = Rows::new(identity.clone());
            rows.begin(Origin { object: object.into(), ..origin(None) });
            rows.push(text);
            rows.keys[0].id
        };
        let one = of(r#"{"eventID":"a","recipientAccountId":"1"}"#, "k");
        assert_eq!(of(r#"{"recipientAccountId":"1","eventID":"a","x":1}"#, "l"), one);
        assert_ne!(of(r#"{"eventID":"a","recipientAccountId":"2"}"#, "k"), one);
        let without = of(r#"{"eventName":"a"}"#, "k");
        assert_eq!(of(r#"{"eventName":"a"}"#, "k"), without);
        assert_ne!(of(r#"{"eventName":"a"}"#, "l"), without, "of another object");
        assert_ne!(of(r#"{"eventName":"b"}"#, "k"), without);
    }
}
