mock_provider "aws" {
  source          = "../../testing/mocks"
  override_during = plan
}

variables {
  name = "cpsite-test"
}

run "public_by_default" {
  command = plan

  assert {
    condition     = length(aws_subnet.public) == 2 && length(aws_subnet.private) == 2
    error_message = "Two zones have two subnets of each kind."
  }

  assert {
    condition     = distinct(aws_subnet.public[*].availability_zone) == tolist(["us-east-1a", "us-east-1b"])
    error_message = "Each public subnet is in a zone of its own."
  }

  assert {
    condition     = length(distinct(concat(aws_subnet.public[*].cidr_block, aws_subnet.private[*].cidr_block))) == 4
    error_message = "Subnets do not overlap."
  }

  assert {
    condition     = !anytrue(aws_subnet.public[*].map_public_ip_on_launch)
    error_message = "Nothing has a public address without asking for it."
  }

  assert {
    condition     = aws_route.internet.destination_cidr_block == "0.0.0.0/0" && length(aws_route_table_association.private) == 2
    error_message = "Public subnets have a way to the internet; private ones have a table of their own."
  }

  assert {
    condition     = length(aws_vpc_endpoint.interface) == 0 && length(aws_vpc_endpoint.s3) == 0 && length(aws_flow_log.this) == 0
    error_message = "Endpoints and flow logs cost money, and are asked for."
  }

  assert {
    condition     = output.endpoints_security_group_id == null && output.s3_prefix_list_id == null
    error_message = "Without endpoints there is nothing to name."
  }
}

run "default_security_group_is_closed" {
  command = plan

  assert {
    condition     = aws_default_security_group.closed.vpc_id == aws_vpc.this.id
    error_message = "The default security group is taken over."
  }

  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "The default security group has no rules."
  }
}

run "private_tasks_reach_aws" {
  command = plan

  variables {
    availability_zone_count = 3
    enable_endpoints        = true
    enable_flow_logs        = true
  }

  assert {
    condition     = jsonencode(sort(keys(aws_vpc_endpoint.interface))) == jsonencode(["ec2", "ecr.api", "ecr.dkr", "ecs", "logs", "sns", "sqs", "ssm"])
    error_message = "Tasks call these services."
  }

  assert {
    condition     = aws_vpc_endpoint.interface["sqs"].service_name == "com.amazonaws.us-east-1.sqs" && aws_vpc_endpoint.interface["sqs"].private_dns_enabled
    error_message = "Endpoints take the service's own name."
  }

  assert {
    condition     = aws_vpc_endpoint.s3[0].vpc_endpoint_type == "Gateway" && length(aws_vpc_endpoint.s3[0].route_table_ids) == 1
    error_message = "S3 has a gateway, which is free."
  }

  assert {
    condition     = jsonencode(tolist(data.aws_iam_policy_document.flow_logs_trust.statement[0].condition)[0].values) == jsonencode(["123456789012"])
    error_message = "Only this account's flow logs may write."
  }

  assert {
    condition     = jsonencode(data.aws_iam_policy_document.flow_logs[0].statement[0].resources) == jsonencode(["arn:aws:logs:us-east-1:123456789012:log-group:mock:*"])
    error_message = "Flow logs write to their own group."
  }

  assert {
    condition     = jsonencode(sort(flatten(data.aws_iam_policy_document.flow_logs[0].statement[*].actions))) == jsonencode(["logs:CreateLogStream", "logs:DescribeLogGroups", "logs:DescribeLogStreams", "logs:PutLogEvents"])
    error_message = "What AWS asks for, but for making groups."
  }
}

run "execute_command_needs_an_endpoint" {
  command = plan

  variables {
    enable_endpoints       = true
    enable_execute_command = true
  }

  assert {
    condition     = contains(keys(aws_vpc_endpoint.interface), "ssmmessages")
    error_message = "ECS Exec talks to ssmmessages."
  }
}

run "remote_write_needs_an_endpoint" {
  command = plan

  variables {
    enable_endpoints    = true
    enable_remote_write = true
  }

  assert {
    condition     = contains(keys(aws_vpc_endpoint.interface), "aps-workspaces")
    error_message = "Prometheus writes to aps-workspaces."
  }
}

run "more_zones_than_there_are" {
  command = plan

  variables {
    availability_zone_count = 3
  }

  override_data {
    target = data.aws_availability_zones.available
    values = { names = ["us-west-1a", "us-west-1c"] }
  }

  expect_failures = [aws_vpc.this]
}

run "one_zone_is_refused" {
  command = plan

  variables {
    availability_zone_count = 1
  }

  expect_failures = [var.availability_zone_count]
}

run "small_range_is_refused" {
  command = plan

  variables {
    cidr_block = "10.0.0.0/24"
  }

  expect_failures = [var.cidr_block]
}
