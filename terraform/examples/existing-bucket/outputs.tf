output "configuration" {
  description = "The warden's configuration."
  value       = module.settings.configuration
}

output "policies" {
  description = "What `trailwarden doctor --policy` prints."
  value       = module.settings.policies
}

output "doctor_arguments" {
  description = "What to tell `trailwarden doctor` besides."
  value       = module.settings.doctor_arguments
}

output "organization_policy" {
  description = "What `members_role_arn` has to allow, as JSON; null without one."
  value       = try(module.settings.actors["organization"], null)
}

output "instance_id" {
  description = "The host."
  value       = module.warden.instance_ids["0"]
}
