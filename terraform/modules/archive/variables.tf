variable "bucket_name" {
  description = "The bucket that receives the trail."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "The bucket's name must be 3 to 63 of a-z, 0-9 and -, without dots, which break TLS."
  }
}

variable "trail_arns" {
  description = "ARNs of the trails that may deliver here, and no others. They need not exist yet: `arn:aws:cloudtrail:REGION:ACCOUNT:trail/NAME`."
  type        = list(string)

  validation {
    condition     = length(var.trail_arns) > 0 && alltrue([for arn in var.trail_arns : can(regex("^arn:[a-z-]+:cloudtrail:[a-z0-9-]+:[0-9]{12}:trail/[A-Za-z0-9._-]{3,128}$", arn))])
    error_message = "Name at least one trail by its whole ARN, without wildcards: a statement that trusts CloudTrail without saying on whose behalf trusts every AWS account."
  }
}

variable "organization_id" {
  description = "The organization, if one of the trails is an organization trail; null if all are of single accounts."
  type        = string
  default     = null

  validation {
    condition     = var.organization_id == null || can(regex("^o-[a-z0-9]{10,32}$", var.organization_id))
    error_message = "The organization's id must be o- and 10 to 32 of a-z and 0-9."
  }
}

variable "prefix" {
  description = "The trails' key prefix, without a slash at its end; empty for none."
  type        = string
  default     = ""

  validation {
    condition     = !startswith(var.prefix, "/") && !endswith(var.prefix, "/") && !strcontains(var.prefix, "AWSLogs") && length(var.prefix) <= 200
    error_message = "The prefix must neither begin nor end with a slash, not contain AWSLogs, and have at most 200 characters."
  }
}

variable "lock" {
  description = "How Object Lock keeps each version by default, from its creation: `days`, and `mode` \"GOVERNANCE\" or \"COMPLIANCE\", which nobody can ever shorten or take back."
  type = object({
    days = number
    mode = optional(string, "GOVERNANCE")
  })
  default = { days = 365 }

  validation {
    condition     = contains(["GOVERNANCE", "COMPLIANCE"], var.lock.mode)
    error_message = "The mode must be GOVERNANCE or COMPLIANCE."
  }
  validation {
    condition     = var.lock.days >= 1 && var.lock.days <= 36500 && floor(var.lock.days) == var.lock.days
    error_message = "The lock must last for 1 to 36500 whole days."
  }
}

variable "confirm_compliance" {
  description = "The bucket's name typed out, with `lock.mode` COMPLIANCE: a typing error in `days` is then paid for for years, and only closing the account ends it."
  type        = string
  default     = ""

  validation {
    condition     = var.lock.mode != "COMPLIANCE" || var.confirm_compliance == var.bucket_name
    error_message = "COMPLIANCE cannot be taken back by anybody: type the bucket's name into confirm_compliance."
  }
}

variable "lifecycle_by" {
  description = "Who sets lifecycle rules: \"terraform\" (the baseline below and nothing else), or \"warden\" (`trailwarden retention apply`), as S3 takes only whole lifecycle configurations."
  type        = string
  default     = "terraform"

  validation {
    condition     = contains(["terraform", "warden"], var.lifecycle_by)
    error_message = "lifecycle_by must be terraform or warden."
  }
}

variable "incomplete_uploads_days" {
  description = "When uploads that were never completed are given up."
  type        = number
  default     = 7

  validation {
    condition     = var.incomplete_uploads_days >= 1
    error_message = "Uploads can be given up after one day at the earliest."
  }
}

variable "noncurrent_days" {
  description = "When versions are deleted that have been replaced or hidden, counted from then; null keeps them."
  type        = number
  default     = null

  validation {
    condition     = var.noncurrent_days == null ? true : var.noncurrent_days >= var.lock.days
    error_message = "Old versions cannot be deleted before their lock is over: noncurrent_days must be at least lock.days."
  }
}

variable "access_log_bucket" {
  description = "Where S3 logs requests to the bucket: another bucket of the same account and region, without a default retention. Null: nowhere."
  type        = string
  default     = null

  validation {
    condition     = var.access_log_bucket == null || var.access_log_bucket != var.bucket_name
    error_message = "A bucket must not log its access into itself: each log would be logged, and Object Lock takes none."
  }
}

variable "kms_key_arn" {
  description = "A KMS key of yours in the bucket's region, whose policy lets the trails encrypt (output `kms_statements`). Null: a key is made."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "The key must be the ARN of a KMS key, not of an alias."
  }
}

variable "bucket_statements" {
  description = "More statements of the bucket's policy, as JSON of a list (module `reader` has them)."
  type        = list(string)
  default     = []
}

variable "key_statements" {
  description = "More statements of the key's policy, as JSON of a list (module `reader` has them). Only for the key that is made here."
  type        = list(string)
  default     = []
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
}
