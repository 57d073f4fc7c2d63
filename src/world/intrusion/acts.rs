//! What the intruder does, act by act. Requests and answers are shaped as CloudTrail writes those of the same calls.

use fastrand::Rng;
use serde_json::{Value, json};

use super::{Place, ROLE, Scene, Shows, TWIN, Who, thing};
use crate::core::finding::Kind;
use crate::core::id::AccountId;
use crate::world::cast::{HEX, guid, letters};
use crate::world::instant;

/// Minutes after the beginning.
pub(super) const SIGNS_IN: i64 = 31;
pub(super) const CROSSES: i64 = 52;

/// Seconds between two calls of a script, and of a person.
const SCRIPT: (i64, i64) = (3, 12);
const HAND: (i64, i64) = (20, 70);

/// A stretch of deeds.
pub(super) struct Act {
    pub minute: i64,
    pub pace: (i64, i64),
    pub deeds: Vec<Deed>,
    pub shows: Vec<(Place, Shows)>,
}

/// A call.
pub(super) struct Deed {
    pub who: Who,
    pub place: Place,
    pub service: &'static str,
    pub name: &'static str,
    pub reads: bool,
    /// Error code and message; a failed sign-in has no code.
    pub refusal: Option<(&'static str, String)>,
    pub request: Value,
    pub answer: Value,
    pub more: Option<Value>,
    pub resources: Option<Value>,
    pub shared: Option<String>,
}

/// Somebody at a place, about to do something.
#[derive(Clone, Copy)]
struct At(Who, Place);

impl At {
    fn does(self, service: &'static str, name: &'static str, request: Value) -> Deed {
        let Self(who, place) = self;
        Deed {
            who,
            place,
            service,
            name,
            reads: false,
            refusal: None,
            request,
            answer: Value::Null,
            more: None,
            resources: None,
            shared: None,
        }
    }

    fn reads(self, service: &'static str, name: &'static str, request: Value) -> Deed {
        Deed { reads: true, ..self.does(service, name, request) }
    }
}

impl Deed {
    fn answers(self, answer: Value) -> Self {
        Self { answer, ..self }
    }

    fn refused(self, code: &'static str, message: String) -> Self {
        Self { refusal: Some((code, message)), ..self }
    }
}

fn rule(place: Place, rule: &'static str, story: &'static str) -> (Place, Shows) {
    (place, Shows { kind: Kind::RuleFired, rule: Some(rule), story })
}

impl Scene<'_> {
    pub fn acts(&self, rng: &mut Rng) -> Vec<Act> {
        vec![
            self.look_around(),
            self.settle(),
            self.open_up(rng),
            self.cross(rng),
            self.loot(rng),
            self.expose(),
            self.mine(rng),
            self.hide(rng),
        ]
    }

    /// Whose key is this, and what may it do?
    fn look_around(&self) -> Act {
        let key = At(Who::Key, Place::Home);
        let mut deeds = vec![
            key.reads("sts", "GetCallerIdentity", Value::Null),
            key.reads("iam", "ListUsers", Value::Null),
            key.reads("iam", "GetAccountAuthorizationDetails", json!({ "maxItems": 1000 })),
            key.reads("s3", "ListBuckets", json!({ "Host": "s3.amazonaws.com" })),
            key.reads("cloudtrail", "DescribeTrails", json!({ "trailNameList": [] })),
        ];
        let tried: [(&str, &str, &str); 17] = [
            ("organizations", "ListAccounts", "AccessDeniedException"),
            ("guardduty", "ListDetectors", "AccessDenied"),
            ("config", "DescribeConfigurationRecorders", "AccessDenied"),
            ("lambda", "ListFunctions20150331", "AccessDenied"),
            ("dynamodb", "ListTables", "AccessDenied"),
            ("rds", "DescribeDBInstances", "AccessDenied"),
            ("kms", "ListKeys", "AccessDenied"),
            ("logs", "DescribeLogGroups", "AccessDenied"),
            ("ssm", "DescribeParameters", "AccessDenied"),
            ("ecr", "DescribeRepositories", "AccessDenied"),
            ("eks", "ListClusters", "AccessDenied"),
            ("ses", "GetSendQuota", "AccessDenied"),
            ("servicequotas", "ListServiceQuotas", "AccessDenied"),
            ("route53", "ListHostedZones", "AccessDenied"),
            ("sns", "ListTopics", "AccessDenied"),
            ("sqs", "ListQueues", "AccessDenied"),
            ("ec2", "DescribeInstances", "Client.UnauthorizedOperation"),
        ];
        let user = self.key["arn"].as_str().unwrap_or_default();
        deeds.extend(tried.map(|(service, name, code)| {
            let action = name.trim_end_matches("20150331");
            let why = format!("User: {user} is not authorized to perform: {service}:{action}");
            key.reads(service, name, Value::Null).refused(code, why)
        }));
        let story = "with a stolen key somebody tried out what it is allowed to do";
        Act { minute: 0, pace: SCRIPT, deeds, shows: vec![rule(Place::Home, "denied-burst", story)] }
    }

    /// A user of its own, with every right, a key and a password.
    fn settle(&self) -> Act {
        let key = At(Who::Key, Place::Home);
        let now = instant(self.began + 22 * 60).strftime("%b %-d, %Y %-I:%M:%S %p").to_string();
        let arn = format!("arn:aws:iam::{}:user/{TWIN}", self.victim.id);
        let user = json!({ "path": "/", "userName": TWIN, "userId": self.twin_id, "arn": arn, "createDate": now });
        let access = json!({ "accessKeyId": self.twin_key, "status": "Active", "userName": TWIN, "createDate": now });
        let login = json!({ "userName": TWIN, "createDate": now, "passwordResetRequired": false });
        let policy = "arn:aws:iam::aws:policy/AdministratorAccess";
        let deeds = vec![
            key.does("iam", "CreateUser", json!({ "userName": TWIN })).answers(json!({ "user": user })),
            key.does("iam", "CreateAccessKey", json!({ "userName": TWIN })).answers(json!({ "accessKey": access })),
            key.does("iam", "AttachUserPolicy", json!({ "userName": TWIN, "policyArn": policy })),
            key.does("iam", "CreateLoginProfile", json!({ "userName": TWIN, "passwordResetRequired": false }))
                .answers(json!({ "loginProfile": login })),
        ];
        let shows = vec![
            rule(Place::Home, "administrator-attached", "with the stolen key a user was made and given every right"),
            rule(Place::Home, "login-profile-made", "that user was given a password for the console"),
        ];
        Act { minute: 22, pace: HAND, deeds, shows }
    }

    /// In at the front door, and the door left open.
    fn open_up(&self, rng: &mut Rng) -> Act {
        let group = thing(rng, "sg");
        let (home, near) = (At(Who::Console, Place::Home), At(Who::Console, Place::Near));
        let sign_in = |said: &str| Deed {
            answer: json!({ "ConsoleLogin": said }),
            more: Some(json!({
                "LoginTo": "https://console.aws.amazon.com/console/home?state=hashArgs%23&isauthcode=true",
                "MobileVersion": "No",
                "MFAUsed": "No",
            })),
            ..At(Who::SignIn, Place::Home).does("signin", "ConsoleLogin", Value::Null)
        };
        let range = json!({ "ipProtocol": "tcp", "fromPort": 22, "toPort": 22,
                            "ipRanges": { "items": [{ "cidrIp": "0.0.0.0/0" }] } });
        let opened = json!({ "_return": true, "requestId": guid(rng), "securityGroupRuleSet": { "items": [{
            "groupOwnerId": self.victim.id, "groupId": group, "securityGroupRuleId": thing(rng, "sgr"),
            "isEgress": false, "ipProtocol": "tcp", "fromPort": 22, "toPort": 22, "cidrIpv4": "0.0.0.0/0" }] } });
        let deeds = vec![
            sign_in("Failure").refused("", "Failed authentication".into()),
            sign_in("Success"),
            home.reads("iam", "GetAccountSummary", Value::Null),
            home.reads("account", "ListRegions", Value::Null),
            home.does("account", "EnableRegion", json!({ "RegionName": self.opted.as_str() })),
            near.reads("ec2", "DescribeSecurityGroups", json!({ "securityGroupSet": {}, "filterSet": {} })),
            near.does(
                "ec2",
                "AuthorizeSecurityGroupIngress",
                json!({ "groupId": group, "ipPermissions": { "items": [range] } }),
            )
            .answers(opened),
            near.does("ec2", "CreateKeyPair", json!({ "keyName": TWIN, "keyType": "ed25519", "keyFormat": "pem" }))
                .answers(
                    json!({ "keyName": TWIN, "keyPairId": thing(rng, "key"), "keyMaterial": "<sensitiveDataRemoved>" }),
                ),
        ];
        let story = "the new user let the whole internet at port 22";
        let shows = vec![rule(Place::Near, "security-group-open-to-all", story)];
        Act { minute: SIGNS_IN, pace: HAND, deeds, shows }
    }

    /// Into another account: two roles refuse, the third does not.
    fn cross(&self, rng: &mut Rng) -> Act {
        let role = |account: &AccountId| format!("arn:aws:iam::{account}:role/workload/{ROLE}");
        let asked = |account: &AccountId| json!({ "roleArn": role(account), "roleSessionName": TWIN });
        let twin = At(Who::Twin, Place::Home);
        let user = format!("arn:aws:iam::{}:user/{TWIN}", self.victim.id);
        let mut deeds: Vec<Deed> = Vec::new();
        for other in &self.others {
            let why = format!("User: {user} is not authorized to perform: sts:AssumeRole on resource: {}", role(other));
            deeds.push(twin.reads("sts", "AssumeRole", asked(other)).refused("AccessDenied", why));
        }
        let target = &self.target.id;
        let issuer = self.role["sessionContext"]["sessionIssuer"]["principalId"].as_str().unwrap_or_default();
        let until = instant(self.began + (CROSSES + 60) * 60).strftime("%b %-d, %Y %-I:%M:%S %p").to_string();
        let answer = json!({
            "credentials": { "accessKeyId": self.role_key, "sessionToken": letters(rng, HEX, 48), "expiration": until },
            "assumedRoleUser": { "assumedRoleId": format!("{issuer}:{TWIN}"), "arn": self.session() },
        });
        let shared = guid(rng);
        for who in [twin, At(Who::Outsider, Place::Target)] {
            deeds.push(Deed {
                answer: answer.clone(),
                resources: Some(json!([{ "accountId": target, "type": "AWS::IAM::Role", "ARN": role(target) }])),
                shared: Some(shared.clone()),
                ..who.reads("sts", "AssumeRole", asked(target))
            });
        }
        Act { minute: CROSSES, pace: HAND, deeds, shows: Vec::new() }
    }

    /// What is there is taken.
    fn loot(&self, rng: &mut Rng) -> Act {
        let (target, vault) = (At(Who::Role, Place::Target), At(Who::Role, Place::Vault));
        let (account, region) = (&self.target.id, self.regions[2]);
        let mut deeds = vec![
            target.reads("sts", "GetCallerIdentity", Value::Null),
            target.reads("s3", "ListBuckets", json!({ "Host": "s3.amazonaws.com" })),
            vault.reads("secretsmanager", "ListSecrets", json!({ "maxResults": 100 })),
        ];
        for name in ["carrier-api", "gateway/signing-key", "warehouse/admin"] {
            let secret = format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}");
            deeds.push(vault.reads("secretsmanager", "GetSecretValue", json!({ "secretId": secret })));
        }
        let path = json!({ "path": "/booking/", "recursive": true, "withDecryption": true });
        deeds.push(vault.reads("ssm", "GetParametersByPath", path));
        deeds.push(self.object(rng, "ListObjects", None));
        for part in 0..14 {
            deeds.push(self.object(rng, "GetObject", Some(format!("2026-02/customers-{part:02}.csv.gz"))));
        }
        Act { minute: CROSSES + 4, pace: SCRIPT, deeds, shows: Vec::new() }
    }

    fn bucket(&self) -> String {
        format!("{}-exports", self.target.name)
    }

    /// A call on what is in the bucket: a data event.
    fn object(&self, rng: &mut Rng, name: &'static str, key: Option<String>) -> Deed {
        let bucket = self.bucket();
        let arn = format!("arn:aws:s3:::{bucket}");
        let host = format!("{bucket}.s3.{}.amazonaws.com", self.regions[2]);
        let mut request = json!({ "bucketName": bucket, "Host": host });
        let mut resources = vec![json!({ "type": "AWS::S3::Bucket", "ARN": arn, "accountId": self.target.id })];
        match key {
            Some(key) => {
                resources.insert(0, json!({ "type": "AWS::S3::Object", "ARN": format!("{arn}/{key}") }));
                request["key"] = key.into();
            }
            None => {
                resources.insert(0, json!({ "type": "AWS::S3::Object", "ARNPrefix": format!("{arn}/") }));
                request["prefix"] = "".into();
            }
        }
        let more = json!({ "SignatureVersion": "SigV4", "AuthenticationMethod": "AuthHeader", "bytesTransferredIn": 0,
                           "bytesTransferredOut": rng.u32(20_000_000..60_000_000), "x-amz-id-2": letters(rng, HEX, 40) });
        Deed {
            more: Some(more),
            resources: Some(Value::Array(resources)),
            ..At(Who::Role, Place::Data).reads("s3", name, request)
        }
    }

    /// And left open for later.
    fn expose(&self) -> Act {
        let role = At(Who::Role, Place::Vault);
        let bucket = self.bucket();
        let host = format!("{bucket}.s3.{}.amazonaws.com", self.regions[2]);
        let block = json!({ "bucketName": bucket, "Host": host, "publicAccessBlock": "", "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": false, "IgnorePublicAcls": false, "BlockPublicPolicy": false, "RestrictPublicBuckets": false } });
        let statement = json!({ "Sid": "sync", "Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
                                "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")] });
        let policy = json!({ "bucketName": bucket, "Host": host, "policy": "",
                             "bucketPolicy": { "Version": "2012-10-17", "Statement": [statement] } });
        let deeds = vec![
            role.reads(
                "s3",
                "GetBucketPublicAccessBlock",
                json!({ "bucketName": bucket, "publicAccessBlock": "", "Host": host }),
            ),
            role.does("s3", "PutBucketPublicAccessBlock", block),
            role.does("s3", "PutBucketPolicy", policy),
        ];
        let story = "through a role in another account a bucket was opened to everybody";
        Act { minute: 75, pace: HAND, deeds, shows: vec![rule(Place::Vault, "bucket-made-public", story)] }
    }

    /// Large machines where nobody looks.
    fn mine(&self, rng: &mut Rng) -> Act {
        let twin = At(Who::Twin, Place::Far);
        let run = |kind: &str, count: u32| {
            let image =
                json!({ "items": [{ "imageId": "ami-0c0ffee0c0ffee001", "minCount": count, "maxCount": count }] });
            json!({ "instancesSet": image, "instanceType": kind, "monitoring": { "enabled": false } })
        };
        let full = "You have requested more vCPU capacity than your current vCPU limit of 96 allows";
        let items: Vec<Value> = (0..2)
            .map(|_| {
                json!({ "instanceId": thing(rng, "i"), "instanceType": "g6.12xlarge",
                             "instanceState": { "code": 0, "name": "pending" } })
            })
            .collect();
        let started =
            json!({ "reservationId": thing(rng, "r"), "ownerId": self.victim.id, "instancesSet": { "items": items } });
        let deeds = vec![
            twin.reads("ec2", "DescribeInstanceTypeOfferings", json!({ "DescribeInstanceTypeOfferingsRequest": "" })),
            twin.does("ec2", "RunInstances", run("p5.48xlarge", 4)).refused("Client.VcpuLimitExceeded", full.into()),
            twin.does("ec2", "RunInstances", run("g6.12xlarge", 2)).answers(started),
        ];
        Act { minute: 98, pace: HAND, deeds, shows: Vec::new() }
    }

    /// What would tell of it all is to be silenced; the organization's policy does not let it happen.
    fn hide(&self, rng: &mut Rng) -> Act {
        let twin = At(Who::Twin, Place::Home);
        let (account, region) = (&self.victim.id, self.regions[0]);
        let own = format!("{}-events", self.victim.name);
        let own_arn = format!("arn:aws:cloudtrail:{region}:{account}:trail/{own}");
        let detector = letters(rng, HEX, 32);
        let detector_arn = format!("arn:aws:guardduty:{region}:{account}:detector/{detector}");
        let denied = |deed: Deed, on: &str| {
            let why = format!(
                "User: arn:aws:iam::{account}:user/{TWIN} is not authorized to perform: {}:{} on resource: {on} with an explicit deny in a service control policy",
                deed.service, deed.name
            );
            deed.refused("AccessDenied", why)
        };
        let deeds = vec![
            denied(twin.does("cloudtrail", "StopLogging", json!({ "name": self.trail })), self.trail),
            denied(twin.does("cloudtrail", "DeleteTrail", json!({ "name": own })), &own_arn),
            denied(twin.does("guardduty", "DeleteDetector", json!({ "detectorId": detector })), &detector_arn),
        ];
        let story = "the new user was refused to stop the organization's trail";
        let shows = vec![
            rule(Place::Home, "trail-attempted", "the new user was refused to stop and to delete trails"),
            (Place::Home, Shows { kind: Kind::EvidenceChainChanged, rule: None, story }),
        ];
        Act { minute: 112, pace: HAND, deeds, shows }
    }
}
