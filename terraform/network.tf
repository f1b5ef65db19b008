module "network" {
  source = "./modules/network"

  name                     = local.name
  cidr_block               = var.vpc_cidr_block
  availability_zone_count  = var.availability_zone_count
  enable_endpoints         = var.private_tasks
  enable_execute_command   = var.enable_execute_command
  enable_remote_write      = var.remote_write_url != null
  enable_flow_logs         = var.enable_flow_logs
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
}

locals {
  # docs/adr/0011
  task_subnet_ids  = var.private_tasks ? module.network.private_subnet_ids : module.network.public_subnet_ids
  assign_public_ip = !var.private_tasks
}
