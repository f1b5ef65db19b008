module "load_balancer" {
  source = "./modules/load_balancer"

  name                       = local.name
  vpc_id                     = module.network.vpc_id
  subnet_ids                 = module.network.public_subnet_ids
  certificate_arn            = var.certificate_arn
  operator_cidrs             = var.operator_cidrs
  enable_deletion_protection = !var.is_disposable
  enable_access_logs         = var.enable_access_logs
  access_logs_bucket         = one(module.access_logs[*].bucket_name)
}

locals {
  url            = "${module.load_balancer.scheme}://${coalesce(var.domain_name, module.load_balancer.dns_name)}"
  prometheus_url = "${module.load_balancer.scheme}://${coalesce(var.monitoring_domain_name, module.load_balancer.monitoring_dns_name)}/"
  grafana_url    = "${local.url}/grafana/"
}

module "access_logs" {
  source = "./modules/bucket"
  count  = var.enable_access_logs ? 1 : 0

  bucket_name       = local.access_logs_bucket
  encryption        = "AES256" # load balancers write with no other
  force_destroy     = var.is_disposable
  expire_after_days = 90
  policy_documents  = [data.aws_iam_policy_document.access_logs.json]
}

locals {
  access_logs_bucket = "${local.name}-access-logs-${local.account_id}"
}

data "aws_iam_policy_document" "access_logs" {
  statement {
    sid       = "LoadBalancersWrite"
    actions   = ["s3:PutObject"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${local.access_logs_bucket}/*/AWSLogs/${local.account_id}/*"]

    principals {
      type        = "Service"
      identifiers = ["logdelivery.elasticloadbalancing.amazonaws.com"]
    }
  }
}
