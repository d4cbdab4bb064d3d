//! Snapshots on a thread of their own, one for each peer: only they wait for a peer, and nobody else waits with them.
//!
//! The queue in front of the thread has a bound in frames and in bytes; what it does not take is refused.

use super::session::Waiting;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tandem_cluster::link::Refused;

/// Frames and bytes that may wait.
const FRAMES_MAX: usize = 256;
const BYTES_MAX: usize = 4 << 20;

/// See the module. Dropping it lets the thread end behind its last frame.
#[derive(Debug)]
pub(super) struct Bulk {
    queue: SyncSender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    over: Receiver<()>,
}

impl Bulk {
    /// # Errors
    /// The system starts no thread.
    pub(super) fn start(name: &str, way: Waiting) -> std::io::Result<Self> {
        let (queue, frames) = sync_channel::<Vec<u8>>(FRAMES_MAX);
        let (tell, over) = sync_channel(1);
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let body = move || {
            for frame in frames {
                let length = frame.len();
                let open = way.put(frame);
                left.fetch_sub(length, Ordering::AcqRel);
                if !open {
                    break;
                }
            }
            // Nobody may wait for it.
            drop(left);
            let _ = tell.send(());
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Self { queue, waiting, over })
    }

    /// Whether its thread takes frames; not so once the session has been closed.
    pub(super) fn runs(&self) -> bool {
        // The thread has the other one.
        Arc::strong_count(&self.waiting) > 1
    }

    /// # Errors
    /// [`Refused::Full`], or [`Refused::NotConnected`] when the session has been closed.
    pub(super) fn send(&self, frame: Vec<u8>) -> Result<(), Refused> {
        let length = frame.len();
        let before = self.waiting.fetch_add(length, Ordering::AcqRel);
        // One frame alone always fits.
        if before > 0 && before + length > BYTES_MAX {
            self.waiting.fetch_sub(length, Ordering::AcqRel);
            return Err(Refused::Full);
        }
        self.queue.try_send(frame).map_err(|refused| {
            self.waiting.fetch_sub(length, Ordering::AcqRel);
            match refused {
                std::sync::mpsc::TrySendError::Full(_) => Refused::Full,
                std::sync::mpsc::TrySendError::Disconnected(_) => Refused::NotConnected,
            }
        })
    }

    /// Waits until everything has been handed over, so long at most.
    pub(super) fn finish(self, patience: Duration) {
        drop(self.queue);
        // A peer that takes nothing gets nothing more.
        let _ = self.over.recv_timeout(patience);
    }
}
