//! `check-config`: is the file good, and what does it mean.

use crate::cmd::{Context, Exit, Outcome, print};

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
    let plural = if config.trails.len() == 1 { "" } else { "s" };
    print(&format!("{} is good: {} trail{plural}\n", context.config.display(), config.trails.len()))?;
    Ok(Exit::Done)
}
