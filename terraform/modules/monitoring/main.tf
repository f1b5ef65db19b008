data "aws_region" "current" {}
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# Names that are known inside the VPC alone: Grafana finds Prometheus as prometheus.cpsite-dev.internal.
resource "aws_service_discovery_private_dns_namespace" "this" {
  name        = "${var.name}.internal"
  description = "Services of ${var.name}"
  vpc         = var.vpc_id
}

locals {
  cluster_arn = format(
    "arn:%s:ecs:%s:%s:cluster/%s",
    data.aws_partition.current.partition,
    data.aws_region.current.region,
    data.aws_caller_identity.current.account_id,
    var.cluster_name,
  )
  ecr_image = "^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com/([^:@]+)"
  # Of those images that come from ECR.
  repository_arns = [
    for image in values(var.images) : format(
      "arn:%s:ecr:%s:%s:repository/%s",
      data.aws_partition.current.partition,
      regex(local.ecr_image, image)[1],
      regex(local.ecr_image, image)[0],
      regex(local.ecr_image, image)[2],
    ) if can(regex(local.ecr_image, image))
  ]
}
