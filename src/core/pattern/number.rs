//! Numbers as the language compares them: as 64-bit floating point, where that loses nothing.

use std::fmt::Write;

/// Decimal digits that every float keeps, and the powers of ten within which it does.
const KEPT: usize = 15;
const NEAR: i64 = 290;

/// The value of a JSON number, where its digits are those that the nearest float is written with. A number that has more digits
/// than a float holds, or is too large or too small for one, is compared as text instead. Allocates nothing.
pub(super) fn comparable(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    if !value.is_finite() {
        return None;
    }
    let written = Decimal::of(text);
    if written.is_short() {
        return Some(value);
    }
    let mut shortest = Stack::default();
    write!(shortest, "{value:e}").ok()?;
    written.equals(&Decimal::of(shortest.text())).then_some(value)
}

/// `0.digits × 10^exponent`; the digits neither begin nor end with a zero, and may hold the point.
struct Decimal<'t> {
    digits: &'t str,
    exponent: i64,
}

impl<'t> Decimal<'t> {
    fn of(text: &'t str) -> Self {
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let mantissa = mantissa.trim_start_matches('-');
        let point = mantissa.find('.').unwrap_or(mantissa.len());
        let digits = mantissa.trim_start_matches(['0', '.']);
        let first = mantissa.len() - digits.len();
        let digits = digits.trim_end_matches(['0', '.']);
        if digits.is_empty() {
            return Self { digits, exponent: 0 };
        }
        let places = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let magnitude = if first < point { places(point - first) } else { 1 - places(first - point) };
        // a power that no integer holds belongs to zero or infinity, and those are settled before
        let power: i64 = power.parse().unwrap_or(i64::MAX);
        Self { digits, exponent: magnitude.saturating_add(power) }
    }

    /// Whether every float of so many digits is written as they are.
    fn is_short(&self) -> bool {
        self.digits.is_empty() || (self.digits.len() <= KEPT && (-NEAR..=NEAR).contains(&self.exponent))
    }

    fn equals(&self, other: &Self) -> bool {
        let digits = |text: &'t str| text.bytes().filter(|byte| *byte != b'.');
        self.exponent == other.exponent && digits(self.digits).eq(other.digits.bytes().filter(|byte| *byte != b'.'))
    }
}

/// Room for one float.
#[derive(Default)]
struct Stack {
    bytes: [u8; 32],
    length: usize,
}

impl Stack {
    fn text(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl Write for Stack {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits_that_a_float_does_not_keep_are_not_compared_as_numbers() {
        for (text, value) in [
            ("300", 300.0),
            ("300.0", 300.0),
            ("3.0e2", 300.0),
            ("3E+2", 300.0),
            ("0.003e5", 300.0),
            ("-0", 0.0),
            ("0.000e99999999999999999999", 0.0),
            ("0.1", 0.1),
            ("0.30000000000000004", 0.300_000_000_000_000_04),
            ("287.48116291799363", 287.481_162_917_993_63),
            ("111122223333", 111_122_223_333.0),
            ("1E-320", 1e-320),
            ("-1.7976931348623157e308", f64::MIN),
            ("9007199254740992", 9_007_199_254_740_992.0),
        ] {
            assert_eq!(comparable(text), Some(value), "{text}");
        }
        for text in ["1E309", "2.0e422", "1E-325", "9007199254740993", "12345678901234567890", "123456789.123456789"] {
            assert_eq!(comparable(text), None, "{text}");
        }
        assert_eq!(comparable(&format!("0.1{}", "0".repeat(5_000))), Some(0.1));
        assert_eq!(comparable(&format!("0.1{}1", "0".repeat(5_000))), None);
    }

    proptest! {
        #[test]
        fn every_float_is_what_it_is_written_as(value: f64) {
            prop_assume!(value.is_finite());
            prop_assert_eq!(comparable(&value.to_string()), Some(value));
            prop_assert_eq!(comparable(&format!("{value:E}")), Some(value));
        }
    }
}
