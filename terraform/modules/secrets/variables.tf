variable "name" {
  description = "Name of the environment: parameters are called /<name>/<what they hold>."
  type        = string
}

variable "api_tokens_version" {
  description = "Raise by one for a new API token. The old one ends within a minute."
  type        = number
  default     = 1

  validation {
    condition     = var.api_tokens_version >= 1 && floor(var.api_tokens_version) == var.api_tokens_version
    error_message = "api_tokens_version must be a whole number, 1 or more."
  }
}

variable "django_secret_key_version" {
  description = "Raise by one for a new Django key. It ends all sessions of the admin."
  type        = number
  default     = 1

  validation {
    condition     = var.django_secret_key_version >= 1 && floor(var.django_secret_key_version) == var.django_secret_key_version
    error_message = "django_secret_key_version must be a whole number, 1 or more."
  }
}

variable "grafana_admin_password_version" {
  description = "Raise by one for a new password of Grafana's admin."
  type        = number
  default     = 1

  validation {
    condition     = var.grafana_admin_password_version >= 1 && floor(var.grafana_admin_password_version) == var.grafana_admin_password_version
    error_message = "grafana_admin_password_version must be a whole number, 1 or more."
  }
}

variable "existing_parameters" {
  description = "Names of existing SecureStrings to use instead of creating them."
  type = object({
    api_tokens             = optional(string)
    django_secret_key      = optional(string)
    grafana_admin_password = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name in values(var.existing_parameters) : name == null || can(regex("^/[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$", name))])
    error_message = "Names in existing_parameters must be paths such as /team/api-tokens."
  }
}

variable "existing_key_arns" {
  description = "ARNs of the KMS keys that existing_parameters are encrypted with; none for the key aws/ssm."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.existing_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", arn))])
    error_message = "existing_key_arns must be ARNs of keys; an alias cannot be granted."
  }
}
