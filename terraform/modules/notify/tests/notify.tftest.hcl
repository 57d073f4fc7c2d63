mock_provider "aws" {
  override_during = plan

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1", name = "eu-central-1" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-central-1:111122223333:made", url = "https://sqs.eu-central-1.amazonaws.com/111122223333/made", id = "https://sqs.eu-central-1.amazonaws.com/111122223333/made" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:111122223333:trailwarden" }
  }
}

variables {
  bucket          = "acme-org-cloudtrail"
  organization_id = "o-a1b2c3d4e5"
}

run "one_queue_that_keeps_what_it_gets" {
  command = plan

  assert {
    condition     = [for shard, queue in aws_sqs_queue.this : [shard, queue.name, queue.message_retention_seconds, queue.sqs_managed_sse_enabled]] == [["0", "trailwarden", 1209600, true]]
    error_message = "The queue has another name, forgets too soon, or is not encrypted."
  }
  assert {
    condition     = [for queue in aws_sqs_queue.dead : [queue.name, queue.message_retention_seconds, queue.sqs_managed_sse_enabled]] == [["trailwarden-dead", 1209600, true]]
    error_message = "The dead-letter queue has another name, forgets too soon, or is not encrypted."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.this["0"].redrive_policy).maxReceiveCount == 100
    error_message = "A message is given up after another number of receives."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.dead["0"].redrive_allow_policy) == { redrivePermission = "byQueue", sourceQueueArns = ["arn:aws:sqs:eu-central-1:111122223333:trailwarden"] }
    error_message = "Other queues may give up messages here."
  }
  assert {
    condition     = aws_s3_bucket_notification.this[0].eventbridge && length(aws_s3_bucket_notification.this[0].topic) == 0
    error_message = "The bucket does not announce to EventBridge."
  }
  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.shard["0"].event_pattern) == {
      source      = ["aws.s3"]
      detail-type = ["Object Created", "Object Deleted"]
      account     = ["111122223333"]
      detail      = { bucket = { name = ["acme-org-cloudtrail"] } }
    }
    error_message = "A single warden does not hear of everything."
  }
  assert {
    condition     = length(aws_sns_topic.this) + length(aws_cloudwatch_event_rule.feeds) + length(aws_cloudwatch_metric_alarm.age) == 0
    error_message = "Something is made that nobody asked for."
  }
}

run "only_the_rule_may_send" {
  command = plan

  assert {
    condition = [for s in jsondecode(aws_sqs_queue_policy.this["0"].policy).Statement : [s.Effect, s.Principal, s.Action, s.Condition]] == [
      ["Allow", { Service = "events.amazonaws.com" }, "sqs:SendMessage", { ArnEquals = { "aws:SourceArn" = "arn:aws:events:eu-central-1:111122223333:rule/trailwarden" } }],
      ["Deny", "*", "sqs:*", { Bool = { "aws:SecureTransport" = "false" } }],
    ]
    error_message = "Somebody else may send to the queue, or without TLS."
  }
  assert {
    condition     = [for s in jsondecode(aws_sqs_queue_policy.dead["0"].policy).Statement : [s.Effect, s.Resource]] == [["Allow", "arn:aws:sqs:eu-central-1:111122223333:trailwarden-dead"], ["Deny", "arn:aws:sqs:eu-central-1:111122223333:trailwarden-dead"]]
    error_message = "What EventBridge cannot deliver is lost."
  }
  assert {
    condition     = length([for target in aws_cloudwatch_event_target.queue : target if length(target.dead_letter_config) == 1]) == 1
    error_message = "The rule has no dead-letter queue."
  }
}

run "five_shards_divide_the_digits" {
  command = plan
  variables {
    shard_count = 5
    prefix      = "trails"
  }

  assert {
    condition     = join(" ", sort([for queue in aws_sqs_queue.this : queue.name])) == "trailwarden-0 trailwarden-1 trailwarden-2 trailwarden-3 trailwarden-4"
    error_message = "There are not five queues."
  }
  assert {
    condition     = jsondecode(output.patterns["3"]).detail.object.key == [{ wildcard = "trails/AWSLogs/*3/CloudTrail*" }, { wildcard = "trails/AWSLogs/*8/CloudTrail*" }]
    error_message = "The fourth shard has other digits than 3 and 8."
  }
  assert {
    condition     = join(" ", sort(flatten([for pattern in output.patterns : [for one in jsondecode(pattern).detail.object.key : one.wildcard if can(one.wildcard)]]))) == join(" ", [for digit in range(10) : "trails/AWSLogs/*${digit}/CloudTrail*"])
    error_message = "A digit is in no shard, or in two."
  }
  assert {
    condition     = [for shard, pattern in output.patterns : shard if length([for one in jsondecode(pattern).detail.object.key : one if can(one["anything-but"])]) > 0] == ["0"]
    error_message = "What is of no account must be the first shard's, and nobody else's."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue_policy.this["4"].policy).Statement[0].Condition.ArnEquals["aws:SourceArn"] == "arn:aws:events:eu-central-1:111122223333:rule/trailwarden-4"
    error_message = "A shard's queue takes from another shard's rule."
  }
}

run "two_and_ten_shards" {
  command = plan
  variables {
    shard_count = 10
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.shard) == 10 && alltrue([for shard, pattern in output.patterns : strcontains(pattern, "*${shard}/CloudTrail*")])
    error_message = "Ten shards do not have a digit each."
  }
}

run "a_topic_with_a_siem_beside_the_warden" {
  command = plan
  variables {
    via           = "sns"
    feeds         = { siem = "arn:aws:sqs:eu-central-1:444455556666:siem" }
    topic_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/topic"
    alarm_actions = ["arn:aws:sns:eu-central-1:444455556666:alerts"]
    receivers     = ["arn:aws:iam::444455556666:role/trailwarden"]
  }

  assert {
    condition     = [for topic in aws_s3_bucket_notification.this[0].topic : topic.events] == [toset(["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*"])]
    error_message = "The bucket does not announce what comes and goes."
  }
  assert {
    condition = jsondecode(aws_sns_topic_policy.this[0].policy).Statement[0].Condition == {
      ArnEquals    = { "aws:SourceArn" = "arn:aws:s3:::acme-org-cloudtrail" }
      StringEquals = { "aws:SourceAccount" = "111122223333" }
    }
    error_message = "Another bucket may announce."
  }
  assert {
    condition     = aws_sns_topic.this[0].kms_master_key_id == "arn:aws:kms:eu-central-1:111122223333:key/topic"
    error_message = "The topic has another key."
  }
  assert {
    condition     = aws_sns_topic_subscription.feed["siem"].endpoint == "arn:aws:sqs:eu-central-1:444455556666:siem" && aws_sns_topic_subscription.feed["siem"].raw_message_delivery
    error_message = "The SIEM loses its feed, or gets another form of it."
  }
  assert {
    condition     = [for s in jsondecode(aws_sqs_queue_policy.this["0"].policy).Statement : s.Sid] == ["Announcements", "Receivers", "TlsOnly"] && jsondecode(aws_sqs_queue_policy.this["0"].policy).Statement[0].Condition.ArnEquals["aws:SourceArn"] == "arn:aws:sns:eu-central-1:111122223333:trailwarden"
    error_message = "Somebody else than the topic sends, or the warden may not receive."
  }
  assert {
    condition     = length(aws_cloudwatch_event_rule.shard) == 0 && join(" ", output.topics) == "arn:aws:sns:eu-central-1:111122223333:trailwarden"
    error_message = "Rules are made beside the topic, or the warden is not told of it."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.age["0"].threshold == 1800 && aws_cloudwatch_metric_alarm.age["0"].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.age["0"].dimensions.QueueName == "trailwarden"
    error_message = "The alarm for waiting messages watches something else."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.dead["0"].threshold == 0 && aws_cloudwatch_metric_alarm.dead["0"].dimensions.QueueName == "trailwarden-dead" && aws_cloudwatch_metric_alarm.dead["0"].alarm_actions == toset(["arn:aws:sns:eu-central-1:444455556666:alerts"])
    error_message = "The alarm for dead letters watches something else, or tells nobody."
  }
}

run "a_siem_by_eventbridge" {
  command = plan
  variables {
    feeds       = { siem = "arn:aws:sqs:eu-central-1:111122223333:siem" }
    shard_count = 2
  }

  assert {
    condition     = !can(jsondecode(aws_cloudwatch_event_rule.feeds[0].event_pattern).detail.object) && aws_cloudwatch_event_target.feed["siem"].arn == "arn:aws:sqs:eu-central-1:111122223333:siem"
    error_message = "The SIEM does not hear of everything."
  }
  assert {
    condition     = jsondecode(output.feed_statement).Condition.ArnEquals["aws:SourceArn"] == "arn:aws:events:eu-central-1:111122223333:rule/trailwarden-feeds"
    error_message = "The SIEM's queue would let somebody else send."
  }
}

run "a_topic_that_is_there_is_only_listened_to" {
  command = plan
  variables {
    via                = "sns"
    existing_topic_arn = "arn:aws:sns:eu-central-1:111122223333:theirs"
  }

  assert {
    condition     = length(aws_s3_bucket_notification.this) + length(aws_sns_topic.this) + length(aws_sns_topic_policy.this) == 0
    error_message = "The bucket's announcements are taken away from whoever had them."
  }
  assert {
    condition     = aws_sns_topic_subscription.queue["0"].topic_arn == "arn:aws:sns:eu-central-1:111122223333:theirs" && jsondecode(aws_sqs_queue_policy.this["0"].policy).Statement[0].Condition.ArnEquals["aws:SourceArn"] == "arn:aws:sns:eu-central-1:111122223333:theirs"
    error_message = "The queue does not listen to it."
  }
}

run "the_buckets_announcements_can_be_left_alone" {
  command = plan
  variables {
    manage_bucket_notification = false
  }

  assert {
    condition     = length(aws_s3_bucket_notification.this) == 0 && jsondecode(output.bucket_notification) == { EventBridgeConfiguration = {} }
    error_message = "They are replaced, or nobody says what they need."
  }
}

run "what_makes_no_sense_is_refused" {
  command = plan
  variables {
    name              = "a b"
    via               = "pigeon"
    prefix            = "a*"
    feeds             = { siem = "https://sqs" }
    receivers         = ["arn:aws:iam::444455556666:root"]
    max_receives      = 1
    alarm_age_minutes = 1
  }

  expect_failures = [
    var.name, var.via, var.prefix, var.feeds, var.receivers, var.max_receives, var.alarm_age_minutes,
  ]
}

run "names_of_nothing_are_refused" {
  command = plan
  variables {
    existing_topic_arn = "topic"
    shard_count        = 3
  }

  expect_failures = [var.existing_topic_arn, var.shard_count]
}

run "an_organization_has_an_id" {
  command = plan
  variables {
    organization_id = "acme"
  }

  expect_failures = [var.organization_id]
}

run "a_topic_cannot_tell_shards_apart" {
  command = plan
  variables {
    via         = "sns"
    shard_count = 2
  }

  expect_failures = [var.shard_count]
}

run "a_single_account_is_not_divided" {
  command = plan
  variables {
    organization_id = null
    shard_count     = 2
  }

  expect_failures = [var.organization_id]
}

run "a_topic_is_not_listened_to_by_eventbridge" {
  command = plan
  variables {
    existing_topic_arn = "arn:aws:sns:eu-central-1:111122223333:theirs"
  }

  expect_failures = [var.existing_topic_arn]
}
