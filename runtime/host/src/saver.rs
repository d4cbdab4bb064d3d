//! One file that is written again and again by a thread of its own: whoever has new bytes never waits for the disk.
//!
//! At most one set of bytes is being written and one waits. Dropping it lets the thread finish by itself. [`Hand`] is the simulated twin.

use crate::disk::{Access, Disk};
use crate::error::HostError;
use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

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
    /// Writes and counts; whether it was written.
    fn carry_out(&self, disk: &dyn Disk, path: &std::path::Path, bytes: &[u8], failed: &dyn Fn(HostError)) -> bool {
        let outcome = disk.write(path, bytes, Access::Private);
        let written = outcome.is_ok();
        if let Err(why) = outcome {
            failed(why);
        }
        let count = if written { &self.written } else { &self.failed };
        count.fetch_add(1, Ordering::Release);
        written
    }
    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.taken.load(Ordering::Acquire) == self.written() + self.failed()
    }
}

/// Told why a file could not be written.
pub type Failed = Box<dyn Fn(HostError) + Send>;

/// See the module.
#[derive(Debug)]
pub struct Saver {
    to: Way,
    saves: Arc<Saves>,
}

#[derive(Debug)]
enum Way {
    Thread(SyncSender<Vec<u8>>),
    Hand(Arc<Mutex<VecDeque<Vec<u8>>>>),
}

/// Sets of bytes that a hand takes: the one that is being written, and one that waits.
const HAND_MAX: usize = 2;

/// Instead of a thread: whoever drives it lets time pass and then says that the disk has had its time. What it holds when it is dropped is lost, as
/// in a crash.
pub struct Hand {
    waiting: Arc<Mutex<VecDeque<Vec<u8>>>>,
    saves: Arc<Saves>,
    disk: Arc<dyn Disk>,
    path: PathBuf,
    failed: Failed,
}

impl fmt::Debug for Hand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hand").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Hand {
    /// Whether there is something to write.
    pub fn has_work(&self) -> bool {
        !self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
    /// Writes the oldest; `None` when there is none, else whether it is in the file.
    pub fn write(&self) -> Option<bool> {
        let bytes = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        Some(self.saves.carry_out(&*self.disk, &self.path, &bytes, &self.failed))
    }
}

impl Saver {
    /// Starts the thread. `failed` is told why a file could not be written, on that thread.
    ///
    /// # Errors
    /// [`HostError`] when no thread can be started.
    pub fn thread(name: &str, disk: Arc<dyn Disk>, path: PathBuf, failed: Failed) -> Result<Self, HostError> {
        let (to, from) = sync_channel::<Vec<u8>>(1);
        let saves = Arc::<Saves>::default();
        let counts = Arc::clone(&saves);
        let body = move || {
            for bytes in from {
                counts.carry_out(&*disk, &path, &bytes, &failed);
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|e| HostError::thread(name, e))?;
        Ok(Self { to: Way::Thread(to), saves })
    }
    /// Without a thread, for the simulator.
    pub fn by_hand(disk: Arc<dyn Disk>, path: PathBuf, failed: Failed) -> (Self, Hand) {
        let (waiting, saves) = (Arc::default(), Arc::<Saves>::default());
        let hand = Hand { waiting: Arc::clone(&waiting), saves: Arc::clone(&saves), disk, path, failed };
        (Self { to: Way::Hand(waiting), saves }, hand)
    }
    /// Hands over what the file is to hold. `false`: two earlier ones are still under way, and this one is lost.
    pub fn save(&self, bytes: Vec<u8>) -> bool {
        self.saves.taken.fetch_add(1, Ordering::AcqRel);
        let taken = match &self.to {
            Way::Thread(to) => {
                !matches!(to.try_send(bytes), Err(TrySendError::Full(_) | TrySendError::Disconnected(_)))
            }
            Way::Hand(waiting) => {
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let room = waiting.len() < HAND_MAX;
                if room {
                    waiting.push_back(bytes);
                }
                room
            }
        };
        if !taken {
            self.saves.taken.fetch_sub(1, Ordering::AcqRel);
        }
        taken
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
        let saver = Saver::thread("test", disk.clone(), "a".into(), Box::new(|_| ())).unwrap();
        for n in 0..3_u8 {
            assert!(saver.save(vec![n]));
            wait(&saver.saves());
        }
        assert_eq!(disk.read("a".as_ref(), 9).unwrap(), [2]);
        assert_eq!((saver.saves().written(), saver.saves().failed()), (3, 0));

        let (tell, told) = channel();
        let nowhere = Arc::new(crate::disk::RealDisk);
        let fail = move |why: HostError| drop(tell.send(why.to_string()));
        let saver = Saver::thread("test", nowhere, "/nowhere/at/all".into(), Box::new(fail)).unwrap();
        assert!(saver.save(vec![1]));
        wait(&saver.saves());
        assert!(told.recv().unwrap().contains("/nowhere/at/all"));
        assert_eq!(saver.saves().failed(), 1);
    }

    #[test]
    fn by_hand_nothing_is_written_before_it_is_time_and_a_third_is_not_taken() {
        let disk = Arc::new(MemoryDisk::default());
        let (saver, hand) = Saver::by_hand(disk.clone(), "a".into(), Box::new(|_| ()));
        assert_eq!((hand.write(), hand.has_work()), (None, false));
        assert_eq!([1, 2, 3].map(|n| saver.save(vec![n])), [true, true, false]);
        assert!(!saver.saves().is_idle() && disk.read("a".as_ref(), 9).is_err());
        assert_eq!((hand.write(), disk.read("a".as_ref(), 9).unwrap()), (Some(true), vec![1]));
        disk.set_fault(Some(crate::disk::DiskFault::Full));
        assert_eq!((hand.write(), disk.read("a".as_ref(), 9).unwrap()), (Some(false), vec![1]));
        assert!(saver.saves().is_idle() && !hand.has_work());
        assert_eq!((saver.saves().written(), saver.saves().failed()), (1, 1));
    }
}
