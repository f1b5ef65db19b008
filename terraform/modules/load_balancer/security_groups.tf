# The only doors to the internet. Who the load balancers talk to stands in the root module
# (connections.tf), with all other connections.
resource "aws_security_group" "main" {
  name        = "${var.name}-load-balancer"
  description = "Main load balancer of ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-load-balancer" }
}

resource "aws_vpc_security_group_ingress_rule" "main" {
  for_each = local.has_certificate ? { http = 80, https = 443 } : { http = 80 }

  security_group_id = aws_security_group.main.id
  description       = "Clients, ${each.key}"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
}

resource "aws_security_group" "monitoring" {
  name        = "${var.name}-monitoring-load-balancer"
  description = "Monitoring load balancer of ${var.name}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-monitoring-load-balancer" }
}

resource "aws_vpc_security_group_ingress_rule" "monitoring" {
  for_each = toset(var.operator_cidrs)

  security_group_id = aws_security_group.monitoring.id
  description       = "Operators"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = local.has_certificate ? 443 : 80
  to_port           = local.has_certificate ? 443 : 80
}
