# The admin for operators: the validator's image, with a role, a security group and a target group of its own. It may read
# messages and dead letters, which the API may not, and no API token, which the API may (docs/adr/0019).
module "admin" {
  source = "./modules/service"

  name             = local.name
  service          = "admin"
  cluster_name     = local.cluster_name
  vpc_id           = module.network.vpc_id
  subnet_ids       = local.task_subnet_ids
  assign_public_ip = local.assign_public_ip
  starts_after     = local.connection_rules

  # For a few people: one task, and none beside it while there is no deployment.
  cpu                      = 256
  memory_mib               = 512
  cpu_architecture         = var.cpu_architecture
  enable_execute_command   = var.enable_execute_command
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
  repository_arns          = [module.registry.repository_arns["validator"]]
  key_arns                 = module.secrets.key_arns
  task_policies            = { admin = data.aws_iam_policy_document.admin.json }

  target_groups = {
    main = { arn = module.load_balancer.target_group_arns.admin, container = "admin", port = local.ports.validator }
  }

  volumes = keys(local.scratch)
  containers = {
    admin = merge(local.web_container, {
      environment = merge(local.web_environment, local.destinations, {
        VALIDATOR_SERVES     = "admin"
        WEB_CONCURRENCY      = "1"
        DJANGO_ALLOWED_HOSTS = join(",", compact([module.load_balancer.dns_name, var.domain_name]))
      })
      secrets = {
        DATABASE_URL      = module.database.url_parameter_arn
        DJANGO_SECRET_KEY = module.secrets.parameter_arns["django_secret_key"]
      }
    })
  }
}

# docs/operations.md, Permissions
data "aws_iam_policy_document" "admin" {
  statement {
    sid = "TakeDeadLetters"
    actions = [
      "sqs:ReceiveMessage",
      "sqs:DeleteMessage",
      "sqs:ChangeMessageVisibility",
      "sqs:GetQueueAttributes",
    ]
    resources = [module.queue.dead_letter_queue_arn]
  }

  statement {
    sid       = "RedriveThem"
    actions   = ["sqs:SendMessage"]
    resources = [module.queue.queue_arn]
  }

  statement {
    sid       = "ReadMessages"
    actions   = ["s3:GetObject"]
    resources = ["${module.messages.bucket_arn}/${var.s3_prefix}*"]
  }
}
