//! Numbers compared by their value as they are written: exactly, whatever their size.

use std::cmp::Ordering;

/// A decimal number: `0.d1d2d3… × 10^scale`, without zeros at either end of its digits.
#[derive(Debug, Clone, Copy)]
struct Decimal<'a> {
    negative: bool,
    /// What stands before the point and after it.
    digits: (&'a [u8], &'a [u8]),
    scale: i64,
}

/// The order of two numbers in decimal or scientific notation; `None` where one is no number. Exponents beyond any use are as
/// good as the largest.
pub fn compare(one: &str, other: &str) -> Option<Ordering> {
    let (one, other) = (Decimal::read(one)?, Decimal::read(other)?);
    Some(match (one.sign(), other.sign()) {
        (1, 1) => one.magnitude(&other),
        (-1, -1) => other.magnitude(&one),
        (one, other) => one.cmp(&other),
    })
}

/// Digits with or without a sign, a fraction and an exponent: `-12`, `+0.5`, `1e-3`.
pub fn is_number(text: &str) -> bool {
    Decimal::read(text).is_some()
}

impl<'a> Decimal<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (number, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, power(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match number.split_once('.') {
            Some((whole, fraction)) => (all_digits(whole)?, all_digits(fraction)?),
            None => (all_digits(number)?, &[][..]),
        };
        let fraction = trim_end(fraction);
        let whole = if fraction.is_empty() { (trim_end(whole), whole.len()) } else { (whole, whole.len()) };
        let significant = trim_start(whole.0);
        let leading = whole.0.len() - significant.len();
        let (fraction, gone) = match significant {
            [] => (trim_start(fraction), fraction.len() - trim_start(fraction).len()),
            _ => (fraction, 0),
        };
        let places = i64::try_from(whole.1 - leading).ok()? - i64::try_from(gone).ok()?;
        Some(Self { negative, digits: (significant, fraction), scale: exponent.saturating_add(places) })
    }

    fn sign(&self) -> i8 {
        match self.digits {
            ([], []) => 0,
            _ if self.negative => -1,
            _ => 1,
        }
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        let digits = |of: &Self| of.digits.0.iter().chain(of.digits.1).copied();
        self.scale.cmp(&other.scale).then_with(|| digits(self).cmp(digits(other)))
    }
}

fn all_digits(text: &str) -> Option<&[u8]> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text.as_bytes())
}

fn power(text: &str) -> Option<i64> {
    let digits = all_digits(text.strip_prefix(['+', '-']).unwrap_or(text))?;
    // far from the end of the type, so that what is added to it stays in order
    let size = digits.iter().fold(0i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(i64::MAX / 100));
    Some(if text.starts_with('-') { -size } else { size })
}

fn trim_start(mut digits: &[u8]) -> &[u8] {
    while let [b'0', rest @ ..] = digits {
        digits = rest;
    }
    digits
}

fn trim_end(mut digits: &[u8]) -> &[u8] {
    while let [rest @ .., b'0'] = digits {
        digits = rest;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_compared_by_value() {
        for (one, other) in [
            ("1", "1.0"),
            ("1", "1e0"),
            ("1000", "1e+3"),
            ("0.001", "1e-3"),
            ("-0", "0"),
            ("0e9", "0.00"),
            ("0100.10", "1.001E2"),
            ("+5", "5"),
            ("1e30", "10e29"),
        ] {
            assert_eq!(compare(one, other), Some(Ordering::Equal), "{one} {other}");
        }
        for (less, more) in [
            ("9007199254740992", "9007199254740993"),
            ("-2", "-1"),
            ("-1", "0"),
            ("0", "1e-400"),
            ("1e308", "1e309"),
            ("9", "10"),
            ("0.09", "0.1"),
            ("1.5", "1.50001"),
            ("-1e400", "1e-99999999999999999999"),
        ] {
            assert_eq!(compare(less, more), Some(Ordering::Less), "{less} {more}");
            assert_eq!(compare(more, less), Some(Ordering::Greater), "{more} {less}");
        }
        for text in ["", "+", "-", ".5", "1.", "1e", "1e+", "e1", "1 ", "0x1", "--1", "1_0", "NaN", "1e1.5", "١"] {
            assert!(!is_number(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_integers(one in -100_000i64..100_000, other in -100_000i64..100_000, zeros in 0usize..6) {
            // the same number with its point moved and the exponent moved back
            let moved = |n: i64| {
                let digits = format!("{:0>8}", n.abs());
                let (whole, fraction) = digits.split_at(digits.len() - zeros);
                let point = if fraction.is_empty() { String::new() } else { format!(".{fraction}00") };
                format!("{}{whole}{point}e{zeros}", if n < 0 { "-" } else { "" })
            };
            prop_assert_eq!(compare(&moved(one), &other.to_string()), Some(one.cmp(&other)));
            prop_assert_eq!(compare(&moved(one), &moved(other)), Some(one.cmp(&other)));
        }
    }
}
