mock_provider "aws" {
  alias           = "management"
  override_during = plan

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "999988887777" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1", name = "eu-central-1" }
  }
  mock_data "aws_subnet" {
    defaults = { availability_zone = "eu-central-1a" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:999988887777:key/made", key_id = "made" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:999988887777:made" }
  }
  mock_resource "aws_sns_topic_policy" {
    defaults = { arn = "arn:aws:sns:eu-central-1:999988887777:made" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-central-1:999988887777:made", url = "https://sqs.eu-central-1.amazonaws.com/999988887777/made", id = "https://sqs.eu-central-1.amazonaws.com/999988887777/made" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::999988887777:role/trailwarden" }
  }
}

mock_provider "aws" {
  alias           = "log_archive"
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
  mock_data "aws_subnet" {
    defaults = { availability_zone = "eu-central-1a" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:111122223333:key/made", key_id = "made" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:111122223333:made" }
  }
  mock_resource "aws_sns_topic_policy" {
    defaults = { arn = "arn:aws:sns:eu-central-1:111122223333:made" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-central-1:111122223333:made", url = "https://sqs.eu-central-1.amazonaws.com/111122223333/made", id = "https://sqs.eu-central-1.amazonaws.com/111122223333/made" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/trailwarden" }
  }
}

mock_provider "aws" {
  alias           = "security"
  override_during = plan

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "444455556666" }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1", name = "eu-central-1" }
  }
  mock_data "aws_subnet" {
    defaults = { availability_zone = "eu-central-1a" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:444455556666:key/made", key_id = "made" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:444455556666:made" }
  }
  mock_resource "aws_sns_topic_policy" {
    defaults = { arn = "arn:aws:sns:eu-central-1:444455556666:made" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:eu-central-1:444455556666:made", url = "https://sqs.eu-central-1.amazonaws.com/444455556666/made", id = "https://sqs.eu-central-1.amazonaws.com/444455556666/made" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::444455556666:role/trailwarden" }
  }
}

variables {
  region                 = "eu-central-1"
  organization_id        = "o-a1b2c3d4e5"
  management_account_id  = "999988887777"
  log_archive_account_id = "111122223333"
  security_account_id    = "444455556666"
  kms_key_arn            = "arn:aws:kms:eu-central-1:999988887777:key/landing"
  vpc_id                 = "vpc-0123456789abcdef0"
  subnet_id              = "subnet-0123456789abcdef0"
  ami_id                 = "ami-0123456789abcdef0"
  package                = { url = "https://packages.example.com/trailwarden.rpm", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
}

run "the_landing_zone_stays_as_it_is" {
  command = plan

  assert {
    condition = alltrue([for part in [
      "bucket = \"aws-controltower-logs-111122223333-eu-central-1\"",
      "layout = [\"o-a1b2c3d4e5/AWSLogs/{org}/{account}/\"]",
      "trails = [\"arn:aws:cloudtrail:eu-central-1:999988887777:trail/aws-controltower-BaselineCloudTrail\"]",
      "writers = [\"config.amazonaws.com\"]",
    ] : strcontains(output.configuration, part)])
    error_message = "The warden looks elsewhere than the landing zone delivers."
  }
  assert {
    condition     = !strcontains(output.configuration, "[retention]") && !can(output.policies["retention"])
    error_message = "Something is promised of a bucket without a lock."
  }
  assert {
    condition     = [for s in jsondecode(output.policies["reader"]).Statement : s.Resource if s.Sid == "ReadDeliveries"] == ["arn:aws:s3:::aws-controltower-logs-111122223333-eu-central-1/o-a1b2c3d4e5/AWSLogs/*"]
    error_message = "The warden reads elsewhere."
  }
}

run "a_topic_that_is_there_is_listened_to" {
  command = plan
  variables {
    via                = "sns"
    existing_topic_arn = "arn:aws:sns:eu-central-1:111122223333:siem"
  }

  assert {
    condition     = strcontains(join(" ", output.doctor_arguments), "--topic arn:aws:sns:eu-central-1:111122223333:siem")
    error_message = "The doctor is not told of the topic."
  }
}
