//! Saved public keys: a directory of `<region>.json` as `aws cloudtrail list-public-keys` prints them; `default.json` serves every region.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{blocking, fault, write_whole};
use crate::core::id::Region;
use crate::error::{Error, Result};
use crate::seam::{Keys, PublicKey};

#[derive(Deserialize)]
#[serde(untagged)]
enum Saved {
    Answer {
        #[serde(rename = "PublicKeyList")]
        keys: Vec<Entry>,
    },
    Bare(Vec<Entry>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validity_start_time: Option<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validity_end_time: Option<Moment>,
    fingerprint: String,
}

/// Version 2 of the AWS CLI prints text, version 1 seconds.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Moment {
    Text(Timestamp),
    Seconds(f64),
}

impl Moment {
    fn time(&self) -> Option<Timestamp> {
        match self {
            Self::Text(time) => Some(*time),
            Self::Seconds(seconds) => Timestamp::from_millisecond((seconds * 1000.0) as i64).ok(),
        }
    }
}

impl Entry {
    fn key(&self) -> Result<PublicKey, String> {
        let plain: String = self.value.split_ascii_whitespace().collect();
        let der = STANDARD.decode(plain).map_err(|_| format!("the key {} is not base64", self.fingerprint))?;
        if der.is_empty() {
            return Err(format!("the key {} is empty", self.fingerprint));
        }
        let time = |moment: &Option<Moment>| moment.as_ref().and_then(Moment::time);
        let (valid_from, valid_to) = (time(&self.validity_start_time), time(&self.validity_end_time));
        Ok(PublicKey { fingerprint: self.fingerprint.clone(), der, valid_from, valid_to })
    }

    fn of(key: &PublicKey) -> Self {
        Self {
            value: STANDARD.encode(&key.der),
            validity_start_time: key.valid_from.map(Moment::Text),
            validity_end_time: key.valid_to.map(Moment::Text),
            fingerprint: key.fingerprint.clone(),
        }
    }
}

/// The form of a file, its changes noticed by time, size and inode.
type Stamp = (i64, i64, u64, u64);
type Shelf = HashMap<PathBuf, (Stamp, Arc<[PublicKey]>)>;

/// Keys of a directory; a file is read again when it has changed.
pub struct KeysDir {
    dir: Arc<Path>,
    shelf: Arc<Mutex<Shelf>>,
}

impl KeysDir {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into().into(), shelf: Arc::default() }
    }

    /// The region's own keys, then those that serve every region.
    async fn of(&self, region: &Region) -> Result<Vec<Arc<[PublicKey]>>> {
        let (dir, shelf, own) = (Arc::clone(&self.dir), Arc::clone(&self.shelf), file_of(&self.dir, region));
        blocking("keys:read", move || {
            if !dir.is_dir() {
                return Err(Error::permanent("keys:read", format!("no directory at {}", dir.display())));
            }
            [own, dir.join("default.json")].into_iter().map(|path| shelved(&shelf, path)).collect()
        })
        .await
    }
}

#[async_trait]
impl Keys for KeysDir {
    async fn find(&self, region: &Region, fingerprint: &str, _at: Timestamp) -> Result<Option<PublicKey>> {
        let files = self.of(region).await?;
        Ok(files.iter().flat_map(|keys| keys.iter()).find(|key| key.fingerprint == fingerprint).cloned())
    }

    async fn all(&self, region: &Region, from: Timestamp, to: Timestamp) -> Result<Vec<PublicKey>> {
        let mut found: Vec<PublicKey> = Vec::new();
        for key in self.of(region).await?.iter().flat_map(|keys| keys.iter()) {
            let fits = key.valid_from.is_none_or(|start| start <= to) && key.valid_to.is_none_or(|end| end >= from);
            if fits && found.iter().all(|other| other.fingerprint != key.fingerprint) {
                found.push(key.clone());
            }
        }
        Ok(found)
    }
}

/// Adds keys to a region's file, makes directory and file if need be. A key that stands there already stays as it is. Blocks on the disk.
pub fn save(dir: &Path, region: &Region, keys: &[PublicKey]) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(|error| fault("keys:save", &error))?;
    let path = file_of(dir, region);
    let mut all = read(&path)?;
    for key in keys {
        if all.iter().all(|other| other.fingerprint != key.fingerprint) {
            all.push(key.clone());
        }
    }
    #[derive(Serialize)]
    struct Answer {
        #[serde(rename = "PublicKeyList")]
        keys: Vec<Entry>,
    }
    let answer = Answer { keys: all.iter().map(Entry::of).collect() };
    let mut text = serde_json::to_vec_pretty(&answer).map_err(|error| Error::permanent("keys:save", error))?;
    text.push(b'\n');
    let scratch = dir.join(format!(".tmp-{region}-{}", std::process::id()));
    write_whole(&scratch, &path, &text).map_err(|error| fault("keys:save", &error))
}

fn file_of(dir: &Path, region: &Region) -> PathBuf {
    dir.join(format!("{region}.json"))
}

fn shelved(shelf: &Mutex<Shelf>, path: PathBuf) -> Result<Arc<[PublicKey]>> {
    let stamp = match std::fs::metadata(&path) {
        Ok(facts) => (facts.mtime(), facts.mtime_nsec(), facts.len(), facts.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Arc::default()),
        Err(error) => return Err(fault("keys:read", &error)),
    };
    let lock = || shelf.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, keys)) = lock().get(&path)
        && *known == stamp
    {
        return Ok(Arc::clone(keys));
    }
    let keys: Arc<[PublicKey]> = read(&path)?.into();
    lock().insert(path, (stamp, Arc::clone(&keys)));
    Ok(keys)
}

/// No file is no keys.
fn read(path: &Path) -> Result<Vec<PublicKey>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fault("keys:read", &error)),
    };
    parse(&text).map_err(|what| Error::permanent("keys:read", format!("{}: {what}", path.display())))
}

fn parse(text: &[u8]) -> Result<Vec<PublicKey>, String> {
    let shape = "not what `aws cloudtrail list-public-keys` prints";
    let saved: Saved = serde_json::from_slice(text).map_err(|_| shape.to_owned())?;
    let (Saved::Answer { keys } | Saved::Bare(keys)) = saved;
    keys.iter().map(Entry::key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    fn region(name: &str) -> Region {
        Region::parse(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn key(fingerprint: &str, from: &str, to: &str) -> PublicKey {
        let der = fingerprint.as_bytes().to_vec();
        PublicKey { fingerprint: fingerprint.into(), der, valid_from: Some(at(from)), valid_to: Some(at(to)) }
    }

    fn names(keys: Vec<PublicKey>) -> Vec<String> {
        keys.into_iter().map(|key| key.fingerprint).collect()
    }

    #[test]
    fn every_form_that_the_cli_prints_is_read() {
        let text = br#"{"PublicKeyList": [{"Value": "AAEC\nAw==", "ValidityStartTime": 1436226000.5,
            "ValidityEndTime": "2015-08-07T00:00:00+01:00", "Fingerprint": "ab", "More": 1}]}"#;
        let keys = parse(text).unwrap();
        assert_eq!(keys[0].der, [0, 1, 2, 3]);
        assert_eq!(keys[0].valid_from, Some(at("2015-07-06T23:40:00.5Z")));
        assert_eq!(keys[0].valid_to, Some(at("2015-08-06T23:00:00Z")));
        let bare = parse(br#"[{"Value": "AA==", "Fingerprint": "cd"}]"#).unwrap();
        assert_eq!((bare[0].fingerprint.as_str(), bare[0].valid_from), ("cd", None));
        for bad in ["", "{}", r#"[{"Value": "?", "Fingerprint": "x"}]"#, r#"[{"Value": "", "Fingerprint": "x"}]"#] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_region_has_its_own_keys_and_those_of_all() {
        let temp = tempfile::tempdir().unwrap();
        let (own, other) = (region("eu-west-1"), region("us-east-1"));
        let june = key("june", "2026-06-01T00:00:00Z", "2026-06-30T00:00:00Z");
        let july = key("july", "2026-07-01T00:00:00Z", "2026-07-30T00:00:00Z");
        save(temp.path(), &own, std::slice::from_ref(&june)).unwrap();
        save(temp.path(), &own, &[july.clone(), june.clone()]).unwrap();
        let shared = key("shared", "2026-06-15T00:00:00Z", "2026-07-15T00:00:00Z");
        let text = serde_json::to_vec(&[Entry::of(&shared)]).unwrap();
        std::fs::write(temp.path().join("default.json"), text).unwrap();

        let keys = KeysDir::new(temp.path());
        let when = at("2020-01-01T00:00:00Z");
        assert_eq!(keys.find(&own, "june", when).await.unwrap(), Some(june), "chosen by fingerprint only");
        assert_eq!(keys.find(&other, "june", when).await.unwrap(), None);
        assert_eq!(keys.find(&other, "shared", when).await.unwrap(), Some(shared));
        let within = |from: &str, to: &str| keys.all(&own, at(from), at(to));
        let all = within("2026-06-01T00:00:00Z", "2026-07-30T00:00:00Z").await.unwrap();
        assert_eq!(names(all), ["june", "july", "shared"]);
        let early = within("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z").await.unwrap();
        assert_eq!(names(early), ["june"]);
        assert!(within("2026-08-01T00:00:00Z", "2026-09-01T00:00:00Z").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_file_that_changes_is_read_again() {
        let temp = tempfile::tempdir().unwrap();
        let (own, when) = (region("eu-west-1"), Timestamp::UNIX_EPOCH);
        let keys = KeysDir::new(temp.path());
        assert_eq!(keys.find(&own, "a", when).await.unwrap(), None);
        for name in ["a", "b"] {
            save(temp.path(), &own, &[key(name, "2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z")]).unwrap();
            assert!(keys.find(&own, name, when).await.unwrap().is_some(), "{name}");
        }
        std::fs::write(temp.path().join("eu-west-1.json"), "no").unwrap();
        assert_eq!(keys.find(&own, "a", when).await.unwrap_err().class, Class::Permanent);
        assert!(save(temp.path(), &own, &[]).is_err(), "a file that cannot be read is not overwritten");
        let gone = KeysDir::new(temp.path().join("none"));
        assert_eq!(gone.find(&own, "a", when).await.unwrap_err().class, Class::Permanent);
    }
}
