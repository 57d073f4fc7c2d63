//! A register that is a directory: each value a file of its own, whose name counts up; the highest is the value.
//!
//! A name is given by link(2), which fails where there is one already: atomic on every file system, NFS among them. No lock is
//! held, so a process that is stopped halfway stands in nobody's way.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{blocking, fault};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::seam::{Register, Written};

/// How often a value is looked for that is replaced each time.
const TURNS: usize = 10;

/// A directory, and the front of the names in it. It is never made here: where a share is not mounted there is no folder of
/// it, and one that is made in its stead is another register.
pub struct FileRegister {
    dir: PathBuf,
    name: String,
    env: Env,
}

impl FileRegister {
    /// `name` is what the files' names begin with.
    pub fn new(dir: &Path, name: impl Into<String>, env: &Env) -> Self {
        Self { dir: dir.to_owned(), name: name.into(), env: env.clone() }
    }

    fn place(&self) -> Place {
        let scratch = self.dir.join(format!(".{}.{}", self.name, self.env.token()));
        Place { dir: self.dir.clone(), front: format!("{}.", self.name), scratch }
    }
}

#[async_trait]
impl Register for FileRegister {
    async fn read(&self, max_bytes: usize) -> Result<Option<(Vec<u8>, String)>> {
        let place = self.place();
        let read =
            blocking("register:read", move || place.read(max_bytes).map_err(|error| fault("register:read", &error)));
        match read.await? {
            Some((value, _)) if value.len() > max_bytes => {
                Err(Error::permanent("register:read", format!("more than {max_bytes} bytes lie there")))
            }
            found => Ok(found.map(|(value, number)| (value, number.to_string()))),
        }
    }

    async fn write(&self, value: Vec<u8>, over: Option<&str>) -> Result<Written> {
        let place = self.place();
        let Ok(over) = over.map_or(Ok(0), str::parse::<u64>) else { return Ok(Written::Lost) };
        blocking("register:write", move || {
            let written = place.write(&value, over);
            let _ = std::fs::remove_file(&place.scratch);
            written.map_err(|error| fault("register:write", &error))
        })
        .await
    }
}

struct Place {
    dir: PathBuf,
    front: String,
    scratch: PathBuf,
}

impl Place {
    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{}{number}", self.front))
    }

    /// The numbers that there are, in no order.
    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let number = |name: &str| {
                let number = name.strip_prefix(&self.front)?;
                number.parse::<u64>().ok().filter(|read| read.to_string() == number)
            };
            numbers.extend(name.to_str().and_then(number));
        }
        Ok(numbers)
    }

    fn highest(&self) -> io::Result<Option<u64>> {
        Ok(self.numbers()?.into_iter().max())
    }

    /// One byte more than asked for of a value that is longer.
    fn read(&self, max_bytes: usize) -> io::Result<Option<(Vec<u8>, u64)>> {
        for _ in 0..TURNS {
            let Some(number) = self.highest()? else { return Ok(None) };
            let file = match File::open(self.path(number)) {
                // a later one has replaced it
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let mut value = Vec::new();
            file.take(max_bytes as u64 + 1).read_to_end(&mut value)?;
            return Ok(Some((value, number)));
        }
        Err(io::Error::other("what was there is gone each time that it is opened"))
    }

    fn write(&self, value: &[u8], over: u64) -> io::Result<Written> {
        if self.highest()?.unwrap_or(0) != over {
            return Ok(Written::Lost);
        }
        let mut file = File::create_new(&self.scratch)?;
        file.write_all(value)?;
        file.sync_all()?;
        let Some(number) = over.checked_add(1) else { return Ok(Written::Lost) };
        match std::fs::hard_link(&self.scratch, self.path(number)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Written::Lost),
            linked => linked?,
        }
        File::open(&self.dir)?.sync_all()?;
        let numbers = self.numbers()?;
        // A writer that slept may give again a name that is gone: it is not the highest.
        if numbers.iter().any(|found| *found > number) {
            let _ = std::fs::remove_file(self.path(number));
            return Ok(Written::Lost);
        }
        for old in numbers.into_iter().filter(|found| *found < number) {
            let _ = std::fs::remove_file(self.path(old));
        }
        Ok(Written::Won(number.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path, scratch: &str) -> Place {
        Place { dir: dir.into(), front: "w.lease.".into(), scratch: dir.join(scratch) }
    }

    #[test]
    fn whoever_slept_halfway_neither_stands_in_the_way_nor_wins() {
        let dir = tempfile::tempdir().unwrap();
        let place = |scratch| place(dir.path(), scratch);
        assert_eq!(place("a").write(b"one", 0).unwrap(), Written::Won("1".into()));
        assert_eq!(place("b").write(b"two", 1).unwrap(), Written::Won("2".into()));
        assert_eq!(place("c").write(b"three", 2).unwrap(), Written::Won("3".into()));
        // It looked when 1 was the highest, and goes on now that 2 is gone.
        std::fs::write(dir.path().join("d"), "late").unwrap();
        std::fs::hard_link(dir.path().join("d"), place("d").path(2)).unwrap();
        assert_eq!(place("e").read(100).unwrap(), Some((b"three".to_vec(), 3)));
        assert_eq!(place("f").write(b"four", 3).unwrap(), Written::Won("4".into()));
        assert_eq!(place("g").numbers().unwrap(), [4], "what is old is removed");
    }

    #[test]
    fn other_files_of_the_directory_are_no_values() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["w.lease.x", "v.lease.9", "w.lease", ".w.lease.7"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        assert_eq!(place(dir.path(), "a").read(100).unwrap(), None);
    }
}
