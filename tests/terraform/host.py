"""What EC2 does for a host: the credentials of its role; and what nobody should be able to do with them."""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

wanted = json.load(sys.stdin)
endpoint, security, host = wanted["endpoint"], wanted["security"], wanted["host"]
once = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"})


def client(service, key, secret="test", token=None):
    return boto3.client(service, endpoint_url=endpoint, region_name="eu-west-1", config=once,
                        aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token)


def session(credentials):
    keys = (credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
    return lambda service: client(service, *keys)


def become_host():
    iam = client("iam", security)
    user = iam.create_user(UserName="ec2")["User"]["Arn"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": host}]}
    iam.put_user_policy(UserName="ec2", PolicyName="p", PolicyDocument=json.dumps(policy))
    name = host.rsplit("/", 1)[1]
    trust = {"Version": "2012-10-17",
             "Statement": [{"Effect": "Allow", "Principal": {"AWS": user}, "Action": "sts:AssumeRole"}]}
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    key = iam.create_access_key(UserName="ec2")["AccessKey"]
    sts = client("sts", key["AccessKeyId"], key["SecretAccessKey"])
    return sts.assume_role(RoleArn=host, RoleSessionName="i-0")["Credentials"]


def attempts(of, bucket, key, queue, kms, trail):
    """By who tries it: what Terraform's policies must not allow."""
    s3, policy = (lambda who: of[who]("s3")), json.dumps({"Version": "2012-10-17", "Statement": []})
    lock = {"Mode": "GOVERNANCE", "RetainUntilDate": "2099-01-01T00:00:00Z"}
    dead = queue + "-dead"
    for who in ["host", "archive", "audit", "retention", "trails", "organization"]:
        yield who, "s3:PutObject", lambda who=who: s3(who).put_object(Bucket=bucket, Key=key, Body=b"forged")
        yield who, "s3:DeleteObject", lambda who=who: s3(who).delete_object(Bucket=bucket, Key=key)
        yield who, "s3:PutBucketPolicy", lambda who=who: s3(who).put_bucket_policy(Bucket=bucket, Policy=policy)
        yield who, "s3:DeleteBucketPolicy", lambda who=who: s3(who).delete_bucket_policy(Bucket=bucket)
        yield who, "sqs:PurgeQueue", lambda who=who: of[who]("sqs").purge_queue(QueueUrl=queue)
        yield who, "sqs:SendMessage", lambda who=who: of[who]("sqs").send_message(QueueUrl=queue, MessageBody="x")
        yield who, "sqs:ReceiveMessage dead", lambda who=who: of[who]("sqs").receive_message(QueueUrl=dead)
        yield who, "kms:ScheduleKeyDeletion", lambda who=who: of[who]("kms").schedule_key_deletion(KeyId=kms)
        yield who, "cloudtrail:StopLogging", lambda who=who: of[who]("cloudtrail").stop_logging(Name=trail)
        yield who, "iam:CreateUser", lambda who=who: of[who]("iam").create_user(UserName="x")
    for who in ["host", "audit", "trails", "organization"]:
        yield who, "s3:GetObject", lambda who=who: s3(who).get_object(Bucket=bucket, Key=key)
        yield who, "sqs:ReceiveMessage", lambda who=who: of[who]("sqs").receive_message(QueueUrl=queue)
    for who in ["host", "archive", "audit", "trails", "organization"]:
        yield who, "s3:PutObjectRetention", lambda who=who: s3(who).put_object_retention(Bucket=bucket, Key=key, Retention=lock)
    for who in ["host", "archive", "audit", "retention"]:
        yield who, "organizations:ListAccounts", lambda who=who: of[who]("organizations").list_accounts()
    yield "archive", "s3:GetObject elsewhere", lambda: s3("archive").get_object(Bucket=bucket, Key="elsewhere")


def try_all(credentials):
    of = {"host": session(credentials)}
    sts, not_denied, tried = of["host"]("sts"), [], 0
    for duty, arn in wanted["roles"].items():
        assumed = sts.assume_role(RoleArn=arn, RoleSessionName="host", ExternalId=wanted["external_id"])
        of[duty] = session(assumed["Credentials"])
        try:
            sts.assume_role(RoleArn=arn, RoleSessionName="host", ExternalId="another")
            not_denied.append(f"{duty}: assumed with another external id")
        except ClientError:
            pass
    client("s3", wanted["owner"]).put_object(Bucket=wanted["bucket"], Key="elsewhere", Body=b"x")
    things = (wanted["bucket"], wanted["key"], wanted["queue"], wanted["kms"], wanted["trail"])
    for who, what, attempt in attempts(of, *things):
        tried += 1
        try:
            attempt()
            not_denied.append(f"{who}: {what}")
        except ClientError as error:
            if "AccessDenied" not in error.response["Error"]["Code"]:
                not_denied.append(f"{who}: {what}: {error}")
    return {"tried": tried, "not_denied": not_denied}


credentials = become_host()
answer = {name: credentials[name] for name in ["AccessKeyId", "SecretAccessKey", "SessionToken"]}
if "key" in wanted:
    answer.update(try_all(credentials))
print(json.dumps(answer))
