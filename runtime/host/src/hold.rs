//! Files that a process holds for as long as it lives: the kernel lets go of them however the process ends, so a crash leaves no lie
//! behind, and a process id that was given to somebody else proves nothing.
//!
//! A [`Hold`] keeps a folder for one process; a [`Marker`] says to others that a process is there. Real files only: the simulator's
//! nodes are one process. It must never wait for a lock, and never remove a file whose process lives.

use crate::disk::{Disk, RealDisk};
use crate::error::HostError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Most markers of a folder that are looked at.
pub const MARKERS_MAX: usize = 1_000;

/// A file that this process holds until the value is dropped or the process ends. The file stays: whoever removed it could remove a
/// newer one.
#[derive(Debug)]
pub struct Hold {
    _file: File,
}

impl Hold {
    /// Takes hold of a file, which is created if it is not there. `None`: another process holds it, or another [`Hold`] of this one.
    ///
    /// # Errors
    /// [`HostError::Disk`].
    pub fn take(path: &Path) -> Result<Option<Self>, HostError> {
        Self::lock(path, File::try_lock)
    }
    /// As [`Hold::take`], together with all others that share it. `None`: somebody holds it alone.
    ///
    /// # Errors
    /// [`HostError::Disk`].
    pub fn share(path: &Path) -> Result<Option<Self>, HostError> {
        Self::lock(path, File::try_lock_shared)
    }
    fn lock(path: &Path, lock: fn(&File) -> Result<(), TryLockError>) -> Result<Option<Self>, HostError> {
        let open = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = open().map_err(|e| HostError::disk("open", path, e))?;
        match lock(&file) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(HostError::disk("lock", path, e)),
        }
    }
}

/// A small file that says that its process lives; gone with the value.
#[derive(Debug)]
pub struct Marker {
    path: PathBuf,
    _file: File,
}

impl Marker {
    /// Leaves a marker in a folder, which is created for the owner only if it is not there. `name` must be new: no two markers ever have
    /// the same.
    ///
    /// # Errors
    /// [`HostError::Disk`].
    pub fn leave(folder: &Path, name: &str, bytes: &[u8]) -> Result<Self, HostError> {
        RealDisk.create_dir(folder)?;
        let (path, hidden) = (folder.join(name), folder.join(format!(".{name}")));
        // Held before it has its name, so that nobody ever sees it without its process.
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&hidden)?;
            file.lock()?;
            file.write_all(bytes)?;
            fs::rename(&hidden, &path)?;
            Ok(file)
        };
        match write() {
            Ok(file) => Ok(Self { path, _file: file }),
            Err(e) => {
                // Best effort: the error that matters is the one above.
                let _ = fs::remove_file(&hidden);
                Err(HostError::disk("write", &path, e))
            }
        }
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        // One that cannot be removed is told from a living one by its lock.
        let _ = fs::remove_file(&self.path);
    }
}

/// The markers of a folder whose processes live, in the order of their names, each at most `bound` bytes. Those of dead processes are
/// removed. No folder: no markers.
///
/// # Errors
/// [`HostError::Disk`] when the folder cannot be read. A marker that cannot be read is left out.
pub fn living(folder: &Path, bound: u64) -> Result<Vec<Vec<u8>>, HostError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(HostError::disk("read", folder, e)),
    };
    let visible = |path: &PathBuf| path.file_name().is_some_and(|n| !n.as_encoded_bytes().starts_with(b"."));
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|e| Some(e.ok()?.path())).filter(visible).take(MARKERS_MAX).collect();
    paths.sort();
    Ok(paths.into_iter().filter_map(|path| read_living(&path, bound)).collect())
}

fn read_living(path: &Path, bound: u64) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    // Shared, so that two who look at once do not take each other for its process.
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut bytes = Vec::new();
            file.take(bound).read_to_end(&mut bytes).ok()?;
            Some(bytes)
        }
        Ok(()) => {
            // Its process is gone, and no other marker ever gets its name.
            let _ = fs::remove_file(path);
            None
        }
        Err(TryLockError::Error(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(test: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tandem-hold-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_file_is_held_by_one_at_a_time() {
        let folder = folder("one");
        let path = folder.join("lock");
        let first = Hold::take(&path).unwrap();
        assert!(first.is_some() && Hold::take(&path).unwrap().is_none());
        assert!(Hold::share(&path).unwrap().is_none());
        drop(first);
        let shared = [Hold::share(&path).unwrap(), Hold::share(&path).unwrap()];
        assert!(shared.iter().all(Option::is_some) && Hold::take(&path).unwrap().is_none());
        drop(shared);
        assert!(Hold::take(&path).unwrap().is_some());
        assert!(Hold::take(&folder.join("no/such/folder")).is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn markers_are_seen_while_they_are_held_and_what_a_crash_left_is_removed() {
        let folder = folder("markers");
        let place = folder.join("running");
        assert!(living(&place, 100).unwrap().is_empty());
        let one = Marker::leave(&place, "1.json", b"one").unwrap();
        let _two = Marker::leave(&place, "2.json", b"two").unwrap();
        File::create(place.join("3.json")).unwrap();
        assert_eq!(living(&place, 100).unwrap(), [b"one", b"two"]);
        assert_eq!(living(&place, 2).unwrap(), [b"on", b"tw"], "bounded");
        assert!(!place.join("3.json").exists() && place.join("2.json").exists());
        drop(one);
        assert!(!place.join("1.json").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
