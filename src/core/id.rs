//! Identifiers of the trade: parsed once, never validated twice.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{}` is not {rule}", crate::core::printable(text, 80))]
pub struct BadId {
    pub what: &'static str,
    pub text: String,
    pub rule: &'static str,
}

/// Twelve digits; leading zeros are significant (Organizations API reference: Account.Id).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId([u8; 12]);

impl AccountId {
    pub fn parse(text: &str) -> Result<Self, BadId> {
        match <[u8; 12]>::try_from(text.as_bytes()) {
            Ok(digits) if digits.iter().all(u8::is_ascii_digit) => Ok(Self(digits)),
            _ => Err(BadId { what: "account", text: text.into(), rule: "twelve digits" }),
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// 0 to 9.
    pub fn last_digit(&self) -> u8 {
        self.0[11] - b'0'
    }
}

/// `o-` and 10 to 32 of `[a-z0-9]` (Organizations API reference: Organization.Id).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrgId(Box<str>);

impl OrgId {
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let fits = text.strip_prefix("o-").is_some_and(|rest| {
            (10..=32).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        });
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(BadId { what: "organization", text: text.into(), rule: "`o-` and 10 to 32 of a-z0-9" })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A region name by syntax, never by a list: `^[a-z]{2,}(-[a-z]+)+-[0-9]+$`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(Box<str>);

impl Region {
    pub fn parse(text: &str) -> Result<Self, BadId> {
        if is_region(text) {
            Ok(Self(text.into()))
        } else {
            Err(BadId { what: "region", text: text.into(), rule: "shaped like `eu-west-1`" })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_region(text: &str) -> bool {
    let mut parts = text.split('-');
    let Some(first) = parts.next() else { return false };
    let rest: Vec<&str> = parts.collect();
    let Some((number, names)) = rest.split_last() else { return false };
    let letters = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    text.len() <= 40
        && first.len() >= 2
        && letters(first)
        && !names.is_empty()
        && names.iter().all(|name| letters(name))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

macro_rules! text_id {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                Self::parse(&text)
            }
        }
        impl std::str::FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::parse(text)
            }
        }
    };
}
text_id!(AccountId);
text_id!(OrgId);
text_id!(Region);

/// Bytes of hexadecimal text of either case.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let mut out = vec![0; text.len() / 2];
    hex::decode_to_slice(text, &mut out).ok().map(|()| out)
}

/// A SHA-256; shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
        Self(out)
    }

    /// Hexadecimal text of either case.
    pub fn parse(text: &str) -> Option<Self> {
        let mut out = [0; 32];
        hex::decode_to_slice(text, &mut out).ok().map(|()| Self(out))
    }

    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        <[u8; 32]>::try_from(bytes).ok().map(Self)
    }
}

/// A hash of bytes that come one piece after another.
pub struct Hasher(aws_lc_rs::digest::Context);

impl Default for Hasher {
    fn default() -> Self {
        Self(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256))
    }
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Sha256 {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        Sha256(out)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_keep_leading_zeros_and_refuse_the_rest() {
        let account = AccountId::parse("012345678901").unwrap();
        assert_eq!((account.as_str(), account.last_digit()), ("012345678901", 1));
        for bad in ["", "12345678901", "1234567890123", "12345678901a", "１２３４"] {
            assert!(AccountId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn regions_are_judged_by_syntax() {
        for good in [
            "us-east-1",
            "us-gov-west-1",
            "cn-north-1",
            "us-iso-east-1",
            "us-isob-east-1",
            "eusc-de-east-1",
            "mx-central-1",
        ] {
            assert!(Region::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "us", "us-1", "us-east", "US-EAST-1", "us--1", "us-east-1a", "-east-1", "../..-1"] {
            assert!(Region::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn organizations_have_a_prefix_and_a_length() {
        assert!(OrgId::parse("o-a1b2c3d4e5").is_ok());
        for bad in ["o-", "o-a1b2c3d4e", "o-A1B2C3D4E5", "x-a1b2c3d4e5"] {
            assert!(OrgId::parse(bad).is_err(), "{bad}");
        }
    }
}
