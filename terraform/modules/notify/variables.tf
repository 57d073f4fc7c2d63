variable "name" {
  description = "What the queues, the topic or the rules, and the alarms are called."
  type        = string
  default     = "trailwarden"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,60}$", var.name))
    error_message = "The name must be 1 to 60 letters, digits, underscores and dashes."
  }
}

variable "bucket" {
  description = "The bucket whose deliveries are announced. It is in this account and region."
  type        = string
}

variable "via" {
  description = "\"eventbridge\" (the bucket announces to the default bus, where each queue has a rule; needed for shards) or \"sns\" (to a topic, that each queue subscribes to). Both leave room for others: a SIEM keeps its feed."
  type        = string
  default     = "eventbridge"

  validation {
    condition     = contains(["eventbridge", "sns"], var.via)
    error_message = "via must be eventbridge or sns."
  }
}

variable "shard_count" {
  description = "How many wardens divide the accounts by their last digit: 1, 2, 5 or 10. Each has a queue."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 5, 10], var.shard_count)
    error_message = "shard_count must be 1, 2, 5 or 10, so that each shard has as many last digits as the others."
  }
  validation {
    condition     = var.shard_count == 1 || var.via == "eventbridge"
    error_message = "More than one shard needs via = \"eventbridge\": only its patterns tell accounts apart in the middle of a key."
  }
}

variable "organization_id" {
  description = "The organization whose trail is announced; null if the trail is of a single account, which cannot be divided."
  type        = string
  default     = null

  validation {
    condition     = var.organization_id == null || can(regex("^o-[a-z0-9]{10,32}$", var.organization_id))
    error_message = "The organization's id must be o- and 10 to 32 of a-z and 0-9."
  }
  validation {
    condition     = var.shard_count == 1 || var.organization_id != null
    error_message = "A single account cannot be divided among shards: name the organization, or leave shard_count at 1."
  }
}

variable "prefix" {
  description = "The trail's key prefix, without a slash at its end; empty for none."
  type        = string
  default     = ""

  validation {
    condition     = !can(regex("[*\\\\]", var.prefix)) && !startswith(var.prefix, "/") && !endswith(var.prefix, "/")
    error_message = "The prefix must neither begin nor end with a slash, nor contain * or \\."
  }
}

variable "feeds" {
  description = "Queues of others that keep hearing of every delivery, by a name: their ARNs. With via = \"sns\" they get S3's own message, as if the bucket still sent it to them. Their policies must let the topic or the rule send (output `feed_statement`)."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.feeds) : can(regex("^arn:[a-z-]+:sqs:[a-z0-9-]+:[0-9]{12}:", arn))])
    error_message = "Each feed must be the ARN of an SQS queue."
  }
}

variable "existing_topic_arn" {
  description = "A topic that the bucket announces to already, as in a Control Tower landing zone or before a SIEM: the queue subscribes to it, and the bucket's notification configuration is left alone. Only with via = \"sns\"."
  type        = string
  default     = null

  validation {
    condition     = var.existing_topic_arn == null || can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:", var.existing_topic_arn))
    error_message = "The topic must be the ARN of an SNS topic."
  }
  validation {
    condition     = var.existing_topic_arn == null || var.via == "sns"
    error_message = "A topic that is there already is listened to with via = \"sns\"."
  }
}

variable "manage_bucket_notification" {
  description = "Whether the bucket's notification configuration is made here. It is one document that is replaced as a whole: where others have a part in it, say false and add to it what output `bucket_notification` says."
  type        = bool
  default     = true
}

variable "topic_key_arn" {
  description = "The KMS key of the topic, with via = \"sns\": its policy must let s3.amazonaws.com use it (output `topic_key_statement`). Null: not encrypted at rest; the messages name objects and hold nothing of them."
  type        = string
  default     = null
}

variable "receivers" {
  description = "Roles of other accounts that may receive, where the warden assumes none in this account."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.receivers : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/", arn))])
    error_message = "Each receiver must be the ARN of a role: an account as a whole could take messages away before the warden sees them."
  }
}

variable "max_receives" {
  description = "After how many receives a message goes to the dead-letter queue. Few are used up by an outage of minutes."
  type        = number
  default     = 100

  validation {
    condition     = var.max_receives >= 5 && var.max_receives <= 1000
    error_message = "max_receives must be 5 to 1000."
  }
}

variable "alarm_actions" {
  description = "What the alarms tell: ARNs of topics. An empty list makes no alarms."
  type        = list(string)
  default     = []
}

variable "alarm_age_minutes" {
  description = "A message that waits for longer than this is an alarm: the warden's own `queue_age`, and time to get over it."
  type        = number
  default     = 30

  validation {
    condition     = var.alarm_age_minutes >= 5
    error_message = "Below five minutes an ordinary restart is an alarm."
  }
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
}
