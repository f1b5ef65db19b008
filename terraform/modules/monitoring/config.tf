# Files that Terraform fills in, and files as they are. An init container of each task fetches those
# of its service (containers.tf).
locals {
  namespace = "${var.name}.internal"

  # The file finds the services by DNS, as compose.yaml needs it. Of ECS's tasks a DNS answer has eight at most, so here
  # Prometheus asks ECS for them (docs/adr/0016).
  prometheus = yamldecode(templatefile("${path.module}/files/prometheus.yml", {
    name                   = var.name
    namespace              = local.namespace
    validator_metrics_port = var.validator_metrics_port
    uploader_metrics_port  = var.uploader_metrics_port
  }))
  discovery = {
    for service, port in {
      validator = var.validator_metrics_port
      admin     = var.validator_metrics_port # the same image
      uploader  = var.uploader_metrics_port
      } : service => {
      aws_sd_configs = [{
        role             = "ecs"
        region           = data.aws_region.current.region
        clusters         = [local.cluster_arn]
        port             = port
        refresh_interval = "30s"
      }]
      # The answer has all tasks of the cluster, and those that still start.
      relabel_configs = [{
        source_labels = ["__meta_ecs_service", "__meta_ecs_last_status"]
        regex         = "${var.name}-${service};RUNNING"
        action        = "keep"
      }]
    }
  }

  files = merge(
    {
      "prometheus/prometheus.yml" = join("", concat(
        [yamlencode(merge(local.prometheus, {
          scrape_configs = concat(
            [
              for job in local.prometheus.scrape_configs : merge(
                { for key, value in job : key => value if key != "dns_sd_configs" },
                try(local.discovery[job.job_name], {}),
              )
            ],
            # On one machine the validator serves it.
            [merge({ job_name = "admin" }, local.discovery.admin)],
          )
        }))],
        [for url in local.remote_write_urls : templatefile("${path.module}/files/remote_write.yml", {
          remote_write_url    = url
          remote_write_region = local.remote_write_region
        })],
      ))
      "prometheus/alerts.yml" = file("${path.module}/files/alerts.yml")
      "prometheus/alertmanager.yml" = templatefile("${path.module}/files/alertmanager.yml", {
        name           = var.name
        region         = data.aws_region.current.region
        topic_arn      = var.topic_arn
        repository_url = var.repository_url == null ? "" : "${trimsuffix(var.repository_url, "/")}/"
        grafana_url    = trimsuffix(var.grafana_url, "/")
      })
      "grafana/provisioning/datasources/prometheus.yml" = templatefile("${path.module}/files/grafana/datasources.yml", {
        prometheus_url = "http://prometheus.${local.namespace}:9090"
      })
      "grafana/provisioning/dashboards/cpsite.yml" = file("${path.module}/files/grafana/dashboards.yml")
    },
    # Where panels find the runbooks. The files are dashboards without it, too: then links name the page. (Between `for`
    # and its value checkov's parser takes no comment, and would leave the whole file out.)
    {
      for name in fileset("${path.module}/files/dashboards", "*.json") :
      "grafana/dashboards/${name}" => replace(
        file("${path.module}/files/dashboards/${name}"),
        "\"query\": \"#\"",
        "\"query\": ${jsonencode(var.repository_url == null ? "#" : "${trimsuffix(var.repository_url, "/")}/")}",
      )
    },
  )

  # Stand in the task definitions, so that a changed file makes a new revision, once it is in the bucket.
  digests = {
    for service in ["prometheus", "grafana"] : service => sha256(jsonencode({
      for name, object in aws_s3_object.config : name => object.source_hash if startswith(name, "${service}/")
    }))
  }
}

resource "aws_s3_object" "config" {
  for_each = local.files

  bucket       = var.config_bucket_name
  key          = each.key
  content      = each.value
  source_hash  = sha256(each.value)
  content_type = endswith(each.key, ".json") ? "application/json" : "application/yaml"
}

data "aws_iam_policy_document" "read_config" {
  for_each = toset(["prometheus", "grafana"])

  statement {
    sid       = "ListConfig"
    actions   = ["s3:ListBucket"]
    resources = [var.config_bucket_arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${each.key}/*"]
    }
  }

  statement {
    sid       = "ReadConfig"
    actions   = ["s3:GetObject"]
    resources = ["${var.config_bucket_arn}/${each.key}/*"]
  }
}
