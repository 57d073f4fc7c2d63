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
  bucket_name            = "acme-org-cloudtrail"
  vpc_id                 = "vpc-0123456789abcdef0"
  subnet_id              = "subnet-0123456789abcdef0"
  ami_id                 = "ami-0123456789abcdef0"
  package                = { url = "https://packages.example.com/trailwarden.rpm", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
}

run "each_part_is_in_its_account" {
  command = plan

  assert {
    condition = alltrue([for part in [
      "[organization]\nid = \"o-a1b2c3d4e5\"",
      "role = \"arn:aws:iam::999988887777:role/trailwarden-organization\"",
      "bucket = \"acme-org-cloudtrail\"\nowner = \"111122223333\"",
      "audit_role = \"arn:aws:iam::999988887777:role/trailwarden-trails\"",
      "keep = \"365d\"\nmode = \"governance\"",
      "trails = [\"arn:aws:cloudtrail:eu-central-1:999988887777:trail/organization\"]",
      "layout = [\"AWSLogs/{org}/{account}/\"]",
    ] : strcontains(output.configurations["0"], part)])
    error_message = "The warden is told something else than what is made."
  }
  assert {
    condition     = join(" ", keys(output.policies["0"])) == "audit process reader retention"
    error_message = "A role is missing."
  }
  assert {
    condition     = [for s in jsondecode(output.policies["0"].process).Statement : length(s.Resource)] == [5]
    error_message = "The process assumes other roles than the five that are made."
  }
  assert {
    condition     = strcontains(output.configurations["0"], "access_logging_off")
    error_message = "Without a bucket for access logs their absence is meant to be."
  }
}

run "five_shards_each_have_a_warden" {
  command = plan
  variables {
    shard_count       = 5
    access_log_bucket = "acme-access-logs"
    members_read      = false
  }

  assert {
    condition     = length(output.configurations) == 5 && length(output.queues) == 5
    error_message = "There are not five wardens with five queues."
  }
  assert {
    condition     = alltrue([for shard, text in output.configurations : strcontains(text, "role/trailwarden-${shard}-archive")])
    error_message = "A shard uses another shard's roles."
  }
  assert {
    condition     = alltrue([for shard, text in output.configurations : startswith(text, "[shard]\nindex = ${shard}\ncount = 5\n")])
    error_message = "A warden does not know which shard it is."
  }
  assert {
    condition     = !strcontains(output.configurations["0"], "access_logging_off")
    error_message = "Access is logged, and yet its absence is accepted."
  }
}
