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
  name    = "trailwarden-archive"
  policy  = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"ListBuckets\"}]}"
  trusted = ["arn:aws:iam::444455556666:role/trailwarden"]
}

run "only_the_warden_may_assume_it" {
  command = plan
  variables {
    external_id = "warden"
  }

  assert {
    condition = jsondecode(aws_iam_role.this.assume_role_policy).Statement == [{
      Sid       = "Warden"
      Effect    = "Allow"
      Principal = { AWS = ["arn:aws:iam::444455556666:role/trailwarden"] }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "sts:ExternalId" = "warden" } }
    }]
    error_message = "Somebody else may assume the role, or without the external id."
  }
  assert {
    condition     = aws_iam_role_policy.this.policy == var.policy && aws_iam_role.this.max_session_duration == 3600
    error_message = "The role may do something else, or for longer."
  }
}

run "an_external_id_need_not_be" {
  command = plan

  assert {
    condition     = !can(jsondecode(aws_iam_role.this.assume_role_policy).Statement[0].Condition)
    error_message = "There is a condition that nobody asked for."
  }
}

run "what_makes_no_sense_is_refused" {
  command = plan
  variables {
    name    = "a role"
    policy  = "{\"Statement\":[]}"
    trusted = ["arn:aws:iam::444455556666:root"]
  }

  expect_failures = [var.name, var.policy, var.trusted]
}
