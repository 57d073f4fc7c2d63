output "configurations" {
  description = "By shard: the warden's configuration."
  value       = { for shard, settings in module.settings : shard => settings.configuration }
}

output "policies" {
  description = "By shard: what `trailwarden doctor --policy` prints."
  value       = { for shard, settings in module.settings : shard => settings.policies }
}

output "doctor_arguments" {
  description = "By shard: what to tell `trailwarden doctor` besides."
  value       = { for shard, settings in module.settings : shard => settings.doctor_arguments }
}

output "queues" {
  description = "By shard: the queue."
  value       = module.notify.queues
}

output "instance_ids" {
  description = "By shard: the host."
  value       = module.warden.instance_ids
}

output "alerts_topic_arn" {
  description = "Where alerts go."
  value       = module.alerts.topic_arn
}

output "feed_statement" {
  description = "What a feed's queue policy needs."
  value       = module.notify.feed_statement
}
