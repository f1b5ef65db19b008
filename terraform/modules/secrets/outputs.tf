output "parameter_names" {
  description = "Names of the parameters: api_tokens, django_secret_key, grafana_admin_password."
  value       = local.names
}

output "parameter_arns" {
  description = "ARNs of the parameters: api_tokens, django_secret_key, grafana_admin_password."
  value = {
    for key, name in local.names : key => format(
      "arn:%s:ssm:%s:%s:parameter%s",
      data.aws_partition.current.partition,
      data.aws_region.current.region,
      data.aws_caller_identity.current.account_id,
      name,
    )
  }
}

output "key_arns" {
  description = "ARNs of the keys that the parameters are encrypted with."
  value       = concat([aws_kms_key.this.arn], var.existing_key_arns)
}

output "key_arn" {
  description = "ARN of the environment's own key."
  value       = aws_kms_key.this.arn
}
