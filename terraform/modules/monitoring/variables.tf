variable "name" {
  description = "Name of the environment."
  type        = string
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Ids of the subnets that tasks run in."
  type        = list(string)
}

variable "assign_public_ip" {
  description = "Whether tasks have a public address."
  type        = bool
}

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "starts_after" {
  description = "What tasks need from their first second on: the rules of security groups."
  type        = any
  default     = []
}

variable "prometheus_target_group_arn" {
  description = "ARN of Prometheus's target group."
  type        = string
}

variable "grafana_target_group_arn" {
  description = "ARN of Grafana's target group."
  type        = string
}

variable "prometheus_url" {
  description = "URL under which people reach Prometheus: it stands in alerts."
  type        = string
}

variable "grafana_url" {
  description = "URL under which people reach Grafana, ending in /grafana/."
  type        = string
}

variable "grafana_admin_password_arn" {
  description = "ARN of the SSM parameter with the password of Grafana's admin."
  type        = string
}

variable "key_arns" {
  description = "ARNs of the KMS keys of that parameter and of the topic."
  type        = list(string)
}

variable "topic_arn" {
  description = "ARN of the SNS topic that alerts go to."
  type        = string
}

variable "config_bucket_name" {
  description = "Name of the bucket that the configuration files are put into."
  type        = string
}

variable "config_bucket_arn" {
  description = "ARN of the bucket with the configuration files."
  type        = string
}

variable "validator_metrics_port" {
  description = "Port of the validator's metrics."
  type        = number
}

variable "uploader_metrics_port" {
  description = "Port of the uploader's metrics."
  type        = number
}

variable "retention_days" {
  description = "Days that Prometheus keeps metrics; a new task begins without any."
  type        = number
  default     = 15

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 90
    error_message = "retention_days must be from 1 to 90."
  }
}

variable "remote_write_url" {
  description = "Remote write URL of a workspace of Amazon Managed Prometheus in this account, where all metrics go as well; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.remote_write_url == null || can(regex("^https://aps-workspaces\\.[a-z0-9-]+\\.amazonaws\\.com/workspaces/ws-[0-9a-f-]+/api/v1/remote_write$", var.remote_write_url))
    error_message = "remote_write_url must be that of a workspace: https://aps-workspaces.<region>.amazonaws.com/workspaces/ws-…/api/v1/remote_write."
  }
}

variable "repository_url" {
  description = "URL under which people read the repository's files, such as https://github.com/octo/cpsite/blob/main: alerts link to runbooks there. null: they name the file."
  type        = string
  default     = null

  validation {
    condition     = var.repository_url == null || can(regex("^https?://[^\\s\"'{}$]+$", var.repository_url))
    error_message = "repository_url must be a URL."
  }
}

variable "images" {
  description = "Images with their versions; Prometheus's must be 3.8 or newer. In private subnets they must come from ECR, for which a pull-through cache or copies are needed."
  type = object({
    prometheus   = optional(string, "quay.io/prometheus/prometheus:v3.12.0")
    alertmanager = optional(string, "quay.io/prometheus/alertmanager:v0.28.1")
    grafana      = optional(string, "docker.io/grafana/grafana:12.1.1")
    aws_cli      = optional(string, "public.ecr.aws/aws-cli/aws-cli:2.28.0")
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for image in values(var.images) : can(regex(":[^/:]*[0-9][^/:]*$|@sha256:[0-9a-f]{64}$", image)) && !endswith(image, ":latest")])
    error_message = "Each image must name its version, or its digest."
  }

  validation {
    condition     = !can(regex(":v?[0-2]\\.|:v?3\\.[0-7](\\.|$)", var.images.prometheus))
    error_message = "images.prometheus must be 3.8 or newer: older ones cannot ask ECS for tasks."
  }
}

variable "cpu_architecture" {
  description = "X86_64 or ARM64; the default images are built for both."
  type        = string
  default     = "X86_64"
}

variable "enable_execute_command" {
  description = "Whether people may open a shell in a container (ECS Exec)."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of every role, where the account demands one; null for none."
  type        = string
  default     = null
}
