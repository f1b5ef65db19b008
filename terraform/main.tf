data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  name       = "${var.project}-${var.environment}"
  account_id = data.aws_caller_identity.current.account_id

  # One address of each: containers, target groups, scrapes and security groups take them from here.
  ports = {
    validator         = 8000
    validator_metrics = 9100
    uploader_metrics  = 9101
    grafana           = 3000
    prometheus        = 9090
    postgresql        = 5432
    https             = 443
  }
}

resource "aws_ecs_cluster" "this" {
  name = local.name

  setting {
    name  = "containerInsights"
    value = var.enable_container_insights ? "enabled" : "disabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

locals {
  # Of the cluster that has them: a service cannot be made before.
  cluster_name = aws_ecs_cluster_capacity_providers.this.cluster_name
}
