# A Control Tower landing zone: bucket and trail are there and stay as they are. What is added: who hears of deliveries,
# the warden, and its roles. Nothing is promised of a bucket that has no Object Lock.

locals {
  bucket    = var.bucket_name != null ? var.bucket_name : "aws-controltower-logs-${var.log_archive_account_id}-${var.region}"
  trail_arn = "arn:aws:cloudtrail:${var.region}:${var.management_account_id}:trail/${var.trail_name}"
  keys      = compact([var.kms_key_arn])

  roles = {
    archive      = "arn:aws:iam::${var.log_archive_account_id}:role/trailwarden-archive"
    audit        = "arn:aws:iam::${var.log_archive_account_id}:role/trailwarden-audit"
    organization = "arn:aws:iam::${var.management_account_id}:role/trailwarden-organization"
    trails       = "arn:aws:iam::${var.management_account_id}:role/trailwarden-trails"
  }
}

module "notify" {
  source    = "../../modules/notify"
  providers = { aws = aws.log_archive }

  bucket             = local.bucket
  organization_id    = var.organization_id
  prefix             = var.organization_id
  via                = var.via
  existing_topic_arn = var.existing_topic_arn
  feeds              = var.feeds
  alarm_actions      = [module.alerts.topic_arn]
}

module "alerts" {
  source    = "../../modules/alerts"
  providers = { aws = aws.security }

  alarm_accounts = [var.log_archive_account_id]
  emails         = var.emails
}

module "settings" {
  source = "../../modules/settings"

  bucket          = { name = local.bucket, region = var.region, owner = var.log_archive_account_id }
  organization_id = var.organization_id
  # The landing zone's trail has the organization's id as its prefix.
  layout       = ["${var.organization_id}/AWSLogs/{org}/{account}/"]
  queue_url    = module.notify.queues["0"].url
  dead_letters = [module.notify.queues["0"].dead_letters]
  topics       = module.notify.topics
  keys         = concat(local.keys, [module.alerts.kms_key_arn])
  roles        = local.roles
  external_id  = var.external_id
  alert_topics = { alerts = module.alerts.topic_arn }
  heartbeat    = { topic_arn = module.warden.heartbeat_topics["0"] }
  posture      = { trails = [local.trail_arn], writers = ["config.amazonaws.com"] }
}

module "warden" {
  source    = "../../modules/warden"
  providers = { aws = aws.security }

  configurations = { "0" = module.settings.configuration }
  policies       = { "0" = module.settings.actors["process"] }
  package        = var.package
  vpc_id         = var.vpc_id
  subnet_id      = var.subnet_id
  ami_id         = var.ami_id
  topic_key_arn  = module.alerts.kms_key_arn
  alarm_actions  = [module.alerts.topic_arn]
}

module "access_archive" {
  source    = "../../modules/access"
  providers = { aws = aws.log_archive }

  name        = "trailwarden-archive"
  policy      = module.settings.actors["archive"]
  trusted     = [module.warden.role_arns["0"]]
  external_id = var.external_id
}

module "access_audit" {
  source    = "../../modules/access"
  providers = { aws = aws.log_archive }

  name        = "trailwarden-audit"
  policy      = module.settings.actors["audit"]
  trusted     = [module.warden.role_arns["0"]]
  external_id = var.external_id
}

module "access_organization" {
  source    = "../../modules/access"
  providers = { aws = aws.management }

  name        = "trailwarden-organization"
  policy      = module.settings.actors["organization"]
  trusted     = [module.warden.role_arns["0"]]
  external_id = var.external_id
}

module "access_trails" {
  source    = "../../modules/access"
  providers = { aws = aws.management }

  name        = "trailwarden-trails"
  policy      = module.settings.actors["trails"]
  trusted     = [module.warden.role_arns["0"]]
  external_id = var.external_id
}
