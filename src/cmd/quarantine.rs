//! `quarantine`: messages that could not be understood.

use clap::Subcommand;

use crate::cmd::{Context, Exit, Failure, Outcome, print, print_json};
use crate::config::Config;
use crate::core::finding::{Kind, short};
use crate::core::notice::{self, Opened};
use crate::core::printable;
use crate::env::Env;
use crate::ingest;
use crate::store::lists::{self, Quarantined};
use crate::store::{self, Store, findings};
use crate::wiring::Works;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// One JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What is held, oldest first
    List,
    /// One message with its body
    Show { id: String },
    /// Settle it again, as if it had just arrived
    Replay { id: String },
    /// Give it up; its row stays, marked as dropped
    Drop { id: String },
}

pub async fn run(context: &Context, args: Args) -> Outcome {
    let config = context.load()?;
    match args.verb {
        Verb::List => {
            let all = store::peek(&config.state, |conn| lists::quarantined(conn, None)).await?;
            if args.json {
                print_json(&all)?;
            } else {
                let lines: String = all
                    .iter()
                    .map(|row| {
                        format!(
                            "{} {} {} attempts={} {}\n",
                            short(&row.id),
                            row.last_seen,
                            row.source,
                            row.attempts,
                            printable(&row.reason, 200)
                        )
                    })
                    .collect();
                print(if lines.is_empty() { "nothing is held\n" } else { &lines })?;
            }
        }
        Verb::Show { id } => show(&find(&config, id).await?, args.json)?,
        Verb::Replay { id } => return replay(&config, find(&config, id).await?).await,
        Verb::Drop { id } => {
            let row = find(&config, id).await?;
            let store = Store::open(&config.state, &Env::system()).await?;
            close(&store, &row, "dropped").await?;
            print(&format!("{} dropped\n", row.id))?;
        }
    }
    Ok(Exit::Done)
}

async fn find(config: &Config, id: String) -> Result<Quarantined, Failure> {
    let wanted = id.clone();
    let rows = store::peek(&config.state, move |conn| lists::quarantined(conn, Some(&wanted))).await?;
    match <[Quarantined; 1]>::try_from(rows) {
        Ok([row]) => Ok(row),
        Err(_) => {
            Err(Failure::Usage(format!("nothing with the id `{id}` in quarantine (or more than one that begins so)")))
        }
    }
}

fn show(row: &Quarantined, json: bool) -> Result<(), Failure> {
    let body = String::from_utf8_lossy(&row.body);
    if json {
        let mut value = serde_json::to_value(row).map_err(std::io::Error::from)?;
        value["body"] = body.into();
        print_json(&value)?;
        return Ok(());
    }
    // The sender chose these bytes: control characters must not reach a terminal.
    let safe: String = body.split('\n').map(|line| printable(line, usize::MAX) + "\n").collect();
    print(&format!(
        "{} from {} (message {})\n{}\nstate {}, {} attempts, first {}, last {}\n\n{safe}",
        row.id,
        row.source,
        printable(&row.message, 200),
        printable(&row.reason, 300),
        row.state,
        row.attempts,
        row.first_seen,
        row.last_seen
    ))?;
    Ok(())
}

async fn replay(config: &Config, row: Quarantined) -> Outcome {
    if !matches!(notice::open(&row.body), Opened::Notices { rejects, .. } if rejects.is_empty()) {
        print(&format!("{} is still not understood; it stays\n", row.id))?;
        return Ok(Exit::Bad);
    }
    let works = Works::open(config, &Env::system()).await?;
    works.deliveries.roster.refresh().await?;
    let trail = works.trails.iter().find(|trail| trail.name == row.source);
    let trail = trail.ok_or_else(|| Failure::Usage(format!("trail `{}` is not configured any more", row.source)))?;
    ingest::settle_body(&works.deliveries, trail, &row.message, &row.body).await?;
    close(&works.store, &row, "replayed").await?;
    print(&format!("{} settled\n", row.id))?;
    Ok(Exit::Done)
}

async fn close(store: &Store, row: &Quarantined, state: &'static str) -> Result<(), Failure> {
    let (id, subject) = (row.id.clone(), format!("{}/{}", row.source, row.id));
    store
        .write(move |tx| {
            lists::quarantine_state(tx, &id, state)?;
            findings::resolve(tx, Kind::MessageUnintelligible, &subject).map(|_| ())
        })
        .await?;
    Ok(())
}
