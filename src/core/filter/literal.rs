//! A value that is compared with `=` and `!=`.

use crate::core::decimal;

/// A `*` is a wildcard at the start and at the end; inside it is an ordinary character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Literal {
    /// Without its wildcards.
    text: Box<str>,
    open: (bool, bool),
    /// Written as a number and without quotes: compared with numbers by value.
    numeric: bool,
}

impl Literal {
    pub(super) fn quoted(text: &str) -> Self {
        let rest = text.strip_prefix('*').unwrap_or(text);
        let inner = rest.strip_suffix('*').unwrap_or(rest);
        let open = (rest.len() < text.len(), inner.len() < rest.len());
        Self { text: inner.into(), open, numeric: false }
    }

    pub(super) fn bare(text: &str) -> Self {
        Self { numeric: decimal::is_number(text), ..Self::quoted(text) }
    }

    pub(super) fn fits_text(&self, text: &str) -> bool {
        match self.open {
            (false, false) => text == &*self.text,
            (true, false) => text.ends_with(&*self.text),
            (false, true) => text.starts_with(&*self.text),
            (true, true) => text.contains(&*self.text),
        }
    }

    /// A number as it is written in the record.
    pub(super) fn fits_number(&self, number: &str) -> bool {
        if self.numeric {
            decimal::compare(number, &self.text).is_some_and(|o| o.is_eq())
        } else {
            self.fits_text(number)
        }
    }

    /// What stands in every text or number that fits, if [`Self::only_text`] is none.
    pub(super) fn part(&self) -> Option<&str> {
        (!self.numeric && !self.text.is_empty()).then_some(&self.text)
    }

    /// The one text that fits, if no number does.
    pub(super) fn only_text(&self) -> Option<&str> {
        let may_be_number = self.text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+'));
        (self.open == (false, false) && !may_be_number).then_some(&self.text)
    }
}
