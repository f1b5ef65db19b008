variable "vpc_cidr_block" {
  description = "IPv4 range of the VPC, a /16 to /20."
  type        = string
  default     = "10.20.0.0/16"
}

variable "availability_zone_count" {
  description = "Number of availability zones, 2 to 4."
  type        = number
  default     = 2
}

variable "private_tasks" {
  description = "Whether tasks run in private subnets, and reach AWS through VPC endpoints (about $117 a month in two zones). Images of the monitoring must come from ECR then."
  type        = bool
  default     = false

  validation {
    condition     = !var.private_tasks || alltrue([for image in values(var.monitoring_images) : image != null && can(regex("\\.dkr\\.ecr\\.", image))])
    error_message = "With private_tasks, each of monitoring_images must be given and come from ECR: there is no way to other registries."
  }
}

variable "enable_flow_logs" {
  description = "Whether the VPC's flow logs are kept."
  type        = bool
  default     = false
}

variable "operator_cidrs" {
  description = "IPv4 ranges, one to four, from which the admin, Grafana and Prometheus are reached."
  type        = list(string)

  validation {
    condition     = length(var.operator_cidrs) >= 1 && length(var.operator_cidrs) <= 4
    error_message = "operator_cidrs takes one to four ranges."
  }
}

variable "certificate_arn" {
  description = "ARN of the ACM certificate of domain_name and monitoring_domain_name. null serves plain HTTP, and needs allow_plain_http."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn != null || var.allow_plain_http
    error_message = "Without certificate_arn tokens travel unencrypted. Give one, with domain_name and monitoring_domain_name, or set allow_plain_http = true to try things out."
  }

  validation {
    condition     = var.certificate_arn == null || (var.domain_name != null && var.monitoring_domain_name != null)
    error_message = "certificate_arn needs domain_name and monitoring_domain_name: a certificate cannot cover a load balancer's own name."
  }
}

variable "allow_plain_http" {
  description = "Whether an environment may go without a certificate, and tokens travel unencrypted. To try things out."
  type        = bool
  default     = false
}

variable "domain_name" {
  description = "Name under which clients reach the API, a CNAME or alias of the load balancer's; null for the load balancer's own."
  type        = string
  default     = null

  validation {
    condition     = var.domain_name == null || can(regex("^[a-z0-9.-]+$", var.domain_name))
    error_message = "domain_name must be a host name, without scheme and path."
  }
}

variable "monitoring_domain_name" {
  description = "Name under which operators reach Prometheus; null for the load balancer's own."
  type        = string
  default     = null

  validation {
    condition     = var.monitoring_domain_name == null || can(regex("^[a-z0-9.-]+$", var.monitoring_domain_name))
    error_message = "monitoring_domain_name must be a host name, without scheme and path."
  }
}

variable "enable_access_logs" {
  description = "Whether the load balancers' access logs are kept, for 90 days."
  type        = bool
  default     = false
}
