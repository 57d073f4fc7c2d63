//! Plays a world's hours into plain directories: a bucket, a spool, keys and members, as a warden on directories reads them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::env::Env;
use crate::error::{Error, Result};
use crate::local::keys;
use crate::local::spool::Sender;
use crate::world::{Happening, Step, World};

/// The directories of a played world.
pub struct Stage {
    pub dir: PathBuf,
    sender: Sender,
}

impl Stage {
    /// Sets the stage: keys, members and an empty bucket and spool under `dir`.
    pub fn set(dir: &Path, world: &World, env: &Env) -> Result<Self> {
        let failed = |error: std::io::Error| Error::permanent("stage", error);
        fs::create_dir_all(dir.join("bucket")).map_err(failed)?;
        for (region, key) in &world.keys {
            keys::save(&dir.join("keys"), region, std::slice::from_ref(key))?;
        }
        let members: String = world
            .members
            .iter()
            .map(|member| {
                let ou = member.ou.to_string();
                let ou = if ou.is_empty() { ou } else { format!("ou = {ou:?}\n") };
                format!(
                    "[[account]]\nid = \"{}\"\nname = {:?}\n{ou}state = \"{}\"\n\n",
                    member.account,
                    member.name,
                    member.state.name()
                )
            })
            .collect();
        fs::write(dir.join("members.toml"), members).map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), sender: Sender::open(&dir.join("spool"), env.clone())?.hasty() })
    }

    /// Whether the happening takes something away that an earlier message may still speak of: those are to be settled first.
    pub fn disturbs(&self, happening: &Happening) -> bool {
        match &happening.step {
            Step::Put { key, .. } => self.object(key).exists(),
            Step::Remove { .. } => true,
            Step::Message { .. } => false,
        }
    }

    pub fn play(&self, happening: &Happening) -> Result<()> {
        let failed = |error: std::io::Error| Error::permanent("stage", error);
        match &happening.step {
            Step::Put { key, body, metadata } => {
                let path = self.object(key);
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder).map_err(failed)?;
                }
                if !metadata.is_empty() {
                    let text = serde_json::to_string(metadata).map_err(|error| Error::permanent("stage", error))?;
                    fs::write(self.object(&format!("{key}.meta.json")), text).map_err(failed)?;
                }
                // A folder marker ends in a slash: a directory stands for it.
                if key.ends_with('/') { Ok(()) } else { fs::write(path, body).map_err(failed) }
            }
            Step::Remove { key } => {
                let _ = fs::remove_file(self.object(&format!("{key}.meta.json")));
                fs::remove_file(self.object(key)).map_err(failed)
            }
            Step::Message { body } => self.sender.send(body).map(|_| ()),
        }
    }

    fn object(&self, key: &str) -> PathBuf {
        self.dir.join("bucket").join(key)
    }
}
