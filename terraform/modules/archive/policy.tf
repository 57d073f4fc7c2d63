# Who may do what with the bucket and its key (CloudTrail User Guide: S3 bucket policy, KMS key policy).

locals {
  trails     = length(var.trail_arns) == 1 ? jsonencode(var.trail_arns[0]) : jsonencode(var.trail_arns)
  source_arn = jsondecode(local.trails)
  owners     = sort(distinct([for arn in var.trail_arns : split(":", arn)[4]]))
  # The folder of each trail's own account, and the organization's: if an organization trail turns into an ordinary one, delivery goes on.
  folders = concat(local.owners, var.organization_id == null ? [] : [var.organization_id])

  deliver = [for folder in local.folders : {
    Sid       = startswith(folder, "o-") ? "CloudTrailOrganizationWrite" : length(local.owners) == 1 ? "CloudTrailWrite" : "CloudTrailWrite${folder}"
    Effect    = "Allow"
    Principal = { Service = "cloudtrail.amazonaws.com" }
    Action    = "s3:PutObject"
    Resource  = "${local.bucket_arn}/${local.logs}${folder}/*"
    Condition = { StringEquals = { "aws:SourceArn" = local.source_arn, "s3:x-amz-acl" = "bucket-owner-full-control" } }
  }]

  bucket_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "CloudTrailAclCheck"
        Effect    = "Allow"
        Principal = { Service = "cloudtrail.amazonaws.com" }
        Action    = "s3:GetBucketAcl"
        Resource  = local.bucket_arn
        Condition = { StringEquals = { "aws:SourceArn" = local.source_arn } }
      }],
      local.deliver,
      flatten([for statements in var.bucket_statements : jsondecode(statements)]),
      [{
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }],
    )
  })

  # For the trails; they encrypt for every member as the account that owns the trail.
  key_for_trails = [
    {
      Sid       = "CloudTrailEncrypt"
      Effect    = "Allow"
      Principal = { Service = "cloudtrail.amazonaws.com" }
      Action    = "kms:GenerateDataKey*"
      Resource  = "*"
      Condition = {
        StringEquals = { "aws:SourceArn" = local.source_arn }
        StringLike   = { "kms:EncryptionContext:aws:cloudtrail:arn" = [for owner in local.owners : "arn:${local.partition}:cloudtrail:*:${owner}:trail/*"] }
      }
    },
    {
      # With bucket keys, CloudTrail decrypts the bucket's key when a trail is made or changed.
      Sid       = "CloudTrailUse"
      Effect    = "Allow"
      Principal = { Service = "cloudtrail.amazonaws.com" }
      Action    = ["kms:Decrypt", "kms:DescribeKey"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:SourceArn" = local.source_arn } }
    },
  ]

  key_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      }],
      local.key_for_trails,
      flatten([for statements in var.key_statements : jsondecode(statements)]),
    )
  })
}
