# ACM renews what it has issued 60 days before its end, unless DNS no longer says that the name is ours. What was
# imported, nobody renews.
resource "aws_cloudwatch_metric_alarm" "certificate" {
  count = var.certificate_arn == null ? 0 : 1

  alarm_name          = "${var.name}-certificate"
  alarm_description   = "The certificate expires in less than ${var.certificate_days} days and was not renewed: after that no client can connect."
  namespace           = "AWS/CertificateManager"
  metric_name         = "DaysToExpiry"
  dimensions          = { CertificateArn = var.certificate_arn }
  statistic           = "Minimum"
  period              = 86400 # ACM publishes it once or twice a day
  evaluation_periods  = 1
  comparison_operator = "LessThanThreshold"
  threshold           = var.certificate_days
  treat_missing_data  = "missing"
  alarm_actions       = local.actions
  ok_actions          = local.actions
}
