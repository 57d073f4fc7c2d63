variable "region" {
  description = "The landing zone's home region."
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
  description = "The Log Archive account of the landing zone."
  type        = string
}

variable "security_account_id" {
  description = "The Audit account, or another that the warden runs in."
  type        = string
}

variable "deploy_role" {
  description = "The role that Terraform assumes in the two other accounts, from the management account."
  type        = string
  default     = "AWSControlTowerExecution"
}

variable "bucket_name" {
  description = "The landing zone's bucket; null: aws-controltower-logs-ACCOUNT-REGION, as Control Tower calls it."
  type        = string
  default     = null
}

variable "trail_name" {
  description = "The landing zone's trail."
  type        = string
  default     = "aws-controltower-BaselineCloudTrail"
}

variable "kms_key_arn" {
  description = "The key that the landing zone was told to encrypt with; null if it was told none."
  type        = string
  default     = null
}

variable "via" {
  description = "\"eventbridge\" switches the bucket's announcements to EventBridge on, if nobody announces yet; \"sns\" listens to `existing_topic_arn`."
  type        = string
  default     = "eventbridge"
}

variable "existing_topic_arn" {
  description = "The topic that the bucket announces to already; null for none."
  type        = string
  default     = null
}

variable "feeds" {
  description = "Queues of a SIEM and others that hear of every delivery, too, by a name."
  type        = map(string)
  default     = {}
}

variable "vpc_id" {
  description = "The VPC of the warden's account."
  type        = string
}

variable "subnet_id" {
  description = "A private subnet in it."
  type        = string
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
