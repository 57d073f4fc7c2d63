//! Inflated bytes → records, and whether what they say fits the key they lie at.

mod fit;
pub mod frame;
mod part;
mod time;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, Visitor};
use serde_json::value::RawValue;

use self::fit::Fit;
use self::frame::Form;
pub use self::part::{Member, Parts};
pub use self::time::seconds;
use crate::core::key::LogKey;
use crate::core::{depth, printable};

/// A record, borrowed from the file. Only what the rules need is typed; the rest stays as written in `raw`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Record<'a> {
    #[serde(borrow, deserialize_with = "text")]
    pub event_version: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "text")]
    pub event_time: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "text")]
    pub event_source: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "text")]
    pub event_name: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "text")]
    pub aws_region: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "text")]
    pub recipient_account_id: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "text", rename = "eventID")]
    pub event_id: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "text")]
    pub event_type: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "text")]
    pub event_category: Option<Cow<'a, str>>,
    /// `null` is something, too, here and below. Of any type, as nothing rests on it.
    #[serde(borrow, deserialize_with = "raw")]
    pub error_code: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "raw")]
    pub error_message: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "raw")]
    pub read_only: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "raw")]
    pub user_agent: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "raw", rename = "sourceIPAddress")]
    pub source_address: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "raw")]
    pub request_parameters: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "raw")]
    pub response_elements: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "raw")]
    pub additional_event_data: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "raw")]
    pub resources: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "raw")]
    pub user_identity: Option<&'a RawValue>,
    #[serde(borrow)]
    pub addendum: Option<&'a RawValue>,
    /// Aggregated events only, in place of `recipientAccountId`.
    #[serde(borrow, deserialize_with = "text")]
    pub account_id: Option<Cow<'a, str>>,
    /// Aggregated events only, in place of `eventID`.
    #[serde(borrow, deserialize_with = "text", rename = "eventId")]
    pub aggregate_id: Option<Cow<'a, str>>,
    /// Aggregated events only, in place of `eventTime`.
    #[serde(borrow)]
    pub time_window: Option<&'a RawValue>,
}

impl Record<'_> {
    /// A summary of data events over five minutes: without `eventTime`, `eventName` and `userIdentity`.
    pub fn is_aggregated(&self) -> bool {
        self.event_time.is_none() && self.time_window.is_some()
    }

    /// `eventID`, or an aggregated event's `eventId`.
    pub fn id(&self) -> Option<&str> {
        if self.is_aggregated() { self.aggregate_id.as_deref() } else { self.event_id.as_deref() }
    }

    /// The account that received the record: `recipientAccountId`, or an aggregated event's `accountId`.
    pub fn account(&self) -> Option<&str> {
        if self.is_aggregated() { self.account_id.as_deref() } else { self.recipient_account_id.as_deref() }
    }

    /// `eventTime`, or the start of an aggregated event's window, in seconds since the epoch.
    pub fn seconds(&self) -> Option<i64> {
        match (&self.event_time, self.time_window) {
            (Some(time), _) => seconds(time),
            (None, Some(window)) => {
                serde_json::from_str::<Window<'_>>(window.get()).ok()?.start.as_deref().and_then(seconds)
            }
            (None, None) => None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Window<'a> {
    #[serde(borrow, deserialize_with = "text", rename = "windowStart")]
    start: Option<Cow<'a, str>>,
}

/// serde borrows a `Cow`, but never one inside an `Option`: this does, and so costs no allocation.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    deserializer.deserialize_any(TextOrNull)
}

/// Serde takes `null` for nothing.
fn raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

struct TextOrNull;

impl<'de> Visitor<'de> for TextOrNull {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A log file, read. `rows + rejects = records in`, always.
#[derive(Debug, Default)]
pub struct LogFile {
    pub rows: u64,
    /// Elements that are no records (position, reason); at most `KEPT_REJECTS` are kept, all are counted in `rejected`.
    pub rejects: Vec<(usize, String)>,
    pub rejected: u64,
    /// Contradictions between the records and the key; at most one of each kind, with a count.
    pub misfits: Vec<Misfit>,
    /// Oldest and newest event, seconds since the epoch.
    pub oldest: Option<i64>,
    pub newest: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MisfitKind {
    Account,
    Region,
    Day,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    pub kind: MisfitKind,
    /// How many records.
    pub count: u64,
    /// The first of them: what it says against what the key says, and its event id.
    pub example: String,
}

/// Why the file as a whole is no log file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLog {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("no `Records`")]
    NoRecords,
}

/// How many rejects are kept with their reasons.
pub const KEPT_REJECTS: usize = 20;

/// Brackets within a record; below the 127 at which `serde_json` refuses to build a tree of it.
const DEEPEST: usize = 100;
const DAY: i64 = 86_400;

/// Reads a whole file, hands each record (typed, and its raw text) to `each`, and checks each against the key.
///
/// Accepts `{"Records": […]}`; for aggregated files also a bare array and one object a line. When it fails, `each` may have
/// been called before: drop what it made.
pub fn read<'a>(bytes: &'a [u8], key: &LogKey, each: impl FnMut(&Record<'a>, &'a str)) -> Result<LogFile, BadLog> {
    let text = simdutf8::basic::from_utf8(bytes).map_err(|_| BadLog::NotUtf8)?;
    let mut reading = Reading { fit: Fit::new(key), each, file: LogFile::default(), position: 0 };
    frame::elements(text, Form::of(key), |rest| reading.element(rest))?;
    Ok(reading.file)
}

struct Reading<'k, F> {
    fit: Fit<'k>,
    each: F,
    file: LogFile,
    position: usize,
}

impl<F> Reading<'_, F> {
    /// One record or one reject; fails only where the text is no JSON.
    fn element<'a>(&mut self, rest: &'a str) -> Result<usize, serde_json::Error>
    where
        F: FnMut(&Record<'a>, &'a str),
    {
        let position = self.position;
        self.position += 1;
        // serde would also fill a struct from an array, by position
        let reason = if rest.starts_with('{') {
            match frame::value::<Record<'a>>(rest) {
                Ok((record, end)) => {
                    if let Err(reason) = self.accept(&record, rest.get(..end).unwrap_or_default()) {
                        self.reject(position, reason);
                    }
                    return Ok(end);
                }
                Err(error) => printable(&error.to_string(), 160),
            }
        } else {
            "no object".to_owned()
        };
        let (_, end) = frame::value::<IgnoredAny>(rest)?;
        self.reject(position, reason);
        Ok(end)
    }

    fn accept<'a>(&mut self, record: &Record<'a>, raw: &'a str) -> Result<(), String>
    where
        F: FnMut(&Record<'a>, &'a str),
    {
        let Some(seconds) = record.seconds() else {
            return Err(match &record.event_time {
                Some(time) => format!("`{}` is no event time", printable(time, 60)),
                None => "no event time".to_owned(),
            });
        };
        if depth::exceeds(raw, DEEPEST) {
            return Err(format!("nested deeper than {DEEPEST}"));
        }
        self.file.rows += 1;
        self.file.oldest = Some(self.file.oldest.map_or(seconds, |oldest| oldest.min(seconds)));
        self.file.newest = Some(self.file.newest.map_or(seconds, |newest| newest.max(seconds)));
        self.fit.check(record, seconds, &mut self.file.misfits);
        (self.each)(record, raw);
        Ok(())
    }

    fn reject(&mut self, position: usize, reason: String) {
        self.file.rejected += 1;
        if self.file.rejects.len() < KEPT_REJECTS {
            self.file.rejects.push((position, reason));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::core::key::{ObjectKey, parse};

    pub fn key(kind: &str, region: &str) -> LogKey {
        let text = format!(
            "AWSLogs/111122223333/{kind}/{region}/2026/03/01/111122223333_{kind}_{region}_20260301T2212Z_Ab3dEf6hIj9kLm2n.json.gz"
        );
        match parse(&text) {
            ObjectKey::Log(log) => log,
            other => panic!("{other:?}"),
        }
    }

    pub fn events() -> LogKey {
        key("CloudTrail", "eu-west-1")
    }

    pub fn record() -> Value {
        json!({
            "eventVersion": "1.11", "eventTime": "2026-03-01T22:10:00Z", "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
            "awsRegion": "eu-west-1", "recipientAccountId": "111122223333", "eventID": "e1", "userIdentity": {"type": "Root"},
            "requestParameters": {"a": [1, {"b": 1e300}], "n": 123_456_789_012_345_678_901_234_567_890.0_f64},
        })
    }

    pub fn file(records: &[Value]) -> String {
        json!({"Records": records}).to_string()
    }

    pub fn read_text(text: &str, key: &LogKey) -> Result<LogFile, BadLog> {
        read(text.as_bytes(), key, |_, _| {})
    }

    fn rejects(text: &str) -> Vec<(usize, String)> {
        read_text(text, &events()).unwrap().rejects
    }

    #[test]
    fn records_come_borrowed_with_their_own_text() {
        let first = r#"{ "eventTime":"2026-03-01T22:10:00Z","eventID":"e1", "x":{"Records":[{}]} }"#;
        let second =
            r#"{"eventTime":"2026-03-01T21:00:00Z","eventName":"\u0041b","addendum":null,"userIdentity":{"a": 1}}"#;
        let text = format!("\n{{\"a\":{{\"Records\":[5]}}, \"Records\" :[\t{first} ,\r\n{second} ] , \"b\":[null]}}\n");
        let mut seen = Vec::new();
        let found = read(text.as_bytes(), &events(), |record, raw| {
            assert!(matches!(record.event_time, Some(Cow::Borrowed(_))));
            seen.push((raw, record.event_name.as_deref().map(str::to_owned), record.user_identity.map(RawValue::get)));
            assert!(record.addendum.is_none());
        });
        let found = found.unwrap();
        assert_eq!(seen, [(first, None, None), (second, Some("Ab".to_owned()), Some("{\"a\": 1}"))]);
        assert_eq!((found.rows, found.rejected), (2, 0));
        assert_eq!((found.oldest, found.newest), (Some(1_772_398_800), Some(1_772_403_000)));
        assert_eq!(found.misfits, []);
    }

    #[test]
    fn one_bad_element_costs_only_itself() {
        let good = record().to_string();
        for (bad, why) in [
            ("5", "no object"),
            ("null", "no object"),
            (r#"["1.0","2026-03-01T22:10:00Z"]"#, "no object"),
            ("{}", "no event time"),
            (r#"{"eventTime":5}"#, "expected a string"),
            (r#"{"eventTime":null}"#, "no event time"),
            (r#"{"eventTime":"yesterday\u0007"}"#, r"`yesterday\u{7}` is no event time"),
            (r#"{"eventTime":"2026-02-30T22:10:00Z"}"#, "no event time"),
            (r#"{"eventTime":"2026-03-01T22:10:00Z","eventTime":"2026-03-01T22:10:00Z"}"#, "duplicate field"),
            (r#"{"eventTime":"2026-03-01T22:10:00Z","awsRegion":["eu-west-1"]}"#, "expected a string"),
        ] {
            let mut rows = 0;
            let text = format!("{{\"Records\":[{good},{bad},{good}]}}");
            let found = read(text.as_bytes(), &events(), |_, raw| {
                assert_eq!(raw, good);
                rows += 1;
            });
            let found = found.unwrap();
            assert_eq!((found.rows, found.rejected, rows), (2, 1, 2), "{bad}");
            let [(1, reason)] = found.rejects.as_slice() else { panic!("{bad}: {:?}", found.rejects) };
            assert!(reason.contains(why), "{bad}: {reason}");
        }
    }

    #[test]
    fn all_rejects_are_counted_and_few_kept() {
        let found = read_text(&file(&vec![json!(1); 1000]), &events()).unwrap();
        assert_eq!((found.rows, found.rejected, found.rejects.len()), (0, 1000, KEPT_REJECTS));
    }

    #[test]
    fn what_is_no_log_file_says_why() {
        let utf16: Vec<u8> = "{\"Records\":[]}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(matches!(read(&utf16, &events(), |_, _| {}), Err(BadLog::NotJson(_))));
        assert_eq!(read(b"{\"Records\":[\"\xff\"]}", &events(), |_, _| {}).unwrap_err(), BadLog::NotUtf8);
        for none in ["{}", "[]", "5", "\"Records\"", r#"{"records":[]}"#, r#"{"Records":null}"#, r#"{"Records":{}}"#] {
            assert_eq!(read_text(none, &events()).unwrap_err(), BadLog::NoRecords, "{none}");
        }
        let one = record();
        for broken in [
            String::new(),
            "\u{feff}{\"Records\":[]}".into(),
            "not json".into(),
            r#"{"Records":["#.into(),
            r#"{"Records":[]"#.into(),
            r#"{"Records":[,]}"#.into(),
            format!(r#"{{"Records":[{one},]}}"#),
            format!(r#"{{"Records":[{one} {one}]}}"#),
            r#"{"Records":[]}x"#.into(),
            r#"{"Records":[]}{}"#.into(),
            r#"{"Records":[],}"#.into(),
            r#"{"Records" []}"#.into(),
            r#"{null:1,"Records":[]}"#.into(),
            r#"{"a":tru,"Records":[]}"#.into(),
            r#"{"Records":[],"Records":[]}"#.into(),
            r#"{"Records":[{"eventTime":"2026-03-01T22:10:00Z"]}"#.into(),
        ] {
            let answer = read_text(&broken, &events());
            assert!(matches!(answer, Err(BadLog::NotJson(_))), "{broken}: {answer:?}");
        }
        assert_eq!(read_text(r#"{"Records":[]}"#, &events()).unwrap().rows, 0);
    }

    #[test]
    fn deep_nesting_is_a_reject() {
        let good = record().to_string();
        let deep = |depth: usize| {
            format!(r#"{{"eventTime":"2026-03-01T22:10:00Z","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth))
        };
        assert_eq!(rejects(&format!("{{\"Records\":[{}]}}", deep(DEEPEST - 1))), []);
        for bad in [deep(DEEPEST), deep(100_000), format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))] {
            let found = read_text(&format!("{{\"Records\":[{bad},{good}],\"y\":{bad}}}"), &events()).unwrap();
            assert_eq!((found.rows, found.rejected), (1, 1));
        }
        assert!(matches!(
            read_text(&format!("{{\"Records\":[{}", "[".repeat(100_000)), &events()),
            Err(BadLog::NotJson(_))
        ));
    }

    fn aggregated() -> Value {
        json!({
            "eventVersion": "1.0", "accountId": "111122223333", "eventId": "7d", "eventCategory": "Aggregated", "awsRegion": "eu-west-1",
            "eventType": "AwsAggregatedEvent", "timeWindow": {"windowStart": "2026-03-01T22:10:00Z", "windowEnd": "2026-03-01T22:15:00Z"},
        })
    }

    #[test]
    fn aggregated_events_stand_in_three_forms() {
        let (one, key) = (aggregated().to_string(), key("CloudTrail-Aggregated", "eu-west-1"));
        for text in [
            format!("{{\"Records\":[{one},{one}]}}"),
            format!("[{one},{one}]"),
            format!("{one}\n{one}\n"),
            format!("{{}}\n{one}\n5\n{one}"),
        ] {
            let mut ids = Vec::new();
            let found = read(text.as_bytes(), &key, |record, raw| {
                assert_eq!(
                    (record.account(), record.seconds(), raw),
                    (Some("111122223333"), Some(1_772_403_000), one.as_str())
                );
                ids.extend(record.id().map(str::to_owned));
            });
            let found = found.unwrap();
            assert_eq!((ids, found.rows, found.newest), (vec!["7d".to_owned(); 2], 2, Some(1_772_403_000)), "{text}");
            assert_eq!(found.misfits, []);
        }
        assert_eq!(read_text("[]", &key).unwrap().rows, 0);
        assert!(matches!(read_text(&format!("{one}\n{{"), &key), Err(BadLog::NotJson(_))));
        let mut foreign = aggregated();
        foreign["accountId"] = json!("444455556666");
        let [ref misfit] = *read_text(&file(&[foreign]), &key).unwrap().misfits else { panic!("no misfit") };
        assert_eq!((misfit.kind, misfit.count), (MisfitKind::Account, 1));
        let mut timeless = aggregated();
        timeless["timeWindow"] = json!({"windowStart": 5});
        assert_eq!(rejects(&file(&[timeless])), [(0, "no event time".to_owned())]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 12_usize..500, with in any::<u8>(), cut in 0_usize..600) {
            for key in [events(), key("CloudTrail-Aggregated", "eu-west-1")] {
                let _ = read(&bytes, &key, |_, _| {});
                let mut text = file(&[record(), aggregated()]).into_bytes();
                if let Some(byte) = text.get_mut(at) {
                    *byte = with;
                }
                let mut rows = 0;
                if let Ok(found) = read(&text, &key, |_, _| rows += 1) {
                    prop_assert_eq!((found.rows, found.rows + found.rejected), (rows, 2));
                }
                text.truncate(cut);
                let _ = read(&text, &key, |_, _| {});
            }
        }
    }
}
