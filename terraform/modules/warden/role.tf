# The host's role: the printed policies, and Systems Manager.

resource "aws_iam_role" "this" {
  for_each = local.names

  name                 = each.value
  description          = "trailwarden, shard ${each.key}"
  max_session_duration = 3600
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Host"
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com${startswith(local.region, "cn-") ? ".cn" : ""}" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "warden" {
  #checkov:skip=CKV_AWS_290:where retention has no role of its own it writes lifecycle rules and locks of any object in the archive
  #checkov:skip=CKV_AWS_355:a star stands only where AWS knows no resource, in cloudtrail:ListPublicKeys, cloudtrail:DescribeTrails and organizations
  for_each = local.names

  name   = "trailwarden"
  role   = aws_iam_role.this[each.key].name
  policy = var.policies[each.key]
}

# What the agent of Systems Manager needs for sessions: the managed policy also reads every parameter of the account.
resource "aws_iam_role_policy" "session" {
  #checkov:skip=CKV_AWS_355:AWS knows no resource for these actions
  #checkov:skip=CKV_AWS_290:AWS knows no resource for these actions
  for_each = var.session_manager ? local.names : {}

  name = "session"
  role = aws_iam_role.this[each.key].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid    = "Sessions"
      Effect = "Allow"
      Action = [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
      ]
      Resource = "*"
    }]
  })
}

resource "aws_iam_instance_profile" "this" {
  for_each = local.names

  name = each.value
  role = aws_iam_role.this[each.key].name
  tags = var.tags
}
