//! From a pattern's text to its ways: each alternative of every `$or` multiplied out, as the service does it.

use std::collections::BTreeMap;

use super::item::Leaf;
use super::list::{self, Miss};
use super::read::{self, Member, Spot, Value};
use super::{Fault, Part, Pattern, walk::Node};

/// Combinations of the alternatives of all `$or`; the service takes as many.
const MOST_WAYS: usize = 1_000;
/// Bytes; the service takes 4,096.
const LONGEST: usize = 65_536;
/// Names of a path, counted after dots have been taken for names in one another.
const DEEPEST: usize = 100;
const OR: &str = "$or";

/// An alternative of `$or` with one of these names is none: `$or` is a field then.
const RESERVED: &[&str] = &[
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
];

/// What an event has outside of `detail`, and `detail`.
const ENVELOPE: &[&str] =
    &["version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail", "replay-name"];

/// The spelling of one page of the user guide.
pub(super) fn is_sign_in(text: &str) -> bool {
    text == "AWS Console Signin via CloudTrail"
}

/// Where in a pattern something stands.
pub(super) struct Place<'p> {
    up: Option<&'p Place<'p>>,
    step: Step<'p>,
}

enum Step<'p> {
    Top,
    Member(&'p str),
    Item(usize),
}

impl<'p> Place<'p> {
    const TOP: Self = Self { up: None, step: Step::Top };

    pub fn member<'q>(&'q self, name: &'q str) -> Place<'q> {
        Place { up: Some(self), step: Step::Member(name) }
    }

    pub fn item<'q>(&'q self, at: usize) -> Place<'q> {
        Place { up: Some(self), step: Step::Item(at) }
    }

    /// As RFC 6901 has it.
    pub fn pointer(&self) -> String {
        let up = self.up.map(Place::pointer).unwrap_or_default();
        match self.step {
            Step::Top => up,
            Step::Member(name) => format!("{up}/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Item(at) => format!("{up}/{at}"),
        }
    }
}

/// The fields of one alternative: the list of a path, joined by dots, is the last one that was given.
type Way = BTreeMap<String, usize>;

struct Compiler {
    /// Whether `$or` is more than a name.
    ors: bool,
    leaves: Vec<Leaf>,
    remarks: Vec<String>,
}

/// `$or` is alternatives where it can be, and where it cannot, an ordinary name.
pub(super) fn compile(text: &str) -> Result<Pattern, Fault> {
    let fault = |miss: Miss| Fault::new(text, miss.at, miss.pointer, miss.says);
    if text.len() > LONGEST {
        return Err(Fault::new(text, 0, String::new(), format!("a pattern has at most {LONGEST} bytes")));
    }
    let top = read::read(text)?;
    let first = match Compiler::new(true).pattern(&top) {
        Ok(pattern) => return Ok(pattern),
        Err(miss) => fault(miss),
    };
    let mut pattern = Compiler::new(false).pattern(&top).map_err(|_| first.clone())?;
    pattern.remarks.push(format!("{OR} is taken as the name of a field, for it cannot be alternatives: {first}"));
    Ok(pattern)
}

impl Compiler {
    fn new(ors: bool) -> Self {
        Self { ors, leaves: Vec::new(), remarks: Vec::new() }
    }

    fn pattern(mut self, top: &Spot<'_>) -> Result<Pattern, Miss> {
        let Value::Object(members) = &top.value else {
            let says = format!("expected an object, found {}", top.value.kind());
            return Err(Miss { at: top.at, pointer: String::new(), says });
        };
        let mut ways = Vec::new();
        self.object(&mut ways, None, top, members, &Place::TOP, false)?;
        self.remark(&ways);
        let ways = ways.into_iter().map(|way| {
            let parts: Box<[Part]> = way.into_iter().map(|(path, leaf)| Part { path: path.into(), leaf }).collect();
            (Node::of(&parts), parts)
        });
        let (nodes, parts) = ways.unzip::<_, _, Vec<_>, Vec<_>>();
        Ok(Pattern { nodes: nodes.into(), ways: parts.into(), leaves: self.leaves.into(), remarks: self.remarks })
    }

    fn remark(&mut self, ways: &[Way]) {
        for way in ways {
            for path in way.keys() {
                let first = path.split('.').next().unwrap_or_default();
                if !ENVELOPE.contains(&first) {
                    let says = format!("{path}: no event has this; the fields of a record stand in \"detail\"");
                    self.remarks.push(says);
                }
            }
        }
        self.remarks.sort();
        self.remarks.dedup();
    }

    fn object(
        &mut self,
        ways: &mut Vec<Way>,
        path: Option<&str>,
        spot: &Spot<'_>,
        members: &[Member<'_>],
        place: &Place<'_>,
        within: bool,
    ) -> Result<(), Miss> {
        if members.is_empty() {
            let says = "expected at least one field in this object: an empty object matches nothing".into();
            return Err(Miss { at: spot.at, pointer: place.pointer(), says });
        }
        for member in members {
            let (name, place) = (member.name.as_ref(), &place.member(&member.name));
            if self.ors && name == OR {
                self.either(ways, path, member, place)?;
                continue;
            }
            if within && RESERVED.contains(&name) {
                let says = format!("\"{name}\" cannot be a field in an alternative of {OR}");
                return Err(Miss { at: member.at, pointer: place.pointer(), says });
            }
            let joined = path.map_or_else(|| name.to_owned(), |path| format!("{path}.{name}"));
            if name.contains('.') {
                let says = format!("{joined}: a name with dots is the same as names in one another");
                self.remarks.push(says);
            }
            if joined.split('.').count() > DEEPEST {
                let says = format!("expected a path of at most {DEEPEST} names");
                return Err(Miss { at: member.at, pointer: String::new(), says });
            }
            match &member.value.value {
                Value::Object(members) => self.object(ways, Some(&joined), &member.value, members, place, within)?,
                Value::Array(values) => self.list(ways, joined, &member.value, values, place)?,
                other => {
                    let says = format!("expected a list of values or an object, found {}", other.kind());
                    return Err(Miss { at: member.value.at, pointer: place.pointer(), says });
                }
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        ways: &mut Vec<Way>,
        path: String,
        spot: &Spot<'_>,
        values: &[Spot<'_>],
        place: &Place<'_>,
    ) -> Result<(), Miss> {
        let leaf = list::leaf(spot, values, &path, place, &mut self.remarks)?;
        self.leaves.push(leaf);
        if ways.is_empty() {
            ways.push(Way::new());
        }
        let mut given = false;
        for way in ways {
            given |= way.insert(path.clone(), self.leaves.len() - 1).is_some();
        }
        if given {
            self.remarks.push(format!("{path}: given more than once; the last one counts, as {}", spot.text));
        }
        Ok(())
    }

    fn either(
        &mut self,
        ways: &mut Vec<Way>,
        path: Option<&str>,
        member: &Member<'_>,
        place: &Place<'_>,
    ) -> Result<(), Miss> {
        let miss = |at: usize, says: String| Miss { at, pointer: place.pointer(), says };
        let expected = format!("expected a list of at least two objects for {OR}");
        let Value::Array(alternatives) = &member.value.value else {
            return Err(miss(member.value.at, format!("{expected}, found {}", member.value.value.kind())));
        };
        if alternatives.len() < 2 {
            return Err(miss(member.value.at, format!("{expected}, found {}", alternatives.len())));
        }
        let before = std::mem::take(ways);
        for (at, alternative) in alternatives.iter().enumerate() {
            let Value::Object(members) = &alternative.value else {
                return Err(miss(alternative.at, format!("{expected}, found {}", alternative.value.kind())));
            };
            let mut own = if before.is_empty() { vec![Way::new()] } else { before.clone() };
            self.object(&mut own, path, alternative, members, &place.item(at), true)?;
            ways.append(&mut own);
            if ways.len() > MOST_WAYS {
                return Err(miss(
                    alternative.at,
                    format!("the alternatives of all {OR} make more than {MOST_WAYS} combinations"),
                ));
            }
        }
        Ok(())
    }
}
