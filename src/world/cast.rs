//! Who plays: the organization, its accounts and units, the people, roles and machines that act in them.

use fastrand::Rng;
use serde_json::{Value, json};

use crate::core::id::{AccountId, OrgId, Region};

/// A die of its own for every scene, so that trouble in one place changes nothing in another.
pub(super) fn die(seed: u64, scene: &[u64]) -> Rng {
    // splitmix64 over the parts of the scene: neighboring scenes fall unlike each other.
    let mut state = seed;
    for part in scene {
        state = state.wrapping_add(*part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
    }
    Rng::with_seed(state)
}

/// One of a list that is never empty.
pub(super) fn pick<T: Copy + Default>(rng: &mut Rng, list: &[T]) -> T {
    rng.choice(list).copied().unwrap_or_default()
}

/// So many letters and digits of `alphabet`.
pub(super) fn letters(rng: &mut Rng, alphabet: &[u8], count: usize) -> String {
    (0..count).map(|_| char::from(pick(rng, alphabet))).collect()
}

pub(super) const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
pub(super) const KEY_LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
pub(super) const HEX: &[u8] = b"0123456789abcdef";
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const DIGITS: &[u8] = b"0123456789";

pub(super) fn guid(rng: &mut Rng) -> String {
    let (a, b) = (rng.u64(..), rng.u64(..));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | ((b >> 48) & 0x3fff),
        b & 0xffff_ffff_ffff
    )
}

/// Regions in the order in which a world takes them; the first is the home of the organization's trail.
const REGIONS: &[&str] = &[
    "us-east-1",
    "eu-west-1",
    "eu-central-1",
    "ap-southeast-2",
    "us-west-2",
    "us-east-2",
    "ca-central-1",
    "sa-east-1",
    "eu-west-2",
    "eu-west-3",
    "eu-north-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-southeast-1",
    "ap-south-1",
    "us-west-1",
];

pub(super) fn regions(count: usize) -> Vec<Region> {
    REGIONS.iter().take(count.max(1)).filter_map(|name| Region::parse(name).ok()).collect()
}

/// Names and units of a freight company; the first is the management account.
const ACCOUNTS: &[(&str, &str)] = &[
    ("kestrel-management", "Root"),
    ("log-archive", "Security"),
    ("security-tooling", "Security"),
    ("identity", "Security"),
    ("booking-prod", "Workloads/Prod"),
    ("tracking-prod", "Workloads/Prod"),
    ("payments-prod", "Workloads/Prod"),
    ("warehouse-prod", "Workloads/Prod"),
    ("booking-dev", "Workloads/Dev"),
    ("tracking-dev", "Workloads/Dev"),
    ("data-platform", "Workloads/Prod"),
    ("depot-gateways", "Workloads/Prod"),
    ("sandbox-lab", "Workloads/Dev"),
];

/// A member account and those who act in it.
#[derive(Debug)]
pub(super) struct Account {
    pub id: AccountId,
    pub name: String,
    pub ou: String,
    pub actors: Vec<Actor>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActorKind {
    /// A person who came through IAM Identity Center.
    Person,
    /// A workload or pipeline under a role.
    Role,
    /// An IAM user with a long-lived key.
    User,
    Root,
    /// An AWS service on its own account.
    Service,
}

/// Somebody or something that calls AWS from an account.
#[derive(Debug)]
pub(super) struct Actor {
    pub kind: ActorKind,
    pub name: String,
    pub session: String,
    pub ip: String,
    pub agent: &'static str,
    unique: String,
    access_key: String,
}

const PEOPLE: &[&str] = &[
    "amara.okafor",
    "lukas.brandt",
    "zoe.marchetti",
    "priya.raman",
    "tomas.novak",
    "ines.carvalho",
    "haruto.mori",
    "freya.lindqvist",
    "omar.haddad",
    "nell.whitcombe",
    "mateusz.zielinski",
    "sofia.petrou",
];

const SETS: &[&str] = &["AdministratorAccess", "ReadOnlyAccess", "PowerUserAccess", "SecurityAudit"];

const ROLES: &[(&str, &str)] = &[
    ("app-runtime", "i-0"),
    ("orders-worker", "orders-worker"),
    ("ci-deploy", "github-actions-"),
    ("ecs-task-tracking", ""),
    ("backup-runner", "nightly-"),
];

const USERS: &[&str] = &["legacy-scanner", "terraform", "edi-partner", "breakglass"];

/// Services that act by themselves, by their address.
const SERVICES: &[&str] =
    &["autoscaling.amazonaws.com", "lambda.amazonaws.com", "config.amazonaws.com", "ecs-tasks.amazonaws.com"];

const PEOPLE_AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "aws-cli/2.31.4 md/awscrt#0.27.6 ua/2.1 os/macos#24.6.0 md/arch#arm64 lang/python#3.13.7",
    "AWS Internal",
];
const MACHINE_AGENTS: &[&str] = &[
    "aws-sdk-go-v2/1.39.0 ua/2.1 os/linux lang/go#1.25.1 md/GOARCH#arm64",
    "Boto3/1.40.30 md/Botocore#1.40.30 ua/2.1 os/linux#6.8 md/arch#x86_64 lang/python#3.12.11",
    "aws-sdk-rust/1.3.9 os/linux lang/rust/1.90.0",
    "APN/1.0 HashiCorp/1.0 Terraform/1.11.4 aws-sdk-go-v2/1.36.3",
];

impl Actor {
    fn new(rng: &mut Rng, kind: ActorKind, name: String, session: String, agent: &'static str) -> Self {
        // Addresses of the documentation ranges (RFC 5737, RFC 3849): nobody's.
        let last = rng.u8(1..255);
        let ip = match kind {
            ActorKind::Person if rng.u8(..6) == 0 => format!("2001:db8:{:x}::{:x}", rng.u16(1..), rng.u16(1..)),
            ActorKind::Person => format!("203.0.113.{last}"),
            ActorKind::Service => name.clone(),
            _ => format!("198.51.100.{last}"),
        };
        let unique = letters(rng, KEY_LETTERS, 17);
        let access_key = letters(rng, KEY_LETTERS, 16);
        Self { kind, name, session, ip, agent, unique, access_key }
    }

    /// The record's `userIdentity` (CloudTrail User Guide: userIdentity element).
    pub fn identity(&self, account: &AccountId, since: &str) -> Value {
        let Self { name, session, unique, access_key, .. } = self;
        match self.kind {
            ActorKind::Person | ActorKind::Role => {
                let path = match self.kind {
                    ActorKind::Person => "aws-reserved/sso.amazonaws.com/",
                    _ => "workload/",
                };
                json!({
                    "type": "AssumedRole",
                    "principalId": format!("AROA{unique}:{session}"),
                    "arn": format!("arn:aws:sts::{account}:assumed-role/{name}/{session}"),
                    "accountId": account,
                    "accessKeyId": format!("ASIA{access_key}"),
                    "sessionContext": {
                        "sessionIssuer": {
                            "type": "Role",
                            "principalId": format!("AROA{unique}"),
                            "arn": format!("arn:aws:iam::{account}:role/{path}{name}"),
                            "accountId": account,
                            "userName": name,
                        },
                        "attributes": { "creationDate": since, "mfaAuthenticated": "false" },
                    },
                })
            }
            ActorKind::User => json!({
                "type": "IAMUser",
                "principalId": format!("AIDA{unique}"),
                "arn": format!("arn:aws:iam::{account}:user/{name}"),
                "accountId": account,
                "accessKeyId": format!("AKIA{access_key}"),
                "userName": name,
            }),
            ActorKind::Root => json!({
                "type": "Root",
                "principalId": account,
                "arn": format!("arn:aws:iam::{account}:root"),
                "accountId": account,
                "accessKeyId": "",
            }),
            ActorKind::Service => json!({ "type": "AWSService", "invokedBy": name }),
        }
    }

    /// A long-lived key or a person's browser: what a sign-in can come from.
    pub fn may_sign_in(&self) -> bool {
        matches!(self.kind, ActorKind::User | ActorKind::Root)
    }
}

pub(super) fn organization(rng: &mut Rng) -> Option<OrgId> {
    OrgId::parse(&format!("o-{}", letters(rng, LOWER, 10))).ok()
}

/// An account number that none of `taken` has.
pub(super) fn account_id(rng: &mut Rng, taken: &[AccountId], leading_zero: bool) -> Option<AccountId> {
    (0..64).find_map(|_| {
        let first = if leading_zero { '0' } else { char::from(pick(rng, b"123456789")) };
        let id = AccountId::parse(&format!("{first}{}", letters(rng, DIGITS, 11))).ok()?;
        (!taken.contains(&id)).then_some(id)
    })
}

/// The members; the third has a number with a leading zero, which a careless reader loses.
pub(super) fn accounts(rng: &mut Rng, count: usize) -> Vec<Account> {
    let mut taken = Vec::new();
    let mut accounts = Vec::new();
    for index in 0..count {
        let Some(id) = account_id(rng, &taken, index % 10 == 2) else { break };
        taken.push(id);
        let (name, ou) = match ACCOUNTS.get(index) {
            Some((name, ou)) => ((*name).to_owned(), (*ou).to_owned()),
            None => (format!("depot-{index:03}"), pick(rng, &["Workloads/Prod", "Workloads/Dev"]).to_owned()),
        };
        accounts.push(Account { id, name, ou, actors: actors(rng) });
    }
    accounts
}

fn actors(rng: &mut Rng) -> Vec<Actor> {
    let mut actors = Vec::new();
    for _ in 0..4 {
        let set = format!("AWSReservedSSO_{}_{}", pick(rng, SETS), letters(rng, HEX, 16));
        let session = format!("{}@kestrel.example", pick(rng, PEOPLE));
        let agent = pick(rng, PEOPLE_AGENTS);
        actors.push(Actor::new(rng, ActorKind::Person, set, session, agent));
    }
    for (role, session) in ROLES {
        let session = format!("{session}{}", letters(rng, HEX, 16));
        let agent = pick(rng, MACHINE_AGENTS);
        actors.push(Actor::new(rng, ActorKind::Role, (*role).into(), session, agent));
    }
    let user = pick(rng, USERS).to_owned();
    let agent = pick(rng, MACHINE_AGENTS);
    actors.push(Actor::new(rng, ActorKind::User, user, String::new(), agent));
    actors.push(Actor::new(rng, ActorKind::Root, String::new(), String::new(), PEOPLE_AGENTS[0]));
    for service in SERVICES {
        actors.push(Actor::new(rng, ActorKind::Service, (*service).into(), String::new(), service));
    }
    actors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_has_distinct_members_and_a_leading_zero() {
        let mut rng = die(7, &[0]);
        let accounts = accounts(&mut rng, 40);
        let mut ids: Vec<_> = accounts.iter().map(|account| account.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 40);
        assert!(accounts[2].id.as_str().starts_with('0'));
        assert!(organization(&mut rng).is_some());
        assert_eq!(regions(17).len(), 17);
    }

    #[test]
    fn scenes_fall_unlike_each_other_and_alike_again() {
        let first = |scene: &[u64]| die(1, scene).u64(..);
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[0]), first(&[0, 0]));
    }

    #[test]
    fn guids_are_shaped_like_guids() {
        let guid = guid(&mut die(3, &[]));
        let lengths: Vec<_> = guid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{guid}");
    }
}
