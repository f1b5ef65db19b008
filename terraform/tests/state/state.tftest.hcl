# What would stand in the state of an environment, for tests/terraform to read:
#   terraform test -test-directory=tests/state -var-file=environments/dev.tfvars -json -verbose
mock_provider "aws" {
  source = "./testing/mocks"
}

variables {
  github_repository = "octo/cpsite"
}

run "apply" {
  command = apply
}
