mock_provider "aws" {
  source          = "../../testing/mocks"
  override_during = plan
}

variables {
  name             = "cpsite-test"
  service          = "example"
  cpu              = 256
  memory_mib       = 512
  containers       = { example = { image = "example:1", user = "10001", ports = [8000] } }
  vpc_id           = "vpc-mock"
  subnet_ids       = ["subnet-a", "subnet-b"]
  assign_public_ip = true
  cluster_name     = "cpsite-test"
  namespace        = { id = "ns-mock" }
}

run "deployments" {
  command = plan

  assert {
    condition     = aws_ecs_service.this.deployment_circuit_breaker[0].enable && aws_ecs_service.this.deployment_circuit_breaker[0].rollback
    error_message = "A deployment that fails is rolled back."
  }

  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 100 && aws_ecs_service.this.deployment_maximum_percent == 200
    error_message = "New tasks come before old ones go."
  }

  assert {
    condition     = length(aws_ecs_service.this.alarms) == 0 && length(aws_ecs_service.this.load_balancer) == 0
    error_message = "Alarms and load balancers are given."
  }

  assert {
    condition     = aws_ecs_service.this.cluster == "arn:aws:ecs:us-east-1:123456789012:cluster/cpsite-test"
    error_message = "It runs in the cluster of that name."
  }

  assert {
    condition     = !aws_ecs_service.this.enable_execute_command && aws_ecs_service.this.task_definition == "arn:aws:ecs:us-east-1:123456789012:task-definition/mock:1"
    error_message = "No shell; the newest revision."
  }
}

run "network" {
  command = plan

  assert {
    condition     = jsonencode(aws_ecs_service.this.network_configuration[0].security_groups) == jsonencode(["sg-mock"]) && aws_ecs_service.this.network_configuration[0].assign_public_ip
    error_message = "Its own security group; a public address where there are no endpoints."
  }

  assert {
    condition     = aws_service_discovery_service.this[0].name == "example" && tolist(aws_service_discovery_service.this[0].dns_config[0].dns_records)[0].type == "A" && length(aws_ecs_service.this.service_registries) == 1
    error_message = "It has a name in Cloud Map."
  }
}

run "waiting" {
  command = plan

  variables {
    wait_for_steady_state = true
  }

  assert {
    condition     = aws_ecs_service.this.wait_for_steady_state
    error_message = "The apply says whether the tasks run."
  }
}

run "no_name" {
  command = plan

  variables {
    namespace = null
  }

  assert {
    condition     = length(aws_service_discovery_service.this) == 0 && length(aws_ecs_service.this.service_registries) == 0
    error_message = "What nobody looks up has no name."
  }
}

run "one_task_does_not_scale" {
  command = plan

  assert {
    condition     = length(aws_appautoscaling_target.this) == 0 && aws_ecs_service.this.desired_count == 1
    error_message = "One task."
  }
}

run "scaling_by_cpu_and_requests" {
  command = plan

  variables {
    min_tasks            = 2
    max_tasks            = 6
    cpu_scaling_percent  = 60
    request_scaling      = { requests_per_minute = 6000, resource_label = "app/mock/1/targetgroup/mock/1" }
    rollback_alarm_names = ["errors"]
    target_groups        = { main = { arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/mock/1", container = "example", port = 8000 } }
  }

  assert {
    condition     = aws_appautoscaling_target.this[0].min_capacity == 2 && aws_appautoscaling_target.this[0].max_capacity == 6 && aws_appautoscaling_target.this[0].resource_id == "service/cpsite-test/cpsite-test-example"
    error_message = "Between two and six tasks."
  }

  assert {
    condition     = aws_appautoscaling_policy.cpu[0].target_tracking_scaling_policy_configuration[0].target_value == 60 && aws_appautoscaling_policy.requests[0].target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].resource_label == "app/mock/1/targetgroup/mock/1"
    error_message = "By CPU and by requests."
  }

  assert {
    condition     = aws_ecs_service.this.alarms[0].rollback && jsonencode(aws_ecs_service.this.alarms[0].alarm_names) == jsonencode(["errors"])
    error_message = "An alarm rolls a deployment back."
  }

  assert {
    condition     = one(aws_ecs_service.this.load_balancer).container_port == 8000 && aws_ecs_service.this.health_check_grace_period_seconds == 60
    error_message = "It registers with its target group."
  }
}

run "a_slow_start" {
  command = plan

  variables {
    containers    = { example = { image = "example:1", user = "10001", ports = [8000], health_check = { command = ["CMD", "check"], start_period_seconds = 180 } } }
    target_groups = { main = { arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/mock/1", container = "example", port = 8000 } }
  }

  assert {
    condition     = aws_ecs_service.this.health_check_grace_period_seconds == 180
    error_message = "The load balancer waits as long as the container's own check."
  }
}

run "scaling_by_backlog" {
  command = plan

  variables {
    max_tasks       = 4
    enable_spot     = true
    backlog_scaling = { messages_per_task = 5000, queue_name = "messages" }
  }

  assert {
    condition     = aws_appautoscaling_policy.backlog[0].target_tracking_scaling_policy_configuration[0].target_value == 5000
    error_message = "The target is messages for each task."
  }

  assert {
    condition = jsonencode([
      for metric in aws_appautoscaling_policy.backlog[0].target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics : metric.expression if metric.id == "backlog"
    ]) == jsonencode(["(visible + in_flight) / FILL(tasks, 1)"])
    error_message = "Messages that wait or are in flight, by running tasks: who holds messages is not put to sleep."
  }

  assert {
    condition = jsonencode({
      for metric in aws_appautoscaling_policy.backlog[0].target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics : metric.id => metric.metric_stat[0].metric[0].metric_name if metric.id != "backlog"
    }) == jsonencode({ in_flight = "ApproximateNumberOfMessagesNotVisible", tasks = "CPUUtilization", visible = "ApproximateNumberOfMessagesVisible" })
    error_message = "The names of CloudWatch's."
  }

  assert {
    condition     = length(aws_appautoscaling_policy.wake) == 0 && one(aws_ecs_service.this.capacity_provider_strategy).capacity_provider == "FARGATE_SPOT"
    error_message = "With one task at least there is nothing to wake; Spot is chosen."
  }
}

run "sleeping" {
  command = plan

  variables {
    min_tasks       = 0
    max_tasks       = 1
    backlog_scaling = { messages_per_task = 5000, queue_name = "messages" }
  }

  assert {
    condition     = aws_appautoscaling_target.this[0].min_capacity == 0 && length(aws_appautoscaling_policy.backlog) == 1
    error_message = "It may sleep."
  }

  assert {
    condition     = aws_appautoscaling_policy.wake[0].step_scaling_policy_configuration[0].adjustment_type == "ExactCapacity" && jsonencode(aws_cloudwatch_metric_alarm.wake[0].alarm_actions) == jsonencode([aws_appautoscaling_policy.wake[0].arn])
    error_message = "A message wakes it."
  }
}

run "sleep_without_backlog_is_refused" {
  command = plan

  variables {
    min_tasks = 0
  }

  expect_failures = [var.min_tasks]
}

run "fewer_at_most_than_at_least_is_refused" {
  command = plan

  variables {
    min_tasks = 3
    max_tasks = 2
  }

  expect_failures = [var.max_tasks]
}

run "wrong_targets_are_refused" {
  command = plan

  variables {
    cpu_scaling_percent = 100
    backlog_scaling     = { messages_per_task = 0, queue_name = "messages" }
  }

  expect_failures = [var.cpu_scaling_percent, var.backlog_scaling]
}
