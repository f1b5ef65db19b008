mock_provider "aws" {
  source          = "../testing/mocks"
  override_during = plan
}

run "state_bucket" {
  command = plan

  assert {
    condition     = module.state.bucket_name == "mock"
    error_message = "The bucket is the one that the module makes."
  }

  assert {
    condition     = output.backend_config == "-backend-config=bucket=mock -backend-config=region=us-east-1"
    error_message = "What terraform init takes."
  }
}

run "bad_project_is_refused" {
  command = plan

  variables {
    project = "Not A Name"
  }

  expect_failures = [var.project]
}

run "the_accounts_oidc_provider" {
  command = plan

  assert {
    condition     = jsonencode([for provider in aws_iam_openid_connect_provider.github : [provider.url, provider.client_id_list]]) == jsonencode([["https://token.actions.githubusercontent.com", ["sts.amazonaws.com"]]])
    error_message = "It belongs to the account, and goes with no environment."
  }
}

run "an_existing_oidc_provider" {
  command = plan

  variables {
    create_github_oidc_provider = false
  }

  assert {
    condition     = length(aws_iam_openid_connect_provider.github) == 0
    error_message = "There can be but one."
  }
}
