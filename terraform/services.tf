locals {
  # What both services, and the migration, are told (docs/configuration.md).
  environment = {
    AWS_REGION    = var.region
    SQS_QUEUE_URL = module.queue.queue_url
    SQS_DLQ_URL   = module.queue.dead_letter_queue_url
    S3_BUCKET     = module.messages.bucket_name
    S3_PREFIX     = var.s3_prefix
    METRICS_HOST  = "0.0.0.0"
    LOG_FORMAT    = "json"
    LOG_LEVEL     = var.log_level
  }

  # The user that the images are built with.
  user = "10001"

  # The image declares /tmp as a volume with its usual mode, which Fargate then gives the empty one.
  scratch = { tmp = "/tmp" }
}
