module "registry" {
  source = "./modules/registry"

  name          = local.name
  force_destroy = var.is_disposable
  kept_images   = var.kept_images
}

# Which image is deployed. Terraform writes the first one, and a deployment each further one; what
# stands here goes into the task definitions, so that an apply never brings an old image back
# (docs/adr/0013).
resource "aws_ssm_parameter" "image" {
  #checkov:skip=CKV2_AWS_34:The name of an image is no secret
  for_each = module.registry.repository_urls

  name           = "/${local.name}/${each.key}-image"
  description    = "Image of the ${each.key}, written by each deployment"
  type           = "String"
  insecure_value = "${each.value}:${var.initial_image_tag}"

  lifecycle {
    # With a new description the provider would write the image of its last look as well, over a newer one.
    ignore_changes = [insecure_value, description]
  }
}

locals {
  images = { for service, parameter in aws_ssm_parameter.image : service => parameter.insecure_value }
}
