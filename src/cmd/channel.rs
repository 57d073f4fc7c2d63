//! `channel test`: a marked test alert, so that nobody learns of a broken channel from a real one.

use clap::Subcommand;
use jiff::Timestamp;

use crate::channel;
use crate::cmd::{Context, Exit, Failure, Outcome, print};
use crate::core::alert::{Alert, Reason};
use crate::core::finding::{Finding, Held, Kind};
use crate::env::Env;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Send a test alert to one channel
    Test { name: String },
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let Verb::Test { name } = args.verb;
    let config = context.load()?;
    let configured = config.channels.get(&name).ok_or_else(|| {
        let known: Vec<&str> = config.channels.keys().map(String::as_str).collect();
        Failure::Usage(format!("no channel `{name}`; the configuration has: {}", known.join(", ")))
    })?;
    let env = Env::system();
    let alert = Alert::new(Reason::Test, example(env.now()), &config.name);
    channel::open(configured, &env).await?.send(&format!("test-{}", env.token()), &alert).await?;
    if configured.kind() != "stdout" {
        print(&format!("a test alert was sent to {name} ({})\n", configured.kind()))?;
    }
    Ok(Exit::Done)
}

fn example(now: Timestamp) -> Held {
    Finding::new(Kind::Heartbeat, "test", "this is a test alert; nothing happened").held(now)
}
