//! What the chain of evidence consists of, as far as it is known.

use serde::{Deserialize, Serialize};

use super::Thing;
use crate::core::id::{AccountId, Region};
use crate::core::key::Root;

/// A trail that delivers here, as its digests name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    pub name: String,
    pub home: Region,
    /// Whose it is. A digest of an organization's trail does not say.
    pub account: Option<AccountId>,
}

impl Name {
    pub fn of(root: &Root, trail: &str, home: &Region) -> Self {
        let account = root.org.is_none().then_some(root.account);
        Self { name: trail.into(), home: home.clone(), account }
    }
}

/// ARNs are of any partition; what is unknown is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ours {
    pub bucket: Option<String>,
    /// The queue's url or ARN.
    pub queue: Option<String>,
    /// From digests.
    pub names: Vec<Name>,
    /// ARNs of trails that deliver here, as CloudTrail says.
    pub trails: Vec<String>,
    /// KMS keys that evidence is encrypted with.
    pub keys: Vec<String>,
    /// Topics and rules between bucket and queue.
    pub senders: Vec<String>,
    /// Roles that the warden itself keeps the retention with; configured, so not kept.
    #[serde(skip)]
    pub keepers: Vec<String>,
}

/// Where a call was made.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub region: &'a str,
    pub account: Option<AccountId>,
    /// A trail that is called where it is not at home refuses.
    pub refused: bool,
}

/// The parts of `arn:PARTITION:SERVICE:REGION:ACCOUNT:REST`.
struct Arn<'a> {
    region: &'a str,
    account: &'a str,
    rest: &'a str,
}

impl<'a> Arn<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix("arn:")?.splitn(5, ':').skip(2);
        Some(Self { region: parts.next()?, account: parts.next()?, rest: parts.next()? })
    }

    fn is(&self, other: &Self) -> bool {
        (self.region, self.account, self.rest) == (other.region, other.account, other.rest)
    }
}

impl Ours {
    /// What a good digest says of its trail.
    pub fn learn(&mut self, name: Name) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// Whether a call at a place that names a thing so is about ours. What cannot be told apart from ours is.
    pub fn has(&self, thing: Thing, named: &str, place: &Place<'_>) -> bool {
        match thing {
            Thing::Trail => self.has_trail(named, place),
            Thing::Bucket => {
                let bucket = Arn::parse(named).map_or(named, |arn| arn.rest.split('/').next().unwrap_or_default());
                self.bucket.as_deref() == Some(bucket)
            }
            Thing::Key => self.keys.iter().any(|ours| last(ours, '/') == last(named, '/')),
            Thing::Queue => self.queue.as_deref().is_some_and(|ours| is_queue(ours, named, place)),
            Thing::Topic => {
                let whole = |ours: &String| named.strip_prefix(ours.as_str());
                self.senders.iter().filter_map(whole).any(|rest| rest.is_empty() || rest.starts_with(':'))
            }
            Thing::Rule => self.has_rule(named, place),
            Thing::Organization => true,
        }
    }

    fn has_trail(&self, named: &str, place: &Place<'_>) -> bool {
        let account = place.account.map(String::from).unwrap_or_default();
        let (region, account, name) = match Arn::parse(named) {
            Some(arn) => (arn.region, arn.account.to_owned(), arn.rest.strip_prefix("trail/").unwrap_or(arn.rest)),
            None => (place.region, account, named),
        };
        let fits = |home: &str, owner: &str| {
            (home == region || place.refused) && (owner == account || owner.is_empty() || account.is_empty())
        };
        let described = self.trails.iter().filter_map(|ours| Arn::parse(ours));
        let described: Vec<Arn<'_>> = described.filter(|arn| arn.rest.strip_prefix("trail/") == Some(name)).collect();
        if described.iter().any(|arn| fits(arn.region, arn.account)) {
            return true;
        }
        // Once CloudTrail has said whose it is, the name alone is not enough.
        let owned = |home: &Region| described.iter().any(|arn| arn.region == home.as_str());
        self.names.iter().filter(|ours| ours.name == name && !owned(&ours.home)).any(|ours| {
            let owner = ours.account.map(String::from).unwrap_or_default();
            fits(ours.home.as_str(), &owner)
        })
    }

    /// `NAME` or `BUS/NAME` where the call was made, or an ARN.
    fn has_rule(&self, named: &str, place: &Place<'_>) -> bool {
        self.senders.iter().filter_map(|ours| Arn::parse(ours)).any(|ours| match Arn::parse(named) {
            Some(arn) => ours.is(&arn),
            None => {
                ours.rest.strip_prefix("rule/") == Some(named)
                    && ours.region == place.region
                    && place.account.is_none_or(|account| account.as_str() == ours.account)
            }
        })
    }
}

fn last(text: &str, mark: char) -> &str {
    text.rsplit(mark).next().unwrap_or(text)
}

/// Urls of the same queue differ by host: it is account and name that count, and the region where both tell it.
fn is_queue(ours: &str, named: &str, place: &Place<'_>) -> bool {
    let (our_region, our_account, our_name) = queue(ours);
    let (region, account, name) = queue(named);
    let region = region.unwrap_or(place.region);
    (our_account, our_name) == (account, name) && our_region.is_none_or(|ours| ours == region)
}

fn queue(text: &str) -> (Option<&str>, &str, &str) {
    if let Some(arn) = Arn::parse(text) {
        return (Some(arn.region), arn.account, arn.rest);
    }
    let mut parts = text.rsplit('/');
    let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let host = text.split_once("://").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
    let region = host.strip_prefix("sqs.").and_then(|host| host.split('.').next());
    (region.filter(|region| Region::parse(region).is_ok()), account, name)
}
