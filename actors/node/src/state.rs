//! What a process keeps in the state folder: the number of each node's life, the cluster's secret, the control token and address.
//!
//! A process that runs all nodes has the folder for itself. Of several, each has a folder of its own within it, and lives, secret and the
//! sockets of the links are shared:
//!
//! ```text
//! CCM1.life  CCM1.tables  CCM1.db  nonce.secret  lock  link/CCM1.sock   shared by all
//! certificates/{ca.pem,CCM1.pem,CCM1.key}                of the link between hosts, put there by the operator
//! process/CCM1/{control.json,control.token,lock}         of the process whose first node is CCM1
//! ```
//! Private (0600), written whole. It must never be read while phones wait: starts and stops only.

use crate::error::NodeError;
use crate::tables::Place;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tandem_base::{Incarnation, NodeName};
use tandem_host::clock::Clock;
use tandem_host::disk::{Access, Disk};
use tandem_host::random::Random;
use tandem_model::admin::{CONTROL_FILE, ControlFile, TOKEN_FILE};

/// Longest small file, in bytes.
const SMALL: u64 = 4_096;

/// Where several processes have their own folders in the state folder.
pub const PROCESSES: &str = "process";
/// Where the links between processes have their sockets.
pub const LINKS: &str = "link";
/// Where the certificates of the link between hosts are, unless the configuration names another folder.
pub const CERTIFICATES: &str = "certificates";

/// The folder of the process whose first node this is.
pub fn process_folder(home: &Path, first: &NodeName) -> PathBuf {
    home.join(PROCESSES).join(first.as_str())
}

/// The state folder of a process.
pub struct StateFolder {
    /// What all processes share.
    home: PathBuf,
    /// The process's own.
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl StateFolder {
    /// Opens it, and creates it if it is not there; `first`: one of several processes, by its first node.
    ///
    /// # Errors
    /// [`NodeError::Host`] naming the folder.
    pub fn open(home: &Path, first: Option<&NodeName>, disk: Arc<dyn Disk>) -> Result<Self, NodeError> {
        let path = first.map_or_else(|| home.to_owned(), |first| process_folder(home, first));
        disk.create_dir(home)?;
        disk.create_dir(&path)?;
        Ok(Self { home: home.to_owned(), path, disk })
    }
    /// The process's own folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Where the links between processes have their sockets.
    pub fn links(&self) -> PathBuf {
        self.home.join(LINKS)
    }
    /// Where the certificates of the link between hosts are.
    pub fn certificates(&self) -> PathBuf {
        self.home.join(CERTIFICATES)
    }
    /// Where a node keeps its run-time tables.
    pub fn tables(&self, node: &NodeName) -> Place {
        Place { disk: Arc::clone(&self.disk), path: self.home.join(format!("{node}.tables")) }
    }
    /// Where a node keeps its copy of the configuration database.
    pub fn database(&self, node: &NodeName) -> PathBuf {
        self.home.join(format!("{node}.db"))
    }
    fn text(&self, path: &Path) -> Result<Option<String>, NodeError> {
        match self.disk.read(path, SMALL) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
    fn put(&self, path: &Path, text: &str) -> Result<(), NodeError> {
        Ok(self.disk.write(path, text.as_bytes(), Access::Private)?)
    }

    /// The number of a node's next life: above the last one and, should the folder get lost, above every earlier one too, because it
    /// starts from the seconds since 1970.
    ///
    /// # Errors
    /// The folder cannot be written, or the file does not hold a number.
    pub fn next_life(&self, node: &NodeName, clock: Clock) -> Result<Incarnation, NodeError> {
        let path = self.home.join(format!("{node}.life"));
        let last = match self.text(&path)? {
            None => 0,
            Some(text) => text.parse::<u64>().map_err(|_| NodeError::StateFile {
                path: path.clone(),
                found: text,
                expected: "the number of the node's last life",
            })?,
        };
        let life = last.saturating_add(1).max(clock.unix_millis().0 / 1_000);
        self.put(&path, &life.to_string())?;
        Ok(Incarnation(life))
    }

    /// A secret that all processes share, made at the first call.
    ///
    /// # Errors
    /// The folder cannot be written, or there is no randomness.
    pub fn secret(&self, name: &str) -> Result<String, NodeError> {
        self.secret_at(&self.home.join(name))
    }
    fn secret_at(&self, path: &Path) -> Result<String, NodeError> {
        let there = || Ok::<_, NodeError>(self.text(path)?.filter(|s| s.len() >= 32));
        if let Some(secret) = there()? {
            return Ok(secret);
        }
        let mut random = Random::from_os()?;
        let secret: String = (0..4).map(|_| format!("{:016x}", random.next_u64())).collect();
        // Of processes that begin together one makes it, and the others take that.
        if !self.disk.create(path, secret.as_bytes(), Access::Private)? {
            if let Some(secret) = there()? {
                return Ok(secret);
            }
            // What is there is no secret: it was cut off, or emptied by hand.
            self.put(path, &secret)?;
        }
        Ok(secret)
    }
    /// The control token.
    ///
    /// # Errors
    /// As [`StateFolder::secret`].
    pub fn token(&self) -> Result<(String, PathBuf), NodeError> {
        let path = self.path.join(TOKEN_FILE);
        Ok((self.secret_at(&path)?, path))
    }
    /// Says where the process is controlled.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write_control(&self, control: &ControlFile) -> Result<(), NodeError> {
        self.put(&self.path.join(CONTROL_FILE), &serde_json::to_string_pretty(control).unwrap_or_default())
    }
    /// What the process says that was here last, or is.
    pub fn control(&self) -> Option<ControlFile> {
        serde_json::from_str(&self.text(&self.path.join(CONTROL_FILE)).ok().flatten()?).ok()
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
        StateFolder::open(Path::new("/state"), None, Arc::new(disk.clone())).unwrap()
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
        state.put(Path::new("/state/CCM1.life"), "seven").unwrap();
        let error = state.next_life(&node, Clock::system()).unwrap_err().to_string();
        assert!(error.contains("CCM1.life") && error.contains("seven"), "{error}");
    }

    #[test]
    fn processes_share_lives_and_secret_and_have_their_own_token() {
        let disk = MemoryDisk::default();
        let open = |first: &str| {
            let first = NodeName::new(first).unwrap();
            StateFolder::open(Path::new("/state"), Some(&first), Arc::new(disk.clone())).unwrap()
        };
        let (one, two) = (open("CCM1"), open("CCM2"));
        assert_eq!(one.secret("nonce.secret").unwrap(), two.secret("nonce.secret").unwrap());
        assert_ne!(one.token().unwrap(), two.token().unwrap());
        assert_eq!(one.token().unwrap().1, Path::new("/state/process/CCM1/control.token"));
        let node = NodeName::new("CCM1").unwrap();
        assert!(
            folder(&disk).next_life(&node, Clock::system()).unwrap() < one.next_life(&node, Clock::system()).unwrap()
        );
        // What is too short to be one is replaced.
        one.put(Path::new("/state/nonce.secret"), "short").unwrap();
        assert_eq!(one.secret("nonce.secret").unwrap(), two.secret("nonce.secret").unwrap());
        assert_eq!(two.secret("nonce.secret").unwrap().len(), 64);
    }

    #[test]
    fn a_secret_is_made_once() {
        let disk = MemoryDisk::default();
        let first = folder(&disk).secret("nonce.secret").unwrap();
        assert_eq!((first.len(), folder(&disk).secret("nonce.secret").unwrap() == first), (64, true));
    }
}
