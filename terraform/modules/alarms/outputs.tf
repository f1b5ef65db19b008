output "topic_arn" {
  description = "ARN of the topic that alarms go to."
  value       = aws_sns_topic.this.arn
}

output "validator_errors_alarm_name" {
  description = "Name of the alarm that rolls a deployment of the validator back."
  value       = aws_cloudwatch_metric_alarm.validator_errors.alarm_name
}
