variable "name" {
  description = "How the warden calls itself in alerts, and what its log labels the trail with."
  type        = string
  default     = "org"

  validation {
    condition     = can(regex("^[a-z0-9_-]{1,40}$", var.name))
    error_message = "The name must be 1 to 40 of a-z, 0-9, - and _."
  }
}

variable "bucket" {
  description = "The bucket that receives the trail: its `name`, its `region`, and the account that must own it (`owner`)."
  type = object({
    name   = string
    region = string
    owner  = string
  })

  validation {
    condition     = can(regex("^[0-9]{12}$", var.bucket.owner))
    error_message = "The bucket's owner must be an account of 12 digits; without it a bucket of the same name elsewhere would be believed."
  }
  validation {
    condition     = can(regex("^[a-z]{2,}(-[a-z]+)+-[0-9]+$", var.bucket.region))
    error_message = "The bucket's region must look like eu-central-1."
  }
}

variable "queue_url" {
  description = "The queue that is told of deliveries, by its URL."
  type        = string

  validation {
    condition     = can(regex("/[0-9]{12}/[A-Za-z0-9_-]{1,80}$", var.queue_url))
    error_message = "The queue's URL must end in its account and its name: https://sqs.REGION.amazonaws.com/ACCOUNT/NAME."
  }
}

variable "organization_id" {
  description = "The organization whose trail is watched; null for the trail of a single account."
  type        = string
  default     = null

  validation {
    condition     = var.organization_id == null || can(regex("^o-[a-z0-9]{10,32}$", var.organization_id))
    error_message = "The organization's id must be o- and 10 to 32 of a-z and 0-9."
  }
}

variable "shard" {
  description = "Which of several wardens this is: its `index` from 0 on, and their `count`, as `shard_count` of module `notify`. Null: it has all accounts."
  type = object({
    index = number
    count = number
  })
  default = null

  validation {
    condition     = var.shard == null ? true : contains([1, 2, 5, 10], var.shard.count) && var.shard.index >= 0 && var.shard.index < var.shard.count && floor(var.shard.index) == var.shard.index
    error_message = "The shard's count must be 1, 2, 5 or 10, and its index a whole number from 0 up to one less."
  }
}

variable "members" {
  description = "\"organizations\" asks AWS Organizations who is a member; or the path of a list on the warden's host. A single account needs a list."
  type        = string
  default     = "organizations"
}

variable "layout" {
  description = "Where each account may write, as the configuration's `layout` says it. Default: `AWSLogs/{org}/{account}/` with an organization, `AWSLogs/{account}/` without."
  type        = list(string)
  default     = null

  validation {
    condition     = var.layout == null ? true : length(var.layout) > 0 && alltrue([for place in var.layout : can(regex("^([^{}]*/)?AWSLogs/([{]org[}]/)?[{]account[}]/$", place))])
    error_message = "Each place of the layout must be [prefix/]AWSLogs/[{org}/]{account}/."
  }
}

variable "keys" {
  description = "ARNs of the KMS keys that deliveries, messages, alert topics or ledger copies are encrypted with."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.keys : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", arn))])
    error_message = "Each key must be the ARN of a KMS key, not of an alias."
  }
}

variable "dead_letters" {
  description = "ARNs of the queue's dead-letter queues."
  type        = list(string)
  default     = []
}

variable "topics" {
  description = "ARNs of the topics between the bucket and the queue."
  type        = list(string)
  default     = []
}

variable "roles" {
  description = "ARNs of the roles that the warden assumes: `archive` for bucket, queue and keys, `organization` for who is a member, `retention`, `audit` for what protects the bucket, `trails` for the trails themselves. Null: the warden does it as itself."
  type = object({
    archive      = optional(string)
    organization = optional(string)
    retention    = optional(string)
    audit        = optional(string)
    trails       = optional(string)
  })
  default = {}

  validation {
    condition     = alltrue([for arn in values(var.roles) : arn == null || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/", arn))])
    error_message = "Each role must be the ARN of an IAM role."
  }
}

variable "external_id" {
  description = "The external id that the trust policies of `roles` ask for; null if they ask for none."
  type        = string
  default     = null
}

variable "retention" {
  description = "What is promised of the archive: `keep_days` and `mode` (\"governance\" or \"compliance\"); `enforce` is \"observe\" or \"apply\". Null: nothing is promised."
  type = object({
    keep_days               = number
    mode                    = optional(string, "governance")
    enforce                 = optional(string, "observe")
    noncurrent_days         = optional(number)
    incomplete_uploads_days = optional(number, 7)
  })
  default = null

  validation {
    condition     = var.retention == null ? true : contains(["governance", "compliance"], var.retention.mode) && contains(["observe", "apply"], var.retention.enforce)
    error_message = "The mode must be governance or compliance, and enforce must be observe or apply."
  }
  validation {
    condition     = var.retention == null ? true : try(var.retention.noncurrent_days >= var.retention.keep_days, true)
    error_message = "Old versions cannot be deleted before the promise to keep them is over: noncurrent_days must be at least keep_days."
  }
}

variable "posture" {
  description = "The audit of what protects the archive: `trails` that deliver, and who else may read, write and administer (docs/posture.md). `accept` maps a weakness that is meant to be to its reason. Null: nobody looks."
  type = object({
    trails         = optional(list(string), [])
    readers        = optional(list(string), [])
    writers        = optional(list(string), [])
    administrators = optional(list(string), [])
    accept         = optional(map(string), {})
  })
  default = {}
}

variable "alert_topics" {
  description = "SNS topics that alerts go to, by the name of their channel."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.alert_topics) : !contains(["heartbeat", "journal"], name)])
    error_message = "The channels heartbeat and journal are made by this module; call the topic's channel something else."
  }
}

variable "alert_buses" {
  description = "EventBridge buses that alerts go to, by the name of their channel."
  type        = map(string)
  default     = {}
}

variable "alert_functions" {
  description = "Lambda functions that alerts go to, by the name of their channel."
  type        = map(string)
  default     = {}
}

variable "security_hub" {
  description = "The `account` and `region` of Security Hub, if alerts go there."
  type = object({
    account = string
    region  = string
  })
  default = null
}

variable "heartbeat" {
  description = "The topic that is told that the warden is alive, and how often; CloudWatch counts what is published. Null: nothing is."
  type = object({
    topic_arn = string
    every     = optional(string, "15m")
  })
  default = null
}

variable "ledger_copies" {
  description = "Where checked copies of the ledger are kept: a bucket that is no trail's, a `prefix`, and its region if it is not the trail's."
  type = object({
    bucket = string
    prefix = optional(string, "ledgers")
    region = optional(string)
  })
  default = null

  validation {
    condition     = try(var.ledger_copies.bucket != var.bucket.name, true)
    error_message = "Copies of the ledger must not lie in the bucket that receives the trail."
  }
}

variable "lease" {
  description = "Where wardens of one `name` on several hosts agree on the one that works: a bucket that is no trail's, a `prefix`, its region if it is not the trail's, and for how long a lease that nobody renews is held."
  type = object({
    name   = string
    bucket = string
    prefix = optional(string, "lease")
    region = optional(string)
    ttl    = optional(string, "60s")
  })
  default = null

  validation {
    condition     = try(var.lease.bucket != var.bucket.name, true)
    error_message = "The lease must not lie in the bucket that receives the trail."
  }
}

variable "history" {
  description = "Where the records of all logs are kept to be asked (docs/history.md): a bucket that is no trail's, a `prefix`, its region if it is not the trail's, the ARN of the KMS key that they are encrypted with, and how long they are kept (`keep`, like \"3y\"; null: for good)."
  type = object({
    bucket  = string
    prefix  = optional(string, "history")
    region  = optional(string)
    kms_key = optional(string)
    keep    = optional(string)
  })
  default = null

  validation {
    condition     = try(var.history.bucket != var.bucket.name, true)
    error_message = "Records must not lie in the bucket that receives the trail."
  }
  validation {
    condition     = try(var.history.kms_key == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.history.kms_key)), true)
    error_message = "Policies name a key by its ARN: arn:aws:kms:REGION:ACCOUNT:key/ID."
  }
}

variable "more_configuration" {
  description = "More of the configuration, as TOML tables: channels with secrets, rules, routes that come before the last."
  type        = string
  default     = ""
}
