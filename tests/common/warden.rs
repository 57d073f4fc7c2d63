//! The program as a process: started, watched, told to stop, killed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
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
    /// Where its own part of the log begins.
    from: u64,
}

impl Warden {
    /// Its log goes on in the file `log` beside the configuration.
    pub fn start(config: &Path, env: &[(&str, String)]) -> Self {
        Self::spawn(config, command(env).args(["run", "--config"]).arg(config))
    }

    /// With no file larger than `blocks` of the shell's `ulimit -f`: to the warden, a disk that fills up.
    pub fn start_cramped(config: &Path, blocks: u64) -> Self {
        let program = env!("CARGO_BIN_EXE_trailwarden");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec '{program}' run --config \"$0\"");
        let mut shell = Command::new("sh");
        Self::spawn(config, shell.env_clear().arg("-c").arg(script).arg(config).stdin(Stdio::null()))
    }

    fn spawn(config: &Path, command: &mut Command) -> Self {
        let log = config.with_file_name("log");
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        let from = file.metadata().expect("a log file").len();
        let child = command.stdout(Stdio::null()).stderr(file).spawn().expect("the program starts");
        Self { child, log, from }
    }

    /// All that it and those before it logged.
    pub fn log(&self) -> String {
        let mut text = String::new();
        File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text)).expect("the log can be read");
        text
    }

    /// What it logged itself.
    pub fn own_log(&self) -> String {
        let mut text = String::new();
        let mut file = File::open(&self.log).expect("a log file");
        file.seek(SeekFrom::Start(self.from))
            .and_then(|_| file.read_to_string(&mut text))
            .expect("the log can be read");
        text
    }

    /// Where it serves metrics and health.
    pub fn address(&mut self) -> String {
        let mut address = None;
        self.until("it serves metrics", |warden| {
            let own = warden.own_log();
            let served = own.lines().find(|line| line.contains("serving metrics"));
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

    /// The most memory that it ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("a process of ours");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// SIGTERM; answers the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.terminate();
        self.wait().code()
    }

    fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "a signal can be sent");
    }

    /// SIGTERM, and SIGKILL for one that is not gone `ticks` later, as a supervisor does. True when SIGTERM was enough.
    pub fn stop_or_kill(&mut self, ticks: u32) -> bool {
        self.terminate();
        for _ in 0..ticks {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                // Before it listens to signals, one ends it as it ends any program.
                assert!(status.code() == Some(0) || status.signal() == Some(15), "{status}:\n{}", tail(&self.log()));
                return true;
            }
            pause(TICK);
        }
        self.kill();
        false
    }

    /// Waits for one that ends by itself; answers the exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.wait().code()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it can be waited for").is_none()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.wait();
    }

    fn wait(&mut self) -> ExitStatus {
        for _ in 0..PATIENCE {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                assert!(!self.own_log().contains("panicked"), "{}", self.own_log());
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
    get_as(address, path, "*/*")
}

/// As `get`, by whoever wants a certain format.
pub fn get_as(address: &str, path: &str, accept: &str) -> (u16, String) {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}
