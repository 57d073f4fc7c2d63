//! `verify`: prove a range, online from a bucket or offline from a copy of one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};

use crate::cmd::findings::severity_style;
use crate::cmd::{
    Context, Exit, Failure, Outcome, grouped, interrupted, moment, plural, print, print_json, style, whole_seconds,
};
use crate::config::{Config, KeysFrom, Validation};
use crate::core::chain::ChainId;
use crate::core::finding::Held;
use crate::core::gzip::Caps;
use crate::core::id::{AccountId, Region};
use crate::core::printable;
use crate::core::shard::Shard;
use crate::env::Env;
use crate::local::dir::Dir;
use crate::store::{self, digests};
use crate::verify::{self, Progress, Range, Report, Verdict};
use crate::wiring::{self, Cloud};

/// How far back `verify` looks in a live bucket when nothing else is said.
const DEFAULT_SPAN: SignedDuration = SignedDuration::from_hours(24);
/// Chains and unchecked parts that are listed without --verbose.
const BRIEF: usize = 12;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Begin: a time, a date, or a span back such as 24h [default: 24h online, everything offline]
    #[arg(long, alias = "start-time", value_name = "TIME")]
    from: Option<String>,
    /// End: digests that end up to then are expected [default: now; offline: as far as the copy reaches]
    #[arg(long, alias = "end-time", value_name = "TIME")]
    to: Option<String>,
    /// Only this account [default: all, with [shard] those of the shard]
    #[arg(long, alias = "account-id", value_name = "ID")]
    account: Option<AccountId>,
    /// Only this region's digests
    #[arg(long)]
    region: Option<Region>,
    /// Only this trail's chains (arn:…:trail/NAME); other trails still count as coverage
    #[arg(long, value_name = "ARN")]
    trail_arn: Option<String>,
    /// Only this bucket; without a configuration, with the default AWS credentials
    #[arg(long, value_name = "BUCKET", conflicts_with = "offline")]
    s3_bucket: Option<String>,
    /// Only accounts under this prefix
    #[arg(long, value_name = "PREFIX")]
    s3_prefix: Option<String>,
    /// Verify a directory: a copy of a bucket, with or without metadata sidecars; needs no configuration
    #[arg(long, value_name = "DIR")]
    offline: Option<PathBuf>,
    /// Saved public keys (`<region>.json`, `default.json`), as `trailwarden keys save` writes them
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// The bucket's real name, where a copy stands for it [default: what the digests agree on]
    #[arg(long, value_name = "NAME")]
    bucket_name: Option<String>,
    /// A trail without validation delivers here too: a log that no digest lists is not bad
    #[arg(long)]
    allow_unlisted: bool,
    /// Objects read at once
    #[arg(long, default_value_t = 128, value_name = "N")]
    concurrency: usize,
    /// List every chain and everything that could not be checked
    #[arg(long)]
    verbose: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let env = Env::system();
    let ranges = ranges(context, &args, &env).await?;
    let mut whole: Option<Report> = None;
    for range in ranges {
        let progress = Arc::new(Progress::default());
        let bar = context.progress.then(|| draw_progress(progress.clone()));
        let outcome = tokio::select! {
            outcome = verify::verify(range, progress) => outcome,
            () = interrupted() => return Ok(Exit::Interrupted),
        };
        if let Some(bar) = bar {
            bar.abort();
        }
        let report = outcome?;
        whole = Some(match whole {
            Some(so_far) => so_far.join(report),
            None => report,
        });
    }
    let Some(report) = whole else { return Err(Failure::Usage("nothing to verify".into())) };
    if args.json {
        print_json(&report)?;
    } else {
        print(&draw(context, &report, args.verbose))?;
    }
    Ok(match report.verdict {
        Verdict::Good => Exit::Done,
        Verdict::Bad => Exit::Bad,
        Verdict::Incomplete => Exit::Unsure,
    })
}

async fn ranges(context: &Context, args: &Args, env: &Env) -> Result<Vec<Range>, Failure> {
    let time = |text: &Option<String>| text.as_ref().map(|text| moment(text, env)).transpose();
    let (from, to) = (time(&args.from)?, time(&args.to)?);
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(Failure::Usage("--from must lie before --to".into()));
    }
    let trail = args.trail_arn.as_deref().map(parse_trail).transpose()?;
    let blank = |bucket, keys| Range {
        bucket,
        keys,
        bucket_name: args.bucket_name.clone(),
        from,
        to,
        now: whole_seconds(env.now()),
        grace: SignedDuration::from_mins(90),
        account: args.account,
        shard: Shard::WHOLE,
        region: args.region.clone(),
        trail: trail.clone(),
        prefix: args.s3_prefix.clone(),
        unlisted: !args.allow_unlisted,
        known: Vec::new(),
        caps: Caps::default(),
        object_limit: 64 << 20,
        concurrency: args.concurrency,
    };
    if let Some(dir) = &args.offline {
        let Some(keys) = &args.keys else {
            return Err(Failure::Usage(
                "--offline needs --keys DIR: saved public keys are what a copy is proven with".into(),
            ));
        };
        if !keys.is_dir() {
            return Err(Failure::Usage(format!("--keys {}: no such directory", keys.display())));
        }
        return Ok(vec![blank(Arc::new(Dir::open(dir)?), wiring::open_keys(keys))]);
    }
    let from = Some(from.unwrap_or_else(|| to.unwrap_or_else(|| whole_seconds(env.now())) - DEFAULT_SPAN));
    if let (Some(name), false) = (&args.s3_bucket, context.config.exists()) {
        let aws = wiring::connect(None, None).await;
        let keys = args.keys.as_ref().map_or_else(|| Arc::new(aws.public_keys()) as _, |dir| wiring::open_keys(dir));
        let mut range = blank(Arc::new(aws.bucket(name.clone(), None)), keys);
        range.from = from;
        range.bucket_name = Some(args.bucket_name.clone().unwrap_or_else(|| name.clone()));
        return Ok(vec![range]);
    }
    let config = context.load_without_secrets()?;
    let mut ranges = Vec::new();
    for trail in &config.trails {
        let name = wiring::real_name(trail);
        if args.s3_bucket.is_some() && args.s3_bucket != name {
            continue;
        }
        let cloud = Cloud::of(trail);
        let from_dir = args.keys.clone().map(KeysFrom::Dir);
        let keys = wiring::keys(from_dir.as_ref().unwrap_or(&trail.keys), &cloud).await;
        let mut range = blank(wiring::bucket(trail, &cloud).await?, keys);
        range.from = from;
        range.bucket_name = args.bucket_name.clone().or(name);
        range.grace = SignedDuration::try_from(config.verify.grace).unwrap_or(range.grace);
        range.unlisted &= trail.validation == Validation::All;
        range.caps = wiring::caps(&config);
        range.object_limit = config.limits.object;
        // Whoever names an account asks for that one, whosever it is.
        range.shard = args.account.map_or(config.shard, |_| Shard::WHOLE);
        range.known = known_chains(&config, &trail.name).await?;
        ranges.push(range);
    }
    if ranges.is_empty() {
        return Err(Failure::Usage("--s3-bucket names no bucket of the configuration".into()));
    }
    Ok(ranges)
}

/// `arn:aws:cloudtrail:us-east-1:999988887777:trail/org-main` → name and home region.
fn parse_trail(arn: &str) -> Result<(String, Region), Failure> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let parsed = match parts.as_slice() {
        ["arn", _, "cloudtrail", home, _, resource] => {
            resource.strip_prefix("trail/").zip(Region::parse(home).ok()).map(|(name, home)| (name.to_owned(), home))
        }
        _ => None,
    };
    parsed.ok_or_else(|| {
        Failure::Usage(format!("`{arn}` is no trail's ARN: arn:aws:cloudtrail:REGION:ACCOUNT:trail/NAME"))
    })
}

/// What the ledger knows of the trail's chains: they are expected, even if the bucket has nothing of them any more.
async fn known_chains(config: &Config, trail: &str) -> Result<Vec<(ChainId, Timestamp)>, Failure> {
    if !config.state.exists() {
        return Ok(Vec::new());
    }
    let trail = trail.to_owned();
    let chains = store::peek(&config.state, move |conn| {
        let id: Option<i64> = conn
            .prepare("SELECT id FROM sources WHERE name = ?1")?
            .query_map([trail], |row| row.get(0))?
            .next()
            .transpose()?;
        id.map_or(Ok(vec![]), |id| digests::chains(conn, id))
    })
    .await?;
    Ok(chains
        .into_iter()
        .filter_map(|chain| Some((chain.chain, chain.head?)))
        .filter(|(chain, _)| !chain.backfill)
        .collect())
}

fn draw_progress(progress: Arc<Progress>) -> tokio::task::JoinHandle<()> {
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("verifying {bar:30} {human_pos}/{human_len} objects, {per_sec}, {msg}")
    {
        bar.set_style(style);
    }
    tokio::spawn(async move {
        let guard = Cleared(bar);
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            guard.0.set_length(progress.objects.load(Ordering::Relaxed));
            guard.0.set_position(progress.objects_done.load(Ordering::Relaxed));
            let (done, all) = (progress.groups_done.load(Ordering::Relaxed), progress.groups.load(Ordering::Relaxed));
            guard.0.set_message(format!("{done}/{all} account regions"));
        }
    })
}

/// Takes the bar off the terminal, however the drawing ends.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn draw(context: &Context, report: &Report, verbose: bool) -> String {
    let mut text = String::new();
    let verdict = match report.verdict {
        Verdict::Good => context.paint(style::GOOD, "good: every digest and log in the range is proven"),
        Verdict::Bad => context.paint(style::BAD, "bad: the evidence does not hold"),
        Verdict::Incomplete => {
            context.paint(style::WARN, "incomplete: nothing bad was seen, and not everything could be checked")
        }
    };
    text.push_str(&format!("{verdict}\n"));
    if let Some(bucket) = &report.bucket {
        text.push_str(&format!("bucket   {}\n", printable(bucket, 100)));
    }
    let bound = |time: Option<Timestamp>, or: &str| time.map_or_else(|| or.to_owned(), |time| time.to_string());
    text.push_str(&format!("range    {} to {}\n", bound(report.from, "the beginning"), bound(report.to, "the end")));
    let (digests, logs) = (&report.digests, &report.logs);
    text.push_str(&format!(
        "digests  {} good, {} bad, {} missing, {} could not be checked\n",
        grouped(digests.good),
        grouped(digests.bad),
        grouped(digests.missing),
        grouped(digests.unchecked)
    ));
    text.push_str(&format!(
        "logs     {} good, {} bad, {} missing, {} unlisted, {} could not be checked\n",
        grouped(logs.good),
        grouped(logs.bad),
        grouped(logs.missing),
        grouped(logs.unlisted),
        grouped(logs.unchecked)
    ));
    text.push_str(&format!("chains   {}\n", grouped(report.chains.len() as u64)));
    let shown = if verbose { report.chains.len() } else { report.chains.len().min(BRIEF) };
    for chain in report
        .chains
        .iter()
        .filter(|chain| verbose || chain.verdict != Verdict::Good || report.chains.len() <= BRIEF)
        .take(shown)
    {
        let verdict = match chain.verdict {
            Verdict::Good => context.paint(style::GOOD, "good      "),
            Verdict::Bad => context.paint(style::BAD, "bad       "),
            Verdict::Incomplete => context.paint(style::WARN, "incomplete"),
        };
        text.push_str(&format!(
            "  {verdict} {} {} {} {} {}, {}, {} to {}\n",
            chain.account,
            chain.region,
            chain.trail,
            chain.kind,
            plural(chain.digests, "digest"),
            plural(chain.logs, "log"),
            bound(chain.first, "-"),
            bound(chain.last, "-")
        ));
    }
    if !report.findings.is_empty() {
        text.push_str(&format!(
            "\n{}\n",
            context.paint(style::STRONG, plural(report.findings.len() as u64, "finding"))
        ));
        for held in &report.findings {
            text.push_str(&draw_finding(context, held));
        }
    }
    if !report.unchecked.is_empty() {
        text.push_str(&format!("\n{}\n", context.paint(style::STRONG, "could not be checked")));
        let shown = if verbose { report.unchecked.len() } else { BRIEF };
        for line in report.unchecked.iter().take(shown) {
            text.push_str(&format!("  {}\n", printable(line, 500)));
        }
        if report.unchecked.len() > shown {
            text.push_str(&format!("  … and {} more (--verbose)\n", report.unchecked.len() - shown));
        }
    }
    text
}

fn draw_finding(context: &Context, held: &Held) -> String {
    let severity = context.paint(severity_style(held.severity), format!("{:<8}", held.severity.name()));
    let mut text = format!("  {severity} {:<24} {}\n", held.kind.name(), held.kind.title());
    let mut line = |name: &str, value: String| text.push_str(&format!("           {name:<9}{value}\n"));
    if let Some(object) = &held.object {
        line("object", printable(object, 1024));
    } else {
        let place =
            [held.account.map(|id| id.to_string()), held.region.as_ref().map(ToString::to_string), held.trail.clone()];
        line("where", place.into_iter().flatten().collect::<Vec<_>>().join(" "));
    }
    if !held.hours.is_empty() {
        line("hours", held.hours.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    line("evidence", printable(&held.detail, 600));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trails_arn_gives_name_and_home_region() {
        let (name, home) = parse_trail("arn:aws-cn:cloudtrail:cn-north-1:999988887777:trail/a_b").unwrap();
        assert_eq!((name.as_str(), home.as_str()), ("a_b", "cn-north-1"));
        for bad in ["org-main", "arn:aws:s3:::bucket", "arn:aws:cloudtrail:us-east-1:999988887777:channel/x"] {
            assert!(parse_trail(bad).is_err(), "{bad}");
        }
    }
}
