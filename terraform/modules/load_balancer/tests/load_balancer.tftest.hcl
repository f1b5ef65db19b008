mock_provider "aws" {
  source          = "../../testing/mocks"
  override_during = plan
}

override_resource {
  target          = aws_lb_target_group.validator
  override_during = plan
  values          = { arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/validator/1" }
}

override_resource {
  target          = aws_lb_target_group.admin
  override_during = plan
  values          = { arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/admin/1" }
}

override_resource {
  target          = aws_lb_target_group.grafana
  override_during = plan
  values          = { arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/grafana/1" }
}

override_resource {
  target          = aws_lb_target_group.prometheus
  override_during = plan
  values          = { arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/prometheus/1" }
}

override_resource {
  target          = aws_lb_listener.http
  override_during = plan
  values          = { arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/mock/1/http" }
}

override_resource {
  target          = aws_lb_listener.https
  override_during = plan
  values          = { arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/mock/1/https" }
}

override_resource {
  target          = aws_security_group.main
  override_during = plan
  values          = { id = "sg-main" }
}

override_resource {
  target          = aws_security_group.monitoring
  override_during = plan
  values          = { id = "sg-monitoring" }
}

variables {
  name           = "cpsite-test"
  vpc_id         = "vpc-mock"
  subnet_ids     = ["subnet-a", "subnet-b"]
  operator_cidrs = ["203.0.113.0/24", "198.51.100.7/32"]
}

run "rules_and_their_order" {
  command = plan

  assert {
    condition = jsonencode([
      for rule in [
        aws_lb_listener_rule.metrics_never,
        aws_lb_listener_rule.operators["grafana"],
        aws_lb_listener_rule.operators["admin"],
        aws_lb_listener_rule.operators_only,
        aws_lb_listener_rule.api["api"],
        aws_lb_listener_rule.api["pages"],
        ] : {
        priority = rule.priority
        paths    = flatten([for condition in rule.condition : [for path in condition.path_pattern : sort(path.values)]])
        sources  = flatten([for condition in rule.condition : [for source in condition.source_ip : sort(source.values)]])
        action   = rule.action[0].type == "forward" ? split("/", rule.action[0].target_group_arn)[1] : rule.action[0].fixed_response[0].status_code
      }
      ]) == jsonencode([
      { action = "404", paths = ["/metrics*"], priority = 10, sources = [] },
      { action = "grafana", paths = ["/grafana*"], priority = 20, sources = ["198.51.100.7/32", "203.0.113.0/24"] },
      { action = "admin", paths = ["/admin*"], priority = 21, sources = ["198.51.100.7/32", "203.0.113.0/24"] },
      { action = "403", paths = ["/admin*", "/grafana*"], priority = 30, sources = [] },
      { action = "validator", paths = ["/", "/health/*", "/messages/*"], priority = 40, sources = [] },
      { action = "validator", paths = ["/docs", "/docs/", "/schema", "/schema/", "/static/*"], priority = 41, sources = [] },
    ])
    error_message = "No metrics; Grafana and admin for operators, and for nobody else; then the API."
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "fixed-response" && aws_lb_listener.http.default_action[0].fixed_response[0].status_code == "404"
    error_message = "What no rule names does not exist: /%61dmin/ must not get through."
  }

  assert {
    condition     = alltrue([for rule in [aws_lb_listener_rule.metrics_never, aws_lb_listener_rule.operators["admin"], aws_lb_listener_rule.operators_only, aws_lb_listener_rule.api["api"], aws_lb_listener_rule.api["pages"]] : endswith(rule.listener_arn, "/http")])
    error_message = "Without a certificate, HTTP serves."
  }
}

run "https" {
  command = plan

  variables {
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/mock"
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "redirect" && aws_lb_listener.http.default_action[0].redirect[0].status_code == "HTTP_308" && aws_lb_listener.http.default_action[0].redirect[0].protocol == "HTTPS"
    error_message = "HTTP is redirected, with its method."
  }

  assert {
    condition     = aws_lb_listener.https[0].ssl_policy == "ELBSecurityPolicy-TLS13-1-2-2021-06" && aws_lb_listener.https[0].default_action[0].fixed_response[0].status_code == "404"
    error_message = "TLS 1.2 and 1.3; what no rule names does not exist."
  }

  assert {
    condition     = alltrue([for rule in [aws_lb_listener_rule.metrics_never, aws_lb_listener_rule.operators["grafana"], aws_lb_listener_rule.operators["admin"], aws_lb_listener_rule.operators_only, aws_lb_listener_rule.api["api"], aws_lb_listener_rule.api["pages"]] : endswith(rule.listener_arn, "/https")])
    error_message = "All rules are HTTPS's."
  }

  assert {
    condition     = aws_lb_listener.monitoring.port == 443 && aws_lb_listener.monitoring.protocol == "HTTPS"
    error_message = "Prometheus, too, is behind TLS."
  }

  assert {
    condition     = jsonencode({ for key, rule in aws_vpc_security_group_ingress_rule.main : key => [rule.security_group_id, rule.cidr_ipv4, rule.from_port, rule.to_port] }) == jsonencode({ http = ["sg-main", "0.0.0.0/0", 80, 80], https = ["sg-main", "0.0.0.0/0", 443, 443] })
    error_message = "80 and 443 of the main load balancer are open."
  }

  assert {
    condition     = jsonencode({ for cidr, rule in aws_vpc_security_group_ingress_rule.monitoring : cidr => [rule.security_group_id, rule.cidr_ipv4, rule.from_port, rule.to_port] }) == jsonencode({ "198.51.100.7/32" = ["sg-monitoring", "198.51.100.7/32", 443, 443], "203.0.113.0/24" = ["sg-monitoring", "203.0.113.0/24", 443, 443] })
    error_message = "The monitoring load balancer is open to operators, on 443 alone."
  }
}

run "http" {
  command = plan

  assert {
    condition     = jsonencode([for rule in aws_vpc_security_group_ingress_rule.main : rule.from_port]) == jsonencode([80]) && length(aws_lb_listener.https) == 0
    error_message = "Without a certificate 443 is closed."
  }

  assert {
    condition     = jsonencode([for rule in aws_vpc_security_group_ingress_rule.monitoring : rule.from_port]) == jsonencode([80, 80])
    error_message = "Prometheus is on 80."
  }
}

run "load_balancers" {
  command = plan

  assert {
    condition     = alltrue([for balancer in [aws_lb.main, aws_lb.monitoring] : balancer.drop_invalid_header_fields && balancer.enable_deletion_protection && length(balancer.access_logs) == 0])
    error_message = "Invalid headers are dropped, deletion is protected, logs are optional."
  }

  assert {
    condition     = jsonencode(aws_lb.main.security_groups) == jsonencode(["sg-main"]) && jsonencode(aws_lb.monitoring.security_groups) == jsonencode(["sg-monitoring"])
    error_message = "Each has its own security group."
  }

  assert {
    condition     = endswith(aws_lb_listener.monitoring.default_action[0].target_group_arn, "/prometheus/1")
    error_message = "The monitoring load balancer leads to Prometheus."
  }
}

run "target_groups" {
  command = plan

  assert {
    condition = jsonencode([for group in [aws_lb_target_group.validator, aws_lb_target_group.admin, aws_lb_target_group.grafana, aws_lb_target_group.prometheus] : [group.port, group.target_type, group.health_check[0].path]]) == jsonencode([
      [8000, "ip", "/health/live"],
      [8000, "ip", "/health/live"],
      [3000, "ip", "/grafana/api/health"],
      [9090, "ip", "/-/healthy"],
    ])
    error_message = "Ports and health."
  }

  assert {
    condition     = alltrue([for group in [aws_lb_target_group.validator, aws_lb_target_group.admin] : tonumber(group.deregistration_delay) < 30])
    error_message = "Targets are left before ECS kills."
  }
}

run "access_logs" {
  command = plan

  variables {
    enable_access_logs         = true
    access_logs_bucket         = "logs"
    enable_deletion_protection = false
  }

  assert {
    condition     = aws_lb.main.access_logs[0].enabled && aws_lb.main.access_logs[0].prefix == "main" && aws_lb.monitoring.access_logs[0].prefix == "monitoring"
    error_message = "Both write logs, apart."
  }
}

run "the_whole_internet_is_no_operator" {
  command = plan

  variables {
    operator_cidrs = ["0.0.0.0/0"]
  }

  expect_failures = [var.operator_cidrs]
}

run "five_ranges_are_refused" {
  command = plan

  variables {
    operator_cidrs = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24", "10.0.4.0/24"]
  }

  expect_failures = [var.operator_cidrs]
}

run "no_range_is_refused" {
  command = plan

  variables {
    operator_cidrs = []
  }

  expect_failures = [var.operator_cidrs]
}

run "old_tls_is_refused" {
  command = plan

  variables {
    ssl_policy = "ELBSecurityPolicy-2016-08"
  }

  expect_failures = [var.ssl_policy]
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    name            = "a-name-that-is-much-too-long"
    certificate_arn = "certificate"
  }

  expect_failures = [var.name, var.certificate_arn]
}
