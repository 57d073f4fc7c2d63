//! Sigma rules as rules of ours.

use std::path::Path;

use crate::core::finding::Severity;
use crate::core::printable;
use crate::core::rule::{Field, Matcher, Rule};
use crate::core::sigma::{self, Body, Compare, Correlation, Counted, Detection, Level, Sigma};
use crate::core::window::{MOST_DISTINCT, Missing, Window};

/// Seconds in which a rule that says nothing of time counts.
const WITHIN: i64 = 300;

/// Sigma rules of all files: correlations name rules of others.
#[derive(Default)]
pub struct Sigmas {
    loaded: Vec<Loaded>,
    /// What could not be loaded, and why.
    refused: Vec<String>,
}

struct Loaded {
    sigma: Sigma,
    origin: String,
}

pub fn is_sigma(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
}

impl Sigmas {
    /// Takes in the rules of a file; each that cannot be understood is refused by itself.
    pub fn add(&mut self, text: &str, origin: &str) {
        let mut refuse = |why: String| {
            let why = why.lines().next().unwrap_or_default().to_owned();
            self.refused.push(format!("a rule of {origin} is refused: {why}"));
        };
        match sigma::read(text) {
            Err(fault) => refuse(fault.to_string()),
            Ok(all) => {
                for one in all {
                    match one {
                        Ok(sigma) => self.loaded.push(Loaded { sigma, origin: origin.to_owned() }),
                        Err(fault) => refuse(fault.to_string()),
                    }
                }
            }
        }
    }

    /// All that can be meant by them, and why the others cannot.
    pub fn rules(mut self) -> (Vec<Rule>, Vec<String>) {
        let mut rules = Vec::new();
        for one in &self.loaded {
            let rule = match &one.sigma.body {
                Body::Detection(_) if self.is_part(&one.sigma) => continue,
                Body::Detection(detection) => Ok(rule(one, vec![detection.clone()])),
                Body::Correlation(correlation) => self.correlated(one, correlation),
            };
            match rule {
                Ok(rule) => rules.push(rule),
                Err(why) => {
                    let title = printable(&one.sigma.title, 200);
                    self.refused.push(format!("the rule `{title}` of {} is refused: {why}", one.origin));
                }
            }
        }
        (rules, self.refused)
    }

    /// Whether a rule is there for correlations alone.
    fn is_part(&self, sigma: &Sigma) -> bool {
        self.loaded.iter().any(|one| match &one.sigma.body {
            Body::Correlation(correlation) => {
                !correlation.generate && correlation.rules.iter().any(|name| is_named(sigma, name))
            }
            Body::Detection(_) => false,
        })
    }

    fn correlated(&self, one: &Loaded, correlation: &Correlation) -> Result<Rule, String> {
        let find = |name: &String| {
            let found = self.loaded.iter().find(|one| is_named(&one.sigma, name)).map(|one| &one.sigma.body);
            match found {
                Some(Body::Detection(detection)) => Ok(detection.clone()),
                Some(Body::Correlation(_)) => Err(format!("`{name}` is a correlation, too")),
                None => Err(format!("there is no rule `{name}`")),
            }
        };
        let detections = correlation.rules.iter().map(find).collect::<Result<Vec<Detection>, String>>()?;
        if !correlation.aliases.is_empty() {
            return Err("groups by aliases are not supported".into());
        }
        let at_least = match correlation.compare {
            Compare::AtLeast => correlation.count,
            Compare::Greater => correlation.count.saturating_add(1),
            _ => return Err("a count can only be asked to be large: `gte` or `gt`".into()),
        };
        let within = i64::try_from(correlation.timespan).unwrap_or(i64::MAX).clamp(1, 30 * 86_400);
        let mut rule = match &correlation.counted {
            Counted::RulesInOrder => {
                let mut steps = detections.into_iter();
                let first = steps.next().ok_or("no rules")?;
                let mut rule = rule(one, vec![first]);
                rule.then = steps.map(|step| Matcher::Sigma(one.sigma.text.clone(), vec![step])).collect();
                rule.window.then = vec![within; rule.then.len()];
                rule
            }
            counted => {
                let mut rule = rule(one, detections);
                rule.window.at_least = at_least.max(1);
                rule.distinct = match counted {
                    Counted::Values(field) => Some(Field::parse(field)?),
                    Counted::Rules => Some(Field::Which),
                    Counted::Events | Counted::RulesInOrder => None,
                };
                rule.window.distinct = rule.distinct.is_some();
                rule
            }
        };
        if rule.window.distinct && rule.window.at_least > MOST_DISTINCT {
            return Err(format!("more than {MOST_DISTINCT} values are not counted"));
        }
        rule.window.within = within;
        rule.group = correlation.group_by.iter().map(|field| Field::parse(field)).collect::<Result<_, _>>()?;
        Ok(rule)
    }
}

fn is_named(sigma: &Sigma, name: &str) -> bool {
    [&sigma.id, &sigma.name].into_iter().flatten().any(|own| own == name)
}

fn rule(one: &Loaded, detections: Vec<Detection>) -> Rule {
    let Sigma { title, id, description, level, tags, references, false_positives, .. } = &one.sigma;
    let technique = |tag: &String| {
        let tag = tag.strip_prefix("attack.t")?;
        tag.bytes().all(|b| b.is_ascii_digit() || b == b'.').then(|| format!("T{tag}"))
    };
    Rule {
        id: id.clone().unwrap_or_else(|| slug(title)),
        title: printable(title, 200),
        why: description.clone().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" "),
        severity: match level {
            Some(Level::Informational) => Severity::Info,
            Some(Level::Low) => Severity::Low,
            Some(Level::Medium) | None => Severity::Medium,
            Some(Level::High) => Severity::High,
            Some(Level::Critical) => Severity::Critical,
        },
        matcher: Matcher::Sigma(one.sigma.text.clone(), detections),
        group: vec![Field::Path(vec!["recipientAccountId".into()])],
        window: Window {
            at_least: 1,
            within: WITHIN,
            distinct: false,
            periods: (1, 1),
            missing: Missing::NotBreaching,
            then: Vec::new(),
        },
        distinct: None,
        then: Vec::new(),
        false_positives: false_positives.clone(),
        action: String::new(),
        attack: tags.iter().filter_map(technique).collect(),
        references: references.clone(),
        tests: Vec::new(),
        origin: one.origin.clone(),
    }
}

/// A title as an id.
fn slug(title: &str) -> String {
    let words = title.to_lowercase();
    let words = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-");
    slug.get(..64.min(slug.len())).unwrap_or_default().trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: &str = "title: Users\nname: users\nid: 6f3e2987-db24-4c78-a860-b4f4095a7095\nlogsource: {product: aws, service: cloudtrail}\n\
                         detection:\n  selection:\n    eventName: CreateUser\n  condition: selection\nlevel: high\n\
                         tags: [attack.persistence, attack.t1136.003]\n---\ntitle: Keys\nname: keys\n\
                         logsource: {product: aws, service: cloudtrail}\ndetection:\n  selection:\n    eventName: CreateAccessKey\n  condition: selection\n";

    fn load(more: &str) -> (Vec<Rule>, Vec<String>) {
        let mut sigmas = Sigmas::default();
        sigmas.add(PARTS, "parts.yml");
        if !more.is_empty() {
            sigmas.add(more, "more.yml");
        }
        sigmas.rules()
    }

    fn correlation(kind: &str, condition: &str) -> String {
        format!(
            "title: More\ncorrelation:\n  type: {kind}\n  rules: [users, keys]\n  group-by: [userIdentity.arn]\n  timespan: 10m\n{condition}"
        )
    }

    #[test]
    fn detections_are_rules_with_what_they_say_of_themselves() {
        let (rules, refused) = load("");
        assert_eq!(refused, [] as [String; 0]);
        let told: Vec<_> = rules.iter().map(|rule| (rule.id.as_str(), rule.severity)).collect();
        assert_eq!(told, [("6f3e2987-db24-4c78-a860-b4f4095a7095", Severity::High), ("keys", Severity::Medium)]);
        assert_eq!(rules[0].attack, ["T1136.003"]);
        let texts: Vec<_> = rules.iter().map(|rule| rule.matcher.text()).collect();
        let (first, second) = PARTS.split_once("---\n").unwrap();
        assert_eq!(texts, [first.trim_end(), second.trim_end()]);
    }

    #[test]
    fn correlations_are_windows_and_their_parts_are_silent() {
        let (rules, refused) = load(&correlation("event_count", "  condition: {gte: 5}\n"));
        assert_eq!((rules.len(), refused.len()), (1, 0), "{refused:?}");
        assert_eq!((rules[0].window.at_least, rules[0].window.within, rules[0].group.len()), (5, 600, 1));
        let (rules, _) = load(&correlation("value_count", "  condition: {gt: 5, field: sourceIPAddress}\n"));
        assert_eq!((rules[0].window.at_least, rules[0].window.distinct), (6, true));
        let (rules, _) = load(&correlation("temporal", ""));
        assert_eq!((rules[0].window.at_least, &rules[0].distinct), (2, &Some(Field::Which)));
        let (rules, _) = load(&correlation("temporal_ordered", ""));
        assert_eq!((rules[0].then.len(), &rules[0].window.then[..]), (1, &[600][..]));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_itself() {
        for (more, why) in [
            (correlation("event_count", "  condition: {lt: 5}\n"), "only be asked to be large"),
            (
                correlation("event_count", "  condition: {gte: 5}\n").replace("keys]", "nobody]"),
                "there is no rule `nobody`",
            ),
            ("title: X\ndetection:\n  condition: a\n".into(), "a rule of more.yml is refused"),
            ("title: [".into(), "a rule of more.yml is refused"),
        ] {
            let (_, refused) = load(&more);
            assert!(refused.len() == 1 && refused[0].contains(why), "{more}: {refused:?}");
        }
    }
}
