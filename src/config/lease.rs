//! `[lease]`: where several wardens with one configuration agree on the one that works.

use std::time::Duration;

use super::meaning::Lines;
use super::read::{Read, Reader};
use super::units::show_duration;
use super::{Place, Trail, raw};
use crate::core::id::Region;
use crate::core::lease::{LONGEST, SHORTEST};

/// The lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// No trail's bucket.
    pub location: Place,
    /// Before its name: empty, or ending in `/`.
    pub prefix: String,
    /// Known if the place is on AWS.
    pub region: Option<Region>,
    /// A lease that is not renewed for this long is free.
    pub ttl: Duration,
}

const TTL: Duration = Duration::from_secs(60);

impl Lease {
    /// The name of a warden's lease, without the prefix. `label` is the warden's name, fit for a file's.
    pub fn file(label: &str) -> String {
        format!("{label}.lease")
    }
}

impl Reader<'_> {
    pub(super) fn lease(&self, raw: &raw::Lease, named: bool, trails: &[Trail]) -> Read<Option<Lease>> {
        let Some(at) = &raw.location else {
            if *raw != raw::Lease::default() {
                return Err(self.missing(
                    "[lease] has no `location`: \"s3://bucket/prefix\" or \"file:///srv/lease\", never a trail's own bucket",
                ));
            }
            return Ok(None);
        };
        let (location, prefix) = self.parsed(at, |text| Place::prefixed(text, "a lease"))?;
        if let Some(trail) = trails.iter().find(|trail| trail.bucket.holds(&location)) {
            let told =
                format!("this is the bucket of trail `{}`: nothing is ever written among the evidence", trail.name);
            return Err(self.at(at, told));
        }
        if !named {
            return Err(self.at(
                at,
                "a lease needs `warden.name`: by default it is the host's, and two hosts would not be one warden",
            ));
        }
        let region = self.optional(&raw.region, Region::parse)?;
        let region = region.or_else(|| trails.iter().find_map(|trail| trail.region.clone()));
        if region.is_none() && matches!(location, Place::Aws(_)) {
            return Err(self.at(at, "the lease needs a `region`: this is on AWS, and no trail has one"));
        }
        Ok(Some(Lease { location, prefix, region, ttl: self.duration(&raw.ttl, TTL, SHORTEST, LONGEST)? }))
    }
}

pub(super) fn say(lease: Option<&Lease>, lines: &mut Lines) {
    let mut say = |key: &str, value: String| lines.push((format!("lease.{key}"), value));
    let Some(lease) = lease else { return say("location", "none: this warden is alone".into()) };
    say(
        "location",
        match &lease.location {
            Place::Aws(bucket) => format!("s3://{bucket}/{}", lease.prefix),
            dir => dir.to_string(),
        },
    );
    say("ttl", show_duration(lease.ttl));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> Result<Option<Lease>, String> {
        let trail = "[organization]\nmembers = \"m.toml\"\n[[trail]]\nname = \"org\"\nbucket = \"file:///b/c\"\nqueue = \"file:///q\"\nkeys = \"k\"\n";
        Config::from_text(&format!("{trail}{text}"), "here")
            .map(|config| config.lease)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_lease_lies_anywhere_but_among_the_evidence_and_has_a_name() {
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("[lease]\n"), Ok(None));
        let named = |text: &str| read(&format!("[warden]\nname = \"acme\"\n[lease]\n{text}"));
        let lease = named("location = \"file:///srv/lease\"").unwrap().unwrap();
        assert_eq!((lease.ttl, lease.prefix.as_str()), (TTL, ""));
        let lease = named("location = \"s3://acme/v1\"\nregion = \"eu-west-1\"\nttl = \"10s\"").unwrap().unwrap();
        assert_eq!((lease.location, lease.prefix.as_str()), (Place::Aws("acme".into()), "v1/"));
        assert_eq!(lease.ttl, SHORTEST);
        for (text, wanted) in [
            ("ttl = \"1m\"", "no `location`"),
            ("location = \"/srv\"", "no place for a lease"),
            ("location = \"file:///b/c/d\"", "among the evidence"),
            ("location = \"s3://acme\"", "needs a `region`"),
            ("location = \"file:///a\"\nttl = \"9s\"", "too short"),
            ("location = \"file:///a\"\nttl = \"11m\"", "too long"),
            ("path = \"x\"", "unknown field"),
        ] {
            let told = named(text).unwrap_err();
            assert!(told.contains(wanted), "{told}");
        }
        let told = read("[lease]\nlocation = \"file:///a\"").unwrap_err();
        assert!(told.contains("needs `warden.name`"), "{told}");
    }
}
