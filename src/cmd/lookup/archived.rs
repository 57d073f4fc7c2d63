//! `lookup` in the archive.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::print::Printer;
use super::told::Told;
use super::{AHEAD, Args, MOST};
use crate::archive::lookup::{Effort, Hit, Newest, Search, Taker};
use crate::archive::{GRACE, Place};
use crate::cmd::{Context, Failure, Outcome, complain, grouped, interrupted};
use crate::config::Config;
use crate::config::units::show_size;
use crate::core::lookup::Question;
use crate::env::Env;
use crate::error::Result;
use crate::store::archive::{ArchiveFile, View};
use crate::store::{self, archive};
use crate::{cmd, wiring};

/// How often whoever follows looks for new files.
const AGAIN: Duration = Duration::from_secs(2);

struct Answer<'c> {
    config: Config,
    search: Search,
    printer: Printer<'c>,
    told: Told,
    /// Notes that hold however long it is followed.
    lasting: Vec<String>,
    effort: Effort,
}

pub async fn run(context: &Context, args: &Args, question: Question, env: &Env) -> Outcome {
    let config = context.load_without_secrets()?;
    let wanted = config.archive.as_ref().ok_or_else(cmd::archive::nowhere)?;
    let place: Place = wiring::archive_reader(&config, wanted, env).await?;
    let view = store::peek(&config.state, archive::view).await?;
    let mut answer = Answer {
        told: Told::of(&view.horizon, &question),
        search: Search { place, question: question.into() },
        config,
        printer: Printer::new(context, args.format),
        lasting: Vec::new(),
        effort: Effort::default(),
    };
    let shard = answer.config.shard;
    if !shard.is_whole() {
        answer.lasting(|told| {
            told.note(format!(
                "this is shard {shard}: records of the others' accounts are found by asking their wardens"
            ));
        });
    }
    if args.all {
        answer.all(view.files).await?;
    } else {
        answer.newest(view.files, args.limit as usize, args.follow).await?;
        if args.follow && !answer.told.is_interrupted {
            answer.follow(view.gathered).await?;
        }
    }
    if args.explain {
        explain(&answer.effort);
    }
    answer.told.unread(answer.effort.unreadable.len() as u64, &answer.effort.unreadable);
    answer.printer.end(&answer.told)?;
    Ok(answer.told.exit())
}

impl Answer<'_> {
    fn lasting(&mut self, tell: impl FnOnce(&mut Told)) {
        let before = self.told.notes.len();
        tell(&mut self.told);
        self.lasting.extend(self.told.notes.iter().skip(before).cloned());
    }

    async fn newest(&mut self, files: Vec<ArchiveFile>, limit: usize, last_first: bool) -> Result<(), Failure> {
        let mut newest = Newest::new(limit, MOST);
        tokio::select! {
            searched = self.search.run(files, Taker::Newest(&mut newest), &mut self.effort) => searched?,
            () = interrupted() => self.told.interrupted(),
        }
        self.lasting(|told| told.cut(&newest));
        let mut hits = newest.into_hits();
        if last_first {
            hits.reverse();
        }
        let integrity = integrity(&self.config, &hits).await?;
        Ok(print(&mut self.printer, &mut self.told, &hits, &integrity)?)
    }

    /// Prints what is found as it is found.
    async fn all(&mut self, files: Vec<ArchiveFile>) -> Result<(), Failure> {
        tokio::select! {
            printed = self.print(files, false) => printed?,
            () = interrupted() => self.told.interrupted(),
        }
        Ok(())
    }

    /// Prints what becomes known: of each file that records were gathered in, when it first shows up in the ledger.
    async fn follow(&mut self, known: Vec<ArchiveFile>) -> Result<(), Failure> {
        let mut known: HashSet<String> = known.into_iter().map(|file| file.name).collect();
        let stop = interrupted();
        tokio::pin!(stop);
        let mut looked = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = &mut stop => break,
            }
            if looked.elapsed().as_secs() > GRACE.as_secs().unsigned_abs() / 2 {
                complain(
                    "warning: nothing was looked at for a long time: what came and was merged meanwhile is left out",
                );
            }
            looked = Instant::now();
            let View { horizon, gathered, .. } = store::peek(&self.config.state, archive::view).await?;
            let before = std::mem::take(&mut self.told);
            self.told = Told { integrity: before.integrity, ..Told::of(&horizon, &self.search.question) };
            self.told.notes.extend(self.lasting.iter().cloned());
            let names = gathered.iter().map(|file| file.name.clone()).collect();
            let new: Vec<ArchiveFile> = gathered.into_iter().filter(|file| !known.contains(&file.name)).collect();
            known = names;
            tokio::select! {
                printed = self.print(new, true) => printed?,
                () = &mut stop => {
                    self.told.interrupted();
                    break;
                }
            }
        }
        Ok(())
    }

    async fn print(&mut self, files: Vec<ArchiveFile>, last_first: bool) -> Result<(), Failure> {
        let (send, mut receive) = mpsc::channel::<Vec<Hit>>(AHEAD);
        let Self { config, search, printer, told, effort, .. } = self;
        let printing = async {
            while let Some(mut hits) = receive.recv().await {
                hits.sort();
                if last_first {
                    hits.reverse();
                }
                let integrity = integrity(config, &hits).await?;
                print(printer, told, &hits, &integrity)?;
            }
            Ok::<(), Failure>(())
        };
        let searching = async { Ok(search.run(files, Taker::All(send), effort).await?) };
        tokio::try_join!(searching, printing).map(|_| ())
    }
}

fn print(printer: &mut Printer<'_>, told: &mut Told, hits: &[Hit], integrity: &[&'static str]) -> std::io::Result<()> {
    integrity.iter().for_each(|name| told.count(name));
    printer.print(hits, integrity)
}

/// What the ledger knows of the hits' logs by now.
async fn integrity(config: &Config, hits: &[Hit]) -> Result<Vec<&'static str>> {
    let logs: Vec<(String, String)> =
        hits.iter().filter_map(|hit| Some((hit.trail.clone()?, hit.object.clone()))).collect();
    let known = if logs.is_empty() {
        Vec::new()
    } else {
        store::peek(&config.state, move |conn| archive::integrity(conn, &logs)).await?
    };
    let mut known = known.into_iter();
    let of = |hit: &Hit| match &hit.trail {
        None => "imported",
        Some(_) => known.next().flatten().map_or("unknown", archive::Integrity::name),
    };
    Ok(hits.iter().map(of).collect())
}

fn explain(effort: &Effort) {
    let Effort { files, files_out, files_spared, groups, groups_out, rows, whole, read, bytes, .. } = effort;
    complain(&format!("files: {files}; left out by time {files_out}, not needed any more {files_spared}"));
    complain(&format!("row groups: {groups}; left out by statistics and filters {groups_out}"));
    complain(&format!("rows: {} looked at, {} put together", grouped(*rows), grouped(*whole)));
    complain(&format!("bytes: {} read of {}", show_size(*read), show_size(*bytes)));
}
