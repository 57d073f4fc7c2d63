//! Mail over SMTP. Plain text alone: there is nothing in it that a stranger's text could be taken for.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lettre::message::header::{self, ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use tokio::time::timeout;

use crate::config::{self, Encryption};
use crate::core::alert::{Alert, Reason};
use crate::core::printable;
use crate::env::Env;
use crate::error::{Class, Error, Result};
use crate::seam::Channel;

const OP: &str = "email:send";
/// A subject fits into one line of a list.
const SUBJECT: usize = 200;
/// Bytes of the server's own words that are told.
const WORDS: usize = 300;

pub struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    timeout: Duration,
    env: Env,
}

/// Automatic replies stay away (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> std::result::Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

impl Email {
    pub fn new(config: &config::Email, env: Env) -> Result<Self> {
        let host = &config.host;
        let tls = match config.tls {
            Encryption::None => Tls::None,
            Encryption::StartTls => Tls::Required(parameters(host, config.ca.as_deref())?),
            Encryption::Implicit => Tls::Wrapper(parameters(host, config.ca.as_deref())?),
        };
        let from = mailbox(&config.from)?;
        let hello = ClientId::Domain(from.email.domain().to_owned());
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(config.port)
            .tls(tls)
            .hello_name(hello)
            .timeout(Some(config.timeout));
        if let Some((user, password)) = &config.login {
            transport = transport.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        let to = config.to.iter().map(|to| mailbox(to)).collect::<Result<_>>()?;
        Ok(Self { transport: transport.build(), from, to, timeout: config.timeout, env })
    }

    /// Mail programs show what refers to the same message as one thread.
    fn message(&self, key: &str, alert: &Alert) -> Result<Message> {
        let domain = self.from.email.domain();
        let thread = format!("<{}@{domain}>", alert.finding.id);
        let mut message = Message::builder()
            .from(self.from.clone())
            .date(SystemTime::from(self.env.now()))
            .message_id(Some(format!("<{key}@{domain}>")))
            .subject(format!("[trailwarden] {}", alert.subject(SUBJECT)))
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN);
        if alert.reason != Reason::Test {
            message = message.header(header::References::from(thread.clone())).header(header::InReplyTo::from(thread));
        }
        for to in &self.to {
            message = message.to(to.clone());
        }
        message.body(alert.text()).map_err(|error| Error::permanent(OP, error))
    }
}

fn mailbox(text: &str) -> Result<Mailbox> {
    text.parse().map_err(|error| Error::permanent(OP, format!("`{}`: {error}", printable(text, 200))))
}

fn parameters(host: &str, ca: Option<&str>) -> Result<TlsParameters> {
    let mut builder = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::Default);
    if let Some(ca) = ca {
        builder = builder.add_root_certificate(Certificate::from_pem(ca.as_bytes()).map_err(|error| failed(&error))?);
    }
    builder.build_rustls().map_err(|error| failed(&error))
}

fn late() -> Error {
    Error::transient(OP, "no answer in time")
}

/// 4yz passes and 5yz does not (RFC 5321, 4.2.1); neither does what the server is not able to. Anything else is the network.
fn failed(error: &lettre::transport::smtp::Error) -> Error {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words.push_str(&format!(": {more}"));
        }
        cause = error.source();
    }
    let class = if error.is_permanent() || error.is_client() { Class::Permanent } else { Class::TRANSIENT };
    let failed = Error::new(class, OP, printable(&words, WORDS));
    match error.status() {
        Some(status) => failed.with_code(status.to_string()),
        None => failed,
    }
}

#[async_trait]
impl Channel for Email {
    /// The key is the `Message-ID`: servers and readers may drop what they have seen.
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        let message = self.message(key, alert)?;
        let sent = timeout(self.timeout, self.transport.send(message)).await.map_err(|_| late())?;
        sent.map(|_| None).map_err(|error| failed(&error))
    }

    /// Whether the server greets us over TLS and takes the password; nothing is sent.
    async fn reach(&self) -> Result<()> {
        let greeted = timeout(self.timeout, self.transport.test_connection()).await.map_err(|_| late())?;
        match greeted {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::permanent(OP, "the server does not greet us")),
            Err(error) => Err(failed(&error)),
        }
    }
}
