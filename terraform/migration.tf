# Run once by each deployment, before the validator: in the validator's subnets and security group.
module "migration" {
  source = "./modules/task"

  name                     = local.name
  task                     = "migrate"
  cpu                      = 256
  memory_mib               = 512
  cpu_architecture         = var.cpu_architecture
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
  repository_arns          = [module.registry.repository_arns["validator"]]
  key_arns                 = module.secrets.key_arns

  volumes = keys(local.scratch)
  containers = {
    migrate = {
      image       = local.images["validator"]
      user        = local.user
      command     = ["python", "manage.py", "migrate", "--noinput"]
      environment = local.environment
      secrets     = { DATABASE_URL = module.database.url_parameter_arn }
      mounts      = local.scratch
    }
  }
}
