//! Times as Athena's functions read and write them.

use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Unit};

use crate::core::record::seconds;

/// Milliseconds since the epoch of an ISO 8601 text: with a zone or without, which is UTC; a date alone is its midnight.
pub fn iso(text: &str) -> Option<i64> {
    let text = text.trim();
    let of_time = || text.parse::<Timestamp>().ok();
    let of_civil = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    let of_date = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    let time = of_time().or_else(of_civil).or_else(of_date).map(Timestamp::as_millisecond);
    time.or_else(|| seconds(text)?.checked_mul(1_000))
}

/// Milliseconds since the epoch of a text in a form of MySQL's (`%Y-%m-%dT%H:%i:%sZ`), as `date_parse` reads it.
pub fn parsed(text: &str, form: &str) -> Option<i64> {
    let broken = strtime::parse(mysql(form)?, text).ok()?;
    let time = broken.to_datetime().or_else(|_| broken.to_date().map(DateTime::from)).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp().as_millisecond())
}

/// A time in a form of MySQL's, as `date_format` writes it.
pub fn formatted(millis: i64, form: &str) -> Option<String> {
    let time = Timestamp::from_millisecond(millis).ok()?.to_zoned(TimeZone::UTC);
    strtime::format(mysql(form)?, &time).ok()
}

/// A time later by so many units, as `date_add` counts.
pub fn later(millis: i64, unit: &str, count: i64) -> Option<i64> {
    let time = Timestamp::from_millisecond(millis).ok()?.to_zoned(TimeZone::UTC);
    time.checked_add(span(unit, count)?).ok().map(|time| time.timestamp().as_millisecond())
}

/// How many whole units lie between two times, as `date_diff` counts.
pub fn between(unit: &str, from: i64, to: i64) -> Option<i64> {
    let whole = |millis: i64| to.checked_sub(from)?.checked_div(millis);
    let months = || {
        let zoned = |millis| Some(Timestamp::from_millisecond(millis).ok()?.to_zoned(TimeZone::UTC));
        let span = zoned(from)?.until((Unit::Month, &zoned(to)?)).ok()?;
        Some(i64::from(span.get_months()))
    };
    match unit.to_ascii_lowercase().as_str() {
        "millisecond" => whole(1),
        "second" => whole(1_000),
        "minute" => whole(60_000),
        "hour" => whole(3_600_000),
        "day" => whole(86_400_000),
        "week" => whole(7 * 86_400_000),
        "month" => months(),
        "quarter" => months().map(|months| months / 3),
        "year" => months().map(|months| months / 12),
        _ => None,
    }
}

fn span(unit: &str, count: i64) -> Option<Span> {
    let span = 0.seconds();
    match unit.to_ascii_lowercase().as_str() {
        "millisecond" => span.try_milliseconds(count),
        "second" => span.try_seconds(count),
        "minute" => span.try_minutes(count),
        "hour" => span.try_hours(count),
        "day" => span.try_days(count),
        "week" => span.try_weeks(count),
        "month" => span.try_months(count),
        "quarter" => return count.checked_mul(3).and_then(|months| span.try_months(months).ok()),
        "year" => span.try_years(count),
        _ => return None,
    }
    .ok()
}

/// A form of MySQL's in the letters that are written elsewhere; `None`: it has one that is not known.
fn mysql(form: &str) -> Option<String> {
    let (mut out, mut letters) = (String::with_capacity(form.len()), form.chars());
    while let Some(c) = letters.next() {
        out.push(c);
        if c == '%' {
            match letters.next() {
                Some('i') => out.push('M'),
                Some('s') => out.push('S'),
                Some('M') => out.push('B'),
                Some('W') => out.push('A'),
                Some('h') => out.push('I'),
                Some('c') => out.push_str("-m"),
                Some('e') => out.push_str("-d"),
                Some('k') => out.push_str("-H"),
                Some('l') => out.push_str("-I"),
                Some('f') => out.push_str("6f"),
                Some('x') => out.push('G'),
                Some('v') => out.push('V'),
                Some('r') => out.push_str("I:%M:%S %p"),
                Some(same @ ('Y' | 'y' | 'm' | 'd' | 'H' | 'I' | 'S' | 'T' | 'p' | 'a' | 'b' | 'j' | '%')) => {
                    out.push(same)
                }
                Some(_) | None => return None,
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_athena_reads_them() {
        let known = 1_772_359_202_000;
        for text in
            ["2026-03-01T10:00:02Z", "2026-03-01T11:00:02+01:00", "2026-03-01T10:00:02", " 2026-03-01T10:00:02.000Z"]
        {
            assert_eq!(iso(text), Some(known), "{text}");
        }
        assert_eq!(iso("2026-03-01"), Some(known - 36_002_000));
        assert_eq!(iso("yesterday"), None);
        assert_eq!(parsed("2026-03-01T10:00:02Z", "%Y-%m-%dT%H:%i:%sZ"), Some(known));
        assert_eq!(parsed("01.03.2026", "%d.%m.%Y"), Some(known - 36_002_000));
        assert_eq!(parsed("2026", "%d"), None);
        assert_eq!(formatted(known, "%c %e %k %f %x-%v %r").as_deref(), Some("3 1 10 000000 2026-09 10:00:02 AM"));
        assert_eq!(formatted(known, "%D"), None);
        assert_eq!(formatted(known, "%Y/%m/%d %H:%i:%s").as_deref(), Some("2026/03/01 10:00:02"));
    }

    #[test]
    fn times_are_counted_on_and_apart() {
        let known = iso("2026-03-31T10:00:00Z").unwrap();
        assert_eq!(later(known, "month", -1), iso("2026-02-28T10:00:00Z"));
        assert_eq!(later(known, "DAY", 1), iso("2026-04-01T10:00:00Z"));
        assert_eq!(later(known, "day", i64::MAX), None);
        assert_eq!(later(known, "fortnight", 1), None);
        assert_eq!(between("hour", known, known + 7_199_999), Some(1));
        assert_eq!(between("day", known + 86_400_000, known), Some(-1));
        assert_eq!(between("fortnight", known, known), None);
        let year = iso("2027-03-30T10:00:00Z").unwrap();
        assert_eq!((between("month", known, year), between("year", known, year)), (Some(11), Some(0)));
        assert_eq!(
            (between("quarter", year, known), later(known, "quarter", 1)),
            (Some(-3), iso("2026-06-30T10:00:00Z"))
        );
        assert_eq!(between("day", i64::MIN, i64::MAX), None);
    }
}
