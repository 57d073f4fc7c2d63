//! A machine of the test's own: systemd as PID 1, in namespaces.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::common::warden::{pause, stderr, stdout};
use crate::{packaging, skip};

const SYSTEMD: &str = "/lib/systemd/systemd";
/// Of these the rest of a boot is left out: there is no hardware.
const BOOT: [(&str, &str); 3] = [
    ("etc/systemd/system/host.target", "[Unit]\nRequires=basic.target\nAfter=basic.target\n"),
    ("etc/systemd/system/basic.target", "[Unit]\nRequires=sysinit.target\nAfter=sysinit.target\n"),
    (
        "etc/systemd/system/sysinit.target",
        "[Unit]\nWants=systemd-journald.service systemd-sysusers.service systemd-tmpfiles-setup.service\n\
         After=systemd-journald.service systemd-sysusers.service systemd-tmpfiles-setup.service\n",
    ),
];
/// Where a package puts what the repository has.
const INSTALLED: [(&str, &str); 5] = [
    ("usr/lib/systemd/system/trailwarden.service", "systemd/trailwarden.service"),
    ("usr/lib/systemd/system/trailwarden-check.service", "systemd/trailwarden-check.service"),
    ("usr/lib/systemd/system/trailwarden-check.timer", "systemd/trailwarden-check.timer"),
    ("usr/lib/sysusers.d/trailwarden.conf", "systemd/trailwarden.sysusers"),
    ("usr/lib/tmpfiles.d/trailwarden.conf", "systemd/trailwarden.tmpfiles"),
];

pub struct Machine {
    leash: Child,
    /// PID 1, as it is called outside.
    first: String,
    dir: tempfile::TempDir,
}

impl Machine {
    /// This host again, with the units installed, and these files besides. `None` where it cannot be.
    pub fn boot(files: &[(&str, &str)]) -> Option<Self> {
        let units = INSTALLED.map(|(to, from)| (to, packaging(from)));
        let units = units.iter().map(|(to, text)| (*to, text.as_str()));
        let all: Vec<(&str, &str)> = units.chain(files.iter().copied()).collect();
        Self::boot_root(Path::new("/"), &all, Some(Path::new(env!("CARGO_BIN_EXE_trailwarden"))))
    }

    /// Another system, which lies in a folder; what is written there is forgotten with the machine.
    pub fn boot_root(root: &Path, files: &[(&str, &str)], program: Option<&Path>) -> Option<Self> {
        if !root.join(SYSTEMD.trim_start_matches('/')).exists() {
            return skip("systemd is not here");
        }
        let namespaces = ["--mount", "--pid", "--cgroup", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"];
        let able = Command::new("unshare").args(namespaces).stderr(Stdio::null()).status();
        if !able.is_ok_and(|status| status.success()) {
            return skip("a machine in namespaces needs root, and a kernel that lets it mount");
        }
        let dir = tempfile::tempdir().expect("a directory");
        for (path, text) in BOOT.into_iter().chain(files.iter().copied()) {
            let path = dir.path().join("files").join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        let mut leash = Command::new("sh")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host/boot.sh"))
            .args([dir.path(), root])
            .args(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        BufReader::new(leash.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let above = line.trim().to_owned();
        let mut machine = Self { leash, first: String::new(), dir };
        machine.until("PID 1", |machine| {
            let children = std::fs::read_to_string(format!("/proc/{above}/task/{above}/children")).unwrap_or_default();
            machine.first = children.trim().to_owned();
            !machine.first.is_empty()
        });
        machine.until("the boot", |machine| {
            stdout(&machine.inside(&["systemctl", "is-active", "host.target"])).trim() == "active"
        });
        Some(machine)
    }

    pub fn inside(&self, command: &[&str]) -> Output {
        self.nsenter(command).stdin(Stdio::null()).output().expect("nsenter starts")
    }

    pub fn nsenter(&self, command: &[&str]) -> Command {
        let mut all = Command::new("nsenter");
        all.args(["-t", &self.first, "-m", "-p", "-i", "-u", "-r", "-w"]).args(command).env("LC_ALL", "C");
        all
    }

    pub fn must(&self, command: &[&str]) -> String {
        let output = self.inside(command);
        assert!(output.status.success(), "{command:?}: {}{}\n{}", stdout(&output), stderr(&output), self.journal());
        stdout(&output)
    }

    pub fn write(&self, path: &str, text: &str) {
        let script = format!("mkdir -p \"$(dirname {path})\"; printf %s \"$0\" >{path}");
        self.must(&["sh", "-c", &script, text]);
    }

    /// A property of a unit.
    pub fn show(&self, unit: &str, property: &str) -> String {
        self.must(&["systemctl", "show", unit, "--value", "-p", property]).trim().to_owned()
    }

    /// What the units of the package said.
    pub fn journal(&self) -> String {
        stdout(&self.inside(&["journalctl", "--no-pager", "-o", "cat"]))
    }

    /// From now on whoever looks into this folder waits for ever. `None` where the kernel cannot.
    pub fn hang(&self, folder: &str) -> Option<Hanging> {
        if !std::fs::read_to_string("/proc/filesystems").is_ok_and(|known| known.contains("\tfuse\n")) {
            return skip("this kernel has no FUSE");
        }
        let mut command = self.nsenter(&["python3", "-c", include_str!("hang.py"), folder]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("nsenter starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "mounted\n");
        Some(Hanging(child))
    }

    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        for _ in 0..2_000 {
            if holds(self) {
                return;
            }
            pause(Duration::from_millis(100));
        }
        let console = std::fs::read_to_string(self.dir.path().join("console")).unwrap_or_default();
        let journal = if self.first.is_empty() { String::new() } else { self.journal() };
        panic!("{what} was waited for in vain\n{console}\n{journal}");
    }
}

/// A folder that nobody gets out of, until this is dropped.
pub struct Hanging(Child);

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.leash.stdin.take());
        self.leash.wait().ok();
    }
}
