# Its rules stand in the root module (connections.tf), with all the others.
resource "aws_security_group" "this" {
  name        = "${var.name}-${var.service}"
  description = "Tasks of ${var.name}-${var.service}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-${var.service}" }
}

# A name for what others look up. A DNS answer has eight tasks at most: no way to find all of a service.
resource "aws_service_discovery_service" "this" {
  count = var.namespace == null ? 0 : 1

  name          = var.service
  force_destroy = true

  dns_config {
    namespace_id   = var.namespace.id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 10
    }
  }
}
