module "delivery" {
  source = "./modules/delivery"
  count  = var.github_repository == null ? 0 : 1

  name                     = local.name
  permissions_boundary_arn = var.permissions_boundary_arn
  github_repository        = var.github_repository
  github_owner_id          = var.github_owner_id
  github_repository_id     = var.github_repository_id
  github_environment       = var.environment
  github_branches          = var.github_branches
  repository_arns          = values(module.registry.repository_arns)
  cluster_arn              = aws_ecs_cluster.this.arn
  service_arns             = [module.validator.service_arn, module.admin.service_arn, module.uploader.service_arn]
  one_off_families         = [module.migration.family, module.uploader.family]
  log_group_arns           = [module.migration.log_group_arn, module.uploader.log_group_arn]
  image_parameter_arns     = [for parameter in aws_ssm_parameter.image : parameter.arn]
  role_arns = [
    module.validator.task_role_arn,
    module.validator.execution_role_arn,
    module.admin.task_role_arn,
    module.admin.execution_role_arn,
    module.uploader.task_role_arn,
    module.uploader.execution_role_arn,
    module.migration.task_role_arn,
    module.migration.execution_role_arn,
  ]
}
