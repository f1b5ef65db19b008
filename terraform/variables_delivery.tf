variable "github_repository" {
  description = "Repository whose workflows deploy, as owner/name; null for no such role."
  type        = string
  default     = null
}

variable "github_owner_id" {
  description = "Id of the repository's owner on GitHub. Repositories that were created, renamed or transferred since 2026-07-15 have it in the subject of their tokens (docs/deployment.md, step 8); null for older ones."
  type        = number
  default     = null
}

variable "github_repository_id" {
  description = "Id of the repository on GitHub; null where github_owner_id is."
  type        = number
  default     = null
}

variable "github_branches" {
  description = "Branches whose jobs may deploy without naming the GitHub environment."
  type        = list(string)
  default     = []
}

variable "repository_url" {
  description = "URL under which people read the repository's files, for links to runbooks in alerts, such as https://git.example.com/cpsite/-/blob/main; null takes github_repository's on GitHub."
  type        = string
  default     = null
}

variable "alarm_emails" {
  description = "Addresses that alarms and alerts are sent to; each has to confirm once."
  type        = list(string)
  default     = []
}

variable "oldest_message_seconds" {
  description = "Age in seconds of the oldest waiting message above which the alarm fires."
  type        = number
  default     = 600
}

variable "database_connections_alarm" {
  description = "Connections to the database above which the alarm fires."
  type        = number
  default     = 60
}
