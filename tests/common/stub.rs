//! An HTTP server on loopback that answers as a test tells it: for what no emulator does.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use tokio::runtime::Runtime;

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    /// The operation of AWS's JSON protocols, without the service: `ListPublicKeys`.
    pub operation: String,
    /// The region that the request was signed for.
    pub region: String,
    pub headers: axum::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub fn json(value: &serde_json::Value) -> Self {
        Self::new(200, value.to_string()).header("content-type", "application/x-amz-json-1.1")
    }

    /// An error as S3 words it.
    pub fn s3_error(status: u16, code: &str, message: &str) -> Self {
        let xml = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
        Self::new(status, xml).header("content-type", "application/xml")
    }

    /// An error as services with a JSON protocol word it.
    pub fn json_error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "__type": code, "message": message });
        Self { status, ..Self::json(&body) }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Runs on a thread of its own, so tests with and without a runtime can use it. Ends when dropped.
pub struct Stub {
    pub endpoint: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    runtime: Option<Runtime>,
}

impl Stub {
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket can be made nonblocking");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let answer = Arc::new(answer);
        let app = Router::new().fallback(move |request: Request<Body>| {
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            async move {
                let asked = read(request).await;
                log.lock().expect("nobody panics with the log").push(asked.clone());
                write(answer(&asked))
            }
        });
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("inside a runtime");
            axum::serve(listener, app).await.ok();
        });
        Self { endpoint, asked, runtime: Some(runtime) }
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("nobody panics with the log").clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        // A plain drop would wait, which a test's own runtime does not allow.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn read(request: Request<Body>) -> Asked {
    let (head, body) = request.into_parts();
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let scope = text("authorization");
    Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        operation: text("x-amz-target").rsplit('.').next().unwrap_or_default().to_owned(),
        // Credential=KEY/DAY/REGION/SERVICE/aws4_request
        region: scope.split('/').nth(2).unwrap_or_default().to_owned(),
        headers: head.headers,
        body: to_bytes(body, 64 << 20).await.map(Vec::from).unwrap_or_default(),
    }
}

fn write(answer: Answer) -> Response<Body> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).expect("a test's answer is well-formed")
}
