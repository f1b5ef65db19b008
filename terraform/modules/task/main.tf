data "aws_region" "current" {}

resource "aws_ecs_task_definition" "this" {
  family                   = "${var.name}-${var.task}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory_mib
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = local.container_definitions
  # Revisions that a deployment has registered are ours too (docs/adr/0013): without this, each plan
  # after a deployment would show a change.
  track_latest = true
  # Terraform replaces a task definition by first deregistering the revision that runs. ECS's circuit breaker and
  # the pipelines' way back need that revision, so it stays; a revision costs nothing.
  skip_destroy = true

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  dynamic "volume" {
    for_each = var.volumes

    content {
      name = volume.key
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/${var.task}"
  retention_in_days = var.log_retention_days
}
