mock_provider "aws" {
  source          = "../../testing/mocks"
  override_during = plan
}

variables {
  name                        = "cpsite-test"
  vpc_id                      = "vpc-mock"
  subnet_ids                  = ["subnet-a", "subnet-b"]
  assign_public_ip            = true
  cluster_name                = "cpsite-test"
  prometheus_target_group_arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/prometheus/1"
  grafana_target_group_arn    = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/grafana/1"
  prometheus_url              = "https://prometheus.example.com/"
  grafana_url                 = "https://messages.example.com/grafana/"
  grafana_admin_password_arn  = "arn:aws:ssm:us-east-1:123456789012:parameter/cpsite-test/grafana-admin-password"
  key_arns                    = ["arn:aws:kms:us-east-1:123456789012:key/mock"]
  topic_arn                   = "arn:aws:sns:us-east-1:123456789012:alarms"
  config_bucket_name          = "config"
  config_bucket_arn           = "arn:aws:s3:::config"
  validator_metrics_port      = 9100
  uploader_metrics_port       = 9101
}

run "scrapes_all_tasks" {
  command = plan

  assert {
    condition = jsonencode([for job in yamldecode(aws_s3_object.config["prometheus/prometheus.yml"].content).scrape_configs : [job.job_name, job.aws_sd_configs, job.relabel_configs] if can(job.aws_sd_configs)]) == jsonencode([
      for service in ["validator", "uploader", "admin"] : [
        service,
        [{ clusters = ["arn:aws:ecs:us-east-1:123456789012:cluster/cpsite-test"], port = { validator = 9100, admin = 9100, uploader = 9101 }[service], refresh_interval = "30s", region = "us-east-1", role = "ecs" }],
        [{ action = "keep", regex = "cpsite-test-${service};RUNNING", source_labels = ["__meta_ecs_service", "__meta_ecs_last_status"] }],
      ]
    ])
    error_message = "Prometheus asks ECS for the tasks."
  }

  assert {
    condition     = !anytrue([for job in yamldecode(aws_s3_object.config["prometheus/prometheus.yml"].content).scrape_configs : can(job.dns_sd_configs)]) && length(yamldecode(aws_s3_object.config["prometheus/prometheus.yml"].content).rule_files) == 1
    error_message = "DNS names eight of them at most. The rest of the file is as it was."
  }

  assert {
    condition = jsonencode({ for statement in data.aws_iam_policy_document.discover_tasks.statement : statement.sid => [sort(statement.actions), sort(statement.resources), [for condition in statement.condition : condition.values]] }) == jsonencode({
      FindTasks       = [["ecs:DescribeServices", "ecs:DescribeTasks", "ecs:ListServices", "ecs:ListTasks"], ["*"], [["arn:aws:ecs:us-east-1:123456789012:cluster/cpsite-test"]]]
      DescribeCluster = [["ecs:DescribeClusters"], ["arn:aws:ecs:us-east-1:123456789012:cluster/cpsite-test", "arn:aws:ecs:us-east-1:123456789012:cluster/default"], []]
      FindAddresses   = [["ec2:DescribeNetworkInterfaces"], ["*"], []]
    })
    error_message = "It may read this cluster's tasks."
  }

  assert {
    condition     = aws_service_discovery_private_dns_namespace.this.name == output.namespace_name
    error_message = "The namespace has that name."
  }

  assert {
    condition     = aws_s3_object.config["prometheus/alerts.yml"].content == file("files/alerts.yml")
    error_message = "Alerts are delivered as they were tested."
  }

  assert {
    condition     = jsonencode(yamldecode(aws_s3_object.config["prometheus/alertmanager.yml"].content).receivers[0].sns_configs[0].topic_arn) == jsonencode("arn:aws:sns:us-east-1:123456789012:alarms")
    error_message = "Alerts go to the topic."
  }

  assert {
    condition     = yamldecode(aws_s3_object.config["grafana/provisioning/datasources/prometheus.yml"].content).datasources[0].url == "http://prometheus.cpsite-test.internal:9090"
    error_message = "Grafana finds Prometheus."
  }
}

run "grafana_has_time_to_start" {
  command = plan

  assert {
    condition     = one([for container in jsondecode(output.container_definitions.grafana) : container.healthCheck.startPeriod if container.name == "grafana"]) == 180
    error_message = "On a quarter of a vCPU it takes longer than the usual half a minute."
  }
}

run "alerts_name_runbooks_by_path" {
  command = plan

  assert {
    condition     = strcontains(yamldecode(aws_s3_object.config["prometheus/alertmanager.yml"].content).receivers[0].sns_configs[0].message, "\nRunbook: {{ .Annotations.runbook }}\nDashboard: https://messages.example.com/grafana{{ .Annotations.dashboard }}\n")
    error_message = "Without a URL of the repository there is no link to it."
  }

  assert {
    condition     = alltrue([for name in fileset("files/dashboards", "*.json") : aws_s3_object.config["grafana/dashboards/${name}"].content == file("files/dashboards/${name}")])
    error_message = "Dashboards are delivered as they were tested."
  }

  assert {
    condition     = !can(yamldecode(aws_s3_object.config["prometheus/prometheus.yml"].content).remote_write)
    error_message = "Metrics stay here."
  }
}

run "alerts_link_to_runbooks" {
  command = plan

  variables {
    repository_url = "https://github.com/octo/cpsite/blob/main"
  }

  assert {
    condition     = strcontains(yamldecode(aws_s3_object.config["prometheus/alertmanager.yml"].content).receivers[0].sns_configs[0].message, "\nRunbook: https://github.com/octo/cpsite/blob/main/{{ .Annotations.runbook }}\n")
    error_message = "With one there is."
  }

  assert {
    condition     = alltrue([for name in fileset("files/dashboards", "*.json") : jsondecode(aws_s3_object.config["grafana/dashboards/${name}"].content).templating.list[0].query == "https://github.com/octo/cpsite/blob/main/"])
    error_message = "Panels lead there, too."
  }
}

run "metrics_go_to_amazon_managed_prometheus" {
  command = plan

  variables {
    remote_write_url = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c11/api/v1/remote_write"
  }

  assert {
    condition = jsonencode(yamldecode(aws_s3_object.config["prometheus/prometheus.yml"].content).remote_write) == jsonencode([{
      sigv4 = { region = "eu-west-1" }
      url   = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c11/api/v1/remote_write"
    }])
    error_message = "To that workspace."
  }

  assert {
    condition     = length(yamldecode(aws_s3_object.config["prometheus/prometheus.yml"].content).scrape_configs) == 5
    error_message = "It scrapes as ever."
  }

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.remote_write[0].statement : [statement.actions, statement.resources]]) == jsonencode([
      [["aps:RemoteWrite"], ["arn:aws:aps:eu-west-1:123456789012:workspace/ws-6b1f1d5e-46d5-4c7c-9e5e-0d3f8f4f7c11"]],
    ])
    error_message = "It may write to that workspace alone."
  }
}

run "a_prometheus_that_cannot_ask_ecs_is_refused" {
  command = plan

  variables {
    images = { prometheus = "quay.io/prometheus/prometheus:v3.5.0" }
  }

  expect_failures = [var.images]
}

run "other_remote_writes_are_refused" {
  command = plan

  variables {
    remote_write_url = "https://metrics.example.com/api/v1/write"
  }

  expect_failures = [var.remote_write_url]
}

run "wrong_repository_urls_are_refused" {
  command = plan

  variables {
    repository_url = "octo/cpsite"
  }

  expect_failures = [var.repository_url]
}

run "storage_is_bounded" {
  command = plan

  assert {
    condition     = length(setintersection(toset(one([for container in jsondecode(output.container_definitions.prometheus) : container.command if container.name == "prometheus"])), toset(["--storage.tsdb.retention.time=15d", "--storage.tsdb.retention.size=10GB"]))) == 2
    error_message = "By days and by bytes."
  }
}

run "containers" {
  command = plan

  assert {
    condition = jsonencode({ for service, containers in output.container_definitions : service => { for container in jsondecode(containers) : container.name => container.user } }) == jsonencode({
      grafana    = { grafana = "472", init = "0" }
      prometheus = { alertmanager = "65534:65534", init = "0", prometheus = "65534:65534" }
    })
    error_message = "Nothing but what ends before the others is root."
  }

  assert {
    condition     = alltrue(flatten([for containers in output.container_definitions : [for container in jsondecode(containers) : container.readonlyRootFilesystem && try(container.dependsOn[0].condition == "SUCCESS", container.name == "init")]]))
    error_message = "Root filesystems are read-only; the configuration comes first."
  }

  assert {
    condition = jsonencode([for containers in output.container_definitions : flatten([for container in jsondecode(containers) : container.secrets])]) == jsonencode([
      [{ name = "GF_SECURITY_ADMIN_PASSWORD", valueFrom = "arn:aws:ssm:us-east-1:123456789012:parameter/cpsite-test/grafana-admin-password" }],
      [],
    ])
    error_message = "Grafana's password comes from its parameter."
  }
}

run "permissions" {
  command = plan

  assert {
    condition = jsonencode([for statement in data.aws_iam_policy_document.publish_alerts.statement : [sort(statement.actions), statement.resources]]) == jsonencode([
      [["sns:Publish"], ["arn:aws:sns:us-east-1:123456789012:alarms"]],
      [["kms:Decrypt", "kms:GenerateDataKey"], ["arn:aws:kms:us-east-1:123456789012:key/mock"]],
    ])
    error_message = "Alertmanager publishes to one topic."
  }

  assert {
    condition = jsonencode({ for service, document in data.aws_iam_policy_document.read_config : service => [for statement in document.statement : [statement.actions, statement.resources]] }) == jsonencode({
      grafana    = [[["s3:ListBucket"], ["arn:aws:s3:::config"]], [["s3:GetObject"], ["arn:aws:s3:::config/grafana/*"]]]
      prometheus = [[["s3:ListBucket"], ["arn:aws:s3:::config"]], [["s3:GetObject"], ["arn:aws:s3:::config/prometheus/*"]]]
    })
    error_message = "Each reads its own files."
  }
}

run "a_changed_file_makes_a_new_revision" {
  command = plan

  variables {
    uploader_metrics_port = 9999
  }

  assert {
    condition     = one([for container in jsondecode(output.container_definitions.prometheus) : container.environment if container.name == "init"]) != one([for container in jsondecode(run.containers.container_definitions.prometheus) : container.environment if container.name == "init"])
    error_message = "Prometheus's revision names its files' digest."
  }

  assert {
    condition     = output.container_definitions.grafana == run.containers.container_definitions.grafana
    error_message = "Grafana's files are the same."
  }
}

run "images_from_ecr" {
  command = plan

  variables {
    images = { grafana = "123456789012.dkr.ecr.us-east-1.amazonaws.com/copies/grafana:12.1.1" }
  }

  assert {
    condition     = jsonencode(local.repository_arns) == jsonencode(["arn:aws:ecr:us-east-1:123456789012:repository/copies/grafana"])
    error_message = "Images from ECR may be pulled."
  }
}

run "floating_images_are_refused" {
  command = plan

  variables {
    images = { grafana = "grafana/grafana:latest" }
  }

  expect_failures = [var.images]
}

run "wrong_retention_is_refused" {
  command = plan

  variables {
    retention_days = 0
  }

  expect_failures = [var.retention_days]
}
