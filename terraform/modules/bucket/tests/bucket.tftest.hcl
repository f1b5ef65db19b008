mock_provider "aws" {
  source          = "../../testing/mocks"
  override_during = plan
}

variables {
  bucket_name = "cpsite-test-messages-123456789012"
}

run "private_encrypted_versioned" {
  command = plan

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "Nothing in it is public."
  }

  assert {
    condition     = aws_s3_bucket_ownership_controls.this.rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "There are no ACLs."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled && one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    error_message = "Encrypted by KMS, with a bucket key."
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "Versioned."
  }

  assert {
    condition     = !aws_s3_bucket.this.force_destroy
    error_message = "It is not deleted with what is in it."
  }
}

run "tls_only" {
  command = plan

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.this.statement : {
      effect    = statement.effect
      actions   = statement.actions
      resources = sort(statement.resources)
      condition = tolist(statement.condition)[0]
      }]) == jsonencode([{
      effect    = "Deny"
      actions   = ["s3:*"]
      resources = ["arn:aws:s3:::mock", "arn:aws:s3:::mock/*"]
      condition = { test = "Bool", values = ["false"], variable = "aws:SecureTransport" }
    }])
    error_message = "Refuses what is not encrypted on its way."
  }
}

run "lifecycle" {
  command = plan

  assert {
    condition     = jsonencode(aws_s3_bucket_lifecycle_configuration.this.rule[*].id) == jsonencode(["clean-up"])
    error_message = "Objects stay, by default."
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this.rule[0].abort_incomplete_multipart_upload[0].days_after_initiation == 7
    error_message = "Incomplete uploads end."
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this.rule[0].noncurrent_version_expiration[0].noncurrent_days == 30
    error_message = "Old versions end."
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this.rule[0].expiration[0].expired_object_delete_marker
    error_message = "Nothing remains of a deleted object."
  }
}

run "archive_and_expiry" {
  command = plan

  variables {
    archive_after_days = 90
    expire_after_days  = 400
    force_destroy      = true
    encryption         = "AES256"
  }

  assert {
    condition     = jsonencode(aws_s3_bucket_lifecycle_configuration.this.rule[*].id) == jsonencode(["clean-up", "archive", "expire"])
    error_message = "Rules."
  }

  assert {
    condition     = tolist(aws_s3_bucket_lifecycle_configuration.this.rule[1].transition)[0].storage_class == "GLACIER_IR" && tolist(aws_s3_bucket_lifecycle_configuration.this.rule[1].transition)[0].days == 90
    error_message = "Archive."
  }

  assert {
    condition     = aws_s3_bucket.this.force_destroy && !one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled
    error_message = "A log bucket may be deleted, and has no KMS key."
  }
}

run "bad_name_is_refused" {
  command = plan

  variables {
    bucket_name = "Not_A_Bucket"
  }

  expect_failures = [var.bucket_name]
}

run "unknown_encryption_is_refused" {
  command = plan

  variables {
    encryption = "none"
  }

  expect_failures = [var.encryption]
}

run "days_below_one_are_refused" {
  command = plan

  variables {
    archive_after_days      = 0
    expire_after_days       = 0
    noncurrent_version_days = 0
  }

  expect_failures = [var.archive_after_days, var.expire_after_days, var.noncurrent_version_days]
}
