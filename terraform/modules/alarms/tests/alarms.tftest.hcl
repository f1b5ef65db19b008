mock_provider "aws" {
  source          = "../../testing/mocks"
  override_during = plan
}

variables {
  name                     = "cpsite-test"
  key_arn                  = "arn:aws:kms:us-east-1:123456789012:key/mock"
  emails                   = ["operators@example.com"]
  queue_name               = "messages"
  dead_letter_queue_name   = "messages-dlq"
  load_balancer_arn_suffix = "app/main/1"
  target_group_arn_suffix  = "targetgroup/validator/1"
  cluster_name             = "cpsite-test"
  service_names            = { validator = "cpsite-test-validator", uploader = "cpsite-test-uploader" }
  database_identifier      = "cpsite-test"
  required_targets = {
    prometheus = { load_balancer_arn_suffix = "app/monitoring/1", target_group_arn_suffix = "targetgroup/prometheus/1", description = "No alert goes off." }
    grafana    = { load_balancer_arn_suffix = "app/main/1", target_group_arn_suffix = "targetgroup/grafana/1", description = "No dashboards." }
  }
}

run "what_is_watched" {
  command = plan

  assert {
    condition = jsonencode([
      for alarm in concat(
        [
          aws_cloudwatch_metric_alarm.oldest_message,
          aws_cloudwatch_metric_alarm.dead_letters,
          aws_cloudwatch_metric_alarm.load_balancer_errors,
          aws_cloudwatch_metric_alarm.unhealthy_hosts,
          aws_cloudwatch_metric_alarm.database_storage,
          aws_cloudwatch_metric_alarm.database_connections,
        ],
        values(aws_cloudwatch_metric_alarm.cpu),
        values(aws_cloudwatch_metric_alarm.memory),
        values(aws_cloudwatch_metric_alarm.target_down),
      ) : "${alarm.metric_name} of ${join(" ", values(alarm.dimensions))} ${alarm.comparison_operator} ${alarm.threshold}"
      ]) == jsonencode([
      "ApproximateAgeOfOldestMessage of messages GreaterThanThreshold 600",
      "ApproximateNumberOfMessagesVisible of messages-dlq GreaterThanThreshold 0",
      "HTTPCode_ELB_5XX_Count of app/main/1 GreaterThanThreshold 5",
      "UnHealthyHostCount of app/main/1 targetgroup/validator/1 GreaterThanThreshold 0",
      "FreeStorageSpace of cpsite-test LessThanThreshold 4294967296",
      "DatabaseConnections of cpsite-test GreaterThanThreshold 60",
      "CPUUtilization of cpsite-test cpsite-test-uploader GreaterThanThreshold 85",
      "CPUUtilization of cpsite-test cpsite-test-validator GreaterThanThreshold 85",
      "MemoryUtilization of cpsite-test cpsite-test-uploader GreaterThanThreshold 85",
      "MemoryUtilization of cpsite-test cpsite-test-validator GreaterThanThreshold 85",
      "HealthyHostCount of app/main/1 targetgroup/grafana/1 LessThanThreshold 1",
      "HealthyHostCount of app/monitoring/1 targetgroup/prometheus/1 LessThanThreshold 1",
    ])
    error_message = "Alarms."
  }

  assert {
    condition     = alltrue([for alarm in concat([aws_cloudwatch_metric_alarm.oldest_message, aws_cloudwatch_metric_alarm.dead_letters, aws_cloudwatch_metric_alarm.validator_errors, aws_cloudwatch_metric_alarm.load_balancer_errors, aws_cloudwatch_metric_alarm.unhealthy_hosts, aws_cloudwatch_metric_alarm.database_storage, aws_cloudwatch_metric_alarm.database_connections], values(aws_cloudwatch_metric_alarm.cpu), values(aws_cloudwatch_metric_alarm.memory), values(aws_cloudwatch_metric_alarm.target_down)) : jsonencode(alarm.alarm_actions) == jsonencode(["arn:aws:sns:us-east-1:123456789012:mock"]) && jsonencode(alarm.ok_actions) == jsonencode(alarm.alarm_actions)])
    error_message = "All go to the topic, and say when it is over."
  }
}

run "a_dead_prometheus_is_noticed" {
  command = plan

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.target_down : alarm.treat_missing_data == "breaching" && alarm.datapoints_to_alarm < alarm.evaluation_periods])
    error_message = "No target, no metric: that is the worst case, and not a quiet one. Nor is a task that starts and dies."
  }
}

run "a_failed_deployment_is_told" {
  command = plan

  assert {
    condition = aws_cloudwatch_event_rule.failed_deployment.event_pattern == jsonencode({
      source      = ["aws.ecs"]
      detail-type = ["ECS Deployment State Change"]
      resources   = [{ prefix = "arn:aws:ecs:us-east-1:123456789012:service/cpsite-test/" }]
      detail      = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
    })
    error_message = "Every service of the cluster."
  }

  assert {
    condition     = aws_cloudwatch_event_target.failed_deployment.arn == aws_sns_topic.this.arn && aws_cloudwatch_event_target.failed_deployment.role_arn == null
    error_message = "It goes to the topic of the alarms, by the topic's policy."
  }
}

run "certificate" {
  command = plan

  variables {
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/mock"
  }

  assert {
    condition     = jsonencode([for alarm in aws_cloudwatch_metric_alarm.certificate : [alarm.metric_name, values(alarm.dimensions), alarm.comparison_operator, alarm.threshold, alarm.alarm_actions]]) == jsonencode([["DaysToExpiry", ["arn:aws:acm:us-east-1:123456789012:certificate/mock"], "LessThanThreshold", 30, ["arn:aws:sns:us-east-1:123456789012:mock"]]])
    error_message = "Its end is told a month before."
  }
}

run "without_a_certificate_none_is_watched" {
  command = plan

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.certificate) == 0
    error_message = "There is nothing to watch."
  }
}

run "topic" {
  command = plan

  assert {
    condition     = aws_sns_topic.this.kms_master_key_id == var.key_arn && jsonencode(keys(aws_sns_topic_subscription.email)) == jsonencode(["operators@example.com"])
    error_message = "Encrypted, and read by people."
  }

  assert {
    condition     = jsonencode(data.aws_iam_policy_document.topic.statement[*].sid) == jsonencode(["Alarms", "Events", "Account", "DenyWithoutTls"])
    error_message = "CloudWatch, the rule for failed deployments, and this account publish."
  }
}

run "wrong_values_are_refused" {
  command = plan

  variables {
    emails                 = ["nobody"]
    oldest_message_seconds = 5
    certificate_days       = 90
  }

  expect_failures = [var.emails, var.oldest_message_seconds, var.certificate_days]
}
