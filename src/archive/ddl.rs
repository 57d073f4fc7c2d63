//! The archive as a table of other engines: what to tell them, made of [`schema`].
//!
//! Tables read the lists of files under `manifest/`, each of which changes a whole date at once; so no row is seen twice or
//! not at all while files are compacted. Trino makes no such table by itself and is given the folders; Spark reads such a table
//! only where its files are text (SPARK-32432), and is told to take the names from the lists, as DuckDB is.

use arrow_schema::{DataType, Field};

use super::schema;
use crate::core::row::{CUT_RESOURCES, LEAVES, RESOURCE, leaf_mark, resource_mark};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Athena,
    Trino,
    Spark,
    DuckDb,
    Glue,
}

/// The day that the first record can be of: CloudTrail is of November 2013.
const FIRST: &str = "2013-11-01";
const TABLE: &str = "cloudtrail_files";
const VIEW: &str = "cloudtrail";
const PARQUET: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";
const SYMLINK: &str = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat";
const OUTPUT: &str = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat";

/// The statements for an engine; `address` is the archive's, ending in `/`.
pub fn ddl(engine: Engine, address: &str) -> String {
    match engine {
        Engine::Athena => format!(
            "CREATE EXTERNAL TABLE {TABLE} (\n{}\n)\nPARTITIONED BY (`date` string)\nROW FORMAT SERDE '{PARQUET}'\n\
             STORED AS INPUTFORMAT '{SYMLINK}'\n  OUTPUTFORMAT '{OUTPUT}'\nLOCATION {}\nTBLPROPERTIES (\n{}\n);\n\n{}",
            columns(hive, '`'),
            quoted(&format!("{address}manifest/")),
            projection(address).map(|(name, value)| format!("  '{name}' = {}", quoted(&value))).join(",\n"),
            view(engine, TABLE),
        ),
        Engine::Spark => spark(address),
        Engine::Trino => format!(
            "-- For an hour after a compaction the folders hold its rows twice; the table that `ddl athena` makes in Glue is exact, for Trino too.\n\
             CREATE TABLE {TABLE} (\n{},\n  \"date\" varchar\n)\nWITH (\n  format = 'PARQUET',\n  external_location = {},\n  \
             partitioned_by = ARRAY['date']\n);\n\n\
             -- again for each new day\nCALL system.sync_partition_metadata(schema_name => 'default', table_name => '{TABLE}', mode => 'FULL');\n\n{}",
            columns(trino, '"'),
            quoted(address),
            view(engine, TABLE),
        ),
        Engine::DuckDb => format!(
            "-- again for what was archived since\nSET VARIABLE {TABLE} = (\n  SELECT list(file) FROM (\n    SELECT unnest(string_split(trim(content), chr(10))) AS file FROM read_text({})\n  ) WHERE file <> ''\n);\n\n{}",
            quoted(&format!("{}manifest/*/*", plain(address))),
            view(
                engine,
                &format!(
                    "read_parquet(getvariable('{TABLE}'), hive_partitioning = true, hive_types = {{'date': VARCHAR}})"
                )
            ),
        ),
        Engine::Glue => glue(address),
    }
}

/// Spark's view of the files: a statement that is put together in Spark, as no other of its statements takes a list of files.
fn spark(address: &str) -> String {
    let escaped = |text: &str, quote: char| text.replace('\\', r"\\").replace(quote, &format!("\\{quote}"));
    let (text, path) = (escaped(address, '\''), format!("{address}manifest/*/*").replace('`', "``"));
    let begin = format!(
        "CREATE OR REPLACE TEMPORARY VIEW {TABLE} (\n{},\n  `date` string\n) USING parquet OPTIONS (basePath '{text}', path '{text}{{",
        columns(hive, '`')
    );
    format!(
        "-- Spark 4; again for what was archived since. Of some days alone: date=2026-03-* in the place of the first *\n\
         DECLARE OR REPLACE VARIABLE {TABLE} STRING;\n\n\
         SET VARIABLE {TABLE} = (\n  SELECT array_join(collect_list(replace(value, '{text}', '')), ',')\n  FROM text.`{path}` WHERE value <> ''\n);\n\n\
         SET VARIABLE {TABLE} = concat(\"{}\", {TABLE}, \"}}')\");\n\n\
         EXECUTE IMMEDIATE {TABLE};\n\n{}",
        escaped(&begin, '"'),
        view(Engine::Spark, TABLE),
    )
}

/// Engines that take paths take no file URL.
fn plain(address: &str) -> &str {
    address.strip_prefix("file://").unwrap_or(address)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn projection(address: &str) -> [(&'static str, String); 7] {
    [
        ("projection.enabled", "true".to_owned()),
        ("projection.date.type", "date".to_owned()),
        ("projection.date.format", "yyyy-MM-dd".to_owned()),
        ("projection.date.range", format!("{FIRST},NOW")),
        ("projection.date.interval", "1".to_owned()),
        ("projection.date.interval.unit", "DAYS".to_owned()),
        ("storage.location.template", format!("{address}manifest/date=${{date}}")),
    ]
}

fn columns(kind: impl Fn(&DataType) -> String, quote: char) -> String {
    let columns = schema::schema();
    let lines: Vec<String> = columns
        .fields()
        .iter()
        .map(|field| format!("  {quote}{}{quote} {}", field.name(), kind(field.data_type())))
        .collect();
    lines.join(",\n")
}

fn hive(kind: &DataType) -> String {
    match kind {
        DataType::Struct(fields) => {
            let inner: Vec<String> =
                fields.iter().map(|field| format!("{}:{}", field.name(), hive(field.data_type()))).collect();
            format!("struct<{}>", inner.join(","))
        }
        DataType::List(element) => format!("array<{}>", hive(element.data_type())),
        DataType::Timestamp(..) => "timestamp".into(),
        _ => "string".into(),
    }
}

fn trino(kind: &DataType) -> String {
    match kind {
        DataType::Struct(fields) => {
            let inner: Vec<String> =
                fields.iter().map(|field| format!("\"{}\" {}", field.name(), trino(field.data_type()))).collect();
            format!("row({})", inner.join(", "))
        }
        DataType::List(element) => format!("array({})", trino(element.data_type())),
        DataType::Timestamp(..) => "timestamp(3)".into(),
        _ => "varchar".into(),
    }
}

/// The table with the whole record beside its columns: put together only where it is asked for.
fn view(engine: Engine, table: &str) -> String {
    let kind = if engine == Engine::Spark { "TEMPORARY VIEW" } else { "VIEW" };
    format!("CREATE OR REPLACE {kind} {VIEW} AS\nSELECT *,\n  {} AS record\nFROM {table};\n", record(engine))
}

/// The record as an expression over the columns: each mark of the shape replaced by its value.
fn record(engine: Engine) -> String {
    let quote = if engine == Engine::Spark { '`' } else { '"' };
    let column = |path: &str| {
        let parts: Vec<String> = path.split('.').map(|part| format!("{quote}{part}{quote}")).collect();
        parts.join(".")
    };
    let mut text = schema::SHAPE.to_owned();
    let mut replace = |mark: &str, value: &str| {
        let (code, letter) = mark.split_at(1);
        let code = u32::from(code.chars().next().unwrap_or_default());
        let letter = if engine == Engine::Spark && letter == r"\" { r"\\" } else { letter };
        text = format!("replace({text}, concat(chr({code}), '{letter}'), coalesce({value}, ''))");
    };
    for (number, path) in (0..LEAVES).filter_map(|number| Some((number, schema::path(number)?))) {
        replace(&leaf_mark(number), &column(path));
    }
    for resource in 0..CUT_RESOURCES {
        for (part, name) in RESOURCE.iter().enumerate() {
            let nth = match engine {
                Engine::Spark => format!("get({}, {resource})", schema::RESOURCES),
                Engine::DuckDb => format!("{}[{}]", schema::RESOURCES, resource + 1),
                _ => format!("element_at({}, {})", schema::RESOURCES, resource + 1),
            };
            replace(&resource_mark(resource, part), &format!("{nth}.{}", column(&schema::name(name))));
        }
    }
    text
}

/// The `TableInput` of `aws glue create-table`.
fn glue(address: &str) -> String {
    let columns: Vec<serde_json::Value> = schema::schema()
        .fields()
        .iter()
        .map(|field: &std::sync::Arc<Field>| {
            serde_json::json!({ "Name": field.name(), "Type": hive(field.data_type()) })
        })
        .collect();
    let parameters: serde_json::Map<String, serde_json::Value> =
        projection(address).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let input = serde_json::json!({
        "Name": TABLE,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": parameters,
        "PartitionKeys": [{ "Name": "date", "Type": "string" }],
        "StorageDescriptor": {
            "Columns": columns,
            "Location": format!("{address}manifest/"),
            "InputFormat": SYMLINK,
            "OutputFormat": OUTPUT,
            "SerdeInfo": { "SerializationLibrary": PARQUET },
        },
    });
    let mut text = serde_json::to_string_pretty(&input).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_is_told_every_column() {
        for engine in [Engine::Athena, Engine::Trino, Engine::Spark, Engine::Glue] {
            let text = ddl(engine, "s3://acme/v1/");
            for field in schema::schema().fields() {
                assert!(text.contains(field.name()), "{engine:?}: {}", field.name());
            }
        }
        let athena = ddl(Engine::Athena, "s3://acme/v1/");
        assert!(athena.contains("`resources` array<struct<arn:string,accountid:string,type:string,arnprefix:string>>"));
        assert!(athena.contains("'storage.location.template' = 's3://acme/v1/manifest/date=${date}'"));
        assert!(ddl(Engine::DuckDb, "file:///srv/a'b/").contains("read_text('/srv/a''b/manifest/*/*')"));
        let input: serde_json::Value = serde_json::from_str(&ddl(Engine::Glue, "s3://acme/v1/")).unwrap();
        assert_eq!(input["StorageDescriptor"]["Location"], "s3://acme/v1/manifest/");
    }

    #[test]
    fn parentheses_and_quotes_of_the_views_are_closed() {
        for engine in [Engine::Athena, Engine::Trino, Engine::Spark, Engine::DuckDb] {
            let text = ddl(engine, "s3://acme/v1/");
            let count = |byte: char| text.matches(byte).count();
            assert_eq!(count('('), count(')'), "{engine:?}");
            assert_eq!(count('\'') % 2, 0, "{engine:?}");
        }
    }
}
