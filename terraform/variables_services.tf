variable "validator" {
  description = "Size and number of the API's tasks, and the clients connected to each process at a time. Half of what a vCPU takes is 375 messages a second: 22,500 a minute."
  type = object({
    cpu                          = optional(number, 256)
    memory_mib                   = optional(number, 512)
    min_tasks                    = optional(number, 1)
    max_tasks                    = optional(number, 2)
    cpu_scaling_percent          = optional(number, 60)
    requests_per_minute_per_task = optional(number, 6000)
    connections                  = optional(number, 512)
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(lookup(local.fargate_memory_mib, var.validator.cpu, []), var.validator.memory_mib)
    error_message = contains(keys(local.fargate_memory_mib), tostring(var.validator.cpu)) ? "validator.memory_mib is ${var.validator.memory_mib}, and Fargate offers ${join(", ", lookup(local.fargate_memory_mib, var.validator.cpu, []))} with validator.cpu = ${var.validator.cpu}." : "validator.cpu is ${var.validator.cpu}, and Fargate offers 256, 512, 1024, 2048 and 4096 units."
  }

  # What the program asks for at its start, or does not start (docs/scaling.md, Memory): 64 MiB, and for each process 64 MiB,
  # 160 KiB a connection, and four of the longest bodies in flight with 24 bytes for each of theirs; that and a tenth.
  # tests/terraform/test_memory.py starts it with just as much, and with less.
  validation {
    condition     = var.validator.memory_mib >= ceil((64 + ceil(var.validator.cpu / 1024) * (64 + var.validator.connections * 160 / 1024 + 24 * 4 * 327680 / 1048576)) / 0.9)
    error_message = "validator.memory_mib is ${var.validator.memory_mib}, and ${ceil(var.validator.cpu / 1024)} processes with validator.connections = ${var.validator.connections} need ${ceil((64 + ceil(var.validator.cpu / 1024) * (64 + var.validator.connections * 160 / 1024 + 24 * 4 * 327680 / 1048576)) / 0.9)} MiB."
  }

  validation {
    condition     = var.validator.connections >= 1
    error_message = "validator.connections must be 1 or more."
  }

  validation {
    condition     = var.validator.min_tasks >= 1
    error_message = "validator.min_tasks must be 1 or more."
  }

  validation {
    condition     = var.validator.requests_per_minute_per_task >= 1
    error_message = "validator.requests_per_minute_per_task must be 1 or more."
  }
}

variable "uploader" {
  description = "Size and number of the uploader's tasks, and how it stores (docs/configuration.md). With min_tasks = 0 it sleeps while the queue is empty; the next message wakes it within some three minutes, or 20 after six hours without any."
  type = object({
    cpu                       = optional(number, 256)
    memory_mib                = optional(number, 512)
    min_tasks                 = optional(number, 1)
    max_tasks                 = optional(number, 2)
    backlog_messages_per_task = optional(number, 5000)
    enable_spot               = optional(bool, false)
    concurrency               = optional(number, 16)
    receivers                 = optional(number, 1)
    layout                    = optional(string, "object")
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(lookup(local.fargate_memory_mib, var.uploader.cpu, []), var.uploader.memory_mib)
    error_message = contains(keys(local.fargate_memory_mib), tostring(var.uploader.cpu)) ? "uploader.memory_mib is ${var.uploader.memory_mib}, and Fargate offers ${join(", ", lookup(local.fargate_memory_mib, var.uploader.cpu, []))} with uploader.cpu = ${var.uploader.cpu}." : "uploader.cpu is ${var.uploader.cpu}, and Fargate offers 256, 512, 1024, 2048 and 4096 units."
  }

  validation {
    condition     = contains(["object", "batch"], var.uploader.layout)
    error_message = "uploader.layout must be object or batch."
  }

  validation {
    condition     = var.uploader.concurrency >= 1 && var.uploader.receivers >= 1
    error_message = "uploader.concurrency and uploader.receivers must be 1 or more."
  }
}

variable "initial_image_tag" {
  description = "Tag of the images that the first apply looks for; afterwards the pipeline says which (docs/adr/0013)."
  type        = string
  default     = "initial"

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.initial_image_tag)) && var.initial_image_tag != "latest"
    error_message = "initial_image_tag must be a tag, and not latest."
  }
}

variable "monitoring_images" {
  description = "Images of the monitoring; null takes the pinned upstream image."
  type = object({
    prometheus   = optional(string)
    alertmanager = optional(string)
    grafana      = optional(string)
    aws_cli      = optional(string)
  })
  default  = {}
  nullable = false
}

variable "remote_write_url" {
  description = "Remote write URL of a workspace of Amazon Managed Prometheus in this account, where all metrics go as well; null for none."
  type        = string
  default     = null
}

variable "prometheus_retention_days" {
  description = "Days that Prometheus keeps metrics; a new task begins without any."
  type        = number
  default     = 15
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
