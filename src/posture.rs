//! Posture: what protects a trail's archive, looked at check by check. A weakness is a finding while it lasts; what could not be
//! looked at is told as that, and ends nothing.

mod bucket;
mod trail;

pub use trail::recalled;

use std::sync::Arc;

use crate::config;
use crate::core::admit::Membership;
use crate::core::finding::{Finding, Kind};
use crate::core::id::Region;
use crate::core::policy::Expected;
use crate::core::posture::{Audit, Summary};
use crate::error::{Error, Result};
use crate::metrics::{KindLabel, Metrics};
use crate::seam::{DynTrails, DynVault};
use crate::store::members::{self, Remembered};
use crate::store::{Store, Tx, findings, lists};
use crate::trail::Trail;

/// The kinds that are raised here, and end here.
const KINDS: [Kind; 8] = [
    Kind::TrailStopped,
    Kind::TrailWeak,
    Kind::DeliveryPathBroken,
    Kind::BucketPublic,
    Kind::BucketPolicyWeak,
    Kind::BucketUnprotected,
    Kind::KeyWeak,
    Kind::PostureUnchecked,
];

/// What an unread part's finding is about, below the part.
const UNREAD: &str = "unread";

/// A trail's bucket, and what is known of how it should be.
pub struct Posture {
    pub store: Store,
    pub metrics: Arc<Metrics>,
    pub vault: DynVault,
    pub trails: DynTrails,
    /// The trail that is watched: its queue, and what is known to be its own.
    pub watched: Arc<Trail>,
    /// Where the bucket is.
    pub region: Option<Region>,
    /// What keys begin with, up to `AWSLogs/`; empty: anything is allowed.
    pub prefixes: Vec<String>,
    /// The trail's name.
    pub trail: String,
    /// The bucket's name, or the directory.
    pub bucket: String,
    /// As the configuration says; the members are added by each look.
    pub expected: Expected,
    pub wanted: config::Posture,
    /// Whether [`crate::retain`] looks after versioning and Object Lock.
    pub promised: bool,
    /// Whether the queue is one that a bucket can announce its objects to.
    pub announces: bool,
}

impl Posture {
    /// Looks at everything; changes nothing.
    pub async fn look(&self) -> Result<Audit> {
        let known = self.store.read(members::all).await?;
        if known.is_empty() {
            // Everybody would be called foreign.
            return Err(Error::transient("posture:look", "nobody has said yet who is a member of the organization"));
        }
        let is_member = |known: &Remembered| known.membership == Membership::Member;
        let ours = known.iter().filter(|(_, known)| is_member(known)).map(|(account, _)| *account);
        let mut expected = self.expected.clone();
        expected.accounts.extend(ours);
        let mut audit = Audit::new(&self.trail, &self.bucket, self.store.env().now());
        let (trails, fed) = trail::look(self, &expected).await?;
        audit.add(bucket::look(self, &expected, self.announces && !fed).await);
        audit.add(trails);
        audit.accept(&self.wanted.accepted);
        Ok(audit)
    }

    /// Looks, and tells what is new and what is over. What is of no account the first shard tells; the others look to know what
    /// the evidence rests on, and end what they told before they were one of several.
    pub async fn audit(&self) -> Result<Audit> {
        let audit = self.look().await?;
        let first = self.watched.shard.is_first();
        let standing = if first { findings_of(&audit) } else { Vec::new() };
        let told = audit.clone();
        let step = move |tx: &Tx<'_>| {
            let mut news = Vec::new();
            for finding in &standing {
                if findings::hold(tx, finding)? {
                    news.push(finding.kind);
                }
            }
            for kind in KINDS {
                for (id, subject) in findings::open_in(tx.conn, kind, &told.bucket)? {
                    let stands = standing.iter().any(|finding| finding.kind == kind && finding.subject == subject)
                        || first && is_unknown(&told, &subject);
                    if !stands {
                        findings::resolve_id(tx, &id)?;
                    }
                }
            }
            if first {
                let summary = serde_json::to_string(&told.summary()).unwrap_or_default();
                lists::set_progress(tx, &progress(&told.trail), &summary)?;
            }
            Ok(news)
        };
        for kind in self.store.write(step).await? {
            self.metrics.findings.get_or_create(&KindLabel { kind: kind.name() }).inc();
        }
        Ok(audit)
    }
}

/// What is told of an audit. What is accepted, or told by somebody else, is not.
fn findings_of(audit: &Audit) -> Vec<Finding> {
    let own = audit.open().filter(|weakness| KINDS.contains(&weakness.told_as));
    let about = |kind: Kind, of: &str, what: &str, detail: String| {
        let mut finding = Finding::new(kind, format!("{}/{of}/{what}", audit.bucket), detail);
        finding.bucket = Some(audit.bucket.clone());
        finding
    };
    let weak = own.map(|weakness| {
        about(weakness.told_as, &weakness.of, &weakness.id, weakness.detail()).severity(weakness.severity)
    });
    let unread = audit.unread.iter().map(|unread| {
        about(Kind::PostureUnchecked, &unread.of, UNREAD, format!("{} could not be checked: {}", unread.of, unread.why))
    });
    weak.chain(unread).collect()
}

/// Whether a finding is about a part that could not be read this time: nothing is known of how it is now.
fn is_unknown(audit: &Audit, subject: &str) -> bool {
    let unread = audit.unread.iter().map(|unread| &unread.of);
    let blind = audit.weaknesses.iter().filter(|weakness| weakness.is_blindness()).map(|weakness| &weakness.of);
    unread.chain(blind).any(|of| {
        let about =
            subject.strip_prefix(&audit.bucket).and_then(|rest| rest.strip_prefix('/')?.strip_prefix(of.as_str()));
        about.is_some_and(|rest| rest.starts_with('/'))
    })
}

fn progress(trail: &str) -> String {
    format!("posture/{trail}")
}

/// The last audit of a trail's bucket.
pub fn last(conn: &rusqlite::Connection, trail: &str) -> rusqlite::Result<Option<Summary>> {
    let kept = lists::progress(conn, &progress(trail))?;
    Ok(kept.and_then(|text| serde_json::from_str(&text).ok()))
}
