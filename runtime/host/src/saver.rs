//! One file that is written again and again by a thread of its own: whoever has new bytes never waits for the disk.
//!
//! At most one set of bytes is being written and one waits. Dropping it lets the thread finish by itself.

use crate::disk::{Access, Disk};
use crate::error::HostError;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

/// What has become of what was handed over. Read from any thread.
#[derive(Debug, Default)]
pub struct Saves {
    taken: AtomicU64,
    written: AtomicU64,
    failed: AtomicU64,
}

impl Saves {
    /// Files written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
    /// Files that could not be written.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.taken.load(Ordering::Acquire) == self.written() + self.failed()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Saver {
    to: SyncSender<Vec<u8>>,
    saves: Arc<Saves>,
}

impl Saver {
    /// Starts the thread. `failed` is told why a file could not be written, on that thread.
    ///
    /// # Errors
    /// [`HostError`] when no thread can be started.
    pub fn thread(
        name: &str,
        disk: Arc<dyn Disk>,
        path: PathBuf,
        failed: impl Fn(HostError) + Send + 'static,
    ) -> Result<Self, HostError> {
        let (to, from) = sync_channel::<Vec<u8>>(1);
        let saves = Arc::<Saves>::default();
        let counts = Arc::clone(&saves);
        let body = move || {
            for bytes in from {
                let count = match disk.write(&path, &bytes, Access::Private) {
                    Ok(()) => &counts.written,
                    Err(why) => {
                        failed(why);
                        &counts.failed
                    }
                };
                count.fetch_add(1, Ordering::Release);
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|e| HostError::thread(name, e))?;
        Ok(Self { to, saves })
    }
    /// Hands over what the file is to hold. `false`: two earlier ones are still under way, and this one is lost.
    pub fn save(&self, bytes: Vec<u8>) -> bool {
        self.saves.taken.fetch_add(1, Ordering::AcqRel);
        match self.to.try_send(bytes) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.saves.taken.fetch_sub(1, Ordering::AcqRel);
                false
            }
        }
    }
    /// What has become of it.
    pub fn saves(&self) -> Arc<Saves> {
        Arc::clone(&self.saves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDisk;
    use std::sync::mpsc::channel;

    fn wait(saves: &Saves) {
        while !saves.is_idle() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_last_bytes_are_in_the_file_and_a_failure_is_told() {
        let disk = Arc::new(MemoryDisk::default());
        let saver = Saver::thread("test", disk.clone(), "a".into(), |_| ()).unwrap();
        for n in 0..3_u8 {
            assert!(saver.save(vec![n]));
            wait(&saver.saves());
        }
        assert_eq!(disk.read("a".as_ref(), 9).unwrap(), [2]);
        assert_eq!((saver.saves().written(), saver.saves().failed()), (3, 0));

        let (tell, told) = channel();
        let nowhere = Arc::new(crate::disk::RealDisk);
        let fail = move |why: HostError| drop(tell.send(why.to_string()));
        let saver = Saver::thread("test", nowhere, "/nowhere/at/all".into(), fail).unwrap();
        assert!(saver.save(vec![1]));
        wait(&saver.saves());
        assert!(told.recv().unwrap().contains("/nowhere/at/all"));
        assert_eq!(saver.saves().failed(), 1);
    }
}
