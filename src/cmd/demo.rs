//! `demo`: a made-up organization through the real flows, on directories, with trouble planted.

mod guard;
mod play;
mod report;

use std::path::PathBuf;

use jiff::Timestamp;

use crate::cmd::{Context, Exit, Failure, Outcome, moment, print, print_json};
use crate::env::Env;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Another number makes another organization
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the world here (a new or empty directory), and say how to explore it
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The day that is played ends here: a time that is past, cut to the hour, or a date [default: the last full hour]. The same
    /// seed and time make the same records, whenever and wherever it is
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Play the day in one go, without showing the hours as they pass
    #[arg(long)]
    once: bool,
    /// One JSON document instead of the report
    #[arg(long)]
    json: bool,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let show = context.progress && !args.once && !args.json;
    let wanted = play::Wanted { seed: args.seed, until: until(args.until.as_deref())?, keep: args.dir.as_deref() };
    let played = play::day(&wanted, show, context.color).await?;
    if args.json {
        print_json(&report::document(&played))?;
    } else {
        print(&report::text(context, &played))?;
    }
    Ok(if played.is_right() { Exit::Done } else { Exit::Bad })
}

/// The end of the day: the last full hour, so that whoever explores a kept world finds it fresh, or what was asked for.
fn until(text: Option<&str>) -> Result<Timestamp, Failure> {
    let env = Env::system();
    let now = env.now();
    let wanted = text.map(|text| moment(text, &env)).transpose()?.unwrap_or(now);
    // a ledger that was written in the future cannot be opened
    if wanted > now {
        return Err(Failure::Usage("--until lies in the future".into()));
    }
    let second = wanted.as_second();
    Ok(Timestamp::from_second(second - second.rem_euclid(3_600)).unwrap_or(Timestamp::UNIX_EPOCH))
}
