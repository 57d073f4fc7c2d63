//! Signed posts to the services that need one call each: a client of their own would be a hundred times as much code.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, redirect};
use serde_json::Value;

use super::class::{CREDENTIALS, chain, refused};
use crate::env::Env;
use crate::error::{Class, Error, Result};

/// The whole call.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);

/// A service as it is found and signed for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    /// As endpoints are configured: `AWS_ENDPOINT_URL_LAMBDA`.
    pub id: &'static str,
    /// As hosts begin, and as it is signed for.
    pub name: &'static str,
}

/// A service's endpoint in one region, as one identity.
#[derive(Clone)]
pub(super) struct Signed {
    client: Client,
    config: SdkConfig,
    service: Service,
    region: String,
    endpoint: String,
    env: Env,
}

impl Signed {
    /// `endpoint` is one that environment or profile ask for.
    pub fn new(
        config: SdkConfig,
        service: Service,
        region: String,
        endpoint: Option<String>,
        env: Env,
    ) -> Result<Self> {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("trailwarden/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| Error::permanent(service.name, "no TLS client could be made; are there root certificates"))?;
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let endpoint = endpoint.unwrap_or_else(|| format!("https://{}.{region}.{suffix}", service.name));
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Ok(Self { client, config, service, region, endpoint, env })
    }

    /// Posts to a path, which is encoded already. Answers the body of a success; a refusal is classed as the SDK's are.
    pub async fn post(
        &self,
        op: &'static str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: String,
    ) -> Result<Vec<u8>> {
        let url = format!("{}{path}", self.endpoint);
        let signed = self.sign(op, &url, headers, body.as_bytes()).await?;
        let asked = self.client.post(&url).headers(signed).body(body).send().await;
        let answer = asked.map_err(|error| unreached(op, error))?;
        judge(op, answer).await
    }

    async fn sign(
        &self,
        op: &'static str,
        url: &str,
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Result<HeaderMap> {
        let none = || Error::transient(op, "no credentials are configured").with_code(CREDENTIALS);
        let provider = self.config.credentials_provider().ok_or_else(none)?;
        let credentials = provider.provide_credentials().await;
        let identity = credentials.map_err(|error| Error::transient(op, chain(&error)).with_code(CREDENTIALS))?.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service.name)
            .time(SystemTime::from(self.env.now()))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| Error::permanent(op, chain(&error)))?
            .into();
        let request = SignableRequest::new("POST", url, headers.iter().copied(), SignableBody::Bytes(body));
        let signed = request.and_then(|request| sign(request, &params));
        let (instructions, _) = signed.map_err(|error| Error::permanent(op, chain(&error)))?.into_parts();
        let mut all = HeaderMap::new();
        for (name, text) in headers.iter().copied().chain(instructions.headers()) {
            let name = HeaderName::from_bytes(name.as_bytes());
            let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(text)) else {
                return Err(Error::permanent(op, "a value does not fit into a header"));
            };
            value.set_sensitive(true);
            all.insert(name, value);
        }
        Ok(all)
    }
}

async fn judge(op: &'static str, answer: Response) -> Result<Vec<u8>> {
    let status = answer.status();
    let header = |name: &str| answer.headers().get(name)?.to_str().ok().map(|text| text.trim().to_owned());
    let retry_after = header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let (named, request) = (header("x-amzn-errortype"), header("x-amzn-requestid"));
    let body = answer.bytes().await.unwrap_or_default();
    if status.is_success() {
        return Ok(body.into());
    }
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    let word = |name: &str| json[name].as_str().map(str::to_owned);
    let code = named.or_else(|| word("__type")).or_else(|| word("Code")).unwrap_or_default();
    // `aws.protocoltests#Name:http://…`
    let code = code.split(':').next().and_then(|code| code.rsplit('#').next()).unwrap_or_default();
    let words = word("message").or_else(|| word("Message"));
    Err(refused(op, code, words.as_deref(), status.as_u16(), retry_after, request.as_deref()))
}

fn unreached(op: &'static str, error: reqwest::Error) -> Error {
    let what = if error.is_timeout() { "no answer in time" } else { "could not connect" };
    Error::new(Class::TRANSIENT, op, format!("{what}: {}", chain(&error.without_url())))
}
