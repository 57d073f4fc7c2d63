//! Reading a tree of objects without leaving it: opening beneath the root, and keys in S3's order.

use std::collections::BinaryHeap;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, openat, openat2, statat};
use rustix::io::Errno;

pub(super) const SIDECAR: &str = ".meta.json";
/// S3's own limit, in bytes.
const LONGEST_KEY: usize = 1024;
/// How many entries of one folder are held at a time; a folder with more is read again for the next.
const HELD: usize = 1024;

/// Whether an object can lie at this key: no trick that leaves the tree, no dot-file, no sidecar.
pub(super) fn is_key(key: &str) -> bool {
    key.len() <= LONGEST_KEY && key.split('/').all(is_name) && !key.ends_with(SIDECAR)
}

/// Empty, or keys of folders: ends in `/`.
pub(super) fn is_folder(folder: &str) -> bool {
    folder.is_empty() || folder.strip_suffix('/').is_some_and(|inner| inner.split('/').all(is_name))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.bytes().any(|b| b == 0 || b == b'\\')
}

/// Opens a file of the tree. A symbolic link anywhere on the way is refused (ELOOP or ENOTDIR): links are no objects.
pub(super) fn open_beneath(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { "." } else { path };
    // a named pipe must not hold us
    let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, path, flags, Mode::empty(), inside) {
        // before Linux 5.6, or behind a filter that does not know the call
        Err(Errno::NOSYS | Errno::PERM) => open_stepwise(root, path, flags),
        opened => opened,
    }
}

fn open_stepwise(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = path.trim_end_matches('/');
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Some((folders, name)) = path.rsplit_once('/') else {
        return openat(root, path, flags | OFlags::NOFOLLOW, Mode::empty());
    };
    let mut here = openat(root, ".", step, Mode::empty())?;
    for folder in folders.split('/') {
        here = openat(&here, folder, step, Mode::empty())?;
    }
    openat(&here, name, flags | OFlags::NOFOLLOW, Mode::empty())
}

/// The answers that mean "no such object" and not "could not find out".
pub(super) fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG | Errno::XDEV | Errno::NXIO)
}

/// Names of a folder that count; a folder that is not there has none.
pub(super) fn each_entry(
    root: BorrowedFd<'_>,
    folder: &str,
    mut visit: impl FnMut(&str, FileType) -> ControlFlow<()>,
) -> io::Result<()> {
    let opened = match open_beneath(root, folder, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(opened) => opened,
        Err(errno) if is_absent(errno) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    let mut entries = Dir::new(opened)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if !is_name(name) || folder.len() + name.len() > LONGEST_KEY {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match stat(root, &format!("{folder}{name}"))? {
                Some(stat) => FileType::from_raw_mode(stat.st_mode),
                None => continue,
            },
            kind => kind,
        };
        if visit(name, kind).is_break() {
            break;
        }
    }
    Ok(())
}

/// The file's own facts, a link's not its target's; `None` if it is gone.
pub(super) fn stat(root: BorrowedFd<'_>, key: &str) -> io::Result<Option<Stat>> {
    match statat(root, key, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(errno) if is_absent(errno) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Keys in the order of their UTF-8 bytes. A folder sorts as its name with `/`, so `a-b` stands before `a/b` as it does in S3.
pub(super) struct Walk<'a> {
    root: BorrowedFd<'a>,
    prefix: &'a str,
    after: Option<&'a str>,
    /// The folder being read last; its parents before it.
    levels: Vec<Level>,
}

struct Level {
    folder: String,
    /// Descending, so that the next is popped. Folders end in `/`.
    entries: Vec<String>,
    /// There are more than `entries`, all of them greater than this.
    more_after: Option<String>,
}

impl<'a> Walk<'a> {
    pub fn new(root: &'a OwnedFd, prefix: &'a str, after: Option<&'a str>) -> io::Result<Self> {
        let mut walk = Self { root: root.as_fd(), prefix, after, levels: Vec::new() };
        let folder = prefix.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        if is_folder(&folder) {
            walk.descend(folder)?;
        }
        Ok(walk)
    }

    pub fn next(&mut self) -> io::Result<Option<String>> {
        while let Some(level) = self.levels.last_mut() {
            match level.entries.pop() {
                Some(folder) if folder.ends_with('/') => self.descend(folder)?,
                Some(key) => return Ok(Some(key)),
                None => self.refill()?,
            }
        }
        Ok(None)
    }

    fn descend(&mut self, folder: String) -> io::Result<()> {
        let level = self.read(folder, None)?;
        self.levels.push(level);
        Ok(())
    }

    fn refill(&mut self) -> io::Result<()> {
        if let Some(Level { folder, more_after: Some(floor), .. }) = self.levels.pop() {
            let level = self.read(folder, Some(&floor))?;
            self.levels.push(level);
        }
        Ok(())
    }

    fn read(&self, folder: String, floor: Option<&str>) -> io::Result<Level> {
        let mut least = BinaryHeap::new();
        let mut more = false;
        each_entry(self.root, &folder, |name, kind| {
            let key = match kind {
                FileType::Directory => format!("{folder}{name}/"),
                FileType::RegularFile if !name.ends_with(SIDECAR) => format!("{folder}{name}"),
                _ => return ControlFlow::Continue(()),
            };
            if self.wants(&key) && floor.is_none_or(|floor| key.as_str() > floor) {
                least.push(key);
                if least.len() > HELD {
                    least.pop();
                    more = true;
                }
            }
            ControlFlow::Continue(())
        })?;
        let more_after = if more { least.peek().cloned() } else { None };
        let mut entries = least.into_sorted_vec();
        entries.reverse();
        Ok(Level { folder, entries, more_after })
    }

    /// Whether the key, or something in the folder of that key, is asked for.
    fn wants(&self, key: &str) -> bool {
        let is_folder = key.ends_with('/');
        let under = key.starts_with(self.prefix) || (is_folder && self.prefix.starts_with(key));
        let later = self.after.is_none_or(|after| key > after || (is_folder && after.starts_with(key)));
        under && later
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn stepwise_opening_refuses_what_the_one_call_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        std::fs::create_dir_all(base.join("root/a/b")).unwrap();
        std::fs::write(base.join("root/a/b/file"), "in").unwrap();
        std::fs::write(base.join("outside"), "out").unwrap();
        symlink(base.join("outside"), base.join("root/a/link")).unwrap();
        symlink("b", base.join("root/a/folder-link")).unwrap();
        let root: OwnedFd = std::fs::File::open(base.join("root")).unwrap().into();
        for (path, there) in [
            ("a/b/file", true),
            ("a", true),
            ("a/b/", true),
            (".", true),
            ("a/none", false),
            ("a/link", false),
            ("a/folder-link/file", false),
            ("a/b/file/x", false),
        ] {
            let stepwise = open_stepwise(root.as_fd(), path, OFlags::RDONLY);
            assert_eq!(stepwise.is_ok(), there, "{path}");
            assert_eq!(open_beneath(root.as_fd(), path, OFlags::RDONLY).is_ok(), there, "{path}");
            if let Err(errno) = stepwise {
                assert!(is_absent(errno), "{path}: {errno}");
            }
        }
    }

    #[test]
    fn a_folder_larger_than_what_is_held_comes_whole_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        // folders that hold nothing use up what is held without giving a key
        for n in 0..HELD + 50 {
            std::fs::create_dir(dir.path().join(format!("a{n:05}"))).unwrap();
        }
        let mut want = Vec::new();
        for n in 0..2 * HELD + 7 {
            let name = format!("b{n:05}");
            std::fs::write(dir.path().join(&name), "").unwrap();
            want.push(name);
        }
        let root: OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        let mut walk = Walk::new(&root, "", None).unwrap();
        let mut got = Vec::new();
        while let Some(key) = walk.next().unwrap() {
            got.push(key);
        }
        assert_eq!(got, want);
    }
}
