data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  cluster_arn = format(
    "arn:%s:ecs:%s:%s:cluster/%s",
    data.aws_partition.current.partition,
    data.aws_region.current.region,
    data.aws_caller_identity.current.account_id,
    var.cluster_name,
  )
}

locals {
  # A load balancer must not end what the container's own check still waits for.
  start_period_seconds = [for container in var.containers : container.health_check.start_period_seconds if container.health_check != null]
}

module "task" {
  source = "../task"

  name                     = var.name
  task                     = var.service
  cpu                      = var.cpu
  memory_mib               = var.memory_mib
  cpu_architecture         = var.cpu_architecture
  containers               = var.containers
  volumes                  = var.volumes
  task_policies            = var.task_policies
  repository_arns          = var.repository_arns
  cached_repository_arns   = var.cached_repository_arns
  key_arns                 = var.key_arns
  permissions_boundary_arn = var.permissions_boundary_arn
  enable_execute_command   = var.enable_execute_command
  log_retention_days       = var.log_retention_days
}

resource "aws_ecs_service" "this" {
  name            = "${var.name}-${var.service}"
  cluster         = local.cluster_arn
  task_definition = module.task.task_definition_arn
  desired_count   = max(1, var.min_tasks)

  platform_version                  = "LATEST"
  enable_execute_command            = var.enable_execute_command
  enable_ecs_managed_tags           = true
  propagate_tags                    = "SERVICE"
  availability_zone_rebalancing     = "ENABLED"
  wait_for_steady_state             = var.wait_for_steady_state
  health_check_grace_period_seconds = length(var.target_groups) > 0 ? max(60, local.start_period_seconds...) : null

  capacity_provider_strategy {
    capacity_provider = var.enable_spot ? "FARGATE_SPOT" : "FARGATE"
    weight            = 1
  }

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "alarms" {
    for_each = length(var.rollback_alarm_names) > 0 ? [1] : []

    content {
      enable      = true
      rollback    = true
      alarm_names = var.rollback_alarm_names
    }
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = var.assign_public_ip
  }

  dynamic "load_balancer" {
    for_each = var.target_groups

    content {
      target_group_arn = load_balancer.value.arn
      container_name   = load_balancer.value.container
      container_port   = load_balancer.value.port
    }
  }

  dynamic "service_registries" {
    for_each = aws_service_discovery_service.this

    content {
      registry_arn = service_registries.value.arn
    }
  }

  lifecycle {
    # Autoscaling's.
    ignore_changes = [desired_count]
  }

  depends_on = [var.starts_after]
}
