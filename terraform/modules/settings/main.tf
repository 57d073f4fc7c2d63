# What the warden is told, and what it may do. Without any resource: it only says what follows from its variables.

locals {
  # Made from the program's own table of permissions; a test holds them equal.
  groups = jsondecode(file("${path.module}/grants.json"))

  # By region, as the AWS general reference names partitions.
  partitions = { cn = "aws-cn", us-gov = "aws-us-gov", us-iso = "aws-iso", us-isob = "aws-iso-b", us-isof = "aws-iso-f", eu-isoe = "aws-iso-e" }
  partition  = concat([for beginning, name in local.partitions : name if startswith(var.bucket.region, "${beginning}-")], ["aws"])[0]

  layout   = var.layout != null ? var.layout : [var.organization_id == null ? "AWSLogs/{account}/" : "AWSLogs/{org}/{account}/"]
  prefixes = sort(distinct([for place in local.layout : "${split("AWSLogs/", place)[0]}AWSLogs/"]))

  bucket     = "arn:${local.partition}:s3:::${var.bucket.name}"
  deliveries = [for prefix in local.prefixes : "${local.bucket}/${prefix}*"]
  queue      = split("/", var.queue_url)
  copies     = var.ledger_copies == null ? null : trimsuffix(var.ledger_copies.prefix, "/")
  lease      = var.lease == null ? null : trimsuffix(var.lease.prefix, "/")
  history    = var.history == null ? null : trimsuffix(var.history.prefix, "/")
  roles      = compact(values(var.roles))
  topics     = merge(var.alert_topics, var.heartbeat == null ? {} : { heartbeat = var.heartbeat.topic_arn })

  # Those that are named by hand, and the one that records are encrypted with.
  own_key = compact([try(var.history.kms_key, null)])
  keys    = distinct(concat(var.keys, local.own_key))

  with_retention = var.retention != null
  with_posture   = var.posture != null
  # A topic is encrypted with a key of its own account.
  topic_accounts = distinct([for arn in values(local.topics) : split(":", arn)[4]])

  # What each group of permissions is about.
  resources = {
    Roles              = sort(distinct(local.roles))
    Buckets            = [local.bucket]
    Deliveries         = local.deliveries
    PromisedBuckets    = local.with_retention ? [local.bucket] : []
    PromisedDeliveries = local.with_retention ? local.deliveries : []
    AuditedBuckets     = local.with_posture ? [local.bucket] : []
    Queues             = ["arn:${local.partition}:sqs:${var.bucket.region}:${local.queue[length(local.queue) - 2]}:${local.queue[length(local.queue) - 1]}"]
    DeadLetters        = distinct(var.dead_letters)
    PublicKeys         = ["*"]
    Organization       = var.members == "organizations" ? ["*"] : []
    Topics             = distinct([for name in sort(keys(local.topics)) : local.topics[name]])
    Buses              = distinct([for name in sort(keys(var.alert_buses)) : var.alert_buses[name]])
    Functions          = distinct([for name in sort(keys(var.alert_functions)) : var.alert_functions[name]])
    Hubs               = var.security_hub == null ? [] : ["arn:${local.partition}:securityhub:${var.security_hub.region}:${var.security_hub.account}:product/${var.security_hub.account}/default"]
    Copies             = var.ledger_copies == null ? [] : ["arn:${local.partition}:s3:::${var.ledger_copies.bucket}/${local.copies == "" ? "" : "${local.copies}/"}*"]
    LeaseBuckets       = var.lease == null ? [] : ["arn:${local.partition}:s3:::${var.lease.bucket}"]
    Leases             = var.lease == null ? [] : ["arn:${local.partition}:s3:::${var.lease.bucket}/${local.lease == "" ? "" : "${local.lease}/"}*"]
    HistoryBuckets     = var.history == null ? [] : ["arn:${local.partition}:s3:::${var.history.bucket}"]
    HistoryFiles       = var.history == null ? [] : ["arn:${local.partition}:s3:::${var.history.bucket}/${local.history == "" ? "" : "${local.history}/"}*"]
    Keys               = local.keys
    KeysToWrite        = [for arn in local.keys : arn if var.ledger_copies != null || var.lease != null || var.history != null || contains(local.topic_accounts, split(":", arn)[4])]
    AuditedKeys        = distinct([for arn in var.keys : arn if local.with_posture && split(":", arn)[4] == var.bucket.owner])
    Announcers         = local.with_posture ? distinct(var.topics) : []
    AnyTrail           = local.with_posture ? ["*"] : []
    Trails             = local.with_posture ? ["arn:${local.partition}:cloudtrail:*:*:trail/*"] : []
  }

  # The services that use the keys for the warden, in the keys' regions.
  services = compact(["s3", "sqs", length(local.topics) > 0 ? "sns" : ""])
  via = sort(distinct(flatten([for arn in local.keys : [
    for service in local.services :
    "${service}.${split(":", arn)[3]}.${startswith(split(":", arn)[3], "cn-") ? "amazonaws.com.cn" : "amazonaws.com"}"
  ]])))
  through = { Keys = "StringEquals", KeysToWrite = "StringEqualsIfExists" }

  # A list of one is written without its brackets. The types differ, so it goes through JSON.
  one_or_many = {
    actions   = { for group in local.groups : group.sid => jsondecode(length(group.actions) == 1 ? jsonencode(group.actions[0]) : jsonencode(group.actions)) }
    resources = { for on, arns in local.resources : on => jsondecode(length(arns) == 1 ? jsonencode(arns[0]) : jsonencode(arns)) }
    via       = jsondecode(length(local.via) == 1 ? jsonencode(local.via[0]) : jsonencode(local.via))
  }

  statements = [for group in local.groups : {
    role = group.role
    statement = merge({
      Sid      = group.sid
      Effect   = "Allow"
      Action   = local.one_or_many.actions[group.sid]
      Resource = local.one_or_many.resources[group.on]
      }, { for operator in [lookup(local.through, group.on, null)] :
      "Condition" => { (operator) = { "kms:ViaService" = local.one_or_many.via } } if operator != null
    })
  } if length(local.resources[group.on]) > 0]

  documents = { for role in distinct(local.statements[*].role) : role => jsonencode({
    Version   = "2012-10-17"
    Statement = [for one in local.statements : one.statement if one.role == role]
  }) }

  # Who does what, by Sid: a duty that has a role of its own is that role's, the others are the warden's.
  duties = {
    process      = ["AssumeRoles", "PublishAlerts", "PutAlerts", "InvokeWithAlerts", "ImportAlerts", "KeepLedgerCopies", "SeeLease", "HoldLease", "SeeHistory", "KeepHistory", "EncryptWhatIsWritten"]
    archive      = ["ListBuckets", "SeeAnnouncements", "ReadDeliveries", "ReadLocks", "ConsumeNotifications", "WatchDeadLetters", "ReadDigestKeys", "DecryptDeliveries"]
    organization = ["ReadOrganization"]
    retention    = ["ReadProtection", "ChangeProtection", "LockObjects"]
    audit        = ["AuditBuckets", "AuditKeys", "AuditTopics"]
    trails       = ["DescribeTrails", "AuditTrails"]
  }
  # Without a role of their own, audit and retention go with the archive, and the trails with the audit.
  actor = {
    process      = "process"
    archive      = var.roles.archive != null ? "archive" : "process"
    organization = var.roles.organization != null ? "organization" : "process"
    retention    = var.roles.retention != null ? "retention" : var.roles.archive != null ? "archive" : "process"
    audit        = var.roles.audit != null ? "audit" : var.roles.archive != null ? "archive" : "process"
    trails       = var.roles.trails != null ? "trails" : var.roles.audit != null ? "audit" : var.roles.archive != null ? "archive" : "process"
  }
  # Whoever publishes to an encrypted topic decrypts its data key, too; so does whoever reads an encrypted lease or archive.
  publishes = length(local.topics) > 0 || var.lease != null || var.history != null ? ["DecryptDeliveries"] : []
  sids = { for actor in distinct(values(local.actor)) : actor => concat(
    flatten([for duty, who in local.actor : local.duties[duty] if who == actor]),
    actor == "process" ? local.publishes : [],
  ) }
  of_actor = { for actor, sids in local.sids : actor => jsonencode({
    Version   = "2012-10-17"
    Statement = [for one in local.statements : one.statement if contains(sids, one.statement.Sid)]
  }) }
}
