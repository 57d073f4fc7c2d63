output "bucket_statements" {
  description = "Statements for the bucket's policy, as JSON of a list: `bucket_statements` of module `archive`."
  value       = jsonencode(local.bucket_statements)
}

output "key_statements" {
  description = "Statements for the key's policy, as JSON of a list: `key_statements` of module `archive`."
  value       = jsonencode(local.key_statements)
}

output "roles" {
  description = "The roles that were made, by account."
  value       = { for account, role in aws_iam_role.this : account => role.arn }
}
