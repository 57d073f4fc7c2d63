# From the bucket to a queue for each shard, and to everybody else who listens.

data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  account    = data.aws_caller_identity.current.account_id
  region     = data.aws_region.current.id
  partition  = data.aws_partition.current.partition
  bucket_arn = "arn:${local.partition}:s3:::${var.bucket}"
  shards     = [for number in range(var.shard_count) : tostring(number)]
  # A single warden's queue has no number.
  names       = { for shard in local.shards : shard => var.shard_count == 1 ? var.name : "${var.name}-${shard}" }
  queue_arns  = { for shard, name in local.names : shard => "arn:${local.partition}:sqs:${local.region}:${local.account}:${name}" }
  dead_arns   = { for shard, name in local.names : shard => "${local.queue_arns[shard]}-dead" }
  with_sns    = var.via == "sns"
  makes_topic = local.with_sns && var.existing_topic_arn == null
  topic_arn   = !local.with_sns ? null : var.existing_topic_arn != null ? var.existing_topic_arn : "arn:${local.partition}:sns:${local.region}:${local.account}:${var.name}"
  rule_arns   = { for shard, name in local.names : shard => "arn:${local.partition}:events:${local.region}:${local.account}:rule/${name}" }
  feed_rule   = "${var.name}-feeds"
  events      = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*"]
}

resource "aws_sqs_queue" "this" {
  for_each = local.names

  name                       = each.value
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = 300
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = true
  redrive_policy             = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn, maxReceiveCount = var.max_receives })
  tags                       = var.tags
}

resource "aws_sqs_queue" "dead" {
  for_each = local.names

  name                      = "${each.value}-dead"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}

resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  for_each = local.names

  queue_url            = aws_sqs_queue.dead[each.key].id
  redrive_allow_policy = jsonencode({ redrivePermission = "byQueue", sourceQueueArns = [local.queue_arns[each.key]] })
}

resource "aws_sqs_queue_policy" "this" {
  for_each = local.names

  queue_url = aws_sqs_queue.this[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "Announcements"
        Effect    = "Allow"
        Principal = { Service = local.with_sns ? "sns.amazonaws.com" : "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = local.queue_arns[each.key]
        Condition = { ArnEquals = { "aws:SourceArn" = local.with_sns ? local.topic_arn : local.rule_arns[each.key] } }
      }],
      length(var.receivers) == 0 ? [] : [{
        Sid       = "Receivers"
        Effect    = "Allow"
        Principal = { AWS = var.receivers }
        Action    = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
        Resource  = local.queue_arns[each.key]
      }],
      [local.tls_only[each.key]],
    )
  })
}

resource "aws_sqs_queue_policy" "dead" {
  for_each = local.names

  queue_url = aws_sqs_queue.dead[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      local.with_sns ? [] : [{
        Sid       = "Undeliverable"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = local.dead_arns[each.key]
        Condition = { ArnEquals = { "aws:SourceArn" = local.rule_arns[each.key] } }
      }],
      [merge(local.tls_only[each.key], { Resource = local.dead_arns[each.key] })],
    )
  })
}

locals {
  tls_only = { for shard, arn in local.queue_arns : shard => {
    Sid       = "TlsOnly"
    Effect    = "Deny"
    Principal = "*"
    Action    = "sqs:*"
    Resource  = arn
    Condition = { Bool = { "aws:SecureTransport" = "false" } }
  } }
}

resource "aws_s3_bucket_notification" "this" {
  count = var.manage_bucket_notification && var.existing_topic_arn == null ? 1 : 0

  bucket      = var.bucket
  eventbridge = !local.with_sns

  dynamic "topic" {
    for_each = local.with_sns ? [local.topic_arn] : []

    content {
      id        = var.name
      topic_arn = topic.value
      events    = local.events
    }
  }

  depends_on = [aws_sns_topic_policy.this, aws_cloudwatch_event_target.queue, aws_sqs_queue_policy.this]
}
