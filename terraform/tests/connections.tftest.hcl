# Who talks to whom, and who does not.
mock_provider "aws" {
  source          = "./testing/mocks"
  override_during = plan
}

override_resource {
  target          = module.load_balancer.aws_security_group.main
  override_during = plan
  values = {
    id = "sg-main"
  }
}

override_resource {
  target          = module.load_balancer.aws_security_group.monitoring
  override_during = plan
  values = {
    id = "sg-monitoring"
  }
}

override_resource {
  target          = module.validator.aws_security_group.this
  override_during = plan
  values = {
    id = "sg-validator"
  }
}

override_resource {
  target          = module.admin.aws_security_group.this
  override_during = plan
  values = {
    id = "sg-admin"
  }
}

override_resource {
  target          = module.uploader.aws_security_group.this
  override_during = plan
  values = {
    id = "sg-uploader"
  }
}

override_resource {
  target          = module.monitoring.module.prometheus.aws_security_group.this
  override_during = plan
  values = {
    id = "sg-prometheus"
  }
}

override_resource {
  target          = module.monitoring.module.grafana.aws_security_group.this
  override_during = plan
  values = {
    id = "sg-grafana"
  }
}

override_resource {
  target          = module.database.aws_security_group.this
  override_during = plan
  values = {
    id = "sg-database"
  }
}

variables {
  environment      = "test"
  operator_cidrs   = ["203.0.113.0/24"]
  allow_plain_http = true
}

run "public" {
  command = plan

  assert {
    condition = jsonencode(sort([for rule in aws_vpc_security_group_ingress_rule.connection : format("%s > %s:%s", trimprefix(rule.referenced_security_group_id, "sg-"), trimprefix(rule.security_group_id, "sg-"), rule.from_port == rule.to_port ? rule.from_port : "a range")])) == jsonencode([
      "admin > database:5432",
      "grafana > prometheus:9090",
      "main > admin:8000",
      "main > grafana:3000",
      "main > validator:8000",
      "monitoring > prometheus:9090",
      "prometheus > admin:9100",
      "prometheus > uploader:9101",
      "prometheus > validator:9100",
      "uploader > database:5432",
      "validator > database:5432",
    ])
    error_message = "What each accepts: ${jsonencode([for rule in aws_vpc_security_group_ingress_rule.connection : format("%s > %s:%s", trimprefix(rule.referenced_security_group_id, "sg-"), trimprefix(rule.security_group_id, "sg-"), rule.from_port == rule.to_port ? rule.from_port : "a range")])}"
  }

  assert {
    condition = jsonencode(sort([for rule in aws_vpc_security_group_egress_rule.connection : format("%s > %s:%s", trimprefix(rule.security_group_id, "sg-"), trimprefix(rule.referenced_security_group_id, "sg-"), rule.from_port == rule.to_port ? rule.from_port : "a range")])) == jsonencode([
      "admin > database:5432",
      "grafana > prometheus:9090",
      "main > admin:8000",
      "main > grafana:3000",
      "main > validator:8000",
      "monitoring > prometheus:9090",
      "prometheus > admin:9100",
      "prometheus > uploader:9101",
      "prometheus > validator:9100",
      "uploader > database:5432",
      "validator > database:5432",
    ])
    error_message = "What each may open: ${jsonencode([for rule in aws_vpc_security_group_egress_rule.connection : format("%s > %s:%s", trimprefix(rule.security_group_id, "sg-"), trimprefix(rule.referenced_security_group_id, "sg-"), rule.from_port == rule.to_port ? rule.from_port : "a range")])}"
  }

  assert {
    condition     = alltrue([for rule in concat(values(aws_vpc_security_group_ingress_rule.connection), values(aws_vpc_security_group_egress_rule.connection)) : rule.cidr_ipv4 == null && rule.cidr_ipv6 == null && rule.prefix_list_id == null && rule.ip_protocol == "tcp"])
    error_message = "Connections are between security groups, not addresses."
  }

  assert {
    condition = jsonencode({ for task, rule in aws_vpc_security_group_egress_rule.aws : task => [rule.security_group_id, rule.cidr_ipv4, rule.from_port, rule.to_port] }) == jsonencode({
      admin      = ["sg-admin", "0.0.0.0/0", 443, 443]
      grafana    = ["sg-grafana", "0.0.0.0/0", 443, 443]
      prometheus = ["sg-prometheus", "0.0.0.0/0", 443, 443]
      uploader   = ["sg-uploader", "0.0.0.0/0", 443, 443]
      validator  = ["sg-validator", "0.0.0.0/0", 443, 443]
    })
    error_message = "Tasks reach AWS over HTTPS, and nothing else outside."
  }
}

run "private" {
  command = plan

  variables {
    private_tasks = true
    monitoring_images = {
      prometheus   = "123456789012.dkr.ecr.us-east-1.amazonaws.com/copies/prometheus:v3.12.0"
      alertmanager = "123456789012.dkr.ecr.us-east-1.amazonaws.com/copies/alertmanager:v0.28.1"
      grafana      = "123456789012.dkr.ecr.us-east-1.amazonaws.com/copies/grafana:12.1.1"
      aws_cli      = "123456789012.dkr.ecr.us-east-1.amazonaws.com/copies/aws-cli:2.28.0"
    }
  }

  assert {
    condition     = length(aws_vpc_security_group_egress_rule.aws) == 0 && !local.assign_public_ip
    error_message = "Nothing leaves the VPC, and no task has a public address."
  }

  assert {
    condition     = jsonencode(sort([for key, rule in aws_vpc_security_group_ingress_rule.connection : trimprefix(rule.referenced_security_group_id, "sg-") if endswith(key, "_to_endpoints") && rule.from_port == 443])) == jsonencode(["admin", "grafana", "prometheus", "uploader", "validator"])
    error_message = "Tasks reach the endpoints."
  }

  assert {
    condition     = jsonencode({ for task, rule in aws_vpc_security_group_egress_rule.s3 : task => [rule.prefix_list_id, rule.from_port] }) == jsonencode({ for task in ["admin", "grafana", "prometheus", "uploader", "validator"] : task => ["pl-mock", 443] })
    error_message = "Tasks reach S3."
  }
}

run "private_tasks_cannot_pull_from_elsewhere" {
  command = plan

  variables {
    private_tasks = true
  }

  expect_failures = [var.private_tasks]
}
