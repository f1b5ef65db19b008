# Values that are refused before anything is asked of AWS.
mock_provider "aws" {
  source          = "./testing/mocks"
  override_during = plan
}

variables {
  environment      = "test"
  operator_cidrs   = ["203.0.113.0/24"]
  allow_plain_http = true
}

run "environment" {
  command = plan

  variables {
    environment = "Production!"
  }

  expect_failures = [var.environment]
}

run "project" {
  command = plan

  variables {
    project = "a-very-long-project"
  }

  expect_failures = [var.project]
}

run "region" {
  command = plan

  variables {
    region = "mars"
  }

  expect_failures = [var.region]
}

run "log_retention" {
  command = plan

  variables {
    log_retention_days = 2
  }

  expect_failures = [var.log_retention_days]
}

run "log_level" {
  command = plan

  variables {
    log_level = "LOUD"
  }

  expect_failures = [var.log_level]
}

run "audit_events" {
  command = plan

  variables {
    audit_events = "some"
  }

  expect_failures = [var.audit_events]
}

run "architecture" {
  command = plan

  variables {
    cpu_architecture = "MIPS"
  }

  expect_failures = [var.cpu_architecture]
}

run "no_operators" {
  command = plan

  variables {
    operator_cidrs = []
  }

  expect_failures = [var.operator_cidrs]
}

run "domain" {
  command = plan

  variables {
    domain_name = "https://example.com/"
  }

  expect_failures = [var.domain_name]
}

run "monitoring_domain" {
  command = plan

  variables {
    monitoring_domain_name = "a/b"
  }

  expect_failures = [var.monitoring_domain_name]
}

run "no_certificate" {
  command = plan

  variables {
    allow_plain_http = false
  }

  expect_failures = [var.certificate_arn]
}

run "a_certificate_without_names" {
  command = plan

  variables {
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/mock"
    domain_name     = "messages.example.com"
  }

  expect_failures = [var.certificate_arn]
}

run "prefix_without_slash" {
  command = plan

  variables {
    s3_prefix = "messages"
  }

  expect_failures = [var.s3_prefix]
}

run "sleeping_validator" {
  command = plan

  variables {
    validator = { min_tasks = 0 }
  }

  expect_failures = [var.validator]
}

run "a_size_that_fargate_does_not_offer" {
  command = plan

  variables {
    validator = { cpu = 256, memory_mib = 4096 }
    uploader  = { cpu = 300 }
  }

  expect_failures = [var.validator, var.uploader]
}

run "more_connections_than_the_memory_takes" {
  command = plan

  variables {
    validator = { cpu = 256, memory_mib = 512, connections = 2048 }
  }

  expect_failures = [var.validator]
}

run "layout" {
  command = plan

  variables {
    uploader = { layout = "zip" }
  }

  expect_failures = [var.uploader]
}

run "latest" {
  command = plan

  variables {
    initial_image_tag = "latest"
  }

  expect_failures = [var.initial_image_tag]
}
