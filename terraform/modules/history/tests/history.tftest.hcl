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
    defaults = { id = "acme-history" }
  }
}

variables {
  bucket_name = "acme-history"
}

run "days_are_projected" {
  command = plan

  assert {
    condition     = aws_glue_catalog_table.this.parameters["projection.enabled"] == "true" && aws_glue_catalog_table.this.parameters["projection.date.type"] == "date" && aws_glue_catalog_table.this.parameters["projection.date.format"] == "yyyy-MM-dd" && aws_glue_catalog_table.this.parameters["projection.date.range"] == "2013-11-01,NOW"
    error_message = "Days have to be added by hand, or are not found."
  }
  assert {
    condition     = aws_glue_catalog_table.this.parameters["storage.location.template"] == "s3://acme-history/history/manifest/date=$${date}" && [for key in aws_glue_catalog_table.this.partition_keys : [key.name, key.type]] == [["date", "string"]]
    error_message = "Days are looked for elsewhere than the warden writes them."
  }
  assert {
    condition     = aws_glue_catalog_table.this.storage_descriptor[0].ser_de_info[0].serialization_library == "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    error_message = "The files are not read as Parquet."
  }
  assert {
    condition     = aws_glue_catalog_table.this.storage_descriptor[0].input_format == "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat" && aws_glue_catalog_table.this.storage_descriptor[0].location == "s3://acme-history/history/manifest/"
    error_message = "Files are read that are on no list: rows could come twice."
  }
  assert {
    condition     = length([for column in aws_glue_catalog_table.this.storage_descriptor[0].columns : column if column.name == "recipientaccountid" && column.type == "string"]) == 1
    error_message = "An account is no text, and loses its zeros."
  }
}

run "questions_are_bounded_and_answers_encrypted" {
  command = plan
  variables {
    scan_limit_gib = 2
  }

  assert {
    condition     = aws_athena_workgroup.this.configuration[0].bytes_scanned_cutoff_per_query == 2147483648 && aws_athena_workgroup.this.configuration[0].enforce_workgroup_configuration
    error_message = "A query may read without end."
  }
  assert {
    condition     = aws_athena_workgroup.this.configuration[0].result_configuration[0].encryption_configuration[0].encryption_option == "SSE_KMS" && aws_athena_workgroup.this.configuration[0].result_configuration[0].expected_bucket_owner == "111122223333"
    error_message = "Answers are not encrypted, or may go to somebody else's bucket."
  }
}

run "the_bucket_is_private_and_tidy" {
  command = plan
  variables {
    prefix      = ""
    expire_days = 730
  }

  assert {
    condition     = aws_s3_bucket_public_access_block.this.restrict_public_buckets && aws_s3_bucket_ownership_controls.this.rule[0].object_ownership == "BucketOwnerEnforced" && strcontains(aws_s3_bucket_policy.this.policy, "aws:SecureTransport")
    error_message = "The bucket is open, or to be reached without TLS."
  }
  assert {
    condition     = join(" ", [for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id]) == "results history old-versions" && aws_s3_bucket_lifecycle_configuration.this.rule[1].expiration[0].days == 730
    error_message = "What is old stays, or goes too soon."
  }
  assert {
    condition     = aws_glue_catalog_table.this.parameters["storage.location.template"] == "s3://acme-history/manifest/date=$${date}"
    error_message = "Without a prefix days are looked for elsewhere."
  }
}

run "what_makes_no_sense_is_refused" {
  command = plan
  variables {
    bucket_name    = "Acme"
    prefix         = "/a"
    database       = "my-database"
    table          = "Table"
    since          = "yesterday"
    scan_limit_gib = 0
  }

  expect_failures = [var.bucket_name, var.prefix, var.database, var.table, var.since, var.scan_limit_gib]
}
