# One account, without an organization. Whoever administers it can take all of this away; only the lock stays.

locals {
  trail_arn = "arn:aws:cloudtrail:${var.region}:${var.account_id}:trail/${var.trail_name}"
  # Retention changes more than the warden may otherwise, so it has a role of its own.
  retention_role = "arn:aws:iam::${var.account_id}:role/trailwarden-retention"
}

module "archive" {
  source = "../../modules/archive"

  bucket_name        = var.bucket_name
  trail_arns         = [local.trail_arn]
  lock               = var.lock
  confirm_compliance = var.confirm_compliance
}

module "trail" {
  source = "../../modules/trail"

  name         = var.trail_name
  bucket       = module.archive.bucket
  kms_key_arn  = module.archive.kms_key_arn
  organization = false
}

module "alerts" {
  source = "../../modules/alerts"

  emails = var.emails
}

module "notify" {
  source = "../../modules/notify"

  bucket        = module.archive.bucket
  alarm_actions = [module.alerts.topic_arn]
}

module "settings" {
  source = "../../modules/settings"

  name         = "account"
  bucket       = { name = var.bucket_name, region = var.region, owner = var.account_id }
  members      = "members.toml"
  queue_url    = module.notify.queues["0"].url
  dead_letters = [module.notify.queues["0"].dead_letters]
  keys         = [module.archive.kms_key_arn, module.alerts.kms_key_arn]
  roles        = { retention = local.retention_role }
  external_id  = "trailwarden"
  retention    = module.archive.retention
  alert_topics = { alerts = module.alerts.topic_arn }
  heartbeat    = { topic_arn = module.warden.heartbeat_topics["0"] }

  posture = {
    trails = [local.trail_arn]
    accept = {
      access_logging_off    = "there is no bucket for access logs"
      object_events_missing = "the bucket announces what is deleted, and Object Lock keeps it"
    }
  }
}

module "warden" {
  source = "../../modules/warden"

  configurations = { "0" = module.settings.configuration }
  files          = { "members.toml" = "[[account]]\nid = \"${var.account_id}\"\n" }
  policies       = { "0" = module.settings.actors["process"] }
  package        = var.package
  vpc_id         = var.vpc_id
  subnet_id      = var.subnet_id
  ami_id         = var.ami_id
  topic_key_arn  = module.alerts.kms_key_arn
  alarm_actions  = [module.alerts.topic_arn]
}

module "access_retention" {
  source = "../../modules/access"

  name        = "trailwarden-retention"
  policy      = module.settings.actors["retention"]
  trusted     = [module.warden.role_arns["0"]]
  external_id = "trailwarden"
}
