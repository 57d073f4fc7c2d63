"""The queries of ../athena as Polars says them, over the files that the lists name."""

import polars as pl
from polars import col


def member(column, *path):
    value = col(column)
    for name in path:
        value = value.struct.field(name)
    return value


ARN = member("useridentity", "arn")
SESSION = ("useridentity", "sessioncontext")


def ordered(frame, columns, order=("eventtime", "eventid")):
    return frame.sort([col(name) for name in order], nulls_last=True).select(columns)


def who_called_what(logs):
    march = logs.filter(col("eventtime") >= "2026-03-01T00:00:00Z", col("eventtime") < "2026-04-01T00:00:00Z")
    return ordered(march, [ARN, "eventname", "sourceipaddress", "eventtime"]).head(100)


def issuers_of_sessions(logs):
    columns = {
        "eventsource": col("eventsource"),
        "eventname": col("eventname"),
        "creationdate": member(*SESSION, "attributes", "creationdate"),
        "arn": member(*SESSION, "sessionissuer", "arn"),
    }
    return logs.select(**columns).filter(col("arn").is_not_null()).sort(list(columns), nulls_last=True).head(10)


def console_logins(logs):
    columns = [
        member("useridentity", "username"),
        "sourceipaddress",
        "eventtime",
        col("additionaleventdata").str.json_path_match("$.MFAUsed").alias("mfa"),
        col("responseelements").str.json_path_match("$.ConsoleLogin").alias("outcome"),
    ]
    return ordered(logs.filter(col("eventname") == "ConsoleLogin"), columns)


def anonymous_requests(logs):
    anonymous = logs.filter(
        col("eventsource") == "s3.amazonaws.com",
        col("eventname").is_in(["GetObject"]),
        member("useridentity", "accountid") == "anonymous",
        ARN.is_null(),
        col("requestparameters").str.contains('"bucketName":"example-bucket"', literal=True),
    )
    return ordered(anonymous, ["eventid", "eventtime", "sourceipaddress", "requestparameters"])


def root_activity(logs):
    root = logs.filter(
        member("useridentity", "type") == "Root",
        member("useridentity", "invokedby").is_null(),
        col("eventtype") != "AwsServiceEvent",
    )
    columns = ["eventtime", "recipientaccountid", "eventsource", "eventname", "sourceipaddress", "useragent"]
    return ordered(root, columns)


def security_group_changes(logs):
    changed = logs.filter(
        col("eventsource") == "ec2.amazonaws.com",
        col("eventname").str.ends_with("SecurityGroupIngress") | col("eventname").str.ends_with("SecurityGroupEgress"),
        col("requestparameters").str.contains("sg-5887f224", literal=True),
        col("eventtime") > "2026-02-15T00:00:00Z",
    )
    user = member("useridentity", "username")
    return ordered(changed, ["eventname", user, ARN, "sourceipaddress", "eventtime", "requestparameters"])


def object_access(logs):
    when = col("eventtime").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", strict=False)
    bucket = col("requestparameters").str.json_path_match("$.bucketName")
    accessed = logs.filter(
        col("eventname").is_in(["PutObject", "DeleteObject"]),
        bucket.is_not_null(),
        when >= pl.datetime(2026, 3, 1),
        when < pl.datetime(2026, 3, 15),
    )
    key = col("requestparameters").str.json_path_match("$.key")
    return ordered(accessed, ["eventtime", "eventname", bucket.alias("bucket"), key.alias("object"), ARN])


def denied_calls(logs):
    denied = ["AccessDenied", "AccessDeniedException", "Client.UnauthorizedOperation"]
    keys = [ARN.alias("principal"), "eventsource", "eventname", "errorcode"]
    groups = logs.filter(col("errorcode").is_in(denied)).group_by(keys)
    calls = groups.agg(pl.len(), col("eventtime").min().alias("first"), col("eventtime").max().alias("last"))
    order = ["principal", "eventsource", "eventname", "errorcode"]
    return calls.filter(col("len") > 1).sort([-col("len").cast(pl.Int64), *order], nulls_last=True)


def resources(logs):
    entries = logs.select("eventname", "resources").explode("resources")
    entries = entries.filter(member("resources", "arn").str.starts_with("arn:aws:"))
    groups = entries.group_by(member("resources", "type").alias("type"), member("resources", "arn").alias("arn"))
    counted = groups.agg(pl.len(), col("eventname").drop_nulls().n_unique().alias("names"))
    return counted.sort([-col("len").cast(pl.Int64), "type", "arn"], nulls_last=True).head(50)


def old_tls(logs):
    version = member("tlsdetails", "tlsversion")
    keys = [
        col("eventtime").str.slice(0, 10).alias("day"),
        col("eventsource").str.split(".").list.first().alias("service"),
        version.alias("version"),
        "recipientaccountid",
    ]
    tool = col("useragent").str.contains("^(aws-cli|Boto3)/").fill_null(False).cast(pl.Int64)
    groups = logs.filter(version != "TLSv1.3").group_by(keys)
    counted = groups.agg(
        pl.len(), col("sourceipaddress").drop_nulls().n_unique().alias("addresses"), tool.sum().alias("tools")
    )
    return counted.sort(["day", "service", "version", "recipientaccountid"], nulls_last=True)


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


def answers(files):
    logs = pl.scan_parquet(files, hive_partitioning=True)
    for name, query in QUERIES.items():
        yield name, query(logs).collect().rows()
