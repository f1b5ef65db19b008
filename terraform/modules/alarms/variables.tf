variable "name" {
  description = "Name of the environment."
  type        = string
}

variable "key_arn" {
  description = "ARN of the KMS key that encrypts the topic."
  type        = string
}

variable "emails" {
  description = "Addresses that alarms are sent to; each has to confirm once."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "emails must be addresses."
  }
}

variable "queue_name" {
  description = "Name of the queue."
  type        = string
}

variable "dead_letter_queue_name" {
  description = "Name of the dead-letter queue."
  type        = string
}

variable "oldest_message_seconds" {
  description = "Age in seconds of the oldest waiting message above which the alarm fires."
  type        = number
  default     = 600

  validation {
    condition     = var.oldest_message_seconds >= 60
    error_message = "oldest_message_seconds must be 60 or more."
  }
}

variable "load_balancer_arn_suffix" {
  description = "ARN suffix of the main load balancer, as in CloudWatch's dimension LoadBalancer."
  type        = string
}

variable "target_group_arn_suffix" {
  description = "ARN suffix of the validator's target group, as in CloudWatch's dimension TargetGroup."
  type        = string
}

variable "required_targets" {
  description = "Target groups that must always have a healthy target, by name: ARN suffixes of load balancer and target group, and the text of the alarm."
  type = map(object({
    load_balancer_arn_suffix = string
    target_group_arn_suffix  = string
    description              = string
  }))
}

variable "cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "service_names" {
  description = "Names of the ECS services whose CPU and memory are watched, by any name."
  type        = map(string)
}

variable "database_identifier" {
  description = "Identifier of the database instance."
  type        = string
}

variable "database_free_storage_gb" {
  description = "Free storage in GB below which the alarm fires."
  type        = number
  default     = 4
}

variable "database_connections" {
  description = "Connections above which the alarm fires; a db.t4g.micro takes about 80."
  type        = number
  default     = 60
}

variable "certificate_arn" {
  description = "ARN of the ACM certificate that clients see; null for none."
  type        = string
  default     = null
}

variable "certificate_days" {
  description = "Days before the certificate expires below which the alarm fires."
  type        = number
  default     = 30

  validation {
    condition     = var.certificate_days >= 1 && var.certificate_days <= 45
    error_message = "certificate_days must be from 1 to 45, the time in which ACM warns as well."
  }
}
