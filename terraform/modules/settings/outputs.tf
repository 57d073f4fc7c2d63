output "configuration" {
  description = "The warden's configuration, as TOML, for /etc/trailwarden/trailwarden.toml."
  value       = local.configuration
}

output "policies" {
  description = "The IAM policy of each role as JSON, exactly as `trailwarden doctor --policy` prints it for this configuration: `process`, `reader`, `retention`, `audit`, as far as there is something to do."
  value       = local.documents
}

output "actors" {
  description = "The same statements, divided among those who do them: one JSON policy for the process itself (`process`) and for each role of `roles`."
  value       = local.of_actor
}

output "doctor_arguments" {
  description = "What the configuration does not say and `trailwarden doctor` has to be told: keys, dead-letter queues, topics."
  value = concat(
    flatten([for arn in distinct(var.keys) : ["--key", arn]]),
    flatten([for arn in distinct(var.dead_letters) : ["--dead-letters", arn]]),
    flatten([for arn in distinct(var.topics) : ["--topic", arn]]),
  )
}
