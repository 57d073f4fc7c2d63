//! Mail and syslog.

use super::super::raw::{self, At};
use super::super::read::{Read, Reader, filled, word};
use super::super::{Channel, Email, Encryption, Syslog};
use crate::core::printable;

/// By number (RFC 5424, 6.2.1).
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
/// Most addresses that one alert goes to.
const ADDRESSES: usize = 50;

impl Reader<'_> {
    pub(super) fn email(&self, entry: &At<raw::Channel>) -> Read<Channel> {
        let raw = entry.get_ref();
        let all = [Encryption::StartTls, Encryption::Implicit, Encryption::None];
        let tls = self.optional(&raw.tls, |text| word(text, &all, Encryption::name, "tls"))?;
        let tls = tls.unwrap_or(Encryption::StartTls);
        let usual = match tls {
            Encryption::StartTls => 587,
            Encryption::Implicit => 465,
            Encryption::None => 25,
        };
        let at = self.needed(&raw.server, entry, "an email channel needs a `server`, like \"smtp.example.com\"")?;
        let (host, port) = self.parsed(at, |text| server(text, usual))?;
        let from = self.needed(&raw.from, entry, "an email channel needs a `from`")?;
        let to = self.needed(&raw.to, entry, "an email channel needs a `to`: a list of addresses")?;
        let addresses: Vec<String> = to.get_ref().iter().map(|text| self.parsed(text, address)).collect::<Read<_>>()?;
        if !(1..=ADDRESSES).contains(&addresses.len()) {
            return Err(self.at(to, format!("`to` has 1 to {ADDRESSES} addresses")));
        }
        let login = match (&raw.user, &raw.password) {
            (Some(user), Some(password)) if tls != Encryption::None => {
                Some((self.parsed(user, filled)?, self.secret(password)?))
            }
            (Some(at), Some(_)) => return Err(self.at(at, "a password is not sent without TLS: `tls` is \"none\"")),
            (None, None) => None,
            (Some(at), None) => return Err(self.at(at, "`user` goes with `password`, and there is none")),
            (None, Some(at)) => return Err(self.at(at, "`password` goes with `user`, and there is none")),
        };
        Ok(Channel::Email(Email {
            host,
            port,
            tls,
            ca: self.authority(raw)?,
            from: self.parsed(from, address)?,
            to: addresses,
            login,
            timeout: self.timeout(raw)?,
        }))
    }

    pub(super) fn syslog(&self, entry: &At<raw::Channel>) -> Read<Channel> {
        let raw = entry.get_ref();
        let all = [Encryption::Implicit, Encryption::None];
        let tls = self.optional(&raw.tls, |text| word(text, &all, Encryption::name, "tls"))?;
        let tls = tls.unwrap_or(Encryption::Implicit) == Encryption::Implicit;
        let at =
            self.needed(&raw.server, entry, "a syslog channel needs a `server`, like \"logs.example.com:6514\"")?;
        let (host, port) = self.parsed(at, |text| server(text, if tls { 6514 } else { 601 }))?;
        let facility = self.optional(&raw.facility, |text| {
            let found = (0..).zip(FACILITIES).find(|(_, name)| *name == text);
            found
                .map(|(number, _)| number)
                .ok_or_else(|| format!("`{}` is no facility: one of {}", printable(text, 40), FACILITIES.join(", ")))
        })?;
        Ok(Channel::Syslog(Syslog {
            host,
            port,
            tls,
            ca: self.authority(raw)?,
            facility: facility.unwrap_or(13),
            timeout: self.timeout(raw)?,
        }))
    }
}

/// `host`, `host:port`, `[address]:port`.
fn server(text: &str, usual: u16) -> Result<(String, u16), String> {
    let bad = || format!("`{}` is no server: a host and a port like \"mail.example.com:587\"", printable(text, 120));
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
        _ => (text, usual),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
    let is_bare_address = host.contains(':') && !host.starts_with('[');
    if host.is_empty() || port == 0 || !host.chars().all(fits) || is_bare_address {
        return Err(bad());
    }
    Ok((host.to_owned(), port))
}

/// `name@example.com`, or `Name <name@example.com>`.
fn address(text: &str) -> Result<String, String> {
    let inner = text.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>')).unwrap_or(text);
    let fits = inner
        .split_once('@')
        .is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty() && !domain.contains('@'));
    if fits && !inner.contains(char::is_whitespace) && !text.contains(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is no address: one like \"oncall@example.com\"", printable(text, 120)))
    }
}
