//! The resources that a configuration names, as IAM names them.

use super::Ask;
use crate::config::{Channel, Config, KeysFrom, MembersFrom, Place, Role, Trail};
use crate::core::grant::{self, On, Site, partition};

/// Nothing is asked of AWS for it.
pub fn of(config: &Config, ask: &Ask) -> Site {
    let mut site = Site::default();
    for trail in &config.trails {
        add_trail(&mut site, trail, config);
    }
    if config.organization.members == MembersFrom::Organizations {
        site.add(On::Organization, "*");
    }
    for channel in config.channels.values() {
        if let Some((on, arn)) = resource(channel) {
            site.add(on, arn);
        }
    }
    if let Some(snapshot) = &config.snapshot
        && let Place::Aws(bucket) = &snapshot.to
    {
        let region = snapshot.region.as_ref().map_or("", |region| region.as_str());
        site.add(On::Copies, format!("{}/{}*", bucket_arn(bucket, region), snapshot.prefix));
    }
    if let Some(lease) = &config.lease
        && let Place::Aws(bucket) = &lease.location
    {
        let bucket = bucket_arn(bucket, lease.region.as_ref().map_or("", |region| region.as_str()));
        site.add(On::LeaseBuckets, &bucket);
        site.add(On::Leases, format!("{bucket}/{}*", lease.prefix));
    }
    if let Some(archive) = &config.archive
        && let Place::Aws(bucket) = &archive.location
    {
        let bucket = bucket_arn(bucket, archive.region.as_ref().map_or("", |region| region.as_str()));
        site.add(On::HistoryBuckets, &bucket);
        site.add(On::HistoryFiles, format!("{bucket}/{}*", archive.prefix));
    }
    for role in roles(config) {
        site.add(On::Roles, &role.arn);
    }
    ask.dead_letters.iter().for_each(|arn| site.add(On::DeadLetters, arn));
    for key in &ask.keys {
        site.add(On::Keys, key);
        if is_written_with(&site, key) {
            site.add(On::KeysToWrite, key);
        }
        if config.posture.is_some() && may_be_audited(config, key) {
            site.add(On::AuditedKeys, key);
        }
    }
    let own_key = own_key(config).filter(|key| !ask.keys.iter().any(|named| named == key));
    for on in [On::Keys, On::KeysToWrite] {
        own_key.iter().for_each(|key| site.add(on, *key));
    }
    if config.posture.is_some() {
        ask.topics.iter().for_each(|arn| site.add(On::Announcers, arn));
    }
    site.via = via(config, &ask.keys.iter().map(String::as_str).chain(own_key).collect::<Vec<_>>());
    site
}

/// The key that the archive's files are encrypted with, where it is named as policies name keys.
fn own_key(config: &Config) -> Option<&str> {
    let key = config.archive.as_ref()?.kms_key.as_deref()?;
    (key.starts_with("arn:") && key.contains(":key/")).then_some(key)
}

fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4)
}

/// A topic is encrypted with a key of its own account; whose the buckets for copies, lease and records are, their names do not say.
fn is_written_with(site: &Site, key: &str) -> bool {
    let is_beside = |topic: &String| account_of(topic) == account_of(key);
    [On::Copies, On::Leases, On::HistoryFiles].iter().any(|on| !site.of(*on).is_empty())
        || site.of(On::Topics).iter().any(is_beside)
}

/// The key of a bucket is the one whose policy is read, and KMS shows it in the key's own account alone.
fn may_be_audited(config: &Config, key: &str) -> bool {
    config.trails.iter().any(|trail| trail.owner.is_none_or(|owner| account_of(key) == Some(owner.as_str())))
}

/// What a channel needs a permission on.
pub fn resource(channel: &Channel) -> Option<(On, String)> {
    Some(match channel {
        Channel::Sns { topic, .. } => (On::Topics, topic.clone()),
        Channel::EventBridge { bus, .. } => (On::Buses, bus.clone()),
        Channel::Lambda { function, .. } => (On::Functions, function.clone()),
        Channel::SecurityHub { account, region, .. } => {
            let partition = partition(region.as_str());
            (On::Hubs, format!("arn:{partition}:securityhub:{region}:{account}:product/{account}/default"))
        }
        _ => return None,
    })
}

fn add_trail(site: &mut Site, trail: &Trail, config: &Config) {
    if let Place::Aws(name) = &trail.bucket {
        let region = region(trail);
        let (bucket, objects) = (bucket_arn(name, region), deliveries(trail, name, region));
        site.add(On::Buckets, &bucket);
        objects.iter().for_each(|arn| site.add(On::Deliveries, arn));
        if config.posture.is_some() {
            site.add(On::AuditedBuckets, &bucket);
            site.add(On::AnyTrail, "*");
            site.add(On::Trails, any_trail(region));
        }
        if config.retention.is_some() {
            site.add(On::PromisedBuckets, &bucket);
            objects.iter().for_each(|arn| site.add(On::PromisedDeliveries, arn));
        }
    }
    if let Place::Aws(url) = &trail.queue
        && let Some(arn) = queue_arn(url, region(trail))
    {
        site.add(On::Queues, arn);
    }
    if trail.keys == KeysFrom::CloudTrail {
        site.add(On::PublicKeys, "*");
    }
}

fn region(trail: &Trail) -> &str {
    trail.region.as_ref().map_or("", |region| region.as_str())
}

/// Which trails deliver, and which will, is not known when the policy is written.
pub fn any_trail(region: &str) -> String {
    format!("arn:{}:cloudtrail:*:*:trail/*", partition(region))
}

pub fn bucket_arn(name: &str, region: &str) -> String {
    format!("arn:{}:s3:::{name}", partition(region))
}

/// Where deliveries are read: under the prefixes of the layout, anywhere without one.
pub fn deliveries(trail: &Trail, name: &str, region: &str) -> Vec<String> {
    let bucket = bucket_arn(name, region);
    match trail.layout {
        Some(_) => trail.prefixes().iter().map(|prefix| format!("{bucket}/{prefix}*")).collect(),
        None => vec![format!("{bucket}/*")],
    }
}

/// The last two parts of a queue's address are its account and its name.
pub fn queue_arn(url: &str, region: &str) -> Option<String> {
    let mut parts = url.trim_end_matches('/').rsplit('/');
    let (name, account) = (parts.next()?, parts.next()?);
    Some(format!("arn:{}:sqs:{region}:{account}:{name}", partition(region)))
}

/// The address of a queue beside one whose address is known.
pub fn queue_url(beside: &str, arn: &str) -> Option<String> {
    let parts: Vec<&str> = arn.split(':').collect();
    let [_, _, "sqs", _, account, name] = parts[..] else { return None };
    let root = beside.trim_end_matches('/').rsplitn(3, '/').nth(2)?;
    Some(format!("{root}/{account}/{name}"))
}

/// The IAM role in which the permissions of `role` are used for a trail.
pub fn assumed<'c>(config: &'c Config, trail: &'c Trail, role: grant::Role) -> Option<&'c Role> {
    match role {
        grant::Role::Process => None,
        grant::Role::Reader => trail.role.as_ref(),
        grant::Role::Retention => config.keeper(trail),
        grant::Role::Audit => config.auditor(trail),
    }
}

/// Roles to assume, each once.
pub fn roles(config: &Config) -> Vec<&Role> {
    let channels = config.channels.values().filter_map(Channel::role);
    let trails = config.trails.iter().flat_map(|trail| [&trail.role, &trail.audit_role]).flatten();
    let retention = config.retention.as_ref().and_then(|retention| retention.role.as_ref());
    let posture = config.posture.as_ref().and_then(|posture| posture.role.as_ref());
    let parts = [config.organization.role.as_ref(), retention, posture].into_iter().flatten();
    let mut roles: Vec<&Role> = trails.chain(parts).chain(channels).collect();
    roles.sort_unstable_by_key(|role| &role.arn);
    roles.dedup_by_key(|role| &role.arn);
    roles
}

/// Who writes what may be encrypted: the process its copies, its lease and its archive, each topic's role its alerts.
pub fn writers(config: &Config) -> Vec<Option<&Role>> {
    let copies = config.snapshot.iter().map(|snapshot| &snapshot.to);
    let own = copies.chain(config.lease.iter().map(|lease| &lease.location));
    let own = own.chain(config.archive.iter().map(|archive| &archive.location));
    let own = own.filter(|place| matches!(place, Place::Aws(_))).map(|_| None);
    let alerts = config.channels.values().filter_map(|channel| match channel {
        Channel::Sns { role, .. } => Some(role.as_ref()),
        _ => None,
    });
    let mut writers: Vec<Option<&Role>> = own.chain(alerts).collect();
    writers.sort_unstable_by_key(|role| role.map(|role| &role.arn));
    writers.dedup_by_key(|role| role.map(|role| &role.arn));
    writers
}

/// The services through which keys are used, in the regions of the keys that are named, else of the trails.
fn via(config: &Config, keys: &[&str]) -> Vec<String> {
    let mut services = Vec::new();
    let on_aws = |place: &Place| matches!(place, Place::Aws(_));
    let archive = config.archive.as_ref().map(|archive| &archive.location);
    if config.trails.iter().map(|trail| &trail.bucket).chain(archive).any(on_aws) || config.snapshot.is_some() {
        services.push("s3");
    }
    if config.trails.iter().any(|trail| on_aws(&trail.queue)) {
        services.push("sqs");
    }
    if config.channels.values().any(|channel| channel.kind() == "sns") {
        services.push("sns");
    }
    let mut via = Vec::new();
    let regions: Vec<&str> = match keys {
        [] => config.trails.iter().map(region).filter(|region| !region.is_empty()).collect(),
        keys => keys.iter().filter_map(|key| key.split(':').nth(3)).collect(),
    };
    for region in regions {
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        via.extend(services.iter().map(|service| format!("{service}.{region}.{suffix}")));
    }
    via.sort_unstable();
    via.dedup();
    via
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_named_for_less_goes_before_whoever_is_named_for_more() {
        let trail = "[[trail]]\nname = \"org\"\nbucket = \"acme\"\nregion = \"eu-west-1\"\n\
                     queue = \"https://sqs.eu-west-1.amazonaws.com/111122223333/trail\"\n";
        let role = |key: &str, name: &str| format!("{key} = \"arn:aws:iam::111122223333:role/{name}\"\n");
        let who = |text: &str| {
            let config = Config::from_text(text, "test").unwrap();
            let trail = &config.trails[0];
            let asked = [config.keeper(trail), config.auditor(trail), config.trail_auditor(trail)];
            let name = |role: &Role| role.arn.rsplit('/').next().unwrap().to_owned();
            (asked.map(|role| role.map(name)), roles(&config).into_iter().map(name).collect::<Vec<_>>())
        };
        let some = |names: [&str; 3]| names.map(|name| Some(name.to_owned()));
        let mut text = trail.to_owned();
        assert_eq!(who(&text), ([const { None }; 3], Vec::new()));
        text.push_str(&role("role", "read"));
        assert_eq!(who(&text), (some(["read"; 3]), vec!["read".into()]));
        let posture = format!("{text}[posture]\n{}", role("role", "look"));
        assert_eq!(who(&posture), (some(["read", "look", "look"]), vec!["look".into(), "read".into()]));
        let kept = format!("[retention]\nkeep = \"7y\"\n{}", role("role", "keep"));
        let all = format!("{text}{}[posture]\n{}{kept}", role("audit_role", "ask"), role("role", "look"));
        assert_eq!(who(&all), (some(["keep", "look", "ask"]), ["ask", "keep", "look", "read"].map(Into::into).into()));
    }

    #[test]
    fn each_who_writes_is_asked_for_once() {
        let topic = |name: &str, role: &str| {
            format!("[channel.{name}]\nkind = \"sns\"\ntopic = \"arn:aws:sns:eu-west-1:111122223333:{name}\"\n{role}")
        };
        let role = "role = \"arn:aws:iam::111122223333:role/alerts\"\n";
        let text = format!(
            "[[trail]]\nname = \"org\"\nbucket = \"acme\"\nregion = \"eu-west-1\"\n\
             queue = \"https://sqs.eu-west-1.amazonaws.com/111122223333/trail\"\n\
             [state]\nsnapshot.to = \"s3://copies/ledger\"\n{}{}{}\
             [[route]]\nto = [\"a\", \"b\", \"c\"]\n",
            topic("a", role),
            topic("b", role),
            topic("c", "")
        );
        let config = Config::from_text(&text, "test").unwrap();
        let names: Vec<Option<&str>> =
            writers(&config).into_iter().map(|role| role.map(|role| role.arn.as_str())).collect();
        assert_eq!(names, [None, Some("arn:aws:iam::111122223333:role/alerts")]);
    }

    #[test]
    fn a_key_is_asked_for_where_it_can_be_used() {
        let archive = "arn:aws:kms:eu-west-1:111122223333:key/archive";
        let alerts = "arn:aws:kms:eu-west-1:444455556666:key/alerts";
        let ask = Ask { keys: vec![archive.into(), alerts.into()], ..Ask::default() };
        let text = "[[trail]]\nname = \"org\"\nbucket = \"acme\"\nregion = \"eu-west-1\"\n\
                    queue = \"https://sqs.eu-west-1.amazonaws.com/111122223333/trail\"\n[posture]\n\
                    [channel.a]\nkind = \"sns\"\ntopic = \"arn:aws:sns:eu-west-1:444455556666:alerts\"\n\
                    [[route]]\nto = [\"a\"]\n";
        let keys = |text: &str| {
            let site = of(&Config::from_text(text, "test").unwrap(), &ask);
            [On::Keys, On::KeysToWrite, On::AuditedKeys].map(|on| site.of(on).to_vec())
        };
        let all = || vec![archive.to_owned(), alerts.to_owned()];
        assert_eq!(keys(text), [all(), vec![alerts.into()], all()]);
        let owned = text.replace("bucket = \"acme\"", "bucket = \"acme\"\nowner = \"111122223333\"");
        assert_eq!(keys(&owned), [all(), vec![alerts.into()], vec![archive.into()]]);
        for more in ["[state]\nsnapshot.to = \"s3://copies\"\n", "[archive]\nlocation = \"s3://history\"\n"] {
            assert_eq!(keys(&format!("{owned}{more}")), [all(), all(), vec![archive.into()]]);
        }
        let records = "arn:aws:kms:eu-west-1:111122223333:key/records";
        let kept = format!("{owned}[archive]\nlocation = \"s3://history\"\nkms_key = \"{records}\"\n");
        let more = [all(), vec![records.into()]].concat();
        assert_eq!(keys(&kept), [more.clone(), more, vec![archive.into()]]);
        assert_eq!(keys(&kept.replace(records, "alias/records")), [all(), all(), vec![archive.into()]]);
    }

    #[test]
    fn a_queue_is_known_by_its_address_wherever_it_is() {
        let url = "https://sqs.cn-north-1.amazonaws.com.cn/111122223333/trail";
        let arn = "arn:aws-cn:sqs:cn-north-1:111122223333:trail";
        assert_eq!(queue_arn(url, "cn-north-1").as_deref(), Some(arn));
        assert_eq!(queue_url(url, arn).as_deref(), Some(url));
        let dead = queue_url("http://127.0.0.1:4566/000000000000/trail/", "arn:aws:sqs:eu-west-1:000000000000:dead");
        assert_eq!(dead.as_deref(), Some("http://127.0.0.1:4566/000000000000/dead"));
        assert_eq!(queue_url(url, "arn:aws:sns:eu-west-1:111122223333:topic"), None);
    }
}
