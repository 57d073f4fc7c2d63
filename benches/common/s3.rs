//! As much of S3 as the warden asks for, from memory and on loopback: listings old and new, objects, their metadata.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Response, StatusCode, Uri};
use axum::serve::ListenerExt;
use percent_encoding::percent_decode_str;
use tokio::runtime::Runtime;

struct Stored {
    body: Bytes,
    metadata: BTreeMap<String, String>,
}

struct Bucket {
    objects: BTreeMap<String, Stored>,
    /// Milliseconds that every answer waits for.
    delay: AtomicU64,
}

/// Runs on threads of its own. Ends when dropped.
pub struct Server {
    pub endpoint: String,
    bucket: Arc<Bucket>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Serves the objects of a directory under any bucket name, and more beside them; those may share their bytes.
    pub fn start(dir: &Path, more: &[(String, Bytes)]) -> Self {
        let mut objects = BTreeMap::new();
        load(dir, "", &mut objects);
        let more = more.iter().cloned().map(|(key, body)| (key, Stored { body, metadata: BTreeMap::new() }));
        objects.extend(more);
        let bucket = Arc::new(Bucket { objects, delay: AtomicU64::new(0) });
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).expect("loopback has a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let listener = listener.tap_io(|socket| socket.set_nodelay(true).expect("a socket takes it"));
        let served = Arc::clone(&bucket);
        let app = Router::new().fallback(move |request: Request<Body>| {
            let bucket = Arc::clone(&served);
            let head_only = request.method() == Method::HEAD;
            let uri = request.uri().clone();
            async move { answer(&bucket, &uri, head_only).await }
        });
        runtime.spawn(async move { axum::serve(listener, app).await.ok() });
        Self { endpoint, bucket, runtime: Some(runtime) }
    }

    pub fn delay(&self, each: Duration) {
        self.bucket.delay.store(u64::try_from(each.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn load(root: &Path, folder: &str, objects: &mut BTreeMap<String, Stored>) {
    for entry in std::fs::read_dir(root.join(folder)).expect("the world was played") {
        let entry = entry.expect("the world was played");
        let name = entry.file_name().into_string().expect("made names are UTF-8");
        if entry.file_type().expect("the world was played").is_dir() {
            load(root, &format!("{folder}{name}/"), objects);
        } else if !name.ends_with(".meta.json") {
            let sidecar = std::fs::read(root.join(format!("{folder}{name}.meta.json"))).unwrap_or_default();
            let metadata = serde_json::from_slice(&sidecar).unwrap_or_default();
            let body = std::fs::read(entry.path()).expect("the world was played").into();
            objects.insert(format!("{folder}{name}"), Stored { body, metadata });
        }
    }
}

async fn answer(bucket: &Bucket, uri: &Uri, head_only: bool) -> Response<Body> {
    let delay = bucket.delay.load(Ordering::Relaxed);
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let path = uri.path().trim_start_matches('/');
    let (_, key) = path.split_once('/').unwrap_or((path, ""));
    let key = percent_decode_str(key).decode_utf8_lossy();
    if !key.is_empty() {
        return object(bucket, &key, head_only);
    }
    let query: HashMap<String, String> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned()))
        .collect();
    if query.contains_key("location") {
        return xml(StatusCode::OK, "<LocationConstraint/>".to_owned());
    }
    xml(StatusCode::OK, list(bucket, &query))
}

fn object(bucket: &Bucket, key: &str, head_only: bool) -> Response<Body> {
    let Some(stored) = bucket.objects.get(key) else {
        let error = "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>";
        return xml(StatusCode::NOT_FOUND, error.to_owned());
    };
    let mut response = Response::builder()
        .header("content-type", "application/json")
        .header("content-length", stored.body.len())
        .header("last-modified", "Wed, 01 Jan 2025 00:00:00 GMT")
        .header("etag", format!("\"{:032x}\"", stored.body.len()));
    for (name, value) in &stored.metadata {
        response = response.header(format!("x-amz-meta-{name}"), value);
    }
    let body = if head_only { Body::empty() } else { Body::from(stored.body.clone()) };
    response.body(body).expect("made metadata are headers")
}

fn xml(status: StatusCode, text: String) -> Response<Body> {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}");
    Response::builder().status(status).header("content-type", "application/xml").body(Body::from(text)).expect("plain")
}

/// Both versions; made keys need no escapes in XML or URLs.
fn list(bucket: &Bucket, query: &HashMap<String, String>) -> String {
    let text = |name: &str| query.get(name).map_or("", String::as_str);
    let second = text("list-type") == "2";
    let (prefix, delimiter) = (text("prefix"), text("delimiter"));
    let after = match (text("continuation-token"), text("start-after"), text("marker")) {
        ("", "", marker) => marker,
        ("", after, _) => after,
        (token, _, _) => token,
    };
    let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
    let (mut contents, mut folders) = (String::new(), BTreeSet::new());
    let (mut count, mut last, mut more) = (0, "", false);
    for (key, stored) in bucket.objects.range::<str, _>((from, Bound::Unbounded)) {
        let Some(rest) = key.strip_prefix(prefix) else { break };
        if count == 1000 {
            more = true;
            break;
        }
        if !delimiter.is_empty()
            && let Some((folder, _)) = rest.split_once(delimiter)
        {
            folders.insert(format!("{prefix}{folder}{delimiter}"));
            continue;
        }
        count += 1;
        last = key;
        contents.push_str(&format!(
            "<Contents><Key>{key}</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified><ETag>\"{size:032x}\"</ETag>\
             <Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>",
            size = stored.body.len()
        ));
    }
    let folders: String =
        folders.iter().map(|folder| format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>")).collect();
    let next = match (more, second) {
        (false, _) => String::new(),
        (true, true) => format!("<NextContinuationToken>{last}</NextContinuationToken>"),
        (true, false) => format!("<NextMarker>{last}</NextMarker>"),
    };
    format!(
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name><Prefix>{prefix}</Prefix>\
         <EncodingType>url</EncodingType><KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>{more}</IsTruncated>\
         {next}{contents}{folders}</ListBucketResult>"
    )
}
