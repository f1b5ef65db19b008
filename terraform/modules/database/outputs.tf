output "url_parameter_name" {
  description = "Name of the SSM parameter with DATABASE_URL."
  value       = aws_ssm_parameter.url.name
}

output "url_parameter_arn" {
  description = "ARN of the SSM parameter with DATABASE_URL."
  value       = aws_ssm_parameter.url.arn
}

output "instance_identifier" {
  description = "Identifier of the instance."
  value       = aws_db_instance.this.identifier
}

output "security_group_id" {
  description = "Id of the instance's security group."
  value       = aws_security_group.this.id
}
