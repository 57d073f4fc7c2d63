//! `ledger restore`

use std::path::{Path, PathBuf};

use super::{day_before, must_be_good};
use crate::cmd::{Context, Exit, Outcome, print};
use crate::core::journal::What;
use crate::env::Env;
use crate::error::Result;
use crate::store::check::{self, Report};
use crate::store::copy::{self, Copy, beside};
use crate::store::{Store, journal, time};

pub async fn run(context: &Context, file: PathBuf) -> Outcome {
    let config = context.load()?;
    let env = Env::system();
    let _lock = Store::lock(&config.state)?;
    let report = check::run(&file, None, &env).await?;
    must_be_good(&report, &file.display().to_string())?;
    let (aside, copy) = bring_back(&file, &config.state, &env).await?;
    let store = Store::open(&config.state, &env).await?;
    let (from, detail) = (name(&file), told(&copy.report, aside.as_deref()));
    store.write(move |tx| journal::append(tx, What::Restored, &from, &detail).map(|_| ())).await?;
    store.close().await;
    let mut text = format!("{} is the ledger now ({} bytes)\n", file.display(), copy.bytes);
    if let Some(aside) = &aside {
        text.push_str(&format!("the one before is {}\n", aside.display()));
    }
    if let Some(last) = report.last_commit.map(time) {
        text.push_str(&format!(
            "it knows nothing of what came after {last}; to learn of it:\n  trailwarden backfill --from {}\nthen start the warden\n",
            day_before(last)
        ));
    }
    print(&text)?;
    Ok(Exit::Done)
}

/// The copy is complete, on the disk and checked before the present ledger gives up its name.
async fn bring_back(file: &Path, state: &Path, env: &Env) -> Result<(Option<PathBuf>, Copy)> {
    let (file, state, now) = (file.to_owned(), state.to_owned(), env.now());
    let scratch = beside(&state, &format!(".restore-{}", env.token()));
    let work = move || {
        let copy = copy::make(&file, &scratch)?;
        let aside = copy::set_aside(&state, now)?;
        copy::put_in_place(&scratch, &state)?;
        Ok((aside, copy))
    };
    env.blocking(work).await?
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

fn told(report: &Report, aside: Option<&Path>) -> String {
    let aside =
        aside.map_or_else(|| "there was none before".into(), |aside| format!("the one before is {}", name(aside)));
    format!("as of {}; {aside}", report.head)
}
