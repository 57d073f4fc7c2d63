variable "bucket_name" {
  description = "The bucket that history is written to as Parquet. It is no trail's bucket: what is in it can be made again from the trail's."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "The bucket's name must be 3 to 63 of a-z, 0-9 and -, without dots."
  }
}

variable "prefix" {
  description = "The prefix of the history in it, without a slash at its end; empty for none."
  type        = string
  default     = "history"

  validation {
    condition     = !startswith(var.prefix, "/") && !endswith(var.prefix, "/") && !can(regex("[$*?]", var.prefix))
    error_message = "The prefix must neither begin nor end with a slash, nor hold any of $, * and ?."
  }
}

variable "database" {
  description = "The Glue database."
  type        = string
  default     = "trailwarden"

  validation {
    condition     = can(regex("^[a-z0-9_]{1,255}$", var.database))
    error_message = "The database must be 1 to 255 of a-z, 0-9 and _: Athena needs anything else quoted."
  }
}

variable "table" {
  description = "The table of files. The view over it that puts records together is what `trailwarden archive ddl athena` prints."
  type        = string
  default     = "cloudtrail_files"

  validation {
    condition     = can(regex("^[a-z0-9_]{1,255}$", var.table))
    error_message = "The table must be 1 to 255 of a-z, 0-9 and _."
  }
}

variable "since" {
  description = "The first day that a query looks for, as YYYY-MM-DD."
  type        = string
  default     = "2013-11-01"

  validation {
    condition     = can(formatdate("YYYY-MM-DD", "${var.since}T00:00:00Z"))
    error_message = "The first day must be YYYY-MM-DD."
  }
}

variable "expire_days" {
  description = "When history is deleted; null never."
  type        = number
  default     = null
}

variable "results_days" {
  description = "When the results of queries are deleted."
  type        = number
  default     = 30
}

variable "scan_limit_gib" {
  description = "The most that one query may read, in GiB; it is ended then."
  type        = number
  default     = 100

  validation {
    condition     = var.scan_limit_gib >= 1
    error_message = "A query must be allowed one GiB at least."
  }
}

variable "kms_key_arn" {
  description = "A KMS key of yours for history and results. Null: a key is made."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
}
