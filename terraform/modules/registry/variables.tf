variable "name" {
  description = "Name of the environment: the first part of the repositories' names."
  type        = string
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes repositories with the images in them."
  type        = bool
  default     = false
}

variable "kept_images" {
  description = "Number of newest images kept in each repository: how far back one can roll."
  type        = number
  default     = 30

  validation {
    condition     = var.kept_images >= 2 && var.kept_images <= 1000
    error_message = "kept_images must be from 2 to 1000."
  }
}
