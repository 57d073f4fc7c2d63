//! Every metric: name, help, labels. No label grows with accounts or regions: the ledger answers those questions.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::core::shard::Shard;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Outcome {
    pub outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindLabel {
    pub kind: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Sending {
    pub channel: String,
    pub outcome: &'static str,
}

pub type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug, Default)]
pub struct Metrics {
    pub messages: Family<Outcome, Counter>,
    pub notices: Family<Outcome, Counter>,
    pub records: Counter,
    pub bytes: Counter,
    pub digests: Family<Outcome, Counter>,
    pub findings: Family<KindLabel, Counter>,
    pub alerts: Family<Sending, Counter>,
    pub sweeps: Counter,
    pub scrubbed: Family<Outcome, Counter>,
    pub reconciled: Family<Outcome, Counter>,
    pub reconcile_requests: Counter,
    pub receive_failures: Counter,
    pub strays: Counter,
    pub shard_index: Gauge,
    pub shards: Gauge,
    pub held_messages: Gauge,
    pub fetches: Gauge,
    pub queue_visible: Gauge,
    pub queue_age: Seconds,
    pub objects_missing: Gauge,
    pub alerts_due: Gauge,
    pub alert_oldest: Seconds,
    pub last_receive: Seconds,
    pub last_sweep: Seconds,
    pub last_reconcile: Seconds,
    pub start_time: Seconds,
    pub lease_held: Gauge,
    pub lease_epoch: Gauge,
}

impl Metrics {
    /// Says which accounts are this warden's.
    pub fn shard(&self, shard: Shard) {
        self.shard_index.set(shard.index().into());
        self.shards.set(shard.count().into());
    }

    /// The registry that `/metrics` prints and docs/metrics.md lists.
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("trailwarden");
        let mut counter = |name: &str, help: &str, metric: Counter| registry.register(name, help, metric);
        counter("records", "Records read from log files", self.records.clone());
        counter("object_bytes", "Stored bytes of objects read", self.bytes.clone());
        counter("sweeps", "Completed sweeps over chains and unlisted logs", self.sweeps.clone());
        counter("receive_failures", "Failed receives from the notification queue", self.receive_failures.clone());
        counter(
            "stray_objects",
            "Objects of other shards' accounts that were announced to this warden",
            self.strays.clone(),
        );
        counter(
            "reconcile_requests",
            "Listings and heads asked of the bucket to compare it with the ledger",
            self.reconcile_requests.clone(),
        );
        registry.register("messages", "Messages settled, by outcome", self.messages.clone());
        registry.register("notices", "Notices settled, by outcome", self.notices.clone());
        registry.register("digests", "Digests looked at, by verdict", self.digests.clone());
        registry.register(
            "findings",
            "Findings raised for the first time or again after they were resolved, by kind",
            self.findings.clone(),
        );
        registry.register("alerts", "Sends to channels, by channel and outcome", self.alerts.clone());
        registry.register("scrubbed", "Objects read again by the scrub, by outcome", self.scrubbed.clone());
        registry.register(
            "reconcile_objects",
            "Objects of bucket and ledger compared, by outcome",
            self.reconciled.clone(),
        );
        let mut gauge = |name: &str, help: &str, metric: Gauge| registry.register(name, help, metric);
        gauge("shard_index", "Which shard's accounts this warden answers for, from 0 on", self.shard_index.clone());
        gauge("shards", "How many wardens divide the accounts; 1: this one has them all", self.shards.clone());
        gauge("held_messages", "Messages received and not settled yet", self.held_messages.clone());
        gauge(
            "fetch_limit",
            "Objects asked for at once at most; fewer than configured while the bucket asks to slow down",
            self.fetches.clone(),
        );
        gauge("queue_visible_messages", "Messages waiting in the queue, as it last said", self.queue_visible.clone());
        gauge(
            "objects_missing",
            "Objects that the last comparisons found gone from the bucket",
            self.objects_missing.clone(),
        );
        gauge("alerts_due", "Alerts that are due and not sent", self.alerts_due.clone());
        gauge("lease_held", "1 while this warden may work: it holds the lease, or needs none", self.lease_held.clone());
        gauge(
            "lease_epoch",
            "The epoch of the lease that this warden works under; 0 without one",
            self.lease_epoch.clone(),
        );
        let mut seconds = |name: &str, help: &str, metric: Seconds| registry.register(name, help, metric);
        seconds("alert_oldest_seconds", "Age of the oldest alert that is due", self.alert_oldest.clone());
        seconds(
            "queue_age_seconds",
            "Age of the oldest message that is known to wait in a queue",
            self.queue_age.clone(),
        );
        seconds("last_receive_timestamp_seconds", "When the queue last answered", self.last_receive.clone());
        seconds("last_sweep_timestamp_seconds", "When the last sweep ended", self.last_sweep.clone());
        seconds(
            "last_reconcile_timestamp_seconds",
            "When bucket and ledger were last compared completely",
            self.last_reconcile.clone(),
        );
        seconds("start_timestamp_seconds", "When the warden started", self.start_time.clone());
        registry
    }

    /// OpenMetrics text 1.0.0.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry());
        text
    }

    /// Prometheus text 0.0.4, for whoever does not ask for OpenMetrics: there a counter is called `_total` in every line.
    pub fn render_plain(&self) -> String {
        let page = self.render();
        let counter = |line: &'_ str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
        let counters: BTreeSet<String> = page.lines().filter_map(counter).collect();
        let mut text = String::with_capacity(page.len());
        for line in page.lines().filter(|line| *line != "# EOF") {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match *words {
                ["#", what, name, rest] if counters.contains(name) => {
                    text.push_str(&format!("# {what} {name}_total {rest}\n"));
                }
                _ => text.push_str(&format!("{line}\n")),
            }
        }
        text
    }

    pub fn notice(&self, outcome: &'static str) {
        self.notices.get_or_create(&Outcome { outcome }).inc();
    }

    pub fn message(&self, outcome: &'static str) {
        self.messages.get_or_create(&Outcome { outcome }).inc();
    }
}
