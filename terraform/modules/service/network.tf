# Its rules stand in the root module (connections.tf), with all the others.
resource "aws_security_group" "this" {
  name        = "${var.name}-${var.service}"
  description = "Tasks of ${var.name}-${var.service}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-${var.service}" }
}

# One A record for each task: Prometheus finds them all.
resource "aws_service_discovery_service" "this" {
  name          = var.service
  force_destroy = true

  dns_config {
    namespace_id   = var.namespace_id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 10
    }
  }
}
