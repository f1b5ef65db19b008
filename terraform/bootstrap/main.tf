# The bucket for the states of all environments, made once in an account. Its own state stays on the
# machine that made it: it names one bucket, and `terraform import` brings it back.
provider "aws" {
  region = var.region
}

data "aws_caller_identity" "current" {}

module "state" {
  source = "../modules/bucket"

  bucket_name             = "${var.project}-terraform-state-${data.aws_caller_identity.current.account_id}"
  force_destroy           = var.force_destroy
  noncurrent_version_days = var.old_state_days
}
