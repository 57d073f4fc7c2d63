//! `ledger snapshot`

use std::path::absolute;

use crate::cmd::{Context, Exit, Failure, Outcome, print};
use crate::config::{Config, Place, Snapshot};
use crate::env::Env;
use crate::store::Store;
use crate::wiring;

pub async fn run(context: &Context, to: Option<String>) -> Outcome {
    let config = context.load_without_secrets()?;
    let (to, keep) = match to {
        Some(text) => (place(&config, &text)?, None),
        None => {
            let to = config.snapshot.clone();
            let to = to.ok_or_else(|| {
                Failure::Usage("no place: give --to, or state.snapshot.to in the configuration".into())
            })?;
            let keep = Some(to.keep);
            (to, keep)
        }
    };
    if !config.state.exists() {
        let told = format!("{} does not exist: nothing has run yet", config.state.display());
        return Err(crate::error::Error::permanent("ledger:open", told).into());
    }
    let store = Store::open(&config.state, &Env::system()).await?;
    let taken = wiring::snapshots(&config.name, &to, keep, &store).await?.take().await?;
    print(&format!("{}, {} bytes, checked, in {}\n", taken.name, taken.bytes, to.to))?;
    Ok(Exit::Done)
}

/// A directory as people write it, or one of the forms of the configuration; never among the evidence.
fn place(config: &Config, text: &str) -> Result<Snapshot, Failure> {
    let (to, prefix) = if text.starts_with("file:") || text.starts_with("s3:") {
        Place::snapshots(text).map_err(Failure::Usage)?
    } else {
        (Place::Dir(absolute(text)?), String::new())
    };
    let region = config.snapshot.as_ref().and_then(|snapshot| snapshot.region.clone());
    let region = region.or_else(|| config.trails.iter().find_map(|trail| trail.region.clone()));
    if let Some(trail) = config.trails.iter().find(|trail| trail.bucket.holds(&to)) {
        return Err(Failure::Usage(format!(
            "this is the bucket of trail `{}`: nothing is ever written among the evidence",
            trail.name
        )));
    }
    Ok(Snapshot { to, prefix, every: std::time::Duration::MAX, keep: usize::MAX, region })
}
