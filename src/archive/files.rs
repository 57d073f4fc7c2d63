//! Files of the archive: how one is written, put in its place, and read again in pieces.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::{Buf, Bytes};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
};
use parquet::file::reader::{ChunkReader, Length};

use super::schema;
use crate::core::id::{Hasher, Sha256};
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::retry::{Policy, retry};
use crate::seam::{DynBucket, Metadata};
use crate::store::archive::NewFile;
use crate::store::copy::beside;

/// A file that is being made lies beside the ledger under this ending.
const SCRATCH: &str = ".archive-";
/// Where the lists of files lie.
pub const LISTS: &str = "manifest/";
/// What is read of a file's end at first; its footer is mostly smaller.
const FOOTER: u64 = 64 << 10;
/// Bytes of a file that one request asks for.
const PIECE: u64 = 16 << 20;
/// Files up to this size are read whole, into memory.
const SMALL: u64 = 4 << 20;

/// Where the archive lies.
#[derive(Clone)]
pub struct Place {
    pub bucket: DynBucket,
    /// Before each name: empty, or ending in `/`.
    pub prefix: String,
    /// The warden's name, fit for a file's: whose files these are.
    pub label: String,
    /// The ledger; what is being made lies beside it.
    pub state: PathBuf,
    pub env: crate::env::Env,
    pub fence: Fence,
}

/// A file that was written and is not in its place yet. It is gone when this is.
pub struct Written {
    pub path: PathBuf,
    pub sha: Sha256,
    pub bytes: u64,
    pub rows: u64,
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Counts and hashes what is written.
struct Hashing {
    file: BufWriter<File>,
    hasher: Hasher,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What goes wrong with columns, as an error of ours. A full disk stops the warden.
pub fn fault(op: &'static str, error: &ParquetError) -> Error {
    if let ParquetError::External(inner) = error
        && let Some(io) = inner.downcast_ref::<io::Error>()
    {
        return crate::local::fault(op, io);
    }
    Error::permanent(op, error)
}

/// Writes batches into a new file at `path`.
pub fn write(path: &Path, effort: i32, batches: impl IntoIterator<Item = Result<RecordBatch>>) -> Result<Written> {
    let failed = |error: ParquetError| fault("archive:write", &error);
    let file = File::create(path).map_err(|error| crate::local::fault("archive:write", &error))?;
    // removes it when something goes wrong
    let mut written = Written { path: path.to_owned(), sha: Sha256([0; 32]), bytes: 0, rows: 0 };
    let hashing = Hashing { file: BufWriter::with_capacity(1 << 18, file), hasher: Hasher::default(), bytes: 0 };
    // the types are Parquet's own: whatever reads them needs no second schema
    let options = ArrowWriterOptions::new().with_properties(schema::properties(effort)).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(hashing, schema::schema(), options).map_err(failed)?;
    for batch in batches {
        let batch = batch?;
        written.rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(failed)?;
    }
    let mut hashing = writer.into_inner().map_err(failed)?;
    hashing.flush().map_err(|error| crate::local::fault("archive:write", &error))?;
    (written.sha, written.bytes) = (hashing.hasher.finish(), hashing.bytes);
    Ok(written)
}

impl Place {
    /// A name that nobody else gives, for a file of a date.
    pub fn name(&self, date: &str) -> String {
        format!("date={date}/{}-{}.parquet", self.label, self.env.token())
    }

    /// Whether a file of this name is one of this warden's.
    pub fn is_own(&self, name: &str) -> bool {
        label(name) == Some(self.label.as_str())
    }

    /// The list of a date's files that this warden keeps for others.
    pub fn list(&self, date: &str) -> String {
        format!("{LISTS}date={date}/files-{}", self.label)
    }

    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn scratch(&self) -> PathBuf {
        beside(&self.state, &format!("{SCRATCH}{}", self.env.token()))
    }

    /// Takes away what a crash left of files that were being made.
    pub fn clear_scratch(&self) {
        let folder = self.state.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let own = self.state.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_scratch = entry
                .file_name()
                .to_str()
                .and_then(|name| name.strip_prefix(own))
                .is_some_and(|rest| rest.starts_with(SCRATCH));
            if is_scratch {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Puts a file in its place, durably.
    pub async fn put(
        &self,
        written: &Written,
        name: String,
        date: &str,
        span: (i64, i64),
        level: u8,
    ) -> Result<NewFile> {
        let key = self.key(&name);
        let put = || self.fence.guard(self.bucket.put_file(&key, &written.path, &written.sha));
        retry(&self.env, Policy::STEP, put).await?;
        let (date, (oldest, newest)) = (date.to_owned(), span);
        Ok(NewFile { name, date, rows: written.rows, bytes: written.bytes, oldest, newest, level })
    }

    /// Puts a small object in its place.
    pub async fn put_text(&self, key: &str, body: Vec<u8>) -> Result<()> {
        let put = || self.fence.guard(self.bucket.put(key, body.clone(), Metadata::new()));
        retry(&self.env, Policy::STEP, put).await
    }

    pub async fn remove(&self, name: &str) -> Result<()> {
        let key = self.key(name);
        retry(&self.env, Policy::STEP, || self.fence.guard(self.bucket.remove(&key))).await
    }

    /// Bytes of a file; fewer than that are an error.
    pub async fn range(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        let (key, length) = (self.key(name), range.end - range.start);
        let found = retry(&self.env, Policy::STEP, || self.bucket.range(&key, range.start, length)).await?;
        let found = found.ok_or_else(|| missing(name))?;
        if found.len() as u64 != length {
            return Err(Error::permanent("archive:read", format!("{name} is shorter than it was")));
        }
        Ok(found.into())
    }

    /// What a file says of itself, and the file as far as it was read for that.
    pub async fn metadata(&self, name: &str, bytes: u64) -> Result<(Arc<ParquetMetaData>, Pieces)> {
        let mut from = bytes.saturating_sub(FOOTER);
        loop {
            let pieces = Pieces { length: bytes, pieces: vec![(from, self.range(name, from..bytes).await?)] };
            // of sizes nobody asks
            let options = ParquetMetaDataOptions::new().with_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
            let mut reader = ParquetMetaDataReader::new()
                .with_page_index_policy(PageIndexPolicy::Skip)
                .with_metadata_options(Some(options));
            match reader.try_parse_sized(&pieces.tail(), bytes) {
                Ok(()) => {
                    let metadata = reader.finish().map_err(|error| unreadable(name, &error))?;
                    return Ok((Arc::new(metadata), pieces));
                }
                Err(ParquetError::NeedMoreData(needed)) if from > 0 => {
                    from = bytes.saturating_sub(needed as u64).min(from - 1);
                }
                Err(error) => return Err(unreadable(name, &error)),
            }
        }
    }

    /// Reads more of a file, as far as it is not there yet.
    pub async fn more(
        &self,
        name: &str,
        pieces: &mut Pieces,
        ranges: impl IntoIterator<Item = Range<u64>>,
    ) -> Result<()> {
        for range in ranges {
            if pieces.slice(range.start, range.end - range.start).is_none() {
                let start = range.start;
                pieces.pieces.push((start, self.range(name, range).await?));
            }
        }
        Ok(())
    }

    /// A part of a file, read if it is not there yet.
    pub async fn piece(&self, name: &str, pieces: &mut Pieces, range: Range<u64>) -> Result<Bytes> {
        self.more(name, pieces, std::iter::once(range.clone())).await?;
        pieces.slice(range.start, range.end - range.start).ok_or_else(|| missing(name))
    }

    /// A whole file: in memory if it is small, else in a file that is gone when nobody reads it any more.
    pub async fn fetch(&self, name: &str, bytes: u64) -> Result<Body> {
        if bytes <= SMALL {
            return Ok(Body::Memory(self.range(name, 0..bytes).await?));
        }
        let scratch = Arc::new(Scratch::create(self.scratch())?);
        let mut at = 0;
        while at < bytes {
            let piece = self.range(name, at..bytes.min(at + PIECE)).await?;
            let (into, from) = (scratch.clone(), at);
            at += piece.len() as u64;
            let write = move || into.file.write_all_at(&piece, from);
            self.env.blocking(write).await?.map_err(|error| crate::local::fault("archive:read", &error))?;
        }
        Ok(Body::File(scratch, bytes))
    }
}

/// The warden that a file's name carries.
fn label(name: &str) -> Option<&str> {
    let file = name.rsplit_once('/').map_or(name, |(_, file)| file);
    let (label, token) = file.strip_suffix(".parquet")?.rsplit_once('-')?;
    (token.len() == 16 && token.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(label)
}

pub fn is_a_wardens(name: &str) -> bool {
    label(name).is_some()
}

pub fn missing(name: &str) -> Error {
    Error::permanent("archive:read", format!("{name} is not there")).with_code("NoSuchKey")
}

pub fn unreadable(name: &str, error: &ParquetError) -> Error {
    Error::permanent("archive:read", format!("{name}: {error}"))
}

/// Parts of a file in memory.
#[derive(Clone)]
pub struct Pieces {
    length: u64,
    pieces: Vec<(u64, Bytes)>,
}

impl Pieces {
    fn slice(&self, from: u64, length: u64) -> Option<Bytes> {
        self.pieces.iter().find_map(|(start, bytes)| {
            let at = usize::try_from(from.checked_sub(*start)?).ok()?;
            let end = at.checked_add(usize::try_from(length).ok()?)?;
            (end <= bytes.len()).then(|| bytes.slice(at..end))
        })
    }

    /// Bytes that are in memory.
    pub fn held(&self) -> u64 {
        self.pieces.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// The end of the file, which is what the footer is read from: alone, so that one longer than it says so.
    fn tail(&self) -> Bytes {
        self.pieces.first().map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    }
}

impl Length for Pieces {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Pieces {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let rest = self.pieces.iter().find_map(|(from, bytes)| {
            let at = usize::try_from(start.checked_sub(*from)?).ok()?;
            (at < bytes.len()).then(|| bytes.slice(at..))
        });
        rest.map(Buf::reader).ok_or_else(|| ParquetError::EOF("a part that was not read".into()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.slice(start, length as u64).ok_or_else(|| ParquetError::EOF("a part that was not read".into()))
    }
}

/// A file that is gone when nobody holds it any more.
pub struct Scratch {
    file: File,
    path: PathBuf,
}

impl Scratch {
    fn create(path: PathBuf) -> Result<Self> {
        let file = File::options().create_new(true).read(true).write(true).open(&path);
        file.map(|file| Self { file, path }).map_err(|error| crate::local::fault("archive:read", &error))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A whole file.
#[derive(Clone)]
pub enum Body {
    Memory(Bytes),
    File(Arc<Scratch>, u64),
}

impl Length for Body {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }
}

/// Reads on from a place, whoever else reads.
pub struct From {
    body: Body,
    at: u64,
}

impl Read for From {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = match &self.body {
            Body::Memory(bytes) => {
                let rest = usize::try_from(self.at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let length = rest.len().min(into.len());
                into.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                length
            }
            Body::File(scratch, _) => scratch.file.read_at(into, self.at)?,
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl ChunkReader for Body {
    type T = From;

    fn get_read(&self, start: u64) -> parquet::errors::Result<From> {
        Ok(From { body: self.clone(), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        match self {
            Self::Memory(bytes) => bytes.get_bytes(start, length),
            Self::File(scratch, _) => {
                let mut piece = vec![0; length];
                scratch.file.read_exact_at(&mut piece, start)?;
                Ok(piece.into())
            }
        }
    }
}
