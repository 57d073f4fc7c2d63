//! A question to the archive: the newest records that it holds of, or all of them, with bounded memory.
//!
//! Files are looked at newest first. Of each, row groups that cannot hold an answer are left out by their statistics and
//! filters; of the others the columns that are asked about are read, and whole rows only of what matches. The search for the
//! newest stops where no file left can hold anything newer.

use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use futures_util::StreamExt;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection};
use tokio::sync::mpsc;

use super::files::{Place, unreadable};
use super::read::{Batch, Columns, Opened, paths, text};
use super::schema;
use crate::core::lookup::{Question, Rank, when};
use crate::core::row::{EVENT_ID, EVENT_TIME, RECIPIENT};
use crate::error::{Error, Result};
use crate::store::archive::ArchiveFile;

/// Files that are looked at together.
const AT_ONCE: usize = 4;
/// Bytes of records that are put together at a time.
const CHUNK: usize = 4 << 20;
/// So many matches of a file are put together while other files are looked at, unless they are more than a chunk.
const FEW: usize = 1_024;

/// A record that was asked for, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub rank: Rank,
    /// As it was written.
    pub record: String,
    pub object: String,
    /// `None`: it was imported, or found in a raw log.
    pub trail: Option<String>,
}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Hit {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.rank, &self.object, &self.record).cmp(&(&other.rank, &other.object, &other.record))
    }
}

impl Hit {
    fn bytes(&self) -> usize {
        self.record.len() + self.object.len() + std::mem::size_of::<Self>()
    }
}

/// The newest hits so far: so many at most, and so many bytes.
pub struct Newest {
    /// The oldest of them is on top.
    heap: BinaryHeap<Hit>,
    limit: usize,
    most: usize,
    bytes: usize,
    /// The newest of those that had no room. Nothing behind it gets in: an answer has no holes.
    floor: Option<Hit>,
    /// It was bytes that there was no room for.
    pub is_cut: bool,
}

impl Newest {
    pub fn new(limit: usize, most: usize) -> Self {
        Self { heap: BinaryHeap::new(), limit, most, bytes: 0, floor: None, is_cut: false }
    }

    pub fn push(&mut self, hit: Hit) {
        if self.floor.as_ref().is_some_and(|floor| hit >= *floor) {
            return;
        }
        self.bytes += hit.bytes();
        self.heap.push(hit);
        while self.heap.len() > self.limit || (self.bytes > self.most && self.heap.len() > 1) {
            self.is_cut |= self.heap.len() <= self.limit;
            let Some(oldest) = self.heap.pop() else { break };
            self.bytes -= oldest.bytes();
            self.floor = Some(oldest);
        }
    }

    /// Whether something that happened then, or before, may be among the newest.
    pub fn accepts(&self, when: Option<i64>) -> bool {
        self.last().is_none_or(|last| when >= last)
    }

    /// When the last one happened that there was room for; nothing older has any.
    fn last(&self) -> Option<Option<i64>> {
        let full = self.heap.peek().filter(|_| self.heap.len() >= self.limit);
        full.into_iter().chain(&self.floor).map(|hit| hit.rank.when()).max()
    }

    /// Whether there is no room left: what is older was not even looked at.
    pub fn is_full(&self) -> bool {
        self.floor.is_some() || self.heap.len() >= self.limit
    }

    /// Newest first.
    pub fn into_hits(self) -> Vec<Hit> {
        self.heap.into_sorted_vec()
    }
}

/// Who is given what is found.
pub enum Taker<'t> {
    Newest(&'t mut Newest),
    /// All of it, file by file; over when nobody receives any more.
    All(mpsc::Sender<Vec<Hit>>),
}

impl Taker<'_> {
    pub(super) async fn give(&mut self, hits: Vec<Hit>) -> bool {
        match self {
            Self::Newest(newest) => {
                hits.into_iter().for_each(|hit| newest.push(hit));
                true
            }
            Self::All(sender) => hits.is_empty() || sender.send(hits).await.is_ok(),
        }
    }

    /// The time that nothing before is of use any more.
    pub(super) fn last(&self) -> Option<i64> {
        match self {
            Self::Newest(newest) => newest.last()?,
            Self::All(_) => None,
        }
    }

    fn accepts(&self, when: Option<i64>) -> bool {
        match self {
            Self::Newest(newest) => newest.accepts(when),
            Self::All(_) => true,
        }
    }
}

/// What a search came to, for whoever asks why it took so long.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Effort {
    /// Files of the archive, those left out by their times, those that were not needed any more, and what could not be read.
    pub files: usize,
    pub files_out: usize,
    pub files_spared: usize,
    pub unreadable: Vec<String>,
    /// Row groups of the files that were looked at, and those left out by statistics and filters.
    pub groups: usize,
    pub groups_out: usize,
    /// Rows whose columns were looked at, and of which whole records were put together.
    pub rows: u64,
    pub whole: u64,
    /// Bytes that were read, of those that the archive has.
    pub read: u64,
    pub bytes: u64,
}

impl Effort {
    /// A file that is damaged or gone, or a part of it, keeps nobody from the others; a storage that does not answer does.
    fn unread(&mut self, name: &str, group: Option<u32>, error: Error) -> Result<()> {
        let error = damage(error)?;
        let of_file = format!("{name}: ");
        if !self.unreadable.iter().any(|told| told.starts_with(&of_file)) {
            let place = group.map(|group| format!("row group {group}: ")).unwrap_or_default();
            let fault = error.text.strip_prefix(&of_file).unwrap_or(&error.text);
            self.unreadable.push(format!("{of_file}{place}{fault}"));
        }
        Ok(())
    }
}

#[derive(Clone)]
pub struct Search {
    pub place: Place,
    pub question: Arc<Question>,
}

/// A row that matches, and when it happened; the least number is never.
#[derive(Debug, Clone, Copy)]
struct Match {
    group: u32,
    row: u32,
    when: i64,
}

/// A file with what matches in it.
struct Looked {
    opened: Opened,
    matches: Vec<Match>,
    /// All that matches, where that is little.
    hits: Option<Vec<Hit>>,
    /// Row groups that could not be read.
    faults: Vec<(u32, Error)>,
    groups_out: usize,
    rows: u64,
}

/// The earliest and latest time of anything in a file, in seconds; `i64::MIN` where some have none of their own: those are at most
/// as late as the end of their day.
pub fn span(file: &ArchiveFile) -> (i64, i64) {
    if file.oldest > i64::MIN {
        return (file.oldest, file.newest);
    }
    let end = file.date.parse::<Date>().and_then(|date| date.tomorrow()?.to_zoned(TimeZone::UTC));
    (i64::MIN, end.map_or(i64::MAX, |end| file.newest.max(end.timestamp().as_second() - 1)))
}

/// Whether a file may hold anything of the time that is asked for.
pub fn overlaps(question: &Question, file: &ArchiveFile) -> bool {
    let (oldest, newest) = span(file);
    question.from.is_none_or(|from| newest >= from) && question.to.is_none_or(|to| oldest < to)
}

impl Search {
    /// Looks at files of the archive; `effort` and the taker are right at every moment, so whoever ends this early has what was
    /// found so far.
    pub async fn run(&self, files: Vec<ArchiveFile>, mut taker: Taker<'_>, effort: &mut Effort) -> Result<()> {
        effort.files += files.len();
        effort.bytes += files.iter().map(|file| file.bytes).sum::<u64>();
        let all = files.len();
        let mut files: Vec<ArchiveFile> = files.into_iter().filter(|file| overlaps(&self.question, file)).collect();
        effort.files_out += all - files.len();
        files.sort_by_key(|file| std::cmp::Reverse((span(file).1, file.id)));
        let mut left = files.len();
        // of texts nothing is known before the record is there
        let room = match &taker {
            Taker::Newest(newest) if self.question.texts.is_empty() => Some(newest.limit),
            _ => None,
        };
        let mut looks = futures_util::stream::iter(files)
            .map(|file| {
                let search = self.clone();
                async move {
                    let (latest, name) = (span(&file).1, file.name.clone());
                    let looked = tokio::spawn(async move { search.look(&file, room).await });
                    // what a reader of columns does not bear is a damaged file like any other
                    let looked = looked.await.unwrap_or_else(|error| Err(Error::permanent("archive:read", error)));
                    (latest, looked.map_err(|error| (name, error)))
                }
            })
            .buffered(AT_ONCE);
        while let Some((latest, looked)) = looks.next().await {
            if !taker.accepts(Some(latest)) {
                break;
            }
            left -= 1;
            match looked {
                Ok(looked) => {
                    effort.groups += looked.opened.groups();
                    effort.groups_out += looked.groups_out;
                    effort.rows += looked.rows;
                    if !self.take(looked, &mut taker, effort).await? {
                        break;
                    }
                }
                Err((name, error)) => effort.unread(&name, None, error)?,
            }
        }
        effort.files_spared += left;
        Ok(())
    }

    /// The rows of a file that match, by their columns; the newest `room` of them, and those of the last one's second.
    async fn look(&self, file: &ArchiveFile, room: Option<usize>) -> Result<Looked> {
        let opened = Opened::open(&self.place, &file.name, file.bytes).await?;
        let none = Vec::new();
        let mut looked = Looked { opened, matches: none, hits: None, faults: Vec::new(), groups_out: 0, rows: 0 };
        for group in 0..u32::try_from(looked.opened.groups()).unwrap_or(u32::MAX) {
            if let Err(error) = self.group(&mut looked, group).await {
                looked.faults.push((group, damage(error)?));
            }
            if let Some(room) = room {
                keep_newest(&mut looked.matches, room);
            }
        }
        looked.matches.sort_unstable_by_key(|found| (found.group, found.row));
        if looked.matches.len() <= FEW {
            self.few(&mut looked).await?;
        }
        Ok(looked)
    }

    /// The rows of a group that match.
    async fn group(&self, looked: &mut Looked, group: u32) -> Result<()> {
        let (opened, number) = (&mut looked.opened, group as usize);
        if !opened.may_hold(&self.place, number, &self.question.clauses).await? {
            looked.groups_out += 1;
            return Ok(());
        }
        looked.rows += opened.rows(number) as u64;
        let rows = self.columns(opened, number).await?;
        if !rows.is_empty() {
            looked.matches.append(&mut self.times(opened, group, rows).await?);
        }
        Ok(())
    }

    /// Puts all records of a file together that match, if they are no more than a chunk.
    async fn few(&self, looked: &mut Looked) -> Result<()> {
        let (mut all, mut bytes) = (Vec::new(), 0);
        for of_group in looked.matches.chunk_by(|one, other| one.group == other.group) {
            match self.together(&mut looked.opened, of_group).await {
                Ok(Some(mut hits)) => {
                    bytes += hits.iter().map(Hit::bytes).sum::<usize>();
                    all.append(&mut hits);
                }
                Ok(None) => bytes = usize::MAX,
                Err(error) => {
                    let error = damage(error)?;
                    looked.faults.extend(of_group.first().map(|found| (found.group, error)));
                }
            }
            if bytes > CHUNK {
                return Ok(());
            }
        }
        looked.hits = Some(all);
        Ok(())
    }

    /// All records of a group that match; none where they are more than a chunk.
    async fn together(&self, opened: &mut Opened, of_group: &[Match]) -> Result<Option<Vec<Hit>>> {
        let reader = self.whole(opened, of_group).await?;
        let whens: Vec<Option<i64>> = of_group.iter().map(|found| told(found.when)).collect();
        let (question, name) = (self.question.clone(), opened.name.clone());
        let together = move || {
            let (mut together, mut whens) = (Vec::new(), whens.as_slice());
            for batch in reader {
                let batch = batch.map_err(|error| unreadable(&name, &error.into()))?;
                let (next, mut hits) = hits(&question, &batch, whens, 0);
                if next < batch.num_rows() {
                    return Ok(None);
                }
                together.append(&mut hits);
                whens = whens.get(next..).unwrap_or_default();
            }
            Ok(Some(together))
        };
        self.place.env.blocking(together).await?
    }

    /// Whole rows of what matches in a group.
    async fn whole(&self, opened: &mut Opened, matches: &[Match]) -> Result<ParquetRecordBatchReader> {
        let group = matches.first().map_or(0, |found| found.group as usize);
        let rows: Vec<u32> = matches.iter().map(|found| found.row).collect();
        let selection = selection(&rows, opened.rows(group));
        opened.rows_of(&self.place, group, Columns::All, selection).await
    }

    /// The rows of a group of which the clauses hold.
    async fn columns(&self, opened: &mut Opened, group: usize) -> Result<Vec<u32>> {
        let all = opened.rows(group);
        if self.question.clauses.is_empty() {
            return Ok((0..u32::try_from(all).unwrap_or(u32::MAX)).collect());
        }
        let paths = paths(&self.question.clauses);
        let reader = opened.rows_of(&self.place, group, Columns::Named(&paths), None).await?;
        let (question, name) = (self.question.clone(), opened.name.clone());
        let look = move || {
            let (mut rows, mut before) = (Vec::new(), 0_u32);
            for batch in reader {
                let batch = batch.map_err(|error| unreadable(&name, &error.into()))?;
                let mut hold = vec![true; batch.num_rows()];
                for clause in &question.clauses {
                    let of_clause = Batch::of(&batch).hold(clause);
                    hold.iter_mut().zip(of_clause).for_each(|(hold, holds)| *hold &= holds);
                }
                rows.extend((before..).zip(&hold).filter(|(_, hold)| **hold).map(|(row, _)| row));
                before = before.saturating_add(u32::try_from(batch.num_rows()).unwrap_or(u32::MAX));
            }
            Ok(rows)
        };
        self.place.env.blocking(look).await?
    }

    /// The rows of the time that is asked for, with when they happened.
    async fn times(&self, opened: &mut Opened, group: u32, rows: Vec<u32>) -> Result<Vec<Match>> {
        let named = [schema::path(EVENT_TIME).unwrap_or_default(), schema::DELIVERED];
        let selection = selection(&rows, opened.rows(group as usize));
        let reader = opened.rows_of(&self.place, group as usize, Columns::Named(&named), selection).await?;
        let (question, name) = (self.question.clone(), opened.name.clone());
        let look = move || {
            let (mut matches, mut rows) = (Vec::new(), rows.into_iter());
            for batch in reader {
                let batch = batch.map_err(|error| unreadable(&name, &error.into()))?;
                let columns = Batch::of(&batch);
                let times = columns.text(named[0]);
                for (at, row) in (0..batch.num_rows()).zip(&mut rows) {
                    let when = when(text(times, at), columns.delivered(at));
                    if question.covers(when) {
                        matches.push(Match { group, row, when: when.unwrap_or(i64::MIN) });
                    }
                }
            }
            Ok(matches)
        };
        self.place.env.blocking(look).await?
    }

    /// Puts the records together that match, and gives them away; false when nobody wants more.
    async fn take(&self, looked: Looked, taker: &mut Taker<'_>, effort: &mut Effort) -> Result<bool> {
        let Looked { mut opened, matches, hits, faults, .. } = looked;
        for (group, error) in faults {
            effort.unread(&opened.name, Some(group), error)?;
        }
        let mut goes_on = true;
        if let Some(hits) = hits {
            effort.whole += matches.len() as u64;
            goes_on = taker.give(hits).await;
        } else {
            for of_group in matches.chunk_by(|one, other| one.group == other.group) {
                goes_on = match self.take_group(&mut opened, of_group, taker, effort).await {
                    Ok(goes_on) => goes_on,
                    Err(error) => {
                        let group = of_group.first().map(|found| found.group);
                        effort.unread(&opened.name, group, error).map(|()| true)?
                    }
                };
                if !goes_on {
                    break;
                }
            }
        }
        effort.read += opened.read;
        Ok(goes_on)
    }

    async fn take_group(
        &self,
        opened: &mut Opened,
        of_group: &[Match],
        taker: &mut Taker<'_>,
        effort: &mut Effort,
    ) -> Result<bool> {
        let wanted: Vec<Match> = of_group.iter().filter(|found| taker.accepts(told(found.when))).copied().collect();
        if wanted.is_empty() {
            return Ok(true);
        }
        effort.whole += wanted.len() as u64;
        let mut reader = self.whole(opened, &wanted).await?;
        let mut wanted = wanted.as_slice();
        loop {
            let (back, batch) = self.place.env.blocking(move || read_on(reader)).await?;
            reader = back;
            let Some(batch) = batch.transpose().map_err(|error| unreadable(&opened.name, &error.into()))? else {
                return Ok(true);
            };
            let (now, later) = wanted.split_at_checked(batch.num_rows()).unwrap_or((wanted, &[]));
            if !self.give(batch, now, taker).await? {
                return Ok(false);
            }
            wanted = later;
        }
    }

    async fn give(&self, batch: RecordBatch, of: &[Match], taker: &mut Taker<'_>) -> Result<bool> {
        let mut at = 0;
        while at < of.len() {
            let (question, batch, whens) =
                (self.question.clone(), batch.clone(), of.iter().map(|found| told(found.when)).collect::<Vec<_>>());
            let (next, hits) = self.place.env.blocking(move || hits(&question, &batch, &whens, at)).await?;
            at = next;
            if !taker.give(hits).await {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What is wrong with a file; any other error is one.
fn damage(error: Error) -> Result<Error> {
    if error.is_transient() || error.is_fatal() { Err(error) } else { Ok(error) }
}

type Read = (ParquetRecordBatchReader, Option<std::result::Result<RecordBatch, arrow_schema::ArrowError>>);

fn read_on(mut reader: ParquetRecordBatchReader) -> Read {
    let batch = reader.next();
    (reader, batch)
}

fn told(when: i64) -> Option<i64> {
    (when > i64::MIN).then_some(when)
}

/// Hits of a batch from a row on, and the row after the last.
fn hits(question: &Question, batch: &RecordBatch, whens: &[Option<i64>], from: usize) -> (usize, Vec<Hit>) {
    let columns = Batch::of(batch);
    let [ids, accounts] = [EVENT_ID, RECIPIENT].map(|leaf| schema::path(leaf).and_then(|path| columns.text(path)));
    let (objects, trails) = (columns.text(schema::OBJECT), columns.text(schema::TRAIL));
    let (mut hits, mut bytes, mut next) = (Vec::new(), 0, batch.num_rows());
    for (row, record) in (from..).zip(columns.records(from)) {
        // columns and shape always fit in files of ours
        if let Some(record) = record.filter(|record| question.says(record)) {
            let rank = Rank::new(whens.get(row).copied().flatten(), text(ids, row), text(accounts, row));
            let object = text(objects, row).unwrap_or_default().to_owned();
            let hit = Hit { rank, record, object, trail: text(trails, row).map(str::to_owned) };
            bytes += hit.bytes();
            hits.push(hit);
        }
        if bytes >= CHUNK {
            next = row + 1;
            break;
        }
    }
    (next, hits)
}

fn selection(rows: &[u32], of: usize) -> Option<RowSelection> {
    if rows.len() == of {
        return None;
    }
    let ranges = rows.chunk_by(|one, other| one + 1 == *other).filter_map(|run| {
        let (first, last) = (*run.first()? as usize, *run.last()? as usize);
        Some(first..last + 1)
    });
    Some(RowSelection::from_consecutive_ranges(ranges, of))
}

fn keep_newest(matches: &mut Vec<Match>, room: usize) {
    if matches.len() > room && room > 0 {
        let (_, last, _) = matches.select_nth_unstable_by_key(room - 1, |found| std::cmp::Reverse(found.when));
        let last = last.when;
        matches.retain(|found| found.when >= last);
    }
}

#[cfg(test)]
mod tests;
