variable "name" {
  description = "Name of the AWS environment, such as cpsite-dev."
  type        = string
}

variable "github_repository" {
  description = "Repository whose workflows deploy, as owner/name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository must be owner/name, without wildcards and ids: those are github_owner_id and github_repository_id."
  }
}

variable "github_owner_id" {
  description = "Id of the repository's owner on GitHub. Repositories that were created, renamed or transferred since 2026-07-15 have it in the subject of their tokens (docs/deployment.md, step 8); null for older ones."
  type        = number
  default     = null

  validation {
    condition     = (var.github_owner_id == null) == (var.github_repository_id == null)
    error_message = "github_owner_id and github_repository_id go together: give both, or neither for a repository with subjects of names alone."
  }
}

variable "github_repository_id" {
  description = "Id of the repository on GitHub; null where github_owner_id is."
  type        = number
  default     = null
}

variable "github_environment" {
  description = "GitHub environment whose jobs may take the role. Its own rules say which branches deploy to it."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9._-]+$", var.github_environment))
    error_message = "github_environment must be a name, without wildcards."
  }
}

variable "github_branches" {
  description = "Branches whose jobs without an environment may take the role, too."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for branch in var.github_branches : can(regex("^[A-Za-z0-9._/-]+$", branch))])
    error_message = "github_branches must be names of branches, without wildcards."
  }
}

variable "repository_arns" {
  description = "ARNs of the ECR repositories that images are pushed to."
  type        = list(string)
}

variable "cluster_arn" {
  description = "ARN of the ECS cluster."
  type        = string
}

variable "service_arns" {
  description = "ARNs of the ECS services that are deployed."
  type        = list(string)
}

variable "one_off_families" {
  description = "Families whose revisions are run as one-off tasks: to migrate, and to check migrations."
  type        = list(string)
}

variable "log_group_arns" {
  description = "ARNs of the log groups that those tasks write to."
  type        = list(string)
}

variable "role_arns" {
  description = "ARNs of the task and execution roles that revisions may name."
  type        = list(string)
}

variable "image_parameter_arns" {
  description = "ARNs of the SSM parameters that say which image is deployed."
  type        = list(string)
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of every role, where the account demands one; null for none."
  type        = string
  default     = null
}
