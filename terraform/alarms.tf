module "alarms" {
  source = "./modules/alarms"

  name                     = local.name
  key_arn                  = module.secrets.key_arn
  emails                   = var.alarm_emails
  queue_name               = module.queue.queue_name
  dead_letter_queue_name   = module.queue.dead_letter_queue_name
  oldest_message_seconds   = var.oldest_message_seconds
  load_balancer_arn_suffix = module.load_balancer.arn_suffix
  target_group_arn_suffix  = module.load_balancer.target_group_arn_suffixes.validator
  cluster_name             = local.cluster_name
  database_identifier      = module.database.instance_identifier
  database_connections     = var.database_connections_alarm
  certificate_arn          = var.certificate_arn
  required_targets = {
    admin = {
      load_balancer_arn_suffix = module.load_balancer.arn_suffix
      target_group_arn_suffix  = module.load_balancer.target_group_arn_suffixes.admin
      description              = "The admin is down: nobody sees the audit log and dead letters. Messages are accepted and stored."
    }
    prometheus = {
      load_balancer_arn_suffix = module.load_balancer.monitoring_arn_suffix
      target_group_arn_suffix  = module.load_balancer.target_group_arn_suffixes.prometheus
      description              = "Prometheus or Alertmanager is down: no alert fires, whatever happens."
    }
    grafana = {
      load_balancer_arn_suffix = module.load_balancer.arn_suffix
      target_group_arn_suffix  = module.load_balancer.target_group_arn_suffixes.grafana
      description              = "Grafana is down: there are no dashboards. Alerts still fire."
    }
  }
  service_names = merge(
    {
      validator = module.validator.service_name
      admin     = module.admin.service_name
      uploader  = module.uploader.service_name
    },
    module.monitoring.service_names,
  )
}
