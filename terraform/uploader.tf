module "uploader" {
  source = "./modules/service"

  name             = local.name
  service          = "uploader"
  cluster_name     = local.cluster_name
  vpc_id           = module.network.vpc_id
  subnet_ids       = local.task_subnet_ids
  assign_public_ip = local.assign_public_ip
  starts_after     = local.connection_rules

  cpu                      = var.uploader.cpu
  memory_mib               = var.uploader.memory_mib
  cpu_architecture         = var.cpu_architecture
  enable_spot              = var.uploader.enable_spot
  enable_execute_command   = var.enable_execute_command
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
  repository_arns          = [module.registry.repository_arns["uploader"]]
  key_arns                 = module.secrets.key_arns
  task_policies            = { uploader = data.aws_iam_policy_document.uploader.json }

  min_tasks = var.uploader.min_tasks
  max_tasks = var.uploader.max_tasks
  backlog_scaling = {
    messages_per_task = var.uploader.backlog_messages_per_task
    queue_name        = module.queue.queue_name
  }

  volumes = keys(local.scratch)
  containers = {
    uploader = {
      image   = local.images["uploader"]
      user    = local.user
      command = ["python", "manage.py", "run_uploader"]
      environment = merge(local.environment, local.destinations, {
        UPLOADER_METRICS_PORT   = tostring(local.ports.uploader_metrics)
        UPLOADER_HEARTBEAT_FILE = "/tmp/uploader-heartbeat"
        UPLOADER_STOP_SECONDS   = "20"
        UPLOADER_CONCURRENCY    = tostring(var.uploader.concurrency)
        UPLOADER_RECEIVERS      = tostring(var.uploader.receivers)
        UPLOADER_LAYOUT         = var.uploader.layout
      })
      secrets = { DATABASE_URL = module.database.url_parameter_arn }
      ports   = [local.ports.uploader_metrics]
      mounts  = local.scratch
      # Longer than UPLOADER_STOP_SECONDS.
      stop_timeout_seconds = 30
      health_check = {
        command              = ["CMD", "python", "-m", "uploader.liveness"]
        start_period_seconds = 60
      }
    }
  }
}

# docs/operations.md, Permissions
data "aws_iam_policy_document" "uploader" {
  statement {
    sid = "TakeMessages"
    actions = [
      "sqs:ReceiveMessage",
      "sqs:DeleteMessage",
      "sqs:ChangeMessageVisibility",
      "sqs:GetQueueAttributes",
    ]
    resources = [module.queue.queue_arn]
  }

  statement {
    sid       = "CountDeadLetters"
    actions   = ["sqs:GetQueueAttributes"]
    resources = [module.queue.dead_letter_queue_arn]
  }

  statement {
    sid       = "StoreMessages"
    actions   = ["s3:PutObject"]
    resources = ["${module.messages.bucket_arn}/${var.s3_prefix}*"]
  }
}
