resource "aws_cloudwatch_metric_alarm" "cpu" {
  for_each = var.service_names

  alarm_name          = "${each.value}-cpu"
  alarm_description   = "CPU of ${each.value} has been above 85 % for ten minutes: it runs max_tasks, or scales too slowly."
  namespace           = "AWS/ECS"
  metric_name         = "CPUUtilization"
  dimensions          = { ClusterName = var.cluster_name, ServiceName = each.value }
  statistic           = "Average"
  period              = 60
  evaluation_periods  = 10
  comparison_operator = "GreaterThanThreshold"
  threshold           = 85
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
}

resource "aws_cloudwatch_metric_alarm" "memory" {
  for_each = var.service_names

  alarm_name          = "${each.value}-memory"
  alarm_description   = "Memory of ${each.value} has been above 85 % for five minutes: at 100 % ECS kills the task."
  namespace           = "AWS/ECS"
  metric_name         = "MemoryUtilization"
  dimensions          = { ClusterName = var.cluster_name, ServiceName = each.value }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 85
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
}
