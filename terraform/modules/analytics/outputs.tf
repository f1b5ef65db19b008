output "database_name" {
  description = "Name of the Glue database."
  value       = aws_glue_catalog_database.this.name
}

output "workgroup_name" {
  description = "Name of the Athena workgroup."
  value       = aws_athena_workgroup.this.name
}

output "view_queries" {
  description = "SQL that makes the view of each contract, by the view's name."
  value       = local.view_queries
}

output "analyst_policy_arn" {
  description = "ARN of the policy for people who query."
  value       = aws_iam_policy.analyst.arn
}
