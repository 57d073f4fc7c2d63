# By a topic: each queue is a subscription.

resource "aws_sns_topic" "this" {
  #checkov:skip=CKV_AWS_26:a key is the operator's choice (topic_key_arn), as S3 needs a key of its own to announce to an encrypted topic
  count = local.makes_topic ? 1 : 0

  name              = var.name
  kms_master_key_id = var.topic_key_arn
  tags              = var.tags
}

resource "aws_sns_topic_policy" "this" {
  count = local.makes_topic ? 1 : 0

  arn = aws_sns_topic.this[0].arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Bucket"
        Effect    = "Allow"
        Principal = { Service = "s3.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = local.topic_arn
        Condition = {
          ArnEquals    = { "aws:SourceArn" = local.bucket_arn }
          StringEquals = { "aws:SourceAccount" = local.account }
        }
      },
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = local.topic_arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "queue" {
  for_each = local.with_sns ? local.names : {}

  topic_arn            = local.makes_topic ? aws_sns_topic.this[0].arn : local.topic_arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.this[each.key].arn
  raw_message_delivery = true

  depends_on = [aws_sqs_queue_policy.this]
}

resource "aws_sns_topic_subscription" "feed" {
  for_each = local.with_sns ? var.feeds : {}

  topic_arn            = local.makes_topic ? aws_sns_topic.this[0].arn : local.topic_arn
  protocol             = "sqs"
  endpoint             = each.value
  raw_message_delivery = true
}
