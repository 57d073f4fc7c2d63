//! Syslog: RFC 5424 messages over TCP, counted by octets (RFC 6587), or over TLS (RFC 5425). One connection for each alert.
//!
//! Syslog has no answer. What is known is that the peer took the bytes and did not reset the connection.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tls;
use crate::config;
use crate::core::alert::{Alert, Reason};
use crate::core::finding::Severity;
use crate::core::printable;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::seam::Channel;

const OP: &str = "syslog:send";
/// Receivers should take 8,192 octets (RFC 5425, 4.3.1): three long values, each at worst of what has to be escaped, and the text.
const VALUE: usize = 600;
const TEXT: usize = 2_048;
const HOSTNAME: usize = 255;
/// How long a peer may take to close a connection that we have ended.
const FAREWELL: Duration = Duration::from_secs(2);
/// The number that RFC 5612 keeps for examples and documentation: the program has none of its own.
const ID: &str = "trailwarden@32473";

pub struct Syslog {
    server: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    facility: u8,
    timeout: Duration,
    env: Env,
}

impl Syslog {
    pub fn new(config: &config::Syslog, env: Env) -> Result<Self> {
        let host = config.host.trim_matches(['[', ']']).to_owned();
        let tls = if config.tls {
            let name = ServerName::try_from(host.clone());
            let name =
                name.map_err(|_| Error::permanent(OP, "the server's name is none that a certificate could have"))?;
            Some((tls::connector(OP, config.ca.as_deref())?, name))
        } else {
            None
        };
        let server = format!("{}:{}", config.host, config.port);
        Ok(Self { server, tls, facility: config.facility, timeout: config.timeout, env })
    }

    async fn within(&self, work: impl Future<Output = Result<()>>) -> Result<()> {
        timeout(self.timeout, work).await.unwrap_or_else(|_| Err(Error::transient(OP, "no answer in time")))
    }

    async fn deliver(&self, frame: &[u8]) -> Result<()> {
        let failed = |what: &str, error: &std::io::Error| Error::transient(OP, format!("{what}: {error}"));
        let stream = TcpStream::connect(&self.server).await.map_err(|error| failed("could not connect", &error))?;
        let sent = match &self.tls {
            None => hand_over(stream, frame).await,
            Some((connector, name)) => match connector.connect(name.clone(), stream).await {
                Ok(stream) => hand_over(stream, frame).await,
                Err(error) => return Err(failed("the TLS handshake failed", &error)),
            },
        };
        sent.map_err(|error| failed("the connection broke", &error))
    }

    fn frame(&self, key: &str, alert: &Alert) -> Vec<u8> {
        let message = message(self.facility, self.env.now(), key, alert);
        let mut frame = format!("{} ", message.len()).into_bytes();
        frame.extend(message.bytes());
        frame
    }
}

/// Writes, ends, and waits for the peer's own end: a reset is seen that way.
async fn hand_over(mut stream: impl AsyncRead + AsyncWrite + Unpin, frame: &[u8]) -> std::io::Result<()> {
    stream.write_all(frame).await?;
    stream.flush().await?;
    stream.shutdown().await?;
    let mut rest = [0; 64];
    loop {
        match timeout(FAREWELL, stream.read(&mut rest)).await {
            Ok(Ok(1..)) => {}
            // Many peers close without a TLS farewell.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(outcome) => return outcome.map(|_| ()),
            Err(_) => return Ok(()),
        }
    }
}

fn message(facility: u8, now: Timestamp, key: &str, alert: &Alert) -> String {
    let finding = &alert.finding;
    let severity = match (alert.reason, finding.severity) {
        (Reason::Resolved | Reason::Acknowledged, _) | (_, Severity::Low) => 5,
        (_, Severity::Critical) => 2,
        (_, Severity::High) => 3,
        (_, Severity::Medium) => 4,
        (_, Severity::Info) => 6,
    };
    let now = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
    let host: String = alert.warden.chars().filter(char::is_ascii_graphic).take(HOSTNAME).collect();
    let host = if host.is_empty() { "-" } else { &host };
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let fields = [
        ("key", key.to_owned()),
        ("reason", alert.reason.to_string()),
        ("id", finding.id.clone()),
        ("kind", finding.kind.to_string()),
        ("class", finding.class.to_string()),
        ("severity", finding.severity.to_string()),
        ("account", text(finding.account.as_ref().map(|account| account.as_str()))),
        ("region", text(finding.region.as_ref().map(|region| region.as_str()))),
        ("trail", text(finding.trail.as_deref())),
        ("bucket", text(finding.bucket.as_deref())),
        ("object", text(finding.object.as_deref())),
        ("count", finding.count.to_string()),
        ("more", alert.more.as_ref().map_or(0, |more| more.count).to_string()),
    ];
    let mut data = format!("[{ID}");
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        data.push_str(&format!(" {name}=\"{}\"", escaped(value)));
    }
    data.push(']');
    // The byte order mark says that the text is UTF-8 (RFC 5424, 6.4).
    format!(
        "<{}>1 {now} {host} trailwarden - {} {data} \u{feff}{}",
        facility * 8 + severity,
        finding.kind.name(),
        alert.subject(TEXT)
    )
}

/// Quotes, backslashes and closing brackets are escaped in a value (RFC 5424, 6.3.3); control characters are made visible.
fn escaped(value: &str) -> String {
    let mut out = String::new();
    for c in printable(value, VALUE).chars() {
        if matches!(c, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[async_trait]
impl Channel for Syslog {
    async fn send(&self, key: &str, alert: &Alert) -> Result<Option<String>> {
        self.within(self.deliver(&self.frame(key, alert))).await.map(|()| None)
    }

    /// Whether somebody listens, and shows a certificate that is believed.
    async fn reach(&self) -> Result<()> {
        self.within(self.deliver(&[])).await
    }
}
