//! Pruned listings of a trail bucket: by account, kind, region and day, never the whole.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};

use crate::core::admit::Layout;
use crate::core::id::{AccountId, OrgId, Region};
use crate::core::key::Root;
use crate::error::{Error, Result};
use crate::seam::{Bucket, Listed};

/// How deep a prefix may be, and how many folders are looked at on the way to `AWSLogs/`.
const DEEPEST: usize = 6;
const MOST_FOLDERS: usize = 2_000;

/// The accounts' places in a bucket: all of them, or an error. Where a layout says in which folders, only those are looked at;
/// else they are found by delimiter listings down to `AWSLogs/[org/]account/`.
pub async fn roots(bucket: &dyn Bucket, layout: &[Layout]) -> Result<Vec<Root>> {
    let mut roots = Vec::new();
    for prefix in layout.iter().map(|layout| layout.prefix.as_str()).collect::<BTreeSet<_>>() {
        let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        accounts(bucket, &folder, &format!("{folder}AWSLogs/"), &mut roots).await?;
    }
    if !layout.is_empty() {
        return Ok(roots);
    }
    let mut level = vec![String::new()];
    let mut looked = 0;
    for _ in 0..=DEEPEST {
        let mut next = Vec::new();
        for folder in level {
            looked += 1;
            if looked > MOST_FOLDERS {
                let text = format!(
                    "more than {MOST_FOLDERS} folders lie on the way to `AWSLogs/`: name its place as `layout`"
                );
                return Err(Error::permanent("list", text));
            }
            for child in bucket.folders(&folder).await? {
                if name(&child) == "AWSLogs" {
                    accounts(bucket, &folder, &child, &mut roots).await?;
                } else {
                    next.push(child);
                }
            }
        }
        level = next;
    }
    Ok(roots)
}

async fn accounts(bucket: &dyn Bucket, prefix: &str, aws_logs: &str, roots: &mut Vec<Root>) -> Result<()> {
    let prefix = prefix.trim_end_matches('/').to_owned();
    for child in bucket.folders(aws_logs).await? {
        if let Ok(account) = AccountId::parse(name(&child)) {
            roots.push(Root { prefix: prefix.clone(), org: None, account });
        } else if let Ok(org) = OrgId::parse(name(&child)) {
            for child in bucket.folders(&child).await? {
                if let Ok(account) = AccountId::parse(name(&child)) {
                    roots.push(Root { prefix: prefix.clone(), org: Some(org.clone()), account });
                }
            }
        }
    }
    Ok(())
}

/// The regions under one kind's folder (`CloudTrail`, `CloudTrail-Digest`, …) of a root.
pub async fn regions(bucket: &dyn Bucket, root: &Root, kind: &str) -> Result<Vec<Region>> {
    let folders = bucket.folders(&format!("{}{kind}/", root.path())).await?;
    Ok(folders.iter().filter_map(|folder| Region::parse(name(folder)).ok()).collect())
}

/// The last part of a folder's path.
pub fn name(folder: &str) -> &str {
    let folder = folder.trim_end_matches('/');
    folder.rsplit_once('/').map_or(folder, |(_, name)| name)
}

/// `root/kind/region/yyyy/mm/dd/`
pub fn day_folder(root: &Root, kind: &str, region: &Region, day: Date) -> String {
    format!("{}{kind}/{region}/{:04}/{:02}/{:02}/", root.path(), day.year(), day.month(), day.day())
}

/// Every object under a prefix, page by page.
pub async fn all(bucket: &dyn Bucket, prefix: &str) -> Result<Vec<Listed>> {
    let mut objects: Vec<Listed> = Vec::new();
    loop {
        let after = objects.last().map(|listed| listed.key.clone());
        let page = bucket.list(prefix, after.as_deref()).await?;
        let more = page.more && !page.objects.is_empty();
        objects.extend(page.objects);
        if !more {
            return Ok(objects);
        }
    }
}

/// One kind's objects of a root and region: of the days between two times, or of all days.
pub async fn days(
    bucket: &dyn Bucket,
    root: &Root,
    kind: &str,
    region: &Region,
    window: Option<(Timestamp, Timestamp)>,
) -> Result<Vec<Listed>> {
    let Some((from, to)) = window else {
        return all(bucket, &format!("{}{kind}/{region}/", root.path())).await;
    };
    let mut objects = Vec::new();
    for day in dates(from, to) {
        objects.extend(all(bucket, &day_folder(root, kind, region, day)).await?);
    }
    Ok(objects)
}

/// The UTC days that two times span, both included; at most a century.
pub fn dates(from: Timestamp, to: Timestamp) -> Vec<Date> {
    let date = |time: Timestamp| time.to_zoned(TimeZone::UTC).date();
    let (mut day, last) = (date(from), date(to));
    let mut days = Vec::new();
    while day <= last && days.len() < 36_525 {
        days.push(day);
        day = day.saturating_add(1.day());
    }
    days
}
