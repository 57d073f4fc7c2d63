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
  mock_resource "aws_cloudtrail" {
    defaults = { arn = "arn:aws:cloudtrail:eu-central-1:999988887777:trail/organization", home_region = "eu-central-1" }
  }
}

variables {
  bucket      = "acme-org-cloudtrail"
  kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/one"
}

run "it_can_be_proven_and_leaves_nothing_out" {
  command = plan

  assert {
    condition = alltrue([
      aws_cloudtrail.this.enable_log_file_validation, aws_cloudtrail.this.is_multi_region_trail, aws_cloudtrail.this.is_organization_trail,
      aws_cloudtrail.this.include_global_service_events, aws_cloudtrail.this.enable_logging,
    ])
    error_message = "Validation, regions, members, global services or logging itself is off."
  }
  assert {
    condition     = [aws_cloudtrail.this.s3_bucket_name, aws_cloudtrail.this.kms_key_id] == ["acme-org-cloudtrail", "arn:aws:kms:eu-central-1:111122223333:key/one"] && aws_cloudtrail.this.s3_key_prefix == null
    error_message = "It delivers elsewhere, or with another key."
  }
  assert {
    condition     = length(aws_cloudtrail.this.advanced_event_selector) == 0 && length(aws_cloudtrail.this.insight_selector) == 0
    error_message = "There are selectors that nobody asked for."
  }
}

run "management_events_stay_beside_data_events" {
  command = plan
  variables {
    organization = false
    prefix       = "trails"
    insights     = ["ApiCallRateInsight"]
    data_events = {
      archive = { type = "AWS::S3::Object", beginning_with = ["arn:aws:s3:::acme-org-cloudtrail/"], writes_only = true }
      calls   = { type = "AWS::Lambda::Function" }
    }
  }

  assert {
    condition     = aws_cloudtrail.this.is_organization_trail == false && aws_cloudtrail.this.s3_key_prefix == "trails"
    error_message = "It is another trail than was asked for."
  }
  assert {
    condition     = [for one in aws_cloudtrail.this.insight_selector : one.insight_type] == ["ApiCallRateInsight"]
    error_message = "Insights look for something else."
  }
  assert {
    condition     = [for one in aws_cloudtrail.this.advanced_event_selector : one.name] == ["All management events", "archive", "calls"]
    error_message = "Management events are left out."
  }
  assert {
    condition     = join(" ", sort([for field in aws_cloudtrail.this.advanced_event_selector[1].field_selector : "${field.field}=${join(",", concat(coalesce(field.equals, []), coalesce(field.starts_with, [])))}"])) == "eventCategory=Data readOnly=false resources.ARN=arn:aws:s3:::acme-org-cloudtrail/ resources.type=AWS::S3::Object"
    error_message = "Other data events are selected."
  }
  assert {
    condition     = join(" ", [for field in aws_cloudtrail.this.advanced_event_selector[0].field_selector : "${field.field}=${join(",", field.equals)}"]) == "eventCategory=Management"
    error_message = "Not all management events are selected."
  }
  assert {
    condition     = length(aws_cloudtrail.this.advanced_event_selector[2].field_selector) == 2
    error_message = "Data events are narrowed that were not to be."
  }
}

run "what_makes_no_sense_is_refused" {
  command = plan
  variables {
    name        = "a..b"
    prefix      = "AWSLogs"
    kms_key_arn = "alias/mine"
    insights    = ["Everything"]
    data_events = { bad = { type = "s3" } }
  }

  expect_failures = [var.name, var.prefix, var.kms_key_arn, var.insights, var.data_events]
}
