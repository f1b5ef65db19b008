output "task_definition_arn" {
  description = "ARN of the newest revision."
  value       = aws_ecs_task_definition.this.arn

  # A task that starts before its roles have their permissions dies, and three such starts are a failed deployment.
  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task, aws_iam_role_policy.execute_command]
}

output "family" {
  description = "Family of the task definition."
  value       = aws_ecs_task_definition.this.family
}

output "container_definitions" {
  description = "The containers, as JSON."
  value       = local.container_definitions
}

output "task_role_arn" {
  description = "ARN of the containers' role."
  value       = aws_iam_role.task.arn
}

output "execution_role_arn" {
  description = "ARN of the role that starts the task."
  value       = aws_iam_role.execution.arn
}

output "log_group_name" {
  description = "Name of the log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "log_group_arn" {
  description = "ARN of the log group."
  value       = aws_cloudwatch_log_group.this.arn
}
