# Prometheus has no login of its own, so what reaches it is a matter of networks alone
# (docs/adr/0012).
resource "aws_lb" "monitoring" {
  name                       = "${var.name}-monitoring"
  load_balancer_type         = "application"
  subnets                    = var.subnet_ids
  security_groups            = [aws_security_group.monitoring.id]
  drop_invalid_header_fields = true
  enable_deletion_protection = var.enable_deletion_protection

  dynamic "access_logs" {
    for_each = var.enable_access_logs ? [1] : []

    content {
      enabled = true
      bucket  = var.access_logs_bucket
      prefix  = "monitoring"
    }
  }
}

resource "aws_lb_listener" "monitoring" {
  load_balancer_arn = aws_lb.monitoring.arn
  port              = local.has_certificate ? 443 : 80
  protocol          = local.has_certificate ? "HTTPS" : "HTTP"
  certificate_arn   = var.certificate_arn
  ssl_policy        = local.has_certificate ? var.ssl_policy : null

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.prometheus.arn
  }
}
