//! What a `[channel.NAME]` means.

use std::net::IpAddr;
use std::time::Duration;

use super::{Role, Secret};
use crate::core::id::{AccountId, Region};
use crate::core::template::Template;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    Stdout(Format),
    Webhook {
        /// Shown nowhere: many a webhook's address is its password.
        url: Secret,
        /// Signs what is posted.
        secret: Option<Secret>,
        /// Sent along, as `Authorization: Bearer`.
        token: Option<Secret>,
        template: Option<Template>,
        timeout: Duration,
    },
    PagerDuty {
        key: Secret,
        url: Secret,
        timeout: Duration,
    },
    /// Opsgenie or, as `jsm`, its successor.
    Opsgenie {
        kind: &'static str,
        key: Secret,
        url: Secret,
        timeout: Duration,
    },
    Slack {
        to: Slack,
        timeout: Duration,
    },
    Teams {
        url: Secret,
        timeout: Duration,
    },
    Alertmanager {
        url: Secret,
        token: Option<Secret>,
        timeout: Duration,
    },
    Email(Email),
    Syslog(Syslog),
    Sns {
        /// The topic's ARN.
        topic: String,
        region: Region,
        role: Option<Role>,
    },
    EventBridge {
        /// The event bus's ARN.
        bus: String,
        region: Region,
        role: Option<Role>,
    },
    Lambda {
        /// The function's ARN, with its version or alias if it has one.
        function: String,
        region: Region,
        role: Option<Role>,
    },
    SecurityHub {
        account: AccountId,
        region: Region,
        role: Option<Role>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slack {
    Webhook(Secret),
    Bot { token: Secret, channel: String, url: Secret },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    pub host: String,
    pub port: u16,
    pub tls: Encryption,
    /// A private root certificate, as PEM.
    pub ca: Option<String>,
    pub from: String,
    pub to: Vec<String>,
    pub login: Option<(String, Secret)>,
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syslog {
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// A private root certificate, as PEM.
    pub ca: Option<String>,
    /// Its number (RFC 5424, 6.2.1).
    pub facility: u8,
    pub timeout: Duration,
}

/// How a connection comes to be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// From its first byte.
    Implicit,
    /// Upon request, without which nothing is said.
    StartTls,
    None,
}

impl Encryption {
    pub fn name(self) -> &'static str {
        match self {
            Self::Implicit => "implicit",
            Self::StartTls => "starttls",
            Self::None => "none",
        }
    }
}

impl Channel {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Stdout(_) => "stdout",
            Self::Webhook { .. } => "webhook",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Opsgenie { kind, .. } => kind,
            Self::Slack { .. } => "slack",
            Self::Teams { .. } => "teams",
            Self::Alertmanager { .. } => "alertmanager",
            Self::Email(_) => "email",
            Self::Syslog(_) => "syslog",
            Self::Sns { .. } => "sns",
            Self::EventBridge { .. } => "eventbridge",
            Self::Lambda { .. } => "lambda",
            Self::SecurityHub { .. } => "securityhub",
        }
    }

    /// The IAM role that it is reached in.
    pub fn role(&self) -> Option<&Role> {
        match self {
            Self::Sns { role, .. }
            | Self::EventBridge { role, .. }
            | Self::Lambda { role, .. }
            | Self::SecurityHub { role, .. } => role.as_ref(),
            _ => None,
        }
    }

    /// Whether what is said can be read on its way through a network.
    pub fn is_open(&self) -> bool {
        let (host, open) = match self {
            Self::Email(email) => (&email.host, email.tls == Encryption::None),
            Self::Syslog(syslog) => (&syslog.host, !syslog.tls),
            _ => return false,
        };
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        open && host != "localhost" && !address.is_ok_and(|address| address.is_loopback())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Human,
    Json,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
        }
    }
}
