//! The key that a bucket or a trail encrypts with.

use serde::Deserialize;

use super::{Kind, Look, Unread, Weakness};
use crate::core::finding;
use crate::core::id::AccountId;
use crate::core::policy::{self, Document, Expected};
use crate::core::printable;
use crate::core::protection::{Fact, Key};

/// The key that AWS makes for S3 in every account.
pub const MANAGED: &str = "alias/aws/s3";

/// What of DescribeKey's answer matters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    #[serde(rename = "AWSAccountId")]
    account: Option<String>,
    key_state: Option<String>,
    key_manager: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    key_metadata: Description,
}

/// `name` is how it is named where it is used.
pub fn of_key(name: &str, key: Option<&Key>, expected: &Expected) -> Look {
    let shown = printable(name, 200);
    let of = format!("key {shown}");
    let mut look = Look::default();
    let unread = |why: &str| Unread { of: of.clone(), why: printable(why, 400) };
    let Some(key) = key else {
        look.unread.push(unread("it was not asked for"));
        return look;
    };
    let described = match &key.description {
        Fact::Value(text) => serde_json::from_str::<Answer>(text).map_err(|error| error.to_string()),
        Fact::Absent => Err("kms:DescribeKey: there is no such key".into()),
        Fact::Unread(why) => Err(why.clone()),
    };
    let described = described.map(|answer| answer.key_metadata);
    let mut account = policy::account_of(name);
    match &described {
        Ok(description) => {
            let named = description.account.as_deref().and_then(|text| AccountId::parse(text).ok());
            account = named.or(account);
            look.weaknesses.extend(of_description(&shown, &of, description));
        }
        Err(why) => look.unread.push(unread(why)),
    }
    if let Some(whose) = account.filter(|account| !expected.is_ours(*account)) {
        let risk = format!("the key {shown} belongs to account {whose}, which is none of ours");
        let advice = "encrypt with a key of an account of ours, and find out who set this one";
        look.weaknesses.push(Weakness::of_setting(Kind::KeyForeign, &of, Some(name), risk, advice, None));
    }
    if described.is_ok_and(|description| description.key_manager.as_deref() == Some("AWS")) {
        return look;
    }
    match &key.policy {
        Fact::Value(text) => {
            // A key may live in another of our accounts than the bucket.
            let owner = account.filter(|account| expected.is_ours(*account)).or(expected.owner);
            let expected = Expected { owner, ..expected.clone() };
            let found = policy::weaknesses_of_key(&Document::parse(text), &expected);
            let of_policy = |weakness| Weakness::of_policy(weakness, &of, finding::Kind::KeyWeak);
            look.weaknesses.extend(found.iter().map(of_policy));
        }
        Fact::Absent => look.unread.push(unread("kms:GetKeyPolicy: there is no policy, which every key has")),
        Fact::Unread(why) => look.unread.push(unread(why)),
    }
    look
}

fn of_description(shown: &str, of: &str, description: &Description) -> Option<Weakness> {
    if description.key_manager.as_deref() == Some("AWS") {
        let risk = format!(
            "{shown} is managed by AWS, so that CloudTrail cannot be given it and other accounts cannot read by it"
        );
        let advice = "make a key for the archive and name it in the default encryption";
        return Some(Weakness::of_setting(Kind::KeyManagedByAws, of, None, risk, advice, None));
    }
    let state = description.key_state.as_deref().unwrap_or("not told");
    let enable = format!("aws kms enable-key --key-id {shown}");
    let (so, paste) = match state {
        // A key that is used while it is being made or changed can be used.
        "Enabled" | "Updating" => return None,
        "PendingDeletion" | "PendingReplicaDeletion" => (
            "once it is deleted, nobody can ever read what it has encrypted",
            Some(format!("aws kms cancel-key-deletion --key-id {shown} && {enable}")),
        ),
        "Disabled" => ("CloudTrail cannot deliver with it, and nobody can read", Some(enable)),
        _ => ("CloudTrail cannot deliver with it, and nobody can read", None),
    };
    let risk = format!("the key {shown} is {}: {so}", printable(state, 40));
    let advice = "bring the key back, and find out who changed it";
    Some(Weakness::of_setting(Kind::KeyUnusable, of, Some(state), risk, advice, paste))
}
