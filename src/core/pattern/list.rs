//! Reads one list of a pattern.

use super::address::{Address, Block};
use super::compile::{Place, is_sign_in};
use super::item::{Item, Leaf, Number, Range};
use super::number::comparable;
use super::read::{Member, Spot, Value};
use super::text::Wildcard;

/// The byte at which something else was expected; the caller knows the pattern's text.
pub(super) struct Miss {
    pub at: usize,
    pub pointer: String,
    pub says: String,
}

type Read<T> = Result<T, Miss>;

fn miss<T>(spot: &Spot<'_>, place: &Place<'_>, expected: &str) -> Read<T> {
    let says = format!("expected {expected}, found {}", spot.value.kind());
    Err(Miss { at: spot.at, pointer: place.pointer(), says })
}

fn wrong<T>(at: usize, place: &Place<'_>, says: impl Into<String>) -> Read<T> {
    Err(Miss { at, pointer: place.pointer(), says: says.into() })
}

/// What the list says, and what its author should know about it.
pub(super) fn leaf(
    spot: &Spot<'_>,
    values: &[Spot<'_>],
    path: &str,
    place: &Place<'_>,
    remarks: &mut Vec<String>,
) -> Read<Leaf> {
    if values.is_empty() {
        return wrong(spot.at, place, "expected at least one value in this list: an empty list matches nothing");
    }
    let (mut texts, mut items, mut absent) = (Vec::new(), Vec::new(), false);
    for (at, value) in values.iter().enumerate() {
        let place = place.item(at);
        let item = match &value.value {
            Value::Text(text) => match Address::parse(text) {
                Some(address) => Item::Address(Box::new(address.into())),
                None => Item::Text(text.as_ref().into()),
            },
            Value::Number => {
                let number = Number { value: comparable(value.text), text: value.text.into() };
                if number.value.is_none() {
                    let text = value.text;
                    remarks.push(format!(
                        "{path}: {text} is no number that can be compared: only the same spelling is equal"
                    ));
                }
                Item::Number(number)
            }
            Value::Bool(value) => Item::Bool(*value),
            Value::Null => Item::Null,
            Value::Object(members) => match operator(value, members, path, &place, remarks)? {
                Some(item) => item,
                None => {
                    absent = true;
                    continue;
                }
            },
            Value::Array(_) => return miss(value, &place, "a text, a number, true, false, null or an operator"),
        };
        match item {
            Item::Text(text) => texts.push(text),
            item => items.push(item),
        }
    }
    if path == "detail-type" && texts.iter().any(|text| is_sign_in(text)) {
        texts.push(crate::core::envelope::SIGN_IN.into());
    }
    texts.sort_unstable();
    texts.dedup();
    Ok(Leaf { texts: texts.into(), items: items.into(), absent, source: spot.text.into() })
}

/// The only member of an object.
fn only<'m, 't>(spot: &Spot<'_>, members: &'m [Member<'t>], place: &Place<'_>) -> Read<&'m Member<'t>> {
    match members {
        [] => wrong(spot.at, place, "expected an operator: an empty object is none"),
        [member] => Ok(member),
        [_, second, ..] => {
            let says = format!("expected one operator in an object, found \"{}\" too: give each its own", second.name);
            wrong(second.at, place, says)
        }
    }
}

fn string<'t>(spot: &'t Spot<'_>, place: &Place<'_>, of: &str) -> Read<&'t str> {
    match &spot.value {
        Value::Text(text) => Ok(text),
        _ => miss(spot, place, &format!("a text for \"{of}\"")),
    }
}

/// `None` for `{"exists": false}`.
fn operator(
    spot: &Spot<'_>,
    members: &[Member<'_>],
    path: &str,
    place: &Place<'_>,
    remarks: &mut Vec<String>,
) -> Read<Option<Item>> {
    let member = only(spot, members, place)?;
    let (name, argument, place) = (member.name.as_ref(), &member.value, &place.member(&member.name));
    let text = || string(argument, place, name).map(Box::from);
    Ok(Some(match name {
        "exactly" => Item::Text(text()?),
        "prefix" => folded(argument, place, name)?
            .map_or_else(|| text().map(Item::Starts), |text| Ok(Item::StartsFolded(text)))?,
        "suffix" => {
            folded(argument, place, name)?.map_or_else(|| text().map(Item::Ends), |text| Ok(Item::EndsFolded(text)))?
        }
        "equals-ignore-case" => Item::Folded(text()?),
        "wildcard" => wildcard(argument, place)?,
        "anything-but" => Item::Not(anything_but(argument, place)?),
        "numeric" => Item::Range(numeric(argument, place)?),
        "cidr" => {
            let block = Block::parse(string(argument, place, name)?);
            let block = block.or_else(|expected| wrong(argument.at, place, format!("expected {expected}")))?;
            if block.is_everything() {
                remarks.push(format!("{path}: {} takes the addresses of both families", argument.text));
            }
            Item::Address(Box::new(block))
        }
        "exists" => match argument.value {
            Value::Bool(true) => Item::Exists,
            Value::Bool(false) => return Ok(None),
            _ => return miss(argument, place, "true or false for \"exists\""),
        },
        _ => {
            let says = format!("\"{name}\" is no operator: expected {OPERATORS}");
            return wrong(member.at, place, says);
        }
    }))
}

const OPERATORS: &str = "\"prefix\", \"suffix\", \"equals-ignore-case\", \"wildcard\", \"anything-but\", \"numeric\", \"cidr\" or \"exists\", in lower case";

/// The text of `{"equals-ignore-case": text}`, if it is such an object.
fn folded(spot: &Spot<'_>, place: &Place<'_>, of: &str) -> Read<Option<Box<str>>> {
    let Value::Object(members) = &spot.value else { return Ok(None) };
    let member = only(spot, members, place)?;
    if member.name != "equals-ignore-case" {
        let says = format!("expected a text or \"equals-ignore-case\" for \"{of}\", found \"{}\"", member.name);
        return wrong(member.at, place, says);
    }
    string(&member.value, &place.member(&member.name), &member.name).map(|text| Some(text.into()))
}

fn wildcard(spot: &Spot<'_>, place: &Place<'_>) -> Read<Item> {
    let wildcard = Wildcard::parse(string(spot, place, "wildcard")?);
    wildcard.map(Item::Wildcard).or_else(|says| wrong(spot.at, place, says))
}

fn anything_but(spot: &Spot<'_>, place: &Place<'_>) -> Read<Box<[Item]>> {
    let one = std::slice::from_ref(spot);
    match &spot.value {
        Value::Text(_) | Value::Number => plain(one, place),
        Value::Array(values) if !values.is_empty() => plain(values, place),
        Value::Object(members) => {
            let member = only(spot, members, place)?;
            let place = &place.member(&member.name);
            match &member.value.value {
                Value::Array(values) if !values.is_empty() => {
                    values.iter().enumerate().map(|(at, value)| not(member, value, &place.item(at))).collect()
                }
                _ => Ok([not(member, &member.value, place)?].into()),
            }
        }
        _ => miss(spot, place, "a text, a number, a list of one of both, or an operator, for \"anything-but\""),
    }
}

/// Texts or numbers, not both.
fn plain(values: &[Spot<'_>], place: &Place<'_>) -> Read<Box<[Item]>> {
    let is_text = |spot: &Spot<'_>| matches!(spot.value, Value::Text(_));
    let texts = values.first().is_some_and(is_text);
    let item = |spot: &Spot<'_>| match &spot.value {
        Value::Text(text) if texts => Ok(Item::Text(text.as_ref().into())),
        Value::Number if !texts => {
            let value = Some(number(spot, place)?);
            Ok(Item::Number(Number { value, text: spot.text.into() }))
        }
        _ if texts => miss(spot, place, "a text, as the first of \"anything-but\" is one"),
        _ => miss(spot, place, "a list of texts or of numbers for \"anything-but\""),
    };
    values.iter().map(item).collect()
}

fn not(operator: &Member<'_>, spot: &Spot<'_>, place: &Place<'_>) -> Read<Item> {
    let name = operator.name.as_ref();
    let make = match name {
        "prefix" => Item::Starts,
        "suffix" => Item::Ends,
        "equals-ignore-case" => Item::Folded,
        "wildcard" => return wildcard(spot, place),
        _ => {
            let says = format!(
                "expected \"prefix\", \"suffix\", \"equals-ignore-case\" or \"wildcard\" in \"anything-but\", found \"{name}\""
            );
            return wrong(operator.at, place, says);
        }
    };
    let text = string(spot, place, name)?;
    if text.is_empty() && name != "equals-ignore-case" {
        return wrong(spot.at, place, format!("\"\" is the {name} of every text: anything but that is nothing"));
    }
    Ok(make(text.into()))
}

fn number(spot: &Spot<'_>, place: &Place<'_>) -> Read<f64> {
    if !matches!(spot.value, Value::Number) {
        return miss(spot, place, "a number");
    }
    let says = || {
        format!(
            "{} cannot be compared: it has more digits than a number of 64 bits, or is too large or small for one",
            spot.text
        )
    };
    comparable(spot.text).map_or_else(|| wrong(spot.at, place, says()), Ok)
}

/// An operator and a number, twice for a range: the lower bound first.
fn numeric(spot: &Spot<'_>, place: &Place<'_>) -> Read<Range> {
    let expected = "[\"=\", number], or one or two bounds, the lower one first, for \"numeric\"";
    let Value::Array(values) = &spot.value else { return miss(spot, place, expected) };
    let (first, second) = match values.as_slice() {
        [operator, value] => ((operator, value), None),
        [operator, value, next, top] => ((operator, value), Some((next, top))),
        _ => return wrong(spot.at, place, format!("expected {expected}, found {} elements", values.len())),
    };
    let bound = |(operator, value): (&Spot<'_>, &Spot<'_>), allowed: &[&str]| -> Read<(String, f64)> {
        let sign = string(operator, place, "numeric")?;
        if !allowed.contains(&sign) {
            return wrong(operator.at, place, format!("expected one of {} here, found \"{sign}\"", allowed.join(" ")));
        }
        Ok((sign.to_owned(), number(value, place)?))
    };
    let signs: &[&str] = if second.is_some() { &[">", ">="] } else { &["=", "<", "<=", ">", ">="] };
    let (sign, value) = bound(first, signs)?;
    let is_in = sign.contains('=');
    let range = match sign.as_str() {
        "=" => Range { low: value, high: value, low_is_in: true, high_is_in: true },
        "<" | "<=" => Range { low: f64::NEG_INFINITY, high: value, low_is_in: true, high_is_in: is_in },
        _ => Range { low: value, high: f64::INFINITY, low_is_in: is_in, high_is_in: true },
    };
    let Some((next, top)) = second else { return Ok(range) };
    let (sign, high) = bound((next, top), &["<", "<="])?;
    if high <= value {
        return wrong(top.at, place, "the upper bound must be greater than the lower one");
    }
    Ok(Range { high, high_is_in: sign == "<=", ..range })
}
