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

variables {
  region      = "eu-central-1"
  account_id  = "111122223333"
  bucket_name = "acme-cloudtrail"
  vpc_id      = "vpc-0123456789abcdef0"
  subnet_id   = "subnet-0123456789abcdef0"
  ami_id      = "ami-0123456789abcdef0"
  package     = { url = "https://packages.example.com/trailwarden.rpm", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
}

run "one_account_has_it_all" {
  command = plan

  assert {
    condition     = strcontains(output.configuration, "members = \"members.toml\"") && strcontains(output.configuration, "layout = [\"AWSLogs/{account}/\"]") && !strcontains(output.configuration, "id = \"o-")
    error_message = "An organization is asked for that is not there."
  }
  assert {
    condition     = !strcontains(join("", values(output.policies)), "organizations:")
    error_message = "AWS Organizations may be asked though there is none."
  }
  assert {
    condition     = [for s in jsondecode(output.policies["process"]).Statement : s.Resource] == ["arn:aws:iam::111122223333:role/trailwarden-retention"]
    error_message = "Retention has no role of its own."
  }
}

run "what_makes_no_sense_is_refused" {
  command = plan
  variables {
    account_id = "42"
  }

  expect_failures = [var.account_id]
}
