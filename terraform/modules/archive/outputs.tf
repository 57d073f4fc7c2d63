output "bucket" {
  description = "The bucket's name, known once its policy lets the trails deliver: what needs that waits for it."
  value       = aws_s3_bucket_policy.this.bucket
}

output "bucket_arn" {
  description = "The bucket's ARN."
  value       = local.bucket_arn
}

output "owner" {
  description = "The account that owns the bucket: `owner` of the warden's trail."
  value       = local.account
}

output "kms_key_arn" {
  description = "The key that deliveries are encrypted with."
  value       = local.key_arn
}

output "kms_statements" {
  description = "The statements, as JSON of a list, that the policy of a key of yours needs for the trails."
  value       = jsonencode(local.key_for_trails)
}

output "retention" {
  description = "What is promised here, as the module `settings` takes it: so the warden holds the bucket to the same."
  value = {
    keep_days               = var.lock.days
    mode                    = lower(var.lock.mode)
    noncurrent_days         = var.noncurrent_days
    incomplete_uploads_days = var.incomplete_uploads_days
  }
}
