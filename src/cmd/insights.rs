//! `insights`: what was called, or failed, unusually often, as Insights records say it: CloudTrail's and ours.

use std::io::{self, Write};

use crate::cmd::{Context, Exit, Failure, Outcome, moment, style};
use crate::core::anomaly::State;
use crate::core::id::AccountId;
use crate::core::printable;
use crate::env::Env;
use crate::store::{self, insights};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Begin: a time, a date, or a span back such as 7d
    #[arg(long, value_name = "TIME", default_value = "30d")]
    from: String,
    /// End [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only this account
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// One record of CloudTrail's own schema a line
    #[arg(long)]
    json: bool,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let (config, env) = (context.load_without_secrets()?, Env::system());
    let from = moment(&args.from, &env)?;
    let to = args.to.map_or_else(|| Ok(env.now()), |to| moment(&to, &env))?;
    if from >= to {
        return Err(Failure::Usage("--from must lie before --to".into()));
    }
    let mut out = io::stdout().lock();
    if args.json {
        let records = store::peek(&config.state, move |conn| insights::list(conn, from, to, args.account)).await?;
        records.iter().try_for_each(|record| writeln!(out, "{record}"))?;
        return Ok(Exit::Done);
    }
    let all = store::peek(&config.state, move |conn| insights::all(conn, from, to, args.account)).await?;
    for insight in &all {
        let whose = if insight.is_theirs { "CloudTrail" } else { "trailwarden" };
        let account = insight.account.as_deref().unwrap_or("-");
        let begun = insight.state == State::Start;
        let state = format!("{:<5}", insight.state.name());
        let state = if begun { context.paint(style::WARN, state) } else { state };
        writeln!(out, "{}  {account}  {state}  {}", insight.time, printable(&insight.sentence(), 400))?;
        writeln!(out, "{:22}{}", "", context.paint(style::DIM, format!("{} of {whose}", insight.kind.name())))?;
    }
    if all.is_empty() {
        writeln!(out, "nothing was unusual")?;
    }
    Ok(Exit::Done)
}
