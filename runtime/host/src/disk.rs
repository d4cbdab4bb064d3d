//! Files of the state folder: small, whole, private. A write is atomic (a reader sees the old bytes or the new ones, also after a
//! power cut), a read is bounded, an error names the path. [`MemoryDisk`] is the simulated twin.
//!
//! It must never be used on an arbiter's hot path: it blocks.

use crate::error::HostError;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Owner only (0600): keys, tokens, state.
    Private,
    /// Everybody may read (0644).
    Shared,
}

impl Access {
    const fn mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Shared => 0o644,
        }
    }
}

/// What a node may do with files.
pub trait Disk: Send + Sync {
    /// The whole file.
    ///
    /// # Errors
    /// [`HostError::TooLarge`] when it has more than `bound` bytes; [`HostError::Disk`] otherwise, see [`HostError::is_not_found`].
    fn read(&self, path: &Path, bound: u64) -> Result<Vec<u8>, HostError>;
    /// Replaces the file as a whole, durably, or leaves it as it was.
    ///
    /// # Errors
    /// [`HostError::Disk`].
    fn write(&self, path: &Path, bytes: &[u8], access: Access) -> Result<(), HostError>;
    /// As [`Disk::write`], but only when there is no such file; `false`: there is one, and it stays as it is. Of several that try at the same
    /// time one wins.
    ///
    /// # Errors
    /// [`HostError::Disk`].
    fn create(&self, path: &Path, bytes: &[u8], access: Access) -> Result<bool, HostError>;
    /// Creates a folder and its parents, for the owner only (0700). One that exists stays as it is.
    ///
    /// # Errors
    /// [`HostError::Disk`].
    fn create_dir(&self, path: &Path) -> Result<(), HostError>;
    /// Removes a file; one that does not exist is no error.
    ///
    /// # Errors
    /// [`HostError::Disk`].
    fn remove(&self, path: &Path) -> Result<(), HostError>;
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl RealDisk {
    /// The folders in a folder, in the order of their names, so many at most. One that does not exist has none.
    ///
    /// # Errors
    /// [`HostError::Disk`].
    pub fn folders(&self, path: &Path, bound: usize) -> Result<Vec<PathBuf>, HostError> {
        let entries = match fs::read_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| HostError::disk("read", path, e))?,
        };
        let folders = entries.filter_map(Result::ok).filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut folders: Vec<PathBuf> = folders.map(|e| e.path()).take(bound).collect();
        folders.sort();
        Ok(folders)
    }
}

impl Disk for RealDisk {
    fn read(&self, path: &Path, bound: u64) -> Result<Vec<u8>, HostError> {
        let fail = |e| HostError::disk("read", path, e);
        let file = File::open(path).map_err(fail)?;
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file that is too large from one that just fits; its metadata may lie or grow.
        file.take(bound.saturating_add(1)).read_to_end(&mut bytes).map_err(fail)?;
        let size = bytes.len() as u64;
        if size > bound {
            return Err(HostError::TooLarge { path: path.to_owned(), size, bound });
        }
        Ok(bytes)
    }

    fn write(&self, path: &Path, bytes: &[u8], access: Access) -> Result<(), HostError> {
        let temporary = temporary(path);
        let result = write_whole(&temporary, bytes, access)
            .and_then(|()| fs::rename(&temporary, path))
            .and_then(|()| sync_folder_of(path));
        if result.is_err() {
            // Best effort: the error that matters is the one above.
            let _ = fs::remove_file(&temporary);
        }
        result.map_err(|e| HostError::disk("write", path, e))
    }

    fn create(&self, path: &Path, bytes: &[u8], access: Access) -> Result<bool, HostError> {
        let temporary = temporary(path);
        // A second name for a whole file: unlike a rename it fails where the name is taken.
        let result = write_whole(&temporary, bytes, access).and_then(|()| match fs::hard_link(&temporary, path) {
            Ok(()) => sync_folder_of(path).map(|()| true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        });
        // Best effort: a name nobody looks for.
        let _ = fs::remove_file(&temporary);
        result.map_err(|e| HostError::disk("create", path, e))
    }

    fn create_dir(&self, path: &Path) -> Result<(), HostError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|e| HostError::disk("create folder", path, e))
    }

    fn remove(&self, path: &Path) -> Result<(), HostError> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(HostError::disk("remove", path, e)),
            _ => Ok(()),
        }
    }
}

/// A name beside `path` that nobody else takes.
fn temporary(path: &Path) -> PathBuf {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{serial}.tmp", std::process::id()));
    path.with_file_name(name)
}

fn write_whole(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(access.mode()).open(path)?;
    // The umask may have taken bits away; what is shared must be readable by others.
    file.set_permissions(fs::Permissions::from_mode(access.mode()))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A rename is durable once its folder is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// What a simulated disk may do wrong. A slow one is none of these: whoever drives it lets time pass before it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// There is no space: every write is refused and changes nothing.
    Full,
    /// The power goes during each write, first before and then after the moment that counts, in turn: nobody is told that it was done, and
    /// the file is the old one or the new one, never a mixture ([`Disk::write`]).
    Torn,
}

/// Files in memory, for the simulator. Clones are the same disk; it outlives the nodes that use it, as a disk does.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    inner: Arc<Mutex<Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    files: BTreeMap<PathBuf, Vec<u8>>,
    fault: Option<DiskFault>,
    torn: u32,
}

impl MemoryDisk {
    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<PathBuf, Vec<u8>>) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner).files)
    }
    /// From now on it does this wrong, or nothing.
    pub fn set_fault(&self, fault: Option<DiskFault>) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).fault = fault;
    }
    /// A file is not what was written: cut off at this place, or altered there. For places beyond its end they begin again. `false`: there is none.
    pub fn spoil(&self, path: &Path, place: usize, cut: bool) -> bool {
        self.with(|files| {
            let Some(bytes) = files.get_mut(path).filter(|bytes| !bytes.is_empty()) else { return false };
            let place = place % bytes.len();
            if cut {
                bytes.truncate(place);
            } else if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 0x55;
            }
            true
        })
    }
    /// Writes as far as the fault lets it.
    fn put<T>(
        &self,
        action: &'static str,
        path: &Path,
        f: impl FnOnce(&mut BTreeMap<PathBuf, Vec<u8>>) -> T,
    ) -> Result<T, HostError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = match inner.fault {
            None => return Ok(f(&mut inner.files)),
            Some(DiskFault::Full) => io::ErrorKind::StorageFull,
            Some(DiskFault::Torn) => {
                inner.torn = inner.torn.wrapping_add(1);
                if inner.torn.is_multiple_of(2) {
                    f(&mut inner.files);
                }
                io::ErrorKind::Interrupted
            }
        };
        Err(HostError::disk(action, path, lost.into()))
    }
}

impl Disk for MemoryDisk {
    fn read(&self, path: &Path, bound: u64) -> Result<Vec<u8>, HostError> {
        let bytes = self
            .with(|files| files.get(path).cloned())
            .ok_or_else(|| HostError::disk("read", path, io::ErrorKind::NotFound.into()))?;
        let size = bytes.len() as u64;
        if size > bound { Err(HostError::TooLarge { path: path.to_owned(), size, bound }) } else { Ok(bytes) }
    }
    fn write(&self, path: &Path, bytes: &[u8], _access: Access) -> Result<(), HostError> {
        self.put("write", path, |files| files.insert(path.to_owned(), bytes.to_vec()))?;
        Ok(())
    }
    fn create(&self, path: &Path, bytes: &[u8], _access: Access) -> Result<bool, HostError> {
        self.put("create", path, |files| match files.entry(path.to_owned()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(bytes.to_vec());
                true
            }
        })
    }
    fn create_dir(&self, _path: &Path) -> Result<(), HostError> {
        Ok(())
    }
    fn remove(&self, path: &Path) -> Result<(), HostError> {
        self.with(|files| files.remove(path));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test alone, removed at its end.
    struct Folder(PathBuf);
    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("host-disk-{name}-{}", std::process::id()));
            RealDisk.create_dir(&path).unwrap();
            Self(path)
        }
        fn names(&self) -> Vec<String> {
            let mut names: Vec<_> =
                fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }
    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_read_and_private() {
        let folder = Folder::new("private");
        let path = folder.0.join("key");
        RealDisk.write(&path, b"secret", Access::Private).unwrap();
        assert_eq!(RealDisk.read(&path, 6).unwrap(), b"secret");
        assert_eq!((mode(&folder.0), mode(&path)), (0o700, 0o600));
        RealDisk.write(&path, b"open", Access::Shared).unwrap();
        assert_eq!((RealDisk.read(&path, 6).unwrap(), mode(&path)), (b"open".to_vec(), 0o644));
        assert_eq!(folder.names(), ["key"], "no temporary file stays");
        RealDisk.remove(&path).unwrap();
        RealDisk.remove(&path).unwrap();
        assert!(RealDisk.read(&path, 6).unwrap_err().is_not_found());
    }

    #[test]
    fn a_reader_sees_the_old_bytes_or_the_new_ones_never_a_mixture() {
        let folder = Folder::new("atomic");
        let path = folder.0.join("state");
        let contents = [vec![b'a'; 70_000], vec![b'b'; 30_000]];
        RealDisk.write(&path, &contents[0], Access::Private).unwrap();
        let (writing, written) = (path.clone(), contents.clone());
        let writer = std::thread::spawn(move || {
            for bytes in written.iter().cycle().take(40) {
                RealDisk.write(&writing, bytes, Access::Private).unwrap();
            }
        });
        while !writer.is_finished() {
            assert!(contents.contains(&RealDisk.read(&path, 1 << 20).unwrap()));
        }
        writer.join().unwrap();
    }

    #[test]
    fn a_file_is_created_once_however_many_try() {
        let folder = Folder::new("once");
        let path = folder.0.join("secret");
        let tries = |disk: &dyn Disk| {
            let made = |n: usize| disk.create(&path, format!("made by {n}").as_bytes(), Access::Private).unwrap();
            let made: Vec<bool> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || made(n))).collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            let winner = made.iter().position(|made| *made).unwrap();
            assert_eq!(made.iter().filter(|made| **made).count(), 1);
            assert_eq!(disk.read(&path, 100).unwrap(), format!("made by {winner}").as_bytes());
        };
        tries(&RealDisk);
        assert_eq!((folder.names(), mode(&path)), (vec!["secret".to_owned()], 0o600));
        tries(&MemoryDisk::default());
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = Folder::new("failing");
        let path = folder.0.join("state");
        // A folder in the way makes the rename fail after the bytes were written.
        fs::create_dir(&path).unwrap();
        let error = RealDisk.write(&path, b"new", Access::Private).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot write {}: ", path.display())), "{error}");
        assert_eq!(folder.names(), ["state"]);
    }

    #[test]
    fn a_file_over_the_bound_is_refused_and_named() {
        let folder = Folder::new("bound");
        let path = folder.0.join("large");
        for disk in [&RealDisk as &dyn Disk, &MemoryDisk::default()] {
            disk.write(&path, &[0; 11], Access::Private).unwrap();
            let error = disk.read(&path, 10).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("cannot read {}: it has 11 bytes, at most 10 are taken", path.display())
            );
            assert_eq!(disk.read(&path, 11).unwrap().len(), 11);
        }
    }

    #[test]
    fn the_simulated_disk_outlives_who_uses_it() {
        let disk = MemoryDisk::default();
        let path = Path::new("/state/node");
        disk.clone().write(path, b"life 2", Access::Private).unwrap();
        assert_eq!(disk.read(path, 100).unwrap(), b"life 2");
        disk.remove(path).unwrap();
        assert!(disk.read(path, 100).unwrap_err().is_not_found());
    }

    #[test]
    fn a_simulated_file_can_be_spoilt() {
        let disk = MemoryDisk::default();
        let path = Path::new("/state/tables");
        assert!(!disk.spoil(path, 3, true));
        disk.write(path, b"abcdef", Access::Private).unwrap();
        assert!(disk.spoil(path, 7, false));
        assert_eq!(disk.read(path, 9).unwrap(), [b'a', b'b' ^ 0x55, b'c', b'd', b'e', b'f']);
        assert!(disk.spoil(path, 4, true));
        assert_eq!(disk.read(path, 9).unwrap().len(), 4);
    }

    #[test]
    fn a_simulated_disk_that_fails_leaves_the_old_file_or_the_new_one() {
        let disk = MemoryDisk::default();
        let path = Path::new("/state/node");
        let read = || String::from_utf8(disk.read(path, 100).unwrap()).unwrap();
        disk.write(path, b"life 2", Access::Private).unwrap();
        disk.set_fault(Some(DiskFault::Full));
        let error = disk.write(path, b"life 3", Access::Private).unwrap_err();
        assert!(error.to_string().starts_with("cannot write /state/node: "), "{error}");
        assert!(disk.create(Path::new("/state/new"), b"", Access::Private).is_err());
        assert_eq!(read(), "life 2");
        disk.set_fault(Some(DiskFault::Torn));
        assert!(disk.write(path, b"life 3", Access::Private).is_err());
        assert_eq!(read(), "life 2");
        assert!(disk.write(path, b"life 3", Access::Private).is_err());
        assert_eq!(read(), "life 3");
        disk.set_fault(None);
        disk.write(path, b"life 4", Access::Private).unwrap();
        assert_eq!(read(), "life 4");
    }
}
