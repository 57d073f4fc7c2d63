variable "bucket_name" {
  description = "The bucket that receives the trail."
  type        = string
}

variable "organization_id" {
  description = "The organization, in whose folder the accounts' folders lie."
  type        = string

  validation {
    condition     = can(regex("^o-[a-z0-9]{10,32}$", var.organization_id))
    error_message = "The organization's id must be o- and 10 to 32 of a-z and 0-9."
  }
}

variable "prefix" {
  description = "The trail's key prefix, without a slash at its end; empty for none."
  type        = string
  default     = ""
}

variable "accounts" {
  description = "Accounts that may read their own folder; empty for every member of the organization."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for account in var.accounts : can(regex("^[0-9]{12}$", account))])
    error_message = "Each account must be 12 digits; write it as text, or its leading zeros are lost."
  }
}

variable "role_name" {
  description = "Only roles of this name (with its path, if it has one) may read; null: whoever the account itself allows."
  type        = string
  default     = null

  validation {
    condition     = var.role_name == null || can(regex("^[A-Za-z0-9+=,.@_/-]{1,512}$", var.role_name))
    error_message = "The role's name must have no wildcard."
  }
}

variable "roles_for" {
  description = "Accounts that get a role in this account besides, for tools that cannot read another account's bucket: `NAME-ACCOUNT`, that the account may assume."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for account in var.roles_for : can(regex("^[0-9]{12}$", account))])
    error_message = "Each account must be 12 digits; write it as text, or its leading zeros are lost."
  }
}

variable "roles_name" {
  description = "What those roles are called, before the account."
  type        = string
  default     = "trail-reader"
}

variable "kms_key_arn" {
  description = "The key that deliveries are encrypted with, for those roles."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the roles."
  type        = map(string)
  default     = {}
}
