variable "name" {
  description = "Name of the environment, such as cpsite-dev: the prefix of every name."
  type        = string
}

variable "cidr_block" {
  description = "IPv4 range of the VPC, a /16 to /20."
  type        = string
  default     = "10.20.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.cidr_block)) && try(tonumber(split("/", var.cidr_block)[1]) >= 16 && tonumber(split("/", var.cidr_block)[1]) <= 20, false)
    error_message = "cidr_block must be an IPv4 range between /16 and /20, such as 10.20.0.0/16."
  }
}

variable "availability_zone_count" {
  description = "Number of availability zones, 2 to 4; a load balancer and a database need two."
  type        = number
  default     = 2

  validation {
    condition     = var.availability_zone_count >= 2 && var.availability_zone_count <= 4 && floor(var.availability_zone_count) == var.availability_zone_count
    error_message = "availability_zone_count must be a whole number from 2 to 4."
  }
}

variable "enable_endpoints" {
  description = "Whether the VPC has endpoints for the AWS services that tasks call, so that they need no public address."
  type        = bool
  default     = false
}

variable "enable_execute_command" {
  description = "Whether the endpoints include the one that ECS Exec needs."
  type        = bool
  default     = false
}

variable "enable_remote_write" {
  description = "Whether the endpoints include the one of Amazon Managed Service for Prometheus."
  type        = bool
  default     = false
}

variable "enable_flow_logs" {
  description = "Whether the VPC's flow logs go to CloudWatch Logs."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "Days that flow logs are kept."
  type        = number
  default     = 30
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of every role, where the account demands one; null for none."
  type        = string
  default     = null
}
