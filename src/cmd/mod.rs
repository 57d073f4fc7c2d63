//! One file per verb, glue only. Data goes to stdout, everything else to stderr.

pub mod archive;
pub mod backfill;
pub mod channel;
pub mod check_config;
pub mod coverage;
pub mod demo;
pub mod doctor;
pub mod findings;
pub mod insights;
pub mod keys;
pub mod ledger;
pub mod lookup;
pub mod posture;
pub mod quarantine;
pub mod query;
pub mod reconcile;
pub mod retention;
pub mod rule;
pub mod run;
pub mod status;
pub mod verify;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, ConfigError};
use crate::env::Env;
use crate::error::Error;

/// What every verb is given.
pub struct Context {
    pub config: PathBuf,
    /// Whether stdout takes color.
    pub color: bool,
    /// Whether stderr takes a progress bar.
    pub progress: bool,
}

fn warned(config: Config) -> Config {
    for warning in &config.warnings {
        complain(&format!("warning: {warning}"));
    }
    config
}

impl Context {
    pub fn load(&self) -> Result<Config, Failure> {
        Ok(warned(Config::load(&self.config)?))
    }

    /// For verbs that open no channel: whoever is on call need not be let into the secrets.
    pub fn load_without_secrets(&self) -> Result<Config, Failure> {
        Ok(warned(Config::load_without_secrets(&self.config)?))
    }

    pub fn paint(&self, style: &str, text: impl fmt::Display) -> String {
        if self.color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// Styles of the terminal, by meaning.
pub mod style {
    pub const BAD: &str = "1;31";
    pub const WARN: &str = "33";
    pub const GOOD: &str = "32";
    pub const DIM: &str = "2";
    pub const STRONG: &str = "1";
}

/// How a verb ended, when it worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// Worked, and the news is bad.
    Bad,
    /// Some part unchecked, nothing bad seen.
    Unsure,
    Interrupted,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Bad => 4,
            Self::Unsure => 5,
            Self::Interrupted => 130,
        }
    }
}

/// Why a verb did not work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Warden(#[from] Error),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Failure {
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Config(_) => 3,
            _ if self.is_broken_pipe() => 0,
            _ => 1,
        }
    }

    /// Whoever reads our output has seen enough.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// A line on stderr. When nobody listens there, nothing is to be done about it.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Until somebody asks this process to end: at the terminal, or as a supervisor does.
pub async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

pub type Outcome = Result<Exit, Failure>;

pub fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

pub fn print(text: &str) -> io::Result<()> {
    print_bytes(text.as_bytes())
}

/// One document on stdout.
pub fn print_json(value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print(&text)
}

/// A time or a span back from now: `2026-03-01`, `2026-03-01T22:00:00Z`, `24h`.
pub fn moment(text: &str, env: &Env) -> Result<Timestamp, Failure> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>()
        && let Ok(midnight) = date.to_zoned(TimeZone::UTC)
    {
        return Ok(midnight.timestamp());
    }
    if let Ok(time) = text.parse::<jiff::civil::DateTime>()
        && let Ok(zoned) = time.to_zoned(TimeZone::UTC)
    {
        return Ok(zoned.timestamp());
    }
    if let Ok(back) = crate::config::units::duration(text) {
        let now = whole_seconds(env.now());
        return Ok(now - SignedDuration::try_from(back).unwrap_or(SignedDuration::ZERO));
    }
    Err(Failure::Usage(format!(
        "`{text}` is no time: write 2026-03-01, 2026-03-01T22:00:00Z, or a span back such as 24h"
    )))
}

/// Digests and deliveries are told to the second; more digits only hurt the eye.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// `12,345`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 log`, `2 logs`
pub fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}
