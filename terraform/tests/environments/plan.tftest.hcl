# The whole plan of an environment, for tests/terraform and check.sh to read:
#   terraform test -test-directory=tests/environments -var-file=environments/dev.tfvars -json -verbose
mock_provider "aws" {
  source          = "./testing/mocks"
  override_during = plan
}

# Two of a kind that the contract tells apart.
override_resource {
  target          = module.queue.aws_sqs_queue.dead_letters
  override_during = plan
  values = {
    arn = "arn:aws:sqs:us-east-1:123456789012:mock-dlq"
    id  = "https://sqs.us-east-1.amazonaws.com/123456789012/mock-dlq"
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/mock-dlq"
  }
}

variables {
  github_repository = "octo/cpsite"
}

run "plan" {
  command = plan
}
