//! The policy of the KMS key that a trail encrypts with.

use serde_json::json;

use super::condition::{Given, Test};
use super::delivery::{excepted, trusts_cloudtrail};
use super::document::{Document, Effect, Principal, Statement, account_of};
use super::evaluate::{Request, Resource, Verdict, evaluate};
use super::expected::{CLOUDTRAIL, Expected};
use super::grants::{context, grantees, is_public};
use super::mend::{Draft, one_or_many};
use super::weakness::{Fix, Kind, Weakness, doubts, sorted};
use super::{Truth, source};

const ENCRYPT: &str = "kms:GenerateDataKey";
const DECRYPT: &str = "kms:Decrypt";
const CONTEXT: &str = "kms:EncryptionContext:aws:cloudtrail:arn";
const ADMINISTRATION: [&str; 5] = [
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:DisableKey",
    "kms:DeleteImportedKeyMaterial",
    "kms:UpdatePrimaryRegion",
];
const GRANT: &str = "kms:CreateGrant";
/// True of a grant that an AWS service asks for, to do what its caller may.
const FOR_SERVICES: &str = "kms:GrantIsForAWSResource";
/// A key policy speaks of one key, and calls it by this.
const KEY: Resource<'static> = Resource::One("*");

pub fn weaknesses(document: &Document, expected: &Expected) -> Vec<Weakness> {
    let mut found = doubts(document);
    for statement in document.statements.iter().filter(|statement| statement.is(Effect::Allow)) {
        if is_public(statement) {
            let rest = Draft::of(statement).only(|who| *who != Principal::Everyone);
            let risk =
                "any AWS account may use this key as the statement allows, as no condition limits `*` to fixed values";
            found.push(Weakness::at(Kind::KeyPublic, statement, risk, replaced(rest)));
            continue;
        }
        if trusts_cloudtrail(statement) && statement.does(ENCRYPT) == Truth::Yes {
            found.extend(encryption(document, statement, expected));
        }
        found.extend(administration(statement, expected));
        found.extend(granting(statement, expected));
        found.extend(decryption(statement, expected));
    }
    if document.doubts.is_empty() {
        found.extend(missing(document, expected));
    }
    sorted(found)
}

fn replaced(rest: Option<Draft>) -> Fix {
    Fix::Replace(rest.into_iter().map(Draft::text).collect())
}

fn encrypt(expected: &Expected) -> Draft {
    let (key, source) = expected.source();
    let accounts = expected.trails.iter().filter_map(|trail| account_of(trail)).chain(expected.management);
    let mut accounts: Vec<String> = accounts.map(|account| account.to_string()).collect();
    accounts.sort_unstable();
    accounts.dedup();
    if accounts.is_empty() {
        accounts.push("ACCOUNT".into());
    }
    let trails = accounts.iter().map(|account| format!("arn:{}:cloudtrail:*:{account}:trail/*", expected.partition()));
    let service = json!({ "Service": CLOUDTRAIL });
    Draft::new("Allow", service, json!("kms:GenerateDataKey*"), json!("*"), json!({}))
        .on("StringEquals", key, source)
        .on("StringLike", CONTEXT, one_or_many(trails.collect()))
}

fn encryption(document: &Document, statement: &Statement, expected: &Expected) -> Vec<Weakness> {
    let fix = || {
        let rest = Draft::of(statement).only(|who| *who != Principal::Service(CLOUDTRAIL.into()));
        let sid = document.free_sid("CloudTrailEncrypt");
        let sid = statement.sid.as_deref().filter(|_| rest.is_none()).unwrap_or(&sid);
        let mut statements = vec![encrypt(expected).sid(Some(sid)).text()];
        statements.extend(also(statement, expected, document));
        statements.extend(rest.map(Draft::text));
        Fix::Replace(statements)
    };
    let mut found = Vec::new();
    for flaw in source::of_trail(statement, expected, "encrypt with this key") {
        let (kind, severity) = match flaw.kind {
            // As AWS documents it.
            Kind::SourceAccountOnly => continue,
            Kind::ConfusedDeputy => (Kind::KeySourceUnbound, Kind::KeySourceUnbound.severity()),
            kind => (kind, flaw.severity),
        };
        found.push(Weakness::at(kind, statement, flaw.risk, fix()).severity(severity));
    }
    let bound =
        statement.conditions.iter().filter(|condition| condition.is(CONTEXT) && condition.pins()).any(|condition| {
            condition.values.iter().all(|value| account_of(value).is_some_and(|account| expected.is_ours(account)))
        });
    if !bound {
        let risk = "the encryption context is not held to trails of our accounts, so that the key encrypts for whatever trail CloudTrail is asked for";
        found.push(Weakness::at(Kind::KeyContextUnbound, statement, risk, fix()));
    }
    found
}

/// What a statement gives CloudTrail besides encryption, as it stands there.
fn also(statement: &Statement, expected: &Expected, document: &Document) -> Option<String> {
    let others: Vec<&str> =
        [DECRYPT, "kms:DescribeKey"].into_iter().filter(|action| statement.does(action) == Truth::Yes).collect();
    let (key, source) = expected.source();
    let service = json!({ "Service": CLOUDTRAIL });
    let draft = Draft::new("Allow", service, one_or_many(others.clone()), json!("*"), json!({}));
    let sid = document.free_sid("CloudTrailUse");
    (!others.is_empty()).then(|| draft.on("StringEquals", key, source).sid(Some(&sid)).text())
}

fn is_administrator(who: &Principal, expected: &Expected) -> bool {
    let owners = who.account().is_some_and(|account| expected.owner.is_none_or(|owner| owner == account));
    owners || expected.declares(who, &[&expected.administrators])
}

fn granting(statement: &Statement, expected: &Expected) -> Option<Weakness> {
    let is_true = |value: &String| value.eq_ignore_ascii_case("true");
    let for_services = statement.conditions.iter().any(|condition| {
        condition.is(FOR_SERVICES) && !condition.is_optional() && condition.values.iter().all(is_true)
    });
    if statement.does(GRANT) != Truth::Yes || for_services {
        return None;
    }
    let is_ours = |who: &Principal| is_administrator(who, expected);
    let others = outsiders(statement, is_ours);
    let risk =
        format!("{} may use {GRANT}: whoever is given a grant may decrypt, and no policy tells of it", names(&others)?);
    let kept = Draft::of(statement).only(is_ours);
    Some(Weakness::at(Kind::KeyGrantedByOthers, statement, risk, replaced(kept)))
}

fn administration(statement: &Statement, expected: &Expected) -> Option<Weakness> {
    let action = ADMINISTRATION.iter().find(|action| statement.does(action) == Truth::Yes)?;
    let is_ours = |who: &Principal| is_administrator(who, expected);
    let others: Vec<Principal> = outsiders(statement, is_ours);
    let risk =
        format!("{} may use {action}: without the key, every log that it has encrypted is lost", names(&others)?);
    let kept = Draft::of(statement).only(is_ours);
    Some(Weakness::at(Kind::KeyAdministeredByOthers, statement, risk, replaced(kept)))
}

fn decryption(statement: &Statement, expected: &Expected) -> Option<Weakness> {
    let is_held = statement.conditions.iter().any(|condition| {
        let is_false = condition.values.iter().all(|value| value.eq_ignore_ascii_case("false"));
        condition.is(CONTEXT) && (condition.pins() || (condition.operator.test == Test::Null && is_false))
    });
    if statement.does(DECRYPT) != Truth::Yes || is_held {
        return None;
    }
    // Named roles are whom the operator meant.
    let is_meant = |who: &Principal| {
        !matches!(who, Principal::Account(_) | Principal::Everyone)
            || expected.declares(who, &[&expected.administrators])
    };
    let others = outsiders(statement, is_meant);
    let risk = format!("{} may decrypt whatever this key has encrypted, not only CloudTrail's logs", names(&others)?);
    let fix = Draft::of(statement).on("Null", CONTEXT, json!("false")).text();
    Some(Weakness::at(Kind::KeyDecryptOpen, statement, risk, Fix::Replace(vec![fix])))
}

fn outsiders(statement: &Statement, is_ours: impl Fn(&Principal) -> bool) -> Vec<Principal> {
    let mut all = grantees(statement);
    all.retain(|who| !matches!(who, Principal::Deleted(_)) && !is_ours(who));
    all.retain(|who| statement.holds(&context(who)) != Truth::No);
    all
}

fn names(who: &[Principal]) -> Option<String> {
    let names: Vec<String> = who.iter().take(4).map(ToString::to_string).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn missing(document: &Document, expected: &Expected) -> Option<Weakness> {
    let who = Principal::Service(CLOUDTRAIL.into());
    let trail = expected.trails.first();
    let known = |value: Option<String>| value.map_or(Given::Any, Given::is);
    let account = trail.and_then(|trail| account_of(trail)).or(expected.management);
    let given = context(&who)
        .with("aws:SecureTransport", Given::is("true"))
        .with("aws:SourceArn", known(trail.cloned()))
        .with("aws:SourceAccount", known(account.map(|account| account.to_string())))
        .with("aws:SourceVpce", Given::Absent)
        .with("aws:SourceVpc", Given::Absent)
        .with("aws:SourceIp", Given::Stranger)
        .with(CONTEXT, known(trail.cloned()));
    let request = Request { who: &who, action: ENCRYPT, resource: KEY, context: &given };
    match evaluate(document, &request) {
        Verdict::Denied(None) => {
            let sid = document.free_sid("CloudTrailEncrypt");
            let risk = "no statement lets CloudTrail encrypt with this key, so that nothing is delivered";
            Some(Weakness::whole(
                Kind::KeyEncryptMissing,
                risk,
                Fix::Add(vec![encrypt(expected).sid(Some(&sid)).text()]),
            ))
        }
        Verdict::Denied(Some(index)) => {
            let statement = document.statements.get(index)?;
            let risk = "CloudTrail's use of the key meets this Deny, so that nothing is delivered";
            let fix = Fix::Replace(vec![excepted(Draft::of(statement))]);
            Some(Weakness::at(Kind::DenyBreaksDelivery, statement, risk, fix))
        }
        Verdict::Allowed(_) | Verdict::Unknown(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::condition::Context;
    use super::*;

    #[test]
    fn the_statement_to_paste_is_whole() {
        let trails = vec!["arn:aws:cloudtrail:eu-west-1:111122223333:trail/t".to_owned()];
        let expected = Expected { trails, ..Expected::default() };
        let document = Document::parse(&super::super::mend::policy(&[encrypt(&expected).text()]));
        assert_eq!(weaknesses(&document, &expected), []);
        assert_eq!(
            missing(&Document::default(), &expected).map(|weakness| weakness.kind),
            Some(Kind::KeyEncryptMissing)
        );
        assert!(
            document.statements[0].holds(&Context::complete()) == Truth::No,
            "a request that names no trail passes"
        );
    }
}
