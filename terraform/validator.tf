# The API: what clients reach. The admin, of the same image, is a service of its own (admin.tf, docs/adr/0019).
module "validator" {
  source = "./modules/service"

  name             = local.name
  service          = "validator"
  cluster_name     = local.cluster_name
  vpc_id           = module.network.vpc_id
  subnet_ids       = local.task_subnet_ids
  assign_public_ip = local.assign_public_ip
  starts_after     = local.connection_rules

  cpu                      = var.validator.cpu
  memory_mib               = var.validator.memory_mib
  cpu_architecture         = var.cpu_architecture
  enable_execute_command   = var.enable_execute_command
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
  repository_arns          = [module.registry.repository_arns["validator"]]
  key_arns                 = module.secrets.key_arns
  task_policies            = { validator = data.aws_iam_policy_document.validator.json }

  min_tasks           = var.validator.min_tasks
  max_tasks           = var.validator.max_tasks
  cpu_scaling_percent = var.validator.cpu_scaling_percent
  request_scaling = {
    requests_per_minute = var.validator.requests_per_minute_per_task
    resource_label      = "${module.load_balancer.arn_suffix}/${module.load_balancer.target_group_arn_suffixes.validator}"
  }
  rollback_alarm_names = [module.alarms.validator_errors_alarm_name]

  target_groups = {
    main = { arn = module.load_balancer.target_group_arns.validator, container = "validator", port = local.ports.validator }
  }

  volumes = keys(local.scratch)
  containers = {
    validator = merge(local.web_container, {
      environment = merge(local.web_environment, {
        VALIDATOR_SERVES     = "api"
        WEB_CONCURRENCY      = tostring(ceil(var.validator.cpu / 1024))
        WEB_CONNECTIONS      = tostring(var.validator.connections)
        API_TOKENS_PARAMETER = module.secrets.parameter_names["api_tokens"]
      })
      secrets = { DATABASE_URL = module.database.url_parameter_arn }
    })
  }
}

locals {
  # What API and admin have in common.
  web_environment = merge(local.environment, {
    HOST                   = "0.0.0.0"
    PORT                   = tostring(local.ports.validator)
    VALIDATOR_METRICS_PORT = tostring(local.ports.validator_metrics)
    TRUSTED_PROXIES        = "1"
    DJANGO_HTTPS           = tostring(var.certificate_arn != null)
  })

  web_container = {
    image   = local.images["validator"]
    user    = local.user
    command = ["python", "-m", "gunicorn", "--config", "python:cpsite.gunicorn"]
    ports   = [local.ports.validator, local.ports.validator_metrics]
    mounts  = local.scratch
    # gunicorn gives requests under way 20 s.
    stop_timeout_seconds = 30
    health_check = {
      command = ["CMD", "python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:${local.ports.validator}/health/live', timeout=4)"]
    }
  }
}

# docs/operations.md, Permissions
data "aws_iam_policy_document" "validator" {
  statement {
    sid       = "SendMessages"
    actions   = ["sqs:SendMessage", "sqs:GetQueueAttributes"]
    resources = [module.queue.queue_arn]
  }

  statement {
    sid       = "ReadTokens"
    actions   = ["ssm:GetParameter"]
    resources = [module.secrets.parameter_arns["api_tokens"]]
  }

  statement {
    sid       = "DecryptTokens"
    actions   = ["kms:Decrypt"]
    resources = module.secrets.key_arns

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["ssm.${var.region}.amazonaws.com"]
    }
  }
}
