//! CloudTrail's own statements: whether they let it deliver, whether they let others deliver by it, and what Denies stand in its way.

use serde_json::json;

use super::condition::{Context, Given};
use super::document::{Document, Effect, Principal, Principals, Statement, account_of};
use super::evaluate::{Doubt, Request, Resource, Verdict, evaluate};
use super::expected::{CLOUDTRAIL, Expected};
use super::mend::Draft;
use super::source;
use super::weakness::{Fix, Kind, Weakness};
use super::{Truth, glob};
use crate::core::finding::Severity;
use crate::core::printable;

const ACL: &str = "s3:GetBucketAcl";
const PUT: &str = "s3:PutObject";

pub fn weaknesses(document: &Document, expected: &Expected) -> Vec<Weakness> {
    let mut found = Vec::new();
    for statement in document.statements.iter().filter(|statement| trusts_cloudtrail(statement)) {
        found.extend(of_statement(document, statement, expected));
    }
    let denied = denies(document, expected);
    let is_denied = denied.iter().any(|weakness| weakness.kind != Kind::CouldNotTell);
    if !is_denied {
        found.extend(missing(document, expected, &found));
        found.extend(doubtful(document, expected));
    }
    found.extend(denied);
    found
}

/// Whether it is an Allow that names CloudTrail.
pub fn trusts_cloudtrail(statement: &Statement) -> bool {
    let named = |list: &[Principal]| list.contains(&Principal::Service(CLOUDTRAIL.into()));
    statement.is(Effect::Allow) && matches!(&statement.principals, Principals::Only(list) if named(list))
}

fn of_statement(document: &Document, statement: &Statement, expected: &Expected) -> Vec<Weakness> {
    let bucket = expected.bucket_arn();
    let checks = statement.does(ACL) == Truth::Yes && statement.reaches(Resource::One(&bucket)) != Truth::No;
    let puts =
        statement.does(PUT) == Truth::Yes && statement.reaches(Resource::Every(&expected.objects())) != Truth::No;
    if !checks && !puts {
        return Vec::new();
    }
    let fix = || Fix::Replace(recast(document, statement, expected, checks, puts));
    let mut found = Vec::new();
    let mut is_pinned = true;
    let act = if puts { "write here" } else { "read the bucket's ACL" };
    for flaw in source::of_trail(statement, expected, act) {
        is_pinned &= flaw.severity < Severity::High;
        // Somebody else's trail learns nothing but that the bucket has an ACL.
        let harmless = !puts && flaw.kind != Kind::SourceArnLiteral;
        let severity = if harmless { Severity::Low } else { flaw.severity };
        found.push(Weakness::at(flaw.kind, statement, flaw.risk, fix()).severity(severity));
    }
    if puts && let Some(wide) = too_wide(statement, expected) {
        let whose = if is_pinned { "its own trail" } else { "anybody's trail" };
        let risk = format!("{whose} may write to {wide}, which is more than the folder of one account or organization");
        let severity = if is_pinned { Severity::Medium } else { Severity::High };
        found.push(Weakness::at(Kind::ResourceWide, statement, risk, fix()).severity(severity));
    }
    found
}

/// The first resource that is not `[prefix/]AWSLogs/<account or organization>/…`.
fn too_wide(statement: &Statement, expected: &Expected) -> Option<String> {
    if statement.resources.except {
        return Some(format!("everything but {}", printable(&statement.resources.patterns.join(", "), 200)));
    }
    let objects = expected.objects();
    let place = format!("{}/", expected.bucket_arn());
    let reached = statement.resources.patterns.iter().filter(|pattern| glob::intersect(pattern, &objects));
    let exact = |pattern: &str| {
        let path = pattern.strip_prefix(&place)?;
        let (prefix, rest) = path.split_once("AWSLogs/")?;
        let folder = rest.split('/').next().filter(|folder| folder.len() < rest.len() && !folder.is_empty())?;
        Some(![prefix, folder].iter().any(|part| glob::is_wild(part) || part.contains("${")))
    };
    reached.filter(|pattern| exact(pattern) != Some(true)).map(|pattern| printable(pattern, 200)).next()
}

/// CloudTrail's part of a statement as it should be, and the rest of it as it was.
fn recast(document: &Document, statement: &Statement, expected: &Expected, checks: bool, puts: bool) -> Vec<String> {
    let mut drafts = Vec::new();
    if checks {
        drafts.push(("CloudTrailAclCheck", expected.acl_check()));
    }
    if puts {
        drafts.extend(writes_for(statement, expected));
    }
    let rest = Draft::of(statement).only(|who| *who != Principal::Service(CLOUDTRAIL.into()));
    let kept_name = statement.sid.as_deref().filter(|_| rest.is_none() && drafts.len() == 1);
    let named = drafts.into_iter().map(|(sid, draft)| {
        let free = document.free_sid(sid);
        draft.sid(Some(kept_name.unwrap_or(&free))).text()
    });
    named.chain(rest.map(Draft::text)).collect()
}

/// Those of the recommended statements that stand for what this one reaches; all of them, if it reaches none.
fn writes_for(statement: &Statement, expected: &Expected) -> Vec<(&'static str, Draft)> {
    let reaches =
        |folders: &[String]| folders.iter().any(|folder| statement.reaches(Resource::Every(folder)) != Truth::No);
    let account = reaches(&expected.account_folders());
    let organization = reaches(&expected.organization_folders());
    let all = expected.writes();
    if account == organization || all.len() == 1 {
        return all;
    }
    let wanted = if account { "CloudTrailWrite" } else { "CloudTrailOrganizationWrite" };
    all.into_iter().filter(|(sid, _)| *sid == wanted).collect()
}

/// Keys that no request of CloudTrail's carries.
const NEVER_SENT: [&str; 32] = [
    "aws:PrincipalArn",
    "aws:PrincipalAccount",
    "aws:PrincipalOrgID",
    "aws:PrincipalOrgPaths",
    "aws:PrincipalTag/*",
    "aws:username",
    "aws:SourceVpc",
    "aws:SourceVpce",
    "aws:VpcSourceIp",
    "aws:MultiFactorAuthPresent",
    "aws:MultiFactorAuthAge",
    "aws:FederatedProvider",
    "aws:SourceIdentity",
    "aws:Referer",
    "s3:DataAccessPointArn",
    "s3:DataAccessPointAccount",
    "s3:AccessPointNetworkOrigin",
    "s3:RequestObjectTag/*",
    "s3:RequestObjectTagKeys",
    "s3:x-amz-copy-source",
    "s3:x-amz-metadata-directive",
    "s3:x-amz-website-redirect-location",
    "s3:x-amz-grant-read",
    "s3:x-amz-grant-write",
    "s3:x-amz-grant-read-acp",
    "s3:x-amz-grant-write-acp",
    "s3:x-amz-grant-full-control",
    "s3:x-amz-server-side-encryption-customer-algorithm",
    "s3:object-lock-mode",
    "s3:object-lock-legal-hold",
    "s3:object-lock-retain-until-date",
    "s3:object-lock-remaining-retention-days",
];

/// A delivery as far as it is known. What CloudTrail does not send is absent; its addresses are nobody's that a policy names.
fn context(expected: &Expected, trail: Option<&str>, puts: bool) -> Context {
    let known = |value: Option<String>| value.map_or(Given::Any, Given::is);
    let account = trail.and_then(account_of).or(expected.management).map(|account| account.to_string());
    let encryption = match expected.encrypted {
        None => Given::Any,
        Some(true) => Given::is("aws:kms"),
        Some(false) => Given::Either(vec![Given::Absent, Given::is("AES256")]),
    };
    let context = NEVER_SENT.iter().fold(Context::default(), |context, key| context.with(key, Given::Absent));
    let acl = if puts { Given::is("bucket-owner-full-control") } else { Given::Absent };
    context
        .with("aws:SecureTransport", Given::is("true"))
        .with("aws:PrincipalIsAWSService", Given::is("true"))
        .with("aws:PrincipalServiceName", Given::is(CLOUDTRAIL))
        .with("aws:PrincipalServiceNamesList", Given::is(CLOUDTRAIL))
        .with("aws:SourceIp", Given::Stranger)
        .with("aws:SourceArn", known(trail.map(str::to_owned)))
        .with("aws:SourceAccount", known(account))
        .with("aws:SourceOrgID", known(expected.org.as_ref().map(ToString::to_string)))
        .with("aws:ResourceAccount", known(expected.owner.map(|owner| owner.to_string())))
        .with("s3:ResourceAccount", known(expected.owner.map(|owner| owner.to_string())))
        .with("s3:TlsVersion", Given::Either(vec![Given::is("1.2"), Given::is("1.3")]))
        .with("s3:authType", Given::is("REST-HEADER"))
        .with("s3:signatureversion", Given::is("AWS4-HMAC-SHA256"))
        .with("s3:x-amz-storage-class", Given::Either(vec![Given::Absent, Given::is("STANDARD")]))
        .with("s3:x-amz-acl", acl)
        .with("s3:x-amz-server-side-encryption", encryption)
}

/// The trails as far as they are known, each with the folders that it writes to.
fn trails(expected: &Expected) -> Vec<(Option<&str>, Vec<String>)> {
    let (accounts, organization) = (expected.account_folders(), expected.organization_folders());
    if expected.trails.is_empty() {
        return vec![(None, [accounts, organization].concat())];
    }
    // An organization's trail is one of its management account, where it is known.
    let is_managed = |trail: &str| account_of(trail).is_some() && account_of(trail) == expected.management;
    let any_managed = expected.trails.iter().any(|trail| is_managed(trail));
    let one = |trail: &String| {
        let own = account_of(trail).map(|account| format!("AWSLogs/{account}/*"));
        let mut folders = accounts.clone();
        folders.retain(|folder| own.as_ref().is_none_or(|own| folder.ends_with(own)));
        if is_managed(trail) || !any_managed {
            folders.extend(organization.clone());
        }
        folders
    };
    expected.trails.iter().map(|trail| (Some(trail.as_str()), one(trail))).collect()
}

/// What a trail may not do for want of an Allow.
fn missing(document: &Document, expected: &Expected, found: &[Weakness]) -> Vec<Weakness> {
    let mut missing = Vec::new();
    let is_denied =
        |trail, puts, resource: &str| ask(document, expected, trail, puts, resource) == Verdict::Denied(None);
    let literal = |action: &str| {
        let of = |weakness: &&Weakness| weakness.kind == Kind::SourceArnLiteral;
        let statement =
            |weakness: &Weakness| weakness.place.as_ref().and_then(|place| document.statements.get(place.index));
        found.iter().filter(of).filter_map(statement).any(|statement| statement.does(action) == Truth::Yes)
    };
    let trails = trails(expected);
    let bucket = expected.bucket_arn();
    if !literal(ACL) && trails.iter().any(|(trail, _)| is_denied(*trail, false, &bucket)) {
        let fix = Fix::Add(vec![expected.acl_check().sid(Some(&document.free_sid("CloudTrailAclCheck"))).text()]);
        let risk = "no statement lets CloudTrail read the bucket's ACL, without which it delivers nothing";
        missing.push(Weakness::whole(Kind::AclCheckMissing, risk, fix));
    }
    let writes = [
        (Kind::WriteMissing, "CloudTrailWrite", expected.account_folders()),
        (Kind::OrganizationWriteMissing, "CloudTrailOrganizationWrite", expected.organization_folders()),
    ];
    for (kind, sid, folders) in writes.into_iter().filter(|_| !literal(PUT)) {
        let own = trails.iter().flat_map(|(trail, own)| own.iter().map(move |folder| (*trail, folder)));
        let mut tried = own
            .filter(|(_, folder)| folders.contains(folder))
            .flat_map(|(trail, folder)| samples(folder, expected).into_iter().map(move |sample| (trail, sample)));
        if let Some((_, sample)) = tried.find(|(trail, sample)| is_denied(*trail, true, sample)) {
            missing.push(unwritable(document, expected, (kind, sid), &folders, &sample));
        }
    }
    missing
}

fn unwritable(
    document: &Document,
    expected: &Expected,
    (kind, sid): (Kind, &str),
    folders: &[String],
    sample: &str,
) -> Weakness {
    let folder = folders.iter().find(|folder| glob::matches(folder, sample)).map_or(sample, String::as_str);
    let draft = expected.write(folders.to_vec());
    let name = folder.rsplit("AWSLogs/").next().unwrap_or(folder);
    let place = format!("{}/", expected.bucket_arn());
    let elsewhere = document.statements.iter().filter(|statement| trusts_cloudtrail(statement)).find_map(|statement| {
        let of_folder = |pattern: &&String| {
            let prefix =
                pattern.strip_prefix(&place).and_then(|path| path.strip_suffix(name)?.strip_suffix("AWSLogs/"));
            prefix.is_some() && !glob::matches(pattern, sample)
        };
        let pattern = statement.resources.patterns.iter().find(of_folder)?;
        (statement.does(PUT) == Truth::Yes).then_some((statement, pattern))
    });
    match elsewhere {
        Some((statement, pattern)) => {
            let risk = format!(
                "CloudTrail delivers to {folder} and may only write to {}, so that nothing arrives",
                printable(pattern, 200)
            );
            let sid = statement.sid.clone().unwrap_or_else(|| document.free_sid(sid));
            Weakness::at(Kind::PrefixWrong, statement, risk, Fix::Replace(vec![draft.sid(Some(&sid)).text()]))
        }
        None => {
            // An organization's trail writes to its account's folder only once it is made a trail of one account again.
            let managed = expected.management.is_some_and(|account| name == format!("{account}/*"));
            let (severity, then) = if kind == Kind::WriteMissing && expected.org.is_some() && managed {
                (Severity::Low, "delivery stops when the trail is made one account's again")
            } else {
                (kind.severity(), "its logs and digests do not arrive")
            };
            let risk = format!("no statement lets CloudTrail write to {folder}, so that {then}");
            let fix = Fix::Add(vec![draft.sid(Some(&document.free_sid(sid))).text()]);
            Weakness::whole(kind, risk, fix).severity(severity)
        }
    }
}

/// A log and a digest, as they would be called in a folder.
fn samples(folder: &str, expected: &Expected) -> Vec<String> {
    let folder = folder.trim_end_matches('*');
    let is_organization = expected.org.as_ref().is_some_and(|org| folder.ends_with(&format!("/{org}/")));
    let name = folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    // A member that nobody has thought of yet.
    let (account, below) = if is_organization { ("123456789012", "123456789012/") } else { (name, "") };
    vec![
        format!(
            "{folder}{below}CloudTrail/eu-north-1/2026/03/01/{account}_CloudTrail_eu-north-1_20260301T2212Z_Ab3dEf6hIj9kLm2n.json.gz"
        ),
        format!(
            "{folder}{below}CloudTrail-Digest/eu-north-1/2026/03/01/{account}_CloudTrail-Digest_eu-north-1_t_eu-north-1_20260301T221200Z.json.gz"
        ),
    ]
}

fn ask(document: &Document, expected: &Expected, trail: Option<&str>, puts: bool, resource: &str) -> Verdict {
    let context = context(expected, trail, puts);
    let who = Principal::Service(CLOUDTRAIL.into());
    let action = if puts { PUT } else { ACL };
    evaluate(document, &Request { who: &who, action, resource: Resource::One(resource), context: &context })
}

/// Statements that may let a trail deliver and may not. That its source is not known is no doubt.
fn doubtful(document: &Document, expected: &Expected) -> Vec<Weakness> {
    let mut found: Vec<Weakness> = Vec::new();
    let bucket = expected.bucket_arn();
    let asked = trails(expected).into_iter().flat_map(|(trail, folders)| {
        let samples = folders.iter().flat_map(|folder| samples(folder, expected)).map(|sample| (true, sample));
        let all: Vec<_> = samples.chain([(false, bucket.clone())]).collect();
        all.into_iter().map(move |(puts, resource)| (trail, puts, resource))
    });
    for (trail, puts, resource) in asked {
        let Verdict::Unknown(doubts) = ask(document, expected, trail, puts, &resource) else { continue };
        let of_source = |doubt: &Doubt| {
            source::KEYS.iter().any(|key| doubt.what.to_ascii_lowercase().ends_with(&key.to_ascii_lowercase()))
        };
        for doubt in doubts.iter().filter(|doubt| !of_source(doubt)) {
            let statement = doubt.statement.and_then(|index| document.statements.get(index));
            let Some(statement) = statement.filter(|statement| trusts_cloudtrail(statement)) else { continue };
            let risk = format!(
                "whether this statement lets CloudTrail deliver depends on what is not known here: {}",
                printable(&doubt.what, 200)
            );
            let look = "take the condition away, or compare it with a delivery in the bucket's data events";
            found.push(Weakness::at(Kind::CouldNotTell, statement, risk, Fix::Look(look.into())));
        }
    }
    found
}

/// Denies that stand in the way of a delivery, and those of which it cannot be told.
fn denies(document: &Document, expected: &Expected) -> Vec<Weakness> {
    let bucket = [expected.bucket_arn()];
    let who = Principal::Service(CLOUDTRAIL.into());
    let trails = trails(expected);
    let mut found = Vec::new();
    for statement in document.statements.iter().filter(|statement| statement.is(Effect::Deny)) {
        let mut worst = (Truth::No, "", Vec::new());
        for (trail, folders) in &trails {
            let folders = if folders.is_empty() { expected.evidence() } else { folders.clone() };
            for (puts, action, resources) in [(true, PUT, folders.as_slice()), (false, ACL, bucket.as_slice())] {
                let context = context(expected, *trail, puts);
                let speaks = statement.names(&who).and(statement.does(action)).and(statement.holds(&context));
                let reached = |one: &&String| statement.reaches(Resource::Every(one)) != Truth::No;
                let Some(resource) = resources.iter().find(reached).filter(|_| speaks > worst.0) else { continue };
                let request = Request { who: &who, action, resource: Resource::Every(resource), context: &context };
                worst = (speaks, action, statement.unknown(&request));
            }
        }
        match worst {
            (Truth::Yes, action, _) => found.push(stopped(statement, action)),
            (Truth::Unknown, action, unknown) => found.push(perhaps(statement, action, &unknown)),
            (Truth::No, ..) => {}
        }
    }
    found
}

fn stopped(statement: &Statement, action: &str) -> Weakness {
    let what = if action == PUT { "its logs and digests do not arrive" } else { "it delivers nothing" };
    if let Principals::AllBut(_) = statement.principals {
        let risk = format!(
            "the Deny holds for everyone whom NotPrincipal does not list, CloudTrail included, for {action}: {what}"
        );
        let listed = Draft::of(statement);
        return Weakness::at(Kind::NotPrincipalDeniesDelivery, statement, risk, Fix::Replace(vec![excepted(listed)]));
    }
    let risk = match statement.conditions.is_empty() {
        true => format!("the Deny holds for CloudTrail's {action}, whatever a statement allows: {what}"),
        false => {
            let conditions: Vec<String> =
                statement.conditions.iter().map(|one| format!("{} {}", one.name, printable(&one.key, 80))).collect();
            format!("CloudTrail's {action} meets this Deny ({}): {what}", conditions.join(", "))
        }
    };
    Weakness::at(Kind::DenyBreaksDelivery, statement, risk, Fix::Replace(vec![excepted(Draft::of(statement))]))
}

/// The same Deny, for everybody but services; requests without credentials have no such key and stay denied.
pub fn excepted(draft: Draft) -> String {
    draft.on("BoolIfExists", "aws:PrincipalIsAWSService", json!("false")).text()
}

fn perhaps(statement: &Statement, action: &str, unknown: &[String]) -> Weakness {
    let risk = format!(
        "whether this Deny stops CloudTrail's {action} depends on what is not known here: {}",
        unknown.join(", ")
    );
    let look = "compare it with a request of CloudTrail's in the bucket's data events, and except services by \
                aws:PrincipalIsAWSService where people are meant";
    Weakness::at(Kind::CouldNotTell, statement, risk, Fix::Look(look.into()))
}
