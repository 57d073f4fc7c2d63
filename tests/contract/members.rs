//! Who is a member and where: a list, Organizations on two emulators, and Organizations when it pages, throttles and denies.

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

/// An organization as a test makes and changes it.
struct Made {
    client: Client,
    /// Ids of the root and of the units under it, in three levels.
    units: Vec<String>,
    accounts: Vec<String>,
}

impl Made {
    /// 60 accounts, the management account among them.
    async fn new(client: Client) -> Self {
        // One of the emulators has one from the beginning.
        client.create_organization().send().await.ok();
        let root = client.list_roots().send().await.unwrap().roots()[0].id().unwrap().to_owned();
        let management = client.describe_organization().send().await.unwrap().organization.unwrap().master_account_id;
        let mut made = Self { client, units: vec![root], accounts: vec![management.unwrap()] };
        for (above, name) in [(0, "Workloads"), (1, "Prod"), (1, "Dev"), (0, "Security"), (2, "Payments")] {
            let unit = made.client.create_organizational_unit().parent_id(&made.units[above]).name(name).send().await;
            made.units.push(unit.unwrap().organizational_unit.unwrap().id.unwrap());
        }
        for number in 0..59 {
            made.add(number).await;
            made.put(number + 1, 0, number % 6).await;
        }
        made
    }

    async fn add(&mut self, number: usize) {
        let account = self.client.create_account().account_name(format!("Account {number}"));
        let made = account.email(format!("account-{number}@example.com")).send().await.unwrap();
        self.accounts.push(made.create_account_status.unwrap().account_id.unwrap());
    }

    async fn put(&self, account: usize, from: usize, to: usize) {
        if from != to {
            let moved =
                self.client.move_account().account_id(&self.accounts[account]).source_parent_id(&self.units[from]);
            moved.destination_parent_id(&self.units[to]).send().await.unwrap();
        }
    }

    /// Account by account and upwards, by other calls than those that make the walk.
    async fn expected(&self, closed: &[usize]) -> Vec<Member> {
        let mut expected = Vec::new();
        for (number, id) in self.accounts.iter().enumerate() {
            let account = self.client.describe_account().account_id(id).send().await.unwrap().account.unwrap();
            let (mut units, mut child) = (Vec::new(), id.clone());
            while child != self.units[0] {
                let parents = self.client.list_parents().child_id(&child).send().await.unwrap();
                child = parents.parents()[0].id().unwrap().to_owned();
                let name = if child == self.units[0] {
                    "Root".to_owned()
                } else {
                    let unit = self.client.describe_organizational_unit().organizational_unit_id(&child).send().await;
                    unit.unwrap().organizational_unit.unwrap().name.unwrap()
                };
                units.insert(0, Unit { id: child.clone(), name });
            }
            expected.push(Member {
                account: id.parse().unwrap(),
                name: account.name.unwrap(),
                ou: OuPath::new(units),
                state: if closed.contains(&number) { MemberState::Suspended } else { MemberState::Active },
                joined: account.joined_timestamp.map(|at| Timestamp::from_second(at.secs()).unwrap()),
            });
        }
        expected
    }
}

#[tokio::test]
async fn organizations_keep_the_members_contract() {
    for emulator in [Emulator::moto(), Emulator::shared()].into_iter().flatten() {
        let mut made = Made::new(emulator.organizations().await).await;
        let expected = made.expected(&[]).await;
        assert_eq!(expected.len(), 60);
        assert_eq!(expected.iter().map(|member| member.ou.units().len()).max(), Some(4));
        let organization = emulator.aws().await.organizations();
        members_contract(&organization, &expected).await;
        // One is closed, one moves, one is new.
        made.client.close_account().account_id(&made.accounts[7]).send().await.unwrap();
        made.put(9, 8 % 6, 5).await;
        made.add(59).await;
        let expected = made.expected(&[7]).await;
        assert_eq!((expected.len(), expected[9].ou.to_string().as_str()), (61, "Root/Workloads/Prod/Payments"));
        members_contract(&organization, &expected).await;
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
