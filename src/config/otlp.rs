//! `[otlp]`: a collector that is sent the log and the traces of messages, besides.

use std::collections::BTreeMap;

use super::meaning::Lines;
use super::raw::{self, At};
use super::read::{Read, Reader};
use super::{Secret, trails};
use crate::core::printable;

/// A collector that speaks OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    /// Without `/v1/traces` and `/v1/logs`; no `/` at its end.
    pub endpoint: String,
    /// Sent with every post.
    pub headers: BTreeMap<String, Secret>,
    /// `service.name`.
    pub service: String,
    /// Of a million traces so many are sent.
    pub sample: u32,
}

/// All of them.
const WHOLE: u32 = 1_000_000;
const SAMPLE: u32 = WHOLE / 10;
const SERVICE: &str = "trailwarden";

impl Otlp {
    /// The share of traces that are sent, `0.0..=1.0`.
    pub fn share(&self) -> f64 {
        f64::from(self.sample) / f64::from(WHOLE)
    }
}

impl Reader<'_> {
    pub(super) fn otlp(&self, raw: &raw::Otlp) -> Read<Option<Otlp>> {
        let Some(at) = &raw.endpoint else {
            if *raw != raw::Otlp::default() {
                return Err(self.missing("[otlp] has no `endpoint`, like \"http://127.0.0.1:4318\""));
            }
            return Ok(None);
        };
        let headers = raw.headers.iter().map(|(name, at)| self.header(name, at)).collect::<Read<_>>()?;
        Ok(Some(Otlp {
            endpoint: self.parsed(at, endpoint)?,
            headers,
            service: self.optional(&raw.service, trails::label)?.unwrap_or_else(|| SERVICE.to_owned()),
            sample: raw.sample.as_ref().map_or(Ok(SAMPLE), |at| self.sample(at))?,
        }))
    }

    fn header(&self, name: &str, at: &At<raw::Secret>) -> Read<(String, Secret)> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(fits) {
            return Err(self.at(at, format!("`{}` is no name of a header", printable(name, 60))));
        }
        Ok((name.to_ascii_lowercase(), self.secret(at)?))
    }

    fn sample(&self, at: &At<f64>) -> Read<u32> {
        let share = *at.get_ref();
        if !(0.0..=1.0).contains(&share) {
            return Err(self.at(at, "`sample` is the share of traces that are sent: 0.0 to 1.0"));
        }
        Ok((share * f64::from(WHOLE)).round() as u32)
    }
}

/// What it needs to be let in is a header, and stands in no address.
fn endpoint(text: &str) -> Result<String, &'static str> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"@?#".contains(&byte);
    match host {
        Some(host)
            if !host.starts_with(['/', ':'])
                && host.bytes().all(fits)
                && reqwest::Url::parse(text).is_ok_and(|url| url.has_host()) =>
        {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err("an endpoint is like \"http://127.0.0.1:4318\" or \"https://collector.example.com/otlp\", with \
                  neither a password nor a query"),
    }
}

pub(super) fn say(otlp: Option<&Otlp>, lines: &mut Lines) {
    let mut say = |key: &str, value: String| lines.push((format!("otlp.{key}"), value));
    let Some(otlp) = otlp else { return say("endpoint", "none: the log goes to stderr alone".into()) };
    say("endpoint", otlp.endpoint.clone());
    say("headers", otlp.headers.keys().cloned().collect::<Vec<_>>().join(", "));
    say("service", otlp.service.clone());
    say("sample", format!("{} of all traces", otlp.share()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> Result<Option<Otlp>, String> {
        let trail = "[organization]\nmembers = \"m.toml\"\n[[trail]]\nname = \"org\"\nbucket = \"file:///b/c\"\nqueue = \"file:///q\"\nkeys = \"k\"\n";
        Config::from_text(&format!("{trail}{text}"), "here")
            .map(|config| config.otlp)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_collector_has_an_address_and_its_secrets_lie_elsewhere() {
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("[otlp]\n"), Ok(None));
        let plain = read("[otlp]\nendpoint = \"http://127.0.0.1:4318/\"").unwrap().unwrap();
        assert_eq!(
            (plain.endpoint.as_str(), plain.sample, plain.service.as_str()),
            ("http://127.0.0.1:4318", SAMPLE, SERVICE)
        );
        let whole = read("[otlp]\nendpoint = \"https://c/otlp\"\nsample = 1.0\nservice = \"audit\"").unwrap().unwrap();
        assert!((whole.share() - 1.0).abs() < 1e-9 && whole.service == "audit");
        for (text, wanted) in [
            ("service = \"audit\"", "no `endpoint`"),
            ("endpoint = \"127.0.0.1:4318\"", "an endpoint is like"),
            ("endpoint = \"http://\"", "an endpoint is like"),
            ("endpoint = \"http://127.0.0.1:99999\"", "an endpoint is like"),
            ("endpoint = \"https://[::1\"", "an endpoint is like"),
            ("endpoint = \"http://me:secret@c\"", "neither a password"),
            ("endpoint = \"http://c?token=x\"", "neither a password"),
            ("endpoint = \"http://c\"\nsample = 1.5", "0.0 to 1.0"),
            ("endpoint = \"http://c\"\nsample = nan", "0.0 to 1.0"),
            ("endpoint = \"http://c\"\nheaders = { authorization = \"Bearer x\" }", "does not belong in this file"),
            ("endpoint = \"http://c\"\nheaders = { \"a b\" = { file = \"x\" } }", "no name of a header"),
        ] {
            let told = read(&format!("[otlp]\n{text}")).unwrap_err();
            assert!(told.contains(wanted), "{text}: {told}");
        }
    }
}
