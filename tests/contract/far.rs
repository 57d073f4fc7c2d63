//! The channels against real servers: mail, syslog, Alertmanager, and AWS's emulators.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use trailwarden::channel;
use trailwarden::config::Config;
use trailwarden::core::alert::{Alert, Reason, specimen};
use trailwarden::env::Env;
use trailwarden::error::{Class, Error};
use trailwarden::seam::{Channel as _, DynChannel};

use crate::common::emulator::{self, Emulator, REGION};
use crate::common::stub::{Answer, Stub};
use crate::common::warden::pause;

const ID: &str = "7fb90462c0cb";

fn alert(reason: Reason) -> Alert {
    let mut alert = specimen(reason);
    alert.finding.id = ID.into();
    alert
}

/// A channel of a configuration in a folder of its own.
async fn open(dir: &Path, keys: &str) -> DynChannel {
    std::fs::write(dir.join("secret"), "s3cr3t0123").unwrap();
    let text = format!(
        "[channel.x]\n{keys}\n[[route]]\nto = [\"x\"]\n[[trail]]\nname = \"org\"\nbucket = \"file:///b\"\n\
         queue = \"file:///q\"\nkeys = \"file:///k\"\n[organization]\nmembers = \"file:///m\"\n"
    );
    let config = Config::from_text(&text, dir.join("config.toml").to_str().unwrap());
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    channel::open(&config.channels["x"], &Env::system()).await.unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A mail server, which ends with this value; or only the certificates that it would have had.
struct Server {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    dir: tempfile::TempDir,
    port: u16,
}

impl Server {
    fn start(mode: &str) -> Option<Self> {
        let bin = emulator::mail()?;
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/mail_server.py");
        let mut child = Command::new(bin.join("python"))
            .arg(script)
            .args([mode, &port.to_string()])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, lines, dir, port };
        assert_eq!(server.line(), "ready\n");
        Some(server)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    fn message(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    fn keys(&self, more: &str) -> String {
        let (port, ca) = (self.port, self.dir.path().join("ca.pem"));
        format!(
            "kind = \"email\"\nserver = \"localhost:{port}\"\nca = {ca:?}\nfrom = \"Trail Warden <warden@example.com>\"\n{more}"
        )
    }

    async fn channel(&self, more: &str) -> DynChannel {
        open(self.dir.path(), &self.keys(more)).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

const LOGIN: &str = "user = \"user\"\npassword = { file = \"secret\" }";

#[tokio::test(flavor = "multi_thread")]
async fn mail_arrives_over_tls_as_one_thread_of_plain_text() {
    for mode in ["starttls", "implicit"] {
        let Some(mut server) = Server::start(mode) else { return };
        let to = "to = [\"oncall@example.com\", \"Team <team@example.com>\"]";
        let channel = server.channel(&format!("tls = \"{mode}\"\n{LOGIN}\n{to}")).await;
        channel.reach().await.unwrap();
        channel.send("key-1", &alert(Reason::First)).await.unwrap();
        channel.send("key-2", &alert(Reason::Resolved)).await.unwrap();
        let (first, second) = (server.message(), server.message());
        assert_eq!(first["from"], "warden@example.com");
        assert_eq!(first["to"], json!(["oncall@example.com", "team@example.com"]));
        let text = first["data"].as_str().unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let head = head.replace("\r\n ", " ");
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or("");
        assert_eq!(header("Message-ID"), "<key-1@example.com>");
        assert_eq!(header("Auto-Submitted"), "auto-generated");
        assert!(header("Subject").starts_with("[trailwarden] critical log_modified"), "{head}");
        assert!(header("Content-Type").starts_with("text/plain"), "{head}");
        assert!(!head.contains("\nevil") && head.lines().filter(|line| line.starts_with("To: ")).count() == 1);
        let thread = format!("<{ID}@example.com>");
        assert_eq!(header("References"), thread);
        assert!(second["data"].as_str().unwrap().contains(&format!("In-Reply-To: {thread}")));
        assert!(second["data"].as_str().unwrap().contains("Message-ID: <key-2@example.com>"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_says_who_can_act() {
    let Some(server) = Server::start("starttls") else { return };
    let send =
        async |more: &str| -> Error { server.channel(more).await.send("k", &alert(Reason::First)).await.unwrap_err() };
    let to = "to = [\"oncall@example.com\"]";
    let full = send(&format!("{LOGIN}\nto = [\"full@example.com\"]")).await;
    assert_eq!((full.class, full.code.as_deref()), (Class::TRANSIENT, Some("452")), "{full}");
    let nobody = send(&format!("{LOGIN}\nto = [\"nobody@example.com\"]")).await;
    assert_eq!((nobody.class, nobody.code.as_deref()), (Class::Permanent, Some("550")), "{nobody}");
    std::fs::write(server.dir.path().join("wrong"), "wr0ng").unwrap();
    let wrong = send(&format!("user = \"user\"\npassword = {{ file = \"wrong\" }}\n{to}")).await;
    assert_eq!((wrong.class, wrong.code.as_deref()), (Class::Permanent, Some("535")), "{wrong}");
    assert!(!format!("{wrong:?}").contains("wr0ng"));
    let plain = open(server.dir.path(), &server.keys(&format!("tls = \"none\"\n{to}"))).await;
    assert_eq!(
        plain.send("k", &alert(Reason::First)).await.unwrap_err().class,
        Class::Permanent,
        "STARTTLS is required"
    );
    let stranger = server.keys(&format!("{LOGIN}\n{to}")).replace("ca = ", "#ca = ");
    let stranger = open(server.dir.path(), &stranger).await.send("k", &alert(Reason::First)).await.unwrap_err();
    assert!(stranger.text.contains("certificate"), "{stranger}");
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let keys = server.keys(&format!("timeout = \"1s\"\n{to}")).replace(&server.port.to_string(), &port.to_string());
    let late = open(server.dir.path(), &keys).await.send("k", &alert(Reason::First)).await.unwrap_err();
    assert!(late.is_transient(), "{late}");
}

/// What came over a connection until its end.
async fn heard(mut stream: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

fn check_frame(frame: &str) {
    let (length, message) = frame.split_once(' ').unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), message.len(), "counted in octets");
    // local4 is 20, critical is 2.
    let rest = message.strip_prefix("<162>1 ").unwrap_or_else(|| panic!("{message}"));
    let words: Vec<&str> = rest.splitn(6, ' ').collect();
    assert!(words[0].parse::<jiff::Timestamp>().is_ok() && words[0].len() <= 27, "{}", words[0]);
    assert_eq!(words[1..5], ["w1", "trailwarden", "-", "log_modified"]);
    let (data, text) = words[5].split_once("] \u{feff}").unwrap();
    assert!(data.starts_with("[trailwarden@32473 key=\"key\" reason=\"first\" id=\"7fb90462c0cb\""), "{data}");
    assert!(text.starts_with("critical log_modified 111122223333") && !text.contains('\n'), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_messages_are_counted_framed_and_escaped() {
    let dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = format!(
        "kind = \"syslog\"\nserver = \"{}\"\ntls = \"none\"\nfacility = \"local4\"",
        listener.local_addr().unwrap()
    );
    let channel = open(dir.path(), &keys).await;
    let far = tokio::spawn(async move {
        let first = heard(listener.accept().await.unwrap().0).await;
        (first, heard(listener.accept().await.unwrap().0).await)
    });
    channel.send("key", &alert(Reason::First)).await.unwrap();
    let mut hostile = alert(Reason::First);
    hostile.finding.object = Some("a\"]\\b\n[x y=\"z\"]".into());
    hostile.finding.detail = "x".repeat(50_000);
    channel.send("key", &hostile).await.unwrap();
    let (first, second) = far.await.unwrap();
    check_frame(&first);
    assert!(second.contains(r#"object="a\"\]\\b\\u{a}[x y=\"z\"\]""#), "{second}");
    assert!(second.len() < 8_192, "{}", second.len());
    let gone = channel.send("key", &alert(Reason::First)).await.unwrap_err();
    assert!(gone.is_transient(), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_over_tls_believes_the_certificate_that_it_is_told_to() {
    let Some(server) = Server::start("certificates") else { return };
    let file = |name: &str| server.dir.path().join(name);
    let chain = CertificateDer::pem_file_iter(file("cert.pem")).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(file("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let far = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                return heard(stream).await;
            }
        }
    });
    let keys = format!("kind = \"syslog\"\nserver = \"localhost:{port}\"\nfacility = \"local4\"");
    let stranger = open(server.dir.path(), &keys).await.send("key", &alert(Reason::First)).await.unwrap_err();
    assert!(stranger.text.contains("TLS handshake"), "{stranger}");
    let channel = open(server.dir.path(), &format!("{keys}\nca = {:?}", file("ca.pem"))).await;
    channel.send("key", &alert(Reason::First)).await.unwrap();
    check_frame(&far.await.unwrap());
}

/// Debian's Alertmanager, unpacked below the build directory; it ends with this value.
struct Alertmanager {
    child: Child,
    url: String,
    _dir: tempfile::TempDir,
}

impl Alertmanager {
    fn start() -> Option<Self> {
        let root = Self::unpacked().or_else(|| {
            eprintln!("SKIPPED: Debian's Alertmanager cannot be had");
            None
        })?;
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let config = "route: { receiver: none }\nreceivers: [{ name: none }]\n";
        std::fs::write(dir.path().join("config.yml"), config).unwrap();
        let child = Command::new(root.join("alertmanager"))
            .arg(format!("--config.file={}", dir.path().join("config.yml").display()))
            .arg(format!("--storage.path={}", dir.path().display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .current_dir(root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { child, url: format!("http://127.0.0.1:{port}"), _dir: dir })
    }

    /// Where it is unpacked, as `alertmanager`.
    fn unpacked() -> Option<PathBuf> {
        // It looks for its templates where Debian would have installed them: below the folder that it runs in will do.
        const UNPACK: &str = "apt-get download prometheus-alertmanager && dpkg -x prometheus-alertmanager_*.deb . \
            && sed 's#/usr/share/prometheus/alertmanager#usr/share/prometheus/alertmanager/#g' \
               usr/bin/prometheus-alertmanager > made && chmod +x made && mv made alertmanager";
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("alertmanager");
        std::fs::create_dir_all(&root).ok()?;
        if !root.join("alertmanager").exists() {
            let output = Command::new("sh").args(["-c", UNPACK]).current_dir(&root).output().ok()?;
            output.status.success().then_some(())?;
        }
        Some(root)
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.ok()?;
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_shows_a_finding_until_it_ends() {
    let Some(far) = Alertmanager::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let channel = open(dir.path(), &format!("kind = \"alertmanager\"\nurl = \"{}\"", far.url)).await;
    let mut reached = channel.reach().await;
    for _ in 0..200 {
        if reached.is_ok() {
            break;
        }
        pause(Duration::from_millis(50));
        reached = channel.reach().await;
    }
    reached.unwrap();
    for _ in 0..2 {
        channel.send("key", &alert(Reason::First)).await.unwrap();
    }
    let shown = far.get("/api/v2/alerts").await.unwrap();
    assert_eq!(shown.as_array().unwrap().len(), 1, "a repeat is the same alert: {shown}");
    assert_eq!((&shown[0]["labels"]["finding"], &shown[0]["status"]["state"]), (&json!(ID), &json!("active")));
    assert!(shown[0]["annotations"]["description"].as_str().unwrap().contains("<!channel>"));
    let mut over = alert(Reason::Resolved);
    over.finding.resolved_at = Some(trailwarden::env::Env::system().now());
    channel.send("key-2", &over).await.unwrap();
    assert_eq!(far.get("/api/v2/alerts").await.unwrap(), json!([]));
}

/// Asks an emulator as an SDK would, which does not look at the signature.
async fn ask(endpoint: &str, service: &str, path: &str, target: Option<&str>, body: Value) -> Value {
    let scope = format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let client = reqwest::Client::new().post(format!("{endpoint}{path}")).header("authorization", scope);
    let client = match target {
        Some(target) => client.header("x-amz-target", target).header("content-type", "application/x-amz-json-1.1"),
        None => client.header("content-type", "application/json"),
    };
    let answer = client.body(body.to_string()).send().await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_bus_hands_alerts_on_to_what_its_rules_say() {
    let Some(emulator) = Emulator::shared() else { return };
    let sqs = emulator.sqs().await;
    let queue = sqs.create_queue().queue_name("alerts-of-a-bus").send().await.unwrap().queue_url.unwrap();
    let arn = format!("arn:aws:sqs:{REGION}:000000000000:alerts-of-a-bus");
    let pattern = json!({ "source": ["trailwarden"], "detail": { "finding": { "severity": ["critical"] } } });
    let rule = json!({ "Name": "alerts", "EventPattern": pattern.to_string(), "State": "ENABLED" });
    ask(&emulator.endpoint, "events", "/", Some("AWSEvents.PutRule"), rule).await;
    let targets = json!({ "Rule": "alerts", "Targets": [{ "Id": "queue", "Arn": arn }] });
    ask(&emulator.endpoint, "events", "/", Some("AWSEvents.PutTargets"), targets).await;
    let bus = emulator.aws().await.event_bus("default", &Env::system()).unwrap();
    bus.send("key-1", &alert(Reason::First)).await.unwrap();
    let taken = sqs.receive_message().queue_url(&queue).wait_time_seconds(5).send().await.unwrap();
    let body: Value = serde_json::from_str(taken.messages()[0].body().unwrap()).unwrap();
    assert_eq!((&body["source"], &body["detail-type"]), (&json!("trailwarden"), &json!("trailwarden finding")));
    assert_eq!((&body["detail"]["key"], &body["detail"]["finding"]["id"]), (&json!("key-1"), &json!(ID)));
}

#[tokio::test(flavor = "multi_thread")]
async fn security_hub_holds_one_finding_and_archives_it() {
    let Some(emulator) = Emulator::moto() else { return };
    let aws = emulator.aws().await;
    ask(&emulator.endpoint, "securityhub", "/accounts", None, json!({})).await;
    let hub = aws.security_hub("123456789012".parse().unwrap(), &Env::system()).unwrap();
    hub.send("key-1", &alert(Reason::First)).await.unwrap();
    let mut over = alert(Reason::Resolved);
    over.finding.resolved_at = Some(over.finding.last_seen + jiff::SignedDuration::from_secs(60));
    hub.send("key-2", &over).await.unwrap();
    let held = ask(&emulator.endpoint, "securityhub", "/findings", None, json!({ "MaxResults": 100 })).await;
    let found: Vec<&Value> = held["Findings"].as_array().into_iter().flatten().collect();
    assert_eq!(found.len(), 1, "{held}");
    assert!(found[0]["Id"].as_str().unwrap().ends_with(ID));
    assert_eq!((&found[0]["RecordState"], &found[0]["Severity"]["Label"]), (&json!("ARCHIVED"), &json!("CRITICAL")));
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_is_asked_as_its_references_say_and_answers_are_classed() {
    use trailwarden::aws::{Aws, Options};
    let connect = async |stub: &Stub| Aws::connect_from(emulator::loader(&stub.endpoint), &Options::default()).await;
    let env = Env::system();
    let arn = "arn:aws:lambda:eu-west-1:111122223333:function:alerts:live";
    let stub = Stub::start(|_| Answer::new(202, ""));
    let function = connect(&stub).await.function(arn, &env).unwrap();
    function.send("key-1", &alert(Reason::First)).await.unwrap();
    function.reach().await.unwrap();
    let asked = stub.asked();
    assert!(
        asked[0].path.ends_with("function%3Aalerts%3Alive/invocations")
            && asked[0].path.starts_with("/2015-03-31/functions/")
    );
    let kinds: Vec<&str> = asked.iter().map(|asked| asked.headers["x-amz-invocation-type"].to_str().unwrap()).collect();
    assert_eq!(kinds, ["Event", "DryRun"]);
    assert_eq!((asked[0].json()["key"].as_str(), asked[0].region.as_str()), (Some("key-1"), "eu-west-1"));
    let scope = asked[0].headers["authorization"].to_str().unwrap();
    assert!(scope.contains("/eu-west-1/lambda/aws4_request") && scope.contains("SignedHeaders="), "{scope}");

    for (status, code, transient) in [
        (429, "TooManyRequestsException", true),
        (500, "ServiceException", true),
        (403, "AccessDeniedException", false),
        (404, "ResourceNotFoundException", false),
    ] {
        let stub = Stub::start(move |_| {
            Answer::json_error(status, code, "No.").header("x-amzn-errortype", format!("{code}:http://x/"))
        });
        let error =
            connect(&stub).await.function(arn, &env).unwrap().send("k", &alert(Reason::First)).await.unwrap_err();
        assert_eq!((error.is_transient(), error.code.as_deref()), (transient, Some(code)), "{error}");
    }
    for (code, transient) in [("InternalFailure", true), ("ThrottlingException", true), ("InvalidArgument", false)] {
        let entry = json!({ "FailedEntryCount": 1, "Entries": [{ "ErrorCode": code, "ErrorMessage": "No." }] });
        let stub = Stub::start(move |_| Answer::json(&entry));
        let error =
            connect(&stub).await.event_bus("b", &env).unwrap().send("k", &alert(Reason::First)).await.unwrap_err();
        assert_eq!((error.is_transient(), error.code.as_deref()), (transient, Some(code)), "{error}");
    }
    let failed = json!({ "FailedCount": 1, "FailedFindings": [{ "Id": "x", "ErrorCode": "InvalidInput", "ErrorMessage": "No." }] });
    let stub = Stub::start(move |_| Answer::json(&failed));
    let hub = connect(&stub).await.security_hub("111122223333".parse().unwrap(), &env).unwrap();
    assert_eq!(hub.send("k", &alert(Reason::First)).await.unwrap_err().class, Class::Permanent);
    let finding = &stub.asked()[0].json()["Findings"][0];
    assert_eq!(finding["ProductArn"], "arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default");
    for needed in [
        "SchemaVersion",
        "Id",
        "GeneratorId",
        "AwsAccountId",
        "Types",
        "CreatedAt",
        "UpdatedAt",
        "Severity",
        "Title",
        "Description",
        "Resources",
    ] {
        assert!(!finding[needed].is_null(), "{needed} is required");
    }
}
