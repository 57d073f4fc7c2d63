# Members read their own folder of the archive, and no other.

data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition  = data.aws_partition.current.partition
  bucket_arn = "arn:${local.partition}:s3:::${var.bucket_name}"
  folder     = "${var.prefix == "" ? "" : "${var.prefix}/"}AWSLogs/${var.organization_id}/"
  # S3 puts the reader's account in its place.
  own = "${local.folder}$${aws:PrincipalAccount}/"

  everybody = length(var.accounts) == 0
  principal = { AWS = local.everybody ? ["*"] : [for account in sort(var.accounts) : "arn:${local.partition}:iam::${account}:root"] }
  who = merge(
    { StringEquals = { "aws:PrincipalOrgID" = var.organization_id } },
    { for operator, name in { ArnLike = var.role_name } : operator => { "aws:PrincipalArn" = "arn:${local.partition}:iam::*:role/${name}" } if name != null },
  )

  bucket_statements = [
    {
      Sid       = "MembersReadTheirOwn"
      Effect    = "Allow"
      Principal = local.principal
      Action    = ["s3:GetObject", "s3:GetObjectVersion"]
      Resource  = "${local.bucket_arn}/${local.own}*"
      Condition = local.who
    },
    {
      Sid       = "MembersListTheirOwn"
      Effect    = "Allow"
      Principal = local.principal
      Action    = "s3:ListBucket"
      Resource  = local.bucket_arn
      Condition = merge(local.who, { StringLike = { "s3:prefix" = "${local.own}*" } })
    },
  ]

  # The key tells no account from another: what S3 refuses to give needs no key. It is held to S3 here, and to this bucket's objects.
  key_statements = [{
    Sid       = "MembersDecrypt"
    Effect    = "Allow"
    Principal = local.principal
    Action    = "kms:Decrypt"
    Resource  = "*"
    Condition = merge(local.who, {
      StringEquals = merge(local.who.StringEquals, { "kms:ViaService" = "s3.${data.aws_region.current.id}.amazonaws.com${startswith(data.aws_region.current.id, "cn-") ? ".cn" : ""}" })
      Null         = { "kms:EncryptionContext:aws:cloudtrail:arn" = "false" }
    })
  }]
}

resource "aws_iam_role" "this" {
  for_each = var.roles_for

  name                 = "${var.roles_name}-${each.value}"
  description          = "Reads what CloudTrail delivered of account ${each.value}"
  max_session_duration = 3600
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Account"
      Effect    = "Allow"
      Principal = { AWS = "arn:${local.partition}:iam::${each.value}:root" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:PrincipalOrgID" = var.organization_id } }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = var.roles_for

  name = "read"
  role = aws_iam_role.this[each.value].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "ReadItsOwn"
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:GetObjectVersion"]
          Resource = "${local.bucket_arn}/${local.folder}${each.value}/*"
        },
        {
          Sid       = "ListItsOwn"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = local.bucket_arn
          Condition = { StringLike = { "s3:prefix" = "${local.folder}${each.value}/*" } }
        },
      ],
      [for arn in [var.kms_key_arn] : {
        Sid       = "Decrypt"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = arn
        Condition = { StringEquals = { "kms:ViaService" = local.key_statements[0].Condition.StringEquals["kms:ViaService"] } }
      } if arn != null],
    )
  })
}
