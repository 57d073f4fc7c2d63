//! Rows as people and programs want them: a table, JSON lines, CSV, Parquet. Nothing is gathered but a page of a table.

use std::io::{self, Write};

use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::{LineDelimited, WriterBuilder};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::Fault;
use crate::core::printable;

/// Letters of a cell of the table.
const CELL: usize = 60;
/// Rows that the widths of a table's columns are taken from.
const PAGE: usize = 200;
/// Encoded bytes of a row group of a file that is written.
const GROUP_BYTES: usize = 32 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Table,
    Json,
    Csv,
    Parquet,
}

enum Form<W: Write + Send> {
    Table { out: W, page: Vec<Vec<String>>, widths: Option<Vec<usize>> },
    Json(W),
    Csv(W),
    Parquet(Box<ArrowWriter<W>>),
}

/// Rows on their way out.
pub struct Printer<W: Write + Send> {
    form: Form<W>,
    schema: SchemaRef,
    /// By a terminal, which obeys what it reads.
    is_watched: bool,
    is_begun: bool,
}

fn written(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other.to_string()),
    }
}

fn stored(error: parquet::errors::ParquetError) -> io::Error {
    match error {
        parquet::errors::ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other.to_string()),
        },
        other => io::Error::other(other.to_string()),
    }
}

impl<W: Write + Send> Printer<W> {
    pub fn new(format: Format, schema: SchemaRef, out: W, is_watched: bool) -> Result<Self, Fault> {
        let form = match format {
            Format::Table => Form::Table { out, page: Vec::new(), widths: None },
            Format::Json => Form::Json(out),
            Format::Csv => Form::Csv(out),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_bytes(Some(GROUP_BYTES))
                    .build();
                let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties))
                    .map_err(|error| Fault::Usage(format!("the answer cannot be a Parquet file: {error}")))?;
                Form::Parquet(Box::new(writer))
            }
        };
        Ok(Self { form, schema, is_watched, is_begun: false })
    }

    pub fn print(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.begin()?;
        match &mut self.form {
            Form::Parquet(writer) => writer.write(batch).map_err(stored),
            Form::Json(out) => {
                let mut lines = Vec::new();
                let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut lines);
                writer.write(batch).map_err(written)?;
                if self.is_watched {
                    return out.write_all(tame(&String::from_utf8_lossy(&lines)).as_bytes());
                }
                out.write_all(&lines)
            }
            Form::Csv(out) => {
                let columns = formatters(batch)?;
                for row in 0..batch.num_rows() {
                    let cells = columns.iter().zip(batch.columns());
                    line(
                        out,
                        cells.map(|(format, column)| csv(&format.value(row).to_string(), is_text(column.data_type()))),
                    )?;
                }
                Ok(())
            }
            Form::Table { out, page, widths } => {
                let columns = formatters(batch)?;
                for row in 0..batch.num_rows() {
                    let of = |(column, array): (&ArrayFormatter<'_>, &arrow_array::ArrayRef)| {
                        if array.is_null(row) { "-".into() } else { printable(&column.value(row).to_string(), CELL) }
                    };
                    page.push(columns.iter().zip(batch.columns()).map(of).collect());
                    if page.len() >= PAGE {
                        turn(out, page, widths)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// What stands above the first row.
    fn begin(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.is_begun, true) {
            return Ok(());
        }
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        match &mut self.form {
            Form::Table { page, .. } => page.push(names.iter().map(|name| printable(name, CELL)).collect()),
            Form::Csv(out) => line(out, names.iter().map(|name| csv(name, true)))?,
            Form::Json(_) | Form::Parquet(_) => {}
        }
        Ok(())
    }

    /// Ends the answer; only then a file is one.
    pub fn end(mut self) -> io::Result<W> {
        self.begin()?;
        let mut out = match self.form {
            Form::Table { mut out, mut page, mut widths } => {
                turn(&mut out, &mut page, &mut widths)?;
                out
            }
            Form::Json(out) | Form::Csv(out) => out,
            Form::Parquet(writer) => writer.into_inner().map_err(stored)?,
        };
        out.flush()?;
        Ok(out)
    }
}

/// Prints a page of a table; longer cells of later pages push the rest of their line aside.
fn turn(out: &mut impl Write, page: &mut Vec<Vec<String>>, widths: &mut Option<Vec<usize>>) -> io::Result<()> {
    let widths = widths.get_or_insert_with(|| {
        let columns = page.first().map_or(0, Vec::len);
        let longest = |column: usize| page.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max();
        (0..columns).map(|column| longest(column).unwrap_or(0)).collect()
    });
    for row in page.drain(..) {
        let cells: Vec<String> = row.iter().zip(widths.iter()).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn formatters(batch: &RecordBatch) -> io::Result<Vec<ArrayFormatter<'_>>> {
    const OPTIONS: FormatOptions<'_> = FormatOptions::new().with_display_error(true);
    batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &OPTIONS).map_err(written)).collect()
}

fn is_text(kind: &DataType) -> bool {
    !(kind.is_numeric() || kind.is_temporal() || matches!(kind, DataType::Boolean | DataType::Null))
}

/// One line of RFC 4180.
fn line(out: &mut impl Write, cells: impl Iterator<Item = String>) -> io::Result<()> {
    write!(out, "{}\r\n", cells.collect::<Vec<_>>().join(","))
}

/// A cell: what a spreadsheet would take for a formula is marked as text by an apostrophe. It is whole, however long.
fn csv(cell: &str, is_text: bool) -> String {
    let mark = if is_text && cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { "'" } else { "" };
    let text = format!("{mark}{}", printable(cell, usize::MAX));
    if text.contains([',', '"', '\'']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// The same JSON without what a terminal would take for orders; within strings alone do such characters stand.
fn tame(json: &str) -> String {
    let mut tame = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                tame.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => tame.push(c),
        }
    }
    tame
}
