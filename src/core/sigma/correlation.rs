//! Correlations: what many matches of other rules mean together.

use super::yaml::{Kind, Node};

/// Seconds of the units of a time span; a month and a year are those of the calendar's mean.
const UNITS: &[(char, u64)] =
    &[('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400), ('w', 604_800), ('M', 2_629_746), ('y', 31_556_952)];

/// What is counted over matches of the named rules, group by group, within a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation {
    pub counted: Counted,
    /// Ids or names of rules.
    pub rules: Vec<String>,
    /// Fields whose values make a group; names that `aliases` has are no fields.
    pub group_by: Vec<String>,
    pub aliases: Vec<Alias>,
    /// Seconds.
    pub timespan: u64,
    pub compare: Compare,
    pub count: u64,
    /// Whether the rules that are named fire by themselves, too.
    pub generate: bool,
}

/// A name to group by, and which field it is in the matches of which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    pub name: String,
    /// Rules and their fields.
    pub fields: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted {
    /// Matches of any of the rules.
    Events,
    /// Different values of a field in them.
    Values(String),
    /// Rules that matched, in any order.
    Rules,
    /// Rules that matched, one after the other as they are listed.
    RulesInOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    Unequal,
}

/// A part of the document, and what is wrong with it.
type Wrong<'n> = (&'n Node, String);

impl Correlation {
    pub(super) fn load(node: &Node) -> Result<Self, Wrong<'_>> {
        let get = |name: &str| node.get(name);
        if let Kind::Map(members) = &node.kind {
            let known = ["type", "rules", "group-by", "timespan", "aliases", "condition", "generate"];
            if let Some((key, value)) = members.iter().find(|(key, _)| !known.contains(&key.name.as_str())) {
                return Err((value, format!("`{}` is no part of a correlation that is known", key.name)));
            }
        }
        let rules = texts(get("rules"))?;
        if rules.is_empty() {
            return Err((node, "expected `rules`, the ids or names of rules".to_owned()));
        }
        let kind = get("type").ok_or_else(|| (node, "expected `type`".to_owned()))?;
        let temporal = matches!(kind.text(), Some("temporal" | "temporal_ordered"));
        let condition = match get("condition") {
            None if temporal => (Compare::AtLeast, u64::try_from(rules.len()).unwrap_or(u64::MAX), None),
            None => return Err((node, "expected `condition`".to_owned())),
            Some(condition) => condition_of(condition)?,
        };
        let counted = match (kind.text(), condition.2) {
            (Some("event_count"), _) => Counted::Events,
            (Some("value_count"), Some(field)) => Counted::Values(field),
            (Some("value_count"), None) => return Err((node, "expected `condition.field`".to_owned())),
            (Some("temporal"), _) => Counted::Rules,
            (Some("temporal_ordered"), _) => Counted::RulesInOrder,
            (Some(other), _) => return Err((kind, format!("correlations of type `{other}` are not supported"))),
            (None, _) => return Err((kind, format!("expected a type, found {}", kind.noun()))),
        };
        let timespan = get("timespan").ok_or_else(|| (node, "expected `timespan`".to_owned()))?;
        let seconds = timespan.text().and_then(seconds);
        let wrong = || (timespan, "expected a time such as `15m`: a number and one of `s m h d w M y`".to_owned());
        Ok(Self {
            counted,
            rules,
            group_by: texts(get("group-by"))?,
            aliases: get("aliases").map_or(Ok(Vec::new()), aliases_of)?,
            timespan: seconds.ok_or_else(wrong)?,
            compare: condition.0,
            count: condition.1,
            generate: match get("generate").map(|node| (node, &node.kind)) {
                None => false,
                Some((_, Kind::Bool(generate))) => *generate,
                Some((node, _)) => return Err((node, "expected `true` or `false`".to_owned())),
            },
        })
    }
}

/// A text, or a list of them.
fn texts(node: Option<&Node>) -> Result<Vec<String>, Wrong<'_>> {
    let Some(node) = node else { return Ok(Vec::new()) };
    let text = |node: &Node| node.text().map(str::to_owned);
    let all = match &node.kind {
        Kind::List(nodes) => nodes.iter().map(text).collect(),
        _ => text(node).map(|text| vec![text]),
    };
    all.ok_or_else(|| (node, "expected a text or a list of texts".to_owned()))
}

fn condition_of(node: &Node) -> Result<(Compare, u64, Option<String>), Wrong<'_>> {
    let Kind::Map(members) = &node.kind else {
        return Err((node, "conditions of correlations that join rules by words are not supported".to_owned()));
    };
    let (mut field, mut compare) = (None, None);
    for (key, value) in members {
        let by = match key.name.as_str() {
            "lt" => Compare::Less,
            "lte" => Compare::AtMost,
            "gt" => Compare::Greater,
            "gte" => Compare::AtLeast,
            "eq" => Compare::Equal,
            "neq" => Compare::Unequal,
            "field" => {
                let text = value.text().ok_or_else(|| (value, "expected the name of one field".to_owned()))?;
                field = Some(text.to_owned());
                continue;
            }
            other => return Err((value, format!("`{other}` is no part of a condition that is known"))),
        };
        let count = if let Kind::Number(number) = &value.kind { number.parse().ok() } else { None };
        let count = count.ok_or_else(|| (value, "expected a whole number".to_owned()))?;
        if compare.replace((by, count)).is_some() {
            return Err((value, "a condition compares once".to_owned()));
        }
    }
    let (by, count) = compare.ok_or_else(|| (node, "expected one of `lt lte gt gte eq neq`".to_owned()))?;
    Ok((by, count, field))
}

fn aliases_of(node: &Node) -> Result<Vec<Alias>, Wrong<'_>> {
    let members = |node: &'_ Node| if let Kind::Map(members) = &node.kind { Some(members.clone()) } else { None };
    let wrong = || (node, "expected names, and for each of them rules with their field".to_owned());
    let mut aliases = Vec::new();
    for (name, mapping) in members(node).ok_or_else(wrong)? {
        let mut fields = Vec::new();
        for (rule, field) in members(&mapping).ok_or_else(wrong)? {
            fields.push((rule.name, field.text().ok_or_else(wrong)?.to_owned()));
        }
        aliases.push(Alias { name: name.name, fields });
    }
    Ok(aliases)
}

fn seconds(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    count.checked_mul(*size).filter(|seconds| *seconds > 0)
}
