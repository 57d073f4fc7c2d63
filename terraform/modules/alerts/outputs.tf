output "topic_arn" {
  description = "The topic: `alert_topics` of module `settings`, `alarm_actions` of the others. Known once its policy is there."
  value       = aws_sns_topic_policy.this.arn
}

output "kms_key_arn" {
  description = "The topic's key: one of `keys` of module `settings`."
  value       = local.key_arn
}

output "kms_statement" {
  description = "The statement, as JSON, that the policy of a key of yours needs so that alarms can be told."
  value       = jsonencode(local.key_for_alarms)
}
