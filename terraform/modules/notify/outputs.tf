output "queues" {
  description = "By shard (\"0\", \"1\", …): the queue's `url` and `arn`, and the `dead_letters` ARN, as the module `settings` takes them."
  value = { for shard in local.shards : shard => {
    url          = aws_sqs_queue.this[shard].url
    arn          = local.queue_arns[shard]
    dead_letters = local.dead_arns[shard]
  } }
}

output "topics" {
  description = "The topics between bucket and queue, as the module `settings` takes them."
  value       = local.with_sns ? [local.topic_arn] : []
}

output "patterns" {
  description = "The EventBridge pattern of each shard, as JSON."
  value       = local.with_sns ? {} : local.patterns
}

output "feed_statement" {
  description = "The statement, as JSON, that a feed's queue policy needs; put the queue's ARN in place of QUEUE-ARN."
  value = jsonencode({
    Sid       = "Announcements"
    Effect    = "Allow"
    Principal = { Service = local.with_sns ? "sns.amazonaws.com" : "events.amazonaws.com" }
    Action    = "sqs:SendMessage"
    Resource  = "QUEUE-ARN"
    Condition = { ArnEquals = { "aws:SourceArn" = local.with_sns ? local.topic_arn : "arn:${local.partition}:events:${local.region}:${local.account}:rule/${local.feed_rule}" } }
  })
}

output "topic_key_statement" {
  description = "The statement, as JSON, that the policy of `topic_key_arn` needs so that the bucket can announce."
  value = jsonencode({
    Sid       = "Announcements"
    Effect    = "Allow"
    Principal = { Service = "s3.amazonaws.com" }
    Action    = ["kms:GenerateDataKey*", "kms:Decrypt"]
    Resource  = "*"
    Condition = {
      ArnEquals    = { "aws:SourceArn" = local.bucket_arn }
      StringEquals = { "aws:SourceAccount" = local.account }
    }
  })
}

output "bucket_notification" {
  description = "What the bucket's notification configuration must have, as JSON of S3's own document: for manage_bucket_notification = false."
  value       = local.with_sns ? jsonencode({ TopicConfigurations = [{ TopicArn = local.topic_arn, Events = local.events }] }) : jsonencode({ EventBridgeConfiguration = {} })
}
