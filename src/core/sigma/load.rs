//! From a document of YAML to a rule.

use std::str::FromStr;

use super::condition::{self, Condition};
use super::correlation::Correlation;
use super::field::Field;
use super::modifier::Draft;
use super::yaml::{Key, Kind, Node};
use super::{Body, Detection, Expr, Item, Level, Selection, Sigma};
use crate::core::fault::Fault;

/// Detections in one another.
const DEEPEST: usize = 8;

pub(super) struct Loader<'t> {
    pub(super) text: &'t str,
}

impl Loader<'_> {
    pub(super) fn rule(&self, node: &Node) -> Result<Sigma, Fault> {
        if !matches!(node.kind, Kind::Map(_)) {
            return Err(self.fault(node, format!("expected a rule, found {}", node.noun())));
        }
        for (name, why) in [
            ("action", "`action` (rules that share parts) is no part of Sigma any more"),
            ("filter", "filters, which change other rules, are not supported"),
        ] {
            if let Some(node) = node.get(name) {
                return Err(self.fault(node, why));
            }
        }
        let body = match (node.get("correlation"), node.get("detection")) {
            (Some(correlation), _) => {
                Body::Correlation(Correlation::load(correlation).map_err(|(node, why)| self.fault(node, why))?)
            }
            (None, Some(detection)) => {
                self.logsource(node)?;
                Body::Detection(self.detection(detection)?)
            }
            (None, None) => return Err(self.fault(node, "expected `detection` or `correlation`")),
        };
        Ok(Sigma {
            title: self.word(node, "title")?.ok_or_else(|| self.fault(node, "expected `title`"))?,
            id: self.word(node, "id")?,
            name: self.word(node, "name")?,
            status: self.word(node, "status")?,
            description: self.word(node, "description")?,
            author: self.word(node, "author")?,
            level: self.level(node)?,
            tags: self.words(node, "tags")?,
            references: self.words(node, "references")?,
            false_positives: self.words(node, "falsepositives")?,
            text: self.text.get(node.span.clone()).unwrap_or_default().trim_end().into(),
            body,
        })
    }

    fn fault(&self, node: &Node, message: impl Into<String>) -> Fault {
        Fault::new(self.text, node.span.clone(), message)
    }

    fn word(&self, node: &Node, name: &str) -> Result<Option<String>, Fault> {
        match node.get(name).map(|node| (node, &node.kind)) {
            None | Some((_, Kind::Null)) => Ok(None),
            Some((_, Kind::Text(text) | Kind::Number(text))) => Ok(Some(text.trim().to_owned())),
            Some((node, _)) => Err(self.fault(node, format!("expected a text, found {}", node.noun()))),
        }
    }

    fn words(&self, node: &Node, name: &str) -> Result<Vec<String>, Fault> {
        let Some(Node { kind: Kind::List(nodes), .. }) = node.get(name) else {
            return self.word(node, name).map(|word| word.into_iter().collect());
        };
        let text = |node: &Node| match &node.kind {
            Kind::Text(text) | Kind::Number(text) => Ok(text.trim().to_owned()),
            _ => Err(self.fault(node, format!("expected a text, found {}", node.noun()))),
        };
        nodes.iter().map(text).collect()
    }

    fn level(&self, node: &Node) -> Result<Option<Level>, Fault> {
        let Some(level) = self.word(node, "level")? else { return Ok(None) };
        let wrong = || {
            let known = "expected `informational`, `low`, `medium`, `high` or `critical`";
            self.fault(node.get("level").unwrap_or(node), known)
        };
        level.parse().map(Some).map_err(|()| wrong())
    }

    /// Only what CloudTrail logs is here to be matched.
    fn logsource(&self, node: &Node) -> Result<(), Fault> {
        let source = node.get("logsource").ok_or_else(|| self.fault(node, "expected `logsource`"))?;
        let part = |name: &str| source.get(name).and_then(Node::text);
        match (part("product"), part("service"), part("category")) {
            (Some("aws") | None, Some("cloudtrail"), None) | (Some("aws"), None, None) => Ok(()),
            _ => Err(self.fault(source, "this rule is about other logs; here are those of `aws`, `cloudtrail`")),
        }
    }

    fn detection(&self, node: &Node) -> Result<Detection, Fault> {
        let Kind::Map(members) = &node.kind else {
            return Err(self.fault(node, format!("expected selections, found {}", node.noun())));
        };
        // a time frame belonged to counts in conditions, which are refused
        let named = || members.iter().filter(|(key, _)| key.name != "condition" && key.name != "timeframe");
        let names: Vec<&str> = named().map(|(key, _)| key.name.as_str()).collect();
        let selections =
            named().map(|(key, node)| Ok(Selection { name: key.name.clone(), expr: self.expression(node, 0)? }));
        let condition = node.get("condition").ok_or_else(|| self.fault(node, "expected `condition`"))?;
        let conditions = match &condition.kind {
            Kind::List(nodes) => {
                nodes.iter().map(|node| self.condition(node, &names)).collect::<Result<Vec<_>, _>>()?
            }
            _ => vec![self.condition(condition, &names)?],
        };
        if conditions.is_empty() {
            return Err(self.fault(condition, "expected a condition, found an empty list"));
        }
        Ok(Detection { selections: selections.collect::<Result<_, Fault>>()?, condition: Condition::Any(conditions) })
    }

    fn condition(&self, node: &Node, names: &[&str]) -> Result<Condition, Fault> {
        let condition = node.text().ok_or_else(|| self.fault(node, "expected a condition in words"))?;
        condition::parse(condition, names).map_err(|(span, why)| {
            // where the text stands as it is read, the place in it can be shown
            let begins = self.text.get(node.span.clone()).and_then(|written| written.find(condition));
            let span = begins.map_or(node.span.clone(), |at| {
                let start = node.span.start + at;
                start + span.start..start + span.end
            });
            Fault::new(self.text, span, why)
        })
    }

    /// A map holds if all of it does, a list if any of it does.
    fn expression(&self, node: &Node, depth: usize) -> Result<Expr, Fault> {
        match &node.kind {
            _ if depth > DEEPEST => Err(self.fault(node, "detections are nested too deeply")),
            Kind::Map(members) if members.is_empty() => Err(self.fault(node, "expected fields, found an empty map")),
            Kind::Map(members) => {
                let items = members.iter().map(|(key, node)| self.item(Some(key), node).map(Expr::Item));
                items.collect::<Result<_, _>>().map(Expr::All)
            }
            Kind::List(nodes) if nodes.is_empty() => {
                Err(self.fault(node, "expected fields or keywords, found an empty list"))
            }
            Kind::List(nodes) if nodes.iter().any(|node| matches!(node.kind, Kind::Map(_) | Kind::List(_))) => {
                let parts = nodes.iter().map(|node| self.expression(node, depth + 1));
                parts.collect::<Result<_, _>>().map(Expr::Any)
            }
            _ => self.item(None, node).map(Expr::Item),
        }
    }

    /// A field with its modifiers and values; keywords without a key.
    fn item(&self, key: Option<&Key>, node: &Node) -> Result<Item, Fault> {
        let mut words = key.map(|key| key.name.split('|')).into_iter().flatten();
        let field = words.next().filter(|name| !name.is_empty()).map(Field::parse);
        let modifiers: Vec<&str> = words.collect();
        let values = match &node.kind {
            Kind::List(nodes) => nodes.iter().collect(),
            _ => vec![node],
        };
        let mut compiled = Vec::new();
        for value in &values {
            let refuse = |why: String| self.fault(value, why);
            let mut draft = self.draft(value, modifiers.first() == Some(&"re"))?;
            for (place, modifier) in modifiers.iter().enumerate().filter(|(_, modifier)| **modifier != "re") {
                draft = draft.modify(modifier, place == 0).map_err(refuse)?;
            }
            if let (None, Draft::Text { .. } | Draft::Any(_)) = (&field, &draft) {
                // a keyword is looked for within texts
                draft = draft.modify("contains", false).map_err(refuse)?;
            }
            if let (None, Draft::Null | Draft::Exists(_) | Draft::Reference { .. }) = (&field, &draft) {
                return Err(refuse("this asks for a field, and there is none".to_owned()));
            }
            compiled.push(draft.value().map_err(refuse)?);
        }
        if modifiers.iter().skip(1).any(|modifier| *modifier == "re") {
            return Err(self.fault(node, "`re` must be the first modifier"));
        }
        if let (None, true) = (&field, values.is_empty()) {
            return Err(self.fault(node, "expected keywords, found an empty list"));
        }
        if let (true, Some(key)) = (modifiers.contains(&""), key) {
            return Err(Fault::new(self.text, key.span.clone(), "expected a modifier after `|`"));
        }
        Ok(Item {
            field,
            all: modifiers.contains(&"all"),
            negated: modifiers.contains(&"neq"),
            values: if compiled.is_empty() {
                vec![Draft::Null.value().map_err(|why| self.fault(node, why))?]
            } else {
                compiled
            },
            written: self.written(key, &values),
        })
    }

    fn draft(&self, node: &Node, regex: bool) -> Result<Draft, Fault> {
        Ok(match (&node.kind, regex) {
            (Kind::Text(text), true) => Draft::Regex { text: text.clone(), flags: Vec::new() },
            (_, true) => return Err(self.fault(node, format!("`re` takes a text, found {}", node.noun()))),
            (Kind::Text(text), _) => Draft::text(text),
            (Kind::Number(number), _) => Draft::Number(number.clone()),
            (Kind::Bool(value), _) => Draft::Bool(*value),
            (Kind::Null, _) => Draft::Null,
            (Kind::List(_) | Kind::Map(_), _) => {
                return Err(self.fault(node, format!("expected a value, found {}", node.noun())));
            }
        })
    }

    /// The item on one line, for explanations.
    fn written(&self, key: Option<&Key>, values: &[&Node]) -> String {
        let key = key.map_or(String::new(), |key| format!("{}: ", key.name));
        let texts: Vec<&str> = values.iter().map(|node| self.text.get(node.span.clone()).unwrap_or_default()).collect();
        match texts.as_slice() {
            [one] => format!("{key}{one}"),
            several => format!("{key}[{}]", several.join(", ")),
        }
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "informational" => Self::Informational,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "critical" => Self::Critical,
            _ => return Err(()),
        })
    }
}
