# A bucket that is there, with a topic that others listen to: the warden's queue is one more subscriber, and nothing else
# changes. `trailwarden posture` then says what the bucket lacks.

module "alerts" {
  source = "../../modules/alerts"

  emails = var.emails
}

module "notify" {
  source = "../../modules/notify"

  bucket             = var.bucket_name
  via                = "sns"
  existing_topic_arn = var.topic_arn
  organization_id    = var.organization_id
  alarm_actions      = [module.alerts.topic_arn]
}

module "settings" {
  source = "../../modules/settings"

  bucket          = { name = var.bucket_name, region = var.region, owner = var.account_id }
  organization_id = var.organization_id
  members         = var.organization_id == null ? "members.toml" : "organizations"
  layout          = var.layout
  queue_url       = module.notify.queues["0"].url
  dead_letters    = [module.notify.queues["0"].dead_letters]
  topics          = module.notify.topics
  keys            = concat(compact([var.kms_key_arn]), [module.alerts.kms_key_arn])
  roles           = { organization = var.members_role_arn }
  alert_topics    = { alerts = module.alerts.topic_arn }
  heartbeat       = { topic_arn = module.warden.heartbeat_topics["0"] }
  posture         = { trails = var.trail_arns }
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
