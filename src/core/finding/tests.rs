use super::*;

#[test]
fn names_are_snake_case_unique_and_come_back() {
    let mut names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.name()), Some(*kind));
        assert!(kind.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{kind}");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Kind::ALL.len());
}

#[test]
fn the_fingerprint_is_kind_and_subject() {
    let one = Finding::of_object(Kind::LogModified, "b", "k", "x");
    let again = Finding::of_object(Kind::LogModified, "b", "k", "another detail");
    assert_eq!(one.fingerprint(), again.fingerprint());
    assert_ne!(one.fingerprint(), Finding::of_object(Kind::LogMissing, "b", "k", "x").fingerprint());
    // 128 bits of SHA-256("log_modified\nb/k").
    assert_eq!(one.fingerprint().as_str(), "7fb90462c0cbbe9cda33be7082b1bb99");
}
