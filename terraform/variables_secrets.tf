variable "api_tokens_version" {
  description = "Raise by one for a new API token."
  type        = number
  default     = 1
}

variable "django_secret_key_version" {
  description = "Raise by one for a new Django key."
  type        = number
  default     = 1
}

variable "grafana_admin_password_version" {
  description = "Raise by one for a new password of Grafana's admin."
  type        = number
  default     = 1
}

variable "database_password_version" {
  description = "Raise by one for a new password of the database."
  type        = number
  default     = 1
}

variable "existing_parameters" {
  description = "Names of existing SSM SecureStrings to use instead of creating them."
  type = object({
    api_tokens             = optional(string)
    django_secret_key      = optional(string)
    grafana_admin_password = optional(string)
  })
  default = {}
}

variable "existing_key_arns" {
  description = "ARNs of the KMS keys that existing_parameters are encrypted with."
  type        = list(string)
  default     = []
}
