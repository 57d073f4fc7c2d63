//! The command line: composes each verb's arguments. Man page, completions and docs come from this tree.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use tokio::runtime::Builder;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

use crate::cmd::{self, Context, Exit};
use crate::env::Env;
use crate::otlp::{self, Outlet};

/// Watches over an organization's CloudTrail archive: judges every delivery, proves every digest chain, tells what is wrong.
#[derive(Debug, Parser)]
#[command(name = "trailwarden", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
    #[command(flatten)]
    pub global: Global,
}

#[derive(Debug, clap::Args)]
pub struct Global {
    /// The configuration file
    #[arg(
        long,
        short,
        global = true,
        env = "TRAILWARDEN_CONFIG",
        default_value = "/etc/trailwarden/trailwarden.toml",
        value_name = "FILE"
    )]
    pub config: PathBuf,
    /// Say more on stderr (-v debug, -vv trace)
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose_log: u8,
    /// Say only warnings and errors on stderr
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// When to color what people read
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

const EXIT_CODES: &str = "Exit codes:
  0    done, nothing to report
  1    failed (I/O, AWS, internal)
  2    bad usage
  3    bad configuration
  4    worked, and the news is bad
  5    could not tell: some part unchecked, nothing bad seen
  130  interrupted";

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The daemon: consume notifications, judge, verify, alert
    Run(cmd::run::Args),
    /// Play a made-up organization through the real flows, with planted trouble
    Demo(cmd::demo::Args),
    /// Is the configuration good, and what does it mean (no network)
    CheckConfig(cmd::check_config::Args),
    /// Is the world good: permissions, queue, keys, clock, disk; and which IAM policies the warden needs
    Doctor(cmd::doctor::Args),
    /// What the warden knows; works while it runs
    Status(cmd::status::Args),
    /// Which hours of which account and region are proven, and which are missing
    Coverage(cmd::coverage::Args),
    /// Verify digest chains and logs over a range, online or from a copy
    Verify(cmd::verify::Args),
    /// Settle what lies in the bucket and was never announced
    Backfill(cmd::backfill::Args),
    /// Compare bucket and ledger object by object, settle what was missed, tell what is gone
    Reconcile(cmd::reconcile::Args),
    /// The records of all logs in Parquet: check, compact, import, expire, tables for other engines
    Archive(cmd::archive::Args),
    /// Who did what, when: look records up in the archive, of any age, or in raw logs
    Lookup(cmd::lookup::Args),
    /// SQL over the archive, or over raw logs
    Query(cmd::query::Args),
    /// The archive's retention: plan, apply, legal holds
    Retention(cmd::retention::Args),
    /// What protects the archive: every weakness, its risk and the correction to paste
    Posture(cmd::posture::Args),
    /// Findings: list, show, acknowledge, resolve
    Findings(cmd::findings::Args),
    /// Detection rules: list, show, test, explain, try on history
    Rule(cmd::rule::Args),
    /// What was called, or failed, unusually often
    Insights(cmd::insights::Args),
    /// Messages that could not be understood: list, show, replay, drop
    Quarantine(cmd::quarantine::Args),
    /// Alert channels: send a marked test alert
    Channel(cmd::channel::Args),
    /// Digest-signing keys: save them for offline verification
    Keys(cmd::keys::Args),
    /// The ledger itself: check it, copy it, bring it back
    Ledger(cmd::ledger::Args),
    /// Print the manual page
    #[command(hide = true)]
    Man,
    /// Print shell completions
    #[command(hide = true)]
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

impl Color {
    fn decide(self, terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
        }
    }
}

/// Parse, run, exit code. All of it is compiled with the library: a program of one call has nothing to compile again.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            cmd::complain(&format!("error: {error}"));
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(run(cli));
    // A blocking read that hangs must not keep the process.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// Runs one verb to its exit code.
async fn run(cli: Cli) -> u8 {
    let context = Context {
        config: cli.global.config.clone(),
        color: cli.global.color.decide(std::io::stdout().is_terminal()),
        progress: std::io::stderr().is_terminal() && !cli.global.quiet,
    };
    if !matches!(cli.verb, Verb::Run(_)) {
        start_log(&cli.global, false, None);
    }
    let outcome = match cli.verb {
        Verb::Run(args) => run_daemon(&cli.global, &context, args).await,
        Verb::Demo(args) => cmd::demo::run(&context, args).await,
        Verb::CheckConfig(args) => cmd::check_config::run(&context, &args),
        Verb::Doctor(args) => cmd::doctor::run(&context, args).await,
        Verb::Status(args) => cmd::status::run(&context, &args).await,
        Verb::Coverage(args) => cmd::coverage::run(&context, args).await,
        Verb::Verify(args) => cmd::verify::run(&context, args).await,
        Verb::Backfill(args) => cmd::backfill::run(&context, args).await,
        Verb::Reconcile(args) => cmd::reconcile::run(&context, args).await,
        Verb::Archive(args) => cmd::archive::run(&context, args).await,
        Verb::Lookup(args) => cmd::lookup::run(&context, args).await,
        Verb::Query(args) => cmd::query::run(&context, args).await,
        Verb::Retention(args) => cmd::retention::run(&context, args).await,
        Verb::Posture(args) => cmd::posture::run(&context, args).await,
        Verb::Findings(args) => cmd::findings::run(&context, args).await,
        Verb::Rule(args) => cmd::rule::run(&context, args).await,
        Verb::Insights(args) => cmd::insights::run(&context, args).await,
        Verb::Quarantine(args) => cmd::quarantine::run(&context, args).await,
        Verb::Channel(args) => cmd::channel::run(&context, args).await,
        Verb::Keys(args) => cmd::keys::run(&context, args).await,
        Verb::Ledger(args) => cmd::ledger::run(&context, args).await,
        Verb::Man => man(),
        Verb::Completions { shell } => completions(shell),
    };
    match outcome {
        Ok(exit) => exit.code(),
        Err(failure) => {
            if !failure.is_broken_pipe() {
                cmd::complain(&format!("error: {failure}"));
            }
            failure.code()
        }
    }
}

/// Where the daemon's log goes, too, its configuration says.
async fn run_daemon(global: &Global, context: &Context, args: cmd::run::Args) -> cmd::Outcome {
    let config = context.load()?;
    let env = Env::system();
    let (told, refused) = match config.otlp.as_ref().map(|to| otlp::open(to, &config.name, &env)).transpose() {
        Ok(told) => (told, None),
        Err(error) => (None, Some(error)),
    };
    let (outlet, sending) = told.unzip();
    start_log(global, true, outlet);
    if let Some(error) = refused {
        tracing::error!(error = %error, "the collector cannot be told anything");
    }
    let outcome = cmd::run::run(context, config, &env, args).await;
    if let Some(sending) = sending {
        sending.stop().await;
    }
    outcome
}

fn man() -> cmd::Outcome {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    cmd::print_bytes(&page)?;
    Ok(Exit::Done)
}

fn completions(shell: clap_complete::Shell) -> cmd::Outcome {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "trailwarden", &mut text);
    cmd::print_bytes(&text)?;
    Ok(Exit::Done)
}

/// The daemon logs JSON for the journal, and to a collector if it has one; every other verb logs for a person, and only what went
/// wrong.
fn start_log(global: &Global, daemon: bool, outlet: Option<Outlet>) {
    let level = match (global.quiet, global.verbose_log, daemon) {
        (true, _, _) => "warn",
        (_, 0, true) => "info",
        (_, 0, false) => "error",
        (_, 1, _) => "debug",
        _ => "trace",
    };
    // The SDK's own chatter is only of use to whoever asked for everything.
    let sdk = if level == "trace" { "debug" } else { "warn" };
    let filter = EnvFilter::new(format!("{sdk},trailwarden={level}"));
    let least: LevelFilter = level.parse().unwrap_or(LevelFilter::INFO);
    // A log that nobody takes must not end the program: telling of it on stderr would.
    let lines = fmt::layer().with_writer(std::io::stderr).log_internal_errors(false).with_target(false);
    let lines = if daemon {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.with_ansi(global.color.decide(std::io::stderr().is_terminal())).without_time().boxed()
    };
    let said = filter_fn(|about| about.is_event()).with_max_level_hint(LevelFilter::TRACE);
    let lines = lines.with_filter(filter.and(said));
    let heard = move |about: &Metadata<'_>| Outlet::hears(about) && (about.is_span() || *about.level() <= least);
    let heard = filter_fn(heard).with_max_level_hint(least.max(LevelFilter::INFO));
    registry().with(lines).with(outlet.map(|outlet| outlet.with_filter(heard))).init();
}
