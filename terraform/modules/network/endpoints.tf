data "aws_region" "current" {}

locals {
  interface_services = concat(
    ["sqs", "ssm", "ecr.api", "ecr.dkr", "logs", "sns", "ecs", "ec2"], # the last two for Prometheus's discovery
    var.enable_execute_command ? ["ssmmessages"] : [],
    var.enable_remote_write ? ["aps-workspaces"] : [],
  )
}

# Images are stored in S3 too, so tasks need this one to start.
resource "aws_vpc_endpoint" "s3" {
  count = var.enable_endpoints ? 1 : 0

  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${data.aws_region.current.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]

  tags = { Name = "${var.name}-s3" }
}

resource "aws_vpc_endpoint" "interface" {
  for_each = toset(var.enable_endpoints ? local.interface_services : [])

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${data.aws_region.current.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = aws_subnet.private[*].id
  security_group_ids  = [aws_security_group.endpoints[0].id]

  tags = { Name = "${var.name}-${each.key}" }
}

# Its rules stand in the root module (connections.tf), with all the others.
resource "aws_security_group" "endpoints" {
  count = var.enable_endpoints ? 1 : 0

  name        = "${var.name}-endpoints"
  description = "VPC endpoints of AWS services"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.name}-endpoints" }
}
