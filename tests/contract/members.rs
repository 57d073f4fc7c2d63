//! Who is a member and where: a list, Organizations on two emulators, and Organizations when it pages, throttles and denies.

use std::collections::BTreeMap;

use aws_sdk_organizations::Client;
use jiff::Timestamp;
use serde_json::json;
use trailwarden::aws::{Aws, Options};
use trailwarden::core::id::{AccountId, OrgId};
use trailwarden::core::unit::{OuPath, Unit};
use trailwarden::error::Class;
use trailwarden::local::members::MembersFile;
use trailwarden::seam::{Member, MemberState, Members as _};

use crate::common::emulator::{Emulator, loader};
use crate::common::organization_stub::{Account, Organization, OrganizationStub, ROOT};
use crate::common::stub::{Answer, Asked, Stub};
use crate::suite::members_contract;

async fn connect(endpoint: &str) -> Aws {
    Aws::connect_from(loader(endpoint), &Options::default()).await
}

/// 45 accounts in a tree of three levels, one of them closed; each read by other calls than those under test.
async fn organization(client: &Client) -> Vec<Member> {
    // One of the emulators has one from the beginning.
    client.create_organization().send().await.ok();
    let roots = client.list_roots().send().await.unwrap();
    let root = roots.roots()[0].clone();
    let way = Unit { id: root.id.unwrap(), name: root.name.unwrap() };
    let mut ways = vec![OuPath::new(vec![way])];
    for (above, name) in [(0, "Workloads"), (1, "Prod"), (1, "Dev"), (0, "Security"), (2, "Payments")] {
        let parent = &ways[above].leaf().unwrap().id;
        let made = client.create_organizational_unit().parent_id(parent).name(name).send().await.unwrap();
        let id = made.organizational_unit.unwrap().id.unwrap();
        let mut units = ways[above].units().to_vec();
        units.push(Unit { id, name: name.to_owned() });
        ways.push(OuPath::new(units));
    }
    let mut placed = BTreeMap::new();
    for number in 0..45 {
        let account = client.create_account().account_name(format!("Account {number}"));
        let made = account.email(format!("account-{number}@example.com")).send().await.unwrap();
        let id = made.create_account_status.unwrap().account_id.unwrap();
        let way = &ways[number % ways.len()];
        if number % ways.len() > 0 {
            let moved = client.move_account().account_id(&id).source_parent_id(&ways[0].leaf().unwrap().id);
            moved.destination_parent_id(&way.leaf().unwrap().id).send().await.unwrap();
        }
        placed.insert(id, way.clone());
    }
    let closed = placed.keys().nth(7).unwrap().clone();
    client.close_account().account_id(&closed).send().await.unwrap();
    let described = client.describe_organization().send().await.unwrap().organization.unwrap();
    placed.insert(described.master_account_id.unwrap(), ways[0].clone());
    let mut expected = Vec::new();
    for (id, ou) in placed {
        let account = client.describe_account().account_id(&id).send().await.unwrap().account.unwrap();
        expected.push(Member {
            account: id.parse().unwrap(),
            name: account.name.unwrap(),
            ou,
            state: if id == closed { MemberState::Suspended } else { MemberState::Active },
            joined: account.joined_timestamp.map(|at| Timestamp::from_second(at.secs()).unwrap()),
        });
    }
    expected
}

#[tokio::test]
async fn organizations_keep_the_members_contract() {
    for emulator in [Emulator::moto(), Emulator::shared()].into_iter().flatten() {
        let expected = organization(&emulator.organizations().await).await;
        assert_eq!(expected.len(), 46);
        members_contract(&emulator.aws().await.organizations(), &expected).await;
    }
}

#[tokio::test]
async fn a_list_keeps_the_members_contract() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("members.toml");
    let text = r#"
        [[ou]]
        id = "r-ab12"
        name = "Root"
        [[ou]]
        id = "ou-ab12-prod"
        name = "Prod"
        parent = "r-ab12"
        [[account]]
        id = "000000000001"
        name = "one"
        ou = "ou-ab12-prod"
        [[account]]
        id = "000000000002"
        state = "suspended"
    "#;
    std::fs::write(&path, text).unwrap();
    let member = |id: &str, name: &str, ou, state| Member {
        account: AccountId::parse(id).unwrap(),
        name: name.into(),
        ou,
        state,
        joined: None,
    };
    let unit = |id: &str, name: &str| Unit { id: id.into(), name: name.into() };
    let prod = OuPath::new(vec![unit("r-ab12", "Root"), unit("ou-ab12-prod", "Prod")]);
    let expected = [
        member("000000000001", "one", prod, MemberState::Active),
        member("000000000002", "", OuPath::default(), MemberState::Suspended),
    ];
    members_contract(&MembersFile::new(path), &expected).await;
}

fn accounts(ids: &[&str], token: Option<&str>) -> Answer {
    let accounts: Vec<_> = ids.iter().map(|id| json!({ "Id": id, "Name": "n", "State": "PENDING_CLOSURE" })).collect();
    Answer::json(&json!({ "Accounts": accounts, "NextToken": token }))
}

/// The accounts of an organization whose tree may not be looked at.
fn flat(asked: &Asked, accounts: impl FnOnce(Option<&str>) -> Answer) -> Answer {
    match asked.operation.as_str() {
        "ListAccounts" => accounts(asked.json()["NextToken"].as_str()),
        _ => Answer::json_error(400, "AccessDeniedException", "You don't have permissions."),
    }
}

#[tokio::test]
async fn empty_pages_do_not_end_the_organization() {
    let stub = Stub::start(|asked| {
        flat(asked, |token| match token {
            None => accounts(&[], Some("two")),
            Some("two") => accounts(&["000000000001"], Some("three")),
            Some("three") => accounts(&[], Some("four")),
            _ => accounts(&["000000000002", "000000000001"], None),
        })
    });
    let members = connect(&stub.endpoint).await.organizations().all().await.unwrap();
    let ids: Vec<_> = members.iter().map(|member| member.account.as_str()).collect();
    assert_eq!(ids, ["000000000001", "000000000002"]);
    assert!(members.iter().all(|member| member.state == MemberState::PendingClosure && !member.ou.is_known()));
}

#[tokio::test]
async fn half_an_organization_is_an_error() {
    let stub = Stub::start(|asked| {
        flat(asked, |token| match token {
            None => accounts(&["000000000001"], Some("two")),
            _ => Answer::json_error(400, "AccessDeniedException", "You don't have permissions."),
        })
    });
    let error = connect(&stub.endpoint).await.organizations().all().await.unwrap_err();
    assert_eq!((error.class, error.code.as_deref()), (Class::Permanent, Some("AccessDeniedException")));
}

/// Seven accounts in a root, two units and a unit below one of them.
fn tree() -> OrganizationStub {
    let unit = |id: &str, name: &str, above: &str| (id.to_owned(), name.to_owned(), above.to_owned());
    let units = vec![
        unit("ou-ab12-work", "Workloads", ROOT),
        unit("ou-ab12-prod", "Prod", "ou-ab12-work"),
        unit("ou-ab12-ops", "Ops", ROOT),
    ];
    let parents = [ROOT, "ou-ab12-work", "ou-ab12-prod", "ou-ab12-prod", "ou-ab12-prod", "ou-ab12-ops", "ou-ab12-ops"];
    let account = |(nth, parent): (usize, &&str)| Account {
        id: format!("{nth:012}"),
        name: format!("account {nth}"),
        state: "ACTIVE",
        parent: (*parent).to_owned(),
        joined: 1_600_000_000,
    };
    let accounts = parents.iter().enumerate().map(account).collect();
    OrganizationStub::start(Organization { id: "o-a1b2c3d4e5".into(), units, accounts, ..Organization::default() })
}

fn paths(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| member.ou.to_string()).collect()
}

const PATHS: [&str; 7] = [
    "Root",
    "Root/Workloads",
    "Root/Workloads/Prod",
    "Root/Workloads/Prod",
    "Root/Workloads/Prod",
    "Root/Ops",
    "Root/Ops",
];

#[tokio::test]
async fn the_walk_knows_every_accounts_way_from_the_root() {
    let tree = tree();
    let members = connect(&tree.stub.endpoint).await.organizations().all().await.unwrap();
    assert_eq!(paths(&members), PATHS);
    let ids: Vec<_> = members[2].ou.units().iter().map(|unit| unit.id.as_str()).collect();
    assert_eq!(ids, [ROOT, "ou-ab12-work", "ou-ab12-prod"]);
}

/// However often it is throttled, each question goes on where the last one stopped, and none answers with a part.
#[tokio::test]
async fn a_throttled_walk_goes_on_where_it_stopped() {
    let tree = tree();
    // The SDK itself tries three times.
    tree.change(|organization| {
        organization.units.truncate(1);
        organization.accounts.truncate(2);
        organization.throttled = 5;
    });
    let organization = connect(&tree.stub.endpoint).await.organizations();
    let mut refused = 0;
    let members = loop {
        match organization.all().await {
            Ok(members) => break members,
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                assert_eq!(error.code.as_deref(), Some("TooManyRequestsException"));
                refused += 1;
                assert!(refused < 200, "it comes to an end");
            }
        }
    };
    assert!(refused > 5, "refused {refused} times");
    assert_eq!(paths(&members), PATHS[..2]);
    let mut answered: Vec<_> = tree
        .stub
        .asked()
        .iter()
        .skip(4)
        .step_by(5)
        .map(|asked| (asked.operation.clone(), asked.body.clone()))
        .collect();
    let pages = answered.len();
    answered.sort();
    answered.dedup();
    assert_eq!(pages, answered.len(), "no page is asked for twice");
}

#[tokio::test]
async fn an_account_that_moved_meanwhile_is_asked_about() {
    let tree = tree();
    // Nobody finds it in the tree.
    tree.change(|organization| organization.accounts[3].parent = "ou-ab12-new".into());
    let members = connect(&tree.stub.endpoint).await.organizations().all().await.unwrap();
    assert_eq!(members.len(), 7);
    assert!(!members[3].ou.is_known());
    let asked = tree.stub.asked();
    let parents: Vec<_> = asked.iter().filter(|asked| asked.operation == "ListParents").collect();
    assert_eq!(parents.len(), 1);
    assert_eq!(parents[0].json()["ChildId"], "000000000003");
}

#[tokio::test]
async fn whoever_may_not_see_the_tree_knows_the_accounts() {
    for denied in ["ListRoots", "ListOrganizationalUnitsForParent", "ListAccountsForParent", "DescribeOrganization"] {
        let tree = tree();
        tree.change(|organization| organization.denied = vec![denied]);
        let organization = connect(&tree.stub.endpoint).await.organizations();
        let members = organization.expecting(OrgId::parse("o-a1b2c3d4e5").ok()).all().await.unwrap();
        assert_eq!(members.len(), 7, "{denied}");
        assert_eq!(members.iter().all(|member| !member.ou.is_known()), denied != "DescribeOrganization", "{denied}");
    }
}

#[tokio::test]
async fn another_organization_is_refused() {
    let tree = tree();
    let organization = connect(&tree.stub.endpoint).await.organizations();
    let error = organization.expecting(OrgId::parse("o-zzzzzzzzzz").ok()).all().await.unwrap_err();
    assert_eq!(error.class, Class::Permanent);
    assert!(error.text.contains("o-a1b2c3d4e5") && error.text.contains("o-zzzzzzzzzz"), "{error}");
}
