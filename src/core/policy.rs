//! Resource policies (of a bucket, a key, a queue), read and judged as AWS judges them. Pure: a policy's text in, weaknesses out.
//!
//! Reading never fails: what cannot be read is a doubt of its statement, and a statement with doubts is never taken for harmless.
//! Every answer has three values. *Unknown* covers both "this cannot be read" and "this depends on what was not said of the
//! request", so a question about a request of which nothing is said (`Context::default()`) asks who may do a thing whatever the
//! circumstances: only a `Denied` is a promise.

mod bucket;
mod condition;
mod delivery;
mod document;
mod evaluate;
mod expected;
mod glob;
mod grants;
mod key;
mod mend;
mod queue;
mod source;
mod weakness;

pub use bucket::{recommended, weaknesses};
pub use condition::{Condition, Context, Given, Operator};
pub use document::account_of;
pub use document::{Document, Effect, Globs, LARGEST, Principal, Principals, Statement};
pub use evaluate::{Doubt, Request, Resource, Verdict, evaluate};
pub use expected::Expected;
pub use key::weaknesses as weaknesses_of_key;
pub use queue::weaknesses as weaknesses_of_queue;
pub(in crate::core) use weakness::kinds;
pub use weakness::{Fix, Kind, Place, Weakness};

/// An answer that may be that we do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    No,
    Unknown,
    Yes,
}

impl Truth {
    pub fn and(self, other: Self) -> Self {
        self.min(other)
    }

    pub fn or(self, other: Self) -> Self {
        self.max(other)
    }

    fn any(answers: impl IntoIterator<Item = Self>) -> Self {
        answers.into_iter().max().unwrap_or(Self::No)
    }

    fn all(answers: impl IntoIterator<Item = Self>) -> Self {
        answers.into_iter().min().unwrap_or(Self::Yes)
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }
}

impl From<bool> for Truth {
    fn from(answer: bool) -> Self {
        if answer { Self::Yes } else { Self::No }
    }
}
