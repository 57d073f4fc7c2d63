//! What is shipped: how the program is built, what it is made of, and that somebody can tell whose it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::warden::{stderr, stdout};

const PROGRAM: &str = env!("CARGO_BIN_EXE_trailwarden");

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

/// `None`, loudly, where a program that is needed is not here; in CI all of them are.
fn ask(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{:?}: {error}", command.get_program());
            eprintln!("SKIPPED: {:?}: {error}", command.get_program());
            None
        }
    }
}

fn has(program: &str) -> bool {
    ask(Command::new(program).arg("--version")).is_some()
}

/// What is said of a program, but for stack cookies: those come with what packaging/build tells the C compiler.
fn checked(program: &Path) -> Option<Vec<String>> {
    if !has("readelf") {
        return None;
    }
    let output = ask(Command::new("sh").arg(path("check-program")).arg(program))?;
    let lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    assert!(lines.len() >= 9, "{lines:?}: {}", stderr(&output));
    Some(lines.into_iter().filter(|line| !line.ends_with("stack cookies")).collect())
}

#[test]
fn the_program_gives_whoever_breaks_into_it_little_to_work_with() {
    let Some(lines) = checked(Path::new(PROGRAM)) else { return };
    let bad: Vec<&String> = lines.iter().filter(|line| !line.starts_with("ok ")).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn a_program_that_is_built_carelessly_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let (source, program) = (dir.path().join("a.c"), dir.path().join("a"));
    fs::write(&source, "int main(void) { return 0; }\n").expect("a file");
    let careless = ["-no-pie", "-Wl,-z,norelro", "-Wl,-z,lazy", "-Wl,-z,execstack", "-Wl,-rpath,/tmp"];
    let built = ask(Command::new("cc").arg("-o").arg(&program).arg(&source).args(careless));
    let Some(built) = built else { return };
    assert!(built.status.success(), "{}", stderr(&built));
    let Some(lines) = checked(&program) else { return };
    for what in ["position-independent", "read-only", "at the start", "executable stack", "search path"] {
        assert!(lines.iter().any(|line| line.starts_with("BAD") && line.contains(what)), "{what}: {lines:?}");
    }
}

#[test]
fn a_bill_of_materials_names_all_that_is_locked_and_linked_and_lies_in_the_program_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = ask(Command::new("python3").arg(path("sbom")).arg(dir.path()));
    let Some(output) = output else { return };
    assert!(output.status.success(), "{}", stderr(&output));
    let text = fs::read_to_string(dir.path().join("trailwarden.cdx.json")).expect("a bill");
    let bill: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    assert_eq!(bill["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));
    let components = bill["components"].as_array().expect("components");
    let lock = fs::read_to_string(path("../Cargo.lock")).expect("a lock file");
    for component in components {
        let (name, version) = (&component["name"], &component["version"]);
        assert!(lock.contains(&format!("name = {name}\nversion = {version}\n")), "{name} {version}");
        assert!(component["hashes"][0]["content"].as_str().is_some_and(|hash| lock.contains(hash)), "{name}");
        assert!(component["licenses"][0]["expression"].is_string(), "{name}");
    }
    let scope = |name: &str| components.iter().find(|one| one["name"] == name).map(|one| one["scope"].clone());
    assert_eq!(scope("aws-lc-sys"), Some("required".into()));
    assert_eq!(scope("datafusion"), Some("required".into()), "as packaging/build builds it");
    assert_eq!(scope("cc"), Some("excluded".into()), "it builds, and is not in the program");
    assert_eq!(scope("proptest"), None, "tests are not shipped");
    in_the_program(dir.path(), components.len() + 1);
}

/// As packaging/build puts it there, read as cargo-auditable's readers do: zlib in the section `.dep-v0`.
fn in_the_program(dir: &Path, packages: usize) {
    let (section, program, read) = (dir.join("dep-v0"), dir.join("program"), dir.join("read"));
    let build = fs::read_to_string(path("build")).expect("a script");
    let flags = "--set-section-flags .dep-v0=noload,readonly";
    assert!(build.contains(&format!("objcopy --add-section .dep-v0=\"$out/dep-v0\" {flags}")), "{build}");
    let add = format!(".dep-v0={}", section.display());
    let flags = flags.split(' ').collect::<Vec<_>>();
    let Some(added) = ask(Command::new("objcopy").args(["--add-section", &add]).args(flags).arg(PROGRAM).arg(&program))
    else {
        return;
    };
    assert!(added.status.success(), "{}", stderr(&added));
    assert_eq!(Command::new(&program).arg("--version").output().expect("it runs").status.code(), Some(0));
    let dump = format!(".dep-v0={}", read.display());
    let dumped = Command::new("objcopy").args(["--dump-section", &dump]).arg(&program).arg("/dev/null").output();
    assert!(dumped.expect("it was here a moment ago").status.success());
    let bytes = fs::read(read).expect("a section");
    let mut text = vec![0; 1 << 20];
    let length = libdeflater::Decompressor::new().zlib_decompress(&bytes, &mut text).expect("zlib");
    let parts: Value = serde_json::from_slice(&text[..length]).expect("JSON");
    let parts = parts["packages"].as_array().expect("packages");
    assert_eq!(parts.len(), packages);
    assert_eq!(parts.iter().filter(|part| part["root"] == true).count(), 1);
    let root = parts.iter().find(|part| part["root"] == true).expect("one");
    let named = root["dependencies"].as_array().expect("numbers").iter().map(|at| {
        parts[at.as_u64().and_then(|at| usize::try_from(at).ok()).expect("a number")]["name"].as_str().expect("a name")
    });
    assert!(named.collect::<Vec<_>>().contains(&"rusqlite"));
}

/// A folder with packages, and a key that nobody keeps.
fn signed(dir: &Path, key: &str) -> Option<()> {
    ask(Command::new("ssh-keygen").arg("-?"))?;
    for name in ["trailwarden_0.1.0-1_amd64.deb", "trailwarden-0.1.0-1.x86_64.rpm", "trailwarden.cdx.json"] {
        fs::write(dir.join(name), format!("what {name} holds\n")).expect("a file");
    }
    let args = ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key];
    let made = Command::new("ssh-keygen").args(args).current_dir(dir).output().expect("it was here a moment ago");
    assert!(made.status.success(), "{}", stderr(&made));
    let sign = Command::new("sh").arg(path("sign")).arg(dir.join(key)).env("TRAILWARDEN_PACKAGES", dir).output();
    let sign = sign.expect("a shell");
    assert!(sign.status.success(), "{}", stderr(&sign));
    Some(())
}

/// The two commands that packaging/sign tells.
fn verified(dir: &Path, key: &str) -> bool {
    let script = fs::read_to_string(path("sign")).expect("a script");
    let told =
        |begin: &str| script.lines().filter_map(|line| line.strip_prefix("#   ")).any(|line| line.starts_with(begin));
    assert!(
        told("echo \"trailwarden $(cat release.pub)\" >signers") && told("ssh-keygen -Y verify -f signers"),
        "{script}"
    );
    let commands: Vec<&str> = script.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    fs::copy(dir.join(format!("{key}.pub")), dir.join("release.pub")).expect("a key");
    let asked = Command::new("sh").arg("-ec").arg(commands.join("\n")).current_dir(dir).output();
    asked.expect("a shell").status.success()
}

#[test]
fn what_was_signed_is_told_from_what_was_changed_and_from_what_another_signed() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(()) = signed(dir.path(), "key") else { return };
    assert!(verified(dir.path(), "key"));
    for name in ["trailwarden_0.1.0-1_amd64.deb", "trailwarden.cdx.json", "SHA256SUMS", "SHA256SUMS.sig"] {
        let file = dir.path().join(name);
        let whole = fs::read(&file).expect("a file");
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(&file, &changed).expect("a file");
        assert!(!verified(dir.path(), "key"), "{name} was changed");
        fs::write(&file, &whole).expect("a file");
    }
    assert!(verified(dir.path(), "key"));
    let other = tempfile::tempdir().expect("a directory");
    signed(other.path(), "other").expect("it was here a moment ago");
    fs::copy(other.path().join("other.pub"), dir.path().join("other.pub")).expect("a key");
    assert!(!verified(dir.path(), "other"), "another's key");
}
