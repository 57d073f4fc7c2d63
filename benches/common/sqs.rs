//! As much of SQS as a warden asks for, from memory and on loopback; every answer waits for as long as it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use axum::serve::ListenerExt;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// SQS's quota for a request.
const REQUEST: usize = 2 << 20;

struct Message {
    id: usize,
    body: String,
    received: u32,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Message>,
    /// Handed out under a receipt, invisible until then.
    held: BTreeMap<u64, (Instant, Message)>,
    receipts: u64,
    begun: Option<Instant>,
    last: Option<Instant>,
}

/// A queue that runs on threads of its own. Ends when dropped.
pub struct Sqs {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
    runtime: Option<Runtime>,
}

impl Sqs {
    pub fn start(messages: &[Vec<u8>], delay: Duration) -> Self {
        let text = |body: &Vec<u8>| String::from_utf8(body.clone()).expect("made messages are text");
        let waiting = messages.iter().enumerate().map(|(id, body)| Message { id, body: text(body), received: 0 });
        let state = Arc::new(Mutex::new(State { waiting: waiting.collect(), ..State::default() }));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).expect("loopback has a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let listener = listener.tap_io(|socket| socket.set_nodelay(true).expect("a socket takes it"));
        let asked = Arc::clone(&state);
        let app = Router::new().fallback(move |request: Request<Body>| {
            let state = Arc::clone(&asked);
            async move {
                tokio::time::sleep(delay).await;
                answer(&state, request).await
            }
        });
        runtime.spawn(async move { axum::serve(listener, app).await.ok() });
        Self { endpoint, state, runtime: Some(runtime) }
    }

    pub fn url(&self) -> String {
        format!("{}/000000000000/press", self.endpoint)
    }

    /// Messages that are not deleted.
    pub fn left(&self) -> usize {
        let state = lock(&self.state);
        state.waiting.len() + state.held.len()
    }

    /// From the first receive to the last deletion.
    pub fn took(&self) -> Duration {
        let state = lock(&self.state);
        match (state.begun, state.last) {
            (Some(begun), Some(last)) => last - begun,
            _ => Duration::ZERO,
        }
    }
}

impl Drop for Sqs {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(state: &Mutex<State>, request: Request<Body>) -> Response<Body> {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let body = to_bytes(request.into_body(), REQUEST).await.unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (status, answer) = {
        let mut state = lock(state);
        match operation.as_str() {
            "ReceiveMessage" => (StatusCode::OK, receive(&mut state, &asked)),
            "DeleteMessageBatch" => (StatusCode::OK, batch(&asked, |entry| delete(&mut state, entry))),
            "ChangeMessageVisibilityBatch" => (StatusCode::OK, batch(&asked, |entry| extend(&mut state, entry))),
            "ChangeMessageVisibility" => {
                extend(&mut state, &asked);
                (StatusCode::OK, json!({}))
            }
            "GetQueueAttributes" => (StatusCode::OK, attributes(&state)),
            _ => (StatusCode::BAD_REQUEST, json!({ "__type": "com.amazonaws.sqs#UnsupportedOperation" })),
        }
    };
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .body(Body::from(answer.to_string()))
        .expect("plain")
}

fn receive(state: &mut State, asked: &Value) -> Value {
    let now = Instant::now();
    state.begun.get_or_insert(now);
    let ended: Vec<u64> = state.held.iter().filter(|(_, (end, _))| *end <= now).map(|(receipt, _)| *receipt).collect();
    for receipt in ended {
        let back = state.held.remove(&receipt).map(|(_, message)| message);
        state.waiting.extend(back);
    }
    let most = asked["MaxNumberOfMessages"].as_u64().unwrap_or(1);
    let mut messages = Vec::new();
    for _ in 0..most {
        let Some(mut message) = state.waiting.pop_front() else { break };
        message.received += 1;
        state.receipts += 1;
        messages.push(json!({
            "MessageId": format!("{:08}-0000-4000-8000-000000000000", message.id),
            "ReceiptHandle": state.receipts.to_string(),
            "Body": message.body,
            "Attributes": { "ApproximateReceiveCount": message.received.to_string() },
        }));
        state.held.insert(state.receipts, (now + visibility(asked), message));
    }
    json!({ "Messages": messages })
}

fn visibility(asked: &Value) -> Duration {
    Duration::from_secs(asked["VisibilityTimeout"].as_u64().unwrap_or(30))
}

fn receipt(entry: &Value) -> Option<u64> {
    entry["ReceiptHandle"].as_str()?.parse().ok()
}

fn delete(state: &mut State, entry: &Value) -> bool {
    state.last = Some(Instant::now());
    receipt(entry).is_some_and(|receipt| state.held.remove(&receipt).is_some())
}

fn extend(state: &mut State, entry: &Value) -> bool {
    let held = receipt(entry).and_then(|receipt| state.held.get_mut(&receipt));
    held.map(|(end, _)| *end = Instant::now() + visibility(entry)).is_some()
}

fn batch(asked: &Value, mut each: impl FnMut(&Value) -> bool) -> Value {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for entry in asked["Entries"].as_array().map(Vec::as_slice).unwrap_or_default() {
        if each(entry) {
            done.push(json!({ "Id": entry["Id"] }));
        } else {
            failed.push(json!({ "Id": entry["Id"], "SenderFault": true, "Code": "ReceiptHandleIsInvalid" }));
        }
    }
    json!({ "Successful": done, "Failed": failed })
}

fn attributes(state: &State) -> Value {
    json!({ "Attributes": {
        "ApproximateNumberOfMessages": state.waiting.len().to_string(),
        "ApproximateNumberOfMessagesNotVisible": state.held.len().to_string(),
        "ApproximateNumberOfMessagesDelayed": "0",
    } })
}
