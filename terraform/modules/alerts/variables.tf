variable "name" {
  description = "The topic's name."
  type        = string
  default     = "trailwarden-alerts"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,256}$", var.name))
    error_message = "The name must be 1 to 256 letters, digits, underscores and dashes."
  }
}

variable "publishers" {
  description = "ARNs of roles of other accounts that may publish; those of this account are allowed by their own policies."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.publishers : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[^*?]+$", arn))])
    error_message = "Each publisher must be the whole ARN of a role."
  }
}

variable "alarm_accounts" {
  description = "Accounts whose CloudWatch alarms may tell this topic; this account's may."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for account in var.alarm_accounts : can(regex("^[0-9]{12}$", account))])
    error_message = "Each account must be 12 digits."
  }
}

variable "pagerduty_url" {
  description = "The integration URL of PagerDuty's Amazon CloudWatch integration: it is told of the alarms, which it understands. Findings go to PagerDuty by a channel of the warden's own (docs/channels.md)."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.pagerduty_url == null || can(regex("^https://events(\\.eu)?\\.pagerduty\\.com/integration/[A-Za-z0-9]+/enqueue$", var.pagerduty_url))
    error_message = "The URL must be https://events.pagerduty.com/integration/KEY/enqueue."
  }
}

variable "emails" {
  description = "Addresses that are told; each has to confirm."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.emails : can(regex("^[^@\\s]+@[^@\\s]+$", address))])
    error_message = "Each must be a mail address."
  }
}

variable "queues" {
  description = "Queues that are told, by a name: their ARNs."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "A KMS key of yours for the topic, whose policy lets CloudWatch use it (output `kms_statement`). Null: a key is made."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
}
