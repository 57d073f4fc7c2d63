//! Small files become large ones, each row at most twice, while others read.
//!
//! A date's fresh files are merged when they are many or fill a file; what was merged and is small still is merged once more when
//! that fills one. So what is written is at most twice what was gathered, whatever the number of files. Where flushes hold next
//! to nothing, files are mostly their own footers, and many of what was merged do not fill one: then the smallest are merged again,
//! and there are never many. New files are durable before one transaction puts them in the place of the old ones, which stay for
//! [`super::GRACE`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use arrow_array::RecordBatch;
use arrow_select::interleave::interleave_record_batch;
use jiff::{SignedDuration, Timestamp};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::files::{self, Body, unreadable};
use super::rows::account_number;
use super::{Archive, CAREFUL, GRACE, schema};
use crate::core::record::seconds;
use crate::core::row::{EVENT_TIME, RECIPIENT};
use crate::error::{Error, Result};
use crate::store::archive::{self, ArchiveFile};

/// So many fresh files of a date are merged.
const MANY: usize = 64;
/// Files that are merged at once, at most.
const MOST: usize = 128;
/// Rows that are read of each of them at a time.
const BATCH: usize = 512;
/// A date is over when it ended, and got its last file, this long ago.
const OVER: SignedDuration = SignedDuration::from_hours(6);
/// Files that a date may have that is over, besides large ones.
const FEW: usize = 4;
/// Replaced files that are removed together.
const REMOVED: usize = 500;

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files that were merged, and what they became.
    pub merged: usize,
    pub files: usize,
    pub rows: u64,
    pub bytes: u64,
    /// Replaced files that were removed.
    pub removed: usize,
}

/// What a file of so many bytes is that was merged: small still, or one that stays.
pub(super) fn level(bytes: u64, target: u64) -> u8 {
    if bytes >= target / 2 { 2 } else { 1 }
}

/// What should be one file next of a date's files, if anything. `few`: how many files besides large ones are no trouble.
pub fn plan(files: &[ArchiveFile], target: u64, few: usize) -> Option<Vec<ArchiveFile>> {
    // whatever is large already stays, also where another target was meant
    let of = |of: u8| {
        let is_small = |file: &&ArchiveFile| file.level == of && level(file.bytes, target) < 2;
        let mut files: Vec<&ArchiveFile> = files.iter().filter(is_small).collect();
        files.sort_by_key(|file| (file.oldest, file.id));
        files
    };
    let (fresh, once) = (of(0), of(1));
    let bytes = |files: &[&ArchiveFile]| files.iter().map(|file| file.bytes).sum::<u64>();
    let merge = |files: Vec<&ArchiveFile>| (files.len() > 1).then(|| files.into_iter().cloned().collect());
    if bytes(&once) >= target {
        return merge(filling(&once, target));
    }
    if once.len() >= MOST {
        let mut smallest = once;
        // of like size those that follow each other
        smallest.sort_by_key(|file| file.bytes.checked_ilog2());
        smallest.truncate(MANY);
        return merge(smallest);
    }
    if fresh.len() >= MANY || bytes(&fresh) >= target {
        return merge(filling(&fresh, target));
    }
    if fresh.len() + once.len() <= few {
        return None;
    }
    // The rest of a day becomes one file, unless the most of it is one already: then what came late waits to be as much.
    let mut rest: Vec<&ArchiveFile> = fresh.into_iter().chain(once).collect();
    rest.sort_by_key(|file| Reverse(file.bytes));
    let largest = rest.first().map_or(0, |file| file.bytes);
    let late = bytes(&rest) - largest;
    if late < largest && few > 1 {
        rest.remove(0);
    }
    rest.truncate(MOST);
    merge(rest)
}

/// The first files, by time, that fill a file.
fn filling<'f>(files: &[&'f ArchiveFile], target: u64) -> Vec<&'f ArchiveFile> {
    let (mut chosen, mut bytes) = (Vec::new(), 0);
    for file in files.iter().take(MOST) {
        if bytes >= target {
            break;
        }
        bytes += file.bytes;
        chosen.push(*file);
    }
    chosen
}

impl Archive {
    /// Merges what should be merged, and removes what was replaced a while ago. `all`: whatever can be one file becomes one.
    pub async fn compact(&self, all: bool, mut progress: impl FnMut(&Compacted)) -> Result<Compacted> {
        let mut total = Compacted { removed: self.remove_replaced().await?, ..Compacted::default() };
        for (date, files, _) in self.store.read(archive::dates).await? {
            if files < 2 {
                continue;
            }
            loop {
                let of = date.clone();
                let files = self.store.read(move |conn| archive::files(conn, Some(&of))).await?;
                let few = match all {
                    true => 1,
                    false if self.is_over(&date, &files) => FEW,
                    false => usize::MAX,
                };
                let Some(merge) = plan(&files, self.target, few) else { break };
                self.merge(&date, &merge, &mut total).await?;
                progress(&total);
            }
        }
        Ok(total)
    }

    fn is_over(&self, date: &str, files: &[ArchiveFile]) -> bool {
        let now = self.env.now();
        let until = |time: Timestamp| time.checked_add(OVER).is_ok_and(|until| until < now);
        let end = date.parse::<jiff::civil::Date>().ok().and_then(|date| date.tomorrow().ok());
        let end = end.and_then(|end| end.to_zoned(jiff::tz::TimeZone::UTC).ok());
        end.is_some_and(|end| until(end.timestamp())) && files.iter().all(|file| until(file.made))
    }

    async fn merge(&self, date: &str, parts: &[ArchiveFile], total: &mut Compacted) -> Result<()> {
        let mut bodies = Vec::new();
        for file in parts {
            bodies.push((file.name.clone(), self.place.fetch(&file.name, file.bytes).await?));
        }
        let path = self.place.scratch();
        let merged = move || {
            let merging = Merging::of(bodies)?;
            files::write(&path, CAREFUL, merging)
        };
        let written = self.env.blocking(merged).await??;
        let rows: u64 = parts.iter().map(|file| file.rows).sum();
        if written.rows != rows {
            let text = format!("{} rows of {rows} came out of a merge of {date}", written.rows);
            return Err(Error::permanent("archive:compact", text));
        }
        let oldest = parts.iter().map(|file| file.oldest).min().unwrap_or(0);
        let newest = parts.iter().map(|file| file.newest).max().unwrap_or(0);
        let lock = self.lock().await?;
        let name = self.place.name(date);
        let begun = [name.clone()];
        self.store.write(move |tx| archive::begin(tx, &begun)).await?;
        let file = self.place.put(&written, name, date, (oldest, newest), level(written.bytes, self.target)).await?;
        let (old, new): (Vec<_>, _) = (parts.iter().map(|file| (file.id, file.name.clone())).collect(), file.clone());
        let replaced = self.store.write(move |tx| archive::replace(tx, &old, std::slice::from_ref(&new))).await?;
        if !replaced {
            // somebody else was quicker
            self.place.remove(&file.name).await?;
            return self.store.write(move |tx| archive::undone(tx, &[file.name])).await;
        }
        drop(lock);
        self.relist().await?;
        parts.iter().for_each(|file| self.ids.drop_file(&file.name));
        total.merged += parts.len();
        total.files += 1;
        total.rows += rows;
        total.bytes += file.bytes;
        Ok(())
    }

    /// Removes files that were replaced a while ago: whoever began to read them before has ended.
    pub async fn remove_replaced(&self) -> Result<usize> {
        let Ok(before) = self.env.now().checked_sub(GRACE) else { return Ok(0) };
        let mut removed = 0;
        loop {
            let gone = self.store.read(move |conn| archive::replaced(conn, before, REMOVED)).await?;
            if gone.is_empty() {
                return Ok(removed);
            }
            for (_, name) in &gone {
                self.place.remove(name).await?;
            }
            removed += gone.len();
            let ids: Vec<i64> = gone.into_iter().map(|(id, _)| id).collect();
            self.store.write(move |tx| archive::forget(tx, &ids)).await?;
        }
    }
}

/// Rows of several files in the order of one.
struct Merging {
    inputs: Vec<Input>,
    /// The next row of each file: account, time, file.
    next: BinaryHeap<Reverse<(u64, i64, usize)>>,
}

/// A file as it is read.
struct Input {
    name: String,
    reader: ParquetRecordBatchReader,
    batch: RecordBatch,
    keys: Vec<(u64, i64)>,
    row: usize,
}

impl Input {
    /// Reads on; false at the end.
    fn read(&mut self) -> Result<bool> {
        loop {
            let Some(batch) = self.reader.next() else { return Ok(false) };
            self.batch = batch.map_err(|error| unreadable(&self.name, &error.into()))?;
            self.row = 0;
            let column = |leaf| schema::path(leaf).and_then(|path| schema::leaf(&self.batch, path));
            let (accounts, times) = (column(RECIPIENT), column(EVENT_TIME));
            self.keys = (0..self.batch.num_rows())
                .map(|row| {
                    let time = schema::text(times, row).and_then(seconds);
                    (account_number(schema::text(accounts, row)), time.unwrap_or(i64::MIN))
                })
                .collect();
            if !self.keys.is_empty() {
                return Ok(true);
            }
        }
    }
}

impl Merging {
    fn of(bodies: Vec<(String, Body)>) -> Result<Self> {
        let (mut inputs, mut next) = (Vec::new(), BinaryHeap::new());
        for (name, body) in bodies {
            let reader = ParquetRecordBatchReaderBuilder::try_new(body)
                .and_then(|builder| builder.with_batch_size(BATCH).build())
                .map_err(|error| unreadable(&name, &error))?;
            let batch = RecordBatch::new_empty(schema::schema());
            let mut input = Input { name, reader, batch, keys: Vec::new(), row: 0 };
            if input.read()?
                && let Some((account, time)) = input.keys.first()
            {
                next.push(Reverse((*account, *time, inputs.len())));
            }
            inputs.push(input);
        }
        Ok(Self { inputs, next })
    }

    /// The next rows, up to where one of the files has to be read on.
    fn rows(&mut self) -> Result<Option<RecordBatch>> {
        let mut picked: Vec<(usize, usize)> = Vec::new();
        let mut used_up = None;
        while let Some(Reverse((_, _, number))) = self.next.pop() {
            let Some(input) = self.inputs.get_mut(number) else { break };
            picked.push((number, input.row));
            input.row += 1;
            match input.keys.get(input.row) {
                Some((account, time)) => self.next.push(Reverse((*account, *time, number))),
                None => {
                    used_up = Some(number);
                    break;
                }
            }
        }
        if picked.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.inputs.iter().map(|input| &input.batch).collect();
        let failed = |error: arrow_schema::ArrowError| files::fault("archive:compact", &error.into());
        let rows = interleave_record_batch(&batches, &picked).map_err(failed)?;
        let input = used_up.and_then(|number| Some((number, self.inputs.get_mut(number)?)));
        if let Some((number, input)) = input
            && input.read()?
            && let Some((account, time)) = input.keys.first()
        {
            self.next.push(Reverse((*account, *time, number)));
        }
        Ok(Some(rows))
    }
}

impl Iterator for Merging {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: i64, bytes: u64, level: u8) -> ArchiveFile {
        ArchiveFile {
            id,
            name: format!("date=2026-03-01/w-{id:016x}.parquet"),
            date: "2026-03-01".into(),
            rows: bytes,
            bytes,
            oldest: id,
            newest: id + 1,
            level,
            made: Timestamp::UNIX_EPOCH,
        }
    }

    /// Plays flushes of so many bytes of rows, in files with so many bytes besides; answers what was flushed, what was written in
    /// merging, and the files that are left.
    fn played(flushes: i64, size: impl Fn(i64) -> u64, beside: u64, target: u64) -> (u64, u64, Vec<ArchiveFile>) {
        let (mut files, mut flushed, mut written, mut most) = (Vec::new(), 0, 0, 0);
        let mut id = 0;
        for flush in 0..flushes {
            id += 1;
            files.push(file(id, size(flush) + beside, 0));
            flushed += size(flush) + beside;
            let few = if flush + 1 == flushes { FEW } else { usize::MAX };
            while let Some(parts) = plan(&files, target, few) {
                assert!((2..=MOST).contains(&parts.len()));
                let bytes = parts.iter().map(|file| file.bytes - beside).sum::<u64>() + beside;
                written += bytes;
                files.retain(|file| !parts.contains(file));
                id += 1;
                files.push(file(id, bytes, level(bytes, target)));
            }
            most = most.max(files.iter().filter(|file| file.level < 2).count());
        }
        assert!(most <= MOST + MANY, "{most} files at once");
        (flushed, written, files)
    }

    #[test]
    fn a_hundred_thousand_flushes_become_files_of_target_size_and_nothing_is_written_more_than_twice() {
        for (size, target) in [(50_000, 256 << 20), (1_000_000, 64 << 20), (6_000_000, 256 << 20)] {
            let (gathered, written, files) = played(100_000, |_| size, 0, target);
            assert!(written <= 2 * gathered, "{written} of {gathered}");
            let large = files.iter().filter(|file| file.bytes >= target / 2).map(|file| file.bytes).sum::<u64>();
            assert!(large * 100 >= gathered * 98, "{large} of {gathered} in large files");
            assert!(files.len() as u64 <= gathered / (target / 2) + 5, "{} files", files.len());
        }
        let (gathered, written, _) = played(100_000, |flush| 1_000 + (flush as u64 * 7919) % 200_000, 0, 64 << 20);
        assert!(written <= 2 * gathered);
    }

    #[test]
    fn flushes_of_next_to_nothing_become_large_files_too_or_few() {
        for (size, target) in [(300, 1 << 20), (300, 256 << 20), (5_000, 256 << 20), (10, 1 << 20)] {
            let (gathered, written, files) = played(100_000, |_| size, 20_000, target);
            assert!(written <= gathered, "{written} of {gathered}");
            let small = files.iter().filter(|file| file.bytes < target / 2).count();
            assert!(small <= FEW, "{small} small files of {}", files.len());
        }
    }

    #[test]
    fn what_comes_late_is_not_worth_writing_a_day_again() {
        let mut files = vec![file(1, 1_000_000, 1)];
        files.extend((2..=6).map(|id| file(id, 1_000, 0)));
        assert_eq!(plan(&files, 256 << 20, usize::MAX), None);
        assert_eq!(plan(&files, 256 << 20, FEW).unwrap().len(), 5, "the late ones alone");
        files.push(file(7, 999_000, 0));
        assert_eq!(plan(&files, 256 << 20, FEW).unwrap().len(), 7);
        assert_eq!(plan(&files[..4], 256 << 20, FEW), None, "few are no trouble");
        assert_eq!(plan(&files[..4], 256 << 20, 1).unwrap().len(), 4, "unless somebody asks for it");
        assert_eq!(plan(&[file(1, 1 << 40, 0)], 1 << 41, 1), None, "one file is one");
        let mut files = vec![file(1, 500, 0), file(2, 500, 1)];
        assert_eq!(plan(&files, 1_000, 1), None, "what is large stays");
        files.extend((3..5).map(|id| file(id, 9, 0)));
        assert_eq!(plan(&files, 1_000, 1).unwrap().len(), 2, "and holds up nothing else");
        assert_eq!(plan(&[file(1, 9, 2), file(2, 9, 2)], 1, 1), None, "what was merged and is large stays");
    }
}
