# The bucket that receives the trail. Nothing in it can be deleted before its lock is over, and Terraform is not to try.

data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

locals {
  partition  = data.aws_partition.current.partition
  account    = data.aws_caller_identity.current.account_id
  bucket_arn = "arn:${local.partition}:s3:::${var.bucket_name}"
  logs       = "${var.prefix == "" ? "" : "${var.prefix}/"}AWSLogs/"
  key_arn    = var.kms_key_arn != null ? var.kms_key_arn : aws_kms_key.this[0].arn
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_144:a copy in another region is the operator's decision; replication of a locked bucket needs a second locked bucket
  #checkov:skip=CKV2_AWS_62:notifications are made by the module notify, which has the whole notification configuration
  #checkov:skip=CKV_AWS_18:access logging needs a bucket of the operator's; with access_log_bucket it is on, and reads are data events of the trail
  #checkov:skip=CKV2_AWS_61:with lifecycle_by = "warden" the rules are set by the retention of trailwarden
  bucket              = var.bucket_name
  object_lock_enabled = true
  force_destroy       = false
  # The tag also has the key outlive the bucket: without its key what is locked is lost.
  tags = merge(var.tags, { "trailwarden:key" = local.key_arn })

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "this" {
  bucket = aws_s3_bucket_versioning.this.bucket

  rule {
    default_retention {
      mode = var.lock.mode
      days = var.lock.days
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = local.key_arn
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = local.bucket_policy

  depends_on = [aws_s3_bucket_public_access_block.this]

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_logging" "this" {
  count = var.access_log_bucket == null ? 0 : 1

  bucket        = aws_s3_bucket.this.id
  target_bucket = var.access_log_bucket
  target_prefix = "${var.bucket_name}/"
}

# The same rules under the same ids as `trailwarden retention plan` wants them, so that neither undoes the other's.
resource "aws_s3_bucket_lifecycle_configuration" "this" {
  #checkov:skip=CKV_AWS_300:the rule trailwarden-uploads gives up uploads where the logs lie; nothing else is put here
  count = var.lifecycle_by == "terraform" ? 1 : 0

  bucket = aws_s3_bucket_versioning.this.bucket

  dynamic "rule" {
    for_each = var.noncurrent_days == null ? [] : [var.noncurrent_days]

    content {
      id     = "trailwarden-old-versions"
      status = "Enabled"

      filter {
        prefix = local.logs
      }
      expiration {
        expired_object_delete_marker = true
      }
      noncurrent_version_expiration {
        noncurrent_days = rule.value
      }
    }
  }

  rule {
    id     = "trailwarden-uploads"
    status = "Enabled"

    filter {
      prefix = local.logs
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = var.incomplete_uploads_days
    }
  }
}

resource "aws_kms_key" "this" {
  count = var.kms_key_arn == null ? 1 : 0

  description             = "CloudTrail in ${var.bucket_name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = local.key_policy
  tags                    = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "this" {
  count = var.kms_key_arn == null ? 1 : 0

  name          = "alias/${var.bucket_name}"
  target_key_id = aws_kms_key.this[0].key_id
}
