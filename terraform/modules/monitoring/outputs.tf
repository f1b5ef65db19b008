output "namespace_name" {
  description = "Name of the Cloud Map namespace."
  value       = local.namespace
}

output "service_names" {
  description = "Names of the ECS services: prometheus, grafana."
  value       = { prometheus = module.prometheus.service_name, grafana = module.grafana.service_name }
}

output "security_group_ids" {
  description = "Ids of the security groups: prometheus, grafana."
  value       = { prometheus = module.prometheus.security_group_id, grafana = module.grafana.security_group_id }
}

output "container_definitions" {
  description = "The containers, as JSON: prometheus, grafana."
  value       = { prometheus = module.prometheus.container_definitions, grafana = module.grafana.container_definitions }
}

output "file_names" {
  description = "Names of the configuration files in the bucket."
  value       = keys(local.files)
}
