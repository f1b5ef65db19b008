data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.region
}

resource "aws_athena_workgroup" "this" {
  #checkov:skip=CKV_AWS_159:the results bucket encrypts, by KMS; a client cannot say otherwise
  name          = var.name
  description   = "Queries of ${var.name}'s messages, bounded and with results of their own."
  force_destroy = true # its history and its saved queries are made again

  configuration {
    # What a client asks for instead (another bucket, no bound) is ignored.
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.max_scan_gb * pow(1024, 3)

    # No encryption here, so that the bucket's holds: the key of S3's own in this account, as for messages.
    result_configuration {
      output_location = "s3://${module.results.bucket_name}/"
    }
  }
}

module "results" {
  source = "../bucket"

  # A query can be run again, so it may always go.
  bucket_name             = "${var.name}-queries-${local.account_id}"
  force_destroy           = true
  expire_after_days       = var.results_days
  noncurrent_version_days = 1
}
