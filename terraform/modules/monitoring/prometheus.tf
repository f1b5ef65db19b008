module "prometheus" {
  source = "../service"

  name             = var.name
  service          = "prometheus"
  cluster_name     = var.cluster_name
  vpc_id           = var.vpc_id
  subnet_ids       = var.subnet_ids
  assign_public_ip = var.assign_public_ip
  namespace        = { id = aws_service_discovery_private_dns_namespace.this.id }

  # Its images exist, unlike those of the services at the first apply.
  wait_for_steady_state = true
  starts_after          = var.starts_after

  cpu                      = 256
  memory_mib               = 1024
  cpu_architecture         = var.cpu_architecture
  enable_execute_command   = var.enable_execute_command
  log_retention_days       = var.log_retention_days
  repository_arns          = local.repository_arns
  cached_repository_arns   = local.repository_arns # copies, or a cache
  key_arns                 = var.key_arns
  permissions_boundary_arn = var.permissions_boundary_arn
  task_policies = merge(
    {
      config    = data.aws_iam_policy_document.read_config["prometheus"].json
      alerts    = data.aws_iam_policy_document.publish_alerts.json
      discovery = data.aws_iam_policy_document.discover_tasks.json
    },
    { for document in data.aws_iam_policy_document.remote_write : "remote-write" => document.json },
  )

  target_groups = {
    monitoring = { arn = var.prometheus_target_group_arn, container = "prometheus", port = 9090 }
  }

  volumes = ["config", "data", "alertmanager"]
  containers = {
    init = merge(local.init.prometheus, {
      command = [join("\n", [local.init.prometheus.command[0], "chown -R 65534 /alertmanager"])]
      mounts  = merge(local.init.prometheus.mounts, { alertmanager = "/alertmanager" })
    })
    prometheus = {
      image = var.images.prometheus
      user  = "65534:65534"
      command = [
        "--config.file=/config/prometheus/prometheus.yml",
        "--storage.tsdb.path=/prometheus",
        "--storage.tsdb.retention.time=${var.retention_days}d",
        # Of the task's 20 GiB, which hold the images, too.
        "--storage.tsdb.retention.size=10GB",
        "--web.external-url=${var.prometheus_url}",
        "--web.route-prefix=/",
      ]
      ports        = [9090]
      mounts       = { config = "/config", data = "/prometheus" }
      depends_on   = { init = "SUCCESS" }
      health_check = { command = ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9090/-/healthy"] }
    }
    alertmanager = {
      image = var.images.alertmanager
      user  = "65534:65534"
      command = [
        "--config.file=/config/prometheus/alertmanager.yml",
        "--storage.path=/alertmanager",
        "--cluster.listen-address=",
        # For Prometheus beside it, and nobody else.
        "--web.listen-address=127.0.0.1:9093",
      ]
      mounts       = { config = "/config", alertmanager = "/alertmanager" }
      depends_on   = { init = "SUCCESS" }
      health_check = { command = ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9093/-/healthy"] }
    }
  }
}

# What Prometheus's discovery calls (discovery/aws/ecs.go, 3.12).
data "aws_iam_policy_document" "discover_tasks" {
  statement {
    sid       = "FindTasks"
    actions   = ["ecs:DescribeServices", "ecs:DescribeTasks", "ecs:ListServices", "ecs:ListTasks"]
    resources = ["*"] # of the cluster below

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [local.cluster_arn]
    }
  }

  statement {
    sid     = "DescribeCluster"
    actions = ["ecs:DescribeClusters"]
    # The second is what it tries its credentials with, whether there is one or not.
    resources = [local.cluster_arn, replace(local.cluster_arn, "/[^/]*$/", "default")]
  }

  # For the tasks' public addresses, which nothing here uses. Without it each refresh logs an error.
  statement {
    sid       = "FindAddresses"
    actions   = ["ec2:DescribeNetworkInterfaces"]
    resources = ["*"] # it takes no other
  }
}

data "aws_iam_policy_document" "publish_alerts" {
  statement {
    sid       = "PublishAlerts"
    actions   = ["sns:Publish"]
    resources = [var.topic_arn]
  }

  statement {
    sid       = "EncryptAlerts"
    actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
    resources = var.key_arns

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["sns.${data.aws_region.current.region}.amazonaws.com"]
    }
  }
}
