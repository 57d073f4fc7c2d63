//! What a pattern needs of the record, as far as that is certain, and what it reads of it.

use super::item::Leaf;
use super::{Part, Pattern};
use crate::core::envelope;
use crate::core::needs::{Need, Needs};
use crate::core::record::Parts;

pub(super) fn of(pattern: &Pattern) -> Needs {
    let way = |parts: &[Part]| {
        let needs = parts.iter().filter_map(|part| Some(part_needs(&part.path, pattern.leaves.get(part.leaf)?)));
        needs.fold(Needs::nothing(), Needs::and)
    };
    pattern.ways.iter().map(|parts| way(parts)).fold(Needs::impossible(), Needs::or)
}

/// What of the record is read to match its envelope.
pub(super) fn parts(pattern: &Pattern) -> Parts {
    pattern.ways.iter().flatten().map(|part| part_reads(&part.path)).collect()
}

fn part_reads(path: &str) -> Parts {
    let member = |name: &str| Parts::at(&[name]);
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    match first {
        "detail" => match rest.split_once('.') {
            // further names may stand behind the first one, with dots between them
            Some((name, _)) => member(name) | Parts::DOTTED,
            None => member(rest),
        },
        "source" => member("eventSource") | member("eventType"),
        "detail-type" => member("eventType"),
        "account" => member("recipientAccountId"),
        "id" => member("eventID"),
        "time" => member("eventTime"),
        "region" => member("awsRegion"),
        _ => Parts::default(),
    }
}

fn part_needs(path: &str, leaf: &Leaf) -> Needs {
    if leaf.absent {
        return Needs::nothing();
    }
    match path.strip_prefix("detail.") {
        // deeper fields may also lie in an array of objects, or under a name with a dot
        Some(name) if !name.contains('.') => texts(leaf, |text| equal(name, text), || present(name)),
        Some(_) => Needs::nothing(),
        None => match path {
            "source" => texts(leaf, source, Needs::nothing),
            "detail-type" => texts(leaf, detail_type, Needs::nothing),
            "region" => texts(leaf, |text| equal("awsRegion", text), Needs::nothing),
            "id" => texts(leaf, |text| equal("eventID", text), Needs::nothing),
            "time" => texts(leaf, |text| equal("eventTime", text), Needs::nothing),
            _ => Needs::nothing(),
        },
    }
}

/// One of the texts, if a leaf takes nothing else.
fn texts(leaf: &Leaf, each: impl Fn(&str) -> Needs, otherwise: impl Fn() -> Needs) -> Needs {
    if !leaf.items.is_empty() {
        return otherwise();
    }
    leaf.texts.iter().map(|text| each(text)).fold(Needs::impossible(), Needs::or)
}

fn equal(name: &str, text: &str) -> Needs {
    Needs::one(Need::Equal(vec![name.into()], text.into()))
}

fn present(name: &str) -> Needs {
    Needs::one(Need::Present(vec![name.into()]))
}

fn source(text: &str) -> Needs {
    let services = envelope::event_sources(text).map(|source| equal("eventSource", &source));
    services
        .chain(envelope::is_insight_source(text).then(|| equal("eventType", envelope::INSIGHT)))
        .fold(Needs::impossible(), Needs::or)
}

fn detail_type(text: &str) -> Needs {
    match envelope::event_type(text) {
        envelope::Meant::One(name) => equal("eventType", name),
        envelope::Meant::Any => Needs::nothing(),
        envelope::Meant::None => Needs::impossible(),
    }
}
