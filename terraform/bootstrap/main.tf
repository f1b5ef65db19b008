# What an account has once, for all environments: the bucket for their states, and the OIDC provider that their
# pipelines come in by. Its own state stays on the machine that made it: it names little, and `terraform import`
# brings it back.
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

resource "aws_iam_openid_connect_provider" "github" {
  count = var.create_github_oidc_provider ? 1 : 0

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}
