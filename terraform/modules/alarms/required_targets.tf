# Prometheus watches the services, and nothing else watches Prometheus: when it is gone, so are all of its alerts, in
# silence. Alertmanager is an essential container of the same task: when it stops or hangs, ECS replaces the task, and
# the target with it. Grafana is where people look once something has gone off.
resource "aws_cloudwatch_metric_alarm" "target_down" {
  for_each = var.required_targets

  alarm_name        = "${var.name}-${each.key}-down"
  alarm_description = each.value.description
  namespace         = "AWS/ApplicationELB"
  metric_name       = "HealthyHostCount"
  dimensions        = { LoadBalancer = each.value.load_balancer_arn_suffix, TargetGroup = each.value.target_group_arn_suffix }
  statistic         = "Maximum"
  period            = 60
  # A task that starts and dies again and again is healthy now and then.
  evaluation_periods  = 10
  datapoints_to_alarm = 5
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  # Without any target there is no metric.
  treat_missing_data = "breaching"
  alarm_actions      = local.actions
  ok_actions         = local.actions
}
