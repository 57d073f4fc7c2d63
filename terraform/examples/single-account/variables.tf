variable "region" {
  description = "The region of everything."
  type        = string
}

variable "account_id" {
  description = "The account."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "The account must be 12 digits."
  }
}

variable "bucket_name" {
  description = "The bucket that receives the trail."
  type        = string
}

variable "trail_name" {
  description = "The trail's name."
  type        = string
  default     = "account"
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
