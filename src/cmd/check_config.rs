//! `check-config`: is the file good, and what does it mean.

use crate::cmd::{self, Context, Exit, Outcome, print};
use crate::config::{Config, ConfigError, MembersFrom, rules};
use crate::core::printable;
use crate::local::members;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print every setting as it is understood
    #[arg(long)]
    print: bool,
}

pub fn run(context: &Context, args: &Args) -> Outcome {
    let config = context.load()?;
    if args.print {
        let meaning = config.meaning();
        let width = meaning.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines: String = meaning.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect();
        print(&lines)?;
    }
    let (tests, failed) = rules::test(config.detect.iter());
    if let Some(first) = failed.first() {
        let more =
            if failed.len() > 1 { format!(" (and {} more tests fail)", failed.len() - 1) } else { String::new() };
        let message = format!("rule `{}`: {}{more}", first.rule, first.why);
        return Err(ConfigError::new(&first.origin, message).into());
    }
    for unit in empty_units(&config) {
        print(&format!("note: no member is in the unit `{}` of a [[retention.override]]\n", printable(&unit, 100)))?;
    }
    let plural = if config.trails.len() == 1 { "" } else { "s" };
    let detect = match config.detect.len() as u64 {
        0 => String::new(),
        rules => format!(", {}, of which {tests} tests hold", cmd::plural(rules, "rule")),
    };
    print(&format!("{} is good: {} trail{plural}{detect}\n", context.config.display(), config.trails.len()))?;
    Ok(Exit::Done)
}

/// Units of overrides that nobody is in, where a file says who is.
fn empty_units(config: &Config) -> Vec<String> {
    let (Some(retention), MembersFrom::File(path)) = (&config.retention, &config.organization.members) else {
        return Vec::new();
    };
    // Whether the list can be read is the doctor's to say.
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let members = members::parse(&text).unwrap_or_default();
    retention.promise.empty_units(members.iter().map(|member| &member.ou))
}
