variable "name" {
  description = "Name of the environment."
  type        = string
}

variable "task" {
  description = "Name of the task within the environment, such as validator."
  type        = string
}

variable "cpu" {
  description = "CPU units of the task; 1024 are a vCPU."
  type        = number

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.cpu)
    error_message = "cpu must be 256, 512, 1024, 2048 or 4096 units."
  }
}

variable "memory_mib" {
  description = "Memory of the task in MiB; Fargate offers 2 to 8 GiB for a vCPU, and less for parts of one."
  type        = number

  validation {
    condition     = contains(lookup(local.fargate_memory_mib, var.cpu, []), var.memory_mib)
    error_message = contains(keys(local.fargate_memory_mib), tostring(var.cpu)) ? "memory_mib is ${var.memory_mib}, and Fargate offers ${join(", ", lookup(local.fargate_memory_mib, var.cpu, []))} with cpu = ${var.cpu}." : "cpu is ${var.cpu}, and Fargate offers 256, 512, 1024, 2048 and 4096 units."
  }
}

variable "cpu_architecture" {
  description = "X86_64, or ARM64 (a fifth cheaper) where the images are built for it."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture must be X86_64 or ARM64."
  }
}

variable "containers" {
  description = "Containers by name. `secrets` are ARNs of SSM parameters by variable, `mounts` paths by volume, `depends_on` conditions by container. Users are numeric; only a container that ends before the others start may be root."
  type = map(object({
    image                = string
    user                 = string
    entry_point          = optional(list(string))
    command              = optional(list(string))
    essential            = optional(bool, true)
    drops_capabilities   = optional(bool, true)
    environment          = optional(map(string), {})
    secrets              = optional(map(string), {})
    ports                = optional(list(number), [])
    mounts               = optional(map(string), {})
    depends_on           = optional(map(string), {})
    stop_timeout_seconds = optional(number, 30)
    health_check = optional(object({
      command              = list(string)
      interval_seconds     = optional(number, 15)
      timeout_seconds      = optional(number, 5)
      retries              = optional(number, 3)
      start_period_seconds = optional(number, 30)
    }))
  }))

  validation {
    condition     = alltrue([for container in values(var.containers) : can(regex("^[0-9]+(:[0-9]+)?$", container.user))])
    error_message = "A container's user must be numeric: a name depends on the image."
  }

  validation {
    condition     = alltrue([for container in values(var.containers) : !container.essential || !startswith(container.user, "0")])
    error_message = "An essential container must not be root (user 0)."
  }

  validation {
    condition     = alltrue([for container in values(var.containers) : container.stop_timeout_seconds >= 2 && container.stop_timeout_seconds <= 120])
    error_message = "stop_timeout_seconds must be from 2 to 120, which is what Fargate allows."
  }
}

variable "volumes" {
  description = "Names of empty volumes, which last as long as the task."
  type        = set(string)
  default     = []
}

variable "task_policies" {
  description = "Policies of the containers' role, as JSON, by name."
  type        = map(string)
  default     = {}
}

variable "repository_arns" {
  description = "ARNs of the ECR repositories that images come from; none for public ones."
  type        = list(string)
  default     = []
}

variable "cached_repository_arns" {
  description = "Those of repository_arns that a pull-through cache fills on demand."
  type        = list(string)
  default     = []
}

variable "key_arns" {
  description = "ARNs of the KMS keys that the parameters in `secrets` are encrypted with."
  type        = list(string)
  default     = []
}

variable "enable_execute_command" {
  description = "Whether people may open a shell in a container (ECS Exec). Its agent writes to the root filesystem, which therefore is not read-only then."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827], var.log_retention_days)
    error_message = "log_retention_days must be one of CloudWatch's: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, …"
  }
}

locals {
  # What Fargate offers: memory in MiB by CPU units.
  fargate_memory_mib = {
    256  = [512, 1024, 2048]
    512  = range(1024, 4097, 1024)
    1024 = range(2048, 8193, 1024)
    2048 = range(4096, 16385, 1024)
    4096 = range(8192, 30721, 1024)
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of every role, where the account demands one; null for none."
  type        = string
  default     = null
}
