//! A story in the records: somebody has the key of an IAM user, and does with it what such people do, in two hours and three
//! accounts. Its logs are delivered and listed as all others are: the evidence is whole, the deeds are bad.

mod acts;

use serde_json::{Value, json};

use super::cast::{Account, ActorKind, HEX, KEY_LETTERS, die, guid, letters};
use super::chains::{Chain, Log};
use super::events::{self, Record, Records};
use super::plan::Plan;
use super::tamper::Planted;
use super::{Delivery, HOUR, Manner, World, instant};
use crate::core::finding::Kind;
use crate::core::id::{AccountId, Region};
use crate::seam::{Member, Metadata};
use acts::{Act, Deed};

/// A world needs this many hours, so that the story has ended and is proven before the last.
const FEWEST_HOURS: u32 = 12;
/// Seconds after the full hour at which the first deed is done.
const BEGINS: i64 = 240;
/// A region that is off until somebody switches it on (AWS Account Management: opt-in regions).
const OPTED: &str = "af-south-1";
/// Seconds after the full hour at which its chains' hours end.
const PHASE: i64 = 300;
/// Whose key is stolen, and whose role is taken: the first that nobody else plays with, by position.
const VICTIMS: &[usize] = &[8, 9, 7, 5, 3, 6, 4, 2];
const TARGETS: &[usize] = &[10, 6, 4, 2, 7, 5, 3, 9, 8, 0];

/// The thief's addresses: of a documentation range (RFC 5737) in which nobody else of a world is.
const ADDRESS: &str = "192.0.2.201";
const HOME_ADDRESS: &str = "192.0.2.215";
const TOOL: &str = "aws-cli/2.31.4 md/awscrt#0.27.6 ua/2.1 os/linux#6.12.38+kali-cloud-amd64 lang/python#3.13.7";
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// The user that is made, with a name that looks like others.
const TWIN: &str = "svc-backup-sync";
/// The role that is taken.
const ROLE: &str = "backup-runner";

/// Who does a deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// The stolen key.
    Key,
    /// The user that was made: at the sign-in, in the console, with its own key.
    SignIn,
    Console,
    Twin,
    /// The role in the other account.
    Role,
    /// The twin, as the other account sees it.
    Outsider,
}

/// In whose records a deed is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The victim's first and second region, and the one that is switched on.
    Home,
    Near,
    Far,
    /// The other account's first region, the one that it keeps things in, and its data events there.
    Target,
    Vault,
    Data,
}

/// What whoever watches has to see in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shows {
    kind: Kind,
    rule: Option<&'static str>,
    story: &'static str,
}

/// A log file of the story.
struct Chapter {
    chain: usize,
    at: i64,
    records: Records,
    shows: Vec<Shows>,
}

/// The story of a world, before it is delivered.
pub(super) struct Intrusion {
    chapters: Vec<Chapter>,
    victim: usize,
}

/// Everybody and everything that has a name in the story.
struct Scene<'a> {
    victim: &'a Account,
    target: &'a Account,
    /// Accounts whose roles are not to be had.
    others: [AccountId; 2],
    /// The first two, and the one that the target keeps things in.
    regions: [&'a Region; 3],
    opted: &'a Region,
    trail: &'a str,
    key: Value,
    role: Value,
    twin_id: String,
    twin_key: String,
    console_key: String,
    role_key: String,
    /// When it begins, in seconds since the epoch.
    began: i64,
}

/// Where in a world's lists the story plays.
struct Spots {
    victim: usize,
    target: usize,
    /// The region in which the target keeps what is worth taking.
    vault: usize,
    regions: usize,
    trails: usize,
    accounts: usize,
}

impl Spots {
    /// Accounts of whose chains no trouble comes near the story's; none where there is no room for it.
    fn find(plan: &Plan, accounts: usize, regions: usize, trails: usize) -> Option<Self> {
        let spots = |victim, target, vault| Self { victim, target, vault, regions, trails, accounts };
        let quiet = |spots: &Self, places: &[Place]| places.iter().all(|place| !plan.is_troubled(spots.chain(*place)));
        let usable = |account: &usize| *account < accounts && !plan.is_silent(*account) && !plan.is_uncovered(*account);
        let is_home = |account: &usize| quiet(&spots(*account, *account, 1), &[Place::Home, Place::Near]);
        let victim = VICTIMS.iter().copied().filter(usable).find(is_home)?;
        let targets = || TARGETS.iter().copied().filter(usable).filter(|target| *target != victim);
        let places = (1..regions).flat_map(|vault| targets().map(move |target| (target, vault)));
        let mut found = places.map(|(target, vault)| spots(victim, target, vault));
        let found = found.find(|spots| quiet(spots, &[Place::Target, Place::Vault, Place::Data]));
        found.filter(|_| trails >= 2)
    }

    /// The chain that a place's logs belong to, by its position.
    fn chain(&self, place: Place) -> usize {
        let of = |account: usize, region: usize, trail: usize| (account * self.regions + region) * self.trails + trail;
        match place {
            Place::Home => of(self.victim, 0, 0),
            Place::Near => of(self.victim, 1, 0),
            Place::Far => of(self.accounts, 0, 0),
            Place::Target => of(self.target, 0, 0),
            Place::Vault => of(self.target, self.vault, 0),
            Place::Data => of(self.target, self.vault, 1),
        }
    }
}

impl World {
    /// Plans the story and switches its region on, if there is room for it.
    pub(super) fn stage_intrusion(&mut self) {
        let (regions, trails) = (self.regions.len(), self.trails.len());
        let Some(spots) = Spots::find(&self.plan, self.accounts.len(), regions, trails) else { return };
        let (Ok(opted), true) = (Region::parse(OPTED), self.hours >= FEWEST_HOURS) else { return };
        let hour = self.hours * 2 / 3;
        self.plan.open(self.chains.len(), hour + 1);
        self.chains.extend((0..trails).map(|trail| Chain::new(spots.victim, regions, trail, PHASE)));
        self.regions.push(opted);
        let began = self.began + i64::from(hour) * HOUR + BEGINS;
        let mut rng = die(self.seed, &[6]);
        let trail = self.arns().into_iter().next().unwrap_or_default();
        let Some(scene) = Scene::set(&mut rng, self, &spots, &trail, began) else { return };
        let acts = scene.acts(&mut rng);
        let mut chapters = Vec::new();
        for act in acts {
            chapters.extend(scene.write(&mut rng, &spots, act));
        }
        self.intrusion = Some(Intrusion { chapters, victim: spots.victim });
    }

    /// The story's log files that a chain delivers between its digests `number` and `number + 1`.
    pub(super) fn intrude(&mut self, index: usize, chain: &mut Chain, number: u32) {
        let from = chain.end(self.began, number);
        let Some(intrusion) = &mut self.intrusion else { return };
        let due = |chapter: &mut Chapter| chapter.chain == index && (from..from + HOUR).contains(&chapter.at);
        let due: Vec<Chapter> = intrusion.chapters.extract_if(.., due).collect();
        for Chapter { at, records, shows, .. } in due {
            let mut rng = die(self.seed, &[7, index as u64, at.unsigned_abs()]);
            let (Some(account), Some(region)) = (self.account_of(chain), self.region_of(chain)) else { return };
            let id = account.id;
            let flavor = super::chains::Flavor::Events;
            let key = self.log_key(&mut rng, (&id, &id), region, flavor, at);
            let log = Log { key, at, records };
            chain.listed.push(log.entry());
            self.planted.extend(shows.into_iter().map(|shows| Planted {
                kind: shows.kind,
                hour: u32::try_from((at - self.began) / HOUR).unwrap_or_default(),
                account: Some(id),
                region: None,
                trail: None,
                object: (shows.kind == Kind::EvidenceChainChanged).then(|| log.key.clone()),
                hours: Vec::new(),
                rule: shows.rule,
                story: shows.story.into(),
            }));
            let delivery = Delivery { body: log.body(), key: log.key, metadata: Metadata::new(), at };
            self.deliver(&mut rng, delivery, Manner::Plain);
        }
    }

    /// Whose key was stolen, and an address that it is used from; none where there is no story.
    pub fn intruded(&self) -> Option<(&Member, &'static str)> {
        Some((self.members.get(self.intrusion.as_ref()?.victim)?, ADDRESS))
    }
}

impl<'a> Scene<'a> {
    fn set(rng: &mut fastrand::Rng, world: &'a World, spots: &Spots, trail: &'a str, began: i64) -> Option<Self> {
        let account = |index: usize| world.accounts.get(index);
        let (victim, target) = (account(spots.victim)?, account(spots.target)?);
        let identity = |account: &Account, wanted: &dyn Fn(&super::cast::Actor) -> bool, since: i64| {
            let actor = account.actors.iter().find(|actor| wanted(actor))?;
            Some(actor.identity(&account.id, &instant(since).to_string()))
        };
        let mut others = (0..world.accounts.len()).filter(|other| ![spots.victim, spots.target].contains(other));
        let [first, second, vault, opted] = [0, 1, spots.vault, spots.regions].map(|region| world.regions.get(region));
        let mut id = |kind: &str, length: usize| format!("{kind}{}", letters(rng, KEY_LETTERS, length));
        let (twin_id, twin_key, console_key, role_key) =
            (id("AIDA", 17), id("AKIA", 16), id("ASIA", 16), id("ASIA", 16));
        Some(Self {
            others: [account(others.next()?)?.id, account(others.next()?)?.id],
            regions: [first?, second?, vault?],
            opted: opted?,
            key: identity(victim, &|actor| actor.kind == ActorKind::User, began)?,
            role: identity(target, &|actor| actor.name == ROLE, began + acts::CROSSES * 60)?,
            victim,
            target,
            trail,
            twin_id,
            twin_key,
            console_key,
            role_key,
            began,
        })
    }

    fn account(&self, place: Place) -> AccountId {
        match place {
            Place::Home | Place::Near | Place::Far => self.victim.id,
            Place::Target | Place::Vault | Place::Data => self.target.id,
        }
    }

    fn region(&self, place: Place) -> &Region {
        match place {
            Place::Home | Place::Target => self.regions[0],
            Place::Near => self.regions[1],
            Place::Vault | Place::Data => self.regions[2],
            Place::Far => self.opted,
        }
    }

    /// `userIdentity`, address and tool of whoever does a deed.
    fn actor(&self, who: Who) -> (Value, &'static str, &'static str) {
        let victim = self.victim.id;
        let mut twin = json!({
            "type": "IAMUser",
            "principalId": self.twin_id,
            "arn": format!("arn:aws:iam::{victim}:user/{TWIN}"),
            "accountId": victim,
            "userName": TWIN,
        });
        match who {
            Who::Key => (self.key.clone(), ADDRESS, TOOL),
            Who::SignIn => (twin, HOME_ADDRESS, BROWSER),
            Who::Console => {
                let since = instant(self.began + acts::SIGNS_IN * 60).to_string();
                twin["accessKeyId"] = self.console_key.clone().into();
                twin["sessionContext"] =
                    json!({ "attributes": { "creationDate": since, "mfaAuthenticated": "false" } });
                (twin, HOME_ADDRESS, BROWSER)
            }
            Who::Twin => {
                twin["accessKeyId"] = self.twin_key.clone().into();
                (twin, ADDRESS, TOOL)
            }
            Who::Role => {
                let mut role = self.role.clone();
                let issuer = role["sessionContext"]["sessionIssuer"]["principalId"].as_str().unwrap_or_default();
                role["principalId"] = format!("{issuer}:{TWIN}").into();
                role["arn"] = self.session().into();
                role["accessKeyId"] = self.role_key.clone().into();
                (role, ADDRESS, TOOL)
            }
            Who::Outsider => {
                let seen = json!({ "type": "AWSAccount", "principalId": self.twin_id, "accountId": victim });
                (seen, ADDRESS, TOOL)
            }
        }
    }

    /// The ARN of the session in the other account.
    fn session(&self) -> String {
        format!("arn:aws:sts::{}:assumed-role/{ROLE}/{TWIN}", self.target.id)
    }

    /// An act's records, as the log files that they come in.
    fn write(&self, rng: &mut fastrand::Rng, spots: &Spots, act: Act) -> Vec<Chapter> {
        let mut now = self.began + act.minute * 60;
        let mut chapters: Vec<(Place, Chapter)> = Vec::new();
        for deed in act.deeds {
            // What two accounts see happens once.
            if deed.who != Who::Outsider {
                now += rng.i64(act.pace.0..act.pace.1);
            }
            let place = deed.place;
            let text = self.record(rng, deed, now);
            let known = chapters.iter().position(|(known, _)| *known == place);
            let chapter = match known.and_then(|known| chapters.get_mut(known)) {
                Some((_, chapter)) => chapter,
                None => {
                    let records = Records { texts: Vec::new(), oldest: now, newest: now };
                    let shows = act.shows.iter().filter(|(at, _)| *at == place).map(|(_, shows)| shows.clone());
                    let chapter = Chapter { chain: spots.chain(place), at: 0, records, shows: shows.collect() };
                    &mut chapters.push_mut((place, chapter)).1
                }
            };
            chapter.records.texts.push(text);
            chapter.records.newest = now;
        }
        let delivered = |(_, chapter)| Chapter { at: now + rng.i64(120..280), ..chapter };
        chapters.into_iter().map(delivered).collect()
    }

    fn record(&self, rng: &mut fastrand::Rng, deed: Deed, at: i64) -> String {
        let (identity, address, tool) = self.actor(deed.who);
        let account = self.account(deed.place);
        let region = self.region(deed.place);
        let sign_in = deed.who == Who::SignIn;
        let data = deed.place == Place::Data;
        let host = match deed.service {
            "iam" => "iam.amazonaws.com".to_owned(),
            service => format!("{service}.{region}.amazonaws.com"),
        };
        let shared = deed.shared;
        serde_json::to_string(&Record {
            event_version: "1.11",
            user_identity: identity,
            event_time: instant(at).to_string(),
            event_source: format!("{}.amazonaws.com", deed.service),
            event_name: deed.name,
            aws_region: region.as_str(),
            source_ip_address: address,
            user_agent: tool,
            error_code: deed.refusal.as_ref().map(|(code, _)| *code).filter(|code| !code.is_empty()),
            error_message: deed.refusal.map(|(_, message)| message),
            request_parameters: deed.request,
            response_elements: deed.answer,
            additional_event_data: deed.more,
            request_id: guid(rng),
            event_id: guid(rng),
            read_only: deed.reads,
            resources: deed.resources,
            event_type: if sign_in { "AwsConsoleSignIn" } else { "AwsApiCall" },
            management_event: !data,
            recipient_account_id: account,
            shared_event_id: shared.as_deref(),
            event_category: if data { "Data" } else { "Management" },
            tls_details: (!sign_in).then(|| events::tls(&host)),
            session_credential_from_console: (deed.who == Who::Console).then_some("true"),
        })
        .unwrap_or_default()
    }
}

/// An identifier such as `i-0…`.
fn thing(rng: &mut fastrand::Rng, kind: &str) -> String {
    format!("{kind}-0{}", letters(rng, HEX, 16))
}

#[cfg(test)]
mod tests;
