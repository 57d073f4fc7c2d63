//! What is sent, as OTLP/HTTP's JSON has it (OpenTelemetry Protocol 1.x: traces/v1 and logs/v1; ids in hexadecimal digits, 64-bit
//! numbers as text).

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::Level;

/// Where a span stands: its trace, and itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub trace: u128,
    pub span: u64,
}

/// Names and values of a span or an event.
pub type Fields = Vec<(&'static str, Value)>;

/// Something that has been done.
#[derive(Debug)]
pub struct Span {
    pub place: Place,
    pub parent: Option<u64>,
    pub name: &'static str,
    pub begun: Timestamp,
    pub ended: Timestamp,
    pub fields: Fields,
}

/// A line of the log.
#[derive(Debug)]
pub struct Record {
    pub at: Timestamp,
    pub level: Level,
    pub text: String,
    pub fields: Fields,
    /// The span that it was said in.
    pub within: Option<Place>,
}

/// A field by this name says that what the span is about failed, and why.
const ERROR: &str = "error";
/// Span status, by number: STATUS_CODE_ERROR.
const FAILED: u8 = 2;
/// SPAN_KIND_INTERNAL.
const INTERNAL: u8 = 1;
/// The trace is sent (W3C trace flags).
const SAMPLED: u8 = 1;

/// The body of `/v1/traces`.
pub fn traces(resource: &Value, spans: &[Span]) -> Value {
    let spans: Vec<Value> = spans.iter().map(span).collect();
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "scope": scope(), "spans": spans }] }] })
}

/// The body of `/v1/logs`.
pub fn logs(resource: &Value, records: &[Record]) -> Value {
    let records: Vec<Value> = records.iter().map(record).collect();
    json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "scope": scope(), "logRecords": records }] }] })
}

/// Who says it.
pub fn resource(fields: &[(&'static str, Value)]) -> Value {
    json!({ "attributes": attributes(fields) })
}

fn scope() -> Value {
    json!({ "name": "trailwarden", "version": env!("CARGO_PKG_VERSION") })
}

fn span(span: &Span) -> Value {
    let mut said = json!({
        "traceId": trace_id(span.place),
        "spanId": span_id(span.place.span),
        "name": span.name,
        "kind": INTERNAL,
        "startTimeUnixNano": nanos(span.begun),
        "endTimeUnixNano": nanos(span.ended),
        "attributes": attributes(&span.fields),
        "flags": SAMPLED,
    });
    if let Some(parent) = span.parent {
        said["parentSpanId"] = span_id(parent).into();
    }
    if let Some((_, why)) = span.fields.iter().find(|(name, _)| *name == ERROR) {
        said["status"] = json!({ "code": FAILED, "message": why });
    }
    said
}

fn record(record: &Record) -> Value {
    let (number, name) = severity(record.level);
    let mut said = json!({
        "timeUnixNano": nanos(record.at),
        "observedTimeUnixNano": nanos(record.at),
        "severityNumber": number,
        "severityText": name,
        "body": { "stringValue": record.text },
        "attributes": attributes(&record.fields),
    });
    if let Some(place) = record.within {
        said["traceId"] = trace_id(place).into();
        said["spanId"] = span_id(place.span).into();
        said["flags"] = SAMPLED.into();
    }
    said
}

fn severity(level: Level) -> (u8, &'static str) {
    match level {
        Level::TRACE => (1, "TRACE"),
        Level::DEBUG => (5, "DEBUG"),
        Level::INFO => (9, "INFO"),
        Level::WARN => (13, "WARN"),
        Level::ERROR => (17, "ERROR"),
    }
}

fn attributes(fields: &[(&'static str, Value)]) -> Vec<Value> {
    fields.iter().map(|(name, value)| json!({ "key": name, "value": any(value) })).collect()
}

/// AnyValue, by the kind of value that it holds.
fn any(value: &Value) -> Value {
    let (kind, value) = match value {
        Value::Bool(_) => ("boolValue", value.clone()),
        Value::Number(number) if number.is_f64() => ("doubleValue", value.clone()),
        Value::Number(number) => ("intValue", number.to_string().into()),
        Value::String(_) => ("stringValue", value.clone()),
        other => ("stringValue", other.to_string().into()),
    };
    Value::Object(Map::from_iter([(kind.to_owned(), value)]))
}

fn trace_id(place: Place) -> String {
    format!("{:032x}", place.trace)
}

fn span_id(span: u64) -> String {
    format!("{span:016x}")
}

fn nanos(at: Timestamp) -> String {
    at.as_nanosecond().max(0).to_string()
}
