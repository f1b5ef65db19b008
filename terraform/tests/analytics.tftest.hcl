# Queries of the messages: none unless they are asked for.
mock_provider "aws" {
  source          = "./testing/mocks"
  override_during = plan
}

override_resource {
  target          = module.messages.aws_s3_bucket.this
  override_during = plan
  values          = { arn = "arn:aws:s3:::messages", id = "messages" }
}

variables {
  environment      = "test"
  operator_cidrs   = ["203.0.113.0/24"]
  allow_plain_http = true
}

run "off" {
  command = plan

  assert {
    condition     = length(module.analytics) == 0 && output.analytics_database == null && output.analytics_workgroup == null && output.analyst_policy_arn == null && output.analytics_view_queries == {}
    error_message = "It is off by default."
  }
}

run "on" {
  command = plan

  variables {
    enable_analytics = true
    s3_prefix        = "lake/in/"
  }

  assert {
    condition     = output.analytics_database == "cpsite_test" && output.analytics_workgroup == "cpsite-test"
    error_message = "Names are those of the environment."
  }

  assert {
    condition     = length(output.analytics_view_queries) == length(jsondecode(file("contract.json")).contracts)
    error_message = "A view for each contract of contract.json."
  }
}

run "a_description_of_ones_own" {
  command = plan

  variables {
    enable_analytics = true
    contract_file    = "modules/analytics/tests/contracts/every_kind.json"
  }

  assert {
    condition     = jsonencode(keys(output.analytics_view_queries)) == jsonencode(["messages", "order"])
    error_message = "The file of the adopter's."
  }
}
