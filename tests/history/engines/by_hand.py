"""The queries of ../athena in plain Python over the records as they were delivered: what every engine must answer."""

import hashlib
import json
import re
from collections import defaultdict

LATE = "\U0010ffff"


def text(value):
    """A column's value: a string's content, null, or the JSON text of anything else."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def at(record, *path):
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return text(record)



def by(*keys):
    """Sorts as Athena does: null last."""
    return lambda row: tuple(LATE if key is None else key for key in (row[at] for at in keys))


def picked(records, condition, columns, order=("eventTime", "eventID")):
    rows = [record for record in records if condition(record)]
    rows.sort(key=lambda record: tuple(LATE if at(record, name) is None else at(record, name) for name in order))
    return [[column(record) for column in columns] for record in rows]


def column(*path):
    return lambda record: at(record, *path)


def who_called_what(records):
    def march(record):
        return "2026-03-01T00:00:00Z" <= (at(record, "eventTime") or "") < "2026-04-01T00:00:00Z"

    columns = [column("userIdentity", "arn"), column("eventName"), column("sourceIPAddress"), column("eventTime")]
    return picked(records, march, columns)[:100]


def issuers_of_sessions(records):
    session = ("userIdentity", "sessionContext")
    columns = [
        column("eventSource"),
        column("eventName"),
        column(*session, "attributes", "creationDate"),
        column(*session, "sessionIssuer", "arn"),
    ]
    rows = picked(records, lambda record: at(record, *session, "sessionIssuer", "arn") is not None, columns)
    return sorted(rows, key=by(0, 1, 2, 3))[:10]


def console_logins(records):
    columns = [
        column("userIdentity", "userName"),
        column("sourceIPAddress"),
        column("eventTime"),
        column("additionalEventData", "MFAUsed"),
        column("responseElements", "ConsoleLogin"),
    ]
    return picked(records, lambda record: at(record, "eventName") == "ConsoleLogin", columns)


def anonymous_requests(records):
    def anonymous(record):
        return (
            at(record, "eventSource") == "s3.amazonaws.com"
            and at(record, "eventName") == "GetObject"
            and at(record, "userIdentity", "accountId") == "anonymous"
            and at(record, "userIdentity", "arn") is None
            and '"bucketName":"example-bucket"' in (at(record, "requestParameters") or "")
        )

    columns = [column("eventID"), column("eventTime"), column("sourceIPAddress"), column("requestParameters")]
    return picked(records, anonymous, columns)


def root_activity(records):
    def root(record):
        return (
            at(record, "userIdentity", "type") == "Root"
            and at(record, "userIdentity", "invokedBy") is None
            and at(record, "eventType") not in (None, "AwsServiceEvent")
        )

    names = ["eventTime", "recipientAccountId", "eventSource", "eventName", "sourceIPAddress", "userAgent"]
    return picked(records, root, [column(name) for name in names])


def security_group_changes(records):
    def changed(record):
        return (
            at(record, "eventSource") == "ec2.amazonaws.com"
            and re.search("SecurityGroup(Ingress|Egress)$", at(record, "eventName") or "")
            and "sg-5887f224" in (at(record, "requestParameters") or "")
            and (at(record, "eventTime") or "") > "2026-02-15T00:00:00Z"
        )

    columns = [
        column("eventName"),
        column("userIdentity", "userName"),
        column("userIdentity", "arn"),
        column("sourceIPAddress"),
        column("eventTime"),
        column("requestParameters"),
    ]
    return picked(records, changed, columns)


def object_access(records):
    def accessed(record):
        return (
            at(record, "eventName") in ("PutObject", "DeleteObject")
            and at(record, "requestParameters", "bucketName") is not None
            and "2026-03-01T00:00:00Z" <= at(record, "eventTime") < "2026-03-15T00:00:00Z"
        )

    columns = [
        column("eventTime"),
        column("eventName"),
        column("requestParameters", "bucketName"),
        column("requestParameters", "key"),
        column("userIdentity", "arn"),
    ]
    return picked(records, accessed, columns)


def denied_calls(records):
    groups = defaultdict(list)
    for record in records:
        error = at(record, "errorCode")
        if error in ("AccessDenied", "AccessDeniedException", "Client.UnauthorizedOperation"):
            key = (at(record, "userIdentity", "arn"), at(record, "eventSource"), at(record, "eventName"), error)
            groups[key].append(at(record, "eventTime"))
    rows = [[*key, len(times), min(times), max(times)] for key, times in groups.items() if len(times) > 1]
    return sorted(rows, key=lambda row: (-row[4], by(0, 1, 2, 3)(row)))


def resources(records):
    groups = defaultdict(list)
    for record in records:
        for resource in record.get("resources") or []:
            if (at(resource, "ARN") or "").startswith("arn:aws:"):
                groups[(at(resource, "type"), at(resource, "ARN"))].append(at(record, "eventName"))
    rows = [[*key, len(names), len(set(names))] for key, names in groups.items()]
    return sorted(rows, key=lambda row: (-row[2], by(0, 1)(row)))[:50]


def old_tls(records):
    groups = defaultdict(list)
    for record in records:
        version = at(record, "tlsDetails", "tlsVersion")
        if version not in (None, "TLSv1.3"):
            day, service = at(record, "eventTime")[:10], at(record, "eventSource").split(".")[0]
            groups[(day, service, version, at(record, "recipientAccountId"))].append(record)
    rows = []
    for key, of in groups.items():
        addresses = {at(record, "sourceIPAddress") for record in of} - {None}
        tools = sum(1 for record in of if re.search("^(aws-cli|Boto3)/", at(record, "userAgent") or ""))
        rows.append([*key, len(of), len(addresses), tools])
    return sorted(rows, key=by(0, 1, 2, 3))


QUERIES = {
    "01_who_called_what": who_called_what,
    "02_issuers_of_sessions": issuers_of_sessions,
    "03_console_logins": console_logins,
    "04_anonymous_requests": anonymous_requests,
    "05_root_activity": root_activity,
    "06_security_group_changes": security_group_changes,
    "07_object_access": object_access,
    "08_denied_calls": denied_calls,
    "09_resources": resources,
    "10_old_tls": old_tls,
}


def answers(path):
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")[:-1]
    yield "whole", sorted([hashlib.md5(line.encode()).hexdigest()] for line in lines)
    records = [json.loads(line) for line in lines]
    for name, query in QUERIES.items():
        yield name, query(records)
