output "role_arns" {
  description = "By shard: the ARN of the host's role, `trusted` of module `access`."
  value       = { for shard, role in aws_iam_role.this : shard => role.arn }
}

output "heartbeat_topics" {
  description = "By shard: the topic that hears that the warden is alive, `heartbeat.topic_arn` of module `settings`."
  value       = { for shard, topic in aws_sns_topic.heartbeat : shard => topic.arn }
}

output "instance_ids" {
  description = "By shard: the host. `aws ssm start-session --target ID` opens a session."
  value       = { for shard, instance in aws_instance.this : shard => instance.id }
}

output "security_group_id" {
  description = "The hosts' security group."
  value       = aws_security_group.this.id
}

output "user_data" {
  description = "By shard: what the host does when it first starts, as a script."
  value       = local.user_data
}
