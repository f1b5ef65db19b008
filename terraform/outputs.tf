output "alb_dns_name" {
  description = "DNS name of the API's load balancer."
  value       = module.load_balancer.dns_name
}

output "ecr_validator_repository_url" {
  description = "Where the validator's image is pushed to."
  value       = module.registry.repository_urls["validator"]
}

output "ecr_uploader_repository_url" {
  description = "Where the uploader's image is pushed to."
  value       = module.registry.repository_urls["uploader"]
}

output "s3_bucket_name" {
  description = "Name of the bucket with the messages."
  value       = module.messages.bucket_name
}

output "sqs_queue_url" {
  description = "URL of the queue."
  value       = module.queue.queue_url
}

output "sqs_dlq_url" {
  description = "URL of the dead-letter queue."
  value       = module.queue.dead_letter_queue_url
}

output "grafana_url" {
  description = "Grafana, for operators."
  value       = local.grafana_url
}

output "prometheus_url" {
  description = "Prometheus, for operators."
  value       = local.prometheus_url
}

output "api_token_command" {
  description = "Prints the API token."
  value       = "aws ssm get-parameter --region ${var.region} --name ${module.secrets.parameter_names["api_tokens"]} --with-decryption --query Parameter.Value --output text"
}

output "grafana_admin_password_command" {
  description = "Prints the password of Grafana's user admin."
  value       = "aws ssm get-parameter --region ${var.region} --name ${module.secrets.parameter_names["grafana_admin_password"]} --with-decryption --query Parameter.Value --output text"
}

output "deploy_role_arn" {
  description = "Role for the pipelines; null without github_repository."
  value       = one(module.delivery[*].deploy_role_arn)
}

output "analytics_database" {
  description = "Name of the Glue database; null without enable_analytics."
  value       = one(module.analytics[*].database_name)
}

output "analytics_workgroup" {
  description = "Name of the Athena workgroup; null without enable_analytics."
  value       = one(module.analytics[*].workgroup_name)
}

output "analytics_view_queries" {
  description = "SQL that makes the view of each contract, by the view's name."
  value       = try(module.analytics[0].view_queries, {})
}

output "analyst_policy_arn" {
  description = "ARN of the policy for people who query; null without enable_analytics."
  value       = one(module.analytics[*].analyst_policy_arn)
}
