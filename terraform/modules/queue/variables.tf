variable "name" {
  description = "Name of the queue; its dead-letter queue is called the same with -dlq."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,76}$", var.name))
    error_message = "name must be 1 to 76 letters, digits, hyphens and underscores."
  }
}

variable "visibility_timeout_seconds" {
  description = "Seconds that a received message is hidden. The uploader extends it at half; 120 is a good value."
  type        = number
  default     = 120

  validation {
    condition     = var.visibility_timeout_seconds >= 30 && var.visibility_timeout_seconds <= 43200
    error_message = "visibility_timeout_seconds must be from 30 to 43200: the uploader refuses a queue that delivers again while it writes (11 s)."
  }
}

variable "max_receive_count" {
  description = "Deliveries of a message before it goes to the dead-letter queue."
  type        = number
  default     = 5

  validation {
    condition     = var.max_receive_count >= 3 && var.max_receive_count <= 1000
    error_message = "max_receive_count must be from 3 to 1000: each restart of a worker costs a delivery."
  }
}

variable "retention_seconds" {
  description = "Seconds that the queue keeps a message: what an outage of the uploader may last."
  type        = number
  default     = 1209600

  validation {
    condition     = var.retention_seconds >= 345600 && var.retention_seconds <= 1209600
    error_message = "retention_seconds must be from 345600 (4 days) to 1209600 (14 days)."
  }
}
