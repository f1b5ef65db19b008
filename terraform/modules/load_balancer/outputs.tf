output "dns_name" {
  description = "DNS name of the main load balancer."
  value       = aws_lb.main.dns_name
}

output "monitoring_dns_name" {
  description = "DNS name of the monitoring load balancer."
  value       = aws_lb.monitoring.dns_name
}

output "scheme" {
  description = "http, or https with a certificate."
  value       = local.has_certificate ? "https" : "http"
}

output "security_group_id" {
  description = "Id of the main load balancer's security group."
  value       = aws_security_group.main.id
}

output "monitoring_security_group_id" {
  description = "Id of the monitoring load balancer's security group."
  value       = aws_security_group.monitoring.id
}

output "target_group_arns" {
  description = "ARNs of the target groups: validator, admin, grafana, prometheus."
  value = {
    validator  = aws_lb_target_group.validator.arn
    admin      = aws_lb_target_group.admin.arn
    grafana    = aws_lb_target_group.grafana.arn
    prometheus = aws_lb_target_group.prometheus.arn
  }

  # A service cannot register before its target group has a listener.
  depends_on = [aws_lb_listener_rule.api, aws_lb_listener_rule.operators, aws_lb_listener.monitoring]
}

output "arn_suffix" {
  description = "ARN suffix of the main load balancer, as in CloudWatch's dimension LoadBalancer."
  value       = aws_lb.main.arn_suffix
}

output "monitoring_arn_suffix" {
  description = "ARN suffix of the monitoring load balancer, as in CloudWatch's dimension LoadBalancer."
  value       = aws_lb.monitoring.arn_suffix
}

output "target_group_arn_suffixes" {
  description = "ARN suffixes of the target groups, as in CloudWatch's dimension TargetGroup: validator, admin, grafana, prometheus."
  value = {
    validator  = aws_lb_target_group.validator.arn_suffix
    admin      = aws_lb_target_group.admin.arn_suffix
    grafana    = aws_lb_target_group.grafana.arn_suffix
    prometheus = aws_lb_target_group.prometheus.arn_suffix
  }
}
