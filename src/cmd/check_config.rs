//! `check-config`: is the file good, and what does it mean.

use crate::cmd::{self, Context, Exit, Outcome, print};
use crate::config::{ConfigError, rules};

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
    let plural = if config.trails.len() == 1 { "" } else { "s" };
    let detect = match config.detect.len() as u64 {
        0 => String::new(),
        rules => format!(", {}, of which {tests} tests hold", cmd::plural(rules, "rule")),
    };
    print(&format!("{} is good: {} trail{plural}{detect}\n", context.config.display(), config.trails.len()))?;
    Ok(Exit::Done)
}
