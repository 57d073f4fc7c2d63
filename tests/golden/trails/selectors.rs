//! What a trail leaves out.

use super::*;

pub(super) fn of_selectors() -> Vec<Case> {
    let basic = |reads: &str, management: bool, excluded: &[&str]| Selector::Basic {
        reads: reads.into(),
        management,
        excluded: excluded.iter().map(|one| (*one).to_owned()).collect(),
        data: vec!["AWS::S3::Object".into()],
    };
    let management = |more: Vec<Field>| {
        let mut fields = vec![field("eventCategory", &["Management"], &[])];
        fields.extend(more);
        Selector::Advanced(fields)
    };
    let objects = || {
        Selector::Advanced(vec![
            field("eventCategory", &["Data"], &[]),
            field("resources.type", &["AWS::S3::Object"], &[]),
        ])
    };
    let partly = |name: &str| Field { partly: true, ..field(name, &[], &[]) };
    let silent: &[&str] = &["management_events_missing critical", "management_events_missing critical"];
    let half: &[&str] = &["management_events_missing critical"];
    let excluded: &[&str] = &["management_events_excluded high"];
    vec![
        ("no selectors", Ground::selectors(vec![]), &["object_events_missing info"], &[]),
        (
            "selectors unread",
            Ground::trail(|trail| trail.selectors = Known::Unread("cloudtrail:GetEventSelectors: no".into())),
            &[],
            &["trails/all"],
        ),
        ("data events only", Ground::selectors(vec![basic("All", false, &[])]), silent, &[]),
        (
            "data events only, beside the rest",
            Ground::with(|ground| ground.trails.as_mut().unwrap().push(trail(DATA, vec![basic("All", false, &[])]))),
            &[],
            &[],
        ),
        (
            "data events only, beside a member's trail with the rest",
            beside(|main| main.selectors = Known::Value(vec![basic("All", false, &[])]), |_| {}),
            silent,
            &[],
        ),
        (
            "data events only, beside a stopped trail with the rest",
            Ground::with(|ground| {
                let trails = ground.trails.as_mut().unwrap();
                trails[0].selectors = Known::Value(vec![basic("All", false, &[])]);
                trails.push(Described { status: stopped(), ..trail(DATA, vec![basic("All", true, &[])]) });
            }),
            &["logging_off critical", "management_events_missing critical", "management_events_missing critical"],
            &[],
        ),
        (
            "without KMS, beside a member's trail with all",
            beside(|main| main.selectors = Known::Value(vec![basic("All", true, &["kms.amazonaws.com"])]), |_| {}),
            &["management_events_excluded medium"],
            &[],
        ),
        (
            "a member's data events only, beside the organization's",
            beside(|_| {}, |member| member.selectors = Known::Value(vec![basic("All", false, &[])])),
            &[],
            &[],
        ),
        ("writes only", Ground::selectors(vec![basic("WriteOnly", true, &[])]), half, &[]),
        (
            "reads only",
            Ground::selectors(vec![basic("ReadOnly", true, &[])]),
            &["management_events_missing critical", "object_events_missing info"],
            &[],
        ),
        ("both halves", Ground::selectors(vec![basic("ReadOnly", true, &[]), basic("WriteOnly", true, &[])]), &[], &[]),
        (
            "without KMS",
            Ground::selectors(vec![basic("All", true, &["kms.amazonaws.com"])]),
            &["management_events_excluded medium"],
            &[],
        ),
        ("advanced", Ground::selectors(vec![management(vec![]), objects()]), &[], &[]),
        (
            "advanced, both halves",
            Ground::selectors(vec![
                management(vec![field("readOnly", &["true"], &[])]),
                management(vec![field("readOnly", &["false"], &[])]),
                objects(),
            ]),
            &[],
            &[],
        ),
        (
            "advanced, writes only",
            Ground::selectors(vec![management(vec![field("readOnly", &["false"], &[])]), objects()]),
            half,
            &[],
        ),
        (
            "advanced, without a source",
            Ground::selectors(vec![
                management(vec![field("eventSource", &[], &["kms.amazonaws.com", "iam.amazonaws.com"])]),
                objects(),
            ]),
            excluded,
            &[],
        ),
        (
            "advanced, without somebody",
            Ground::selectors(vec![
                management(vec![field("userIdentity.arn", &[], &["arn:aws:iam::111122223333:user/eve"])]),
                objects(),
            ]),
            excluded,
            &[],
        ),
        (
            "advanced, one source only",
            Ground::selectors(vec![management(vec![field("eventSource", &["kms.amazonaws.com"], &[])]), objects()]),
            silent,
            &[],
        ),
        (
            "advanced, some names",
            Ground::selectors(vec![management(vec![partly("eventName")]), objects()]),
            silent,
            &[],
        ),
        ("advanced, nothing but data", Ground::selectors(vec![objects()]), silent, &[]),
        (
            "advanced, the whole beside a part",
            Ground::selectors(vec![
                management(vec![]),
                management(vec![field("eventSource", &[], &["kms.amazonaws.com"])]),
                objects(),
            ]),
            &[],
            &[],
        ),
    ]
}
