variable "name" {
  description = "Name of the environment."
  type        = string
}

variable "service" {
  description = "Name of the service within the environment, such as validator."
  type        = string
}

variable "cpu" {
  description = "CPU units of the task; 1024 are a vCPU."
  type        = number
}

variable "memory_mib" {
  description = "Memory of the task in MiB; Fargate offers 2 to 8 GiB for a vCPU, and less for parts of one."
  type        = number
}

variable "cpu_architecture" {
  description = "X86_64, or ARM64 (a fifth cheaper) where the images are built for it."
  type        = string
  default     = "X86_64"
}

variable "containers" {
  description = "Containers by name. As in the module `task`, which checks them."
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
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Ids of the subnets that tasks run in."
  type        = list(string)
}

variable "assign_public_ip" {
  description = "Whether tasks have a public address, which they need in public subnets to reach AWS."
  type        = bool
}

variable "cluster_name" {
  description = "Name of the ECS cluster, once it has its capacity providers."
  type        = string
}

variable "starts_after" {
  description = "What tasks need from their first second on, and nothing else of the module does: the rules of security groups. Three tasks that die at the start are a failed deployment, and the first one has none to go back to."
  type        = any
  default     = []
}

variable "wait_for_steady_state" {
  description = "Whether an apply waits until the tasks run, and fails when they do not. Not where the first apply comes before the first image."
  type        = bool
  default     = false
}

variable "enable_spot" {
  description = "Whether tasks run on Fargate Spot: about 70 % cheaper, and stopped with two minutes' notice when AWS needs the room."
  type        = bool
  default     = false
}

variable "target_groups" {
  description = "Target groups to register with, by any name."
  type = map(object({
    arn       = string
    container = string
    port      = number
  }))
  default = {}
}

variable "namespace" {
  description = "Cloud Map namespace in which the service has a name; null for no name."
  type        = object({ id = string })
  default     = null
}

variable "min_tasks" {
  description = "Minimum number of tasks; 0 only with backlog_scaling."
  type        = number
  default     = 1

  validation {
    condition     = var.min_tasks >= 1 || (var.min_tasks == 0 && var.backlog_scaling != null)
    error_message = "min_tasks must be 1 or more, or 0 with backlog_scaling."
  }
}

variable "max_tasks" {
  description = "Maximum number of tasks."
  type        = number
  default     = 1

  validation {
    condition     = var.max_tasks >= max(1, var.min_tasks)
    error_message = "max_tasks must be 1 or more, and not less than min_tasks."
  }
}

variable "cpu_scaling_percent" {
  description = "Target of scaling in percent of CPU; null for none."
  type        = number
  default     = null

  validation {
    condition     = var.cpu_scaling_percent == null || try(var.cpu_scaling_percent >= 10 && var.cpu_scaling_percent <= 90, false)
    error_message = "cpu_scaling_percent must be from 10 to 90, or null."
  }
}

variable "request_scaling" {
  description = "Target of scaling in requests per minute and task, and the ALB resource label of the target group; null for none."
  type = object({
    requests_per_minute = number
    resource_label      = string
  })
  default = null
}

variable "backlog_scaling" {
  description = "Target of scaling in messages per task, waiting or in flight, and the queue's name; null for none."
  type = object({
    messages_per_task = number
    queue_name        = string
  })
  default = null

  validation {
    condition     = var.backlog_scaling == null || try(var.backlog_scaling.messages_per_task >= 1, false)
    error_message = "messages_per_task must be 1 or more."
  }
}

variable "rollback_alarm_names" {
  description = "Alarms that roll back a deployment while it is under way."
  type        = list(string)
  default     = []
}

variable "permissions_boundary_arn" {
  description = "ARN of the permissions boundary of every role, where the account demands one; null for none."
  type        = string
  default     = null
}
