# The account whose trail it is: whose credentials Terraform runs with. The deploy role is there for it to assume in the others.
provider "aws" {
  alias  = "management"
  region = var.region
}

# The Log Archive account of the landing zone.
provider "aws" {
  alias  = "log_archive"
  region = var.region

  assume_role {
    role_arn = "arn:aws:iam::${var.log_archive_account_id}:role/${var.deploy_role}"
  }
}

# Its Audit account, where the warden runs.
provider "aws" {
  alias  = "security"
  region = var.region

  assume_role {
    role_arn = "arn:aws:iam::${var.security_account_id}:role/${var.deploy_role}"
  }
}
