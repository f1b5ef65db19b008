mock_provider "aws" {
  source          = "../../testing/mocks"
  override_during = plan
}

variables {
  name = "cpsite-test"
}

run "two_repositories" {
  command = plan

  assert {
    condition     = jsonencode([for repository in aws_ecr_repository.this : repository.name]) == jsonencode(["cpsite-test/uploader", "cpsite-test/validator"])
    error_message = "One for each service."
  }

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE" && repository.image_scanning_configuration[0].scan_on_push && !repository.force_delete])
    error_message = "A tag stays what it is, images are scanned, and not deleted."
  }

  assert {
    condition     = jsonencode(jsondecode(aws_ecr_lifecycle_policy.this["validator"].policy).rules[1].selection) == jsonencode({ countNumber = 30, countType = "imageCountMoreThan", tagPatternList = ["*"], tagStatus = "tagged" })
    error_message = "The newest 30 commits stay, however many manifests each has."
  }
}

run "few_images_are_refused" {
  command = plan

  variables {
    kept_images = 4
  }

  expect_failures = [var.kept_images]
}
