//! Channels to the outside.

pub mod alertmanager;
pub mod email;
pub mod opsgenie;
pub mod pagerduty;
pub mod post;
pub mod slack;
pub mod syslog;
pub mod teams;
mod tls;
pub mod webhook;
