//! Records on their way into files, to be sorted.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::ArrowError;
use jiff::Timestamp;
use jiff::civil::Date;

use super::columns::Columns;
use super::{files, schema};
use crate::core::record::frame::{self, Form};
use crate::core::record::{BadLog, seconds};
use crate::core::row::{self, Around, Cut, Row};
use crate::error::Result;

const DAY: i64 = 86_400;
/// Rows that are made into columns and written together: few enough that the columns stay near the processor.
const BATCH: usize = 1_024;

/// Where records come from: an object of a bucket, or a file that is imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its key.
    pub object: String,
    /// The configured trail whose bucket it lies in.
    pub trail: Option<String>,
    pub delivered: Option<Timestamp>,
    /// The day of its key: where records go whose own time is not to be believed.
    pub day: Date,
}

/// What makes two records the same one; by a key that only this process knows, so nobody can make another one the same.
#[derive(Clone, Default)]
pub struct Identity(RandomState, RandomState);

impl Identity {
    /// By time, event and account, as [`Row::told`] has them: whoever knows an event's id takes nothing out of the archive
    /// with a record of another time. Of a record without an id, by the object that it lies in and its whole text.
    pub fn of(&self, told: [Option<&str>; 3], otherwise: impl FnOnce() -> (String, String)) -> u128 {
        match told {
            [time, Some(id), account] => self.hash(&(true, id, account.unwrap_or_default(), time)),
            [_, None, _] => self.hash(&(false, otherwise())),
        }
    }

    fn hash(&self, value: &impl std::hash::Hash) -> u128 {
        u128::from(self.0.hash_one(value)) << 64 | u128::from(self.1.hash_one(value))
    }
}

/// What rows are sorted and compared by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Days since the epoch.
    pub day: i64,
    pub account: u64,
    pub seconds: i64,
    pub id: u128,
    /// Its time is written as CloudTrail writes it, so that texts sort as times do.
    pub plain: bool,
}

/// Accounts sort as numbers; what is none comes last.
pub fn account_number(account: Option<&str>) -> u64 {
    account.and_then(|account| account.parse().ok()).unwrap_or(u64::MAX)
}

/// Bytes of texts in a piece, and those that stand for each value with a column, about.
const PIECE: usize = 1 << 20;
const PER_CUT: usize = 32;
/// Values of a row that are remembered.
const MOST_CUTS: usize = 128;

/// Texts and what is cut out of them, in pieces, so that none is moved when more come.
#[derive(Default)]
struct Texts {
    pieces: Vec<Piece>,
    /// Pieces that were used before.
    spare: Vec<Piece>,
    rows: Vec<Slot>,
}

struct Piece {
    text: String,
    cuts: Vec<Cut>,
}

/// Where a row's text and cuts are.
struct Slot {
    piece: usize,
    text: Range<usize>,
    cuts: Range<usize>,
    /// None: the text is cut up again whenever it is asked for.
    around: Option<Around>,
}

impl Texts {
    /// Takes the record in that a text begins with, and answers where it ends; or all of the text, whatever it is. `see` looks at
    /// it on the way.
    fn take<T>(&mut self, text: &str, all: bool, see: impl FnOnce(Row<'_>) -> T) -> Option<(usize, T)> {
        if self.pieces.is_empty() {
            let piece = self.piece(0);
            self.pieces.push(piece);
        }
        let piece = self.pieces.last_mut()?;
        let first = piece.cuts.len();
        let (end, around) = match row::cut(text, &mut piece.cuts) {
            Some((end, around)) if !all => (end, around),
            None if !all => return None,
            cut => (text.len(), cut.map(|(_, around)| around).unwrap_or_default()),
        };
        let text = text.get(..end)?;
        let seen = see(Row { text, cuts: piece.cuts.get(first..)?, around: &around });
        // few have so much besides their text
        let around = (around.is_plain() && piece.cuts.len() - first <= MOST_CUTS).then_some(around);
        if around.is_none() {
            piece.cuts.truncate(first);
        }
        let begin = piece.text.len();
        let (text, cuts) = if piece.text.capacity() - begin < end {
            let cuts = piece.cuts.split_off(first);
            let mut next = self.piece(end);
            next.cuts.extend(cuts);
            next.text.push_str(text);
            let places = (0..end, 0..next.cuts.len());
            self.pieces.push(next);
            places
        } else {
            piece.text.push_str(text);
            (begin..begin + end, first..piece.cuts.len())
        };
        self.rows.push(Slot { piece: self.pieces.len() - 1, text, cuts, around });
        Some((end, seen))
    }

    /// One with room for a text.
    fn piece(&mut self, bytes: usize) -> Piece {
        let spare = if bytes > PIECE { None } else { self.spare.pop() };
        spare.map_or_else(|| Piece::with_room(PIECE.max(bytes)), Piece::emptied)
    }

    fn text(&self, row: usize) -> Option<&str> {
        let slot = self.rows.get(row)?;
        self.pieces.get(slot.piece)?.text.get(slot.text.clone())
    }

    fn see<T>(&self, row: usize, see: impl FnOnce(Row<'_>) -> T) -> Option<T> {
        let (slot, text) = (self.rows.get(row)?, self.text(row)?);
        Some(match &slot.around {
            Some(around) => see(Row { text, cuts: self.pieces.get(slot.piece)?.cuts.get(slot.cuts.clone())?, around }),
            None => see(row::columns(text).row()),
        })
    }

    fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
        let last = self.rows.last();
        let (pieces, text, cuts) = last.map_or((0, 0, 0), |last| (last.piece + 1, last.text.end, last.cuts.end));
        self.pieces.truncate(pieces);
        if let Some(piece) = self.pieces.last_mut() {
            piece.text.truncate(text);
            piece.cuts.truncate(cuts);
        }
    }
}

impl Piece {
    fn with_room(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), cuts: Vec::with_capacity(bytes / PER_CUT) }
    }

    fn emptied(mut self) -> Self {
        self.text.clear();
        self.cuts.clear();
        self
    }

    /// Whether it takes no more than most do.
    fn is_usual(&self) -> bool {
        self.text.capacity() <= PIECE && self.cuts.capacity() <= 2 * PIECE / PER_CUT
    }
}

/// Records in the order in which they came, and what they are sorted and compared by.
#[derive(Default)]
pub struct Rows {
    identity: Identity,
    texts: Texts,
    pub origins: Vec<Origin>,
    origin: Vec<u32>,
    pub keys: Vec<Key>,
}

impl Rows {
    pub fn new(identity: Identity) -> Self {
        Self { identity, ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        let of = |piece: &Piece| piece.text.len() + piece.cuts.len() * size_of::<Cut>();
        self.texts.pieces.iter().map(of).sum::<usize>() + self.len() * (size_of::<Slot>() + size_of::<Key>())
    }

    /// The next rows are of this one.
    pub fn begin(&mut self, origin: Origin) {
        self.origins.push(origin);
    }

    /// A record of the origin begun last: a JSON object's text.
    pub fn push(&mut self, text: &str) {
        self.add(text, true);
    }

    /// The record that a text begins with: where it ends. None where no valid JSON object is there.
    fn take(&mut self, text: &str) -> Option<usize> {
        self.add(text, false)
    }

    fn add(&mut self, text: &str, all: bool) -> Option<usize> {
        let (origin, identity) = (self.origins.last()?, &self.identity);
        let key = |row: Row<'_>| {
            let told = row.told();
            let [time, _, account] = told;
            let seconds = time.and_then(seconds);
            Key {
                day: day(seconds, origin),
                account: account_number(account),
                seconds: seconds.unwrap_or(i64::MIN),
                id: identity.of(told, || (origin.object.clone(), row.text.to_owned())),
                plain: time.is_some_and(|time| time.len() == 20 && time.ends_with('Z')),
            }
        };
        let (end, key) = self.texts.take(text, all, key)?;
        self.keys.push(key);
        self.origin.push(u32::try_from(self.origins.len() - 1).unwrap_or(u32::MAX));
        Some(end)
    }

    /// Takes in each object of a file of the origin begun last, and nothing where the file is broken; answers how many elements
    /// are none. `unwrap` is asked about what has no time: whether other texts are meant, and which.
    pub fn read(
        &mut self,
        text: &str,
        form: Form,
        unwrap: impl Fn(&str, &mut dyn FnMut(&str)) -> bool,
    ) -> Result<u64, BadLog> {
        let (before, mut rejected) = (self.len(), 0);
        let read = frame::elements(text, form, |rest| {
            let Some(end) = self.take(rest) else {
                let end = frame::skip(rest)?;
                match rest.get(..end).filter(|element| element.starts_with('{')) {
                    Some(long) => self.push(long),
                    None => rejected += 1,
                }
                return Ok(end);
            };
            if self.keys.last().is_some_and(|key| key.seconds == i64::MIN) {
                let element = rest.get(..end).unwrap_or_default();
                self.truncate(self.len() - 1);
                if !unwrap(element, &mut |text| self.push(text)) {
                    self.push(element);
                }
            }
            Ok(end)
        });
        if read.is_err() {
            self.truncate(before);
        }
        read.map(|()| rejected)
    }

    /// The records' texts.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|row| self.texts.text(row))
    }

    /// The same table for other rows: the memory that it took is there already.
    pub fn emptied(mut self) -> Self {
        self.texts.rows.clear();
        self.texts.spare.extend(self.texts.pieces.drain(..).filter(Piece::is_usual));
        self.origins.clear();
        self.origin.clear();
        self.keys.clear();
        self
    }

    /// Forgets all but the first rows.
    fn truncate(&mut self, rows: usize) {
        self.keys.truncate(rows);
        self.origin.truncate(rows);
        self.texts.truncate(rows);
    }

    /// Shows a row.
    pub fn see<T>(&self, row: u32, see: impl FnOnce(Row<'_>) -> T) -> Option<T> {
        self.texts.see(row as usize, see)
    }

    /// The number of the origin that a row is of.
    pub fn origin(&self, row: u32) -> usize {
        self.origin.get(row as usize).map_or(0, |origin| *origin as usize)
    }

    /// Rows in the order asked for, as columns.
    pub fn batches(&self, rows: &[u32]) -> impl Iterator<Item = Result<RecordBatch>> {
        let mut columns = Columns::default();
        rows.chunks(BATCH).map(move |rows| {
            for row in rows {
                self.see(*row, |row| columns.push(row));
            }
            self.batch(rows, columns.finish()).map_err(|error| files::fault("archive:write", &error.into()))
        })
    }

    fn batch(&self, rows: &[u32], columns: Result<Vec<ArrayRef>, ArrowError>) -> Result<RecordBatch, ArrowError> {
        let mut columns = columns?;
        let origins = || rows.iter().map(|row| self.origins.get(self.origin(*row)));
        let objects: StringArray = origins().map(|origin| Some(origin?.object.as_str())).collect();
        let trails: StringArray = origins().map(|origin| origin?.trail.as_deref()).collect();
        let delivered: TimestampMillisecondArray =
            origins().map(|origin| Some(origin?.delivered?.as_millisecond())).collect();
        columns.extend([Arc::new(objects) as ArrayRef, Arc::new(trails), Arc::new(delivered.with_timezone("UTC"))]);
        RecordBatch::try_new(schema::schema(), columns)
    }
}

/// The day that a record belongs to: of its own time if that is to be believed, else of the key.
fn day(time: Option<i64>, origin: &Origin) -> i64 {
    let of_key = days_of(origin.day);
    let (from, to) = match origin.delivered {
        Some(_) => (of_key * DAY - schema::LATEST.as_secs(), (of_key + 1) * DAY + schema::EARLIEST.as_secs()),
        // what is imported may be of any time since there is CloudTrail
        None => (days_of(jiff::civil::date(2013, 11, 1)) * DAY, (of_key + 1) * DAY + schema::EARLIEST.as_secs()),
    };
    time.filter(|time| (from..to).contains(time)).map_or(of_key, |time| time.div_euclid(DAY))
}

/// Days since the epoch.
pub fn days_of(date: Date) -> i64 {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.until(date).map_or(0, |span| i64::from(span.get_days()))
}

/// `yyyy-mm-dd`
pub fn date_of(day: i64) -> String {
    let time = Timestamp::from_second(day.saturating_mul(DAY)).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use jiff::civil::date;

    use super::*;

    fn origin(delivered: Option<&str>) -> Origin {
        Origin {
            object: "key".into(),
            trail: Some("org".into()),
            delivered: delivered.map(|time| time.parse().unwrap()),
            day: date(2026, 3, 1),
        }
    }

    #[test]
    fn a_record_belongs_to_its_own_day_unless_that_is_not_to_be_believed() {
        let of = |time: &str, delivered| {
            let mut rows = Rows::new(Identity::default());
            rows.begin(origin(delivered));
            rows.push(&format!("{{\"eventTime\":{time}}}"));
            date_of(rows.keys[0].day)
        };
        let delivered = Some("2026-03-01T12:00:00Z");
        for (time, day) in [
            ("\"2026-02-27T23:59:59Z\"", "2026-02-27"),
            ("\"2026-02-28T00:30:00+01:00\"", "2026-02-27"),
            ("\"2026-01-20T00:00:00Z\"", "2026-01-20"),
            ("\"2025-03-01T00:00:00Z\"", "2026-03-01"),
            ("\"2026-03-03T00:00:00Z\"", "2026-03-03"),
            ("\"2027-03-01T00:00:00Z\"", "2026-03-01"),
            ("\"yesterday\"", "2026-03-01"),
            ("5", "2026-03-01"),
        ] {
            assert_eq!(of(time, delivered), day, "{time}");
        }
        assert_eq!(of("\"2019-03-01T00:00:00Z\"", None), "2019-03-01", "imported");
        assert_eq!(of("\"1999-03-01T00:00:00Z\"", None), "2026-03-01");
        assert_eq!(date_of(days_of(date(1969, 12, 31))), "1969-12-31");
    }

    #[test]
    fn rows_come_back_as_their_records_in_any_order() {
        let many = vec![r#"{"ARN":"r"}"#; MOST_CUTS].join(",");
        let many = format!("{{\"eventID\":\"e\",\"userAgent\":\"\\t\",\"resources\":[{many}]}}");
        let texts = [
            r#"{"eventTime":"2026-03-01T00:00:01Z","eventID":"a","recipientAccountId":"111122223333","userIdentity":{"type":"Root"}}"#,
            r#"{"eventID":"b", "resources":[{"ARN":"x"},{"ARN":"y","type":"t"}], "new":1}"#,
            r#"{"eventID":"c","userIdentity":{"sessionContext":{"attributes":{"mfaAuthenticated":"true"}}},"resources":[]}"#,
            r#"{"eventId":"7d","accountId":"111122223333","timeWindow":{"windowStart":"2026-03-01T00:05:00Z"},"summary":{}}"#,
            &many,
        ];
        let mut rows = Rows::new(Identity::default());
        rows.begin(origin(Some("2026-03-01T12:00:00Z")));
        texts.iter().for_each(|text| rows.push(text));
        let batch = rows.batches(&[3, 1, 0, 2, 4]).next().unwrap().unwrap();
        assert_eq!(batch.schema(), schema::schema());
        let records = schema::record(&batch);
        let back: Vec<&str> = records.iter().flatten().collect();
        assert_eq!(back, [texts[3], texts[1], texts[0], texts[2], texts[4]]);
        let column = |path: &str| schema::leaf(&batch, path).unwrap().iter().collect::<Vec<_>>();
        assert_eq!(column("eventid"), [Some("7d"), Some("b"), Some("a"), Some("c"), Some("e")]);
        assert_eq!(column("eventtime")[0], Some("2026-03-01T00:05:00Z"));
        assert_eq!(column("rest")[1], Some(r#"{"new":1}"#));
        assert_eq!(column("object"), [Some("key"); 5]);
        assert_eq!(column("useridentity.sessioncontext.attributes.mfaauthenticated")[3], Some("true"));
        assert!(
            batch.column_by_name("useridentity").unwrap().is_null(1)
                && !batch.column_by_name("useridentity").unwrap().is_null(2)
        );
    }

    #[test]
    fn texts_of_any_length_are_kept_whole() {
        let lengths = [10, PIECE - 5, 20, PIECE, 0, 3 * PIECE, 7];
        let texts: Vec<String> = lengths.iter().zip('a'..).map(|(length, c)| c.to_string().repeat(*length)).collect();
        let mut kept = Texts::default();
        texts.iter().for_each(|text| assert_eq!(kept.take(text, true, |_| ()), Some((text.len(), ()))));
        for (row, text) in texts.iter().enumerate() {
            assert!(kept.text(row).is_some_and(|kept| kept == text), "{row}");
        }
        assert!(kept.text(7).is_none() && kept.pieces.len() == 6);
    }

    #[test]
    fn of_a_broken_file_nothing_is_taken_in() {
        let mut rows = Rows::default();
        let long = format!("{{\"eventTime\":\"2026-03-01T22:10:00Z\",\"userAgent\":\"{}\"}}", "x".repeat(PIECE / 3));
        rows.begin(origin(None));
        for (text, rejected, kept) in [
            (format!("[{long},{long}]"), Some(0), 2),
            (format!("[{long},{long},{long},{{\"a\":}}]"), None, 2),
            (format!("[{long}]x"), None, 2),
            (format!("[{long}, 5, [1], {{\"detail\":[1]}}]"), Some(2), 4),
        ] {
            let read = rows.read(&text, Form::Any, |_, _| false);
            assert_eq!((read.ok(), rows.len(), rows.texts().count()), (rejected, kept, kept));
        }
        let texts: Vec<&str> = rows.texts().collect();
        assert_eq!(texts, [&long, &long, &long, "{\"detail\":[1]}"]);
        let batch = rows.batches(&[0, 3]).next().unwrap().unwrap();
        assert_eq!(schema::record(&batch).iter().flatten().collect::<Vec<_>>(), [texts[0], texts[3]]);
    }

    #[test]
    fn the_same_event_of_an_account_is_the_same_record() {
        let identity = Identity::default();
        let of = |text: &str, object: &str| {
            let mut rows = Rows::new(identity.clone());
            rows.begin(Origin { object: object.into(), ..origin(None) });
            rows.push(text);
            rows.keys[0].id
        };
        let one = of(r#"{"eventID":"a","recipientAccountId":"1"}"#, "k");
        assert_eq!(of(r#"{"recipientAccountId":"1","eventID":"a","x":1}"#, "l"), one);
        assert_ne!(of(r#"{"eventID":"a","recipientAccountId":"2"}"#, "k"), one);
        let forged = r#"{"eventID":"a","recipientAccountId":"1","eventTime":"2026-03-01T00:00:01Z"}"#;
        assert_ne!(of(forged, "k"), one, "of another time");
        let without = of(r#"{"eventName":"a"}"#, "k");
        assert_eq!(of(r#"{"eventName":"a"}"#, "k"), without);
        assert_ne!(of(r#"{"eventName":"a"}"#, "l"), without, "of another object");
        assert_ne!(of(r#"{"eventName":"b"}"#, "k"), without);
    }
}
