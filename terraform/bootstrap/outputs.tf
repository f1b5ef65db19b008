output "backend_config" {
  description = "Arguments for `terraform init` of the main configuration; the key, such as dev/terraform.tfstate, comes beside them."
  value       = "-backend-config=bucket=${module.state.bucket_name} -backend-config=region=${var.region}"
}
