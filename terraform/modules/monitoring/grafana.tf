module "grafana" {
  source = "../service"

  name             = var.name
  service          = "grafana"
  cluster_name     = var.cluster_name
  vpc_id           = var.vpc_id
  subnet_ids       = var.subnet_ids
  assign_public_ip = var.assign_public_ip

  # Its images exist, unlike those of the services at the first apply.
  wait_for_steady_state = true
  starts_after          = var.starts_after

  cpu                      = 256
  memory_mib               = 512
  cpu_architecture         = var.cpu_architecture
  enable_execute_command   = var.enable_execute_command
  log_retention_days       = var.log_retention_days
  repository_arns          = local.repository_arns
  cached_repository_arns   = local.repository_arns # copies, or a cache
  key_arns                 = var.key_arns
  permissions_boundary_arn = var.permissions_boundary_arn
  task_policies = {
    config = data.aws_iam_policy_document.read_config["grafana"].json
  }

  target_groups = {
    main = { arn = var.grafana_target_group_arn, container = "grafana", port = 3000 }
  }

  volumes = ["config", "data", "tmp"]
  containers = {
    init = merge(local.init.grafana, {
      command = [join("\n", [local.init.grafana.command[0], "chmod 1777 /scratch"])]
      mounts  = merge(local.init.grafana.mounts, { tmp = "/scratch" })
    })
    grafana = {
      image = var.images.grafana
      user  = "472"
      environment = {
        GF_SERVER_ROOT_URL                    = var.grafana_url
        GF_SERVER_SERVE_FROM_SUB_PATH         = "true"
        GF_PATHS_PROVISIONING                 = "/config/grafana/provisioning"
        GF_SECURITY_COOKIE_SECURE             = tostring(startswith(var.grafana_url, "https://"))
        GF_USERS_ALLOW_SIGN_UP                = "false"
        GF_ANALYTICS_REPORTING_ENABLED        = "false"
        GF_ANALYTICS_CHECK_FOR_UPDATES        = "false"
        GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES = "false"
        GF_PLUGINS_PREINSTALL_DISABLED        = "true"
        GF_LOG_CONSOLE_FORMAT                 = "json"
      }
      secrets    = { GF_SECURITY_ADMIN_PASSWORD = var.grafana_admin_password_arn }
      ports      = [3000]
      mounts     = { config = "/config", data = "/var/lib/grafana", tmp = "/tmp" }
      depends_on = { init = "SUCCESS" }
      health_check = {
        command = ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:3000/grafana/api/health"]
        # Its database is made anew with each task: hundreds of steps, on a quarter of a vCPU.
        start_period_seconds = 180
      }
    }
  }
}
