# ECS takes a deployment back by itself. A pipeline says so; after an apply nobody would.
resource "aws_cloudwatch_event_rule" "failed_deployment" {
  name        = "${var.name}-failed-deployment"
  description = "Failed deployments of ${var.name}"
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Deployment State Change"]
    resources   = [{ prefix = "${local.service_arn}/" }]
    detail      = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
  })
}

resource "aws_cloudwatch_event_target" "failed_deployment" {
  rule = aws_cloudwatch_event_rule.failed_deployment.name
  arn  = aws_sns_topic.this.arn

  input_transformer {
    input_paths    = { reason = "$.detail.reason", service = "$.resources[0]", time = "$.time" }
    input_template = "\"ECS has given a deployment up at <time>, and goes back to the one before where there is one. Service: <service>. Reason: <reason>\""
  }
}

data "aws_region" "current" {}

locals {
  service_arn = format(
    "arn:%s:ecs:%s:%s:service/%s",
    data.aws_partition.current.partition,
    data.aws_region.current.region,
    data.aws_caller_identity.current.account_id,
    var.cluster_name,
  )
}
