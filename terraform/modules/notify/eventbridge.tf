# By EventBridge: each shard is a rule, and so are all feeds together.

locals {
  logs = "${var.prefix == "" ? "" : "${var.prefix}/"}AWSLogs/"
  # The account's last digit stands before the one place where a key says /CloudTrail, in the organization's folder or not: so the
  # warden's own [shard] has it (docs/terraform.md).
  of_digit = { for digit in range(10) : digit => { wildcard = "${local.logs}*${digit}/CloudTrail*" } }
  # The first shard also takes what is of no account: a warden that never hears of strangers cannot tell of them.
  rest = { anything-but = { wildcard = [for digit in range(10) : local.of_digit[digit].wildcard] } }
  keys = { for shard in local.shards : shard => concat(
    [for digit in range(10) : local.of_digit[digit] if digit % var.shard_count == tonumber(shard)],
    [for first in [0] : local.rest if tonumber(shard) == first],
  ) }

  all_of_bucket = {
    source      = ["aws.s3"]
    detail-type = ["Object Created", "Object Deleted"]
    account     = [local.account]
  }
  patterns = { for shard in local.shards : shard => jsonencode(merge(local.all_of_bucket, {
    detail = merge({ bucket = { name = [var.bucket] } }, { for key, names in { object = { key = local.keys[shard] } } : key => names if var.shard_count > 1 })
  })) }
}

resource "aws_cloudwatch_event_rule" "shard" {
  for_each = local.with_sns ? {} : local.names

  name          = each.value
  description   = "Deliveries in ${var.bucket} for ${each.value}"
  event_pattern = local.patterns[each.key]
  tags          = var.tags
}

resource "aws_cloudwatch_event_target" "queue" {
  for_each = local.with_sns ? {} : local.names

  rule = aws_cloudwatch_event_rule.shard[each.key].name
  arn  = aws_sqs_queue.this[each.key].arn

  # What EventBridge cannot deliver is not lost either.
  dead_letter_config {
    arn = aws_sqs_queue.dead[each.key].arn
  }

  depends_on = [aws_sqs_queue_policy.this, aws_sqs_queue_policy.dead]
}

resource "aws_cloudwatch_event_rule" "feeds" {
  count = !local.with_sns && length(var.feeds) > 0 ? 1 : 0

  name          = local.feed_rule
  description   = "Deliveries in ${var.bucket} for others than the warden"
  event_pattern = jsonencode(merge(local.all_of_bucket, { detail = { bucket = { name = [var.bucket] } } }))
  tags          = var.tags
}

resource "aws_cloudwatch_event_target" "feed" {
  for_each = local.with_sns ? {} : var.feeds

  rule = aws_cloudwatch_event_rule.feeds[0].name
  arn  = each.value
}
