//! `keys save`: CloudTrail's public keys as files, so that an archive can be verified without AWS, and after AWS forgot them.

use std::path::PathBuf;

use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};

use crate::cmd::{Context, Exit, Failure, Outcome, moment, print};
use crate::core::id::Region;
use crate::env::Env;
use crate::local;
use crate::store::{self, lists};
use crate::wiring::{self, Cloud};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write `DIR/<region>.json` as `aws cloudtrail list-public-keys` prints it
    Save {
        dir: PathBuf,
        /// Regions to ask; without it, those of which the ledger knows chains
        #[arg(long, value_delimiter = ',')]
        region: Vec<Region>,
        /// Keys valid since then
        #[arg(long, default_value = "60d")]
        from: String,
        /// Keys valid until then
        #[arg(long, default_value = "0s")]
        to: String,
    },
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let Verb::Save { dir, region, from, to } = args.verb;
    let config = context.load_without_secrets()?;
    let env = Env::system();
    let (from, to) = (moment(&from, &env)?, moment(&to, &env)?);
    let regions = if region.is_empty() { known_regions(&config.state).await? } else { region };
    if regions.is_empty() {
        return Err(Failure::Usage("no regions: name them with --region".into()));
    }
    let Some(trail) = config.trails.first() else { return Ok(Exit::Done) };
    let seam = wiring::keys(&trail.keys, &Cloud::of(trail)).await;
    for region in regions {
        let mut keys = seam.all(&region, from, to).await?;
        let kept = kept(&config.state, &region, from, to).await?;
        keys.extend(
            kept.into_iter()
                .filter(|kept| !keys.iter().any(|key| key.fingerprint == kept.fingerprint))
                .collect::<Vec<_>>(),
        );
        local::keys::save(&dir, &region, &keys)?;
        print(&format!("{region}: {} keys\n", keys.len()))?;
    }
    Ok(Exit::Done)
}

async fn known_regions(state: &std::path::Path) -> Result<Vec<Region>, Failure> {
    if !state.exists() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = store::peek(state, |conn| {
        conn.prepare("SELECT DISTINCT region FROM chains ORDER BY region")?.query_map([], |row| row.get(0))?.collect()
    })
    .await?;
    Ok(names.iter().filter_map(|name| Region::parse(name).ok()).collect())
}

/// Keys that the ledger kept, though CloudTrail may not list them any more.
async fn kept(
    state: &std::path::Path,
    region: &Region,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<crate::seam::PublicKey>, Failure> {
    if !state.exists() {
        return Ok(Vec::new());
    }
    let (region, slack) = (region.clone(), SignedDuration::from_hours(24 * 31));
    let keys = store::peek(state, move |conn| lists::keys_of(conn, &region)).await?;
    Ok(keys
        .into_iter()
        .filter(|key| {
            key.valid_to.is_none_or(|end| end + slack >= from) && key.valid_from.is_none_or(|start| start <= to)
        })
        .collect())
}
