//! Internet addresses as the language compares them: digit by digit of their hexadecimal form, an address of either family
//! against a range of either family.

/// Four or sixteen bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    bytes: [u8; 16],
    length: usize,
}

impl Address {
    /// Four decimal numbers, leading zeros allowed; or groups of hexadecimal digits, of which no point and no zone can be part.
    /// An IPv4 address written as IPv6 (`::ffff:c000:201`) is the IPv4 address.
    pub fn parse(text: &str) -> Option<Self> {
        // most texts are none, and begin so
        let begins = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b':';
        text.as_bytes().first().filter(|byte| begins(byte))?;
        Self::v4(text).or_else(|| Self::v6(text))
    }

    fn v4(text: &str) -> Option<Self> {
        if text.len() > 15 {
            return None;
        }
        let (mut bytes, mut length) = ([0; 16], 0);
        for part in text.split('.') {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) || length == 4 {
                return None;
            }
            *bytes.get_mut(length)? = u8::try_from(part.parse::<u64>().ok()?).ok()?;
            length += 1;
        }
        (length == 4).then_some(Self { bytes, length })
    }

    fn v6(text: &str) -> Option<Self> {
        let (head, tail) = match text.split_once("::") {
            Some((head, tail)) => (head, Some(tail)),
            None => (text, None),
        };
        let (mut bytes, mut count) = ([0_u8; 16], 0);
        let mut put = |group: u16, at: usize| {
            let [high, low] = group.to_be_bytes();
            bytes.get_mut(at * 2..at * 2 + 2)?.copy_from_slice(&[high, low]);
            Some(())
        };
        for group in groups(head) {
            put(group?, count)?;
            count += 1;
        }
        let after = tail.map_or(0, |tail| groups(tail).count());
        if count + after > 7 && (tail.is_some() || count != 8) || tail.is_none() && count != 8 {
            return None;
        }
        for (at, group) in tail.into_iter().flat_map(groups).enumerate() {
            put(group?, 8 - after + at)?;
        }
        Some(match bytes {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => {
                let mut bytes = [0; 16];
                bytes.get_mut(..4)?.copy_from_slice(&[a, b, c, d]);
                Self { bytes, length: 4 }
            }
            _ => Self { bytes, length: 16 },
        })
    }

    fn bits(self) -> usize {
        self.length * 8
    }

    fn digit(self, at: usize) -> Option<u8> {
        let byte = self.bytes.get(..self.length)?.get(at / 2)?;
        Some(if at.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f })
    }
}

/// The groups of one side of `::`; `None` for what is no group.
fn groups(text: &str) -> impl Iterator<Item = Option<u16>> {
    let some = !text.is_empty();
    text.split(':').filter(move |_| some).map(|group| {
        let digits = group.bytes().all(|byte| byte.is_ascii_hexdigit()) && !group.is_empty();
        digits.then(|| u16::from_str_radix(group, 16).ok()).flatten()
    })
}

/// From an address to an address, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    bottom: Address,
    top: Address,
}

impl From<Address> for Block {
    fn from(address: Address) -> Self {
        Self { bottom: address, top: address }
    }
}

impl Block {
    /// `address/bits`; the bits of the host may be set. What is wrong with it otherwise.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.trim_end_matches('/').split('/');
        let (Some(address), Some(bits), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err("an address, one \"/\" and a number of bits".into());
        };
        let address = Address::parse(address).ok_or("an IPv4 or IPv6 address before the \"/\"")?;
        let bits: i32 = bits.parse().map_err(|_| "a number of bits after the \"/\"")?;
        // a range of one address is refused; that address itself is an exact value
        let bits = usize::try_from(bits).ok().filter(|bits| *bits < address.bits());
        let bits = bits.ok_or_else(|| format!("less than {} bits after the \"/\"", address.bits()))?;
        let (mut bottom, mut top) = (address, address);
        let bytes = bottom.bytes.iter_mut().zip(&mut top.bytes).take(address.length);
        for (at, (low, high)) in bytes.enumerate() {
            let kept = bits.saturating_sub(at * 8).min(8);
            let host = 0xff_u8.checked_shr(u32::try_from(kept).unwrap_or(8)).unwrap_or(0);
            *low &= !host;
            *high |= host;
        }
        Ok(Self { bottom, top })
    }

    pub fn is_everything(&self) -> bool {
        self.bottom.digit(0) == Some(0) && self.top.digit(0) == Some(0x0f) && self.bottom != self.top
    }

    /// Digit by digit, until one lies between those of the bounds: what follows then is not looked at, and so an IPv6 address can
    /// lie in an IPv4 range, and the reverse.
    pub fn holds(&self, address: Address) -> bool {
        let (mut at_bottom, mut at_top) = (true, true);
        for at in 0..self.bottom.length * 2 {
            let (Some(digit), Some(low), Some(high)) = (address.digit(at), self.bottom.digit(at), self.top.digit(at))
            else {
                return false;
            };
            if at_bottom && digit < low || at_top && digit > high {
                return false;
            }
            at_bottom &= digit == low;
            at_top &= digit == high;
            if !at_bottom && !at_top {
                return true;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(block: &str, address: &str) -> bool {
        Block::parse(block).unwrap().holds(Address::parse(address).unwrap())
    }

    #[test]
    fn addresses_are_read_in_every_spelling() {
        for (one, other) in [
            ("192.0.2.04", "192.0.2.4"),
            ("001.002.003.004", "1.2.3.4"),
            ("2001:0db8:0:0:0:0:0:1", "2001:db8::1"),
            ("02001:DB8::1", "2001:db8::1"),
            ("::ffff:c000:201", "192.0.2.1"),
            ("0:0:0:0:0:ffff:1:2", "0.1.0.2"),
            ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("::1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7"),
        ] {
            assert_eq!(Address::parse(one), Address::parse(other), "{one}");
            assert!(Address::parse(one).is_some(), "{one}");
        }
        for text in [
            "",
            ":",
            ":1",
            "1:",
            "1:2",
            "1::2::3",
            ":::",
            "1:2:3:4:5:6:7::8",
            "1:2:3:4:5:6:7:8:9",
            "::12345",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.",
            "1.2.3.4.5",
            "192.0.2.00000004",
            "::ffff:192.0.2.1",
            "fe80::1%eth0",
            "ec2.amazonaws.com",
            "1.2.3.+4",
            "AWS Internal",
            "abc",
            "::+1",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_block_holds_what_its_digits_hold() {
        assert!(within("192.0.2.0/24", "192.0.2.44") && !within("192.0.2.0/24", "192.0.3.0"));
        assert!(within("192.0.2.44/24", "192.0.2.1") && within("10.0.0.0/8/", "10.255.255.255"));
        assert!(within("192.0.2.44/31", "192.0.2.45") && !within("192.0.2.44/31", "192.0.2.46"));
        assert!(within("0.0.0.0/0", "2001:db8::1") && within("::/0", "192.0.2.44"));
        assert!(within("2001:db8::/32", "2001:db8::1") && !within("2001:db8::/32", "2001:db9::1"));
        assert!(within("192.0.2.0/24", "c000:201::1") && !within("2001:db8::/32", "32.1.13.184"));
        assert!(
            Block::parse("0.0.0.0/0").unwrap().is_everything() && !Block::parse("0.0.0.0/1").unwrap().is_everything()
        );
        for text in [
            "",
            "/8",
            "bad",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0//8",
            "10.0.0.0/32",
            "10.0.0.0/-1",
            "::/128",
            "10.0.0.0/x",
        ] {
            assert!(Block::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_of_one_family_are_ranges() {
        let block = Block::parse("10.20.30.0/22").unwrap();
        for last in 0..=255_u8 {
            for third in 20..40_u8 {
                let address = Address::parse(&format!("10.20.{third}.{last}")).unwrap();
                assert_eq!(block.holds(address), (28..32).contains(&third), "{third}.{last}");
            }
        }
    }
}
