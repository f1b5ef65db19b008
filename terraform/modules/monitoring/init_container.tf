locals {
  # Fetches the files of a service and hands its data volume over to it: Fargate's volumes begin as
  # root's. It is root for that, opens no port, and ends before the others start.
  init = {
    for service, owner in { prometheus = "65534", grafana = "472" } : service => {
      image                            = var.images.aws_cli
      user                             = "0"
      essential                        = false
      drops_capabilities               = false
      entry_point                      = ["sh", "-ec"]
      command = [join("\n", [
        "aws s3 cp --recursive --only-show-errors s3://${var.config_bucket_name}/${service}/ /config/${service}/",
        "mkdir -p /config/${service}/dashboards",
        "chmod -R a+rX /config",
        "chown -R ${owner} /data",
      ])]
      environment = {
        AWS_REGION    = data.aws_region.current.region
        CONFIG_DIGEST = local.digests[service]
      }
      mounts = { config = "/config", data = "/data" }
    }
  }
}
