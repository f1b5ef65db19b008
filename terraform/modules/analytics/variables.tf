variable "name" {
  description = "Name of workgroup and policies, and, with _ for -, of the database."
  type        = string
}

variable "contract_file" {
  description = "File that describes the contracts, as `make schema` writes it."
  type        = string
}

variable "bucket_name" {
  description = "Name of the bucket with the messages."
  type        = string
}

variable "bucket_arn" {
  description = "ARN of the bucket with the messages."
  type        = string
}

variable "s3_prefix" {
  description = "Where messages are in the bucket, ending in a slash."
  type        = string
}

variable "max_scan_gb" {
  description = "Size in GB (of 1024 MB) at which a query is stopped. 10 GB are 5 cents for Athena; in objects of their own they are 40 million small messages, and $16 for S3's GETs."
  type        = number
  default     = 10

  validation {
    condition     = var.max_scan_gb >= 1 && var.max_scan_gb <= 10240 && floor(var.max_scan_gb) == var.max_scan_gb
    error_message = "max_scan_gb must be a whole number from 1 to 10240."
  }
}

variable "results_days" {
  description = "Days that results of queries are kept."
  type        = number
  default     = 7

  validation {
    condition     = var.results_days >= 1
    error_message = "results_days must be 1 or more."
  }
}

variable "first_day" {
  description = "First day that is looked for, as 2026/11/23. A query without a condition on the day lists each day since."
  type        = string
  default     = "2026/01/01"

  validation {
    condition     = can(regex("^[0-9]{4}/[0-9]{2}/[0-9]{2}$", var.first_day)) && can(timeadd("${replace(var.first_day, "/", "-")}T00:00:00Z", "0s"))
    error_message = "first_day must be a day such as 2026/11/23."
  }
}
