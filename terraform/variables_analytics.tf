variable "enable_analytics" {
  description = "Whether the messages can be queried with Athena. At rest it costs nothing; who applies it needs permissions for Athena and Glue."
  type        = bool
  default     = false
}

variable "contract_file" {
  description = "File that describes the contracts, for the columns of the tables; null takes contract.json, which `make schema` writes."
  type        = string
  default     = null
}

variable "analytics" {
  description = "Bounds of queries: the GB at which one is stopped, the days that results are kept, and the first day that is looked for, as 2026/11/23."
  type = object({
    max_scan_gb  = optional(number, 10)
    results_days = optional(number, 7)
    first_day    = optional(string, "2026/01/01")
  })
  default = {}
}
