locals {
  # What all services and the migration are configured with (docs/configuration.md).
  environment = {
    AUDIT_EVENTS  = var.audit_events
    AWS_REGION    = var.region
    SQS_QUEUE_URL = module.queue.queue_url
    METRICS_HOST  = "0.0.0.0"
    LOG_FORMAT    = "json"
    LOG_LEVEL     = var.log_level
  }

  # Where messages end: for the uploader, which brings them there, and the admin, which shows them. The API gets neither
  # these names nor the permissions.
  destinations = {
    SQS_DLQ_URL = module.queue.dead_letter_queue_url
    S3_BUCKET   = module.messages.bucket_name
    S3_PREFIX   = var.s3_prefix
  }

  # The user that the images are built with.
  user = "10001"

  # The image declares /tmp as a volume with its usual mode, which Fargate then gives the empty one.
  scratch = { tmp = "/tmp" }
}
