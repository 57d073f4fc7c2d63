//! What `aws cloudtrail validate-logs` does not see, each planted in a copy of the long case and found with its objects and
//! hours. The AWS CLI's exit codes, measured with awscli 1.46.2 (0 says that all is well):
//!
//! | planted                              | awscli |
//! | ------------------------------------ | ------ |
//! | newest digest deleted                | 0      |
//! | newest three digests deleted         | 0      |
//! | all digests deleted                  | 0      |
//! | logging stopped for hours            | 0      |
//! | forged log that no digest lists      | 0      |
//! | gzip member appended to a digest     | 0      |
//! | two neighboring digests deleted      | 1, one of the two is named |
//! | valid signature, broken link         | 0      |
//! | another algorithm's name             | 0      |
//! | a trail whose name begins like ours  | 0      |
//! | gzip trailer of a log cut off        | 0      |

use std::fs;

use serde_json::Value;

use crate::bench::{Answer, Copy, Told, digest, digest_at, end, log, log_at, sidecar};

#[track_caller]
fn alarms(found: &Answer, digests: [u64; 4], logs: [u64; 5], mut findings: Vec<Told>) {
    findings.sort();
    assert_eq!(found.findings, findings);
    assert_eq!((found.digests, found.logs), (digests, logs));
    assert_eq!((found.exit, found.verdict.as_str()), (Some(4), "bad"));
}

fn overdue(hours: &[usize]) -> Vec<Told> {
    vec![Told::chain("digest_overdue", "org-main").hours(hours)]
}

#[test]
fn the_copy_is_good_before_anything_is_planted() {
    let found = Copy::of("30", true).verify();
    assert_eq!((found.exit, found.digests, found.logs), (Some(0), [6, 0, 0, 0], [4, 0, 0, 0, 0]));
}

#[test]
fn the_newest_digest_deleted() {
    let copy = Copy::of("30", true);
    copy.delete(&digest(5));
    alarms(&copy.verify(), [5, 0, 1, 0], [4, 0, 0, 0, 0], overdue(&[5]));
}

#[test]
fn the_newest_three_digests_deleted() {
    let copy = Copy::of("30", true);
    [3, 4, 5].iter().for_each(|n| copy.delete(&digest(*n)));
    alarms(&copy.verify(), [3, 0, 3, 0], [4, 0, 0, 0, 0], overdue(&[3, 4, 5]));
}

#[test]
fn all_digests_deleted() {
    let copy = Copy::of("30", true);
    (0..6).for_each(|n| copy.delete(&digest(n)));
    let mut missing = Told::chain("digest_missing", "org-main").hours(&[0, 1, 2, 3, 4, 5]);
    let found = copy.verify();
    alarms(&found, [0, 0, 6, 0], [0, 0, 0, 0, 4], vec![missing.clone()]);
    assert!(found.unchecked[0].starts_with("4 logs under trail-prefix/AWSLogs/o-a1b2c3d4e5/111122223333/eu-west-1"));
    // Nobody knows the trail's name any more.
    missing.trail = None;
    let all = crate::bench::verify(&copy.case, &copy.bucket(), copy.temp.path(), false);
    alarms(&all, [0, 0, 6, 0], [0, 0, 0, 0, 4], vec![missing]);
}

/// The long case again, where CloudTrail stood still for two hours and then began a new chain.
#[test]
fn logging_stopped_for_hours() {
    let copy = Copy::of("32", true);
    let restarted = Told::of("chain_restarted", &digest(4)).hours(&[2, 3]);
    alarms(&copy.verify(), [4, 0, 2, 0], [4, 0, 0, 0, 0], vec![restarted]);
    // Nor did it begin again.
    [4, 5].iter().for_each(|n| copy.delete(&digest(*n)));
    alarms(&copy.verify(), [2, 0, 4, 0], [4, 0, 0, 0, 0], overdue(&[2, 3, 4, 5]));
}

#[test]
fn a_forged_log_that_no_digest_lists() {
    let copy = Copy::of("30", true);
    let forged = log_at("2026/03/02", "20260302T0230Z_F0rgedF0rgedF0rg");
    // Its content is genuine, listed under another key: the place is what was forged.
    copy.write(&forged, &copy.read(&log(0)));
    alarms(&copy.verify(), [6, 0, 0, 0], [4, 0, 0, 1, 0], vec![Told::of("log_unlisted", &forged)]);
}

/// A digest of a trail that does not exist is told, and does not hide the forged log.
#[test]
fn a_forged_log_beside_a_forged_digest() {
    let copy = Copy::of("21", true);
    let forged = log_at("2026/03/01", "20260301T2212Z_FAKEFAKEFAKEFAKE");
    let invented = digest_at("invented", end(0), "");
    copy.write(&invented, b"no digest");
    let mut told = Told::of("digest_malformed", &invented);
    told.trail = Some("invented".into());
    let all = crate::bench::verify(&copy.case, &copy.bucket(), copy.temp.path(), false);
    alarms(&all, [3, 1, 0, 0], [4, 0, 0, 1, 0], vec![told, Told::of("log_unlisted", &forged)]);
}

#[test]
fn a_gzip_member_appended_to_a_digest() {
    let copy = Copy::of("30", true);
    let both = [copy.read(&digest(2)), copy.read(&log(0))].concat();
    copy.write(&digest(2), &both);
    alarms(&copy.verify(), [5, 1, 0, 0], [4, 0, 0, 0, 0], vec![Told::of("trailing_data", &digest(2))]);
}

#[test]
fn two_neighboring_digests_deleted() {
    let copy = Copy::of("30", true);
    [1, 2].iter().for_each(|n| copy.delete(&digest(*n)));
    let missing = Told::of("digest_missing", &digest(2)).hours(&[1, 2]);
    alarms(&copy.verify(), [4, 0, 2, 0], [2, 0, 0, 0, 2], vec![missing]);
}

/// CloudTrail's key signed the replacement, for this very place; only the successor knows that it is another.
#[test]
fn a_valid_signature_with_a_broken_link() {
    let copy = Copy::of("30", true);
    copy.take("23", &digest(1), true);
    alarms(&copy.verify(), [5, 1, 0, 0], [3, 0, 0, 0, 1], vec![Told::of("chain_broken", &digest(1))]);
}

#[test]
fn another_algorithms_name() {
    let copy = Copy::of("30", true);
    let path = sidecar(&copy.path(&digest(3)));
    let mut metadata: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    metadata["signature-algorithm"] = "SHA1withRSA".into();
    fs::write(path, metadata.to_string()).unwrap();
    let told = Told::of("digest_signature_invalid", &digest(3));
    alarms(&copy.verify(), [5, 1, 0, 0], [4, 0, 0, 0, 0], vec![told]);
}

#[test]
fn a_trail_whose_name_begins_like_ours() {
    let copy = Copy::of("30", true);
    copy.take("35", &digest_at("org-main_us-east-1_x", end(1), ""), true);
    copy.delete(&digest(5));
    alarms(&copy.verify(), [5, 0, 1, 0], [4, 0, 0, 0, 0], overdue(&[5]));
}

#[test]
fn the_gzip_trailer_of_a_log_cut_off() {
    for cut in [4, 8, 9] {
        let copy = Copy::of("30", true);
        let whole = copy.read(&log(3));
        copy.write(&log(3), &whole[..whole.len() - cut]);
        alarms(&copy.verify(), [6, 0, 0, 0], [3, 1, 0, 0, 0], vec![Told::of("log_malformed", &log(3))]);
    }
}
