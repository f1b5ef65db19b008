output "service_name" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.this.name
}

output "service_arn" {
  description = "ARN of the ECS service."
  value       = aws_ecs_service.this.id
}

output "security_group_id" {
  description = "Id of the tasks' security group."
  value       = aws_security_group.this.id
}

output "family" {
  description = "Family of the task definition."
  value       = module.task.family
}

output "container_definitions" {
  description = "The containers, as JSON."
  value       = module.task.container_definitions
}

output "task_role_arn" {
  description = "ARN of the containers' role."
  value       = module.task.task_role_arn
}

output "execution_role_arn" {
  description = "ARN of the role that starts tasks."
  value       = module.task.execution_role_arn
}

output "log_group_arn" {
  description = "ARN of the log group."
  value       = module.task.log_group_arn
}
