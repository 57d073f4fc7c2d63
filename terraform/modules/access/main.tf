# A role that the warden assumes, in whichever account its duty lies.

resource "aws_iam_role" "this" {
  name                 = var.name
  description          = "What trailwarden may do here"
  max_session_duration = 3600
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [merge({
      Sid       = "Warden"
      Effect    = "Allow"
      Principal = { AWS = var.trusted }
      Action    = "sts:AssumeRole"
      }, { for key, id in { Condition = var.external_id } :
      key => { StringEquals = { "sts:ExternalId" = id } } if id != null
    })]
  })
}

resource "aws_iam_role_policy" "this" {
  #checkov:skip=CKV_AWS_290:retention has to write lifecycle rules and locks of any object in the archive; trailwarden doctor --policy prints why, and gives it a role of its own
  #checkov:skip=CKV_AWS_355:a star stands only where AWS knows no resource, in cloudtrail:ListPublicKeys, cloudtrail:DescribeTrails and organizations
  name   = "trailwarden"
  role   = aws_iam_role.this.name
  policy = var.policy
}
