module "queue" {
  source = "./modules/queue"

  name                       = "${local.name}-messages"
  visibility_timeout_seconds = var.visibility_timeout_seconds
  max_receive_count          = var.max_receive_count
}

module "messages" {
  source = "./modules/bucket"

  bucket_name             = "${local.name}-messages-${local.account_id}"
  force_destroy           = var.is_disposable
  noncurrent_version_days = var.noncurrent_version_days
  archive_after_days      = var.archive_after_days
}

module "config" {
  source = "./modules/bucket"

  # What it holds is in this repository, so it may always go.
  bucket_name   = "${local.name}-config-${local.account_id}"
  force_destroy = true
}

module "database" {
  source = "./modules/database"

  name                       = local.name
  vpc_id                     = module.network.vpc_id
  subnet_ids                 = module.network.private_subnet_ids
  instance_class             = var.database_instance_class
  storage_gb                 = var.database_storage_gb
  max_storage_gb             = var.database_max_storage_gb
  enable_multi_az            = var.enable_database_multi_az
  backup_retention_days      = var.database_backup_days
  enable_deletion_protection = !var.is_disposable
  enable_final_snapshot      = var.enable_database_final_snapshot
  password_version           = var.database_password_version
  key_arn                    = module.secrets.key_arn
  log_retention_days         = var.log_retention_days
}

module "secrets" {
  source = "./modules/secrets"

  name                           = local.name
  api_tokens_version             = var.api_tokens_version
  django_secret_key_version      = var.django_secret_key_version
  grafana_admin_password_version = var.grafana_admin_password_version
  existing_parameters            = var.existing_parameters
  existing_key_arns              = var.existing_key_arns
}
