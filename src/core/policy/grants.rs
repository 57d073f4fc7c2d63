//! Who else may do what: every Allow with what it opens to whom, unless a Deny closes it whatever the circumstances.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::condition::{Condition, Context, Given, Test, network};
use super::delivery::trusts_cloudtrail;
use super::document::{Document, Effect, Principal, Principals, Statement, account_of};
use super::evaluate::{Request, Resource};
use super::expected::{CLOUDTRAIL, Expected};
use super::mend::{Draft, one_or_many};
use super::source::{self, Bound};
use super::weakness::{Fix, Kind, Weakness};
use super::{Truth, glob};
use crate::core::finding::Severity;
use crate::core::printable;

/// What an action lets somebody do, and whether it is done to objects.
struct Power {
    kind: Kind,
    action: &'static str,
    object: bool,
}

const fn of_bucket(kind: Kind, action: &'static str) -> Power {
    Power { kind, action, object: false }
}

const fn of_object(kind: Kind, action: &'static str) -> Power {
    Power { kind, action, object: true }
}

const POWERS: [Power; 34] = [
    of_object(Kind::PutByOthers, "s3:PutObject"),
    of_object(Kind::PutByOthers, "s3:ReplicateObject"),
    of_object(Kind::DeleteByOthers, "s3:DeleteObject"),
    of_object(Kind::DeleteByOthers, "s3:DeleteObjectVersion"),
    of_object(Kind::DeleteByOthers, "s3:ReplicateDelete"),
    of_bucket(Kind::DeleteByOthers, "s3:DeleteBucket"),
    of_bucket(Kind::PolicyByOthers, "s3:PutBucketPolicy"),
    of_bucket(Kind::PolicyByOthers, "s3:DeleteBucketPolicy"),
    of_bucket(Kind::PolicyByOthers, "s3:PutBucketPublicAccessBlock"),
    of_bucket(Kind::LifecycleByOthers, "s3:PutLifecycleConfiguration"),
    of_object(Kind::LifecycleByOthers, "s3:PutObjectTagging"),
    of_object(Kind::LifecycleByOthers, "s3:PutObjectVersionTagging"),
    of_object(Kind::LifecycleByOthers, "s3:DeleteObjectTagging"),
    of_object(Kind::LifecycleByOthers, "s3:DeleteObjectVersionTagging"),
    of_object(Kind::LifecycleByOthers, "s3:ReplicateTags"),
    of_bucket(Kind::VersioningByOthers, "s3:PutBucketVersioning"),
    of_bucket(Kind::LockByOthers, "s3:PutBucketObjectLockConfiguration"),
    of_object(Kind::LockByOthers, "s3:PutObjectRetention"),
    of_object(Kind::LockByOthers, "s3:PutObjectLegalHold"),
    of_object(Kind::BypassByOthers, "s3:BypassGovernanceRetention"),
    of_bucket(Kind::AclByOthers, "s3:PutBucketAcl"),
    of_object(Kind::AclByOthers, "s3:PutObjectAcl"),
    of_object(Kind::AclByOthers, "s3:PutObjectVersionAcl"),
    of_bucket(Kind::OwnershipByOthers, "s3:PutBucketOwnershipControls"),
    of_bucket(Kind::EncryptionByOthers, "s3:PutEncryptionConfiguration"),
    of_bucket(Kind::NotificationByOthers, "s3:PutBucketNotification"),
    of_bucket(Kind::ReplicationByOthers, "s3:PutReplicationConfiguration"),
    of_object(Kind::ReplicationByOthers, "s3:InitiateReplication"),
    of_bucket(Kind::SettingsByOthers, "s3:PutBucketRequestPayment"),
    of_bucket(Kind::SettingsByOthers, "s3:PutIntelligentTieringConfiguration"),
    of_bucket(Kind::SettingsByOthers, "s3:PutBucketLogging"),
    of_bucket(Kind::SettingsByOthers, "s3:PutBucketWebsite"),
    of_object(Kind::ReadByOthers, "s3:GetObject"),
    of_object(Kind::ReadByOthers, "s3:GetObjectVersion"),
];

/// What is left of a grant that was too wide.
const OBJECT_READS: [&str; 2] = ["s3:GetObject", "s3:GetObjectVersion"];
const BUCKET_READS: [&str; 2] = ["s3:GetBucketLocation", "s3:ListBucket"];

/// The accounts that stood for CloudTrail before it had a service principal, one a region.
const REGION_ACCOUNTS: [&str; 24] = [
    "034638983726",
    "035351147821",
    "086441151436",
    "113285607260",
    "119688915426",
    "193415116832",
    "216624486486",
    "262312530599",
    "282025262664",
    "284668455005",
    "388731089494",
    "475085895292",
    "492519147666",
    "608710470296",
    "669305197877",
    "681348832753",
    "765225791966",
    "814480443879",
    "819402241893",
    "829690693026",
    "859597730677",
    "903692715234",
    "977081816279",
    "525921808201",
];

pub fn weaknesses(document: &Document, expected: &Expected) -> Vec<Weakness> {
    let allows = document.statements.iter().filter(|statement| statement.is(Effect::Allow));
    allows.flat_map(|statement| of_statement(document, statement, expected)).collect()
}

fn of_statement(document: &Document, statement: &Statement, expected: &Expected) -> Vec<Weakness> {
    let mut found = Vec::new();
    let (old, grants): (Vec<_>, Vec<_>) =
        grants(document, statement, expected).into_iter().partition(|grant| is_region_account(&grant.who));
    if is_old(statement, expected) || !old.is_empty() {
        found.push(region_accounts(document, statement, expected));
    }
    let powers: BTreeSet<Kind> = grants.iter().flat_map(|grant| grant.kinds.iter().copied()).collect();
    if touches(statement, expected) && is_public(statement) {
        found.push(public(statement, &grants, &powers, expected));
        return found;
    }
    if let (Principals::AllBut(_), false) = (&statement.principals, powers.is_empty()) {
        let crowd = crowd(&[Principal::Everyone], statement, expected);
        let risk = format!("{crowd} may {}, but for those whom NotPrincipal lists", doing(&powers));
        found.push(Weakness::at(Kind::NotPrincipalAllow, statement, risk, Fix::Replace(Vec::new())));
        return found;
    }
    let mut by_kind: BTreeMap<Kind, Vec<Principal>> = BTreeMap::new();
    for grant in &grants {
        for kind in &grant.kinds {
            by_kind.entry(*kind).or_default().push(grant.who.clone());
        }
    }
    let wholesale = statement.actions.patterns.iter().any(|pattern| pattern == "*" || pattern == "s3:*");
    let tampered: Vec<Principal> =
        grants.iter().filter(|grant| grant.tampers()).map(|grant| grant.who.clone()).collect();
    if (statement.actions.except || wholesale) && !tampered.is_empty() {
        let kind = if statement.actions.except { Kind::NotActionAllow } else { Kind::EverythingByOthers };
        let risk = format!("{} may {}", crowd(&tampered, statement, expected), doing(&powers));
        found.push(Weakness::at(kind, statement, risk, limited(statement, expected, &tampered, false)));
        by_kind.retain(|kind, _| *kind == Kind::ConfusedDeputy);
    }
    for (kind, who) in by_kind {
        found.push(by_others(kind, &who, statement, expected));
    }
    found
}

fn by_others(kind: Kind, who: &[Principal], statement: &Statement, expected: &Expected) -> Weakness {
    let crowd = crowd(who, statement, expected);
    if kind == Kind::ConfusedDeputy {
        let risk = format!(
            "{crowd} may write here on behalf of anybody, in any AWS account: the statement does not say whose deliveries are meant"
        );
        let ours: BTreeSet<String> =
            expected.owner.iter().chain(&expected.management).map(ToString::to_string).collect();
        let draft = Draft::of(statement);
        let bound = match &expected.org {
            Some(org) => draft.on("StringEquals", "aws:SourceOrgID", json!(org.as_str())),
            None if ours.is_empty() => draft.on("StringEquals", "aws:SourceAccount", json!("ACCOUNT")),
            None => draft.on("StringEquals", "aws:SourceAccount", one_or_many(ours.into_iter().collect::<Vec<_>>())),
        };
        return Weakness::at(kind, statement, risk, Fix::Replace(vec![bound.text()])).severity(Severity::Medium);
    }
    let risk = match source::of_service(statement, expected) {
        Bound::Foreign(whose) if matches!(who, [Principal::Service(_)]) => {
            format!("{crowd} may {} on behalf of {whose}, which is none of ours", word(kind))
        }
        _ => format!("{crowd} may {}: {}", word(kind), so(kind)),
    };
    Weakness::at(kind, statement, risk, limited(statement, expected, who, kind == Kind::ReadByOthers))
}

/// What one principal may do by one statement and should not.
struct Grant {
    who: Principal,
    kinds: BTreeSet<Kind>,
}

impl Grant {
    fn tampers(&self) -> bool {
        self.kinds.iter().any(|kind| *kind != Kind::ReadByOthers)
    }
}

fn grants(document: &Document, statement: &Statement, expected: &Expected) -> Vec<Grant> {
    let mut grants = Vec::new();
    for who in grantees(statement) {
        let context = context(&who);
        if matches!(who, Principal::Deleted(_)) || statement.holds(&context) == Truth::No {
            continue;
        }
        let mut kinds = BTreeSet::new();
        for power in &POWERS {
            let open = statement.does(power.action) == Truth::Yes
                && is_open(document, statement, &who, power, &context, expected);
            if open && let Some(kind) = undeclared(statement, &who, power.kind, expected) {
                kinds.insert(kind);
            }
        }
        if !kinds.is_empty() {
            grants.push(Grant { who, kinds });
        }
    }
    grants
}

/// The weakness that a power is in these hands; `None` if it belongs there.
fn undeclared(statement: &Statement, who: &Principal, kind: Kind, expected: &Expected) -> Option<Kind> {
    if let (Principal::Service(name), Kind::PutByOthers) = (who, kind) {
        return match source::of_service(statement, expected) {
            _ if name == CLOUDTRAIL && trusts_cloudtrail(statement) => None,
            _ if expected.declares(who, &[&expected.writers, &expected.administrators]) => None,
            Bound::Ours => None,
            Bound::Foreign(_) => Some(kind),
            Bound::Loose => Some(Kind::ConfusedDeputy),
        };
    }
    let declared = match kind {
        Kind::ReadByOthers if expected.readers.is_empty() => !is_strange(statement, who, expected),
        Kind::ReadByOthers => expected.declares(who, &[&expected.readers, &expected.writers, &expected.administrators]),
        Kind::PutByOthers => expected.declares(who, &[&expected.writers, &expected.administrators]),
        _ => expected.declares(who, &[&expected.administrators]),
    };
    (!declared).then_some(kind)
}

/// Whether this is of another account or organization, though nobody said who may read.
fn is_strange(statement: &Statement, who: &Principal, expected: &Expected) -> bool {
    let foreign = |value: &String| match (&expected.org, value.split('/').next()) {
        (Some(org), Some(named)) => named.starts_with("o-") && !glob::is_wild(named) && named != org.as_str(),
        _ => false,
    };
    let of_org = |condition: &&Condition| condition.is("aws:PrincipalOrgID") || condition.is("aws:PrincipalOrgPaths");
    let mut orgs = statement.conditions.iter().filter(of_org).filter(|condition| condition.pins());
    let elsewhere = who.account().is_some_and(|account| !expected.is_ours(account));
    let declared = expected.declares(who, &[&expected.writers, &expected.administrators]);
    !declared && (elsewhere || orgs.any(|condition| condition.values.iter().any(foreign)))
}

/// Whether no Deny closes what the statement opens, whatever the circumstances.
fn is_open(
    document: &Document,
    statement: &Statement,
    who: &Principal,
    power: &Power,
    context: &Context,
    expected: &Expected,
) -> bool {
    let denied = |resource: Resource<'_>| {
        let request = Request { who, action: power.action, resource, context };
        document.statements.iter().filter(|one| one.is(Effect::Deny)).any(|deny| deny.applies(&request) == Truth::Yes)
    };
    if !power.object {
        let bucket = expected.bucket_arn();
        return statement.reaches(Resource::One(&bucket)) != Truth::No && !denied(Resource::One(&bucket));
    }
    let own = if statement.resources.except { &[] } else { statement.resources.patterns.as_slice() };
    expected.evidence().iter().any(|place| {
        let reached: Vec<&String> = own.iter().filter(|pattern| glob::intersect(pattern, place)).collect();
        let closed = !reached.is_empty() && reached.iter().all(|pattern| denied(Resource::Every(pattern)));
        statement.reaches(Resource::Every(place)) != Truth::No && !closed && !denied(Resource::Every(place))
    })
}

/// Whom an Allow is for: those it names, and for `*` those that its conditions fix.
pub fn grantees(statement: &Statement) -> Vec<Principal> {
    let list = match &statement.principals {
        Principals::AllBut(_) => return vec![Principal::Everyone],
        Principals::Only(list) => list,
    };
    let fixed = statement.conditions.iter().filter(|condition| condition.pins()).find_map(fixed_principals);
    let mut all: Vec<Principal> = Vec::new();
    for who in list {
        match (who, &fixed) {
            (Principal::Everyone, Some(fixed)) => all.extend(fixed.iter().cloned()),
            _ => all.push(who.clone()),
        }
    }
    all
}

fn fixed_principals(condition: &Condition) -> Option<Vec<Principal>> {
    let one = |value: &String| {
        if condition.is("aws:PrincipalAccount") {
            return Principal::parse(value).filter(|who| matches!(who, Principal::Account(_)));
        }
        let account = value.split(':').take(4).all(|part| !glob::is_wild(part)).then(|| account_of(value)).flatten();
        let exact = Principal::parse(value).filter(|_| condition.is_fixed(value));
        exact.or_else(|| account.filter(|_| condition.has_globs()).map(Principal::Account))
    };
    let speaks = condition.is("aws:PrincipalArn") || condition.is("aws:PrincipalAccount");
    let all: Option<Vec<Principal>> = condition.values.iter().map(one).collect();
    all.filter(|all| speaks && !all.contains(&Principal::Everyone))
}

/// What is given of every request of somebody.
pub fn context(who: &Principal) -> Context {
    let absent =
        |context: Context, keys: &[&str]| keys.iter().fold(context, |context, key| context.with(key, Given::Absent));
    let context = Context::default();
    let of_people = ["aws:PrincipalServiceName", "aws:PrincipalServiceNamesList", "aws:SourceArn", "aws:SourceAccount"];
    match who {
        Principal::Service(name) => {
            let keys = ["aws:PrincipalArn", "aws:PrincipalAccount", "aws:PrincipalOrgID", "aws:PrincipalOrgPaths"];
            absent(context, &keys)
                .with("aws:PrincipalIsAWSService", Given::is("true"))
                .with("aws:PrincipalServiceName", Given::is(name.clone()))
        }
        Principal::Account(account) => absent(context, &of_people)
            .with("aws:PrincipalIsAWSService", Given::is("false"))
            .with("aws:PrincipalAccount", Given::is(account.as_str())),
        Principal::Arn(arn) => {
            let context = absent(context, &of_people).with("aws:PrincipalIsAWSService", Given::is("false"));
            let context = account_of(arn)
                .map_or(context.clone(), |account| context.with("aws:PrincipalAccount", Given::is(account.as_str())));
            // A session's key holds its role.
            let given = if arn.contains(":assumed-role/") { Given::Any } else { Given::is(arn.clone()) };
            context.with("aws:PrincipalArn", given)
        }
        _ => context,
    }
}

fn touches(statement: &Statement, expected: &Expected) -> bool {
    let bucket = expected.bucket_arn();
    let objects = expected.objects();
    [Resource::One(bucket.as_str()), Resource::Every(&objects)]
        .into_iter()
        .any(|one| statement.reaches(one) != Truth::No)
}

/// S3's own meaning: an Allow for everybody that no condition limits to fixed values.
pub fn is_public(statement: &Statement) -> bool {
    let everybody = match &statement.principals {
        Principals::Only(list) => list.contains(&Principal::Everyone),
        Principals::AllBut(_) => true,
    };
    everybody && !statement.conditions.iter().any(limits)
}

fn limits(condition: &Condition) -> bool {
    const FIXING: [&str; 16] = [
        "aws:PrincipalArn",
        "aws:PrincipalAccount",
        "aws:PrincipalOrgID",
        "aws:PrincipalOrgPaths",
        "aws:SourceArn",
        "aws:SourceAccount",
        "aws:SourceOwner",
        "aws:SourceOrgID",
        "aws:SourceOrgPaths",
        "aws:SourceVpc",
        "aws:SourceVpce",
        "aws:userid",
        "s3:DataAccessPointAccount",
        "s3:DataAccessPointArn",
        "kms:CallerAccount",
        "aws:SourceIp",
    ];
    if !condition.pins() || !FIXING.iter().any(|key| condition.is(key)) {
        return false;
    }
    if condition.operator.test == Test::Address {
        let narrow = |value: &String| {
            network(value).is_some_and(|(address, length)| length >= if address.is_ipv4() { 8 } else { 32 })
        };
        return condition.values.iter().all(narrow);
    }
    let fixed = |value: &String| {
        let account = condition.is("s3:DataAccessPointArn") && account_of(value).is_some();
        let path = condition.is("aws:PrincipalOrgPaths") || condition.is("aws:SourceOrgPaths");
        let root = path && value.split('/').next().is_some_and(|id| condition.is_fixed(id));
        condition.is_fixed(value) || account || root
    };
    condition.values.iter().all(fixed)
}

fn public(statement: &Statement, grants: &[Grant], powers: &BTreeSet<Kind>, expected: &Expected) -> Weakness {
    let tampers = grants.iter().any(Grant::tampers);
    let what = if tampers { doing(powers) } else { "do what the statement allows".into() };
    let who: Vec<Principal> = grants.iter().map(|grant| grant.who.clone()).collect();
    let everyone = grants.is_empty() || who.contains(&Principal::Everyone);
    let risk = if statement.conditions.is_empty() {
        format!("everybody on earth may {what}, without an account and from anywhere")
    } else {
        let crowd = if who.is_empty() {
            crowd(&[Principal::Everyone], statement, expected)
        } else {
            crowd(&who, statement, expected)
        };
        format!("{crowd} may {what}, and S3 calls that public, as no condition limits `*` to fixed values")
    };
    let severity = if tampers && everyone { Severity::Critical } else { Severity::High };
    let rest = Draft::of(statement).only(|who| *who != Principal::Everyone);
    Weakness::at(Kind::Public, statement, risk, Fix::Replace(rest.into_iter().map(Draft::text).collect()))
        .severity(severity)
}

fn is_region_account(who: &Principal) -> bool {
    matches!(who, Principal::Account(account) if REGION_ACCOUNTS.contains(&account.as_str()))
}

/// Whether it lets CloudTrail's old accounts ask for the ACL, which is no power of anybody's.
fn is_old(statement: &Statement, expected: &Expected) -> bool {
    let named = matches!(&statement.principals, Principals::Only(list) if list.iter().any(is_region_account));
    named && statement.does("s3:GetBucketAcl") == Truth::Yes && touches(statement, expected)
}

fn region_accounts(document: &Document, statement: &Statement, expected: &Expected) -> Weakness {
    let risk = "these accounts stood for CloudTrail in single regions once: nothing binds them to a trail, and newer regions cannot deliver by them";
    let rest = Draft::of(statement).only(|who| !is_region_account(who));
    let mut drafts = Vec::new();
    if statement.does("s3:GetBucketAcl") == Truth::Yes {
        drafts.push(("CloudTrailAclCheck", expected.acl_check()));
    }
    if statement.does("s3:PutObject") == Truth::Yes {
        drafts.extend(expected.writes());
    }
    let named = drafts.into_iter().map(|(sid, draft)| draft.sid(Some(&document.free_sid(sid))).text());
    let statements = named.chain(rest.map(Draft::text)).collect();
    Weakness::at(Kind::RegionAccounts, statement, risk, Fix::Replace(statements))
}

/// The statement for those who may have it, and what is harmless of it for the others.
fn limited(statement: &Statement, expected: &Expected, others: &[Principal], nothing: bool) -> Fix {
    let Principals::Only(list) = &statement.principals else { return Fix::Replace(Vec::new()) };
    // Where a condition fixes who everybody is, they cannot be told apart in the statement.
    let split = others.iter().all(|who| list.contains(who));
    let theirs = |who: &Principal| !split || others.contains(who);
    let kept = Draft::of(statement).only(|who| !theirs(who)).filter(|_| split);
    let harmless = if nothing { Vec::new() } else { harmless_actions(statement, expected) };
    let rest = (!harmless.is_empty())
        .then(|| Draft::of(statement).only(theirs))
        .flatten()
        .map(|draft| draft.set("Action", one_or_many(harmless)));
    let rest = rest.map(|draft| if kept.is_some() { draft.without("Sid") } else { draft });
    Fix::Replace(kept.into_iter().chain(rest).map(Draft::text).collect())
}

fn harmless_actions(statement: &Statement, expected: &Expected) -> Vec<String> {
    let tampers = |pattern: &str| {
        POWERS
            .iter()
            .any(|power| power.kind != Kind::ReadByOthers && glob::matches(pattern, &power.action.to_ascii_lowercase()))
    };
    // S3 refuses a statement with an action that fits none of its resources.
    let bucket = statement.reaches(Resource::One(&expected.bucket_arn())) != Truth::No;
    let object = statement.reaches(Resource::Every(&expected.objects())) != Truth::No;
    let reads = object.then_some(OBJECT_READS).into_iter().chain(bucket.then_some(BUCKET_READS)).flatten();
    let reads: Vec<String> = reads.filter(|action| statement.does(action) == Truth::Yes).map(str::to_owned).collect();
    if statement.actions.except {
        return reads;
    }
    let (dropped, kept): (Vec<&String>, Vec<&String>) =
        statement.actions.patterns.iter().partition(|pattern| tampers(pattern));
    let read = dropped.iter().any(|pattern| glob::is_wild(pattern));
    // As they were written: the patterns were made lower-case to compare them.
    let written = super::document::written_actions(&statement.text);
    let kept = written.into_iter().filter(|action| kept.iter().any(|pattern| action.eq_ignore_ascii_case(pattern)));
    let mut all = if read { reads } else { Vec::new() };
    all.extend(kept);
    all.dedup();
    all
}

/// `everybody (StringEquals aws:SourceVpce vpce-1), account 111122223333`
fn crowd(who: &[Principal], statement: &Statement, expected: &Expected) -> String {
    const NAMED: usize = 4;
    let name = |who: &Principal| match who.account() {
        Some(account) if !expected.is_ours(account) => format!("{who} (none of ours)"),
        _ => who.to_string(),
    };
    let mut names: Vec<String> = who.iter().take(NAMED).map(name).collect();
    if who.len() > NAMED {
        names.push(format!("{} more", who.len() - NAMED));
    }
    if who.contains(&Principal::Everyone) && !statement.conditions.is_empty() {
        let conditions: Vec<String> = statement.conditions.iter().map(shown).collect();
        names[0].push_str(&format!(" who meets {}", conditions.join(" and ")));
    }
    names.join(", ")
}

fn shown(condition: &Condition) -> String {
    printable(&format!("{} {} {}", condition.name, condition.key, condition.values.join(" or ")), 160)
}

/// The worst of it, and how much more there is.
fn doing(powers: &BTreeSet<Kind>) -> String {
    const NAMED: usize = 4;
    let mut words: Vec<String> = powers.iter().take(NAMED).map(|kind| word(*kind).to_owned()).collect();
    match powers.len().saturating_sub(NAMED) {
        0 => {}
        1 => words.push("one thing more".into()),
        more => words.push(format!("{more} things more")),
    }
    match words.split_last() {
        None => "do what the statement allows".into(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::PutByOthers | Kind::ConfusedDeputy => "put objects where the evidence lies",
        Kind::DeleteByOthers => "delete evidence",
        Kind::PolicyByOthers => "change this policy",
        Kind::LifecycleByOthers => "have evidence expire by lifecycle rules or tags",
        Kind::VersioningByOthers => "suspend versioning",
        Kind::LockByOthers => "change locks and legal holds",
        Kind::BypassByOthers => "bypass Object Lock's governance mode",
        Kind::AclByOthers => "change ACLs",
        Kind::OwnershipByOthers => "change object ownership",
        Kind::EncryptionByOthers => "change the default encryption",
        Kind::NotificationByOthers => "switch the notifications off",
        Kind::ReplicationByOthers => "have the logs copied elsewhere",
        Kind::SettingsByOthers => "change settings that stop delivery or reading",
        _ => "read the logs",
    }
}

/// What comes of it.
fn so(kind: Kind) -> &'static str {
    match kind {
        Kind::PutByOthers => "forged logs can be added, and genuine ones overwritten",
        Kind::DeleteByOthers => "what is deleted is gone, unless versions or Object Lock keep it",
        Kind::PolicyByOthers => "whoever changes it can grant themselves everything else",
        Kind::LifecycleByOthers => "lifecycle deletes from within S3, and no policy and no trail sees it",
        Kind::VersioningByOthers => "from then on, what is overwritten or deleted is gone",
        Kind::LockByOthers => "holds can be lifted, and the default for new objects shortened",
        Kind::BypassByOthers => "locked evidence can be deleted as if it were not locked",
        Kind::AclByOthers => "an ACL lets in others beside this policy",
        Kind::OwnershipByOthers => "ACLs come back to life, and with them other owners",
        Kind::EncryptionByOthers => "new logs can be encrypted with a key that is not ours",
        Kind::NotificationByOthers => "the warden then learns late what was delivered or deleted",
        Kind::ReplicationByOthers => "every new log can be sent to a bucket of their choice",
        Kind::SettingsByOthers => "Requester Pays alone stops CloudTrail's delivery",
        _ => "the logs tell names, addresses, resources and habits",
    }
}
