# The configuration as TOML: a JSON string is one of TOML, too.

locals {
  role = { for duty, arn in var.roles : duty => arn == null ? [] : concat(
    ["role = ${jsonencode(arn)}"],
    var.external_id == null ? [] : ["external_id = ${jsonencode(var.external_id)}"],
  ) }
  trail_audit = [for line in local.role.trails : "audit_${line}"]

  shard = var.shard == null ? [] : ["[shard]", "index = ${var.shard.index}", "count = ${var.shard.count}"]

  organization = concat(
    ["[organization]"],
    var.organization_id == null ? [] : ["id = ${jsonencode(var.organization_id)}"],
    ["members = ${jsonencode(var.members)}"],
    local.role.organization,
  )
  trail = concat(
    [
      "[[trail]]",
      "name = ${jsonencode(var.name)}",
      "bucket = ${jsonencode(var.bucket.name)}",
      "owner = ${jsonencode(var.bucket.owner)}",
      "region = ${jsonencode(var.bucket.region)}",
      "queue = ${jsonencode(var.queue_url)}",
      "layout = ${jsonencode(local.layout)}",
    ],
    local.role.archive,
    local.trail_audit,
  )
  retention = var.retention == null ? [] : concat(
    [
      "[retention]",
      "keep = \"${var.retention.keep_days}d\"",
      "mode = ${jsonencode(var.retention.mode)}",
      "enforce = ${jsonencode(var.retention.enforce)}",
      "incomplete_uploads = ${jsonencode(var.retention.incomplete_uploads_days == null ? "keep" : "${var.retention.incomplete_uploads_days}d")}",
    ],
    var.retention.noncurrent_days == null ? [] : ["noncurrent = \"${var.retention.noncurrent_days}d\""],
    local.role.retention,
  )
  declared = var.posture == null ? {} : {
    trails         = var.posture.trails
    readers        = var.posture.readers
    writers        = var.posture.writers
    administrators = var.posture.administrators
  }
  posture = var.posture == null ? [] : concat(
    ["[posture]"],
    [for key in ["trails", "readers", "writers", "administrators"] : "${key} = ${jsonencode(local.declared[key])}" if length(local.declared[key]) > 0],
    local.role.audit,
    flatten([for weakness, reason in var.posture.accept : ["[[posture.accept]]", "weakness = ${jsonencode(weakness)}", "reason = ${jsonencode(reason)}"]]),
  )
  channels = concat(
    [for name, arn in local.topics : ["[channel.${name}]", "kind = \"sns\"", "topic = ${jsonencode(arn)}"]],
    [for name, arn in var.alert_buses : ["[channel.${name}]", "kind = \"eventbridge\"", "bus = ${jsonencode(arn)}"]],
    [for name, arn in var.alert_functions : ["[channel.${name}]", "kind = \"lambda\"", "function = ${jsonencode(arn)}"]],
    var.security_hub == null ? [] : [["[channel.security-hub]", "kind = \"securityhub\"", "account = ${jsonencode(var.security_hub.account)}", "region = ${jsonencode(var.security_hub.region)}"]],
    [["[channel.journal]", "kind = \"stdout\""]],
  )
  heartbeat_route = var.heartbeat == null ? [] : [["[[route]]", "match.kind = [\"heartbeat\"]", "to = [\"heartbeat\"]", "resolved = false"]]
  last_route = ["[[route]]", "to = ${jsonencode(concat(
    sort(concat(keys(var.alert_topics), keys(var.alert_buses), keys(var.alert_functions))),
    var.security_hub == null ? [] : ["security-hub"],
    ["journal"],
  ))}", "repeat = \"24h\""]
  heartbeat = var.heartbeat == null ? [] : [["[alert]", "heartbeat = ${jsonencode(var.heartbeat.every)}"]]
  state = var.ledger_copies == null ? [] : [concat(
    ["[state]", "snapshot.to = ${jsonencode("s3://${var.ledger_copies.bucket}${local.copies == "" ? "" : "/${local.copies}"}")}"],
    var.ledger_copies.region == null ? [] : ["snapshot.region = ${jsonencode(var.ledger_copies.region)}"],
  )]
  # Each shard is a warden of its own.
  own_name = var.lease == null ? "" : try(var.shard.index, 0) == 0 ? var.lease.name : "${var.lease.name}-${var.shard.index}"
  warden   = var.lease == null ? [] : [["[warden]", "name = ${jsonencode(local.own_name)}"]]
  lease_table = var.lease == null ? [] : [concat(
    ["[lease]", "location = ${jsonencode("s3://${var.lease.bucket}${local.lease == "" ? "" : "/${local.lease}"}")}", "ttl = ${jsonencode(var.lease.ttl)}"],
    var.lease.region == null ? [] : ["region = ${jsonencode(var.lease.region)}"],
  )]
  history_table = var.history == null ? [] : [concat(
    ["[archive]", "location = ${jsonencode("s3://${var.history.bucket}${local.history == "" ? "" : "/${local.history}"}")}"],
    var.history.region == null ? [] : ["region = ${jsonencode(var.history.region)}"],
    var.history.kms_key == null ? [] : ["kms_key = ${jsonencode(var.history.kms_key)}"],
    var.history.keep == null ? [] : ["keep = ${jsonencode(var.history.keep)}"],
  )]

  tables = concat(
    local.warden,
    [local.shard, local.organization, local.trail, local.retention, local.posture],
    local.channels,
    local.heartbeat_route,
    [compact([trimspace(var.more_configuration)])],
    [local.last_route],
    local.heartbeat,
    local.state,
    local.lease_table,
    local.history_table,
  )
  configuration = "${join("\n\n", [for lines in local.tables : join("\n", lines) if length(lines) > 0])}\n"
}
