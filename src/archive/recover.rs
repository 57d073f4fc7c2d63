//! A ledger that is older than the archive, or new: what the archive's own lists say is taken over.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt};

use super::compact::level;
use super::files::LISTS;
use super::{Archive, ids};
use crate::error::Result;
use crate::retry::{Policy, retry};
use crate::seam::Got;
use crate::store::archive::{self, NewFile};

/// Lists and footers that are read at once.
const AT_ONCE: usize = 16;
/// A list names a few hundred files of a hundred bytes each.
const LONGEST: u64 = 64 << 20;

/// What lies in the archive's folders, against what the ledger knows.
#[derive(Debug, Default)]
pub struct Lying {
    /// Files of this warden's that the ledger does not know, with their bytes.
    pub unknown: BTreeMap<String, u64>,
    /// Files that the ledger takes for part of the archive.
    pub missing: Vec<String>,
    /// What no warden wrote.
    pub strange: Vec<String>,
}

impl Archive {
    /// Compares the folders with the ledger.
    pub async fn lying(&self) -> Result<Lying> {
        let known = self.store.read(archive::names).await?;
        let mut live: BTreeSet<String> =
            self.store.read(|conn| archive::files(conn, None)).await?.into_iter().map(|file| file.name).collect();
        let (mut lying, mut after) = (Lying::default(), None::<String>);
        let prefix = self.place.key("date=");
        loop {
            let page = retry(&self.env, Policy::STEP, || self.place.bucket.list(&prefix, after.as_deref())).await?;
            for listed in &page.objects {
                let name = listed.key.strip_prefix(&self.place.prefix).unwrap_or(&listed.key);
                live.remove(name);
                if known.contains(name) {
                    continue;
                }
                if self.place.is_own(name) {
                    lying.unknown.insert(name.to_owned(), listed.size);
                } else if !super::files::is_a_wardens(name) {
                    lying.strange.push(name.to_owned());
                }
            }
            after = page.objects.last().map(|listed| listed.key.clone());
            if !page.more || after.is_none() {
                lying.missing = live.into_iter().collect();
                return Ok(lying);
            }
        }
    }

    /// Lists are written after the ledger: where they name files that it does not know, it is an older copy, or a new one.
    pub(super) async fn recover(&self) -> Result<()> {
        let lying = self.lying().await?;
        if lying.unknown.is_empty() {
            return Ok(());
        }
        let mut named = self.named().await?;
        if !named.iter().any(|(name, _)| lying.unknown.contains_key(name)) {
            return Ok(());
        }
        let (known, unlisted) =
            self.store.read(|conn| Ok((archive::files(conn, None)?, archive::relist(conn, usize::MAX)?))).await?;
        // files of this ledger that it did not come to list before another warden did
        let listed: BTreeSet<String> = named.iter().map(|(name, _)| name.clone()).collect();
        let own = known.iter().filter(|file| unlisted.contains(&file.date) && !lying.missing.contains(&file.name));
        named
            .extend(own.filter(|file| !listed.contains(&file.name)).map(|file| (file.name.clone(), file.date.clone())));
        let sizes: BTreeMap<String, u64> =
            known.into_iter().map(|file| (file.name, file.bytes)).chain(lying.unknown).collect();
        let files: Vec<NewFile> = futures_util::stream::iter(named)
            .map(|(name, date)| {
                let bytes = sizes.get(&name).copied();
                async move {
                    let Some(bytes) = bytes else { return Ok(None) };
                    let (metadata, _) = self.place.metadata(&name, bytes).await?;
                    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
                    let times: Option<Vec<_>> = metadata.row_groups().iter().map(ids::times).collect();
                    // where statistics do not say, any time is possible
                    let oldest = times.iter().flatten().map(|(from, _)| *from).min().unwrap_or(i64::MIN);
                    let newest = times.iter().flatten().map(|(_, to)| *to).max().unwrap_or(i64::MAX);
                    let level = level(bytes, self.target);
                    Ok::<_, crate::error::Error>(Some(NewFile { name, date, rows, bytes, oldest, newest, level }))
                }
            })
            .buffered(AT_ONCE)
            .try_filter_map(|file| async move { Ok(file) })
            .try_collect()
            .await?;
        tracing::warn!(
            files = files.len(),
            "the ledger is older than the archive: its files are taken over from its lists"
        );
        self.store.write(move |tx| archive::adopt(tx, &files)).await
    }

    /// The files that this warden's lists name, each with its date.
    async fn named(&self) -> Result<Vec<(String, String)>> {
        let under = self.place.key(LISTS);
        let folders = retry(&self.env, Policy::STEP, || self.place.bucket.folders(&under)).await?;
        let mut dates = Vec::new();
        for folder in &folders {
            dates.extend(folder.trim_end_matches('/').rsplit_once("date=").map(|(_, date)| date.to_owned()));
        }
        let lists = futures_util::stream::iter(dates)
            .map(|date| async move {
                let key = self.place.key(&self.place.list(&date));
                let got = retry(&self.env, Policy::STEP, || self.place.bucket.get(&key, None, LONGEST)).await?;
                let Got::Found(list) = got else { return Ok(Vec::new()) };
                let text = String::from_utf8_lossy(&list.body).into_owned();
                let names = text.lines().filter_map(|line| Some(line.get(line.rfind("date=")?..)?.to_owned()));
                Ok::<_, crate::error::Error>(names.map(|name| (name, date.clone())).collect())
            })
            .buffered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(lists.into_iter().flatten().collect())
    }
}
