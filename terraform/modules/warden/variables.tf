variable "name" {
  description = "What the host, its roles and its alarms are called; with several shards, NAME-SHARD."
  type        = string
  default     = "trailwarden"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,48}$", var.name))
    error_message = "The name must be 1 to 48 letters, digits, underscores and dashes."
  }
}

variable "shards" {
  description = "The shards, each with a host of its own: the keys of `queues` of module `notify`."
  type        = set(string)
  default     = ["0"]

  validation {
    condition     = length(var.shards) > 0 && alltrue([for shard in var.shards : can(regex("^[0-9]$", shard))])
    error_message = "Shards are \"0\" to \"9\", at least one."
  }
}

variable "configurations" {
  description = "By shard: the configuration, output of module `settings`. It goes through the instance's user data, so no secret may stand in it; the warden takes none there."
  type        = map(string)
}

variable "files" {
  description = "More files beside the configuration in /etc/trailwarden, by their names: rules, or the list of members that a single account needs."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.files) : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]*$", name)) && name != "trailwarden.toml"])
    error_message = "Files have plain names of letters, digits, dots, dashes and underscores; trailwarden.toml is the configuration."
  }
}

variable "policies" {
  description = "By shard: what the process itself may do, as JSON: `actors[\"process\"]` of module `settings`."
  type        = map(string)
}

variable "package" {
  description = "The package to install: an https `url` of a .deb or .rpm, and its `sha256`."
  type = object({
    url    = string
    sha256 = string
  })

  validation {
    condition     = can(regex("^https://[^\\s'\"\\\\$`]+\\.(deb|rpm)$", var.package.url))
    error_message = "The package must be a .deb or .rpm at an https address."
  }
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.package.sha256))
    error_message = "The package's SHA-256 must be 64 hexadecimal digits in lower case: what is fetched is installed only if it is that."
  }
}

variable "subnet_id" {
  description = "A private subnet, from which AWS can be reached: by a NAT gateway, or by `endpoints`."
  type        = string
}

variable "vpc_id" {
  description = "The subnet's VPC."
  type        = string
}

variable "ami_id" {
  description = "The image to start from; null takes Amazon Linux 2023 as it is now. A newer image does not replace a host that is there."
  type        = string
  default     = null
}

variable "instance_type" {
  description = "The size of the host."
  type        = string
  default     = "t3.small"
}

variable "architecture" {
  description = "The processor of the instance type, for the image: \"x86_64\" or \"arm64\"."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "The architecture must be x86_64 or arm64."
  }
}

variable "volume_gib" {
  description = "The volume for the ledger, which outlives the host, in GiB."
  type        = number
  default     = 20

  validation {
    condition     = var.volume_gib >= 4
    error_message = "The ledger's volume must have at least 4 GiB."
  }
}

variable "volume_key_arn" {
  description = "A KMS key of yours for the volumes; null takes the account's own for EBS."
  type        = string
  default     = null
}

variable "egress_cidrs" {
  description = "Where the host may connect to, on port 443 only. With endpoints for everything it is enough to name the VPC's own."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "endpoints" {
  description = "VPC endpoints to make in the subnet, by service. AWS Organizations has one in us-east-1 only."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.endpoints, ["sqs", "sns", "sts", "kms", "cloudtrail", "events", "lambda", "securityhub", "organizations", "ssm", "ssmmessages", "ec2messages"])) == 0
    error_message = "Endpoints are of sqs, sns, sts, kms, cloudtrail, events, lambda, securityhub, organizations, ssm, ssmmessages, ec2messages; S3 has its own by route_table_ids."
  }
}

variable "route_table_ids" {
  description = "Route tables that get a gateway to S3; empty makes none."
  type        = list(string)
  default     = []
}

variable "session_manager" {
  description = "Whether people can open a session on the host through Systems Manager. There is no other way in."
  type        = bool
  default     = true
}

variable "topic_key_arn" {
  description = "The key of the topics for heartbeats; null takes the account's own for SNS."
  type        = string
  default     = null
}

variable "heartbeat_minutes" {
  description = "How often the warden says that it is alive (`heartbeat.every` of module `settings`). Three that do not come are an alarm."
  type        = number
  default     = 15

  validation {
    condition     = contains([1, 5, 10, 15, 30, 60], var.heartbeat_minutes)
    error_message = "The heartbeat must come every 1, 5, 10, 15, 30 or 60 minutes."
  }
}

variable "alarm_actions" {
  description = "What the alarms tell: ARNs of topics. An empty list makes no alarms."
  type        = list(string)
  default     = []
}

variable "permissions_boundary" {
  description = "The ARN of a permissions boundary of the host's role, where the account demands one."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made here."
  type        = map(string)
  default     = {}
}
