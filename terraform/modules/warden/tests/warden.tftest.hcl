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
  mock_data "aws_ssm_parameter" {
    defaults = { value = "ami-00000000000000001" }
  }
  mock_resource "aws_ebs_volume" {
    defaults = { id = "vol-0123456789abcdef0" }
  }
  mock_resource "aws_instance" {
    defaults = { id = "i-0123456789abcdef0" }
  }
  mock_resource "aws_security_group" {
    defaults = { id = "sg-0123456789abcdef0" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/made" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:111122223333:made" }
  }
}

variables {
  configurations = { "0" = "[organization]\n" }
  policies       = { "0" = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  vpc_id         = "vpc-0123456789abcdef0"
  subnet_id      = "subnet-0123456789abcdef0"
  package        = { url = "https://packages.example.com/trailwarden.rpm", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
}

run "nobody_gets_in_and_little_gets_out" {
  command = plan

  assert {
    condition     = [for one in aws_instance.this["0"].metadata_options : [one.http_tokens, one.http_put_response_hop_limit]] == [["required", 1]]
    error_message = "The host's credentials can be had without a token, or from farther away."
  }
  assert {
    condition     = aws_instance.this["0"].associate_public_ip_address == false
    error_message = "The host can be reached."
  }
  assert {
    condition     = aws_instance.this["0"].root_block_device[0].encrypted && aws_ebs_volume.ledger["0"].encrypted && aws_instance.this["0"].ebs_optimized && aws_instance.this["0"].monitoring
    error_message = "A volume is not encrypted, or the host is not watched."
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.endpoints) == 0 && [for rule in aws_vpc_security_group_egress_rule.https : [rule.ip_protocol, rule.from_port, rule.to_port]] == [["tcp", 443, 443]]
    error_message = "The host may connect elsewhere than to port 443."
  }
  assert {
    condition     = aws_instance.this["0"].ami == "ami-00000000000000001" && aws_ebs_volume.ledger["0"].availability_zone == "eu-central-1a" && aws_volume_attachment.ledger["0"].volume_id == "vol-0123456789abcdef0"
    error_message = "The image, or where the ledger lies, is another."
  }
}

run "the_role_is_what_was_given_and_sessions" {
  command = plan

  assert {
    condition     = aws_iam_role_policy.warden["0"].policy == var.policies["0"]
    error_message = "The role's policy is not the one that was given."
  }
  assert {
    condition     = jsondecode(aws_iam_role.this["0"].assume_role_policy).Statement[0].Principal == { Service = "ec2.amazonaws.com" }
    error_message = "Somebody else than a host takes the role."
  }
  assert {
    condition     = !can(regex("ssm:Get|Parameter|[*]\"\\]", aws_iam_role_policy.session["0"].policy)) && length(jsondecode(aws_iam_role_policy.session["0"].policy).Statement[0].Action) == 5
    error_message = "Sessions need no parameters of the account."
  }
}

run "without_sessions_the_role_has_one_policy" {
  command = plan
  variables {
    session_manager = false
  }

  assert {
    condition     = length(aws_iam_role_policy.session) == 0
    error_message = "Sessions are allowed though nobody asked."
  }
}

run "user_data_installs_only_what_it_was_told" {
  command = plan
  variables {
    files = { "members.toml" = "[[account]]\n" }
  }

  assert {
    condition = alltrue([for part in [
      "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0",
      "'https://packages.example.com/trailwarden.rpm'",
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      "/etc/trailwarden/trailwarden.toml <<'CONTENT'\n${base64encode("[organization]\n")}\nCONTENT",
      "/etc/trailwarden/members.toml <<'CONTENT'\n${base64encode("[[account]]\n")}\nCONTENT",
      "systemctl enable trailwarden.service",
    ] : strcontains(output.user_data["0"], part)])
    error_message = "The host installs, mounts or is told something else."
  }
  assert {
    condition     = aws_instance.this["0"].user_data_base64 == base64gzip(output.user_data["0"]) && aws_instance.this["0"].user_data_replace_on_change
    error_message = "The host does not get what is printed."
  }
}

run "three_shards_are_three_hosts" {
  command = plan
  variables {
    shards          = ["0", "1", "2"]
    configurations  = { "0" = "zero", "1" = "one", "2" = "two" }
    policies        = { "0" = "{\"n\":0}", "1" = "{\"n\":1}", "2" = "{\"n\":2}" }
    alarm_actions   = ["arn:aws:sns:eu-central-1:111122223333:alerts"]
    endpoints       = ["sqs", "sts"]
    route_table_ids = ["rtb-0123456789abcdef0"]
    egress_cidrs    = ["10.0.0.0/8"]
  }

  assert {
    condition     = length(aws_instance.this) == 3 && join(" ", sort([for role in aws_iam_role.this : role.name])) == "trailwarden-0 trailwarden-1 trailwarden-2" && jsondecode(aws_iam_role_policy.warden["2"].policy).n == 2
    error_message = "Each shard has a host and a role of its own."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.heartbeat["1"].dimensions.TopicName == "trailwarden-1-heartbeat" && aws_cloudwatch_metric_alarm.heartbeat["1"].treat_missing_data == "breaching" && aws_cloudwatch_metric_alarm.heartbeat["1"].comparison_operator == "LessThanThreshold" && aws_cloudwatch_metric_alarm.heartbeat["1"].period == 900
    error_message = "A silent warden is no alarm."
  }
  assert {
    condition     = aws_sns_topic.heartbeat["1"].name == "trailwarden-1-heartbeat" && length(aws_cloudwatch_metric_alarm.host) == 3
    error_message = "A shard's heartbeat or host is not watched."
  }
  assert {
    condition     = aws_vpc_endpoint.interface["sqs"].service_name == "com.amazonaws.eu-central-1.sqs" && aws_vpc_endpoint.interface["sts"].private_dns_enabled && length(aws_vpc_endpoint.s3) == 1
    error_message = "AWS cannot be reached by the endpoints."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints[0].referenced_security_group_id == "sg-0123456789abcdef0" && aws_vpc_security_group_ingress_rule.endpoints[0].cidr_ipv4 == null && [for rule in aws_vpc_security_group_egress_rule.https : rule.cidr_ipv4] == ["10.0.0.0/8"]
    error_message = "Others use the endpoints, or the host connects elsewhere."
  }
}

run "what_makes_no_sense_is_refused" {
  command = plan
  variables {
    name              = "a host"
    shards            = ["11"]
    package           = { url = "http://packages.example.com/trailwarden.rpm", sha256 = "E3" }
    files             = { "../passwd" = "" }
    architecture      = "mips"
    volume_gib        = 1
    endpoints         = ["s3"]
    heartbeat_minutes = 7
  }

  expect_failures = [
    var.name, var.shards, var.package, var.files, var.architecture, var.volume_gib, var.endpoints, var.heartbeat_minutes,
  ]
}
