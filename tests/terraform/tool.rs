//! Terraform, on copies of the repository's modules.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::common::warden::{stderr, stdout};

/// What the repository has.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("terraform")
}

/// A folder of its own with the modules and examples in it.
pub struct Tool {
    dir: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
}

impl Tool {
    /// `None` without terraform.
    pub fn find() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut env = vec![("TF_IN_AUTOMATION", "1".to_owned()), ("CHECKPOINT_DISABLE", "1".to_owned())];
        if let Ok(mirror) = std::env::var("TRAILWARDEN_TF_MIRROR") {
            let file = dir.path().join("terraform.rc");
            let installed = format!(
                "provider_installation {{\n  filesystem_mirror {{\n    path = {mirror:?}\n    include = [\"hashicorp/*\"]\n  }}\n}}\n"
            );
            std::fs::write(&file, installed).expect("a file");
            env.push(("TF_CLI_CONFIG_FILE", file.to_str().expect("text").to_owned()));
        }
        let here = Command::new("terraform").arg("version").stdin(Stdio::null()).output();
        if !here.is_ok_and(|output| output.status.success()) {
            return skip("terraform is not here");
        }
        for folder in ["modules", "examples"] {
            copy(&root().join(folder), &dir.path().join(folder));
        }
        Some(Self { dir, env })
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    pub fn write(&self, path: &str, text: &str) {
        std::fs::write(self.dir().join(path), text).expect("a file");
    }

    /// `None` where the provider cannot be had.
    pub fn init(&self, folder: &str) -> Option<()> {
        let output = self.run(folder, &["init", "-input=false"]);
        if output.status.success() { Some(()) } else { skip(&stderr(&output)) }
    }

    pub fn run(&self, folder: &str, args: &[&str]) -> Output {
        let mut command = Command::new("terraform");
        command.current_dir(self.dir().join(folder)).args(args).stdin(Stdio::null());
        // `state` has verbs of its own, and no colors.
        if args.first() != Some(&"state") {
            command.arg("-no-color");
        }
        command.envs(self.env.iter().map(|(name, value)| (*name, value))).output().expect("terraform starts")
    }

    pub fn must(&self, folder: &str, args: &[&str]) -> String {
        let output = self.run(folder, args);
        assert!(output.status.success(), "{args:?}: {}{}", stdout(&output), stderr(&output));
        stdout(&output)
    }

    /// By name, what was given out.
    pub fn outputs(&self, folder: &str) -> Value {
        let output = self.run(folder, &["output", "-json"]);
        let all: Value = serde_json::from_slice(&output.stdout).expect("outputs");
        let values = all.as_object().expect("outputs").iter();
        values.map(|(name, one)| (name.clone(), one["value"].clone())).collect::<serde_json::Map<_, _>>().into()
    }
}

fn skip<T>(reason: &str) -> Option<T> {
    let required = std::env::var_os("TRAILWARDEN_REQUIRE_TERRAFORM").is_some_and(|value| value == "1");
    assert!(!required, "terraform is required: {reason}");
    eprintln!("SKIPPED: {reason}");
    None
}

/// What was initialized in the repository itself stays there.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        let text = name.to_str().expect("a name of text");
        if entry.path().is_dir() {
            if text != ".terraform" && text != "tests" {
                copy(&entry.path(), &to.join(&name));
            }
        } else if !text.starts_with(".terraform") && !text.contains("tfstate") && !text.ends_with(".tfvars") {
            std::fs::copy(entry.path(), to.join(&name)).expect("a copy");
        }
    }
}
