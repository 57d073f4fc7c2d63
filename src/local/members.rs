//! The organization's accounts from a list in TOML: `[[account]]` with `id`, and `name`, `ou`, `state` where known.

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
use crate::error::{Error, Result};
use crate::seam::{Member, MemberState, Members};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    account: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Spanned<String>,
    #[serde(default)]
    name: String,
    ou: Option<String>,
    state: Option<Spanned<String>>,
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
        members.push(Member { account, name: entry.name, ou: entry.ou, state, joined: None });
    }
    if members.is_empty() {
        return Err("no [[account]] in the list".into());
    }
    Ok(members)
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
        let text = "[[account]]\nid = \"011122223333\"\nname = \"prod\"\nou = \"ou-1\"\nstate = \"PENDING_CLOSURE\"\n\
                    [[account]]\nid = \"444455556666\"\n";
        let members = parse(text).unwrap();
        assert_eq!(members[0].account.as_str(), "011122223333");
        assert_eq!((members[0].name.as_str(), members[0].ou.as_deref()), ("prod", Some("ou-1")));
        assert_eq!(members[0].state, MemberState::PendingClosure);
        assert_eq!((members[1].name.as_str(), members[1].state), ("", MemberState::Active));
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
