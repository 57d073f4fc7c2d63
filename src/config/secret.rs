//! Secrets: read from files, never written in the configuration, never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::raw;
use crate::core::printable;

/// More than any token or key; a secret this large is a wrong file.
const LARGEST: usize = 64 << 10;

/// A text that no log and no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Stands where a secret was not read: leads nowhere as an address, and opens nothing as a password.
    fn unread() -> Self {
        Self::new("https://secret.invalid/")
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Where named secrets lie.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `$CREDENTIALS_DIRECTORY`, which systemd sets for `LoadCredential=`.
    pub credentials: Option<PathBuf>,
    /// What a relative path starts from: the folder of the configuration file.
    pub base: PathBuf,
    /// Whether secrets are left alone: whoever only looks tells nobody anything, and need not be let in.
    pub unread: bool,
}

impl Places {
    /// The secret that a table names. A plain text is refused: the caller decides where one is allowed.
    pub fn read(&self, secret: &raw::Secret) -> Result<Secret, String> {
        match secret {
            raw::Secret::Plain(_) => Err("a secret does not belong in this file: say where it lies, \
                 { credential = \"name\" } or { file = \"/path\" }"
                .into()),
            _ if self.unread => Ok(Secret::unread()),
            raw::Secret::File(path) => read(&self.base.join(path), &format!("file {}", printable(path, 200))),
            raw::Secret::Credential(name) => {
                let shown = printable(name, 80);
                if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
                    return Err(format!("`{shown}` is no name of a credential: a file name, without folders"));
                }
                let folder = self.credentials.as_deref().ok_or_else(|| {
                    format!(
                        "credential `{shown}`: $CREDENTIALS_DIRECTORY is not set; systemd sets it for LoadCredential="
                    )
                })?;
                read(&folder.join(name), &format!("credential `{shown}`"))
            }
        }
    }
}

fn read(path: &Path, what: &str) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{what}: {}", error.kind()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    match text.len() {
        0 => Err(format!("{what} is empty")),
        1..=LARGEST => Ok(Secret::new(text)),
        _ => Err(format!("{what} is larger than {LARGEST} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_files_only() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("hook"), "s3cret\r\n").unwrap();
        std::fs::write(temp.path().join("empty"), "\n").unwrap();
        let places = Places { credentials: Some(temp.path().into()), base: temp.path().into(), unread: false };
        let credential = |name: &str| places.read(&raw::Secret::Credential(name.into()));
        assert_eq!(credential("hook"), Ok(Secret::new("s3cret")));
        assert_eq!(places.read(&raw::Secret::File("hook".into())), Ok(Secret::new("s3cret")));
        for bad in ["empty", "none", "../hook", ".hook", ""] {
            assert!(credential(bad).is_err(), "{bad}");
        }
        let outside = Places { credentials: None, ..places.clone() };
        let unset = outside.read(&raw::Secret::Credential("hook".into())).unwrap_err();
        assert!(unset.contains("LoadCredential="), "{unset}");
        let looking = Places { unread: true, ..outside.clone() };
        for secret in [raw::Secret::Credential("hook".into()), raw::Secret::File("none".into())] {
            assert_eq!(looking.read(&secret), Ok(Secret::unread()));
        }
        assert!(looking.read(&raw::Secret::Plain("hunter2".into())).is_err());
        let plain = places.read(&raw::Secret::Plain("hunter2".into())).unwrap_err();
        assert!(plain.contains("does not belong") && !plain.contains("hunter2"), "{plain}");
    }

    #[test]
    fn a_secret_shows_nothing() {
        let shown = format!("{:?} {:?}", Secret::new("hunter2"), raw::Secret::Plain("hunter2".into()));
        assert_eq!(shown, "… …");
    }
}
