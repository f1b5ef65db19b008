# What the services may do: docs/operations.md, Permissions.
mock_provider "aws" {
  source          = "./testing/mocks"
  override_during = plan
}

override_resource {
  target          = module.queue.aws_sqs_queue.messages
  override_during = plan
  values = {
    arn = "arn:aws:sqs:us-east-1:123456789012:messages"
    id  = "https://sqs.us-east-1.amazonaws.com/123456789012/messages"
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/messages"
  }
}

override_resource {
  target          = module.queue.aws_sqs_queue.dead_letters
  override_during = plan
  values = {
    arn = "arn:aws:sqs:us-east-1:123456789012:messages-dlq"
    id  = "https://sqs.us-east-1.amazonaws.com/123456789012/messages-dlq"
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/messages-dlq"
  }
}

override_resource {
  target          = module.messages.aws_s3_bucket.this
  override_during = plan
  values = {
    arn = "arn:aws:s3:::messages"
    id  = "messages"
  }
}

override_resource {
  target          = module.secrets.aws_kms_key.this
  override_during = plan
  values = {
    arn = "arn:aws:kms:us-east-1:123456789012:key/secrets"
  }
}

variables {
  environment      = "test"
  operator_cidrs   = ["203.0.113.0/24"]
  allow_plain_http = true
}

run "validator" {
  command = plan

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.validator.statement : statement.sid => [sort(statement.actions), sort(statement.resources)] }) == jsonencode({
      SendMessages  = [["sqs:GetQueueAttributes", "sqs:SendMessage"], ["arn:aws:sqs:us-east-1:123456789012:messages"]]
      ReadTokens    = [["ssm:GetParameter"], ["arn:aws:ssm:us-east-1:123456789012:parameter/cpsite-test/api-tokens"]]
      DecryptTokens = [["kms:Decrypt"], ["arn:aws:kms:us-east-1:123456789012:key/secrets"]]
    })
    error_message = "The validator's permissions."
  }

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.validator.statement : statement.sid => tolist(statement.condition)[0] if length(statement.condition) > 0 }) == jsonencode({
      DecryptTokens = { test = "StringEquals", values = ["ssm.us-east-1.amazonaws.com"], variable = "kms:ViaService" }
    })
    error_message = "It decrypts what SSM holds."
  }

  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.validator.statement : coalesce(statement.effect, "Allow") == "Allow" && statement.not_actions == null && statement.not_resources == null])
    error_message = "Nothing is allowed by exception."
  }
}

run "admin" {
  command = plan

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.admin.statement : statement.sid => [sort(statement.actions), sort(statement.resources)] }) == jsonencode({
      TakeDeadLetters = [["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"], ["arn:aws:sqs:us-east-1:123456789012:messages-dlq"]]
      RedriveThem     = [["sqs:SendMessage"], ["arn:aws:sqs:us-east-1:123456789012:messages"]]
      ReadMessages    = [["s3:GetObject"], ["arn:aws:s3:::messages/messages/*"]]
    })
    error_message = "The admin's permissions: what operators read and send back, and no tokens."
  }

  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.admin.statement : coalesce(statement.effect, "Allow") == "Allow" && statement.not_actions == null && statement.not_resources == null])
    error_message = "Nothing is allowed by exception."
  }
}

run "uploader" {
  command = plan

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.uploader.statement : statement.sid => [sort(statement.actions), sort(statement.resources)] }) == jsonencode({
      TakeMessages     = [["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"], ["arn:aws:sqs:us-east-1:123456789012:messages"]]
      CountDeadLetters = [["sqs:GetQueueAttributes"], ["arn:aws:sqs:us-east-1:123456789012:messages-dlq"]]
      StoreMessages    = [["s3:PutObject"], ["arn:aws:s3:::messages/messages/*"]]
    })
    error_message = "The uploader's permissions."
  }

  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.uploader.statement : coalesce(statement.effect, "Allow") == "Allow" && statement.not_actions == null && statement.not_resources == null])
    error_message = "Nothing is allowed by exception."
  }
}

run "another_prefix" {
  command = plan

  variables {
    s3_prefix = "lake/in/"
  }

  assert {
    condition     = jsonencode([for statement in concat(data.aws_iam_policy_document.uploader.statement, data.aws_iam_policy_document.admin.statement) : statement.resources if contains(["StoreMessages", "ReadMessages"], statement.sid)]) == jsonencode([["arn:aws:s3:::messages/lake/in/*"], ["arn:aws:s3:::messages/lake/in/*"]])
    error_message = "The permission follows the prefix."
  }
}

run "a_token_parameter_of_ones_own" {
  command = plan

  variables {
    existing_parameters = { api_tokens = "/team/tokens" }
    existing_key_arns   = ["arn:aws:kms:us-east-1:123456789012:key/team"]
  }

  assert {
    condition     = jsonencode([for statement in data.aws_iam_policy_document.validator.statement : sort(statement.resources) if contains(["ReadTokens", "DecryptTokens"], statement.sid)]) == jsonencode([["arn:aws:ssm:us-east-1:123456789012:parameter/team/tokens"], ["arn:aws:kms:us-east-1:123456789012:key/secrets", "arn:aws:kms:us-east-1:123456789012:key/team"]])
    error_message = "The permission follows the parameter."
  }

  assert {
    condition     = strcontains(output.api_token_command, "--name /team/tokens ")
    error_message = "So does the command."
  }
}
