# The state of prod with the ARNs that AWS would give, for tests/terraform/test_iam.py: the mocks of
# the other tests give one ARN to both queues, and to all buckets.
#   terraform test -test-directory=tests/iam -var-file=environments/prod.tfvars -json -verbose
mock_provider "aws" {
  source = "./testing/mocks"
}

variables {
  github_repository = "octo/cpsite"
}

override_resource {
  target = module.queue.aws_sqs_queue.messages
  values = { arn = "arn:aws:sqs:us-east-1:123456789012:cpsite-prod-messages" }
}

override_resource {
  target = module.queue.aws_sqs_queue.dead_letters
  values = { arn = "arn:aws:sqs:us-east-1:123456789012:cpsite-prod-messages-dlq" }
}

override_resource {
  target = module.messages.aws_s3_bucket.this
  values = { arn = "arn:aws:s3:::cpsite-prod-messages-123456789012" }
}

override_resource {
  target = module.secrets.aws_kms_key.this
  values = { arn = "arn:aws:kms:us-east-1:123456789012:key/6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c11" }
}

run "apply" {
  command = apply
}
