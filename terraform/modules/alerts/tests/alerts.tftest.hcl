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
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:111122223333:key/made", key_id = "made" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:111122223333:trailwarden-alerts" }
  }
}

run "alarms_of_the_account_and_nobody_else" {
  command = plan

  assert {
    condition = [for s in jsondecode(aws_sns_topic_policy.this.policy).Statement : [s.Sid, s.Effect, s.Principal, s.Condition]] == [
      ["Alarms", "Allow", { Service = "cloudwatch.amazonaws.com" }, { ArnLike = { "aws:SourceArn" = ["arn:aws:cloudwatch:*:111122223333:alarm:*"] }, StringEquals = { "aws:SourceAccount" = ["111122223333"] } }],
      ["TlsOnly", "Deny", "*", { Bool = { "aws:SecureTransport" = "false" } }],
    ]
    error_message = "Somebody else may publish."
  }
  assert {
    condition     = aws_sns_topic.this.kms_master_key_id == "arn:aws:kms:eu-central-1:111122223333:key/made" && aws_kms_key.this[0].enable_key_rotation
    error_message = "The topic is not encrypted with the key that was made."
  }
  assert {
    condition     = [for s in jsondecode(aws_kms_key.this[0].policy).Statement : s.Condition if s.Sid == "Alarms"] == [{ StringEquals = { "aws:SourceAccount" = ["111122223333"] } }]
    error_message = "Alarms of other accounts use the key, or those of this one cannot."
  }
  assert {
    condition     = length(aws_sns_topic_subscription.pagerduty) == 0
    error_message = "PagerDuty is told though nobody asked."
  }
}

run "pagerduty_hears_of_alarms" {
  command = plan
  variables {
    pagerduty_url  = "https://events.pagerduty.com/integration/0123456789abcdef/enqueue"
    alarm_accounts = ["444455556666"]
    publishers     = ["arn:aws:iam::444455556666:role/trailwarden"]
    emails         = ["oncall@example.com"]
    queues         = { chat = "arn:aws:sqs:eu-central-1:111122223333:chat" }
    kms_key_arn    = "arn:aws:kms:eu-central-1:111122223333:key/given"
  }

  assert {
    condition     = aws_sns_topic_subscription.pagerduty[0].protocol == "https" && aws_sns_topic_subscription.pagerduty[0].endpoint_auto_confirms && jsondecode(aws_sns_topic_subscription.pagerduty[0].filter_policy) == { AlarmName = [{ exists = true }] } && aws_sns_topic_subscription.pagerduty[0].filter_policy_scope == "MessageBody"
    error_message = "PagerDuty is told of what it does not understand, or of nothing."
  }
  assert {
    condition     = join(" ", jsondecode(aws_sns_topic_policy.this.policy).Statement[0].Condition.StringEquals["aws:SourceAccount"]) == "111122223333 444455556666" && [for s in jsondecode(aws_sns_topic_policy.this.policy).Statement : s.Principal if s.Sid == "Publishers"] == [{ AWS = ["arn:aws:iam::444455556666:role/trailwarden"] }]
    error_message = "Alarms or publishers are others."
  }
  assert {
    condition     = length(aws_kms_key.this) == 0 && aws_sns_topic.this.kms_master_key_id == "arn:aws:kms:eu-central-1:111122223333:key/given" && strcontains(output.kms_statement, "444455556666")
    error_message = "The given key is not used."
  }
  assert {
    condition     = aws_sns_topic_subscription.email["oncall@example.com"].protocol == "email" && aws_sns_topic_subscription.queue["chat"].endpoint == "arn:aws:sqs:eu-central-1:111122223333:chat"
    error_message = "Somebody is not told."
  }
}

run "what_makes_no_sense_is_refused" {
  command = plan
  variables {
    name           = "a topic"
    publishers     = ["*"]
    alarm_accounts = ["42"]
    pagerduty_url  = "http://events.pagerduty.com/integration/0123456789abcdef/enqueue"
    emails         = ["nobody"]
  }

  expect_failures = [var.name, var.publishers, var.alarm_accounts, var.pagerduty_url, var.emails]
}
