mock_provider "aws" {
  source          = "../../testing/mocks"
  override_during = plan
}

variables {
  name                 = "cpsite-test"
  github_repository    = "octo/cpsite"
  github_environment   = "test"
  repository_arns      = ["arn:aws:ecr:us-east-1:123456789012:repository/cpsite-test/validator"]
  cluster_arn          = "arn:aws:ecs:us-east-1:123456789012:cluster/cpsite-test"
  service_arns         = ["arn:aws:ecs:us-east-1:123456789012:service/cpsite-test/cpsite-test-validator"]
  one_off_families     = ["cpsite-test-migrate", "cpsite-test-uploader"]
  log_group_arns       = ["arn:aws:logs:us-east-1:123456789012:log-group:/cpsite-test/migrate"]
  role_arns            = ["arn:aws:iam::123456789012:role/cpsite-test-validator-task"]
  image_parameter_arns = ["arn:aws:ssm:us-east-1:123456789012:parameter/cpsite-test/validator-image"]
}

run "trust" {
  command = plan

  assert {
    condition = jsonencode({ for condition in data.aws_iam_policy_document.trust.statement[0].condition : condition.variable => [condition.test, condition.values] }) == jsonencode({
      "token.actions.githubusercontent.com:aud" = ["StringEquals", ["sts.amazonaws.com"]]
      "token.actions.githubusercontent.com:sub" = ["StringEquals", ["repo:octo/cpsite:environment:test"]]
    })
    error_message = "This repository and environment, and no other."
  }

  assert {
    condition     = jsonencode(data.aws_iam_policy_document.trust.statement[0].actions) == jsonencode(["sts:AssumeRoleWithWebIdentity"])
    error_message = "By a token of GitHub."
  }

  assert {
    condition     = jsonencode(tolist(data.aws_iam_policy_document.trust.statement[0].principals)[0]) == jsonencode({ identifiers = ["arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"], type = "Federated" }) && data.aws_iam_openid_connect_provider.github.url == "https://token.actions.githubusercontent.com"
    error_message = "Through the account's provider, which is looked up: another environment needs it after this one is gone."
  }
}

run "a_subject_with_ids" {
  command = plan

  variables {
    github_owner_id      = 84790634
    github_repository_id = 1304267049
    github_branches      = ["main"]
  }

  assert {
    condition = jsonencode(sort(flatten([for condition in data.aws_iam_policy_document.trust.statement[0].condition : condition.values if endswith(condition.variable, ":sub")]))) == jsonencode([
      "repo:octo@84790634/cpsite@1304267049:environment:test", "repo:octo@84790634/cpsite@1304267049:ref:refs/heads/main",
    ])
    error_message = "The ids are in the subject, and the form without them is not trusted."
  }
}

run "half_a_subject_is_refused" {
  command = plan

  variables {
    github_repository_id = 1304267049
  }

  expect_failures = [var.github_owner_id]
}

run "a_branch" {
  command = plan

  variables {
    github_branches = ["main"]
  }

  assert {
    condition = jsonencode(sort(flatten([for condition in data.aws_iam_policy_document.trust.statement[0].condition : condition.values if endswith(condition.variable, ":sub")]))) == jsonencode([
      "repo:octo/cpsite:environment:test", "repo:octo/cpsite:ref:refs/heads/main",
    ])
    error_message = "Branches are named one by one."
  }
}

run "permissions" {
  command = plan

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.deploy.statement : statement.sid => [sort(statement.actions), statement.resources] }) == jsonencode({
      LogInToRegistry = [["ecr:GetAuthorizationToken"], ["*"]]
      NoteImages      = [["ssm:GetParameter", "ssm:PutParameter"], ["arn:aws:ssm:us-east-1:123456789012:parameter/cpsite-test/validator-image"]]
      PassRoles       = [["iam:PassRole"], ["arn:aws:iam::123456789012:role/cpsite-test-validator-task"]]
      PushImages      = [["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"], ["arn:aws:ecr:us-east-1:123456789012:repository/cpsite-test/validator"]]
      ReadLogs        = [["logs:GetLogEvents"], ["arn:aws:logs:us-east-1:123456789012:log-group:/cpsite-test/migrate:*"]]
      RunOnce         = [["ecs:RunTask"], ["arn:aws:ecs:us-east-1:123456789012:task-definition/cpsite-test-migrate:*", "arn:aws:ecs:us-east-1:123456789012:task-definition/cpsite-test-uploader:*"]]
      TagRevisions    = [["ecs:TagResource"], ["arn:aws:ecs:us-east-1:123456789012:task-definition/cpsite-test-*:*"]]
      UpdateServices  = [["ecs:DescribeServices", "ecs:UpdateService"], ["arn:aws:ecs:us-east-1:123456789012:service/cpsite-test/cpsite-test-validator"]]
      WatchTasks      = [["ecs:DescribeTasks"], ["*"]]
      WriteRevisions  = [["ecs:DescribeTaskDefinition", "ecs:RegisterTaskDefinition"], ["*"]]
    })
    error_message = "What pipelines do, and nothing else."
  }

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.deploy.statement : statement.sid => tolist(statement.condition)[0] if length(statement.condition) > 0 }) == jsonencode({
      PassRoles    = { test = "StringEquals", values = ["ecs-tasks.amazonaws.com"], variable = "iam:PassedToService" }
      RunOnce      = { test = "ArnEquals", values = ["arn:aws:ecs:us-east-1:123456789012:cluster/cpsite-test"], variable = "ecs:cluster" }
      TagRevisions = { test = "StringEquals", values = ["RegisterTaskDefinition"], variable = "ecs:CreateAction" }
      WatchTasks   = { test = "ArnEquals", values = ["arn:aws:ecs:us-east-1:123456789012:cluster/cpsite-test"], variable = "ecs:cluster" }
    })
    error_message = "Conditions."
  }
}

run "wildcards_are_refused" {
  command = plan

  variables {
    github_repository  = "octo/*"
    github_environment = "*"
    github_branches    = ["*"]
  }

  expect_failures = [var.github_repository, var.github_environment, var.github_branches]
}
