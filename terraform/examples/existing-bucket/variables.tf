variable "region" {
  description = "The bucket's region."
  type        = string
}

variable "account_id" {
  description = "The account that owns the bucket; the warden runs there, too."
  type        = string
}

variable "organization_id" {
  description = "The organization's id, if it is the trail of an organization; null if not."
  type        = string
  default     = null
}

variable "members_role_arn" {
  description = "A role in the management account, or a delegated administrator's, that may ask AWS Organizations; null: this account may. See output `organization_policy`."
  type        = string
  default     = null
}

variable "bucket_name" {
  description = "The bucket that receives the trail."
  type        = string
}

variable "trail_arns" {
  description = "The trails that deliver there."
  type        = list(string)
}

variable "layout" {
  description = "Where each account may write, if not at AWSLogs/{org}/{account}/ or AWSLogs/{account}/: see module settings."
  type        = list(string)
  default     = null
}

variable "kms_key_arn" {
  description = "The key that deliveries are encrypted with; null for none."
  type        = string
  default     = null
}

variable "topic_arn" {
  description = "The topic that the bucket announces deliveries to, and that others listen to already."
  type        = string
}

variable "vpc_id" {
  description = "The VPC of the warden."
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

variable "emails" {
  description = "Addresses that alerts go to."
  type        = set(string)
  default     = []
}
