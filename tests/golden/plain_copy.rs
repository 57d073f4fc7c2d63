//! What `aws s3 sync` leaves: objects without metadata, and so without signatures. Each digest but the newest is proven by
//! the signature that its successor keeps of it.

use libdeflater::{CompressionLvl, Compressor};
use serde_json::Value;
use trailwarden::core::gzip::{Caps, inflate};

use crate::bench::{Answer, Copy, Told, digest, digest_at, end, log};

/// Nothing bad; these digests are named as not checked, and no others.
#[track_caller]
fn cannot_tell(found: &Answer, digests: [u64; 4], logs: [u64; 5], unchecked: &[String]) {
    assert_eq!(found.findings, []);
    assert_eq!((found.digests, found.logs), (digests, logs));
    assert_eq!((found.exit, found.verdict.as_str()), (Some(5), "incomplete"));
    let said = |key: &String| found.unchecked.iter().any(|line| line.starts_with(key) && line.contains("metadata"));
    assert!(unchecked.iter().all(said), "{:?}", found.unchecked);
    let of_digests = found.unchecked.iter().filter(|line| line.contains("CloudTrail-Digest")).count();
    assert_eq!(of_digests, unchecked.len(), "{:?}", found.unchecked);
}

#[test]
fn every_digest_but_the_newest_is_proven_by_its_successor() {
    cannot_tell(&Copy::of("01", false).verify(), [2, 0, 0, 1], [4, 0, 0, 0, 0], &[digest(2)]);
    cannot_tell(&Copy::of("30", false).verify(), [5, 0, 0, 1], [4, 0, 0, 0, 0], &[digest(5)]);
}

#[test]
fn what_only_the_newest_digest_lists_is_neither_good_nor_forged() {
    let mut copy = Copy::of("01", false);
    copy.delete(&digest(2));
    copy.case.to = end(1).to_owned();
    cannot_tell(&copy.verify(), [1, 0, 0, 1], [2, 0, 0, 0, 2], &[digest(1)]);
    // A backfill digest has no successor that would keep its signature.
    let backfill = digest_at("org-main", end(2), "_backfill");
    cannot_tell(&Copy::of("33", false).verify(), [5, 0, 0, 2], [4, 0, 0, 0, 1], &[digest(5), backfill]);
}

#[track_caller]
fn alarms(found: &Answer, digests: [u64; 4], logs: [u64; 5], findings: &[Told]) {
    assert_eq!(found.findings, findings);
    assert_eq!((found.digests, found.logs), (digests, logs));
    assert_eq!((found.exit, found.verdict.as_str()), (Some(4), "bad"));
}

#[test]
fn a_tampered_log_is_found() {
    for number in ["01", "30"] {
        let copy = Copy::of(number, false);
        copy.take("02", &log(0), false);
        let good = if number == "01" { 2 } else { 5 };
        alarms(&copy.verify(), [good, 0, 0, 1], [3, 1, 0, 0, 0], &[Told::of("log_modified", &log(0))]);
    }
}

#[test]
fn a_tampered_digest_is_found() {
    // An entry removed, the bytes laid out anew, something that is no digest.
    for (from, kind) in
        [("09", "digest_signature_invalid"), ("10", "digest_signature_invalid"), ("25", "digest_malformed")]
    {
        let copy = Copy::of("30", false);
        copy.take(from, &digest(1), false);
        // What a digest without proof says of its predecessor proves nothing either.
        let found = copy.verify();
        let (good, unchecked) = if from == "25" { (3, 2) } else { (4, 1) };
        let logs = if from == "25" { [0, 0, 0, 0, 4] } else { [2, 0, 0, 0, 2] };
        alarms(&found, [good, 1, 0, unchecked], logs, &[Told::of(kind, &digest(1))]);
    }
}

/// Who changes a digest can change the signature that it keeps of its predecessor; that makes the predecessor no forgery.
#[test]
fn a_tampered_digest_does_not_accuse_its_predecessor() {
    let tamper = |copy: &Copy, n: usize| {
        let text = inflate(&copy.read(&digest(n)), Caps::default()).unwrap().bytes;
        let mut written: Value = serde_json::from_slice(&text).unwrap();
        written["previousDigestSignature"] = "00".repeat(256).into();
        let text = written.to_string();
        let mut body = vec![0; 2 * text.len() + 100];
        let size = Compressor::new(CompressionLvl::default()).gzip_compress(text.as_bytes(), &mut body).unwrap();
        copy.write(&digest(n), &body[..size]);
    };
    let copy = Copy::of("30", false);
    tamper(&copy, 5);
    cannot_tell(&copy.verify(), [4, 0, 0, 2], [4, 0, 0, 0, 0], &[digest(4), digest(5)]);
    let copy = Copy::of("30", false);
    tamper(&copy, 3);
    let told = Told::of("digest_signature_invalid", &digest(3));
    alarms(&copy.verify(), [3, 1, 0, 2], [4, 0, 0, 0, 0], &[told]);
}

#[test]
fn a_replaced_digest_is_found() {
    let copy = Copy::of("30", false);
    copy.take("23", &digest(1), false);
    // The signature that digest 2 keeps is the genuine digest's.
    let told = Told::of("digest_signature_invalid", &digest(1));
    alarms(&copy.verify(), [4, 1, 0, 1], [2, 0, 0, 0, 2], &[told]);
}

#[test]
fn a_deleted_digest_is_found() {
    let copy = Copy::of("30", false);
    copy.delete(&digest(3));
    let told = Told::of("digest_missing", &digest(3)).hours(&[3]);
    // The deleted digest kept the signature of the one before it.
    alarms(&copy.verify(), [3, 0, 1, 2], [4, 0, 0, 0, 0], &[told]);
}
