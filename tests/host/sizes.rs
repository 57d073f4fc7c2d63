//! What wardens need and cost, worked out from measured figures and list prices: the tables of docs/operating.md.

use std::path::Path;

const SIZES: [f64; 3] = [100.0, 1_000.0, 10_000.0];
/// Accounts, and how many wardens divide them.
const DIVIDED: [(f64, f64); 4] = [(10_000.0, 1.0), (10_000.0, 5.0), (10_000.0, 10.0), (100_000.0, 10.0)];
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
/// The least that two processors do with answers 20 ms late (wanted by `cargo bench --bench press`).
const AT_LEAST: f64 = 1_500.0;
const OPEN_BYTES: f64 = 202.0;
const FOLDED_BYTES: f64 = 28.3;
/// Default of `state.fold`.
const OPEN_DAYS: f64 = 14.0;
/// Default of `verify.scrub_limit`, in bytes a second.
const SCRUB_LIMIT: f64 = 20.0 * 1024.0 * 1024.0;
/// Default of `verify.reconcile_requests`.
const REQUESTS_A_DAY: f64 = 3_600.0 * 24.0;

// List prices of us-east-1, US dollars, the middle of 2026; who says so of each: docs/operating.md, Prices.
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

    /// How many times the average a host takes when more comes.
    fn peak(&self) -> f64 {
        AT_LEAST * 86_400.0 / self.objects()
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

/// Of one warden of several, each with as many accounts as the others.
fn divided_table() -> String {
    type Row = (&'static str, fn(&Size, f64) -> String);
    let rows: [Row; 9] = [
        ("accounts of each", |size, _| round(size.accounts)),
        ("objects a second of each, on average", |size, _| round(size.objects() / 86_400.0)),
        ("processors busy in each, on average", |size, _| round(size.processors().max(0.01))),
        ("each takes at its peak, times its average", |size, _| round(size.peak())),
        ("GB of ledger of each after a year", |size, _| round(size.ledger() / 1e9)),
        ("host of each", |size, _| if size.is_small() { "t3.small" } else { "m7g.large" }.to_owned()),
        ("each, a month", |size, _| format!("${}", round(size.sum()))),
        ("**all together, a month**", |size, count| format!("**${}**", round(size.sum() * count))),
        ("besides: the scrub of a year in 30 days, all", |size, count| format!("${}", round(size.scrub() * count))),
    ];
    let columns = DIVIDED.map(|(accounts, count)| (Size { accounts: accounts / count }, count));
    let heads = DIVIDED.map(|(accounts, count)| match count {
        1.0 => format!("{}, one warden", round(accounts)),
        count => format!("{} in {count} shards", round(accounts)),
    });
    let mut text = format!("| accounts | {} |\n|{}", heads.join(" | "), " --- |".repeat(heads.len() + 1));
    for (name, of) in rows {
        let cells: Vec<String> = columns.iter().map(|(size, count)| of(size, *count)).collect();
        text += &format!("\n| {name} | {} |", cells.join(" | "));
    }
    text
}

#[test]
fn the_tables_of_sizes_and_costs_are_what_the_figures_come_to() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md");
    for (name, table) in [("sizes", table()), ("shards", divided_table())] {
        let text = std::fs::read_to_string(&path).expect("docs/operating.md");
        let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("\n<!-- end {name} -->"));
        let (before, rest) = text.split_once(&begin).expect("a block");
        let (told, after) = rest.split_once(&end).expect("a block");
        if std::env::var_os("TRAILWARDEN_BLESS").is_some_and(|value| value == "1") {
            let text = format!("{before}{begin}{table}{end}{after}");
            std::fs::write(&path, text).expect("docs/operating.md");
        } else {
            assert_eq!(told, table, "`TRAILWARDEN_BLESS=1 cargo test --test host sizes` writes it anew");
        }
    }
}

/// The figures that it starts from are those that were measured, and the defaults that hold.
#[test]
fn the_figures_are_those_of_the_documentation() {
    let read = |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file");
    let (measured, reference) = (read("docs/performance.md"), read("config/reference.toml"));
    for figure in ["**2,218 objects a second**", "1,500", "| **202** ", "| **28.3** ", "13 kB stored against about 20"]
    {
        assert!(measured.contains(figure), "docs/performance.md no longer says {figure}");
    }
    for default in ["scrub_limit = \"20MiB\"", "reconcile_requests = 3600", "scrub = \"30d\"", "fold = \"14d\""] {
        assert!(reference.contains(default), "config/reference.toml no longer says {default}");
    }
}
