# An organization: the trail in the management account, the evidence in one that does nothing else, the warden in a third.

locals {
  trail_arn = "arn:aws:cloudtrail:${var.region}:${var.management_account_id}:trail/${var.trail_name}"
  shards    = toset([for number in range(var.shard_count) : tostring(number)])

  # Roles have their names before they are there, so that policies and trusts can name each other. Each warden has its own.
  role_names = { for shard in local.shards : shard => var.shard_count == 1 ? "trailwarden" : "trailwarden-${shard}" }
  role_arns = { for shard, name in local.role_names : shard => {
    archive      = "arn:aws:iam::${var.log_archive_account_id}:role/${name}-archive"
    audit        = "arn:aws:iam::${var.log_archive_account_id}:role/${name}-audit"
    retention    = "arn:aws:iam::${var.log_archive_account_id}:role/${name}-retention"
    organization = "arn:aws:iam::${var.management_account_id}:role/${name}-organization"
    trails       = "arn:aws:iam::${var.management_account_id}:role/${name}-trails"
  } }
}

module "reader" {
  source    = "../../modules/reader"
  providers = { aws = aws.log_archive }

  bucket_name     = var.bucket_name
  organization_id = var.organization_id
}

module "archive" {
  source    = "../../modules/archive"
  providers = { aws = aws.log_archive }

  bucket_name        = var.bucket_name
  trail_arns         = [local.trail_arn]
  organization_id    = var.organization_id
  lock               = var.lock
  confirm_compliance = var.confirm_compliance
  access_log_bucket  = var.access_log_bucket
  bucket_statements  = var.members_read ? [module.reader.bucket_statements] : []
  key_statements     = var.members_read ? [module.reader.key_statements] : []
}

module "trail" {
  source    = "../../modules/trail"
  providers = { aws = aws.management }

  name        = var.trail_name
  bucket      = module.archive.bucket
  kms_key_arn = module.archive.kms_key_arn
}

module "notify" {
  source    = "../../modules/notify"
  providers = { aws = aws.log_archive }

  bucket          = module.archive.bucket
  organization_id = var.organization_id
  shard_count     = var.shard_count
  feeds           = var.feeds
  alarm_actions   = [module.alerts.topic_arn]
}

module "alerts" {
  source    = "../../modules/alerts"
  providers = { aws = aws.security }

  alarm_accounts = [var.log_archive_account_id]
  emails         = var.emails
  pagerduty_url  = var.pagerduty_url
}

module "settings" {
  source   = "../../modules/settings"
  for_each = local.shards

  bucket             = { name = var.bucket_name, region = var.region, owner = var.log_archive_account_id }
  organization_id    = var.organization_id
  shard              = var.shard_count == 1 ? null : { index = tonumber(each.key), count = var.shard_count }
  queue_url          = module.notify.queues[each.key].url
  dead_letters       = [module.notify.queues[each.key].dead_letters]
  topics             = module.notify.topics
  keys               = [module.archive.kms_key_arn, module.alerts.kms_key_arn]
  roles              = local.role_arns[each.key]
  external_id        = var.external_id
  retention          = module.archive.retention
  alert_topics       = { alerts = module.alerts.topic_arn }
  heartbeat          = { topic_arn = module.warden.heartbeat_topics[each.key] }
  more_configuration = var.more_configuration

  posture = {
    trails = [local.trail_arn]
    accept = merge(
      { object_events_missing = "the bucket announces what is deleted, and Object Lock keeps it" },
      { for weakness, reason in { access_logging_off = "no bucket for access logs was named" } : weakness => reason if var.access_log_bucket == null },
    )
  }
}

module "warden" {
  source    = "../../modules/warden"
  providers = { aws = aws.security }

  shards         = local.shards
  configurations = { for shard, settings in module.settings : shard => settings.configuration }
  policies       = { for shard, settings in module.settings : shard => settings.actors["process"] }
  package        = var.package
  vpc_id         = var.vpc_id
  subnet_id      = var.subnet_id
  ami_id         = var.ami_id
  endpoints      = var.endpoints
  topic_key_arn  = module.alerts.kms_key_arn
  alarm_actions  = [module.alerts.topic_arn]
}

# What the warden assumes: a role for each duty, in the account where it lies.

module "access_archive" {
  source    = "../../modules/access"
  for_each  = local.shards
  providers = { aws = aws.log_archive }

  name        = "${local.role_names[each.key]}-archive"
  policy      = module.settings[each.key].actors["archive"]
  trusted     = [module.warden.role_arns[each.key]]
  external_id = var.external_id
}

module "access_audit" {
  source    = "../../modules/access"
  for_each  = local.shards
  providers = { aws = aws.log_archive }

  name        = "${local.role_names[each.key]}-audit"
  policy      = module.settings[each.key].actors["audit"]
  trusted     = [module.warden.role_arns[each.key]]
  external_id = var.external_id
}

module "access_retention" {
  source    = "../../modules/access"
  for_each  = local.shards
  providers = { aws = aws.log_archive }

  name        = "${local.role_names[each.key]}-retention"
  policy      = module.settings[each.key].actors["retention"]
  trusted     = [module.warden.role_arns[each.key]]
  external_id = var.external_id
}

module "access_organization" {
  source    = "../../modules/access"
  for_each  = local.shards
  providers = { aws = aws.management }

  name        = "${local.role_names[each.key]}-organization"
  policy      = module.settings[each.key].actors["organization"]
  trusted     = [module.warden.role_arns[each.key]]
  external_id = var.external_id
}

module "access_trails" {
  source    = "../../modules/access"
  for_each  = local.shards
  providers = { aws = aws.management }

  name        = "${local.role_names[each.key]}-trails"
  policy      = module.settings[each.key].actors["trails"]
  trusted     = [module.warden.role_arns[each.key]]
  external_id = var.external_id
}
