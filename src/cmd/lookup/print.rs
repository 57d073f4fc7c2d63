//! Records as people and programs want them: a table, the records themselves, CSV, LookupEvents' answer.

use std::io::{self, IsTerminal, Write};

use jiff::Timestamp;
use serde::Serialize;

use super::Format;
use super::told::Told;
use crate::archive::lookup::Hit;
use crate::cmd::{Context, complain, style};
use crate::core::lookup::username;
use crate::core::printable;
use crate::core::row::{
    self, ACCESS_KEY, ERROR_CODE, EVENT_ID, EVENT_NAME, EVENT_SOURCE, READ_ONLY, RECIPIENT, REGION, RESOURCE_ARN,
    RESOURCE_TYPE, Row, SOURCE_ADDRESS,
};

/// Bytes of a cell of the table, and of one of CSV.
const CELL: usize = 60;
const LONG_CELL: usize = 2_000;

/// Hits on their way to stdout, each with what is known of its log.
pub struct Printer<'c> {
    context: &'c Context,
    format: Format,
    /// By a terminal.
    is_watched: bool,
    printed: u64,
}

impl<'c> Printer<'c> {
    pub fn new(context: &'c Context, format: Format) -> Self {
        Self { context, format, is_watched: io::stdout().is_terminal(), printed: 0 }
    }

    pub fn print(&mut self, hits: &[Hit], integrity: &[&'static str]) -> io::Result<()> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        for (hit, integrity) in hits.iter().zip(integrity) {
            if self.printed == 0 {
                self.begin(&mut out)?;
            }
            match self.format {
                Format::Table => self.line(&mut out, hit, integrity)?,
                Format::Json if self.is_watched => json(&mut out, &tame(&hit.record))?,
                Format::Json => json(&mut out, &hit.record)?,
                Format::Csv => csv(&mut out, &cells(hit, integrity))?,
                Format::Aws => {
                    if self.printed > 0 {
                        out.write_all(b",")?;
                    }
                    out.write_all(b"\n")?;
                    let cut = row::columns(&hit.record);
                    let event = serde_json::to_string(&Event::of(&cut.row(), hit, integrity))?;
                    out.write_all(if self.is_watched { tame(&event) } else { event }.as_bytes())?;
                }
            }
            self.printed += 1;
        }
        out.flush()
    }

    fn begin(&self, out: &mut impl Write) -> io::Result<()> {
        match self.format {
            Format::Table => {
                let names =
                    line(["time", "integrity", "account", "region", "event", "user", "source ip", "error", "id"]);
                writeln!(out, "{}", self.context.paint(style::DIM, names))
            }
            Format::Csv => csv(out, &NAMES.map(str::to_owned)),
            Format::Aws => out.write_all(b"{\"Events\":["),
            Format::Json => Ok(()),
        }
    }

    /// What an answer ends with: on stdout for people and in the document, else on stderr.
    pub fn end(&self, told: &Told) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.format {
            Format::Table => told.lines().iter().try_for_each(|line| writeln!(out, "{}", printable(line, 600)))?,
            Format::Aws => {
                if self.printed == 0 {
                    self.begin(&mut out)?;
                }
                out.write_all(b"\n],\"Horizon\":")?;
                serde_json::to_writer(&mut out, told)?;
                out.write_all(b"}\n")?;
            }
            Format::Json | Format::Csv => told.lines().iter().for_each(|line| complain(&printable(line, 600))),
        }
        out.flush()
    }

    fn line(&self, out: &mut impl Write, hit: &Hit, integrity: &str) -> io::Result<()> {
        let cut = row::columns(&hit.record);
        let row = cut.row();
        let of = |leaf| printable(row.leaf(leaf).unwrap_or("-"), CELL);
        let (source, event) = (of(EVENT_SOURCE), of(EVENT_NAME));
        let event = format!("{}:{event}", source.strip_suffix(".amazonaws.com").unwrap_or(&source));
        let user = printable(username(&row).unwrap_or("-"), CELL);
        let (time, address, error) = (time(hit, "-"), of(SOURCE_ADDRESS), of(ERROR_CODE));
        let text =
            line([&time, integrity, &of(RECIPIENT), &of(REGION), &event, &user, &address, &error, &of(EVENT_ID)]);
        let painted = match integrity {
            "modified" | "unlisted" => self.context.paint(style::BAD, text),
            _ => text,
        };
        writeln!(out, "{painted}")
    }
}

/// Columns of the table that most values fit in; longer ones push the rest of their line aside.
fn line(cells: [&str; 9]) -> String {
    const WIDTHS: [usize; 9] = [20, 9, 12, 12, 32, 24, 15, 12, 36];
    let padded: Vec<String> = cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{cell:<width$}")).collect();
    padded.join("  ").trim_end().to_owned()
}

fn time(hit: &Hit, none: &str) -> String {
    let time = hit.rank.when().and_then(|when| Timestamp::from_second(when).ok());
    time.map_or(none.to_owned(), |time| time.to_string())
}

/// A line ends where the record does: line breaks between its members become blanks.
/// The same JSON without what a terminal would take for orders; within strings alone do such characters stand.
fn tame(record: &str) -> String {
    let mut tame = String::with_capacity(record.len());
    for c in record.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                tame.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => tame.push(c),
        }
    }
    tame
}

fn json(out: &mut impl Write, record: &str) -> io::Result<()> {
    if record.contains(['\n', '\r']) {
        return writeln!(out, "{}", record.replace(['\n', '\r'], " "));
    }
    out.write_all(record.as_bytes())?;
    out.write_all(b"\n")
}

const NAMES: [&str; 16] = [
    "time",
    "integrity",
    "account",
    "region",
    "source",
    "event",
    "user",
    "principal",
    "access_key",
    "source_ip",
    "error",
    "read_only",
    "resources",
    "event_id",
    "trail",
    "object",
];

fn cells(hit: &Hit, integrity: &str) -> [String; 16] {
    let cut = row::columns(&hit.record);
    let row = cut.row();
    let of = |leaf| row.leaf(leaf).unwrap_or_default().to_owned();
    let resources: Vec<&str> = resources(&row).filter_map(|(_, arn)| arn).collect();
    [
        time(hit, ""),
        integrity.to_owned(),
        of(RECIPIENT),
        of(REGION),
        of(EVENT_SOURCE),
        of(EVENT_NAME),
        username(&row).unwrap_or_default().to_owned(),
        of(row::PRINCIPAL_ARN),
        of(ACCESS_KEY),
        of(SOURCE_ADDRESS),
        of(ERROR_CODE),
        of(READ_ONLY),
        resources.join(" "),
        of(EVENT_ID),
        hit.trail.clone().unwrap_or_default(),
        hit.object.clone(),
    ]
}

/// Type and ARN of each resource.
fn resources<'r>(row: &Row<'r>) -> impl Iterator<Item = (Option<&'r str>, Option<&'r str>)> {
    row.resources().into_iter().map(|resource| (resource[RESOURCE_TYPE], resource[RESOURCE_ARN]))
}

/// One line of RFC 4180. What a spreadsheet would take for a formula is marked as text by an apostrophe.
fn csv(out: &mut impl Write, cells: &[String]) -> io::Result<()> {
    let cell = |cell: &String| {
        let mark = if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { "'" } else { "" };
        let text = format!("{mark}{}", printable(cell, LONG_CELL));
        if text.contains([',', '"', '\'']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    write!(out, "{}\r\n", cells.iter().map(cell).collect::<Vec<_>>().join(","))
}

/// An event as LookupEvents answers it, and what the archive knows of it besides.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_name: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_source: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'r str>,
    resources: Vec<Named<'r>>,
    cloud_trail_event: &'r str,
    integrity: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trail: Option<&'r str>,
    object: &'r str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_type: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'r str>,
}

impl<'r> Event<'r> {
    fn of(row: &Row<'r>, hit: &'r Hit, integrity: &'r str) -> Self {
        let named = |(kind, arn)| Named { resource_type: kind, resource_name: arn };
        Self {
            event_id: row.leaf(EVENT_ID),
            event_name: row.leaf(EVENT_NAME),
            read_only: row.leaf(READ_ONLY),
            access_key_id: row.leaf(ACCESS_KEY),
            event_time: hit.rank.when().and_then(|when| Timestamp::from_second(when).ok()),
            event_source: row.leaf(EVENT_SOURCE),
            username: username(row),
            resources: resources(row).map(named).collect(),
            cloud_trail_event: &hit.record,
            integrity,
            trail: hit.trail.as_deref(),
            object: &hit.object,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(cells: &[&str]) -> String {
        let mut out = Vec::new();
        csv(&mut out, &cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_a_terminal_obeys_is_spelled_out_and_says_the_same() {
        let record = "{\"userAgent\":\"\u{9b}31m\u{7f} \u{202e}x\u{2066} \u{e9}\"}";
        let tame = tame(record);
        assert_eq!(tame, "{\"userAgent\":\"\\u009b31m\\u007f \\u202ex\\u2066 \u{e9}\"}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&tame), read(record));
    }

    #[test]
    fn no_cell_is_a_formula_and_each_stays_in_its_place() {
        assert_eq!(written(&["a", "", "b c"]), "a,,b c\r\n");
        assert_eq!(written(&["=1+1", "+1", "-1", "@x"]), "\"'=1+1\",\"'+1\",\"'-1\",\"'@x\"\r\n");
        assert_eq!(written(&["\t=1", "\r=1", "\n=1"]), "\"'\\u{9}=1\",\"'\\u{d}=1\",\"'\\u{a}=1\"\r\n");
        assert_eq!(written(&["a\"b,c", "\u{0}\u{202e}"]), "\"a\"\"b,c\",\\u{0}\\u{202e}\r\n");
    }

    #[test]
    fn a_record_is_one_line() {
        let mut out = Vec::new();
        json(&mut out, "{\"a\":\n\"b\\n\"}").unwrap();
        json(&mut out, "{}").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{\"a\": \"b\\n\"}\n{}\n");
    }
}
