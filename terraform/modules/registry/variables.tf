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
  description = "Number of newest tagged images kept in each repository, one for each commit that was pushed: how far back one can roll. The one that runs is kept as long as fewer than these were pushed after it."
  type        = number
  default     = 30

  validation {
    condition     = var.kept_images >= 5 && var.kept_images <= 1000
    error_message = "kept_images must be from 5 to 1000: failed deployments push images too, and the one that runs must outlive them."
  }
}
