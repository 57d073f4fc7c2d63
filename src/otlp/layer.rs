//! What happens in the program, as spans and records. Nothing in here waits: what has no room is counted and left out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as Values};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::wire::{Fields, Place, Record, Span};
use crate::env::Env;

/// What this program says of itself; what the AWS SDK and others say stays on the host.
const OURS: &str = "trailwarden";
/// What the sending itself says would be sent, and fail, and be said.
const SENDING: &str = "trailwarden::otlp";
/// Bytes of a text, at most.
const LONGEST: usize = 4 << 10;
/// The name of an event's text.
const TEXT: &str = "message";

/// One of either.
#[derive(Debug)]
pub enum Item {
    Span(Span),
    Record(Record),
}

/// Hears of everything, and hands it to whoever sends it.
#[derive(Clone)]
pub struct Outlet {
    pub(super) items: mpsc::Sender<Item>,
    /// What there was no room for.
    pub(super) lost: Arc<AtomicU64>,
    pub(super) env: Env,
    /// The share of traces that are sent.
    pub(super) share: f64,
}

/// A span that is not over. One of a trace that is not sent is only remembered for those within it.
struct Open {
    place: Place,
    is_sent: bool,
    parent: Option<u64>,
    begun: Timestamp,
    /// When it was left last: what it began may outlive it, and keep it from being closed.
    left: Option<Timestamp>,
    fields: Fields,
}

impl Outlet {
    /// Whether something is for the collector at all.
    pub fn hears(about: &Metadata<'_>) -> bool {
        let target = about.target();
        let is_below =
            |module: &str| target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
        is_below(OURS) && !is_below(SENDING)
    }

    fn send(&self, item: Item) {
        if self.items.try_send(item).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn id(&self) -> u64 {
        u64::from_str_radix(&self.env.token(), 16).unwrap_or_default().max(1)
    }

    fn trace(&self) -> u128 {
        u128::from(self.id()) << 64 | u128::from(self.id())
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Outlet {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let above =
            span.parent().and_then(|parent| parent.extensions().get::<Open>().map(|open| (open.place, open.is_sent)));
        let is_sent = above.map_or_else(|| self.env.chance() < self.share, |(_, is_sent)| is_sent);
        let mut fields = Fields::new();
        let mut place = Place { trace: 0, span: 0 };
        if is_sent {
            place = Place { trace: above.map_or_else(|| self.trace(), |(place, _)| place.trace), span: self.id() };
            attributes.record(&mut Reading(&mut fields));
        }
        let (parent, begun) = (above.map(|(place, _)| place.span), self.env.now());
        span.extensions_mut().insert(Open { place, is_sent, parent, begun, left: None, fields });
    }

    fn on_record(&self, id: &Id, values: &Values<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>().filter(|open| open.is_sent) {
            values.record(&mut Reading(&mut open.fields));
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>().filter(|open| open.is_sent) {
            open.left = Some(self.env.now());
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>().filter(|open| open.is_sent) else { return };
        let Open { place, parent, begun, left, fields, .. } = open;
        let ended = left.unwrap_or_else(|| self.env.now());
        self.send(Item::Span(Span { place, parent, name: span.name(), begun, ended, fields }));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Reading(&mut fields));
        let text = fields.iter().position(|(name, _)| *name == TEXT).map(|at| fields.remove(at).1);
        let text = text.and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default();
        let within = context
            .event_span(event)
            .and_then(|span| span.extensions().get::<Open>().filter(|open| open.is_sent).map(|open| open.place));
        self.send(Item::Record(Record { at: self.env.now(), level: *event.metadata().level(), text, fields, within }));
    }
}

/// Reads fields; a later value of a name takes the place of an earlier one.
struct Reading<'f>(&'f mut Fields);

impl Reading<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.retain(|(name, _)| *name != field.name());
        self.0.push((field.name(), value));
    }
}

impl Visit for Reading<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let cut = value.floor_char_boundary(LONGEST);
        self.put(field, value.get(..cut).unwrap_or_default().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
