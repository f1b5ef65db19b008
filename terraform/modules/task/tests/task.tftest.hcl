mock_provider "aws" {
  source          = "../../testing/mocks"
  override_during = plan
}

variables {
  name            = "cpsite-test"
  task            = "example"
  cpu             = 256
  memory_mib      = 512
  volumes         = ["tmp"]
  repository_arns = ["arn:aws:ecr:us-east-1:123456789012:repository/example"]
  key_arns        = ["arn:aws:kms:us-east-1:123456789012:key/mock"]
  task_policies   = { example = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  containers = {
    example = {
      image        = "example:1"
      user         = "10001"
      command      = ["run"]
      environment  = { SOME = "value" }
      secrets      = { SECRET = "arn:aws:ssm:us-east-1:123456789012:parameter/secret" }
      ports        = [8000]
      mounts       = { tmp = "/tmp" }
      depends_on   = { init = "SUCCESS" }
      health_check = { command = ["CMD", "check"] }
    }
    init = {
      image              = "init:1"
      user               = "0"
      essential          = false
      drops_capabilities = false
    }
  }
}

run "container" {
  command = plan

  assert {
    condition = jsonencode(jsondecode(aws_ecs_task_definition.this.container_definitions)[0]) == jsonencode({
      command         = ["run"]
      dependsOn       = [{ condition = "SUCCESS", containerName = "init" }]
      entryPoint      = null
      environment     = [{ name = "SOME", value = "value" }]
      essential       = true
      healthCheck     = { command = ["CMD", "check"], interval = 15, retries = 3, startPeriod = 30, timeout = 5 }
      image           = "example:1"
      linuxParameters = { capabilities = { add = [], drop = ["ALL"] }, initProcessEnabled = true }
      logConfiguration = {
        logDriver = "awslogs"
        options = {
          awslogs-group         = "/cpsite-test/example"
          awslogs-region        = "us-east-1"
          awslogs-stream-prefix = "ecs"
          max-buffer-size       = "10m"
          mode                  = "non-blocking"
        }
      }
      mountPoints            = [{ containerPath = "/tmp", readOnly = false, sourceVolume = "tmp" }]
      name                   = "example"
      portMappings           = [{ containerPort = 8000, hostPort = 8000, protocol = "tcp" }]
      readonlyRootFilesystem = true
      secrets                = [{ name = "SECRET", valueFrom = "arn:aws:ssm:us-east-1:123456789012:parameter/secret" }]
      stopTimeout            = 30
      systemControls         = []
      user                   = "10001"
      volumesFrom            = []
    })
    error_message = "The container definition: ${aws_ecs_task_definition.this.container_definitions}"
  }

  assert {
    condition     = alltrue([for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.readonlyRootFilesystem && container.linuxParameters.initProcessEnabled])
    error_message = "Every root filesystem is read-only, and every container has an init process."
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this.container_definitions)[1].linuxParameters.capabilities == null
    error_message = "Where nothing is dropped, nothing is said about capabilities: ECS answers with nothing."
  }
}

run "task_definition" {
  command = plan

  assert {
    condition     = aws_ecs_task_definition.this.family == "cpsite-test-example" && aws_ecs_task_definition.this.network_mode == "awsvpc" && aws_ecs_task_definition.this.track_latest
    error_message = "Family and network; a deployment's revision counts as ours."
  }

  assert {
    condition     = aws_ecs_task_definition.this.skip_destroy
    error_message = "The revision before stays, to go back to."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.name == "/cpsite-test/example" && aws_cloudwatch_log_group.this.retention_in_days == 30
    error_message = "Logs end."
  }

  assert {
    condition     = jsonencode(aws_ecs_task_definition.this.volume[*].name) == jsonencode(["tmp"])
    error_message = "Volumes."
  }
}

run "execution_role" {
  command = plan

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.execution.statement : [statement.sid, sort(statement.actions), sort(statement.resources)]]) == jsonencode([
      ["WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], ["arn:aws:logs:us-east-1:123456789012:log-group:mock:*"]],
      ["LogInToRegistry", ["ecr:GetAuthorizationToken"], ["*"]],
      ["PullImages", ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], ["arn:aws:ecr:us-east-1:123456789012:repository/example"]],
      ["ReadSecrets", ["ssm:GetParameters"], ["arn:aws:ssm:us-east-1:123456789012:parameter/secret"]],
      ["DecryptSecrets", ["kms:Decrypt"], ["arn:aws:kms:us-east-1:123456789012:key/mock"]],
    ])
    error_message = "Starting a task takes this and no more."
  }
}

run "task_role" {
  command = plan

  assert {
    condition     = jsonencode(keys(aws_iam_role_policy.task)) == jsonencode(["example"]) && length(aws_iam_role_policy.execute_command) == 0
    error_message = "The containers may do what is given, and nothing else."
  }

  assert {
    condition = jsonencode(tolist(data.aws_iam_policy_document.trust.statement[0].principals)[0].identifiers) == jsonencode(["ecs-tasks.amazonaws.com"]) && jsonencode(tolist(data.aws_iam_policy_document.trust.statement[0].condition)[0]) == jsonencode({
      test = "StringEquals", values = ["123456789012"], variable = "aws:SourceAccount"
    })
    error_message = "Tasks of this account take the roles."
  }

  assert {
    condition     = aws_iam_role.task.name != aws_iam_role.execution.name
    error_message = "The roles are apart."
  }
}

run "execute_command_makes_root_filesystems_writable" {
  command = plan

  variables {
    enable_execute_command = true
  }

  assert {
    condition     = length(aws_iam_role_policy.execute_command) == 1 && !anytrue([for container in jsondecode(aws_ecs_task_definition.this.container_definitions) : container.readonlyRootFilesystem])
    error_message = "The agent of ECS Exec writes there."
  }
}

run "no_secrets_no_permission" {
  command = plan

  variables {
    repository_arns = []
    containers      = { example = { image = "example:1", user = "65534:65534" } }
  }

  assert {
    condition     = jsonencode(data.aws_iam_policy_document.execution.statement[*].sid) == jsonencode(["WriteLogs"])
    error_message = "What is not needed is not allowed."
  }
}

run "a_pull_through_cache" {
  command = plan

  variables {
    cached_repository_arns = ["arn:aws:ecr:us-east-1:123456789012:repository/quay/prometheus/prometheus"]
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.execution.statement : [sort(statement.actions), statement.resources] if statement.sid == "FillCache"]) == jsonencode([
      [["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"], ["arn:aws:ecr:us-east-1:123456789012:repository/quay/prometheus/prometheus"]],
    ])
    error_message = "It fetches what it has not."
  }
}

run "a_boundary" {
  command = plan

  variables {
    permissions_boundary_arn = "arn:aws:iam::123456789012:policy/boundary"
  }

  assert {
    condition     = aws_iam_role.task.permissions_boundary == var.permissions_boundary_arn && aws_iam_role.execution.permissions_boundary == var.permissions_boundary_arn
    error_message = "Both roles are bounded."
  }
}

run "root_is_refused" {
  command = plan

  variables {
    containers = { example = { image = "example:1", user = "0" } }
  }

  expect_failures = [var.containers]
}

run "a_users_name_is_refused" {
  command = plan

  variables {
    containers = { example = { image = "example:1", user = "nobody" } }
  }

  expect_failures = [var.containers]
}

run "a_long_stop_is_refused" {
  command = plan

  variables {
    containers = { example = { image = "example:1", user = "10001", stop_timeout_seconds = 121 } }
  }

  expect_failures = [var.containers]
}

run "a_pair_that_fargate_does_not_offer" {
  command = plan

  variables {
    cpu        = 1024
    memory_mib = 1024
  }

  expect_failures = [var.memory_mib]
}

run "the_largest_pair" {
  command = plan

  variables {
    cpu        = 4096
    memory_mib = 30720
  }

  assert {
    condition     = aws_ecs_task_definition.this.memory == "30720"
    error_message = "It is offered."
  }
}

run "wrong_sizes_are_refused" {
  command = plan

  variables {
    cpu                = 300
    cpu_architecture   = "MIPS"
    log_retention_days = 2
  }

  expect_failures = [var.cpu, var.cpu_architecture, var.log_retention_days]
}
