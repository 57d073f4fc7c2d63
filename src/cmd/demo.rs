//! `demo`: a made-up organization through the real flows, on directories, with trouble planted.

mod guard;
mod play;
mod report;

use std::path::PathBuf;

use crate::cmd::{Context, Exit, Outcome, print, print_json};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Another number makes another organization
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the world here (a new or empty directory), and say how to explore it
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Play the day in one go, without showing the hours as they pass
    #[arg(long)]
    once: bool,
    /// One JSON document instead of the report
    #[arg(long)]
    json: bool,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let show = context.progress && !args.once && !args.json;
    let played = play::day(args.seed, args.dir.as_deref(), show, context.color).await?;
    if args.json {
        print_json(&report::document(&played))?;
    } else {
        print(&report::text(context, &played))?;
    }
    Ok(if played.is_right() { Exit::Done } else { Exit::Bad })
}
