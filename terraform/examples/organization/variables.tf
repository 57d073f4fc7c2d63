variable "region" {
  description = "The region of the bucket, the trail's home and the warden."
  type        = string
}

variable "organization_id" {
  description = "The organization's id, o-…"
  type        = string
}

variable "management_account_id" {
  description = "The organization's management account."
  type        = string
}

variable "log_archive_account_id" {
  description = "The account that keeps the evidence."
  type        = string
}

variable "security_account_id" {
  description = "The account that the warden runs in."
  type        = string
}

variable "deploy_role" {
  description = "The role that Terraform assumes in the two other accounts, from the management account."
  type        = string
  default     = "OrganizationAccountAccessRole"
}

variable "bucket_name" {
  description = "The bucket that receives the trail."
  type        = string
}

variable "trail_name" {
  description = "The trail's name."
  type        = string
  default     = "organization"
}

variable "lock" {
  description = "How long, and how, every object is locked: see module archive."
  type = object({
    days = number
    mode = optional(string, "GOVERNANCE")
  })
  default = { days = 365 }
}

variable "confirm_compliance" {
  description = "The bucket's name typed out, if `lock` is in COMPLIANCE mode."
  type        = string
  default     = ""
}

variable "access_log_bucket" {
  description = "A bucket of the log archive account for S3's access logs; null for none."
  type        = string
  default     = null
}

variable "shard_count" {
  description = "How many wardens divide the accounts among them: see module notify."
  type        = number
  default     = 1
}

variable "feeds" {
  description = "Queues of a SIEM and others that hear of every delivery, too, by a name."
  type        = map(string)
  default     = {}
}

variable "members_read" {
  description = "Whether member accounts may read their own folder."
  type        = bool
  default     = true
}

variable "vpc_id" {
  description = "The VPC of the security account."
  type        = string
}

variable "subnet_id" {
  description = "A private subnet in it."
  type        = string
}

variable "endpoints" {
  description = "VPC endpoints to make there: see module warden."
  type        = set(string)
  default     = []
}

variable "package" {
  description = "The package to install: see module warden."
  type = object({
    url    = string
    sha256 = string
  })
}

variable "ami_id" {
  description = "The image to start from; null takes Amazon Linux 2023."
  type        = string
  default     = null
}

variable "external_id" {
  description = "What the warden has to name when it assumes its roles."
  type        = string
  default     = "trailwarden"
}

variable "emails" {
  description = "Addresses that alerts go to."
  type        = set(string)
  default     = []
}

variable "pagerduty_url" {
  description = "PagerDuty's CloudWatch integration, told when the warden itself is in trouble."
  type        = string
  default     = null
  sensitive   = true
}

variable "more_configuration" {
  description = "More of the warden's configuration: channels, rules, routes."
  type        = string
  default     = ""
}
