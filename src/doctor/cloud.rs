//! What is on AWS, each part as the identity that uses it.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::site::{any_trail, bucket_arn, deliveries, queue_arn, queue_url, resource, roles, writers};
use super::{Answer, Doctor, Line, patient, queue};
use crate::aws::Aws;
use crate::aws::probe::{Announced, BucketAt, Probe, Sample, Tried};
use crate::channel;
use crate::config::{Channel, KeysFrom, MembersFrom, Place, Trail};
use crate::core::grant::{GROUPS, Group, On, Role};
use crate::core::id::Region;
use crate::local::members::MembersFile;
use crate::seam::{Bucket, Members as _};

/// The groups of a kind of resource.
pub(super) fn groups(on: On) -> impl Iterator<Item = &'static Group> {
    GROUPS.iter().filter(move |group| group.on == on)
}

impl Doctor<'_> {
    /// The credentials of the process, and the roles that it assumes.
    pub(super) async fn identities(&self) -> Vec<Line> {
        if self.site.resources.is_empty() {
            return vec![Line::new(Role::Process, "credentials", "AWS").not_applicable("nothing is on AWS")];
        }
        let region = self.config.trails.iter().find_map(|trail| trail.region.as_ref());
        let own = self.probe(region, None).await;
        let line = Line::new(Role::Process, "credentials", "the process");
        let own = match patient(async { (own.credentials().await, ()) }).await.0 {
            Tried::Allowed => line.ok("found"),
            Tried::Denied { text, .. } | Tried::Unknown(text) => line
                .bad(text, "nothing on AWS can be reached")
                .remedy("give the process credentials as any AWS tool takes them: an instance role, AWS_PROFILE, AWS_ACCESS_KEY_ID"),
        };
        let assumed = groups(On::Roles).flat_map(|group| roles(self.config).into_iter().map(move |role| (group, role)));
        let assumed = assumed.map(|(group, role)| async move {
            let probe = self.probe(region, Some(role)).await;
            self.group(group, std::slice::from_ref(&role.arn), async |_| probe.credentials().await).await
        });
        let mut lines = vec![own];
        lines.extend(join_all(assumed).await.into_iter().flatten());
        lines
    }

    pub(super) async fn bucket(&self, trail: &Trail) -> Vec<Line> {
        let name = match &trail.bucket {
            Place::Aws(name) => name,
            Place::Dir(path) => return self.bucket_dir(path).await,
        };
        let at = &BucketAt { name: name.clone(), owner: trail.owner };
        let [reader, keeper, auditor] = &[
            self.probe_as(Role::Reader, trail).await,
            self.probe_as(Role::Retention, trail).await,
            self.probe_as(Role::Audit, trail).await,
        ];
        let nowhere = &format!("{}trailwarden-doctor/{}", first(&trail.prefixes()), self.env.token());
        let (_, key) = patient(reader.list("s3:ListBucket", at, &trail.prefixes())).await;
        let has_object = key.is_some();
        let sample = Sample { key: key.unwrap_or_else(|| nowhere.clone()), ..Sample::default() };
        let (read, found) = patient(reader.read("s3:GetObject", at, &sample)).await;
        let sample = &found.unwrap_or(sample);

        let region = trail.region.as_ref().map_or("", |region| region.as_str());
        let (bucket, objects) = (&[bucket_arn(name, region)], &deliveries(trail, name, region));
        let by = |group: &Group| match group.role {
            Role::Retention => keeper,
            Role::Audit => auditor,
            Role::Process | Role::Reader => reader,
        };
        let needed = |on: &[On]| {
            on.iter().copied().filter(|on| !self.site.of(*on).is_empty()).flat_map(groups).collect::<Vec<_>>()
        };
        let of_bucket = needed(&[On::Buckets, On::PromisedBuckets, On::AuditedBuckets])
            .into_iter()
            .map(|group| self.group(group, bucket, async move |action| by(group).on_bucket(action, at).await));
        let of_objects = needed(&[On::Deliveries, On::PromisedDeliveries]).into_iter().map(|group| {
            self.group(group, objects, async move |action| by(group).on_object(action, at, sample, nowhere).await)
        });
        let (of_bucket, of_objects) = tokio::join!(join_all(of_bucket), join_all(of_objects));
        let mut lines = [of_bucket, of_objects].concat().concat();
        lines.extend(self.decryption(&read, sample, has_object));
        lines
    }

    /// Whether what lies in the bucket can be decrypted, by the object that was read.
    fn decryption(&self, read: &Tried, sample: &Sample, has_object: bool) -> Vec<Line> {
        let named = self.site.of(On::Keys);
        let told = match read {
            Tried::Denied { text, .. } => key_in(text),
            _ => sample.kms.clone(),
        };
        let keys: Vec<String> = told.filter(|_| named.is_empty()).into_iter().chain(named.iter().cloned()).collect();
        let mut lines = Vec::new();
        for group in groups(On::Keys) {
            for (action, without) in group.actions {
                let denied = matches!(read, Tried::Denied { action: Some(denied), .. } if denied == action);
                if keys.is_empty() && !denied {
                    continue;
                }
                let keys = if keys.is_empty() { vec!["*".to_owned()] } else { keys.clone() };
                let line = self.permission(group, action, without, &keys, read.clone());
                lines.push(match line.answer {
                    Answer::Ok if !has_object => line.unchecked("there is no object to decrypt"),
                    Answer::Ok if sample.kms.is_none() => {
                        line.not_applicable("the object that was read is not encrypted with a KMS key")
                    }
                    _ => line,
                });
            }
        }
        lines
    }

    pub(super) async fn queue(&self, trail: &Trail) -> Vec<Line> {
        let url = match &trail.queue {
            Place::Aws(url) => url,
            Place::Dir(path) => return self.spool_dir(path).await,
        };
        let region = trail.region.as_ref().map_or("", |region| region.as_str());
        let Some(arn) = queue_arn(url, region) else { return Vec::new() };
        let probe = &self.probe_as(Role::Reader, trail).await;
        let (asked, attributes) = patient(probe.queue("sqs:GetQueueAttributes", url)).await;
        let seen = queue::Attributes::new(attributes);
        let may_receive = seen.may_receive();
        let tries = groups(On::Queues).map(|group| {
            self.group(group, std::slice::from_ref(&arn), async move |action| {
                probe.on_queue(action, url, may_receive).await
            })
        });
        let mut lines: Vec<Line> = join_all(tries).await.into_iter().flatten().collect();
        if self.wants(Role::Reader) {
            let announced = self.announced(trail, probe).await;
            lines.extend(queue::judge(trail, &arn, &asked, &seen, announced.as_ref()));
            lines.extend(self.dead_letters(probe, url, &seen).await);
        }
        lines
    }

    /// The bucket's notification configuration, if it may be read: what sends to the queue.
    async fn announced(&self, trail: &Trail, probe: &Probe) -> Option<Announced> {
        let Place::Aws(name) = &trail.bucket else { return None };
        let at = BucketAt { name: name.clone(), owner: trail.owner };
        patient(probe.notifications(&at)).await.1
    }

    async fn dead_letters(&self, probe: &Probe, url: &str, seen: &queue::Attributes) -> Vec<Line> {
        let Some(arn) = seen.dead_letters() else { return Vec::new() };
        let Some(url) = queue_url(url, &arn) else { return Vec::new() };
        let (tried, attributes) = &patient(probe.queue("sqs:GetQueueAttributes", &url)).await;
        let mut lines = Vec::new();
        for group in groups(On::DeadLetters) {
            let attempt = async |action| match action {
                "sqs:GetQueueAttributes" => tried.clone(),
                action => probe.on_queue_named(action, &arn).await,
            };
            lines.extend(self.group(group, std::slice::from_ref(&arn), attempt).await);
        }
        let mut lines = self.unless_named(lines, On::DeadLetters, &arn, "--dead-letters");
        lines.extend(queue::judge_dead(&arn, tried, &queue::Attributes::new(attributes.clone()), seen));
        lines
    }

    /// A policy has what is on something that the configuration does not name only where it was named beside it.
    fn unless_named(&self, lines: Vec<Line>, on: On, arn: &String, flag: &str) -> Vec<Line> {
        let is_named = self.site.of(on).contains(arn);
        let lines = lines.into_iter().map(|line| match line.answer {
            Answer::Bad if !is_named => {
                Line { answer: Answer::Unchecked, ..line }.remedy(format!("{flag} {arn} prints a policy that has it"))
            }
            _ => line,
        });
        lines.collect()
    }

    /// Whether there are keys to check signatures with, in every region that digests come from.
    pub(super) async fn public_keys(&self, trail: &Trail) -> Vec<Line> {
        let Some(home) = &trail.region else { return self.saved_keys(trail).await };
        if trail.keys != KeysFrom::CloudTrail {
            return self.saved_keys(trail).await;
        }
        let probe = &self.probe(Some(home), trail.role.as_ref()).await;
        let mut lines = Vec::new();
        for group in groups(On::PublicKeys) {
            let attempt = async |action| probe.public_keys(action, home).await.0;
            lines.extend(self.group(group, &["*".to_owned()], attempt).await);
        }
        if !self.wants(Role::Reader) {
            return lines;
        }
        let regions = self.digest_regions(trail, home).await;
        let asked = regions.iter().map(|region| async move {
            let line = Line::new(Role::Reader, "signing keys", &format!("{} {region}", trail.name));
            match patient(probe.public_keys("cloudtrail:ListPublicKeys", region)).await {
                (Tried::Allowed, Some(0) | None) => {
                    line.bad("the region has no key now", "its digests cannot be proven")
                }
                (Tried::Allowed, Some(count)) => line.ok(format!("{count} keys")),
                (Tried::Denied { text, .. } | Tried::Unknown(text), _) => line.unchecked(text),
            }
        });
        lines.extend(join_all(asked).await);
        lines
    }

    /// The regions of the first account that has digests; the trail's own if there is none.
    async fn digest_regions(&self, trail: &Trail, home: &Region) -> BTreeSet<Region> {
        let mut regions = BTreeSet::from([home.clone()]);
        if let Place::Aws(name) = &trail.bucket {
            let aws = Aws::session(trail.region.as_ref(), trail.role.as_ref()).await;
            let bucket = aws.bucket(name.clone(), trail.owner);
            let found = async { (Tried::Allowed, regions_under(&bucket, &trail.prefixes()).await) };
            regions.extend(patient(found).await.1);
        }
        regions
    }

    pub(super) async fn members(&self) -> Vec<Line> {
        let organization = &self.config.organization;
        if let MembersFrom::File(path) = &organization.members {
            let line = Line::new(Role::Reader, "members", &path.display().to_string());
            return vec![match MembersFile::new(path.clone()).all().await {
                Ok(members) => line.ok(format!("{} accounts", members.len())),
                Err(error) => line.bad(error.to_string(), "who is a member is not known: deliveries wait"),
            }];
        }
        if !self.wants(Role::Reader) {
            return Vec::new();
        }
        let region = self.config.trails.iter().find_map(|trail| trail.region.as_ref());
        let probe = &self.probe(region, organization.role.as_ref()).await;
        let (described, root, account) = tokio::join!(
            patient(probe.organization("organizations:DescribeOrganization")),
            patient(probe.root("organizations:ListRoots")),
            patient(probe.account("organizations:ListAccounts"))
        );
        let (described, id) = described;
        let (described, root, account) = (&described, &root, &account);
        let mut lines = Vec::new();
        for group in groups(On::Organization) {
            let attempt = async move |action| match action {
                "organizations:DescribeOrganization" => described.clone(),
                "organizations:ListRoots" => root.0.clone(),
                "organizations:ListAccounts" => account.0.clone(),
                action => probe.on_tree(action, root.1.as_deref(), account.1.as_deref()).await,
            };
            lines.extend(self.group(group, &["*".to_owned()], attempt).await);
        }
        lines.push(self.identity(described, id));
        lines
    }

    fn identity(&self, described: &Tried, id: Option<String>) -> Line {
        let wanted = self.config.organization.id.as_ref().map(ToString::to_string);
        let line = Line::new(Role::Reader, "organization", wanted.as_deref().unwrap_or("any"));
        match (described, id, wanted) {
            (_, Some(id), Some(wanted)) if id != wanted => line
                .bad(format!("the credentials are of {id}"), "members are not read, so that nothing can be admitted")
                .remedy("set [organization] id, or role to one of a role in that organization"),
            (_, Some(id), _) => line.ok(id),
            (Tried::Denied { text, .. } | Tried::Unknown(text), ..) => line.unchecked(text.clone()),
            (Tried::Allowed, None, _) => line.unchecked("the answer names no organization"),
        }
    }

    pub(super) async fn copies(&self) -> Vec<Line> {
        let Some(snapshot) = &self.config.snapshot else { return Vec::new() };
        match &snapshot.to {
            Place::Aws(bucket) => {
                self.own_bucket(bucket, snapshot.region.as_ref(), &snapshot.prefix, &[On::Copies]).await
            }
            Place::Dir(path) => self.own_dir("copies", path, "no copy of the ledger is kept").await,
        }
    }

    pub(super) async fn history(&self) -> Vec<Line> {
        let Some(archive) = &self.config.archive else { return Vec::new() };
        match &archive.location {
            Place::Aws(bucket) => {
                let on = [On::HistoryBuckets, On::HistoryFiles];
                self.own_bucket(bucket, archive.region.as_ref(), &archive.prefix, &on).await
            }
            Place::Dir(path) => self.own_dir("archive", path, "no record is archived").await,
        }
    }

    /// What the process keeps in a bucket that is no trail's.
    pub(super) async fn own_bucket(&self, name: &str, region: Option<&Region>, prefix: &str, on: &[On]) -> Vec<Line> {
        let probe = &self.probe(region, None).await;
        let at = &BucketAt { name: name.to_owned(), owner: None };
        let nowhere = &format!("{prefix}trailwarden-doctor-{}", self.env.token());
        let sample = &Sample { key: nowhere.clone(), ..Sample::default() };
        let tries = on.iter().flat_map(|on| groups(*on)).map(|group| {
            self.group(group, self.site.of(group.on), async move |action| match action {
                "s3:ListBucket" => probe.on_bucket(action, at).await,
                _ => probe.on_object(action, at, sample, nowhere).await,
            })
        });
        join_all(tries).await.into_iter().flatten().collect()
    }

    pub(super) async fn keys_of_kms(&self) -> Vec<Line> {
        let Some(trail) = self.config.trails.iter().find(|trail| trail.region.is_some()) else { return Vec::new() };
        let auditor = self.probe_as(Role::Audit, trail).await;
        let mut asked = vec![(On::AuditedKeys, auditor)];
        for role in writers(self.config) {
            asked.push((On::KeysToWrite, self.probe(trail.region.as_ref(), role).await));
        }
        let tries = asked.iter().flat_map(|(on, probe)| groups(*on).map(move |group| (group, probe)));
        let tries = tries.flat_map(|(group, probe)| {
            self.site.of(group.on).iter().map(move |key| {
                self.group(group, std::slice::from_ref(key), async move |action| probe.on_key(action, key).await)
            })
        });
        join_all(tries).await.into_iter().flatten().map(told_of_services).collect()
    }

    /// The trails that deliver, and the topics between the bucket and the queue.
    pub(super) async fn trails(&self, trail: &Trail) -> Vec<Line> {
        let Place::Aws(bucket) = &trail.bucket else { return Vec::new() };
        if !self.wants(Role::Audit) || self.config.posture.is_none() {
            return Vec::new();
        }
        let probe = &self.probe(trail.region.as_ref(), self.config.trail_auditor(trail)).await;
        let auditor = &self.probe_as(Role::Audit, trail).await;
        let (described, announced) =
            tokio::join!(patient(probe.trails("cloudtrail:DescribeTrails", bucket)), self.announced(trail, auditor));
        let (described, found) = &described;
        let any = any_trail(trail.region.as_ref().map_or("", |region| region.as_str()));
        let mut lines = Vec::new();
        for (on, arn) in [(On::AnyTrail, "*".to_owned()), (On::Trails, any)] {
            for group in groups(on) {
                let attempt = async |action| match action {
                    "cloudtrail:DescribeTrails" => described.clone(),
                    action => probe.on_trail(action, found.as_ref().map(|found| found.arn.as_str())).await,
                };
                lines.extend(self.group(group, std::slice::from_ref(&arn), attempt).await);
            }
        }
        let of_bucket = announced.into_iter().flat_map(|told| told.topics);
        let of_trail = found.iter().filter_map(|found| found.topic.clone());
        let topics: BTreeSet<String> = of_bucket.chain(of_trail).chain(self.ask.topics.iter().cloned()).collect();
        for topic in &topics {
            for group in groups(On::Announcers) {
                let attempt = async |action| auditor.on_topic(action, topic).await;
                let tried = self.group(group, std::slice::from_ref(topic), attempt).await;
                lines.extend(self.unless_named(tried, On::Announcers, topic, "--topic"));
            }
        }
        lines
    }

    pub(super) async fn channel(&self, name: &str, channel: &Channel) -> Vec<Line> {
        let line = Line::new(Role::Reader, "channel", &format!("{name} ({})", channel.kind()));
        match channel {
            Channel::Stdout(_) => vec![line.ok("written to stdout")],
            Channel::Sns { topic, region, role } => {
                let probe = &self.probe(Some(region), role.as_ref()).await;
                let tries = groups(On::Topics).map(|group| {
                    self.group(group, std::slice::from_ref(topic), async move |action| {
                        probe.on_topic(action, topic).await
                    })
                });
                join_all(tries).await.into_iter().flatten().collect()
            }
            channel => {
                let reached = match channel::open(channel, &self.env).await {
                    Ok(far) => far.reach().await,
                    Err(error) => Err(error),
                };
                if let Some((on, arn)) = resource(channel) {
                    let tried = &Tried::of(reached);
                    let tries = groups(on)
                        .map(|group| self.group(group, std::slice::from_ref(&arn), async move |_| tried.clone()));
                    return join_all(tries).await.into_iter().flatten().collect();
                }
                vec![match reached {
                    Ok(()) => line.ok("it answers; `channel test` sends something"),
                    Err(error) => line
                        .bad(error.to_string(), "no alert reaches the channel")
                        .remedy(format!("trailwarden channel test {name}")),
                }]
            }
        }
    }
}

/// A denial of `kms:GenerateDataKey` may be one of the question alone.
fn told_of_services(line: Line) -> Line {
    let is_of_question = line.name == "kms:GenerateDataKey" && line.answer == Answer::Bad && line.remedy.is_none();
    if !is_of_question {
        return line;
    }
    line.remedy(
        "a policy that allows it through services alone (kms:ViaService under StringEquals) refuses this question, too: \
         StringEqualsIfExists lets it be tried",
    )
}

/// The key that a denial names: "… on resource: arn:aws:kms:… because …".
fn key_in(text: &str) -> Option<String> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | '(' | ')'));
    words.into_iter().find(|word| word.starts_with("arn:") && word.contains(":kms:")).map(str::to_owned)
}

fn first(prefixes: &[String]) -> &str {
    prefixes.first().map_or("", String::as_str)
}

/// What lies as `PREFIX[o-…/]ACCOUNT/CloudTrail-Digest/REGION/`.
async fn regions_under(bucket: &impl Bucket, prefixes: &[String]) -> BTreeSet<Region> {
    let mut regions = BTreeSet::new();
    for prefix in prefixes {
        let mut level = bucket.folders(prefix).await.unwrap_or_default();
        if let Some(organization) =
            level.iter().find(|folder| folder.strip_prefix(prefix.as_str()).is_some_and(|name| name.starts_with("o-")))
        {
            level = bucket.folders(organization).await.unwrap_or_default();
        }
        let Some(account) = level.first() else { continue };
        let digests = format!("{account}CloudTrail-Digest/");
        let found = bucket.folders(&digests).await.unwrap_or_default();
        let names = found.iter().filter_map(|folder| folder.strip_prefix(&digests));
        regions.extend(names.filter_map(|name| Region::parse(name.trim_end_matches('/')).ok()));
    }
    regions
}

#[cfg(test)]
mod tests {
    use super::super::{Ask, site};
    use super::*;
    use crate::aws::probe::Watch;
    use crate::config::Config;
    use crate::env::Env;

    const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn denied(action: Option<&str>) -> Tried {
        Tried::Denied { action: action.map(str::to_owned), text: "no".into() }
    }

    #[test]
    fn a_denial_is_blamed_on_the_action_that_aws_names() {
        let text = "[[trail]]\nname = \"org\"\nbucket = \"acme\"\nregion = \"eu-central-1\"\n\
                    queue = \"https://sqs.eu-central-1.amazonaws.com/111122223333/trail\"\n";
        let config = Config::from_text(text, "test").unwrap();
        let (env, ask) = (Env::system(), Ask::default());
        let doctor =
            Doctor { config: &config, env: env.clone(), ask: &ask, site: site(&config, &ask), watch: Watch::new(&env) };
        let group = groups(On::Deliveries).next().unwrap();
        let line = |tried| doctor.permission(group, "s3:GetObject", "nothing is read", &["*".to_owned()], tried);
        assert_eq!(line(Tried::Allowed).answer, Answer::Ok);
        assert_eq!(line(Tried::Unknown("late".into())).answer, Answer::Unchecked);
        for action in [None, Some("s3:GetObject")] {
            let line = line(denied(action));
            assert_eq!((line.answer, line.without.as_deref()), (Answer::Bad, Some("nothing is read")));
            assert!(line.statement.is_some() && line.remedy.is_none());
        }
        let explicit = Tried::Denied { action: None, text: "with an explicit deny in a resource-based policy".into() };
        assert!(line(explicit).remedy.is_some_and(|remedy| remedy.contains("take the denial away")));
        let other = line(denied(Some("kms:Decrypt")));
        assert_eq!((other.answer, &other.statement), (Answer::Unchecked, &None));

        let plain = Sample { key: "k".into(), ..Sample::default() };
        let encrypted = Sample { kms: Some(KEY.into()), ..plain.clone() };
        let answers = |read: &Tried, sample: &Sample, has_object| -> Vec<(String, Answer)> {
            let lines = doctor.decryption(read, sample, has_object);
            lines.into_iter().map(|line| (line.on, line.answer)).collect()
        };
        assert_eq!(answers(&Tried::Allowed, &plain, true), []);
        assert_eq!(answers(&denied(None), &plain, true), []);
        assert_eq!(answers(&Tried::Allowed, &encrypted, true), [(KEY.to_owned(), Answer::Ok)]);
        assert_eq!(answers(&denied(Some("kms:Decrypt")), &plain, true), [("*".to_owned(), Answer::Bad)]);
        let text = format!("not authorized to perform: kms:Decrypt on resource: {KEY} because");
        let named = Tried::Denied { action: Some("kms:Decrypt".into()), text };
        assert_eq!(answers(&named, &plain, true), [(KEY.to_owned(), Answer::Bad)]);
        let statement = doctor.decryption(&named, &plain, true).remove(0).statement.unwrap();
        let via = ["s3", "sqs"].map(|service| format!("{service}.eu-central-1.amazonaws.com"));
        assert_eq!(statement.condition.unwrap()["StringEquals"]["kms:ViaService"], serde_json::json!(via));
    }
}
