mock_provider "aws" {
  source          = "../../testing/mocks"
  override_during = plan
}

override_resource {
  target          = aws_sqs_queue.dead_letters
  override_during = plan
  values = {
    arn = "arn:aws:sqs:us-east-1:123456789012:mock-dlq"
    id  = "https://sqs.us-east-1.amazonaws.com/123456789012/mock-dlq"
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/mock-dlq"
  }
}

variables {
  name = "cpsite-test-messages"
}

run "redrive" {
  command = plan

  assert {
    condition = aws_sqs_queue_redrive_policy.messages.redrive_policy == jsonencode({
      deadLetterTargetArn = "arn:aws:sqs:us-east-1:123456789012:mock-dlq"
      maxReceiveCount     = 5
    })
    error_message = "After five deliveries a message goes to the dead-letter queue."
  }

  assert {
    condition     = aws_sqs_queue_redrive_policy.messages.queue_url == aws_sqs_queue.messages.id
    error_message = "The policy is the queue's."
  }

  assert {
    condition = aws_sqs_queue_redrive_allow_policy.dead_letters.redrive_allow_policy == jsonencode({
      redrivePermission = "byQueue"
      sourceQueueArns   = ["arn:aws:sqs:us-east-1:123456789012:mock"]
    })
    error_message = "No other queue may use the dead-letter queue."
  }

  assert {
    condition     = aws_sqs_queue_redrive_allow_policy.dead_letters.queue_url == aws_sqs_queue.dead_letters.id
    error_message = "The allow policy is the dead-letter queue's."
  }
}

run "queues" {
  command = plan

  assert {
    condition     = aws_sqs_queue.messages.name == "cpsite-test-messages" && aws_sqs_queue.dead_letters.name == "cpsite-test-messages-dlq"
    error_message = "Names."
  }

  assert {
    condition     = aws_sqs_queue.messages.visibility_timeout_seconds == 120 && aws_sqs_queue.messages.receive_wait_time_seconds == 20
    error_message = "Visibility of 120 s, and long polls."
  }

  assert {
    condition     = aws_sqs_queue.messages.sqs_managed_sse_enabled && aws_sqs_queue.dead_letters.sqs_managed_sse_enabled
    error_message = "Both are encrypted."
  }

  assert {
    condition     = aws_sqs_queue.messages.message_retention_seconds == 1209600 && aws_sqs_queue.dead_letters.message_retention_seconds == 1209600
    error_message = "Both keep messages for 14 days."
  }

  assert {
    condition     = aws_sqs_queue.messages.max_message_size == 1048576 && aws_sqs_queue.dead_letters.max_message_size == 1048576
    error_message = "What the validator accepts fits."
  }
}

run "tls_only" {
  command = plan

  assert {
    condition = alltrue([for document in values(data.aws_iam_policy_document.tls_only) : jsonencode({
      effect    = document.statement[0].effect
      actions   = document.statement[0].actions
      principal = tolist(document.statement[0].principals)[0].identifiers
      condition = tolist(document.statement[0].condition)[0]
      }) == jsonencode({
      effect    = "Deny"
      actions   = ["sqs:*"]
      principal = ["*"]
      condition = { test = "Bool", values = ["false"], variable = "aws:SecureTransport" }
    })])
    error_message = "Both queues refuse what is not encrypted."
  }

  assert {
    condition     = jsonencode([for key, document in data.aws_iam_policy_document.tls_only : document.statement[0].resources]) == jsonencode([["arn:aws:sqs:us-east-1:123456789012:mock-dlq"], ["arn:aws:sqs:us-east-1:123456789012:mock"]])
    error_message = "Each policy is about its own queue."
  }
}

run "short_visibility_is_refused" {
  command = plan

  variables {
    visibility_timeout_seconds = 10
  }

  expect_failures = [var.visibility_timeout_seconds]
}

run "two_deliveries_are_refused" {
  command = plan

  variables {
    max_receive_count = 2
  }

  expect_failures = [var.max_receive_count]
}

run "fifo_name_is_refused" {
  command = plan

  variables {
    name = "messages.fifo"
  }

  expect_failures = [var.name]
}

run "short_retention_is_refused" {
  command = plan

  variables {
    retention_seconds = 3600
  }

  expect_failures = [var.retention_seconds]
}
