# Who talks to whom. Each line is an ingress rule at one end and an egress rule at the other, and there
# are no others but for the load balancers' doors (modules/load_balancer/security_groups.tf).
locals {
  tasks = {
    validator  = module.validator.security_group_id
    admin      = module.admin.security_group_id
    uploader   = module.uploader.security_group_id
    prometheus = module.monitoring.security_group_ids.prometheus
    grafana    = module.monitoring.security_group_ids.grafana
  }

  connections = merge(
    {
      clients_to_validator    = { from = module.load_balancer.security_group_id, to = local.tasks.validator, port = local.ports.validator }
      operators_to_admin      = { from = module.load_balancer.security_group_id, to = local.tasks.admin, port = local.ports.validator }
      operators_to_grafana    = { from = module.load_balancer.security_group_id, to = local.tasks.grafana, port = local.ports.grafana }
      operators_to_prometheus = { from = module.load_balancer.monitoring_security_group_id, to = local.tasks.prometheus, port = local.ports.prometheus }
      validator_to_database   = { from = local.tasks.validator, to = module.database.security_group_id, port = local.ports.postgresql }
      admin_to_database       = { from = local.tasks.admin, to = module.database.security_group_id, port = local.ports.postgresql }
      uploader_to_database    = { from = local.tasks.uploader, to = module.database.security_group_id, port = local.ports.postgresql }
      prometheus_to_validator = { from = local.tasks.prometheus, to = local.tasks.validator, port = local.ports.validator_metrics }
      prometheus_to_admin     = { from = local.tasks.prometheus, to = local.tasks.admin, port = local.ports.validator_metrics }
      prometheus_to_uploader  = { from = local.tasks.prometheus, to = local.tasks.uploader, port = local.ports.uploader_metrics }
      grafana_to_prometheus   = { from = local.tasks.grafana, to = local.tasks.prometheus, port = local.ports.prometheus }
    },
    {
      for task, security_group_id in local.tasks : "${task}_to_endpoints" => {
        from = security_group_id
        to   = module.network.endpoints_security_group_id
        port = local.ports.https
      } if var.private_tasks
    },
  )
}

resource "aws_vpc_security_group_ingress_rule" "connection" {
  for_each = local.connections

  security_group_id            = each.value.to
  referenced_security_group_id = each.value.from
  description                  = replace(each.key, "_", " ")
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "connection" {
  for_each = local.connections

  security_group_id            = each.value.from
  referenced_security_group_id = each.value.to
  description                  = replace(each.key, "_", " ")
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

# AWS's APIs and registries have no addresses that could be named.
resource "aws_vpc_security_group_egress_rule" "aws" {
  for_each = { for task, security_group_id in local.tasks : task => security_group_id if !var.private_tasks }

  security_group_id = each.value
  description       = "AWS APIs and image registries"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = local.ports.https
  to_port           = local.ports.https
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  for_each = { for task, security_group_id in local.tasks : task => security_group_id if var.private_tasks }

  security_group_id = each.value
  description       = "S3, through its gateway endpoint"
  prefix_list_id    = module.network.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = local.ports.https
  to_port           = local.ports.https
}

locals {
  # Tasks start once they can talk to what they need.
  connection_rules = [
    aws_vpc_security_group_ingress_rule.connection,
    aws_vpc_security_group_egress_rule.connection,
    aws_vpc_security_group_egress_rule.aws,
    aws_vpc_security_group_egress_rule.s3,
  ]
}
