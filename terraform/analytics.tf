# The messages in SQL, for people: docs/querying.md.
module "analytics" {
  source = "./modules/analytics"
  count  = var.enable_analytics ? 1 : 0

  name          = local.name
  contract_file = coalesce(var.contract_file, "${path.module}/contract.json")
  bucket_name   = module.messages.bucket_name
  bucket_arn    = module.messages.bucket_arn
  s3_prefix     = var.s3_prefix
  max_scan_gb   = var.analytics.max_scan_gb
  results_days  = var.analytics.results_days
  first_day     = var.analytics.first_day
}
