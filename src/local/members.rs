//! The organization's accounts from a list in TOML: `[[account]]` with `id`, and `name`, `ou`, `state` where known; `[[ou]]` with
//! `id`, `name` and `parent` for units that are to be known by their ids.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use toml::Spanned;

use super::blocking;
use crate::config::line_of;
use crate::core::id::AccountId;
use crate::core::printable;
use crate::core::unit::{OuPath, Unit};
use crate::error::{Error, Result};
use crate::seam::{Member, MemberState, Members};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    account: Vec<Entry>,
    #[serde(default)]
    ou: Vec<UnitEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Spanned<String>,
    #[serde(default)]
    name: String,
    /// The id of an `[[ou]]`, or a path of names: `Workloads/Prod`.
    ou: Option<Spanned<String>>,
    state: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitEntry {
    id: Spanned<String>,
    name: String,
    /// The id of the unit above; none at the root.
    parent: Option<Spanned<String>>,
}

/// The list is read anew each time it is asked for.
pub struct MembersFile {
    path: Arc<Path>,
}

impl MembersFile {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into().into() }
    }
}

#[async_trait]
impl Members for MembersFile {
    async fn all(&self) -> Result<Vec<Member>> {
        let path = Arc::clone(&self.path);
        blocking("members:read", move || {
            let wrong = |text: String| Error::permanent("members:read", format!("{}: {text}", path.display()));
            let text = std::fs::read_to_string(&*path).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidData => wrong(error.kind().to_string()),
                _ => super::fault("members:read", &error),
            })?;
            parse(&text).map_err(wrong)
        })
        .await
    }
}

/// The whole list, or what is wrong with it and in which line.
pub fn parse(text: &str) -> Result<Vec<Member>, String> {
    let at = |offset: usize, what: String| format!("line {}: {what}", line_of(text, offset));
    let list: List = toml::from_str(text).map_err(|error| {
        at(error.span().map_or(0, |span| span.start), error.message().trim_end().replace('\n', ", "))
    })?;
    let units = paths(&list.ou).map_err(|(offset, what)| at(offset, what))?;
    let mut lines = BTreeMap::new();
    let mut members = Vec::with_capacity(list.account.len());
    for entry in list.account {
        let offset = entry.id.span().start;
        let account = AccountId::parse(entry.id.get_ref()).map_err(|bad| at(offset, bad.to_string()))?;
        if let Some(first) = lines.insert(account, line_of(text, offset)) {
            return Err(at(offset, format!("account {account} stands in line {first} already")));
        }
        let state = match &entry.state {
            Some(state) => known_state(state.get_ref()).map_err(|what| at(state.span().start, what))?,
            None => MemberState::Active,
        };
        let ou = match &entry.ou {
            Some(ou) => units.get(ou.get_ref().as_str()).cloned().map_or_else(|| unlisted(ou, &units), Ok),
            None => Ok(OuPath::default()),
        };
        let ou = ou.map_err(|(offset, what)| at(offset, what))?;
        members.push(Member { account, name: entry.name, ou, state, joined: None });
    }
    if members.is_empty() {
        return Err("no [[account]] in the list".into());
    }
    Ok(members)
}

/// What is wrong, and where.
type Wrong = (usize, String);

/// The way from the root to each `[[ou]]`, by its id.
fn paths(entries: &[UnitEntry]) -> Result<BTreeMap<&str, OuPath>, Wrong> {
    let mut listed = BTreeMap::new();
    for entry in entries {
        if listed.insert(entry.id.get_ref().as_str(), entry).is_some() {
            return Err((entry.id.span().start, format!("ou `{}` is listed twice", printable(entry.id.get_ref(), 80))));
        }
    }
    let path = |entry: &UnitEntry| {
        let (mut units, mut next) = (Vec::new(), Some(entry));
        while let Some(entry) = next {
            units.push(Unit { id: entry.id.get_ref().clone(), name: entry.name.clone() });
            if units.len() > listed.len() {
                return Err((entry.id.span().start, "the parents of this ou go around in a circle".to_owned()));
            }
            next = match &entry.parent {
                Some(parent) => {
                    let above = listed.get(parent.get_ref().as_str()).copied();
                    Some(above.ok_or_else(|| (parent.span().start, no_unit(parent.get_ref())))?)
                }
                None => None,
            };
        }
        units.reverse();
        Ok(OuPath::new(units))
    };
    listed.iter().map(|(id, entry)| Ok((*id, path(entry)?))).collect()
}

/// An `ou` that is no id of the list is a path of names, unless the list has ids.
fn unlisted(ou: &Spanned<String>, units: &BTreeMap<&str, OuPath>) -> Result<OuPath, Wrong> {
    if units.is_empty() { Ok(OuPath::of_names(ou.get_ref())) } else { Err((ou.span().start, no_unit(ou.get_ref()))) }
}

fn no_unit(id: &str) -> String {
    format!("there is no [[ou]] with the id `{}`", printable(id, 80))
}

/// A list is written by hand: a state that Organizations may invent is one thing, a slip of the pen another.
fn known_state(text: &str) -> Result<MemberState, String> {
    let state = MemberState::parse(text);
    let plain = |name: &str| name.to_ascii_lowercase().replace(['_', '-'], "");
    if plain(text) == plain(state.name()) {
        Ok(state)
    } else {
        Err(format!(
            "`{}` is no state: active, suspended, closed, pending_activation or pending_closure",
            printable(text, 40)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    #[test]
    fn a_list_is_read_as_written() {
        let text = "[[account]]\nid = \"011122223333\"\nname = \"prod\"\nou = \"Work/Prod\"\nstate = \"PENDING_CLOSURE\"\n\
                    [[account]]\nid = \"444455556666\"\n";
        let members = parse(text).unwrap();
        assert_eq!(members[0].account.as_str(), "011122223333");
        assert_eq!((members[0].name.as_str(), members[0].ou.to_string().as_str()), ("prod", "Work/Prod"));
        assert_eq!(members[0].state, MemberState::PendingClosure);
        assert_eq!((members[1].name.as_str(), members[1].state), ("", MemberState::Active));
    }

    #[test]
    fn units_with_ids_make_the_way_from_the_root() {
        let text = "[[ou]]\nid = \"ou-2\"\nname = \"Prod\"\nparent = \"ou-1\"\n[[ou]]\nid = \"ou-1\"\nname = \"Work\"\n\
                    [[account]]\nid = \"011122223333\"\nou = \"ou-2\"\n[[account]]\nid = \"444455556666\"\n";
        let members = parse(text).unwrap();
        let ids: Vec<_> = members[0].ou.units().iter().map(|unit| unit.id.as_str()).collect();
        assert_eq!((members[0].ou.to_string().as_str(), ids), ("Work/Prod", vec!["ou-1", "ou-2"]));
        assert!(!members[1].ou.is_known());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, word) in [
            ("[[account]]\nid = \"111122223333\"\nemail = \"x\"\n", "line 3:", "email"),
            ("accounts = []\n", "line 1:", "accounts"),
            ("\n[[account]]\nid = \"1\"\n", "line 3:", "twelve digits"),
            ("[[account]]\nid = \"111122223333\"\nstate = \"suspnded\"\n", "line 3:", "suspnded"),
            ("[[account]]\nid = \"111122223333\"\n[[account]]\nid = \"111122223333\"\n", "line 4:", "line 2 already"),
            ("[[account]]\nid = 111122223333\n", "line 2:", "string"),
            ("[[account]]\nid = \n", "line 2:", ""),
            ("[[ou]]\nid = \"a\"\nname = \"A\"\n[[account]]\nid = \"111122223333\"\nou = \"b\"\n", "line 6:", "`b`"),
            ("[[ou]]\nid = \"a\"\nname = \"A\"\nparent = \"b\"\n", "line 4:", "`b`"),
            ("[[ou]]\nid = \"a\"\nname = \"A\"\nparent = \"a\"\n", "line 2:", "circle"),
            ("[[ou]]\nid = \"a\"\nname = \"A\"\n[[ou]]\nid = \"a\"\nname = \"B\"\n", "line 5:", "twice"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.starts_with(line) && wrong.contains(word), "{text:?}: {wrong}");
        }
        assert!(parse("").is_err(), "an empty list is a mistake, not an empty organization");
    }

    #[tokio::test]
    async fn a_list_that_cannot_be_read_is_an_error_for_a_human() {
        let error = MembersFile::new("/nonexistent/members.toml").all().await.unwrap_err();
        assert_eq!(error.class, Class::Permanent);
    }
}
