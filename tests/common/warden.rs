//! The program as a process: started, watched, told to stop, killed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Longer than anything a test waits for.
const PATIENCE: u32 = 6_000;
const TICK: Duration = Duration::from_millis(50);

/// The program with an environment of the test's own.
pub fn command(env: &[(&str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trailwarden"));
    command.env_clear().stdin(Stdio::null());
    for name in ["PATH", "TMPDIR", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    for (name, value) in env {
        command.env(name, value);
    }
    command
}

/// Runs one verb to its end.
pub fn run(args: &[&str]) -> Output {
    run_with(&[], args)
}

pub fn run_with(env: &[(&str, String)], args: &[&str]) -> Output {
    let output = command(env).args(args).output().expect("the program starts");
    assert!(!stderr(&output).contains("panicked"), "{args:?}: {}", stderr(&output));
    output
}

/// Runs one verb with a configuration.
pub fn verb(config: &Path, args: &[&str]) -> Output {
    let config = config.to_str().expect("a path of text");
    run(&[args, &["--config", config]].concat())
}

/// What a verb prints with `--json`.
pub fn json(config: &Path, args: &[&str]) -> Value {
    let output = verb(config, &[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A `run` in the background. It is killed when dropped.
pub struct Warden {
    child: Child,
    log: PathBuf,
}

impl Warden {
    /// Its log goes on in the file `log` beside the configuration.
    pub fn start(config: &Path, env: &[(&str, String)]) -> Self {
        let log = config.with_file_name("log");
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        let child = command(env)
            .args(["run", "--config"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the program starts");
        Self { child, log }
    }

    /// All that it and those before it logged.
    pub fn log(&self) -> String {
        let mut text = String::new();
        File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text)).expect("the log can be read");
        text
    }

    /// Where it serves metrics and health.
    pub fn address(&mut self) -> String {
        let mut address = None;
        self.until("it serves metrics", |warden| {
            let last = warden.log();
            let served = last.lines().rfind(|line| line.contains("serving metrics"));
            address = served
                .and_then(|line| serde_json::from_str::<Value>(line).ok())
                .and_then(|line| line["address"].as_str().map(str::to_owned));
            address.is_some()
        });
        address.expect("it was just found")
    }

    /// Waits until `happened`; fails when the warden ends before.
    pub fn until(&mut self, what: &str, mut happened: impl FnMut(&Self) -> bool) {
        for _ in 0..PATIENCE {
            if happened(self) {
                return;
            }
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                panic!("ended ({status}) before {what}:\n{}", self.log());
            }
            pause(TICK);
        }
        panic!("waited in vain: {what}:\n{}", tail(&self.log()));
    }

    /// SIGTERM; answers the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "a signal can be sent");
        self.wait().code()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.wait();
    }

    fn wait(&mut self) -> ExitStatus {
        for _ in 0..PATIENCE {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                assert!(!self.log().contains("panicked"), "{}", self.log());
                return status;
            }
            pause(TICK);
        }
        panic!("it does not stop:\n{}", tail(&self.log()));
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn tail(text: &str) -> &str {
    text.char_indices().nth_back(4_000).map_or(text, |(at, _)| text.get(at..).unwrap_or(text))
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, outside of any runtime")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A plain HTTP GET: status and body.
pub fn get(address: &str, path: &str) -> (u16, String) {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}
