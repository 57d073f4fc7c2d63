variable "name" {
  description = "The role's name. Module `settings` takes its ARN, `arn:aws:iam::ACCOUNT:role/NAME`, before it is there."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{1,64}$", var.name))
    error_message = "The name must be 1 to 64 letters, digits and +=,.@_-."
  }
}

variable "policy" {
  description = "What the role may do, as JSON: one of the `actors` of module `settings`."
  type        = string

  validation {
    condition     = length(jsondecode(var.policy).Statement) > 0
    error_message = "The policy allows nothing: a role without a duty is not needed."
  }
}

variable "trusted" {
  description = "ARNs of the roles that may assume it: the warden's own."
  type        = list(string)

  validation {
    condition     = length(var.trusted) > 0 && alltrue([for arn in var.trusted : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[^*?]+$", arn))])
    error_message = "Name the warden's role by its whole ARN: an account as a whole, or a wildcard, lets anybody there in."
  }
}

variable "external_id" {
  description = "An id that whoever assumes the role has to name, as in the warden's configuration."
  type        = string
  default     = null
}

variable "permissions_boundary" {
  description = "The ARN of a permissions boundary, where the account demands one."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of the role."
  type        = map(string)
  default     = {}
}
