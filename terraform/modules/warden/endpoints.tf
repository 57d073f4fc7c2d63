# AWS without the internet: endpoints in the subnet, for the host alone.

resource "aws_security_group" "endpoints" {
  #checkov:skip=CKV2_AWS_5:it is the endpoints' own, by security_group_ids
  count = length(var.endpoints) == 0 ? 0 : 1

  name        = "${var.name}-endpoints"
  description = "VPC endpoints: from trailwarden alone"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count = length(var.endpoints) == 0 ? 0 : 1

  security_group_id            = aws_security_group.endpoints[0].id
  referenced_security_group_id = aws_security_group.this.id
  description                  = "From trailwarden"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_endpoint" "interface" {
  for_each = var.endpoints

  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${local.region}.${each.value}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = [var.subnet_id]
  security_group_ids  = [aws_security_group.endpoints[0].id]
  tags                = merge(var.tags, { Name = "${var.name}-${each.value}" })
}

resource "aws_vpc_endpoint" "s3" {
  count = length(var.route_table_ids) == 0 ? 0 : 1

  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.route_table_ids
  tags              = merge(var.tags, { Name = "${var.name}-s3" })
}
