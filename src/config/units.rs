//! Durations and sizes as people write them: one whole number, one unit.

use std::time::Duration;

use crate::core::printable;

const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// Nothing that is configured lasts longer, and sums of this stay far from overflow.
const LONGEST: u64 = 100 * 366 * DAY;

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// `90m`, `30d`, `7y`. A year is 365.25 days, and a part of a day counts as one: `7y` is 2557 days.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        let shown = printable(text, 40);
        format!("`{shown}` is no duration: a whole number and one of s, m, h, d, w, y, like \"90m\" or \"30d\"")
    };
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => number.checked_mul(SECOND),
        "m" => number.checked_mul(MINUTE),
        "h" => number.checked_mul(HOUR),
        "d" => number.checked_mul(DAY),
        "w" => number.checked_mul(WEEK),
        "y" => number.checked_mul(1461).and_then(|quarters| quarters.div_ceil(4).checked_mul(DAY)),
        _ => return Err(wrong()),
    };
    match seconds {
        Some(seconds) if seconds <= LONGEST => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("`{}` is longer than a hundred years", printable(text, 40))),
    }
}

/// Bytes: `20MiB`, `256KiB`, `1GB`.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || {
        let units: Vec<&str> = SIZES.iter().map(|(unit, _)| *unit).collect();
        let shown = printable(text, 40);
        format!("`{shown}` is no size: a whole number and one of {}, like \"20MiB\"", units.join(", "))
    };
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    match number.checked_mul(*bytes) {
        Some(total) if i64::try_from(total).is_ok() => Ok(total),
        _ => Err(format!("`{}` is more than can be counted", printable(text, 40))),
    }
}

/// The number and what follows it; a blank in between is fine.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

/// `90m = 5400 s`, in the largest unit that divides it.
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (number, unit) = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m")]
        .iter()
        .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit))
        .map_or((seconds, "s"), |(unit, name)| (seconds / unit, *name));
    if unit == "s" { format!("{seconds} s") } else { format!("{number}{unit} = {seconds} s") }
}

/// `20MiB = 20971520 bytes`, in the largest binary unit that divides it.
pub fn show_size(bytes: u64) -> String {
    [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or(format!("{bytes} bytes"), |(unit, name)| format!("{}{name} = {bytes} bytes", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let days = |n: u64| n * 86_400;
        for (text, seconds) in [
            ("90m", 5400),
            ("0s", 0),
            ("24h", days(1)),
            ("30d", days(30)),
            ("2w", days(14)),
            ("1y", days(366)),
            ("4y", days(1461)),
            ("7y", days(2557)),
            ("10y", days(3653)),
            (" 5 m ", 300),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "90", "m", "1.5h", "-1m", "90x", "90M", "1h30m", "9999y", "99999999999999999999s", "9m\n1"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(duration("1M").unwrap_err().contains("s, m, h, d, w, y"));
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("20MiB", 20 << 20), ("256KiB", 256 << 10), ("1GB", 1_000_000_000), ("7 B", 7)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "20", "20M", "20mib", "1.5GB", "99999999TiB", "-1B"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert!(size("20M").unwrap_err().contains("MiB"));
    }

    #[test]
    fn meanings_are_shown_in_the_largest_unit_that_fits() {
        let shown = |seconds| show_duration(Duration::from_secs(seconds));
        assert_eq!((shown(5400), shown(45), shown(0)), ("90m = 5400 s".into(), "45 s".into(), "0 s".into()));
        assert_eq!(shown(2557 * 86_400), "2557d = 220924800 s");
        assert_eq!(show_size(20 << 20), "20MiB = 20971520 bytes");
        assert_eq!(show_size(1_000_000_000), "1000000000 bytes");
        assert_eq!(show_size(0), "0 bytes");
    }
}
