variable "project" {
  description = "First part of all names."
  type        = string
  default     = "cpsite"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,9}$", var.project))
    error_message = "project must be 2 to 10 lowercase letters and digits."
  }
}

variable "environment" {
  description = "Second part of all names, such as dev or prod."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,9}$", var.environment))
    error_message = "environment must be 2 to 10 lowercase letters and digits."
  }
}

variable "region" {
  description = "AWS region. An environment is in one: names of roles and buckets hold in all regions, so a second one is another environment."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be an AWS region, such as us-east-1."
  }
}

variable "is_disposable" {
  description = "Whether `terraform destroy` deletes everything at once: buckets with all messages and registries with all images, without deletion protection. The database's last snapshot is enable_database_final_snapshot's."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "Days that all logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827], var.log_retention_days)
    error_message = "log_retention_days must be one of CloudWatch's: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, …"
  }
}

variable "audit_events" {
  description = "What the audit log holds: all, or failures, which leaves accepted and stored messages out."
  type        = string
  default     = "all"

  validation {
    condition     = contains(["all", "failures"], var.audit_events)
    error_message = "audit_events must be all or failures."
  }
}

variable "log_level" {
  description = "Lowest level that the services log: DEBUG, INFO, WARNING or ERROR."
  type        = string
  default     = "INFO"

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.log_level)
    error_message = "log_level must be DEBUG, INFO, WARNING or ERROR."
  }
}

variable "cpu_architecture" {
  description = "X86_64, or ARM64 (a fifth cheaper) when the images are built for it."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture must be X86_64 or ARM64."
  }
}

variable "enable_execute_command" {
  description = "Whether people may open a shell in a container (ECS Exec); root filesystems are writable then."
  type        = bool
  default     = false
}

variable "enable_container_insights" {
  description = "Whether CloudWatch collects more about the cluster, for about $10 a month. Nothing here needs it."
  type        = bool
  default     = false
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of every role, where the account demands one; null for none."
  type        = string
  default     = null
}
