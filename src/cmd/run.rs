//! `run`: the daemon.

use crate::cmd::{Context, Exit, Outcome, complain};
use crate::config::Config;
use crate::daemon;
use crate::env::Env;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Work until the queue is empty, nothing is in flight and all due work is done; then exit
    #[arg(long)]
    drain: bool,
}

pub async fn run(context: &Context, config: Config, env: &Env, args: Args) -> Outcome {
    if !args.drain {
        daemon::run(config, &context.config, env).await?;
        return Ok(Exit::Done);
    }
    let drained = daemon::drain(config, &context.config, env).await?;
    if drained.deferred > 0 {
        complain(&format!("{} messages stay in the queue: their objects could not be read", drained.deferred));
    }
    if drained.unsent > 0 {
        complain(&format!("{} alerts are not sent yet", drained.unsent));
    }
    Ok(if drained.deferred > 0 || drained.unsent > 0 { Exit::Unsure } else { Exit::Done })
}
