//! What a process keeps in its state folder: the number of each node's life, the cluster's secret, the control token and address.
//!
//! Private (0600), written whole. It must never be read while phones wait: starts and stops only.

use crate::error::NodeError;
use std::path::{Path, PathBuf};
use tandem_base::{Incarnation, NodeName};
use tandem_host::clock::Clock;
use tandem_host::disk::{Access, Disk};
use tandem_host::random::Random;
use tandem_model::admin::{CONTROL_FILE, ControlFile, TOKEN_FILE};

/// Longest small file, in bytes.
const SMALL: u64 = 4_096;

/// The state folder of a process.
pub struct StateFolder {
    path: PathBuf,
    disk: Box<dyn Disk>,
}

impl StateFolder {
    /// Opens it, and creates it if it is not there.
    ///
    /// # Errors
    /// [`NodeError::Host`] naming the folder.
    pub fn open(path: &Path, disk: Box<dyn Disk>) -> Result<Self, NodeError> {
        disk.create_dir(path)?;
        Ok(Self { path: path.to_owned(), disk })
    }
    fn text(&self, name: &str) -> Result<Option<String>, NodeError> {
        match self.disk.read(&self.path.join(name), SMALL) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
    fn put(&self, name: &str, text: &str) -> Result<(), NodeError> {
        Ok(self.disk.write(&self.path.join(name), text.as_bytes(), Access::Private)?)
    }

    /// The number of a node's next life: above the last one and, should the folder get lost, above every earlier one too, because it
    /// starts from the seconds since 1970.
    ///
    /// # Errors
    /// The folder cannot be written, or the file does not hold a number.
    pub fn next_life(&self, node: &NodeName, clock: Clock) -> Result<Incarnation, NodeError> {
        let name = format!("{node}.life");
        let last = match self.text(&name)? {
            None => 0,
            Some(text) => text.parse::<u64>().map_err(|_| NodeError::StateFile {
                path: self.path.join(&name),
                found: text,
                expected: "the number of the node's last life",
            })?,
        };
        let life = last.saturating_add(1).max(clock.unix_millis().0 / 1_000);
        self.put(&name, &life.to_string())?;
        Ok(Incarnation(life))
    }

    /// A secret of the folder, made at the first call.
    ///
    /// # Errors
    /// The folder cannot be written, or there is no randomness.
    pub fn secret(&self, name: &str) -> Result<String, NodeError> {
        if let Some(secret) = self.text(name)?.filter(|s| s.len() >= 32) {
            return Ok(secret);
        }
        let mut random = Random::from_os()?;
        let secret: String = (0..4).map(|_| format!("{:016x}", random.next_u64())).collect();
        self.put(name, &secret)?;
        Ok(secret)
    }
    /// The control token.
    ///
    /// # Errors
    /// As [`StateFolder::secret`].
    pub fn token(&self) -> Result<(String, PathBuf), NodeError> {
        Ok((self.secret(TOKEN_FILE)?, self.path.join(TOKEN_FILE)))
    }
    /// Says where the process is controlled.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write_control(&self, control: &ControlFile) -> Result<(), NodeError> {
        self.put(CONTROL_FILE, &serde_json::to_string_pretty(control).unwrap_or_default())
    }
    /// What the process says that was here last, or is.
    pub fn control(&self) -> Option<ControlFile> {
        serde_json::from_str(&self.text(CONTROL_FILE).ok().flatten()?).ok()
    }
    /// The process ends.
    pub fn remove_control(&self) {
        // A file left behind is told from a living one by its process id.
        let _ = self.disk.remove(&self.path.join(CONTROL_FILE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_host::disk::MemoryDisk;

    fn folder(disk: &MemoryDisk) -> StateFolder {
        StateFolder::open(Path::new("/state"), Box::new(disk.clone())).unwrap()
    }

    #[test]
    fn lives_only_grow_and_survive_the_process() {
        let (disk, node) = (MemoryDisk::default(), NodeName::new("CCM1").unwrap());
        let first = folder(&disk).next_life(&node, Clock::system()).unwrap();
        let second = folder(&disk).next_life(&node, Clock::system()).unwrap();
        assert!(second > first && first.0 > 1_600_000_000);
    }

    #[test]
    fn a_life_file_with_something_else_in_it_is_an_error_that_names_it() {
        let (disk, node) = (MemoryDisk::default(), NodeName::new("CCM1").unwrap());
        let state = folder(&disk);
        state.put("CCM1.life", "seven").unwrap();
        let error = state.next_life(&node, Clock::system()).unwrap_err().to_string();
        assert!(error.contains("CCM1.life") && error.contains("seven"), "{error}");
    }

    #[test]
    fn a_secret_is_made_once() {
        let disk = MemoryDisk::default();
        let first = folder(&disk).secret("nonce.secret").unwrap();
        assert_eq!((first.len(), folder(&disk).secret("nonce.secret").unwrap() == first), (64, true));
    }
}
