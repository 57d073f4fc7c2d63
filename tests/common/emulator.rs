//! AWS on one machine: ministack for S3, SQS, SNS and the rest, moto for Organizations with paging.
//!
//! Each is installed once from PyPI into a virtual environment under the build directory, and started once per test process.
//! Without Python 3 or without PyPI the tests that need it are skipped loudly; with `TRAILWARDEN_REQUIRE_EMULATOR=1` they fail.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use aws_config::{ConfigLoader, SdkConfig};
use aws_sdk_s3::config::{Credentials, Region};
use trailwarden::aws::{Aws, Options, behavior};

pub const REGION: &str = "eu-west-1";

/// Ends the emulator when the test process ends, however that happens: its standard input is a pipe from there.
const LEASH: &str = "\
import os, signal, subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
def end(*_):
    try: os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError: pass
    child.wait()
    os._exit(0)
signal.signal(signal.SIGTERM, end)
threading.Thread(target=lambda: (child.wait(), os._exit(1)), daemon=True).start()
sys.stdin.buffer.read()
end()
";

/// What to install and how to start it.
struct Kind {
    name: &'static str,
    packages: &'static [&'static str],
    program: &'static str,
    args: fn(u16) -> Vec<String>,
    env: fn(u16) -> Vec<(&'static str, String)>,
    /// Whether it speaks TLS, with a certificate that it makes for itself.
    tls: bool,
}

const MINISTACK: Kind = Kind {
    name: "emulator",
    packages: &["ministack==1.5.33", "cryptography"],
    program: "ministack",
    args: |_| Vec::new(),
    env: |port| {
        vec![
            ("BIND_HOST", "127.0.0.1".to_owned()),
            ("GATEWAY_PORT", port.to_string()),
            ("IOT_MTLS_ENABLED", "0".to_owned()),
        ]
    },
    tls: false,
};

/// As `MINISTACK`, and it refuses what no IAM policy allows.
const GUARDED: Kind = Kind {
    env: |port| {
        let mut env = (MINISTACK.env)(port);
        env.push(("AUTH", "true".to_owned()));
        env
    },
    ..MINISTACK
};

/// As `GUARDED`, and policies that refuse plain HTTP can be met.
const FENCED: Kind = Kind {
    env: |port| {
        let mut env = (GUARDED.env)(port);
        env.push(("USE_SSL", "1".to_owned()));
        env
    },
    tls: true,
    ..MINISTACK
};

/// No emulator: what judges IAM policies, and an AWS SDK that comes with it.
const LINTER: Kind = Kind {
    name: "linter",
    // Its entry point asks for `pkg_resources`, which later ones do not have.
    packages: &["parliament==1.6.4", "setuptools<81"],
    program: "parliament",
    args: |_| Vec::new(),
    env: |_| Vec::new(),
    tls: false,
};

/// No emulator of AWS: a mail server, and what certificates are made with.
const MAIL: Kind = Kind {
    name: "mail",
    packages: &["aiosmtpd==1.4.6", "cryptography"],
    program: "aiosmtpd",
    args: |_| Vec::new(),
    env: |_| Vec::new(),
    tls: false,
};

/// No emulator either: the reference implementation of Sigma.
const SIGMA: Kind = Kind {
    name: "sigma",
    packages: &["pysigma==2.0.1"],
    program: "pySigma",
    args: |_| Vec::new(),
    env: |_| Vec::new(),
    tls: false,
};

/// Nor this: an engine that we did not write, over the files that we did.
const DUCKDB: Kind = Kind {
    name: "duckdb",
    packages: &["duckdb==2.0.0"],
    program: "duckdb",
    args: |_| Vec::new(),
    env: |_| Vec::new(),
    tls: false,
};

/// More such engines, and a parser that turns a query into the dialect of each.
const ENGINES: Kind = Kind {
    name: "engines",
    packages: &["duckdb==2.0.0", "polars==2.1.0", "sqlglot==30.30.0"],
    program: "polars",
    args: |_| Vec::new(),
    env: |_| Vec::new(),
    tls: false,
};

/// And one that needs Java.
const SPARK: Kind = Kind {
    name: "spark",
    packages: &["pyspark==4.3.0", "sqlglot==30.30.0"],
    program: "spark",
    args: |_| Vec::new(),
    env: |_| Vec::new(),
    tls: false,
};

const MOTO: Kind = Kind {
    name: "moto",
    packages: &["moto[server]==5.2.5"],
    program: "moto_server",
    args: |port| vec!["-H".to_owned(), "127.0.0.1".to_owned(), "-p".to_owned(), port.to_string()],
    env: |_| Vec::new(),
    tls: false,
};

/// A running emulator. It dies with this value, and with the process.
#[derive(Debug)]
pub struct Emulator {
    pub endpoint: String,
    leash: Child,
}

impl Emulator {
    /// An emulator of one's own. Take `shared` unless the test disturbs others.
    pub fn start() -> Option<Self> {
        start(&MINISTACK)
    }

    /// An emulator of one's own that enforces IAM. The credentials of the tests are its root.
    pub fn guarded() -> Option<Self> {
        start(&GUARDED)
    }

    /// The same behind TLS.
    pub fn fenced() -> Option<Self> {
        start(&FENCED)
    }

    /// The one ministack of this test process. Tests share it, so each makes names of its own.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Emulator>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// The one moto of this test process.
    pub fn moto() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Emulator>> = OnceLock::new();
        SHARED.get_or_init(|| start(&MOTO)).as_ref()
    }

    /// For child processes, on top of a cleared or inherited environment.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        env_of(&self.endpoint)
    }

    /// The seams, connected as the product connects them.
    pub async fn aws(&self) -> Aws {
        Aws::connect_from(loader(&self.endpoint), &Options::default()).await
    }

    /// For clients of the tests' own.
    pub async fn sdk(&self) -> SdkConfig {
        loader(&self.endpoint).load().await
    }

    pub async fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.sdk().await).force_path_style(true).build();
        aws_sdk_s3::Client::from_conf(config)
    }

    pub async fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.sdk().await)
    }

    pub async fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(&self.sdk().await)
    }

    pub async fn organizations(&self) -> aws_sdk_organizations::Client {
        aws_sdk_organizations::Client::new(&self.sdk().await)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.leash.stdin.take());
        self.leash.wait().ok();
    }
}

/// A configuration that reaches `endpoint` with made-up credentials, whatever the environment says.
pub fn loader(endpoint: &str) -> ConfigLoader {
    aws_config::defaults(behavior())
        .endpoint_url(endpoint)
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
}

/// The same as environment variables.
pub fn env_of(endpoint: &str) -> Vec<(&'static str, String)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", REGION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

fn start(kind: &Kind) -> Option<Emulator> {
    let started = install(kind).and_then(|venv| {
        // Another process may take the port between the look and the start.
        (0..3).map(|_| launch(kind, &venv)).find(Result::is_ok).unwrap_or_else(|| launch(kind, &venv))
    });
    or_skip(kind, started)
}

/// The programs of the linter's virtual environment: `parliament`, and a `python` that has boto3.
pub fn linter() -> Option<PathBuf> {
    or_skip(&LINTER, install(&LINTER).map(|venv| venv.join("bin")))
}

/// The `python` of the mail server's virtual environment.
pub fn mail() -> Option<PathBuf> {
    or_skip(&MAIL, install(&MAIL).map(|venv| venv.join("bin")))
}

/// A `python` that has pySigma.
pub fn sigma() -> Option<PathBuf> {
    or_skip(&SIGMA, install(&SIGMA).map(|venv| venv.join("bin/python")))
}

/// A `python` that has DuckDB.
pub fn duckdb() -> Option<PathBuf> {
    or_skip(&DUCKDB, install(&DUCKDB).map(|venv| venv.join("bin/python")))
}

/// A `python` that has DuckDB, Polars and SQLGlot.
pub fn engines() -> Option<PathBuf> {
    or_skip(&ENGINES, install(&ENGINES).map(|venv| venv.join("bin/python")))
}

/// A `python` that has Spark, where there is a Java that it runs on. With `TRAILWARDEN_REQUIRE_SPARK=1` there must be.
pub fn spark() -> Option<PathBuf> {
    if let Err(reason) = java() {
        let required = std::env::var_os("TRAILWARDEN_REQUIRE_SPARK").is_some_and(|value| value == "1");
        assert!(!required, "Spark is required: {reason}");
        eprintln!("SKIPPED: Spark needs Java 17: {reason}");
        return None;
    }
    or_skip(&SPARK, install(&SPARK).map(|venv| venv.join("bin/python")))
}

fn java() -> Result<(), String> {
    let output = Command::new("java").arg("--version").output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let major = said.split_whitespace().nth(1).and_then(|version| version.split('.').next()?.parse().ok());
    if major.is_some_and(|major: u32| major >= 17) { Ok(()) } else { Err(said) }
}

fn or_skip<T>(kind: &Kind, started: Result<T, String>) -> Option<T> {
    match started {
        Ok(started) => Some(started),
        Err(reason) if std::env::var_os("TRAILWARDEN_REQUIRE_EMULATOR").is_some_and(|value| value == "1") => {
            panic!("{} is required and did not start: {reason}", kind.program)
        }
        Err(reason) => {
            eprintln!("SKIPPED: {} did not start: {reason}", kind.program);
            None
        }
    }
}

/// The virtual environment, made when missing; one process makes it while the others wait.
fn install(kind: &Kind) -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("no build directory")?;
    std::fs::create_dir_all(target).map_err(|error| error.to_string())?;
    let venv = target.join(format!("{}-venv", kind.name));
    let lock = File::create(target.join(format!("{}-venv.lock", kind.name))).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let marker = venv.join("installed");
    let wanted = kind.packages.join(" ");
    if std::fs::read_to_string(&marker).is_ok_and(|text| text == wanted) {
        return Ok(venv);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    run(Command::new(venv.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(kind.packages))?;
    std::fs::write(&marker, &wanted).map_err(|error| error.to_string())?;
    Ok(venv)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn launch(kind: &Kind, venv: &Path) -> Result<Emulator, String> {
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    let port = port.map_err(|error| error.to_string())?.port();
    let leash = Command::new(venv.join("bin/python"))
        .args(["-c", LEASH])
        .arg(venv.join("bin").join(kind.program))
        .args((kind.args)(port))
        .envs((kind.env)(port))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let scheme = if kind.tls { "https" } else { "http" };
    let mut emulator = Emulator { endpoint: format!("{scheme}://127.0.0.1:{port}"), leash };
    for _ in 0..600 {
        if answers(port, kind.tls) {
            return Ok(emulator);
        }
        if emulator.leash.try_wait().is_ok_and(|status| status.is_some()) {
            return Err("it ended by itself".to_owned());
        }
        pause(Duration::from_millis(50));
    }
    Err("it does not answer".to_owned())
}

fn answers(port: u16, tls: bool) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    if tls {
        return true;
    }
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok();
    let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut first = [0; 5];
    asked.is_ok() && stream.read_exact(&mut first).is_ok() && &first == b"HTTP/"
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, outside of any runtime")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
