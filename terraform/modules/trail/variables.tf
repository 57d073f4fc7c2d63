variable "name" {
  description = "The trail's name."
  type        = string
  default     = "organization"

  validation {
    condition     = can(regex("^[A-Za-z0-9]([A-Za-z0-9]|[._-][A-Za-z0-9]){2,127}$", var.name))
    error_message = "The name must be 3 to 128 letters, digits, dots, underscores and dashes, begin and end with a letter or digit, and have no two signs side by side."
  }
}

variable "bucket" {
  description = "The bucket that receives it, whose policy lets it deliver (output `bucket` of module `archive`)."
  type        = string
}

variable "prefix" {
  description = "The key prefix in the bucket, without a slash at its end; empty for none."
  type        = string
  default     = ""

  validation {
    condition     = !startswith(var.prefix, "/") && !endswith(var.prefix, "/") && !strcontains(var.prefix, "AWSLogs")
    error_message = "The prefix must neither begin nor end with a slash, nor contain AWSLogs."
  }
}

variable "kms_key_arn" {
  description = "The key that logs and digests are encrypted with."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "The key must be the ARN of a KMS key in the bucket's region: a name or alias is looked for in the trail's own account."
  }
}

variable "organization" {
  description = "Whether it is the trail of the whole organization; then this is the management account, or a delegated administrator's."
  type        = bool
  default     = true
}

variable "insights" {
  description = "What CloudTrail Insights look for: any of ApiCallRateInsight, ApiErrorRateInsight. They are paid for by event."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for kind in var.insights : contains(["ApiCallRateInsight", "ApiErrorRateInsight"], kind)])
    error_message = "Insights are ApiCallRateInsight and ApiErrorRateInsight."
  }
}

variable "data_events" {
  description = "Data events besides all management events: for each name, the `type` of resource (\"AWS::S3::Object\"), ARNs that these begin with (`beginning_with`, empty for all), and whether only writing ones. They are paid for by event."
  type = map(object({
    type           = string
    beginning_with = optional(list(string), [])
    writes_only    = optional(bool, false)
  }))
  default = {}

  validation {
    condition     = alltrue([for one in values(var.data_events) : can(regex("^AWS::[A-Za-z0-9]+::[A-Za-z0-9]+$", one.type))])
    error_message = "The type of a resource looks like AWS::S3::Object."
  }
}

variable "tags" {
  description = "Tags of the trail."
  type        = map(string)
  default     = {}
}
