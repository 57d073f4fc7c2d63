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
  trail_arns  = ["arn:aws:cloudtrail:eu-central-1:111122223333:trail/main"]
  topic_arn   = "arn:aws:sns:eu-central-1:111122223333:theirs"
  vpc_id      = "vpc-0123456789abcdef0"
  subnet_id   = "subnet-0123456789abcdef0"
  ami_id      = "ami-0123456789abcdef0"
  package     = { url = "https://packages.example.com/trailwarden.rpm", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
}

run "one_more_listens" {
  command = plan

  assert {
    condition     = strcontains(join(" ", output.doctor_arguments), "--topic arn:aws:sns:eu-central-1:111122223333:theirs") && !strcontains(output.configuration, "[retention]")
    error_message = "The topic is not told, or something is promised."
  }
  assert {
    condition     = strcontains(output.configuration, "members = \"members.toml\"") && output.organization_policy == null
    error_message = "An organization is asked for that is not there."
  }
}

run "an_organizations_bucket_asks_for_its_members" {
  command = plan
  variables {
    organization_id  = "o-a1b2c3d4e5"
    members_role_arn = "arn:aws:iam::999988887777:role/members"
  }

  assert {
    condition     = strcontains(output.configuration, "members = \"organizations\"\nrole = \"arn:aws:iam::999988887777:role/members\"") && jsondecode(output.organization_policy).Statement[0].Sid == "ReadOrganization"
    error_message = "Members are not asked for by that role."
  }
}
