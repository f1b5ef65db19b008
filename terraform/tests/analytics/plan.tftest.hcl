# The tables and queries of a description with every kind of field, for tests/terraform/test_analytics.py:
#   terraform test -test-directory=tests/analytics -var-file=environments/prod.tfvars -json -verbose
mock_provider "aws" {
  source          = "./testing/mocks"
  override_during = plan
}

# Two of a kind that the policy tells apart.
override_resource {
  target          = module.messages.aws_s3_bucket.this
  override_during = plan
  values          = { arn = "arn:aws:s3:::messages-bucket", id = "messages-bucket" }
}

override_resource {
  target          = module.analytics[0].module.results.aws_s3_bucket.this
  override_during = plan
  values          = { arn = "arn:aws:s3:::queries-bucket", id = "queries-bucket" }
}

override_resource {
  target          = module.analytics[0].aws_athena_workgroup.this
  override_during = plan
  values          = { arn = "arn:aws:athena:us-east-1:123456789012:workgroup/cpsite-prod", id = "cpsite-prod" }
}

variables {
  enable_analytics = true
  contract_file    = "modules/analytics/tests/contracts/every_kind.json"
}

run "plan" {
  command = plan
}
