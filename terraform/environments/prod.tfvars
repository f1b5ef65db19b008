# Survives the loss of an availability zone, and keeps what it holds.
environment   = "prod"
is_disposable = false

# Yours. As it is, this range for documentation lets nobody in.
operator_cidrs = ["203.0.113.0/24"]

# Yours, too. Without the first three nothing is applied: tokens would travel unencrypted.
# certificate_arn        = "arn:aws:acm:us-east-1:123456789012:certificate/…"
# domain_name            = "messages.example.com"
# monitoring_domain_name = "prometheus.example.com"
# alarm_emails           = ["operators@example.com"]

availability_zone_count = 3
enable_flow_logs        = true
enable_access_logs      = true

validator = {
  cpu                          = 512
  memory_mib                   = 1024
  min_tasks                    = 2
  max_tasks                    = 6
  requests_per_minute_per_task = 11000
}

uploader = {
  cpu        = 256
  memory_mib = 512
  min_tasks  = 1
  max_tasks  = 4
}

database_instance_class    = "db.t4g.small"
enable_database_multi_az   = true
database_backup_days       = 14
database_connections_alarm = 120

log_retention_days        = 90
prometheus_retention_days = 30
