# What is not named here does not exist. A list of what is forbidden would not do: rules compare the
# path as it was sent, and the validator decodes /%61dmin/ to /admin/.

resource "aws_lb_listener_rule" "metrics_never" {
  listener_arn = local.listener_arn
  priority     = 10

  condition {
    path_pattern {
      values = ["/metrics*"]
    }
  }

  action {
    type = "fixed-response"

    fixed_response {
      status_code  = "404"
      content_type = "application/json"
      message_body = local.not_found
    }
  }

  tags = { Name = "metrics-never" }
}

resource "aws_lb_listener_rule" "operators" {
  for_each = local.operator_paths

  listener_arn = local.listener_arn
  priority     = each.value.priority

  condition {
    path_pattern {
      values = [each.value.path]
    }
  }

  condition {
    source_ip {
      values = var.operator_cidrs
    }
  }

  action {
    type             = "forward"
    target_group_arn = each.value.target_group_arn
  }

  tags = { Name = "operators-${each.key}" }
}

resource "aws_lb_listener_rule" "operators_only" {
  listener_arn = local.listener_arn
  priority     = 30

  condition {
    path_pattern {
      values = [for target in local.operator_paths : target.path]
    }
  }

  action {
    type = "fixed-response"

    fixed_response {
      status_code  = "403"
      content_type = "application/json"
      message_body = jsonencode({ code = "forbidden", detail = "This path is for operators' networks only." })
    }
  }

  tags = { Name = "operators-only" }
}

# A rule takes five patterns.
resource "aws_lb_listener_rule" "api" {
  for_each = local.public_paths

  listener_arn = local.listener_arn
  priority     = each.value.priority

  condition {
    path_pattern {
      values = each.value.paths
    }
  }

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.validator.arn
  }

  tags = { Name = each.key }
}

locals {
  public_paths = {
    api = { priority = 40, paths = ["/", "/messages/*", "/health/*"] }
    # /static/ is what the pages look with.
    pages = { priority = 41, paths = ["/docs", "/docs/", "/schema", "/schema/", "/static/*"] }
  }

  operator_paths = {
    grafana = { priority = 20, path = "/grafana*", target_group_arn = aws_lb_target_group.grafana.arn }
    admin   = { priority = 21, path = "/admin*", target_group_arn = aws_lb_target_group.admin.arn }
  }
}
