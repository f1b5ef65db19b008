# For trying things out: cheap, and gone without a trace after `terraform destroy`.
environment   = "dev"
is_disposable = true

# Yours. As it is, this range for documentation lets nobody in.
operator_cidrs = ["203.0.113.0/24"]

# Tokens travel unencrypted. With a certificate: certificate_arn, domain_name and monitoring_domain_name, as in prod.
allow_plain_http = true

validator = {
  cpu        = 256
  memory_mib = 512
  min_tasks  = 1
  max_tasks  = 2
}

# Sleeps while there is nothing to do.
uploader = {
  cpu         = 256
  memory_mib  = 512
  min_tasks   = 0
  max_tasks   = 2
  enable_spot = true
}

database_instance_class        = "db.t4g.micro"
database_backup_days           = 1
enable_database_final_snapshot = false

noncurrent_version_days   = 1
log_retention_days        = 7
prometheus_retention_days = 7
kept_images               = 10
