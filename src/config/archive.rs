//! `[archive]`: where the records of all logs are kept for questions.

use std::time::Duration;

use super::meaning::Lines;
use super::read::{DAY, Read, Reader, YEARS};
use super::units::{show_duration, show_size};
use super::{Place, Trail, raw};
use crate::core::id::Region;

/// The archive of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// No trail's bucket.
    pub location: Place,
    /// Before the files' names: empty, or ending in `/`.
    pub prefix: String,
    /// Known if the place is on AWS.
    pub region: Option<Region>,
    /// Encrypts what is put there; `None` leaves it to the bucket.
    pub kms_key: Option<String>,
    /// How long records wait for others to make a file with.
    pub flush: Duration,
    /// Bytes of records that are gathered at most.
    pub buffer: u64,
    /// Bytes that files are compacted to.
    pub target: u64,
    /// How long records are kept; `None` for good.
    pub keep: Option<Duration>,
}

const FLUSH: Duration = Duration::from_secs(300);
const BUFFER: u64 = 64 << 20;
const TARGET: u64 = 256 << 20;
/// S3 takes no more than 5 GiB at once.
const LARGEST: u64 = 4 << 30;

impl Reader<'_> {
    pub(super) fn archive(&self, raw: &raw::Archive, trails: &[Trail]) -> Read<Option<Archive>> {
        let Some(at) = &raw.location else {
            if *raw != raw::Archive::default() {
                return Err(self.missing(
                    "[archive] has no `location`: \"file:///srv/archive\" or \"s3://bucket/prefix\", never a trail's own bucket",
                ));
            }
            return Ok(None);
        };
        let (location, prefix) = self.parsed(at, |text| Place::prefixed(text, "an archive"))?;
        if let Some(trail) = trails.iter().find(|trail| trail.bucket.holds(&location) || location.holds(&trail.bucket))
        {
            let told =
                format!("this is the bucket of trail `{}`: nothing is ever written among the evidence", trail.name);
            return Err(self.at(at, told));
        }
        let region = self.optional(&raw.region, Region::parse)?;
        let region = region.or_else(|| trails.iter().find_map(|trail| trail.region.clone()));
        if region.is_none() && matches!(location, Place::Aws(_)) {
            return Err(self.at(at, "the archive needs a `region`: this is on AWS, and no trail has one"));
        }
        if let (Some(key), Place::Dir(_)) = (&raw.kms_key, &location) {
            return Err(self.at(key, "a directory is not encrypted by a key of AWS's"));
        }
        let target = self.size(&raw.target, TARGET, 1 << 20)?;
        if let Some(text) = raw.target.as_ref().filter(|_| target > LARGEST) {
            return Err(self.at(text, format!("too large: at most {}", show_size(LARGEST))));
        }
        Ok(Some(Archive {
            location,
            prefix,
            region,
            kms_key: raw.kms_key.as_ref().map(|key| key.get_ref().clone()),
            flush: self.duration(&raw.flush, FLUSH, Duration::from_secs(1), DAY)?,
            buffer: self.size(&raw.buffer, BUFFER, 1 << 20)?,
            target,
            keep: match &raw.keep {
                Some(text) if text.get_ref() == "forever" => None,
                text => self.optional_duration(text, DAY, YEARS)?,
            },
        }))
    }
}

pub(super) fn say(archive: Option<&Archive>, lines: &mut Lines) {
    let mut say = |key: &str, value: String| lines.push((format!("archive.{key}"), value));
    let Some(archive) = archive else { return say("location", "none: records are read and not kept".into()) };
    say("location", archive.address());
    say("kms_key", archive.kms_key.clone().unwrap_or_else(|| "as the bucket says".into()));
    say("flush", show_duration(archive.flush));
    say("buffer", show_size(archive.buffer));
    say("target", show_size(archive.target));
    say("keep", archive.keep.map_or_else(|| "forever".into(), show_duration));
}

impl Archive {
    /// The location as other engines name it, ending in `/`: `s3://bucket/prefix/`, `file:///srv/archive/`.
    pub fn address(&self) -> String {
        match &self.location {
            Place::Aws(bucket) => format!("s3://{bucket}/{}", self.prefix),
            Place::Dir(path) => format!("file://{}/", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> Result<Option<Archive>, String> {
        let trail = "[organization]\nmembers = \"m.toml\"\n[[trail]]\nname = \"org\"\nbucket = \"file:///b/c\"\nqueue = \"file:///q\"\nkeys = \"k\"\n";
        Config::from_text(&format!("{trail}{text}"), "here")
            .map(|config| config.archive)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_archive_lies_anywhere_but_among_the_evidence() {
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("[archive]\n"), Ok(None));
        let archive = read("[archive]\nlocation = \"file:///srv/archive\"").unwrap().unwrap();
        assert_eq!((archive.flush, archive.target, archive.keep), (FLUSH, TARGET, None));
        assert_eq!(archive.address(), "file:///srv/archive/");
        let all = "[archive]\nlocation = \"s3://acme/v1\"\nregion = \"eu-west-1\"\nkms_key = \"alias/a\"\nflush = \"1m\"\nbuffer = \"8MiB\"\ntarget = \"64MiB\"\nkeep = \"7y\"";
        let archive = read(all).unwrap().unwrap();
        assert_eq!((archive.address().as_str(), archive.buffer), ("s3://acme/v1/", 8 << 20));
        for (text, wanted) in [
            ("flush = \"1m\"", "no `location`"),
            ("location = \"/srv\"", "no place for an archive"),
            ("location = \"file:///b/c\"", "among the evidence"),
            ("location = \"file:///b/c/d\"", "among the evidence"),
            ("location = \"file:///b\"", "among the evidence"),
            ("location = \"s3://acme\"", "needs a `region`"),
            ("location = \"file:///a\"\nkms_key = \"k\"", "not encrypted by a key"),
            ("location = \"file:///a\"\ntarget = \"5GiB\"", "too large"),
            ("location = \"file:///a\"\nkeep = \"1h\"", "too short"),
            ("path = \"x\"", "unknown field"),
        ] {
            let told = read(&format!("[archive]\n{text}")).unwrap_err();
            assert!(told.contains(wanted), "{told}");
        }
    }
}
