output "bucket" {
  description = "The bucket's name, known once its policy is there."
  value       = aws_s3_bucket_policy.this.bucket
}

output "location" {
  description = "Where the warden writes history: `s3://BUCKET/PREFIX/`."
  value       = local.location
}

output "kms_key_arn" {
  description = "The key of history and results."
  value       = local.key_arn
}

output "table" {
  description = "The table as queries name it."
  value       = "${aws_glue_catalog_database.this.name}.${aws_glue_catalog_table.this.name}"
}

output "workgroup" {
  description = "The workgroup to ask in."
  value       = aws_athena_workgroup.this.name
}
