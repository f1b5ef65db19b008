mock_provider "aws" {
  source          = "../../testing/mocks"
  override_during = plan
}

variables {
  name = "cpsite-test"
}

run "three_parameters" {
  command = plan

  assert {
    condition = jsonencode(output.parameter_names) == jsonencode({
      api_tokens             = "/cpsite-test/api-tokens"
      django_secret_key      = "/cpsite-test/django-secret-key"
      grafana_admin_password = "/cpsite-test/grafana-admin-password"
    })
    error_message = "Names."
  }

  assert {
    condition     = output.parameter_arns["api_tokens"] == "arn:aws:ssm:us-east-1:123456789012:parameter/cpsite-test/api-tokens"
    error_message = "ARNs."
  }

  assert {
    condition     = alltrue([for parameter in aws_ssm_parameter.this : parameter.type == "SecureString" && parameter.key_id == "arn:aws:kms:us-east-1:123456789012:key/mock"])
    error_message = "Encrypted with a key of their own."
  }

  assert {
    condition     = alltrue([for parameter in aws_ssm_parameter.this : parameter.value_wo == null && parameter.value_wo_version == 1])
    error_message = "No value is in the plan."
  }
}

run "a_version_rotates_one" {
  command = plan

  variables {
    api_tokens_version = 2
  }

  assert {
    condition     = jsonencode([for parameter in aws_ssm_parameter.this : parameter.value_wo_version]) == jsonencode([2, 1, 1])
    error_message = "The token alone is written anew."
  }
}

run "a_parameter_of_ones_own" {
  command = plan

  variables {
    existing_parameters = { api_tokens = "/team/tokens" }
    existing_key_arns   = ["arn:aws:kms:us-east-1:123456789012:key/team"]
  }

  assert {
    condition     = jsonencode(keys(aws_ssm_parameter.this)) == jsonencode(["django_secret_key", "grafana_admin_password"])
    error_message = "It is not created."
  }

  assert {
    condition     = output.parameter_names["api_tokens"] == "/team/tokens" && output.parameter_arns["api_tokens"] == "arn:aws:ssm:us-east-1:123456789012:parameter/team/tokens"
    error_message = "It is used."
  }

  assert {
    condition     = jsonencode(output.key_arns) == jsonencode(["arn:aws:kms:us-east-1:123456789012:key/mock", "arn:aws:kms:us-east-1:123456789012:key/team"])
    error_message = "Its key may be used."
  }
}

run "key" {
  command = plan

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "The key rotates."
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.key.statement : tolist(statement.principals)[0].identifiers]) == jsonencode([
      ["arn:aws:iam::123456789012:root"],
      ["cloudwatch.amazonaws.com"],
      ["events.amazonaws.com"],
    ])
    error_message = "The account, and alarms and events that go to the encrypted topic."
  }
}

run "a_name_that_is_no_path_is_refused" {
  command = plan

  variables {
    existing_parameters = { api_tokens = "tokens" }
  }

  expect_failures = [var.existing_parameters]
}

run "an_alias_is_refused" {
  command = plan

  variables {
    existing_key_arns = ["arn:aws:kms:us-east-1:123456789012:alias/team"]
  }

  expect_failures = [var.existing_key_arns]
}

run "version_zero_is_refused" {
  command = plan

  variables {
    api_tokens_version             = 0
    django_secret_key_version      = 0.5
    grafana_admin_password_version = -1
  }

  expect_failures = [var.api_tokens_version, var.django_secret_key_version, var.grafana_admin_password_version]
}
