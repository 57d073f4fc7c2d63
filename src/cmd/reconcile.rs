//! `reconcile`: compare bucket and ledger now, without waiting for the daemon's next round.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::Serialize;

use crate::cmd::{Context, Exit, Failure, Outcome, interrupted, moment, plural, print, print_json};
use crate::core::id::{AccountId, Region};
use crate::env::Env;
use crate::verify::{Heard, Place, Span, Sweep, Tally, Walk};
use crate::wiring::Works;

/// What is younger may still be announced.
const ANNOUNCED: SignedDuration = SignedDuration::from_mins(15);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Days from: a date, a time, or a span back such as 7d; default: all
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Days up to and with; default: all
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only this account [default: all, with [shard] those of the shard]
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// Only this region
    #[arg(long)]
    region: Option<Region>,
    /// Only this trail of the configuration
    #[arg(long, value_name = "NAME")]
    trail: Option<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Compared<'a> {
    trail: &'a str,
    #[serde(flatten)]
    tally: Tally,
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let config = context.load()?;
    let env = Env::system();
    let day = |text: &Option<String>| -> Result<_, Failure> {
        let time = text.as_ref().map(|text| moment(text, &env)).transpose()?;
        Ok(time.map(|time| time.to_zoned(TimeZone::UTC).date()))
    };
    let (from, to) = (day(&args.from)?, day(&args.to)?);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(Failure::Usage("--from must not lie after --to".into()));
    }
    let before = to.map(|day| day.saturating_add(1.day()));
    let span = Span { from, before, account: args.account, region: args.region };
    let works = Works::open(&config, &env).await?;
    works.deliveries.roster.refresh().await?;
    let heard = Heard { upto: env.now() - ANNOUNCED, since: Timestamp::MAX };
    let mut compared = Vec::new();
    for trail in works.trails.iter().filter(|trail| args.trail.as_ref().is_none_or(|name| *name == trail.name)) {
        let place = Place::at(span.clone(), env.now());
        let mut walk = Walk::new(works.deliveries.clone(), trail.clone(), None, place);
        tokio::select! {
            outcome = walk.go(u64::MAX, heard) => outcome?,
            () = interrupted() => return Ok(Exit::Interrupted),
        };
        // What was settled may complete a chain, or list what else is missing.
        Sweep::new(works.deliveries.clone()).run(trail).await?;
        compared.push(Compared { trail: &trail.name, tally: walk.place.tally });
    }
    if args.json {
        print_json(&compared)?;
    } else {
        compared.iter().try_for_each(|compared| print(&draw(compared)))?;
    }
    let any = |number: fn(&Tally) -> u64| compared.iter().any(|compared| number(&compared.tally) > 0);
    Ok(match (any(|tally| tally.repaired + tally.removed), any(|tally| tally.failed)) {
        (true, _) => Exit::Bad,
        (false, true) => Exit::Unsure,
        (false, false) => Exit::Done,
    })
}

fn draw(compared: &Compared<'_>) -> String {
    let Tally { known, repaired, removed, failed, places, .. } = &compared.tally;
    let mut text = format!(
        "{}: {} known, {repaired} repaired, {removed} removed, {failed} could not be read\n",
        compared.trail,
        plural(*known, "object")
    );
    for (place, found) in places {
        text.push_str(&format!(
            "  {place}: {} repaired, {} removed, {} could not be read\n",
            found.repaired, found.removed, found.failed
        ));
    }
    text
}
