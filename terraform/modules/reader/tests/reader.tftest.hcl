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
}

variables {
  bucket_name     = "acme-org-cloudtrail"
  organization_id = "o-a1b2c3d4e5"
}

run "each_member_reads_its_own_folder" {
  command = plan

  assert {
    condition     = [for s in jsondecode(output.bucket_statements) : s.Resource] == ["arn:aws:s3:::acme-org-cloudtrail/AWSLogs/o-a1b2c3d4e5/$${aws:PrincipalAccount}/*", "arn:aws:s3:::acme-org-cloudtrail"]
    error_message = "Members read more than their own folder."
  }
  assert {
    condition     = alltrue([for s in concat(jsondecode(output.bucket_statements), jsondecode(output.key_statements)) : s.Condition.StringEquals["aws:PrincipalOrgID"] == "o-a1b2c3d4e5" && s.Effect == "Allow"])
    error_message = "Somebody of no member may read."
  }
  assert {
    condition     = jsondecode(output.bucket_statements)[1].Condition.StringLike["s3:prefix"] == "AWSLogs/o-a1b2c3d4e5/$${aws:PrincipalAccount}/*"
    error_message = "Members list more than their own folder."
  }
  assert {
    condition     = jsondecode(output.bucket_statements)[0].Action == ["s3:GetObject", "s3:GetObjectVersion"] && jsondecode(output.bucket_statements)[1].Action == "s3:ListBucket" && jsondecode(output.key_statements)[0].Action == "kms:Decrypt"
    error_message = "Members do more than read."
  }
  assert {
    condition     = jsondecode(output.key_statements)[0].Condition.StringEquals["kms:ViaService"] == "s3.eu-central-1.amazonaws.com" && jsondecode(output.key_statements)[0].Condition.Null == { "kms:EncryptionContext:aws:cloudtrail:arn" = "false" }
    error_message = "The key decrypts more than logs through S3."
  }
}

run "some_accounts_and_one_role" {
  command = plan
  variables {
    accounts    = ["012345678901"]
    role_name   = "security/auditor"
    prefix      = "trails"
    roles_for   = ["012345678901"]
    kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/one"
  }

  assert {
    condition     = jsondecode(output.bucket_statements)[0].Principal == { AWS = ["arn:aws:iam::012345678901:root"] } && jsondecode(output.bucket_statements)[0].Condition.ArnLike["aws:PrincipalArn"] == "arn:aws:iam::*:role/security/auditor"
    error_message = "Other accounts or roles may read."
  }
  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.this["012345678901"].policy).Statement : s.Resource] == ["arn:aws:s3:::acme-org-cloudtrail/trails/AWSLogs/o-a1b2c3d4e5/012345678901/*", "arn:aws:s3:::acme-org-cloudtrail", "arn:aws:kms:eu-central-1:111122223333:key/one"]
    error_message = "The account's role reads something else."
  }
  assert {
    condition     = jsondecode(aws_iam_role.this["012345678901"].assume_role_policy).Statement[0].Principal == { AWS = "arn:aws:iam::012345678901:root" } && jsondecode(aws_iam_role.this["012345678901"].assume_role_policy).Statement[0].Condition.StringEquals["aws:PrincipalOrgID"] == "o-a1b2c3d4e5"
    error_message = "Somebody else may assume the account's role."
  }
}

run "what_makes_no_sense_is_refused" {
  command = plan
  variables {
    organization_id = "acme"
    accounts        = ["12345678901"]
    role_name       = "*"
    roles_for       = ["12345678901"]
  }

  expect_failures = [var.organization_id, var.accounts, var.role_name, var.roles_for]
}
