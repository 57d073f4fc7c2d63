use super::*;

#[test]
fn a_detail_is_one_line_that_can_still_be_pasted() {
    for (text, wanted) in [
        ("{\n  \"Sid\": \"a  b\",\n\t\"Effect\": \"Allow\"\n}\n", "{ \"Sid\": \"a  b\", \"Effect\": \"Allow\" }"),
        ("\"a\\\"  b\"  c", "\"a\\\"  b\" c"),
        ("\"a\\\\\"  b", "\"a\\\\\" b"),
        ("  aws   s3api\n", "aws s3api"),
        ("", ""),
    ] {
        assert_eq!(compact(text), wanted);
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(text) {
            assert_eq!(serde_json::from_str::<serde_json::Value>(&compact(text)).unwrap(), value);
        }
    }
}

#[test]
fn an_id_is_of_what_was_found() {
    let at = |of, found| Weakness::of_setting(Kind::AclsInUse, of, found, "a risk".into(), "do", None);
    let of = |found| at("ownership", found);
    for found in [None, Some("a")] {
        assert!(of(found).id.starts_with("acls_in_use:") && is_known(&of(found).id));
        assert_ne!(of(found).id, at("key 1", found).id);
        assert_ne!(at("key 1", found).id, at("key 2", found).id);
    }
    assert_ne!(of(Some("a")).id, of(Some("b")).id);
    assert_eq!(of(Some("a b")).detail(), "a risk. Found: a b. What to do: do");
}

#[test]
fn no_name_is_of_two_weaknesses() {
    let mut names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    names.extend(policy::Kind::ALL.iter().map(|kind| kind.name()));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
