locals {
  container_definitions = jsonencode([
    for name, container in var.containers : {
      name                   = name
      image                  = container.image
      essential              = container.essential
      user                   = container.user
      entryPoint             = container.entry_point
      command                = container.command
      readonlyRootFilesystem = !var.enable_execute_command
      stopTimeout            = container.stop_timeout_seconds
      environment            = [for key, value in container.environment : { name = key, value = value }]
      secrets                = [for key, arn in container.secrets : { name = key, valueFrom = arn }]
      portMappings           = [for port in container.ports : { containerPort = port, hostPort = port, protocol = "tcp" }]
      mountPoints            = [for volume, path in container.mounts : { sourceVolume = volume, containerPath = path, readOnly = false }]
      dependsOn              = [for other, condition in container.depends_on : { containerName = other, condition = condition }]
      volumesFrom            = []
      systemControls         = []

      # An init process reaps what health checks and shells leave behind, and hands SIGTERM on.
      # ECS answers with both lists of capabilities, or with none. Anything else would differ from what it
      # answers, and each apply would replace the task definition (tests/terraform/test_second_apply.py).
      linuxParameters = {
        initProcessEnabled = true
        capabilities       = container.drops_capabilities ? { add = [], drop = ["ALL"] } : null
      }

      healthCheck = container.health_check == null ? null : {
        command     = container.health_check.command
        interval    = container.health_check.interval_seconds
        timeout     = container.health_check.timeout_seconds
        retries     = container.health_check.retries
        startPeriod = container.health_check.start_period_seconds
      }

      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = aws_cloudwatch_log_group.this.name
          awslogs-region        = data.aws_region.current.region
          awslogs-stream-prefix = "ecs"
          # A log service that hangs must not stop the service.
          mode            = "non-blocking"
          max-buffer-size = "10m"
        }
      }
    }
  ])
}
