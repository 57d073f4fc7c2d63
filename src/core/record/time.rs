//! Event times. One stands in every record and nearly all have one form, so that form is read without a parser.

use jiff::Timestamp;

use super::DAY;

/// `yyyy-mm-ddThh:mm:ssZ`, and whatever else jiff takes for a moment, as seconds since the epoch.
pub fn seconds(text: &str) -> Option<i64> {
    plain_seconds(text).or_else(|| Some(text.parse::<Timestamp>().ok()?.as_second()))
}

fn plain_seconds(text: &str) -> Option<i64> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1, b'Z'] = *bytes else {
        return None;
    };
    let year = two(y0, y1)? * 100 + two(y2, y3)?;
    let (month, day) = (two(m0, m1)?, two(d0, d1)?);
    let (hour, minute, second) = (two(h0, h1)?, two(n0, n1)?, two(s0, s1)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // days from the civil date, in years that begin in March (Hinnant, chrono-compatible low-level date algorithms)
    let year = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468;
    Some(days * DAY + hour * 3600 + minute * 60 + second)
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let digit = |byte: u8| char::from(byte).to_digit(10).map(i64::from);
    Some(digit(tens)? * 10 + digit(ones)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_may_have_fractions_and_offsets() {
        assert_eq!(seconds("1970-01-02T00:00:01Z"), Some(86_401));
        assert_eq!(seconds("2026-03-01T22:12:44.999Z"), seconds("2026-03-01T22:12:44Z"));
        assert_eq!(seconds("2026-03-01T22:12:44+01:00"), seconds("2026-03-01T21:12:44Z"));
        for bad in [
            "",
            "2026-03-01",
            "2026-03-01T22:12:44",
            "2026-13-01T22:12:44Z",
            "2026-03-01T24:12:44Z",
            "2026-3-1T22:12:44Z",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn plain_times_are_read_as_jiff_reads_them(at in -62_135_596_800_i64..253_402_000_000) {
            let time = Timestamp::from_second(at).unwrap();
            prop_assert_eq!(plain_seconds(&time.to_string()), Some(at));
        }

        #[test]
        fn fields_of_a_time_out_of_range_are_refused_as_jiff_does(
            (y, mo, d) in (0_u16..3000, 0_u8..20, 0_u8..40), (h, mi, s) in (0_u8..30, 0_u8..70, 0_u8..60),
        ) {
            let text = format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}Z");
            prop_assert_eq!(plain_seconds(&text), text.parse::<Timestamp>().ok().map(Timestamp::as_second));
        }
    }
}
