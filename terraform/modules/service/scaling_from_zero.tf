# Target tracking multiplies the number of tasks, and cannot leave zero: the first task is started by
# the first message.
locals {
  can_sleep = var.min_tasks == 0
}

resource "aws_appautoscaling_policy" "wake" {
  count = local.can_sleep ? 1 : 0

  name               = "wake"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.this[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.this[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.this[0].resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Maximum"

    step_adjustment {
      metric_interval_lower_bound = "0"
      scaling_adjustment          = 1
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "wake" {
  count = local.can_sleep ? 1 : 0

  alarm_name          = "${var.name}-${var.service}-wake"
  alarm_description   = "Messages wait and no task runs: starts one. Not a fault."
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.wake[0].arn]

  metric_query {
    id          = "asleep"
    label       = "Messages wait and no task runs"
    expression  = "IF(FILL(tasks, 0) == 0 AND visible > 0, 1, 0)"
    return_data = true
  }

  metric_query {
    id = "visible"

    metric {
      namespace   = "AWS/SQS"
      metric_name = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = var.backlog_scaling.queue_name }
      period      = 60
      stat        = "Maximum"
    }
  }

  metric_query {
    id = "tasks"

    metric {
      namespace   = "AWS/ECS"
      metric_name = "CPUUtilization"
      dimensions  = { ClusterName = var.cluster_name, ServiceName = aws_ecs_service.this.name }
      period      = 60
      stat        = "SampleCount"
    }
  }
}
