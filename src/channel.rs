//! A configured channel, opened.

use std::sync::Arc;

use crate::aws::Aws;
use crate::config::{Channel, Role, Slack};
use crate::core::id::Region;
use crate::env::Env;
use crate::error::Result;
use crate::local::stdout::Stdout;
use crate::notify;
use crate::seam::DynChannel;

/// Nothing is said to it, and for most of them nobody is asked.
pub async fn open(channel: &Channel, env: &Env) -> Result<DynChannel> {
    let env = env.clone();
    Ok(match channel {
        Channel::Stdout(format) => Arc::new(Stdout::new(*format)),
        Channel::Webhook { url, secret, token, template, timeout } => {
            let webhook = notify::webhook::Webhook::new(url, secret.as_ref(), *timeout, env)?;
            Arc::new(webhook.bearer(token.as_ref())?.template(template.clone()))
        }
        Channel::PagerDuty { key, url, timeout } => {
            Arc::new(notify::pagerduty::PagerDuty::new(key, url, *timeout, env)?)
        }
        Channel::Opsgenie { key, url, timeout, .. } => {
            Arc::new(notify::opsgenie::Opsgenie::new(key, url, *timeout, env)?)
        }
        Channel::Slack { to: Slack::Webhook(url), timeout } => {
            Arc::new(notify::slack::Slack::webhook(url, *timeout, env)?)
        }
        Channel::Slack { to: Slack::Bot { token, channel, url }, timeout } => {
            Arc::new(notify::slack::Slack::bot(token, channel, url, *timeout, env)?)
        }
        Channel::Teams { url, timeout } => Arc::new(notify::teams::Teams::new(url, *timeout, env)?),
        Channel::Alertmanager { url, token, timeout } => {
            Arc::new(notify::alertmanager::Alertmanager::new(url, token.as_ref(), *timeout, env)?)
        }
        Channel::Email(email) => Arc::new(notify::email::Email::new(email, env)?),
        Channel::Syslog(syslog) => Arc::new(notify::syslog::Syslog::new(syslog, env)?),
        Channel::Sns { topic, region, role } => Arc::new(cloud(region, role.as_ref()).await.topic(topic.clone())),
        Channel::EventBridge { bus, region, role } => {
            Arc::new(cloud(region, role.as_ref()).await.event_bus(bus, &env)?)
        }
        Channel::Lambda { function, region, role } => {
            Arc::new(cloud(region, role.as_ref()).await.function(function, &env)?)
        }
        Channel::SecurityHub { account, region, role } => {
            Arc::new(cloud(region, role.as_ref()).await.security_hub(*account, &env)?)
        }
    })
}

async fn cloud(region: &Region, role: Option<&Role>) -> Aws {
    Aws::session(Some(region), role).await
}
