data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  issuer = "token.actions.githubusercontent.com"
  # With ids, a repository that takes over the name gets nothing.
  subject = var.github_repository_id == null ? "repo:${var.github_repository}" : format(
    "repo:%s@%d/%s@%d",
    split("/", var.github_repository)[0],
    var.github_owner_id,
    split("/", var.github_repository)[1],
    var.github_repository_id,
  )
  ecs_arn = "arn:${data.aws_partition.current.partition}:ecs:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}"
}

# An account has but one, for all environments in it: bootstrap/ makes it, and no environment destroys it.
data "aws_iam_openid_connect_provider" "github" {
  url = "https://${local.issuer}"
}

resource "aws_iam_role" "deploy" {
  name                 = "${var.name}-deploy"
  description          = "Deploys ${var.name} from ${var.github_repository}"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = 3600
  permissions_boundary = var.permissions_boundary_arn
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [data.aws_iam_openid_connect_provider.github.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }

    # Whole subjects, compared as they are.
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values = concat(
        ["${local.subject}:environment:${var.github_environment}"],
        [for branch in var.github_branches : "${local.subject}:ref:refs/heads/${branch}"],
      )
    }
  }
}
