variable "name" {
  description = "Name of the environment, and of the database instance."
  type        = string
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Ids of private subnets in two or more availability zones."
  type        = list(string)
}

variable "instance_class" {
  description = "Size of the instance, such as db.t4g.micro."
  type        = string
  default     = "db.t4g.micro"

  validation {
    condition     = startswith(var.instance_class, "db.")
    error_message = "instance_class must be one of RDS, such as db.t4g.micro."
  }
}

variable "engine_version" {
  description = "Major version of PostgreSQL; minor versions are upgraded automatically."
  type        = string
  default     = "17"

  validation {
    condition     = can(regex("^1[5-9]$", var.engine_version))
    error_message = "engine_version must be a major version from 15 on, such as 17: older ones do not refuse unencrypted connections by default."
  }
}

variable "storage_gb" {
  description = "Initial storage in GB."
  type        = number
  default     = 20

  validation {
    condition     = var.storage_gb >= 20
    error_message = "storage_gb must be 20 or more."
  }
}

variable "max_storage_gb" {
  description = "Storage in GB up to which the instance grows automatically."
  type        = number
  default     = 100

  validation {
    # RDS takes no less than a tenth more.
    condition     = var.max_storage_gb >= 1.1 * var.storage_gb
    error_message = "max_storage_gb must be at least 1.1 times storage_gb."
  }
}

variable "enable_multi_az" {
  description = "Whether a standby in another availability zone takes over when the instance fails; twice the price."
  type        = bool
  default     = false
}

variable "backup_retention_days" {
  description = "Days that automatic backups are kept, 1 to 35."
  type        = number
  default     = 7

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 35
    error_message = "backup_retention_days must be from 1 to 35."
  }
}

variable "enable_deletion_protection" {
  description = "Whether RDS refuses to delete the instance."
  type        = bool
  default     = true
}

variable "enable_final_snapshot" {
  description = "Whether a snapshot is taken before the instance is deleted."
  type        = bool
  default     = true
}

variable "password_version" {
  description = "Raise by one for a new password."
  type        = number
  default     = 1

  validation {
    condition     = var.password_version >= 1 && floor(var.password_version) == var.password_version
    error_message = "password_version must be a whole number, 1 or more."
  }
}

variable "key_arn" {
  description = "ARN of the KMS key that encrypts the parameter with DATABASE_URL."
  type        = string
}

variable "log_retention_days" {
  description = "Days that the database's logs are kept."
  type        = number
  default     = 30
}
