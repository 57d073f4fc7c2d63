# Where the warden tells what it finds, and CloudWatch that the warden is gone.

data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

locals {
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id
  topic_arn = "arn:${local.partition}:sns:${data.aws_region.current.id}:${local.account}:${var.name}"
  key_arn   = var.kms_key_arn != null ? var.kms_key_arn : aws_kms_key.this[0].arn
  alarms    = sort(distinct(concat([local.account], var.alarm_accounts)))

  key_for_alarms = {
    Sid       = "Alarms"
    Effect    = "Allow"
    Principal = { Service = "cloudwatch.amazonaws.com" }
    Action    = ["kms:GenerateDataKey*", "kms:Decrypt"]
    Resource  = "*"
    Condition = { StringEquals = { "aws:SourceAccount" = local.alarms } }
  }
}

resource "aws_sns_topic" "this" {
  name              = var.name
  kms_master_key_id = local.key_arn
  tags              = var.tags
}

resource "aws_sns_topic_policy" "this" {
  arn = aws_sns_topic.this.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "Alarms"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = local.topic_arn
        Condition = {
          ArnLike      = { "aws:SourceArn" = [for account in local.alarms : "arn:${local.partition}:cloudwatch:*:${account}:alarm:*"] }
          StringEquals = { "aws:SourceAccount" = local.alarms }
        }
      }],
      length(var.publishers) == 0 ? [] : [{
        Sid       = "Publishers"
        Effect    = "Allow"
        Principal = { AWS = var.publishers }
        Action    = "sns:Publish"
        Resource  = local.topic_arn
      }],
      [{
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = local.topic_arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }],
    )
  })
}

resource "aws_kms_key" "this" {
  count = var.kms_key_arn == null ? 1 : 0

  description         = "Alerts in ${var.name}"
  enable_key_rotation = true
  tags                = var.tags
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid       = "Account"
          Effect    = "Allow"
          Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
          Action    = "kms:*"
          Resource  = "*"
        },
        local.key_for_alarms,
      ],
      length(var.publishers) == 0 ? [] : [{
        Sid       = "Publishers"
        Effect    = "Allow"
        Principal = { AWS = var.publishers }
        Action    = ["kms:GenerateDataKey", "kms:Decrypt"]
        Resource  = "*"
        Condition = { StringEquals = { "kms:ViaService" = "sns.${data.aws_region.current.id}.amazonaws.com${startswith(data.aws_region.current.id, "cn-") ? ".cn" : ""}" } }
      }],
    )
  })
}

# PagerDuty takes an alarm by its AlarmName, and nothing else.
resource "aws_sns_topic_subscription" "pagerduty" {
  count = nonsensitive(var.pagerduty_url != null) ? 1 : 0

  topic_arn              = aws_sns_topic.this.arn
  protocol               = "https"
  endpoint               = var.pagerduty_url
  endpoint_auto_confirms = true
  filter_policy_scope    = "MessageBody"
  filter_policy          = jsonencode({ AlarmName = [{ exists = true }] })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.emails

  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_sns_topic_subscription" "queue" {
  for_each = var.queues

  topic_arn = aws_sns_topic.this.arn
  protocol  = "sqs"
  endpoint  = each.value
}
