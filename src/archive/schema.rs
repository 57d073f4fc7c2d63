//! The columns of the archive: what is written, what every reader may rely on.
//!
//! # The contract
//!
//! *Where.* A file is `date=yyyy-mm-dd/NAME.parquet` under the archive's location. Which files make up the archive is what the
//! ledger's table `files` says (rows whose `replaced` is null) and, for readers without the ledger, what the files
//! under `manifest/date=…/` list, one of each warden. A listing of the folders may show rows twice for a while after a compaction: files that another has replaced stay for
//! [`crate::archive::GRACE`], so that whoever is reading them can end.
//!
//! *Which day.* `date` is the day of `eventTime` in UTC. An `eventTime` that is none, or lies more than [`LATEST`] before or
//! [`EARLIEST`] after the delivery that its key tells, belongs to the day of the key. So a question about a time needs the dates of that
//! time alone, forgeries excepted; `date` is in no file, only in the folder's name.
//!
//! *Names* are those of AWS's Athena table for CloudTrail (JSON names in lower case; all strings; `useridentity`, `addendum`,
//! `tlsdetails` structs; `resources` a list of structs), so that published queries run as they are. A string is its content, anything
//! else its JSON text (`readonly` is `"true"`, `requestparameters` an object's text as it was written), JSON's `null` is null.
//! Newer members that AWS's table lacks have columns by the same rule. Besides:
//!
//! | column | type | what |
//! |---|---|---|
//! | `rest` | string | members without a column, as a JSON object; null as a rule. New members of CloudTrail land here at once |
//! | `shape` | string | the record's text with the values of columns cut out, see [`crate::core::row`] |
//! | `object` | string | the key of the log that the record came in |
//! | `trail` | string | the configured trail whose bucket that is; null for what was imported |
//! | `delivered_at` | timestamp (ms, UTC) | when the log was delivered, by its key |
//!
//! *The record itself* is no column: it would double the size. `shape` and the columns are the record byte for byte:
//! [`record`] puts it together for a batch, and the printed DDL has a view that does so in SQL. An aggregated event has no
//! `eventTime`, `eventID` and `recipientAccountId`: those columns hold its window's start, its `eventId` and its `accountId`.
//!
//! *Order.* Rows are sorted by `recipientaccountid`, then `eventtime`. Row groups have at most [`GROUP_ROWS`] rows; page
//! statistics are there for all columns but the long texts; the leaves in [`BLOOM`] have Bloom filters, also in a struct
//! (by path: `useridentity.accesskeyid`).
//!
//! *Exactly once.* A row is one (`eventtime`, `eventid`, `recipientaccountid`) of the whole archive, in whatever trail and however
//! often it was delivered; of a record without `eventID`, one whole text of one object. `object` is where it was seen first.
//!
//! *Integrity* is no column either, as it changes: [`crate::store::archive::doubtful`] names the logs that are not verified, and
//! [`crate::archive::verdict::TABLE`] is that list as a file, for a join by `trail` and `object`. A row that is not in it is
//! verified; one without a trail was imported and proves nothing.

use std::sync::{Arc, OnceLock};

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use jiff::SignedDuration;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::core::row::{self, Holds, LEAVES, RESOURCE, rebuild};

/// Records arrive up to thirty days late (CloudTrail User Guide: record contents); a little more is believed.
pub const LATEST: SignedDuration = SignedDuration::from_hours(45 * 24);
pub const EARLIEST: SignedDuration = SignedDuration::from_hours(2 * 24);

pub const GROUP_ROWS: usize = 1 << 17;

/// Leaves with a Bloom filter, by path.
pub const BLOOM: &[&str] = &[
    "eventid",
    "sourceipaddress",
    "useridentity.accesskeyid",
    "useridentity.arn",
    "useridentity.principalid",
    "useridentity.username",
    "useridentity.sessioncontext.sessionissuer.arn",
];

/// Columns whose values differ from row to row: a dictionary of them is work for nothing, and whatever zstd finds in random
/// digits beyond their being digits makes them longer.
const DISTINCT: &[&str] = &["eventid", "requestid", "sharedeventid"];
/// Long texts, of which statistics say nothing.
const LONG: &[&str] =
    &["requestparameters", "responseelements", "additionaleventdata", "serviceeventdetails", "rest", "shape"];

/// Where leaves, parts of resources and the columns beside them stand in a batch.
pub const OBJECT: &str = "object";
pub const TRAIL: &str = "trail";
pub const DELIVERED: &str = "delivered_at";
pub const REST: &str = "rest";
pub const SHAPE: &str = "shape";
pub const RESOURCES: &str = "resources";

/// A member's column.
pub fn name(json: &str) -> String {
    json.to_ascii_lowercase()
}

/// The columns of a file, in their order.
pub fn schema() -> SchemaRef {
    static SCHEMA: OnceLock<SchemaRef> = OnceLock::new();
    SCHEMA
        .get_or_init(|| {
            let mut fields = fields(row::FIELDS);
            for text in [REST, SHAPE, OBJECT, TRAIL] {
                fields.push(Field::new(text, DataType::Utf8, true));
            }
            let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
            fields.push(Field::new(DELIVERED, time, true));
            Arc::new(Schema::new(fields))
        })
        .clone()
}

fn fields(of: &[row::Field]) -> Vec<Field> {
    let kind = |holds: &Holds| match holds {
        Holds::Leaf(_) => DataType::Utf8,
        Holds::Group(_, of) => DataType::Struct(fields(of).into()),
        Holds::Resources => DataType::List(Arc::new(Field::new("element", DataType::Struct(resource()), true))),
    };
    of.iter().map(|field| Field::new(name(field.json), kind(&field.holds), true)).collect()
}

/// The parts of a resource.
pub fn resource() -> Fields {
    RESOURCE.iter().map(|part| Field::new(name(part), DataType::Utf8, true)).collect()
}

/// A leaf's path of columns, by its number: `useridentity.accesskeyid`.
pub fn path(leaf: usize) -> Option<&'static str> {
    static PATHS: OnceLock<Vec<String>> = OnceLock::new();
    fn walk(fields: &[row::Field], before: &str, paths: &mut [String]) {
        for field in fields {
            let path = format!("{before}{}", name(field.json));
            match field.holds {
                Holds::Leaf(number) => {
                    if let Some(slot) = paths.get_mut(number) {
                        *slot = path;
                    }
                }
                Holds::Group(_, inner) => walk(inner, &format!("{path}."), paths),
                Holds::Resources => {}
            }
        }
    }
    let paths = PATHS.get_or_init(|| {
        let mut paths = vec![String::new(); LEAVES];
        walk(row::FIELDS, "", &mut paths);
        paths
    });
    paths.get(leaf).map(String::as_str)
}

/// How files are written. `effort` is zstd's: little where somebody waits, more where nobody does.
pub fn properties(effort: i32) -> WriterProperties {
    let of = |path: &str| ColumnPath::new(path.split('.').map(str::to_owned).collect());
    let zstd = |effort| Compression::ZSTD(ZstdLevel::try_new(effort).unwrap_or_default());
    let mut properties = WriterProperties::builder()
        .set_compression(zstd(effort))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_column_dictionary_page_size_limit(of(SHAPE), 4 << 20)
        .set_created_by(format!("trailwarden {}", env!("CARGO_PKG_VERSION")));
    for column in DISTINCT {
        properties = properties
            .set_column_dictionary_enabled(of(column), false)
            .set_column_encoding(of(column), Encoding::DELTA_LENGTH_BYTE_ARRAY)
            .set_column_compression(of(column), zstd(1));
    }
    for column in LONG {
        properties = properties.set_column_statistics_enabled(of(column), EnabledStatistics::None);
    }
    for column in BLOOM {
        let distinct = if DISTINCT.contains(column) { GROUP_ROWS } else { GROUP_ROWS / 8 };
        properties = properties
            .set_column_bloom_filter_fpp(of(column), 0.02)
            .set_column_bloom_filter_max_ndv(of(column), distinct as u64);
    }
    properties.build()
}

/// Encoded bytes of a row group, at most; records of a hostile size make smaller ones.
const GROUP_BYTES: usize = 64 << 20;

/// The string column at a path, and whether each struct on the way is there.
pub fn leaf<'b>(batch: &'b RecordBatch, path: &str) -> Option<&'b StringArray> {
    let mut parts = path.split('.');
    let mut column = batch.column_by_name(parts.next()?)?;
    for part in parts {
        column = column.as_struct_opt()?.column_by_name(part)?;
    }
    column.as_string_opt()
}

pub fn text(column: Option<&StringArray>, row: usize) -> Option<&str> {
    column.filter(|column| row < column.len() && column.is_valid(row)).map(|column| column.value(row))
}

/// The records of a batch that has all columns, as they were written; null where columns and shape do not fit, which no file
/// of ours has.
pub fn record(batch: &RecordBatch) -> StringArray {
    let leaves: Vec<Option<&StringArray>> = (0..LEAVES).map(|number| leaf(batch, path(number)?)).collect();
    let shapes = leaf(batch, SHAPE);
    let lists = batch.column_by_name(RESOURCES).and_then(|column| column.as_list_opt::<i32>());
    let parts: Vec<Option<&StringArray>> = {
        let values = lists.and_then(|lists| lists.values().as_struct_opt());
        let column = |at: usize| values.and_then(|values: &StructArray| values.columns().get(at)?.as_string_opt());
        (0..RESOURCE.len()).map(column).collect()
    };
    let records = (0..batch.num_rows()).map(|row| {
        let first = lists.and_then(|lists| usize::try_from(*lists.value_offsets().get(row)?).ok());
        rebuild(
            text(shapes, row)?,
            |number| text(leaves.get(number).copied().flatten(), row),
            |resource, part| text(parts.get(part).copied().flatten(), first? + resource),
        )
    });
    records.collect()
}
