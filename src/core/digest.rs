//! Digest files: what they say, the string that is signed, the RSA check (CloudTrail User Guide: digest file structure,
//! custom implementations of integrity validation).

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::core::finding::Kind;
use crate::core::gzip::{self, BadGzip, Caps};
use crate::core::id::{AccountId, Sha256, unhex};
use crate::core::key::{self, DigestKey, ObjectKey};
use crate::core::{is_plausible, printable};

/// The only signature algorithm that CloudTrail documents.
pub const SIGNATURE_ALGORITHM: &str = "SHA256withRSA";
/// The only hash algorithm that CloudTrail documents.
pub const HASH_ALGORITHM: &str = "SHA-256";

/// How far from its own end the logs may lie that a digest without proof speaks for.
const CLAIMED: SignedDuration = SignedDuration::from_hours(48);
/// Logs that a digest without proof speaks for; an hour of an account and region has fewer.
const MOST_CLAIMS: usize = 50_000;

/// The contents of a digest file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    pub account: Option<AccountId>,
    /// Delivery interval: the digest names the log files delivered from `start` to `end`.
    pub start: Timestamp,
    pub end: Timestamp,
    /// As written; it is signed.
    pub end_text: String,
    pub bucket: String,
    pub key: String,
    pub fingerprint: String,
    pub algorithm: String,
    /// `None` in a starting digest.
    pub previous: Option<Previous>,
    /// As written; it is signed.
    pub previous_signature_text: Option<String>,
    pub logs: Vec<ListedLog>,
}

/// What a digest says of its predecessor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    pub bucket: String,
    pub key: String,
    pub sha: Sha256,
    pub signature: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedLog {
    pub bucket: String,
    pub key: String,
    pub sha: Sha256,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDigest {
    #[error("{0}")]
    Gzip(#[from] BadGzip),
    #[error("not a digest's JSON: {0}")]
    Json(String),
    #[error("`{field}` is {problem}")]
    Field { field: &'static str, problem: &'static str },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    aws_account_id: Option<String>,
    digest_start_time: String,
    digest_end_time: String,
    digest_s3_bucket: String,
    digest_s3_object: String,
    digest_public_key_fingerprint: String,
    #[serde(default)]
    digest_signature_algorithm: Option<String>,
    #[serde(default)]
    previous_digest_s3_bucket: Option<String>,
    #[serde(default)]
    previous_digest_s3_object: Option<String>,
    #[serde(default)]
    previous_digest_hash_value: Option<String>,
    #[serde(default)]
    previous_digest_hash_algorithm: Option<String>,
    #[serde(deserialize_with = "present")]
    previous_digest_signature: Option<String>,
    log_files: Vec<WrittenLog>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenLog {
    s3_bucket: String,
    s3_object: String,
    hash_value: String,
    hash_algorithm: String,
}

/// Null is fine, absence is not: a plain `Option` would forgive both.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

impl Digest {
    /// Reads the inflated bytes. Unknown fields are ignored; the signature is over the bytes, not over what is read here.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadDigest> {
        let written: Written =
            serde_json::from_slice(bytes).map_err(|error| BadDigest::Json(printable(&error.to_string(), 200)))?;
        let time = |field, text: &str| -> Result<Timestamp, BadDigest> {
            let time = text.parse().ok().filter(|time| is_plausible(*time));
            time.ok_or(BadDigest::Field { field, problem: "not a time of this age" })
        };
        let start = time("digestStartTime", &written.digest_start_time)?;
        let end = time("digestEndTime", &written.digest_end_time)?;
        let previous = previous(&written)?;
        let mut logs = Vec::with_capacity(written.log_files.len());
        for log in written.log_files {
            if log.hash_algorithm != HASH_ALGORITHM {
                return Err(BadDigest::Field { field: "logFiles[].hashAlgorithm", problem: "an unknown algorithm" });
            }
            let sha = Sha256::parse(&log.hash_value)
                .ok_or(BadDigest::Field { field: "logFiles[].hashValue", problem: "not a SHA-256" })?;
            logs.push(ListedLog { bucket: log.s3_bucket, key: log.s3_object, sha });
        }
        Ok(Self {
            account: written.aws_account_id.and_then(|text| AccountId::parse(&text).ok()),
            start,
            end,
            end_text: written.digest_end_time,
            bucket: written.digest_s3_bucket,
            key: written.digest_s3_object,
            fingerprint: written.digest_public_key_fingerprint,
            algorithm: written.digest_signature_algorithm.unwrap_or_else(|| SIGNATURE_ALGORITHM.into()),
            previous,
            previous_signature_text: written.previous_digest_signature,
            logs,
        })
    }

    pub fn string_to_sign(&self, sha: &Sha256) -> String {
        string_to_sign(&self.end_text, &self.bucket, &self.key, sha, self.previous_signature_text.as_deref())
    }
}

fn previous(written: &Written) -> Result<Option<Previous>, BadDigest> {
    let fields = (
        &written.previous_digest_s3_bucket,
        &written.previous_digest_s3_object,
        &written.previous_digest_hash_value,
        &written.previous_digest_signature,
    );
    match fields {
        (None, None, None, None) => Ok(None),
        (Some(bucket), Some(key), Some(hash), Some(signature)) => {
            if written.previous_digest_hash_algorithm.as_deref().is_some_and(|name| name != HASH_ALGORITHM) {
                return Err(BadDigest::Field { field: "previousDigestHashAlgorithm", problem: "an unknown algorithm" });
            }
            let sha = Sha256::parse(hash)
                .ok_or(BadDigest::Field { field: "previousDigestHashValue", problem: "not a SHA-256" })?;
            let signature = unhex(signature)
                .ok_or(BadDigest::Field { field: "previousDigestSignature", problem: "not hexadecimal" })?;
            Ok(Some(Previous { bucket: bucket.clone(), key: key.clone(), sha, signature }))
        }
        _ => Err(BadDigest::Field { field: "previousDigest…", problem: "partly null" }),
    }
}

/// What CloudTrail signs: four lines, no newline at the end; the hash is of the uncompressed digest, as hexadecimal text.
pub fn string_to_sign(end: &str, bucket: &str, key: &str, sha: &Sha256, previous_signature: Option<&str>) -> String {
    format!("{end}\n{bucket}/{key}\n{sha}\n{}", previous_signature.unwrap_or("null"))
}

/// A key that digests are signed with, read once: to read it takes as long as to verify with it.
#[derive(Debug, Clone)]
pub struct VerifyingKey(Option<ParsedPublicKey>);

impl VerifyingKey {
    /// From DER, PKCS#1 or SubjectPublicKeyInfo. What is neither verifies nothing.
    pub fn of(der: &[u8]) -> Self {
        Self(ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).ok())
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 over `text`.
    pub fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|key| key.verify_sig(text.as_bytes(), signature).is_ok())
    }
}

/// The user metadata of a digest object that matters.
pub mod metadata {
    pub const SIGNATURE: &str = "signature";
    pub const ALGORITHM: &str = "signature-algorithm";
    pub const BACKFILL_GENERATION: &str = "backfill-generation-timestamp";
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Good,
    Bad,
    /// Its key is not known, or its signature is not at hand.
    Unchecked,
}

/// One digest object, looked at: what it holds and what is wrong with it.
#[derive(Debug, Clone)]
pub struct Examined {
    pub sha: Option<Sha256>,
    pub digest: Option<Digest>,
    /// From the object's metadata, or handed in from a successor.
    pub signature: Option<Vec<u8>>,
    pub faults: Vec<(Kind, String)>,
    /// When to ask for the key: the end of the hour, or the generation time of a backfill digest.
    pub key_time: Timestamp,
    pub verdict: Verdict,
}

/// Where a digest lies, and what is expected there.
pub struct Place<'a> {
    /// `None` where the bucket's real name is not known.
    pub bucket: Option<&'a str>,
    pub key: &'a str,
    pub parsed: &'a DigestKey,
    /// False for a plain copy: a missing signature is then no fault.
    pub has_metadata: bool,
}

impl Examined {
    /// Steps 2 to 5 of the strict algorithm: format, place, names, algorithms. The signature comes with [`Examined::seal`].
    pub fn open(place: &Place<'_>, body: &[u8], metadata: &BTreeMap<String, String>, caps: Caps) -> Self {
        let mut this = Self {
            sha: None,
            digest: None,
            signature: None,
            faults: Vec::new(),
            key_time: place.parsed.end,
            verdict: Verdict::Bad,
        };
        let inflated = match gzip::inflate(body, caps) {
            Ok(inflated) => inflated,
            Err(error) => {
                this.faults.push((Kind::DigestMalformed, error.to_string()));
                return this;
            }
        };
        this.sha = Some(Sha256::of(&inflated.bytes));
        if inflated.trailing > 0 {
            this.faults
                .push((Kind::TrailingData, format!("{} bytes follow the digest's gzip member", inflated.trailing)));
        }
        match Digest::parse(&inflated.bytes) {
            Ok(digest) => {
                this.check_place(place, &digest);
                this.check_metadata(place, metadata, &digest);
                this.digest = Some(digest);
            }
            Err(error) => this.faults.push((Kind::DigestMalformed, error.to_string())),
        }
        if !this.is_faulty() {
            this.verdict = Verdict::Unchecked;
        }
        this
    }

    fn check_place(&mut self, place: &Place<'_>, digest: &Digest) {
        let elsewhere = digest.key != place.key || place.bucket.is_some_and(|bucket| bucket != digest.bucket);
        if elsewhere {
            let says = printable(&format!("{}/{}", digest.bucket, digest.key), 400);
            self.faults.push((Kind::DigestMisplaced, format!("the digest says that it lies at {says}")));
        } else if digest.account != Some(place.parsed.root.account) {
            self.faults.push((Kind::DigestMalformed, "the account inside is not the key's".into()));
        } else if digest.end != place.parsed.end {
            self.faults.push((Kind::DigestMalformed, "the end time inside is not the key's".into()));
        } else if digest.start > digest.end {
            self.faults.push((Kind::DigestMalformed, "it ends before it starts".into()));
        }
    }

    fn check_metadata(&mut self, place: &Place<'_>, metadata: &BTreeMap<String, String>, digest: &Digest) {
        if digest.algorithm != SIGNATURE_ALGORITHM {
            let name = printable(&digest.algorithm, 80);
            self.faults.push((Kind::DigestSignatureInvalid, format!("unsupported signature algorithm `{name}`")));
        }
        if !place.has_metadata {
            return;
        }
        match metadata.get(metadata::SIGNATURE).map(|text| unhex(text)) {
            Some(Some(signature)) if signature.is_empty() => {
                self.faults.push((Kind::DigestSignatureInvalid, "the signature in the metadata is empty".into()));
            }
            Some(Some(signature)) => self.signature = Some(signature),
            Some(None) => {
                self.faults
                    .push((Kind::DigestSignatureInvalid, "the signature in the metadata is not hexadecimal".into()));
            }
            None => self.faults.push((
                Kind::DigestSignatureInvalid,
                "the object has no signature in its metadata: it was copied or rewritten".into(),
            )),
        }
        match metadata.get(metadata::ALGORITHM).map(String::as_str) {
            Some(SIGNATURE_ALGORITHM) => {}
            Some(other) => {
                let name = printable(other, 80);
                self.faults.push((Kind::DigestSignatureInvalid, format!("unsupported signature algorithm `{name}`")));
            }
            None => self
                .faults
                .push((Kind::DigestSignatureInvalid, "the object names no signature algorithm in its metadata".into())),
        }
        if place.parsed.backfill {
            match metadata.get(metadata::BACKFILL_GENERATION).and_then(|text| text.parse().ok()) {
                Some(time) if !is_plausible(time) => self
                    .faults
                    .push((Kind::DigestMalformed, "a backfill digest generated in no year of CloudTrail's".into())),
                Some(time) => self.key_time = time,
                None => self
                    .faults
                    .push((Kind::DigestMalformed, "a backfill digest without its generation timestamp".into())),
            }
        }
    }

    /// Any fault but trailing data or a foreign place, which leave the first member worth checking.
    fn is_faulty(&self) -> bool {
        self.faults.iter().any(|(kind, _)| !matches!(kind, Kind::TrailingData | Kind::DigestMisplaced))
    }

    /// The fingerprint to look for, when the signature can be checked at all.
    pub fn wants_key(&self) -> Option<&str> {
        let digest = self.digest.as_ref()?;
        (self.verdict == Verdict::Unchecked && self.signature.is_some()).then_some(digest.fingerprint.as_str())
    }

    /// Steps 6 and 7: the key, then the signature. Without a key the digest stays unchecked.
    pub fn seal(&mut self, key: Option<&VerifyingKey>) {
        let (Some(digest), Some(sha), Some(signature)) = (&self.digest, &self.sha, &self.signature) else { return };
        let Some(key) = key else { return };
        if !key.verifies(&digest.string_to_sign(sha), signature) {
            self.faults
                .push((Kind::DigestSignatureInvalid, "the signature does not verify with the key it names".into()));
        }
        self.verdict = if self.faults.is_empty() { Verdict::Good } else { Verdict::Bad };
    }

    /// Takes a failed signature back, with what was said of it: it came from a place that is not proven itself.
    pub fn unseal(&mut self) {
        if self.wants_key().is_none() && self.signature.take().is_some() {
            self.faults.retain(|(kind, _)| *kind != Kind::DigestSignatureInvalid);
            self.verdict = if self.is_faulty() { Verdict::Bad } else { Verdict::Unchecked };
        }
    }

    /// Whether the log hashes it lists may be believed: the signature held, whatever else is wrong around it.
    pub fn is_signed(&self) -> bool {
        self.verdict == Verdict::Good
            || (self.verdict == Verdict::Bad
                && self.digest.is_some()
                && !self.faults.is_empty()
                && self.faults.iter().all(|(kind, _)| *kind == Kind::TrailingData))
    }

    /// The logs of a digest that proves nothing although its signature was not refuted: its key is not known, its metadata
    /// is incomplete, it lies elsewhere. Whether CloudTrail delivered them stays open. As anybody may have written it, it
    /// speaks of its own account, region and days only, and not without end.
    pub fn claims<'s>(&'s self, key: &'s DigestKey) -> impl Iterator<Item = &'s str> {
        let refuted = self.faults.iter().any(|(kind, _)| *kind == Kind::DigestSignatureInvalid);
        let open = self.digest.as_ref().filter(|_| !refuted && !self.is_signed());
        let listed = open.into_iter().flat_map(|digest| &digest.logs).map(|log| log.key.as_str());
        listed.filter(|log| may_list(key, log)).take(MOST_CLAIMS)
    }
}

fn may_list(digest: &DigestKey, log: &str) -> bool {
    match key::parse(log) {
        ObjectKey::Log(log) => {
            log.root == digest.root
                && log.region == digest.region
                && log.delivered.duration_since(digest.end).abs() <= CLAIMED
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_json(previous: &str) -> String {
        format!(
            r#"{{"awsAccountId":"111122223333","digestStartTime":"2026-03-01T22:07:13Z","digestEndTime":"2026-03-01T23:07:13Z",
            "digestS3Bucket":"b","digestS3Object":"k","digestPublicKeyFingerprint":"f","digestSignatureAlgorithm":"SHA256withRSA",
            "newField":{{"x":[1]}},{previous}"logFiles":[]}}"#
        )
    }

    #[test]
    fn the_previous_signature_may_be_null_but_not_absent() {
        let starting = Digest::parse(digest_json("\"previousDigestSignature\":null,").as_bytes()).unwrap();
        assert_eq!(starting.previous, None);
        assert!(Digest::parse(digest_json("").as_bytes()).is_err());
    }

    #[test]
    fn a_time_that_bears_no_arithmetic_is_no_digests() {
        let good = digest_json("\"previousDigestSignature\":null,");
        for (time, far) in
            [("2026-03-01T22:07:13Z", "-009999-01-02T01:59:59Z"), ("2026-03-01T23:07:13Z", "9999-12-30T21:59:59Z")]
        {
            let error = Digest::parse(good.replace(time, far).as_bytes()).unwrap_err();
            assert!(matches!(error, BadDigest::Field { problem: "not a time of this age", .. }), "{far}: {error}");
        }
    }

    #[test]
    fn a_digest_without_proof_speaks_for_its_own_place_and_days_only() {
        let log = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/01/111122223333_CloudTrail_eu-west-1_20260301T2212Z_Ab3dEf6hIj9kLm2n.json.gz";
        let place = "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/03/01/111122223333_CloudTrail-Digest_eu-west-1_org-main_us-east-1_20260301T230713Z.json.gz";
        let ObjectKey::Digest(parsed) = key::parse(place) else { panic!("no digest's key") };
        let others = [
            log.replace("111122223333", "444455556666"),
            log.replace("eu-west-1", "us-east-1"),
            log.replace("2026/03/01", "2026/03/04").replace("20260301", "20260304"),
            format!("p/{log}"),
            "no log".to_owned(),
        ];
        let all = others.iter().map(String::as_str).chain(std::iter::repeat_n(log, MOST_CLAIMS + 1));
        let listed: Vec<String> = all
            .map(|log| {
                format!(
                    r#"{{"s3Bucket":"b","s3Object":"{log}","hashValue":"{}","hashAlgorithm":"SHA-256"}}"#,
                    Sha256::of(b"")
                )
            })
            .collect();
        let text = digest_json("\"previousDigestSignature\":null,")
            .replace("\"logFiles\":[]", &format!("\"logFiles\":[{}]", listed.join(",")))
            .replace("\"k\"", &format!("\"{place}\""));
        let place = Place { bucket: None, key: place, parsed: &parsed, has_metadata: false };
        let examined = Examined::open(&place, &gzip::deflate(text.as_bytes()), &BTreeMap::new(), Caps::default());
        assert_eq!(examined.faults, []);
        let claims: Vec<&str> = examined.claims(&parsed).collect();
        assert_eq!(claims.len(), MOST_CLAIMS);
        assert!(claims.iter().all(|claim| *claim == log));
    }

    #[test]
    fn a_partly_null_predecessor_is_no_digest() {
        let text = digest_json("\"previousDigestSignature\":\"00\",");
        let error = Digest::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error, BadDigest::Field { field: "previousDigest…", problem: "partly null" });
    }

    #[test]
    fn the_string_to_sign_ends_without_a_newline() {
        let sha = Sha256::of(b"");
        let text = string_to_sign("2026-03-01T23:07:13Z", "b", "p/k", &sha, None);
        assert_eq!(
            text,
            "2026-03-01T23:07:13Z\nb/p/k\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\nnull"
        );
    }
}
