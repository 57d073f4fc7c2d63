//! Addresses: a directory given as a file URL, or something on AWS.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::core::printable;

/// Where a bucket or a queue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Dir(PathBuf),
    /// A bucket's name, or a queue's URL.
    Aws(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => write!(f, "directory {}", path.display()),
            Self::Aws(text) => f.write_str(text),
        }
    }
}

impl Place {
    /// Whether what is written to another place lands in this one.
    pub fn holds(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dir(this), Self::Dir(other)) => other.starts_with(this),
            (this, other) => this == other,
        }
    }

    /// A bucket's name (S3 User Guide: bucket naming rules) or a file URL.
    pub fn bucket(text: &str) -> Result<Self, String> {
        if let Some(path) = file_url(text)? {
            return Ok(Self::Dir(path));
        }
        if is_bucket_name(text) {
            return Ok(Self::Aws(text.to_owned()));
        }
        Err(format!(
            "`{}` is no bucket: a bucket's name (3 to 63 of a-z, 0-9, `.` and `-`) or a directory like \"file:///srv/trail\"",
            printable(text, 80)
        ))
    }

    /// As [`Place::prefixed`].
    pub fn snapshots(text: &str) -> Result<(Self, String), String> {
        Self::prefixed(text, "snapshots")
    }

    /// A directory's file URL or `s3://bucket/prefix`; answers the prefix too, which is empty or ends in `/`. `what` is to lie
    /// there.
    pub fn prefixed(text: &str, what: &str) -> Result<(Self, String), String> {
        if let Some(path) = file_url(text)? {
            return Ok((Self::Dir(path), String::new()));
        }
        let wrong = || {
            let shown = printable(text, 120);
            format!(
                "`{shown}` is no place for {what}: a directory like \"file:///srv/ledgers\" or \"s3://bucket/prefix\""
            )
        };
        let rest = text.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_bucket_name(bucket) || prefix.chars().any(char::is_control) {
            return Err(wrong());
        }
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok((Self::Aws(bucket.to_owned()), prefix))
    }

    /// An SQS queue's URL or a file URL. Plain http is for emulators.
    pub fn queue(text: &str) -> Result<Self, String> {
        if let Some(path) = file_url(text)? {
            return Ok(Self::Dir(path));
        }
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_url = rest.and_then(|rest| rest.split_once('/')).is_some_and(|(host, path)| {
            !host.is_empty() && !path.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
        });
        if is_url {
            return Ok(Self::Aws(text.to_owned()));
        }
        Err(format!(
            "`{}` is no queue: an SQS queue's url like \"https://sqs.eu-central-1.amazonaws.com/111122223333/trailwarden\" \
             or a directory like \"file:///srv/spool\"",
            printable(text, 120)
        ))
    }
}

pub(super) fn is_bucket_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (3..=63).contains(&text.len())
        && text.bytes().all(|b| plain(b) || b == b'.' || b == b'-')
        && text.bytes().next().is_some_and(plain)
        && text.bytes().last().is_some_and(plain)
        && !text.contains("..")
}

/// The path of a file URL; `None` for what does not begin like one.
pub(super) fn file_url(text: &str) -> Result<Option<PathBuf>, String> {
    let Some(rest) = text.strip_prefix("file:") else { return Ok(None) };
    let wrong = |why: &str| {
        format!(
            "`{}` is no directory: {why}; three slashes and an absolute path, like \"file:///srv/trail\"",
            printable(text, 120)
        )
    };
    let path = rest.strip_prefix("//localhost/").or_else(|| rest.strip_prefix("///"));
    let path = path.ok_or_else(|| wrong("a file url names no host"))?;
    if path.contains(['?', '#']) {
        return Err(wrong("`?` and `#` are written %3F and %23"));
    }
    let mut bytes = vec![b'/'];
    bytes.extend(percent_decode_str(path));
    if bytes.contains(&0) {
        return Err(wrong("no path holds a zero byte"));
    }
    Ok(Some(PathBuf::from(OsString::from_vec(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_urls_are_decoded() {
        for (url, path) in [
            ("file:///srv/trail", "/srv/trail"),
            ("file:///srv/a%20b%2525", "/srv/a b%25"),
            ("file://localhost/srv", "/srv"),
            ("file:///srv/%C3%A9", "/srv/é"),
            ("file:///", "/"),
        ] {
            assert_eq!(Place::bucket(url), Ok(Place::Dir(path.into())), "{url}");
            assert_eq!(Place::queue(url), Ok(Place::Dir(path.into())), "{url}");
        }
        for bad in ["file://host/srv", "file://srv", "file:srv", "file:///a%00b", "file:///a?b", "file:///a#b"] {
            assert!(Place::bucket(bad).is_err() && Place::queue(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn places_for_snapshots_are_directories_or_prefixes() {
        let dir = (Place::Dir("/srv/a".into()), String::new());
        assert_eq!(Place::snapshots("file:///srv/a"), Ok(dir));
        for (text, prefix) in [("s3://acme", ""), ("s3://acme/", ""), ("s3://acme/a/b", "a/b/"), ("s3://acme/a/", "a/")]
        {
            assert_eq!(Place::snapshots(text), Ok((Place::Aws("acme".into()), prefix.into())), "{text}");
        }
        for bad in ["", "acme", "s3://", "s3:///a", "s3://A/b", "/srv/a", "https://acme/a"] {
            assert!(Place::snapshots(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn aws_addresses_are_judged_by_form() {
        for name in ["abc", "acme-org.cloudtrail-1", "a".repeat(63).as_str()] {
            assert_eq!(Place::bucket(name), Ok(Place::Aws(name.into())));
        }
        for bad in
            ["", "ab", "a".repeat(64).as_str(), "Acme", "a_b_c", "-abc", "abc.", "a..b", "s3://abc", "/srv/trail"]
        {
            assert!(Place::bucket(bad).is_err(), "{bad}");
        }
        for url in ["https://sqs.eu-central-1.amazonaws.com/111122223333/q", "http://127.0.0.1:4566/000000000000/q"] {
            assert_eq!(Place::queue(url), Ok(Place::Aws(url.into())));
        }
        for bad in
            ["", "q", "arn:aws:sqs:eu-west-1:111122223333:q", "https://", "https://host", "https:///q", "https://h/q q"]
        {
            assert!(Place::queue(bad).is_err(), "{bad}");
        }
    }
}
