# A host for each shard: nobody connects to it, it connects to AWS alone, and its ledger outlives it.

data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}
data "aws_region" "current" {}

data "aws_subnet" "this" {
  id = var.subnet_id
}

data "aws_ssm_parameter" "image" {
  count = var.ami_id == null ? 1 : 0

  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${var.architecture}"
}

locals {
  partition = data.aws_partition.current.partition
  account   = data.aws_caller_identity.current.account_id
  region    = data.aws_region.current.id
  names     = { for shard in var.shards : shard => length(var.shards) == 1 ? var.name : "${var.name}-${shard}" }
  image     = var.ami_id != null ? var.ami_id : nonsensitive(data.aws_ssm_parameter.image[0].value)
  user_data = { for shard in var.shards : shard => templatefile("${path.module}/user-data.sh.tftpl", {
    files   = { for name, text in merge(var.files, { "trailwarden.toml" = var.configurations[shard] }) : name => base64encode(text) }
    package = var.package
    volume  = replace(aws_ebs_volume.ledger[shard].id, "-", "")
  }) }
}

resource "aws_instance" "this" {
  for_each = local.names

  ami                         = local.image
  instance_type               = var.instance_type
  subnet_id                   = var.subnet_id
  vpc_security_group_ids      = [aws_security_group.this.id]
  iam_instance_profile        = aws_iam_instance_profile.this[each.key].name
  associate_public_ip_address = false
  ebs_optimized               = true
  monitoring                  = true
  user_data_base64            = base64gzip(local.user_data[each.key])
  user_data_replace_on_change = true
  tags                        = merge(var.tags, { Name = each.value })

  # A token for each question, and no further than this host.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  root_block_device {
    encrypted   = true
    kms_key_id  = var.volume_key_arn
    volume_type = "gp3"
  }

  lifecycle {
    ignore_changes = [ami]
  }

  depends_on = [aws_iam_role_policy.warden, aws_iam_role_policy.session]
}

resource "aws_ebs_volume" "ledger" {
  #checkov:skip=CKV_AWS_189:the key of the volume is the operator's choice (volume_key_arn); without one it is encrypted with the account's own
  #checkov:skip=CKV2_AWS_9:the ledger's own copies (state.snapshot) are what is restored from: a snapshot of a volume may be in the middle of a transaction
  for_each = local.names

  availability_zone = data.aws_subnet.this.availability_zone
  size              = var.volume_gib
  type              = "gp3"
  encrypted         = true
  kms_key_id        = var.volume_key_arn
  tags              = merge(var.tags, { Name = "${each.value}-ledger" })
}

resource "aws_volume_attachment" "ledger" {
  for_each = local.names

  device_name                    = "/dev/sdf"
  volume_id                      = aws_ebs_volume.ledger[each.key].id
  instance_id                    = aws_instance.this[each.key].id
  stop_instance_before_detaching = true
}

resource "aws_security_group" "this" {
  #checkov:skip=CKV2_AWS_5:it is the instances' own, by vpc_security_group_ids
  name        = var.name
  description = "trailwarden: nobody connects to it; it connects to AWS and to where alerts go"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each = toset(var.egress_cidrs)

  security_group_id = aws_security_group.this.id
  description       = "AWS, and where alerts go"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.value
}
