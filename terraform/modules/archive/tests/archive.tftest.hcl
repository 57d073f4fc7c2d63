mock_provider "aws" {
  override_during = plan

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1", name = "eu-central-1" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:111122223333:key/made", key_id = "made" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { id = "acme-org-cloudtrail" }
  }
}

variables {
  bucket_name     = "acme-org-cloudtrail"
  trail_arns      = ["arn:aws:cloudtrail:eu-central-1:999988887777:trail/organization"]
  organization_id = "o-a1b2c3d4e5"
}

run "an_organizations_trail_delivers_and_nobody_else" {
  command = plan

  assert {
    condition     = [for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s.Sid] == ["CloudTrailAclCheck", "CloudTrailWrite", "CloudTrailOrganizationWrite", "TlsOnly"]
    error_message = "The policy has other statements than CloudTrail needs."
  }
  assert {
    condition = alltrue([
      for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement :
      s.Condition.StringEquals["aws:SourceArn"] == "arn:aws:cloudtrail:eu-central-1:999988887777:trail/organization"
      && s.Principal == { Service = "cloudtrail.amazonaws.com" } if s.Effect == "Allow"
    ])
    error_message = "A statement lets CloudTrail write on somebody else's behalf."
  }
  assert {
    condition = [for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s.Resource if s.Action == "s3:PutObject"] == [
      "arn:aws:s3:::acme-org-cloudtrail/AWSLogs/999988887777/*",
      "arn:aws:s3:::acme-org-cloudtrail/AWSLogs/o-a1b2c3d4e5/*",
    ]
    error_message = "CloudTrail writes into other folders than the trail's."
  }
  assert {
    condition     = alltrue([for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s.Condition.StringEquals["s3:x-amz-acl"] == "bucket-owner-full-control" if s.Action == "s3:PutObject"])
    error_message = "The owner does not get what is written."
  }
  assert {
    condition = [for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : [s.Effect, s.Principal, s.Action, s.Resource, s.Condition] if s.Sid == "TlsOnly"] == [
      ["Deny", "*", "s3:*", ["arn:aws:s3:::acme-org-cloudtrail", "arn:aws:s3:::acme-org-cloudtrail/*"], { Bool = { "aws:SecureTransport" = "false" } }]
    ]
    error_message = "Plain HTTP is not refused."
  }
}

run "the_bucket_is_locked_private_encrypted_and_its_own" {
  command = plan

  assert {
    condition     = aws_s3_bucket.this.object_lock_enabled && aws_s3_bucket.this.force_destroy == false
    error_message = "The bucket has no Object Lock, or Terraform may empty it."
  }
  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "Versions are not kept."
  }
  assert {
    condition     = [aws_s3_bucket_object_lock_configuration.this.rule[0].default_retention[0].mode, aws_s3_bucket_object_lock_configuration.this.rule[0].default_retention[0].days] == ["GOVERNANCE", 365]
    error_message = "The default retention is another."
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls, aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls, aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "Block Public Access is not all on."
  }
  assert {
    condition     = aws_s3_bucket_ownership_controls.this.rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "ACLs are not off."
  }
  assert {
    condition = alltrue([for rule in aws_s3_bucket_server_side_encryption_configuration.this.rule :
    rule.bucket_key_enabled && rule.apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms" && rule.apply_server_side_encryption_by_default[0].kms_master_key_id == "arn:aws:kms:eu-central-1:111122223333:key/made"])
    error_message = "Objects are not encrypted with the key that was made."
  }
  assert {
    condition     = length(aws_s3_bucket_logging.this) == 0
    error_message = "Access is logged though nobody said where."
  }
}

run "the_key_is_for_the_trail" {
  command = plan

  assert {
    condition     = aws_kms_key.this[0].enable_key_rotation && aws_kms_key.this[0].deletion_window_in_days == 30
    error_message = "The key does not rotate, or goes too soon."
  }
  assert {
    condition = [for s in jsondecode(aws_kms_key.this[0].policy).Statement : s.Condition if s.Sid == "CloudTrailEncrypt"] == [{
      StringEquals = { "aws:SourceArn" = "arn:aws:cloudtrail:eu-central-1:999988887777:trail/organization" }
      StringLike   = { "kms:EncryptionContext:aws:cloudtrail:arn" = ["arn:aws:cloudtrail:*:999988887777:trail/*"] }
    }]
    error_message = "CloudTrail may encrypt for other trails."
  }
  assert {
    condition     = [for s in jsondecode(aws_kms_key.this[0].policy).Statement : s.Principal if s.Action == "kms:*"] == [{ AWS = "arn:aws:iam::111122223333:root" }]
    error_message = "Somebody else administers the key."
  }
  assert {
    condition     = jsondecode(output.kms_statements) == slice(jsondecode(aws_kms_key.this[0].policy).Statement, 1, 3)
    error_message = "The statements for a key of one's own are others."
  }
}

run "rules_tidy_and_end_nothing" {
  command = plan

  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.this[0].rule : [rule.id, rule.filter[0].prefix, length(rule.expiration), length(rule.noncurrent_version_expiration)]] == [["trailwarden-uploads", "AWSLogs/", 0, 0]]
    error_message = "The baseline does more than give up uploads."
  }
}

run "old_versions_go_when_the_lock_is_over_and_the_warden_is_told_the_same" {
  command = plan
  variables {
    lock            = { days = 400 }
    noncurrent_days = 400
    prefix          = "trails"
  }

  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.this[0].rule : [rule.id, rule.filter[0].prefix]] == [["trailwarden-old-versions", "trails/AWSLogs/"], ["trailwarden-uploads", "trails/AWSLogs/"]]
    error_message = "The rules do not lie where the logs lie."
  }
  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this[0].rule[0].noncurrent_version_expiration[0].noncurrent_days == 400 && aws_s3_bucket_lifecycle_configuration.this[0].rule[0].expiration[0].expired_object_delete_marker
    error_message = "Old versions go at another time, or leave their markers."
  }
  assert {
    condition     = output.retention == { keep_days = 400, mode = "governance", noncurrent_days = 400, incomplete_uploads_days = 7 }
    error_message = "The warden is promised something else."
  }
  assert {
    condition     = strcontains(aws_s3_bucket_policy.this.policy, "acme-org-cloudtrail/trails/AWSLogs/o-a1b2c3d4e5/*")
    error_message = "The prefix is not in the policy."
  }
}

run "the_warden_sets_the_rules_where_it_is_asked_to" {
  command = plan
  variables {
    lifecycle_by      = "warden"
    access_log_bucket = "acme-access-logs"
    kms_key_arn       = "arn:aws:kms:eu-central-1:111122223333:key/given"
    bucket_statements = ["[{\"Sid\":\"More\",\"Effect\":\"Allow\"}]"]
  }

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.this) == 0 && length(aws_kms_key.this) == 0 && output.kms_key_arn == "arn:aws:kms:eu-central-1:111122223333:key/given"
    error_message = "Rules or a key are made that were not asked for."
  }
  assert {
    condition     = [aws_s3_bucket_logging.this[0].target_bucket, aws_s3_bucket_logging.this[0].target_prefix] == ["acme-access-logs", "acme-org-cloudtrail/"]
    error_message = "Access is logged elsewhere."
  }
  assert {
    condition     = contains([for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s.Sid], "More")
    error_message = "More statements are left out."
  }
}

run "several_accounts_trails_each_have_their_folder" {
  command = plan
  variables {
    organization_id = null
    trail_arns      = ["arn:aws:cloudtrail:eu-central-1:111122223333:trail/one", "arn:aws:cloudtrail:eu-west-1:444455556666:trail/two"]
  }

  assert {
    condition = [for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : [s.Sid, s.Resource] if s.Action == "s3:PutObject"] == [
      ["CloudTrailWrite111122223333", "arn:aws:s3:::acme-org-cloudtrail/AWSLogs/111122223333/*"],
      ["CloudTrailWrite444455556666", "arn:aws:s3:::acme-org-cloudtrail/AWSLogs/444455556666/*"],
    ]
    error_message = "The accounts' folders are wrong."
  }
}

run "compliance_is_typed_out" {
  command = plan
  variables {
    lock               = { days = 2557, mode = "COMPLIANCE" }
    confirm_compliance = "acme-org-cloudtrail"
  }

  assert {
    condition     = aws_s3_bucket_object_lock_configuration.this.rule[0].default_retention[0].mode == "COMPLIANCE"
    error_message = "COMPLIANCE was confirmed and is not set."
  }
}

run "what_makes_no_sense_is_refused" {
  command = plan
  variables {
    bucket_name             = "Acme.Logs"
    trail_arns              = ["arn:aws:cloudtrail:*:999988887777:trail/*"]
    organization_id         = "acme"
    prefix                  = "AWSLogs/"
    lock                    = { days = 0.5, mode = "FOREVER" }
    lifecycle_by            = "nobody"
    incomplete_uploads_days = 0
    kms_key_arn             = "alias/mine"
  }

  expect_failures = [
    var.bucket_name, var.trail_arns, var.organization_id, var.prefix, var.lock, var.lifecycle_by,
    var.incomplete_uploads_days, var.kms_key_arn,
  ]
}

run "what_contradicts_itself_is_refused" {
  command = plan
  variables {
    lock               = { days = 365, mode = "COMPLIANCE" }
    confirm_compliance = "acme-org-cloudtrial"
    noncurrent_days    = 364
    access_log_bucket  = "acme-org-cloudtrail"
  }

  expect_failures = [var.confirm_compliance, var.noncurrent_days, var.access_log_bucket]
}
