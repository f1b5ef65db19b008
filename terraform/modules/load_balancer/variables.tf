variable "name" {
  description = "Name of the environment."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}$", var.name))
    error_message = "name must be 2 to 21 lowercase letters, digits and hyphens: load balancers' names have 32."
  }
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Ids of public subnets in two or more availability zones."
  type        = list(string)
}

variable "certificate_arn" {
  description = "ARN of the ACM certificate for HTTPS; null serves plain HTTP."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn == null || can(regex("^arn:[a-z-]+:acm:", var.certificate_arn))
    error_message = "certificate_arn must be the ARN of an ACM certificate, or null."
  }
}

variable "ssl_policy" {
  description = "TLS versions and ciphers: by default TLS 1.3 and 1.2 with forward secrecy."
  type        = string
  default     = "ELBSecurityPolicy-TLS13-1-2-2021-06"

  validation {
    condition     = startswith(var.ssl_policy, "ELBSecurityPolicy-TLS13-1-")
    error_message = "ssl_policy must be one of the ELBSecurityPolicy-TLS13-1-… policies."
  }
}

variable "operator_cidrs" {
  description = "IPv4 ranges, one to four, that reach the admin, Grafana and Prometheus."
  type        = list(string)

  # A listener rule has five values, and one of them is the path.
  validation {
    condition     = length(var.operator_cidrs) >= 1 && length(var.operator_cidrs) <= 4
    error_message = "operator_cidrs takes one to four ranges: a listener rule has five values, and the path is one."
  }

  validation {
    condition     = alltrue([for cidr in var.operator_cidrs : can(cidrnetmask(cidr)) && !endswith(cidr, "/0")])
    error_message = "operator_cidrs must be IPv4 ranges such as 203.0.113.0/24, and not the whole internet."
  }
}

variable "enable_deletion_protection" {
  description = "Whether AWS refuses to delete the load balancers."
  type        = bool
  default     = true
}

variable "enable_access_logs" {
  description = "Whether each request leaves a line in access_logs_bucket."
  type        = bool
  default     = false
}

variable "access_logs_bucket" {
  description = "Name of the bucket for access logs."
  type        = string
  default     = null
}
