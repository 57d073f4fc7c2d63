//! What a warden needs and costs, worked out from measured figures and list prices: the table of docs/operating.md.

use std::path::Path;

const SIZES: [f64; 3] = [100.0, 1_000.0, 10_000.0];
const DAYS: f64 = 30.0;
const HOURS: f64 = 730.0;

// What is delivered. The mix of `cargo bench --bench ledger`: in every fourth region a log each five minutes, in the others one an
// hour, a digest an hour in each (docs/performance.md).
const REGIONS: f64 = 17.0;
const LOGS: f64 = REGIONS * (0.25 * 288.0 + 0.75 * 24.0);
const DIGESTS: f64 = REGIONS * 24.0;
/// Usual logs, in bytes as they are stored (docs/performance.md).
const LOG_BYTES: f64 = 20_000.0;

// Measured: docs/performance.md.
const OBJECTS_A_SECOND: f64 = 2_218.0;
const OPEN_BYTES: f64 = 202.0;
const FOLDED_BYTES: f64 = 28.3;
/// Default of `state.fold`.
const OPEN_DAYS: f64 = 14.0;
/// Default of `verify.scrub_limit`, in bytes a second.
const SCRUB_LIMIT: f64 = 20.0 * 1024.0 * 1024.0;
/// Default of `verify.reconcile_requests`.
const REQUESTS_A_DAY: f64 = 3_600.0 * 24.0;

// List prices of us-east-1, US dollars, the middle of 2026: the pricing pages of EC2, EBS, SQS, S3 and KMS.
const SMALL_HOUR: f64 = 0.0208;
const LARGE_HOUR: f64 = 0.0816;
const GP3_MONTH: f64 = 0.08;
const SQS_REQUEST: f64 = 0.40e-6;
const S3_GET: f64 = 0.4e-6;
const S3_LIST: f64 = 5e-6;
const KMS_REQUEST: f64 = 3e-6;

struct Size {
    accounts: f64,
}

impl Size {
    fn objects(&self) -> f64 {
        self.accounts * (LOGS + DIGESTS)
    }

    /// Processors that are busy on average, of the two that the rate was measured with.
    fn processors(&self) -> f64 {
        2.0 * self.objects() / 86_400.0 / OBJECTS_A_SECOND
    }

    /// After a year, with the days that are open.
    fn ledger(&self) -> f64 {
        self.objects() * (OPEN_DAYS * OPEN_BYTES + (365.0 - OPEN_DAYS) * FOLDED_BYTES)
    }

    /// A burstable host may be busy for a fifth of each of its two processors for ever.
    fn is_small(&self) -> bool {
        self.processors() < 0.1
    }

    fn host(&self) -> f64 {
        HOURS * if self.is_small() { SMALL_HOUR } else { LARGE_HOUR }
    }

    /// The ledger and a copy beside it.
    fn volume(&self) -> f64 {
        2.0 * self.ledger() / 1e9 * GP3_MONTH
    }

    /// Sent, received and deleted each alone: messages that come together cost less.
    fn queue(&self) -> f64 {
        3.0 * self.objects() * DAYS * SQS_REQUEST
    }

    fn reads(&self) -> f64 {
        self.objects() * DAYS * S3_GET
    }

    /// A listing for each account, region and kind, and for each thousand objects of the three days.
    fn compares(&self) -> f64 {
        let wanted = self.accounts * REGIONS * 2.0 + 3.0 * self.objects() / 1_000.0;
        wanted.min(REQUESTS_A_DAY) * DAYS * S3_LIST
    }

    /// All of a year once in 30 days, as far as the limit goes.
    fn scrub(&self) -> f64 {
        let most = SCRUB_LIMIT * 86_400.0 * DAYS / (LOG_BYTES * LOGS / (LOGS + DIGESTS));
        (self.objects() * 365.0).min(most) * S3_GET
    }

    fn keys(&self) -> f64 {
        self.objects() * DAYS * KMS_REQUEST
    }

    fn sum(&self) -> f64 {
        self.host() + self.volume() + self.queue() + self.reads() + self.compares()
    }
}

/// With two digits that mean something.
fn round(value: f64) -> String {
    let place = 10_f64.powf(value.log10().floor() - 1.0);
    let value = (value / place).round() * place;
    match value {
        value if value >= 1e9 => format!("{} billion", value / 1e9),
        value if value >= 1e6 => format!("{} million", value / 1e6),
        value if value >= 1_000.0 => format!("{},{:03}", (value / 1_000.0).floor(), value % 1_000.0),
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn table() -> String {
    type Row = (&'static str, fn(&Size) -> String);
    let dollars: fn(f64) -> String = |value| format!("${}", round(value));
    let rows: [Row; 13] = [
        ("objects a day", |size| round(size.objects())),
        ("objects a second, on average", |size| round(size.objects() / 86_400.0)),
        ("processors busy, on average", |size| round(size.processors().max(0.01))),
        ("GB of logs a day, as stored", |size| round(size.accounts * LOGS * LOG_BYTES / 1e9)),
        ("GB of ledger after a year", |size| round(size.ledger() / 1e9)),
        ("host", |size| if size.is_small() { "t3.small" } else { "m7g.large" }.to_owned()),
        ("the host, a month", |size| format!("${}", round(size.host()))),
        ("its volume, a month, after a year", |size| format!("${}", round(size.volume()))),
        ("requests to the queue", |size| format!("${}", round(size.queue()))),
        ("each object read once", |size| format!("${}", round(size.reads()))),
        ("comparing bucket and ledger", |size| format!("${}", round(size.compares()))),
        ("**together, a month**", |size| format!("**${}**", round(size.sum()))),
        ("besides: the scrub of a year in 30 days", |size| format!("${}", round(size.scrub()))),
    ];
    let sizes = SIZES.map(|accounts| Size { accounts });
    let mut text = "| accounts | 100 | 1,000 | 10,000 |\n| --- | --- | --- | --- |".to_owned();
    let line =
        |name: &str, of: &dyn Fn(&Size) -> String| format!("\n| {name} | {} |", sizes.each_ref().map(of).join(" | "));
    for (name, of) in rows {
        text += &line(name, &of);
    }
    text + &line("besides: KMS without a bucket key", &|size| dollars(size.keys()))
}

#[test]
fn the_table_of_sizes_and_costs_is_what_the_figures_come_to() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md");
    let text = std::fs::read_to_string(&path).expect("docs/operating.md");
    let (before, rest) = text.split_once("<!-- begin sizes -->\n").expect("a block");
    let (told, after) = rest.split_once("\n<!-- end sizes -->").expect("a block");
    if std::env::var_os("TRAILWARDEN_BLESS").is_some_and(|value| value == "1") {
        let text = format!("{before}<!-- begin sizes -->\n{}\n<!-- end sizes -->{after}", table());
        std::fs::write(&path, text).expect("docs/operating.md");
    } else {
        assert_eq!(told, table(), "`TRAILWARDEN_BLESS=1 cargo test --test host sizes` writes it anew");
    }
}

/// The figures that it starts from are those that were measured, and the defaults that hold.
#[test]
fn the_figures_are_those_of_the_documentation() {
    let read = |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file");
    let (measured, reference) = (read("docs/performance.md"), read("config/reference.toml"));
    for figure in ["**2,218 objects a second**", "| **202** ", "| **28.3** ", "13 kB stored against about 20"] {
        assert!(measured.contains(figure), "docs/performance.md no longer says {figure}");
    }
    for default in ["scrub_limit = \"20MiB\"", "reconcile_requests = 3600", "scrub = \"30d\"", "fold = \"14d\""] {
        assert!(reference.contains(default), "config/reference.toml no longer says {default}");
    }
}
