//! What a record must have for a matcher to match it: what is asked of every record is asked of few rules.

/// Alternatives that are kept; what needs more is looked at for every record.
const MOST: usize = 512;

/// One thing that a record must have. Paths are those of the record, outermost name first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A text, exactly; or an array that has it.
    Equal(Vec<String>, String),
    /// A text that is this one once its ASCII letters are made small, as this one's are; or an array that has it.
    Alike(Vec<String>, String),
    /// A text, or a number as written, in which this one stands.
    Part(Vec<String>, String),
    /// Any value, `null` included.
    Present(Vec<String>),
}

/// A condition that is necessary, and need not be sufficient: all of one of the alternatives. A matcher must never match where
/// this does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs(Vec<Vec<Need>>);

impl Needs {
    /// Nothing is known to be needed.
    pub fn nothing() -> Self {
        Self(vec![Vec::new()])
    }

    /// Nothing can match.
    pub fn impossible() -> Self {
        Self(Vec::new())
    }

    pub fn one(need: Need) -> Self {
        Self(vec![vec![need]])
    }

    pub fn alternatives(&self) -> impl ExactSizeIterator<Item = &[Need]> {
        self.0.iter().map(Vec::as_slice)
    }

    pub fn and(self, other: Self) -> Self {
        // the condition with fewer alternatives stays where both would be too many
        if self.0.len() * other.0.len() > MOST {
            return if self.0.len() <= other.0.len() { self } else { other };
        }
        let pairs = self.0.iter().flat_map(|left| other.0.iter().map(move |right| [&**left, &**right].concat()));
        Self(pairs.map(tidy).collect()).tidy()
    }

    pub fn or(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        let tidy = self.tidy();
        if tidy.0.len() > MOST { Self::nothing() } else { tidy }
    }

    fn tidy(mut self) -> Self {
        self.0.sort();
        self.0.dedup();
        if self.0.first().is_some_and(Vec::is_empty) { Self::nothing() } else { self }
    }
}

fn tidy(mut needs: Vec<Need>) -> Vec<Need> {
    needs.sort();
    needs.dedup();
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Needs {
        Needs::one(Need::Equal(vec!["eventName".into()], text.into()))
    }

    #[test]
    fn conditions_are_joined() {
        let either = name("a").or(name("b"));
        assert_eq!(either.alternatives().len(), 2);
        assert_eq!(either.clone().or(name("a")), either);
        assert_eq!(either.clone().or(Needs::nothing()), Needs::nothing());
        assert_eq!(either.clone().or(Needs::impossible()), either);
        assert_eq!(either.clone().and(Needs::impossible()), Needs::impossible());
        assert_eq!(either.clone().and(Needs::nothing()), either);
        let source = Needs::one(Need::Present(vec!["errorCode".into()]));
        assert!(either.clone().and(source.clone()).alternatives().all(|needs| needs.len() == 2));
    }

    #[test]
    fn too_many_alternatives_are_widened_and_never_narrowed() {
        let many = (0..MOST).map(|n| name(&n.to_string())).fold(Needs::impossible(), Needs::or);
        assert_eq!(many.alternatives().len(), MOST);
        assert_eq!(many.clone().and(name("x").or(name("y"))).alternatives().len(), 2);
        assert_eq!(many.or(name("more")), Needs::nothing());
    }
}
