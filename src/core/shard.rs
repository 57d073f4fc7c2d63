//! Which accounts a warden answers for, where several divide an organization among them: by an account's last digit.

use std::fmt;

use serde::Serialize;

use crate::core::id::AccountId;

/// As many as an account's last digit can tell apart.
pub const MOST: u8 = 10;

/// One of `count` wardens: it answers for the accounts whose last digit, divided by `count`, leaves `index`. What is of no
/// account (the bucket's own protection, strangers' keys) is the first one's, so that each thing has exactly one who tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shard {
    index: u8,
    count: u8,
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl Shard {
    /// A warden that shares with nobody.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// `None` unless `index` is below `count`, and `count` at most ten.
    pub fn new(index: u8, count: u8) -> Option<Self> {
        (index < count && count <= MOST).then_some(Self { index, count })
    }

    pub fn index(self) -> u8 {
        self.index
    }

    pub fn count(self) -> u8 {
        self.count
    }

    pub fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Whether what is of no account is this one's.
    pub fn is_first(self) -> bool {
        self.index == 0
    }

    pub fn holds(self, account: AccountId) -> bool {
        account.last_digit() % self.count == self.index
    }

    /// The one of the same division that an account is of.
    pub fn of(self, account: AccountId) -> Self {
        Self { index: account.last_digit() % self.count, ..self }
    }

    /// The last digits of its accounts.
    pub fn digits(self) -> String {
        let digits: Vec<String> =
            (0..MOST).filter(|digit| digit % self.count == self.index).map(|digit| digit.to_string()).collect();
        digits.join(", ")
    }
}

/// `1 of 4`
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(digit: u8) -> AccountId {
        AccountId::parse(&format!("11112222333{digit}")).unwrap()
    }

    #[test]
    fn every_account_is_of_exactly_one_shard_and_each_shard_has_some() {
        for count in 1..=MOST {
            let shards: Vec<Shard> = (0..count).map(|index| Shard::new(index, count).unwrap()).collect();
            for digit in 0..10 {
                let holders: Vec<Shard> = shards.iter().copied().filter(|shard| shard.holds(account(digit))).collect();
                assert_eq!(holders, [shards[0].of(account(digit))], "{digit} of {count}");
            }
            assert!(shards.iter().all(|shard| (0..10).any(|digit| shard.holds(account(digit)))));
            assert_eq!(shards.iter().filter(|shard| shard.is_first()).count(), 1);
        }
        for (index, count) in [(0, 0), (1, 1), (4, 4), (0, 11)] {
            assert_eq!(Shard::new(index, count), None, "{index} of {count}");
        }
    }

    #[test]
    fn it_says_which_digits_are_its_own() {
        let second = Shard::new(1, 4).unwrap();
        assert_eq!((second.to_string().as_str(), second.digits().as_str()), ("1 of 4", "1, 5, 9"));
        assert!(Shard::WHOLE.is_whole() && Shard::WHOLE.is_first());
        assert!((0..10).all(|digit| Shard::WHOLE.holds(account(digit))));
    }
}
