variable "visibility_timeout_seconds" {
  description = "Seconds that a received message is hidden. The uploader reads it from the queue, and extends it at half."
  type        = number
  default     = 120
}

variable "max_receive_count" {
  description = "Deliveries of a message before it goes to the dead-letter queue."
  type        = number
  default     = 5
}

variable "s3_prefix" {
  description = "Where messages go in the bucket, ending in a slash."
  type        = string
  default     = "messages/"

  validation {
    condition     = can(regex("^([A-Za-z0-9!_.*'()=-]+/)+$", var.s3_prefix))
    error_message = "s3_prefix must be path segments that each end with a slash, such as messages/."
  }
}

variable "noncurrent_version_days" {
  description = "Days that overwritten and deleted messages are kept."
  type        = number
  default     = 30
}

variable "archive_after_days" {
  description = "Days after which messages move to Glacier Instant Retrieval, which pays for objects of 128 KB and more; null for never."
  type        = number
  default     = null
}

variable "database_instance_class" {
  description = "Size of the database."
  type        = string
  default     = "db.t4g.micro"
}

variable "database_storage_gb" {
  description = "Initial storage of the database in GB."
  type        = number
  default     = 20
}

variable "database_max_storage_gb" {
  description = "Storage in GB up to which the database grows automatically."
  type        = number
  default     = 100
}

variable "enable_database_multi_az" {
  description = "Whether the database has a standby in another zone, for twice the price."
  type        = bool
  default     = false
}

variable "database_backup_days" {
  description = "Days that the database's backups are kept, 1 to 35."
  type        = number
  default     = 7
}

variable "enable_database_final_snapshot" {
  description = "Whether a snapshot is taken before `terraform destroy` deletes the database, whatever is_disposable says."
  type        = bool
  default     = true
}

variable "kept_images" {
  description = "Number of newest tagged images, one for each commit that was pushed, kept for each service."
  type        = number
  default     = 30
}
