//! A bad network on loopback, between the warden and the emulator.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// What can happen to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Latency,
    /// The far side never hears of it.
    ResetBefore,
    /// It has its effect, and the answer is lost.
    ResetAfter,
    /// The answer ends in its middle.
    Truncated,
    SlowDown,
    Internal,
    /// 403, and refreshed credentials would help.
    Expired,
    /// 403 from the queue alone: a key that was deleted.
    Denied,
    /// Accepted, and never answered.
    HalfOpen,
    /// The head at once, the body in small pieces.
    SlowBody,
}

/// What happens in bad weather; the two of credentials are an outage of their own.
pub const FAULTS: [Fault; 8] = [
    Fault::ResetAfter,
    Fault::SlowDown,
    Fault::Truncated,
    Fault::ResetBefore,
    Fault::HalfOpen,
    Fault::Internal,
    Fault::SlowBody,
    Fault::Latency,
];

/// How often what happens: shares of all requests.
pub type Weather = Vec<(Fault, f64)>;

struct Sky {
    upstream: String,
    weather: Mutex<Weather>,
    slowness: Mutex<Duration>,
    die: Mutex<fastrand::Rng>,
    hits: Mutex<BTreeMap<Fault, u64>>,
    requests: Mutex<u64>,
    handed_out: Mutex<BTreeMap<String, u64>>,
    /// Of deliveries that reached the warden, and of those that nobody waited for.
    receipts: Mutex<(Vec<String>, Vec<String>)>,
}

/// Runs on a runtime of its own; ends when dropped.
pub struct Proxy {
    pub endpoint: String,
    sky: Arc<Sky>,
    runtime: Option<Runtime>,
}

impl Proxy {
    pub fn start(upstream: &str, seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        listener.set_nonblocking(true).expect("a socket can be made nonblocking");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let sky = Arc::new(Sky {
            upstream: upstream.trim_start_matches("http://").to_owned(),
            weather: Mutex::default(),
            slowness: Mutex::new(Duration::from_millis(400)),
            die: Mutex::new(fastrand::Rng::with_seed(seed)),
            hits: Mutex::default(),
            requests: Mutex::default(),
            handed_out: Mutex::default(),
            receipts: Mutex::default(),
        });
        let above = Arc::clone(&sky);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("inside a runtime");
            while let Ok((client, _)) = listener.accept().await {
                let sky = Arc::clone(&above);
                tokio::spawn(async move { serve(client, &sky).await.ok() });
            }
        });
        Self { endpoint, sky, runtime: Some(runtime) }
    }

    pub fn set(&self, weather: Weather) {
        *self.sky.weather.lock().expect("nobody panics with it") = weather;
    }

    /// How long a slow body takes, at most.
    pub fn set_slowness(&self, whole: Duration) {
        *self.sky.slowness.lock().expect("nobody panics with it") = whole;
    }

    pub fn hits(&self) -> BTreeMap<Fault, u64> {
        self.sky.hits.lock().expect("nobody panics with it").clone()
    }

    pub fn requests(&self) -> u64 {
        *self.sky.requests.lock().expect("nobody panics with it")
    }

    /// The receipts of deliveries that nobody holds any more: those that nobody waited for and, with `all`, all others so far.
    pub fn take_receipts(&self, all: bool) -> Vec<String> {
        let mut receipts = self.sky.receipts.lock().expect("nobody panics with it");
        let mut taken = std::mem::take(&mut receipts.1);
        if all {
            taken.append(&mut receipts.0);
        }
        taken
    }

    /// How often the queue handed out each message.
    pub fn handed_out(&self) -> BTreeMap<String, u64> {
        self.sky.handed_out.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Sky {
    /// What happens to this request, counted.
    fn choose(&self, request: &Whole) -> Option<Fault> {
        *self.requests.lock().expect("nobody panics with it") += 1;
        let mut roll = self.share();
        let weather = self.weather.lock().expect("nobody panics with it").clone();
        let mut hits = self.hits.lock().expect("nobody panics with it");
        for (fault, share) in weather {
            let meant = match fault {
                Fault::Denied => request.is_queue(),
                Fault::SlowBody => request.starts_with("GET "),
                _ => true,
            };
            // What has never happened does not wait for chance.
            if meant && (roll < share || !hits.contains_key(&fault)) {
                *hits.entry(fault).or_default() += 1;
                return Some(fault);
            }
            roll -= share;
        }
        None
    }

    fn share(&self) -> f64 {
        self.die.lock().expect("nobody panics with the die").f64()
    }

    /// Remembers what a ReceiveMessage brought; answers the receipts.
    fn note(&self, request: &Whole, answer: &Whole) -> Vec<String> {
        if !request.names("AmazonSQS.ReceiveMessage") {
            return Vec::new();
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |message: &Value, field: &str| message[field].as_str().unwrap_or_default().to_owned();
        let mut handed_out = self.handed_out.lock().expect("nobody panics with it");
        let messages = body["Messages"].as_array().into_iter().flatten();
        let receipts = messages.map(|message| {
            *handed_out.entry(text(message, "MessageId")).or_default() += 1;
            text(message, "ReceiptHandle")
        });
        receipts.collect()
    }
}

/// A request or an answer, as it came.
struct Whole {
    head: String,
    body: Vec<u8>,
}

impl Whole {
    /// `None` at the end of the connection. An answer to HEAD has no body, whatever its head says.
    async fn read(from: &mut (impl AsyncBufRead + Unpin), is_bodiless: bool) -> io::Result<Option<Self>> {
        let mut head = String::new();
        loop {
            if from.read_line(&mut head).await? == 0 {
                return Ok(None);
            }
            if head.ends_with("\r\n\r\n") {
                break;
            }
        }
        let mut whole = Self { head, body: Vec::new() };
        if is_bodiless {
            return Ok(Some(whole));
        }
        if let Some(length) = whole.header("content-length").and_then(|text| text.parse().ok()) {
            whole.body = vec![0; length];
            from.read_exact(&mut whole.body).await?;
        } else if whole.header("transfer-encoding").is_some() {
            whole.read_chunks(from).await?;
        }
        Ok(Some(whole))
    }

    /// As they come, with their sizes.
    async fn read_chunks(&mut self, from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<()> {
        loop {
            let mut line = String::new();
            from.read_line(&mut line).await?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let mut chunk = vec![0; size + 2];
            from.read_exact(&mut chunk).await?;
            self.body.extend_from_slice(line.as_bytes());
            self.body.extend_from_slice(&chunk);
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn starts_with(&self, method: &str) -> bool {
        self.head.starts_with(method)
    }

    fn names(&self, operation: &str) -> bool {
        self.header("x-amz-target") == Some(operation)
    }

    fn is_queue(&self) -> bool {
        self.header("x-amz-target").is_some_and(|target| target.starts_with("AmazonSQS."))
    }

    /// An error in the words of the service that was asked.
    fn refused(&self, status: &str, code: &str) -> Vec<u8> {
        let (kind, body) = if self.starts_with("HEAD ") {
            ("application/xml", String::new())
        } else if self.is_queue() {
            ("application/x-amz-json-1.0", format!("{{\"__type\":\"{code}\",\"message\":\"made up by the test\"}}"))
        } else if self.header("x-amz-target").is_none() && self.starts_with("POST ") {
            let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>made up</Message></Error>");
            ("text/xml", format!("<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"))
        } else {
            ("application/xml", format!("<Error><Code>{code}</Code><Message>made up by the test</Message></Error>"))
        };
        // S3 cannot say why it refuses a HEAD: expired credentials make it a bad request.
        let status = if self.starts_with("HEAD ") && status.starts_with("403") { "400 Bad Request" } else { status };
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
    }
}

async fn serve(client: TcpStream, sky: &Arc<Sky>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    let mut server: Option<BufReader<TcpStream>> = None;
    while let Some(request) = Whole::read(&mut client, false).await? {
        let fault = sky.choose(&request);
        match fault {
            Some(Fault::ResetBefore) => return client.get_ref().set_zero_linger(),
            Some(Fault::HalfOpen) => return gone(&mut client).await,
            Some(Fault::SlowDown) => {
                let code = if request.is_queue() { "ServiceUnavailable" } else { "SlowDown" };
                client.write_all(&request.refused("503 Slow Down", code)).await?;
                continue;
            }
            Some(Fault::Internal) => {
                client.write_all(&request.refused("500 Internal Server Error", "InternalError")).await?;
                continue;
            }
            Some(Fault::Expired) => {
                client.write_all(&request.refused("403 Forbidden", "ExpiredToken")).await?;
                continue;
            }
            Some(Fault::Denied) => {
                client.write_all(&request.refused("403 Forbidden", "InvalidClientTokenId")).await?;
                continue;
            }
            Some(Fault::Latency) => tokio::time::sleep(Duration::from_secs_f64(0.02 + 0.4 * sky.share())).await,
            Some(Fault::ResetAfter | Fault::Truncated | Fault::SlowBody) | None => {}
        }
        let upstream = match server.take() {
            Some(open) => open,
            None => BufReader::new(TcpStream::connect(&sky.upstream).await?),
        };
        // It has its effect whether or not the client waits for it.
        let (tell, told) = oneshot::channel();
        tokio::spawn(exchange(upstream, request, Arc::clone(sky), tell));
        let (upstream, answer) = tokio::select! {
            answered = told => answered.map_err(io::Error::other)?,
            ended = gone(&mut client) => return ended,
        };
        let head = answer.head.as_bytes();
        match fault {
            Some(Fault::ResetAfter) => return client.get_ref().set_zero_linger(),
            Some(Fault::Truncated) => {
                let bytes = [head, &answer.body].concat();
                client.write_all(bytes.get(..bytes.len() - answer.body.len().div_ceil(2)).unwrap_or(head)).await?;
                return Ok(());
            }
            Some(Fault::SlowBody) => {
                client.write_all(head).await?;
                let pause = *sky.slowness.lock().expect("nobody panics with it") / 10;
                for piece in answer.body.chunks(answer.body.len().div_ceil(10).max(1)) {
                    tokio::time::sleep(pause).await;
                    client.write_all(piece).await?;
                }
            }
            _ => client.write_all(&[head, &answer.body].concat()).await?,
        }
        server =
            answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")).then_some(upstream);
    }
    Ok(())
}

async fn exchange(
    mut upstream: BufReader<TcpStream>,
    request: Whole,
    sky: Arc<Sky>,
    tell: oneshot::Sender<(BufReader<TcpStream>, Whole)>,
) -> io::Result<()> {
    upstream.write_all(&[request.head.as_bytes(), &request.body].concat()).await?;
    let answer = Whole::read(&mut upstream, request.starts_with("HEAD ")).await?;
    let answer = answer.ok_or_else(|| io::Error::other("the emulator hung up"))?;
    let mut receipts = sky.note(&request, &answer);
    let reached = tell.send((upstream, answer)).is_ok();
    let mut all = sky.receipts.lock().expect("nobody panics with it");
    if reached {
        all.0.append(&mut receipts)
    } else {
        all.1.append(&mut receipts)
    }
    Ok(())
}

/// Until the client has hung up.
async fn gone(client: &mut BufReader<TcpStream>) -> io::Result<()> {
    client.fill_buf().await.map(|_| ())
}
