//! Sigma rules for CloudTrail, loaded as they are: see docs/rules.md.
//!
//! A rule is compiled once and matched against many records; matching allocates nothing. What the specification leaves to the
//! tools that read it follows pySigma, the reference implementation. Texts are compared without case unless `cased` asks for it.

mod condition;
mod correlation;
mod field;
mod glob;
mod load;
mod modifier;
#[cfg(test)]
mod tests;
mod value;
mod yaml;

use self::condition::Condition;
pub use self::correlation::{Alias, Compare, Correlation, Counted};
use self::field::Field;
use self::load::Loader;
use self::value::Value;
use crate::core::fault::Fault;
use crate::core::needs::Needs;
use crate::core::record::Parts;
use crate::core::tree::Tree;
use crate::core::tried::{Tried, shown};

/// A rule with what it says about itself.
#[derive(Debug, Clone)]
pub struct Sigma {
    pub title: String,
    pub id: Option<String>,
    /// By which correlations may name it.
    pub name: Option<String>,
    pub status: Option<String>,
    pub description: Option<String>,
    pub author: Option<String>,
    pub level: Option<Level>,
    pub tags: Vec<String>,
    pub references: Vec<String>,
    pub false_positives: Vec<String>,
    /// As it is written in its file.
    pub text: Box<str>,
    pub body: Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Informational,
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Debug, Clone)]
pub enum Body {
    Detection(Detection),
    Correlation(Correlation),
}

/// What a record is matched against.
#[derive(Debug, Clone)]
pub struct Detection {
    selections: Vec<Selection>,
    condition: Condition,
}

#[derive(Debug, Clone)]
struct Selection {
    name: String,
    expr: Expr,
}

#[derive(Debug, Clone)]
enum Expr {
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Item(Item),
}

/// A field and what it is asked for; without a field, keywords.
#[derive(Debug, Clone)]
struct Item {
    field: Option<Field>,
    /// All of the values, not any.
    all: bool,
    negated: bool,
    values: Vec<Value>,
    written: String,
}

/// The rules of a file, one or several documents of YAML. Each that uses what is not supported is refused by itself, with the
/// reason; a file that is no YAML is refused as a whole.
pub fn read(text: &str) -> Result<Vec<Result<Sigma, Fault>>, Fault> {
    let loader = Loader { text };
    Ok(yaml::documents(text)?.iter().map(|document| loader.rule(document)).collect())
}

impl Detection {
    pub fn matches(&self, record: &Tree<'_>) -> bool {
        self.holds(&self.condition, record)
    }

    fn holds(&self, condition: &Condition, record: &Tree<'_>) -> bool {
        match condition {
            Condition::All(parts) => parts.iter().all(|part| self.holds(part, record)),
            Condition::Any(parts) => parts.iter().any(|part| self.holds(part, record)),
            Condition::Not(part) => !self.holds(part, record),
            Condition::Selection(place) => self.selections.get(*place).is_some_and(|one| one.expr.holds(record)),
        }
    }

    /// What a record must have to be matched.
    pub fn needs(&self) -> Needs {
        self.needs_of(&self.condition)
    }

    fn needs_of(&self, condition: &Condition) -> Needs {
        match condition {
            Condition::All(parts) => parts.iter().map(|part| self.needs_of(part)).fold(Needs::nothing(), Needs::and),
            Condition::Any(parts) => parts.iter().map(|part| self.needs_of(part)).fold(Needs::impossible(), Needs::or),
            Condition::Not(_) => Needs::nothing(),
            Condition::Selection(place) => {
                self.selections.get(*place).map_or_else(Needs::impossible, |selection| selection.expr.needs())
            }
        }
    }

    /// What it reads of a record.
    pub fn parts(&self) -> Parts {
        let mut items = Vec::new();
        self.selections.iter().for_each(|selection| selection.expr.items(&mut items));
        items.into_iter().map(Item::parts).collect()
    }

    /// Every item of every selection, in the order of the rule, with the selection's name before it.
    pub fn explain(&self, record: &Tree<'_>) -> Vec<Tried<'_>> {
        let mut tried = Vec::new();
        for selection in &self.selections {
            let mut items = Vec::new();
            selection.expr.items(&mut items);
            tried.extend(items.into_iter().map(|item| Tried {
                condition: format!("{}: {}", selection.name, item.written).into(),
                held: item.holds(record),
                found: item.decisive(record).map(shown),
            }));
        }
        tried
    }
}

impl Expr {
    fn holds(&self, record: &Tree<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(record)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(record)),
            Self::Item(item) => item.holds(record),
        }
    }

    fn needs(&self) -> Needs {
        match self {
            Self::All(parts) => parts.iter().map(Self::needs).fold(Needs::nothing(), Needs::and),
            Self::Any(parts) => parts.iter().map(Self::needs).fold(Needs::impossible(), Needs::or),
            Self::Item(item) => item.needs(),
        }
    }

    fn items<'e>(&'e self, all: &mut Vec<&'e Item>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.items(all)),
            Self::Item(item) => all.push(item),
        }
    }
}

impl Item {
    fn holds(&self, record: &Tree<'_>) -> bool {
        let one = |value: &Value| match &self.field {
            Some(field) => value.holds(field, record),
            None => value.occurs(record),
        };
        let held = if self.all { self.values.iter().all(one) } else { self.values.iter().any(one) };
        held != self.negated
    }

    fn needs(&self) -> Needs {
        let Some(field) = self.field.as_ref().filter(|_| !self.negated) else { return Needs::nothing() };
        let needs = self.values.iter().map(|value| value.needs(field));
        if self.all { needs.fold(Needs::nothing(), Needs::and) } else { needs.fold(Needs::impossible(), Needs::or) }
    }

    fn parts(&self) -> Parts {
        let own = self.field.as_ref().map_or(Parts::WHOLE, Field::parts);
        self.values.iter().map(Value::parts).fold(own, |all, parts| all | parts)
    }

    /// The value of its field that it takes, else the first one.
    fn decisive<'r, 't>(&self, record: &'r Tree<'t>) -> Option<&'r Tree<'t>> {
        let field = self.field.as_ref()?;
        let (mut first, mut taken) = (None, None);
        field.any(record, &mut |value| {
            first.get_or_insert(value);
            taken = self.values.iter().any(|one| one.takes(value, record)).then_some(value);
            taken.is_some()
        });
        taken.or(first)
    }
}
