//! Rules of others beside ours, and what is not known.

use super::*;

/// S3 takes no document in which some rules have a `<Filter>` and some a `<Prefix>` of their own.
#[test]
fn ours_are_written_in_the_form_of_the_others() {
    let old =
        "<Rule><ID>old</ID><Prefix>tmp/</Prefix><Status>Enabled</Status><Expiration><Days>5</Days></Expiration></Rule>";
    let new = "<Rule><ID>new</ID><Filter><Prefix>x/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>5</Days></Expiration></Rule>";
    let document = |rules: &str| format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
    let prefixes = ["AWSLogs/".to_owned()];
    let mut wanted = promise(GOVERNANCE, 10);
    wanted.uploads = Some(7);
    let written = |present: &str, wanted: &Promise| {
        let present = lifecycle::read(&document(present)).unwrap();
        let rules = lifecycle::change(&present, &lifecycle::wanted(wanted, &prefixes)).unwrap();
        lifecycle::in_one_form(rules).map(|rules| lifecycle::write(&rules))
    };
    let ours = written(old, &wanted).unwrap();
    assert!(ours.contains(old) && !ours.contains("<Filter>"), "{ours}");
    assert!(ours.contains("<ID>trailwarden-uploads</ID><Prefix>AWSLogs/</Prefix>"), "{ours}");
    let present = lifecycle::read(&ours).unwrap();
    assert_eq!(lifecycle::change(&present, &lifecycle::wanted(&wanted, &prefixes)), None, "it means what was wanted");
    for present in [new, "", &format!("{old}{new}")] {
        let ours = written(present, &wanted).unwrap();
        assert!(ours.contains("<ID>trailwarden-uploads</ID><Filter><Prefix>AWSLogs/</Prefix></Filter>"), "{ours}");
    }
    // A size has no place in the old form.
    wanted.moves = vec![Move { after: 30, class: Class::GlacierIr }];
    assert_eq!(written(old, &wanted), Err("old".to_owned()));
    let case = Case::new(wanted, &[(Part::Lifecycle, &document(old))]);
    let plan = case.plan();
    assert!(plan.steps.iter().all(|step| step.call != "s3:PutLifecycleConfiguration"));
    let told = case.warned(WarningKind::OldForm);
    assert!(told.len() == 1 && told[0].danger && told[0].rule.as_deref() == Some("old"), "{told:?}");
}

#[test]
fn what_could_not_be_read_is_not_warned_of_as_missing() {
    let mut wanted = promise(GOVERNANCE, 10);
    wanted.overrides = vec![over(None, Some(account(1)), None, 20)];
    let case = Case::new(wanted, &[]);
    assert_eq!(case.warned(WarningKind::NeverFires).len(), 1, "Object Lock is off");
    let mut unread = case;
    unread.protection.0.insert(Part::ObjectLock, Fact::Unread("no".into()));
    assert_eq!(unread.warned(WarningKind::NeverFires), []);
    let plan = unread.plan();
    assert!(plan.is_blind() && plan.unread == ["object lock: no"], "{:?}", plan.unread);
}
