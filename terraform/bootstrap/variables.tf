variable "project" {
  description = "First part of the bucket's name."
  type        = string
  default     = "cpsite"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,9}$", var.project))
    error_message = "project must be 2 to 10 lowercase letters and digits."
  }
}

variable "region" {
  description = "AWS region of the bucket."
  type        = string
  default     = "us-east-1"
}

variable "old_state_days" {
  description = "Days that earlier states are kept."
  type        = number
  default     = 90
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes the bucket with the states in it."
  type        = bool
  default     = false
}

variable "create_github_oidc_provider" {
  description = "Whether to create the account's OIDC provider for GitHub, of which an account has only one; false, in terraform.tfvars, where it exists already."
  type        = bool
  default     = true
}
