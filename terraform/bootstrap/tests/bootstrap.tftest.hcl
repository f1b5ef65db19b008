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
