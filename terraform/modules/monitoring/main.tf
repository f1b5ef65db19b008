data "aws_region" "current" {}
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# Names that are known inside the VPC alone: validator.cpsite-dev.internal has an address for each task.
resource "aws_service_discovery_private_dns_namespace" "this" {
  name        = "${var.name}.internal"
  description = "Services of ${var.name}"
  vpc         = var.vpc_id
}

locals {
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
