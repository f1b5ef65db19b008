resource "aws_lb" "main" {
  name                       = var.name
  load_balancer_type         = "application"
  subnets                    = var.subnet_ids
  security_groups            = [aws_security_group.main.id]
  drop_invalid_header_fields = true
  # gunicorn keeps connections for 75 s, so that it is never the first to close one.
  idle_timeout               = 60
  enable_deletion_protection = var.enable_deletion_protection

  dynamic "access_logs" {
    for_each = var.enable_access_logs ? [1] : []

    content {
      enabled = true
      bucket  = var.access_logs_bucket
      prefix  = "main"
    }
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.main.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = local.has_certificate ? "redirect" : "fixed-response"

    dynamic "redirect" {
      for_each = local.has_certificate ? [1] : []

      content {
        protocol    = "HTTPS"
        port        = "443"
        status_code = "HTTP_308" # keeps the method: a POST stays one
      }
    }

    dynamic "fixed_response" {
      for_each = local.has_certificate ? [] : [1]

      content {
        status_code  = "404"
        content_type = "application/json"
        message_body = local.not_found
      }
    }
  }
}

resource "aws_lb_listener" "https" {
  count = local.has_certificate ? 1 : 0

  load_balancer_arn = aws_lb.main.arn
  port              = 443
  protocol          = "HTTPS"
  certificate_arn   = var.certificate_arn
  ssl_policy        = var.ssl_policy

  default_action {
    type = "fixed-response"

    fixed_response {
      status_code  = "404"
      content_type = "application/json"
      message_body = local.not_found
    }
  }
}

locals {
  has_certificate = var.certificate_arn != null
  listener_arn    = local.has_certificate ? aws_lb_listener.https[0].arn : aws_lb_listener.http.arn
  # As the validator says it.
  not_found = jsonencode({ code = "not_found", detail = "There is nothing at this path." })
}
