module "monitoring" {
  source = "./modules/monitoring"

  name             = local.name
  vpc_id           = module.network.vpc_id
  subnet_ids       = local.task_subnet_ids
  assign_public_ip = local.assign_public_ip
  starts_after     = local.connection_rules
  cluster_name     = local.cluster_name

  prometheus_target_group_arn = module.load_balancer.target_group_arns.prometheus
  grafana_target_group_arn    = module.load_balancer.target_group_arns.grafana
  prometheus_url              = local.prometheus_url
  grafana_url                 = local.grafana_url
  repository_url              = local.repository_url
  remote_write_url            = var.remote_write_url
  grafana_admin_password_arn  = module.secrets.parameter_arns["grafana_admin_password"]
  key_arns                    = module.secrets.key_arns
  topic_arn                   = module.alarms.topic_arn
  config_bucket_name          = module.config.bucket_name
  config_bucket_arn           = module.config.bucket_arn
  validator_metrics_port      = local.ports.validator_metrics
  uploader_metrics_port       = local.ports.uploader_metrics

  # What is not given must be absent, not null, to get its default.
  images                   = { for image, name in var.monitoring_images : image => name if name != null }
  retention_days           = var.prometheus_retention_days
  cpu_architecture         = var.cpu_architecture
  enable_execute_command   = var.enable_execute_command
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
}

locals {
  # Where people read docs/runbooks.
  repository_url = var.repository_url != null ? var.repository_url : (
    var.github_repository != null ? "https://github.com/${var.github_repository}/blob/main" : null
  )
}
