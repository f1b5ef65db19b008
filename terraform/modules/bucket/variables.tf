variable "bucket_name" {
  description = "Name of the bucket, globally unique."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name must be 3 to 63 lowercase letters, digits and inner hyphens."
  }
}

variable "encryption" {
  description = "aws:kms for the account's S3 key with a bucket key, or AES256 where a log service needs it."
  type        = string
  default     = "aws:kms"

  validation {
    condition     = contains(["aws:kms", "AES256"], var.encryption)
    error_message = "encryption must be aws:kms or AES256."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes the bucket with all that is in it."
  type        = bool
  default     = false
}

variable "noncurrent_version_days" {
  description = "Days that a version is kept after it was overwritten or deleted."
  type        = number
  default     = 30

  validation {
    condition     = var.noncurrent_version_days >= 1
    error_message = "noncurrent_version_days must be 1 or more."
  }
}

variable "archive_after_days" {
  description = "Days after which objects move to Glacier Instant Retrieval; null keeps them in Standard. Objects under 128 KB do not move."
  type        = number
  default     = null

  validation {
    condition     = var.archive_after_days == null || try(var.archive_after_days >= 1, false)
    error_message = "archive_after_days must be 1 or more, or null."
  }
}

variable "expire_after_days" {
  description = "Days after which objects are deleted; null keeps them for ever."
  type        = number
  default     = null

  validation {
    condition     = var.expire_after_days == null || try(var.expire_after_days >= 1, false)
    error_message = "expire_after_days must be 1 or more, or null."
  }
}

variable "policy_documents" {
  description = "Further policies of the bucket, as JSON."
  type        = list(string)
  default     = []
}
