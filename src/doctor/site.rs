//! The resources that a configuration names, as IAM names them.

use super::Ask;
use crate::config::{Channel, Config, KeysFrom, MembersFrom, Place, Role, Trail};
use crate::core::grant::{self, On, Site, partition};

/// Nothing is asked of AWS for it.
pub fn of(config: &Config, ask: &Ask) -> Site {
    let mut site = Site::default();
    for trail in &config.trails {
        add_trail(&mut site, trail, config.retention.is_some());
    }
    if config.organization.members == MembersFrom::Organizations {
        site.add(On::Organization, "*");
    }
    for channel in config.channels.values() {
        if let Channel::Sns { topic, .. } = channel {
            site.add(On::Topics, topic);
        }
    }
    if let Some(snapshot) = &config.snapshot
        && let Place::Aws(bucket) = &snapshot.to
    {
        let region = snapshot.region.as_ref().map_or("", |region| region.as_str());
        site.add(On::Copies, format!("{}/{}*", bucket_arn(bucket, region), snapshot.prefix));
    }
    for role in roles(config) {
        site.add(On::Roles, &role.arn);
    }
    ask.dead_letters.iter().for_each(|arn| site.add(On::DeadLetters, arn));
    let writes = !site.of(On::Topics).is_empty() || !site.of(On::Copies).is_empty();
    for key in &ask.keys {
        site.add(On::Keys, key);
        if writes {
            site.add(On::KeysToWrite, key);
        }
    }
    site.via = via(config, &ask.keys);
    site
}

fn add_trail(site: &mut Site, trail: &Trail, promised: bool) {
    if let Place::Aws(name) = &trail.bucket {
        let region = region(trail);
        let (bucket, objects) = (bucket_arn(name, region), deliveries(trail, name, region));
        site.add(On::Buckets, &bucket);
        site.add(On::AnyTrail, "*");
        site.add(On::Trails, format!("arn:{}:cloudtrail:*:*:trail/*", partition(region)));
        objects.iter().for_each(|arn| site.add(On::Deliveries, arn));
        if promised {
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
    let retention = config.retention.as_ref().and_then(|retention| retention.role.as_ref());
    match role {
        grant::Role::Process => None,
        grant::Role::Retention => retention.or(trail.role.as_ref()),
        grant::Role::Reader | grant::Role::Audit => trail.role.as_ref(),
    }
}

/// Roles to assume, each once.
pub fn roles(config: &Config) -> Vec<&Role> {
    let channels = config.channels.values().filter_map(|channel| match channel {
        Channel::Sns { role, .. } => role.as_ref(),
        _ => None,
    });
    let trails = config.trails.iter().filter_map(|trail| trail.role.as_ref());
    let retention = config.retention.as_ref().and_then(|retention| retention.role.as_ref());
    let mut roles: Vec<&Role> =
        trails.chain(config.organization.role.as_ref()).chain(retention).chain(channels).collect();
    roles.sort_unstable_by_key(|role| &role.arn);
    roles.dedup_by_key(|role| &role.arn);
    roles
}

/// The services through which keys are used, in the regions of the keys that are named, else of the trails.
fn via(config: &Config, keys: &[String]) -> Vec<String> {
    let mut services = Vec::new();
    let on_aws = |place: &Place| matches!(place, Place::Aws(_));
    if config.trails.iter().any(|trail| on_aws(&trail.bucket)) || config.snapshot.is_some() {
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
