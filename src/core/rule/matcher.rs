//! The languages that a rule can say in which records it is about.

use crate::core::envelope;
use crate::core::fault::Fault;
use crate::core::filter::Filter;
use crate::core::needs::Needs;
use crate::core::pattern::Pattern;
use crate::core::record::Parts;
use crate::core::sigma::Detection;
use crate::core::tree::Tree;
use crate::core::tried::Tried;

/// Which records a rule is about.
#[derive(Debug, Clone)]
pub enum Matcher {
    Filter(Filter),
    /// As written, and compiled.
    Pattern(Box<str>, Pattern),
    /// What the rule was loaded from, and the detections of which any is enough.
    Sigma(Box<str>, Vec<Detection>),
}

/// A record, with the event around it where somebody asks for that.
#[derive(Debug)]
pub struct Scene<'a> {
    tree: Tree<'a>,
    is_event: bool,
}

/// A condition, whether it held, and the value that decided.
pub type Condition = (String, bool, Option<String>);

impl<'a> Scene<'a> {
    pub fn record(tree: Tree<'a>) -> Self {
        Self { tree, is_event: false }
    }

    /// `account`: where the record was delivered, should it not say so.
    pub fn event(tree: Tree<'a>, account: Option<&'a str>) -> Self {
        Self { tree: envelope::wrap(tree, account), is_event: true }
    }

    /// The record itself.
    pub fn tree(&self) -> &Tree<'a> {
        let detail = if self.is_event { self.tree.get("detail") } else { None };
        detail.unwrap_or(&self.tree)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.language() == other.language() && self.text() == other.text()
    }
}

impl Matcher {
    pub fn filter(text: &str) -> Result<Self, Fault> {
        Filter::parse(text).map(Self::Filter)
    }

    pub fn pattern(text: &str) -> Result<Self, Fault> {
        let pattern = Pattern::parse(text).map_err(|fault| {
            let place = if fault.pointer.is_empty() { String::new() } else { format!("{}: ", fault.pointer) };
            Fault::new(text, fault.at..fault.at + 1, format!("{place}{}", fault.says))
        })?;
        Ok(Self::Pattern(text.into(), pattern))
    }

    /// The key of a rule file that it stands at.
    pub fn language(&self) -> &'static str {
        match self {
            Self::Filter(_) => "filter",
            Self::Pattern(..) => "pattern",
            Self::Sigma(..) => "sigma",
        }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Filter(filter) => filter.to_string(),
            Self::Pattern(text, _) | Self::Sigma(text, _) => text.to_string(),
        }
    }

    pub fn needs(&self) -> Needs {
        match self {
            Self::Filter(filter) => filter.needs(),
            Self::Pattern(_, pattern) => pattern.needs(),
            Self::Sigma(_, any) => any.iter().map(Detection::needs).fold(Needs::impossible(), Needs::or),
        }
    }

    /// What it reads of a record.
    pub fn parts(&self) -> Parts {
        match self {
            Self::Filter(filter) => filter.parts(),
            Self::Pattern(_, pattern) => pattern.parts(),
            Self::Sigma(_, any) => any.iter().map(Detection::parts).collect(),
        }
    }

    /// Whether it asks for the event around a record.
    pub fn wants_event(&self) -> bool {
        matches!(self, Self::Pattern(..))
    }

    pub fn takes(&self, scene: &Scene<'_>) -> bool {
        match self {
            Self::Filter(filter) => filter.matches(scene.tree()),
            Self::Pattern(_, pattern) => scene.is_event && pattern.matches(&scene.tree),
            Self::Sigma(_, any) => any.iter().any(|one| one.matches(scene.tree())),
        }
    }

    /// Which of several detections takes a record first.
    pub fn which(&self, record: &Tree<'_>) -> usize {
        let Self::Sigma(_, any) = self else { return 0 };
        any.iter().position(|one| one.matches(record)).unwrap_or_default()
    }

    /// Each condition of it, tried.
    pub fn explain(&self, scene: &Scene<'_>) -> Vec<Condition> {
        let told = |tried: Tried<'_>| (tried.condition.into_owned(), tried.held, tried.found);
        match self {
            Self::Filter(filter) => filter.explain(scene.tree()).into_iter().map(told).collect(),
            Self::Sigma(_, any) => any.iter().flat_map(|one| one.explain(scene.tree())).map(told).collect(),
            Self::Pattern(_, pattern) => {
                let explanation = pattern.explain(&scene.tree);
                let fields = explanation.ways.into_iter().flat_map(|way| way.fields);
                fields
                    .map(|field| {
                        let found = (!field.found.is_empty()).then(|| field.found.join(", "));
                        (format!("{}: {}", field.path, field.wanted), field.holds, found)
                    })
                    .collect()
            }
        }
    }

    /// What is taken without a word by AWS, and hardly means what it looks like.
    pub fn remarks(&self) -> &[String] {
        match self {
            Self::Pattern(_, pattern) => pattern.remarks(),
            Self::Filter(_) | Self::Sigma(..) => &[],
        }
    }
}
