# What is known after an apply alone: the name of the last snapshot.
mock_provider "aws" {
  source = "../../testing/mocks"
}

variables {
  name       = "cpsite-test"
  vpc_id     = "vpc-mock"
  subnet_ids = ["subnet-a", "subnet-b"]
  key_arn    = "arn:aws:kms:us-east-1:123456789012:key/mock"
}

run "a_snapshot_before_the_end" {
  command = apply

  variables {
    enable_deletion_protection = false
  }

  assert {
    condition     = !aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && startswith(aws_db_instance.this.final_snapshot_identifier, "cpsite-test-final-") && length(aws_db_instance.this.final_snapshot_identifier) > length("cpsite-test-final-")
    error_message = "What may be deleted leaves a snapshot all the same, with a name that no earlier one has."
  }
}
