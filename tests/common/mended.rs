//! Between the program and the emulator that enforces IAM: what the emulator lacks is answered as AWS documents it, after the
//! emulator said that the caller may. All else passes as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const MOST: usize = 16 << 20;

/// Ends when dropped.
pub struct Mended {
    pub endpoint: String,
    runtime: Option<Runtime>,
}

struct Far {
    endpoint: String,
    client: reqwest::Client,
    may_not: MayNot,
    elsewhere: Elsewhere,
}

/// Access keys of those who may not do what the emulator lets everybody do, by action: its S3 decrypts for whoever may read, and
/// it knows no Security Hub.
pub type MayNot = BTreeMap<&'static str, String>;

/// Endpoints that answer in the emulator's place, once it said that the caller may, by a part of `x-amz-target`.
pub type Elsewhere = Vec<(&'static str, String)>;

/// What the emulator answered.
struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Mended {
    pub fn start(endpoint: &str, may_not: MayNot) -> Self {
        Self::beside(endpoint, may_not, Elsewhere::new())
    }

    pub fn beside(endpoint: &str, may_not: MayNot, elsewhere: Elsewhere) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket can be made nonblocking");
        let own = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let client =
            reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).build().expect("a client");
        let far = Arc::new(Far { endpoint: endpoint.to_owned(), client, may_not, elsewhere });
        let app = Router::new().fallback(move |request| {
            let far = Arc::clone(&far);
            async move { far.answer(request).await }
        });
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("inside a runtime");
            axum::serve(listener, app).await.ok();
        });
        Self { endpoint: own, runtime: Some(runtime) }
    }
}

impl Drop for Mended {
    fn drop(&mut self) {
        // A plain drop would wait, which a test's own runtime does not allow.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Far {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = to_bytes(body, MOST).await.expect("a request fits").to_vec();
        let answer = self.ask(&self.endpoint, &head, body.clone()).await;
        let target = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let answer = match self.elsewhere.iter().find(|(part, _)| target.contains(part)) {
            _ if answer.is_denied() => answer,
            Some((_, endpoint)) => self.ask(endpoint, &head, body).await,
            None => self.mend(&head, &body, answer),
        };
        answer.response(head.method == "HEAD")
    }

    async fn ask(&self, endpoint: &str, head: &axum::http::request::Parts, body: Vec<u8>) -> Answer {
        let mut asked = head.headers.clone();
        asked.remove(CONNECTION);
        asked.remove(TRANSFER_ENCODING);
        let url = format!("{endpoint}{}", head.uri);
        let sent = self.client.request(head.method.clone(), url).headers(asked).body(body).send();
        let came = sent.await.expect("the far side answers");
        let (status, headers) = (came.status(), came.headers().clone());
        Answer { status, headers, body: came.bytes().await.expect("a whole answer").to_vec() }
    }

    fn mend(&self, head: &axum::http::request::Parts, body: &[u8], answer: Answer) -> Answer {
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if head.uri.query().is_some_and(|query| query.split('&').any(|part| part.starts_with("policyStatus"))) {
            let status = "<PolicyStatus xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><IsPublic>false</IsPublic></PolicyStatus>";
            return answer.replaced(StatusCode::OK, "application/xml", status);
        }
        if head.uri.path().ends_with("/invocations") && text("x-amz-invocation-type") == "DryRun" {
            return answer.replaced(StatusCode::NO_CONTENT, "application/json", "");
        }
        // Credential=KEY/DAY/REGION/SERVICE/aws4_request
        let caller =
            text(AUTHORIZATION.as_str()).split_once("Credential=").and_then(|(_, rest)| rest.split('/').next());
        let may = |action: &str| self.may_not.get(action).is_none_or(|key| Some(key.as_str()) != caller);
        if head.uri.path() == "/findings/import" {
            let (action, kind) = ("securityhub:BatchImportFindings", "application/json");
            if may(action) {
                return answer.replaced(StatusCode::OK, kind, r#"{"FailedCount":0,"SuccessCount":0}"#);
            }
            let message = format!("User: somebody is not authorized to perform: {action}");
            let denied = json!({ "Code": "AccessDeniedException", "Message": message }).to_string();
            return answer.replaced(StatusCode::FORBIDDEN, kind, &denied);
        }
        match text("x-amz-target").rsplit('.').next() {
            Some("PutEvents") => {
                let refused = json!({ "FailedEntryCount": 1,
                    "Entries": [{ "ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed." }] });
                return answer.replaced(StatusCode::OK, "application/x-amz-json-1.1", &refused.to_string());
            }
            Some("ListPublicKeys") => {
                let key = json!({ "Value": "a2V5", "Fingerprint": "0123456789abcdef0123456789abcdef",
                                  "ValidityStartTime": 1_767_225_600, "ValidityEndTime": 4_102_444_800_u32 });
                let keys = json!({ "PublicKeyList": [key] }).to_string();
                return answer.replaced(StatusCode::OK, "application/x-amz-json-1.1", &keys);
            }
            Some("GenerateDataKey")
                if serde_json::from_slice::<Value>(body).is_ok_and(|asked| asked["DryRun"] == true) =>
            {
                let refused = json!({ "__type": "DryRunOperationException",
                                      "message": "The request would have succeeded, but the DryRun option is set." });
                return answer.replaced(StatusCode::BAD_REQUEST, "application/x-amz-json-1.1", &refused.to_string());
            }
            _ => {}
        }
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let key = header("x-amz-server-side-encryption-aws-kms-key-id").to_owned();
        if head.method != "GET" || key.is_empty() || may("kms:Decrypt") {
            return answer;
        }
        let denied = format!(
            "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>User: somebody is not authorized to perform: \
             kms:Decrypt on resource: {key} because no identity-based policy allows the kms:Decrypt action</Message></Error>"
        );
        answer.replaced(StatusCode::FORBIDDEN, "application/xml", &denied)
    }
}

impl Answer {
    fn is_denied(&self) -> bool {
        self.status == StatusCode::FORBIDDEN || self.body.windows(12).any(|part| part == b"AccessDenied")
    }

    fn replaced(mut self, status: StatusCode, kind: &str, body: &str) -> Self {
        self.headers.insert("content-type", kind.parse().expect("a header"));
        self.headers.remove("content-range");
        Self { status, body: body.as_bytes().to_vec(), ..self }
    }

    /// The length of an answer without a body is that of the body that it has not.
    fn response(mut self, is_bodiless: bool) -> Response<Body> {
        self.headers.remove(TRANSFER_ENCODING);
        self.headers.remove(CONNECTION);
        if !is_bodiless {
            self.headers.remove(CONTENT_LENGTH);
        }
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
