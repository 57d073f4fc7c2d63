//! `[[trail]]`: a bucket, its queue, and what may be delivered there.

use std::collections::BTreeMap;
use std::time::Duration;

use super::raw::{self, At};
use super::read::{Read, Reader, YEARS, filled, word};
use super::{KeysFrom, Organization, Place, Trail, Validation, WRITERS, place};
use crate::core::id::{AccountId, Region};
use crate::core::printable;

const VISIBILITY: Duration = Duration::from_secs(5 * 60);
/// The work on a message is held by extending at half of this: below, the extensions come too thick.
const LEAST_VISIBILITY: Duration = Duration::from_secs(30);
const QUEUE_AGE: Duration = Duration::from_secs(15 * 60);
const LEAST_QUEUE_AGE: Duration = Duration::from_secs(60);
/// SQS's own limit.
const MOST_VISIBILITY: Duration = Duration::from_secs(12 * 3600);

impl Reader<'_> {
    pub(super) fn trails(&self, raw: &[At<raw::Trail>], organization: &Organization) -> Read<Vec<Trail>> {
        if raw.is_empty() {
            return Err(
                self.missing("no [[trail]]: a warden needs a bucket to watch, with `name`, `bucket` and `queue`")
            );
        }
        let mut seen = BTreeMap::new();
        let mut trails = Vec::with_capacity(raw.len());
        for entry in raw {
            let trail = self.trail(entry, organization)?;
            let written = entry.get_ref();
            for (key, value, span) in [
                ("name", trail.name.clone(), &written.name),
                ("bucket", trail.bucket.to_string(), &written.bucket),
                ("queue", trail.queue.to_string(), &written.queue),
            ] {
                if seen.insert((key, value), ()).is_some()
                    && let Some(text) = span
                {
                    return Err(self.at(text, format!("another trail has this {key} already: each needs its own")));
                }
            }
            trails.push(trail);
        }
        Ok(trails)
    }

    fn trail(&self, entry: &At<raw::Trail>, organization: &Organization) -> Read<Trail> {
        let raw = entry.get_ref();
        let name = self.needed(&raw.name, entry, "the trail has no `name`: it labels logs and metrics")?;
        let bucket =
            self.needed(&raw.bucket, entry, "the trail has no `bucket`: its name, or \"file:///srv/trail\"")?;
        let queue = self.needed(&raw.queue, entry, "the trail has no `queue`: its url, or \"file:///srv/spool\"")?;
        let name = self.parsed(name, label)?;
        let (bucket_at, bucket) = (bucket, self.parsed(bucket, Place::bucket)?);
        let (queue_at, queue) = (queue, self.parsed(queue, Place::queue)?);
        let region = self.optional(&raw.region, Region::parse)?;
        for (at, place) in [(bucket_at, &bucket), (queue_at, &queue)] {
            if region.is_none() && matches!(place, Place::Aws(_)) {
                return Err(self.at(at, "the trail needs a `region`: this is on AWS"));
            }
        }
        let layout = match &raw.layout {
            None => None,
            Some(texts) if texts.is_empty() => {
                return Err(
                    self.at(entry, "`layout` is empty: nothing could be delivered; leave it out to allow any prefix")
                );
            }
            texts => Some(self.list(texts, |text| template(text, organization))?),
        };
        let keys = match &raw.keys {
            None => KeysFrom::CloudTrail,
            Some(text) if text.get_ref() == "cloudtrail" => KeysFrom::CloudTrail,
            Some(text) => KeysFrom::Dir(self.file_or_path(text)?),
        };
        let writers = match &raw.writers {
            None => WRITERS.iter().map(|text| (*text).to_owned()).collect(),
            texts => self.list(texts, filled)?,
        };
        let validation = self.optional(&raw.validation, |text| {
            word(text, Validation::ALL, Validation::name, "answer to how many trails here have validation")
        })?;
        Ok(Trail {
            name,
            bucket_name: self.bucket_name(raw, &bucket)?,
            bucket,
            region,
            queue,
            owner: self.optional(&raw.owner, AccountId::parse)?,
            layout,
            keys,
            role: self.role(&raw.role, &raw.external_id)?,
            audit_role: self.role(&raw.audit_role, &raw.audit_external_id)?,
            validation: validation.unwrap_or(Validation::All),
            writers,
            visibility: self.duration(&raw.visibility, VISIBILITY, LEAST_VISIBILITY, MOST_VISIBILITY)?,
            queue_age: self.duration(&raw.queue_age, QUEUE_AGE, LEAST_QUEUE_AGE, YEARS)?,
        })
    }

    fn bucket_name(&self, raw: &raw::Trail, bucket: &Place) -> Read<Option<String>> {
        let named = self.optional(&raw.bucket_name, |text| {
            if place::is_bucket_name(text) {
                Ok(text.to_owned())
            } else {
                Err(format!("`{}` is no bucket's name: 3 to 63 of a-z, 0-9, `.` and `-`", printable(text, 80)))
            }
        })?;
        match (bucket, named, &raw.bucket_name) {
            (Place::Aws(own), Some(named), Some(at)) if *own != named => {
                Err(self.at(at, format!("the bucket is `{own}`: `bucket_name` is for a directory that stands for one")))
            }
            (Place::Aws(own), ..) => Ok(Some(own.clone())),
            (Place::Dir(_), named, _) => Ok(named),
        }
    }
}

/// A name that is a label of metrics and stands in commands.
pub(super) fn label(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fits = (1..=40).contains(&text.len())
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|b| plain(b) || b == b'-' || b == b'_');
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is no name: 1 to 40 of a-z, 0-9, `-` and `_`", printable(text, 60)))
    }
}

/// `[prefix/]AWSLogs/[{org}/]{account}/`
fn template(text: &str, organization: &Organization) -> Result<String, String> {
    let wrong = |why: &str| {
        let shown = printable(text, 120);
        format!(
            "`{shown}` is no layout: {why}; like \"AWSLogs/{{org}}/{{account}}/\" or \"prefix/AWSLogs/{{account}}/\""
        )
    };
    let rest = text.strip_suffix("{account}/").ok_or_else(|| wrong("it ends in {account}/"))?;
    let rest = match rest.strip_suffix("{org}/") {
        Some(_) if organization.id.is_none() => {
            return Err(format!("`{}` needs organization.id to stand for {{org}}", printable(text, 120)));
        }
        Some(rest) => rest,
        None => rest,
    };
    let prefix =
        rest.strip_suffix("AWSLogs/").ok_or_else(|| wrong("AWSLogs/ comes before organization and account"))?;
    if prefix.is_empty() {
        return Ok(text.to_owned());
    }
    let folders = prefix.strip_suffix('/').ok_or_else(|| wrong("a prefix ends in `/`"))?;
    let tricky = |folder: &str| matches!(folder, "" | "." | "..") || folder.contains(['{', '}', '*']);
    if folders.split('/').any(tricky) || folders.chars().any(char::is_control) {
        return Err(wrong("a prefix is folders by their names"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::OrgId;

    #[test]
    fn layouts_follow_the_key_grammar() {
        let none = Organization::default();
        let ours = Organization { id: OrgId::parse("o-a1b2c3d4e5").ok(), ..Organization::default() };
        for good in ["AWSLogs/{account}/", "a/AWSLogs/{account}/", "a/b c/AWSLogs/{account}/"] {
            assert_eq!(template(good, &none), Ok(good.into()));
        }
        for good in ["AWSLogs/{org}/{account}/", "a/AWSLogs/{org}/{account}/"] {
            assert_eq!(template(good, &ours), Ok(good.into()));
            assert!(template(good, &none).unwrap_err().contains("organization.id"));
        }
        for bad in [
            "",
            "AWSLogs/",
            "AWSLogs/{account}",
            "{account}/",
            "AWSLogs/{account}/{org}/",
            "xAWSLogs/{account}/",
            "/AWSLogs/{account}/",
            "../AWSLogs/{account}/",
            "a//AWSLogs/{account}/",
            "*/AWSLogs/{account}/",
            "{x}/AWSLogs/{account}/",
            "AWSLogs/o-a1b2c3d4e5/{account}/",
        ] {
            assert!(template(bad, &ours).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_labels() {
        assert!(label("org-1_a").is_ok());
        for bad in ["", "Org", "-a", "a b", "a\"", "é", "a".repeat(41).as_str()] {
            assert!(label(bad).is_err(), "{bad}");
        }
    }
}
