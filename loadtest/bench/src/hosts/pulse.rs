//! How long this machine keeps a program waiting that wants to run: whoever reads that a node was silent for a second wants to know whether
//! anybody ran in that second.

use crate::pause;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tandem_host::clock::Clock;

const BEAT: Duration = Duration::from_millis(20);

/// A thread that sleeps again and again and notes by how much it overslept. Ends with its value.
pub(super) struct Pulse {
    /// In milliseconds.
    worst: Arc<AtomicU64>,
}

impl Pulse {
    pub(super) fn start() -> Self {
        let worst = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&worst);
        let clock = Clock::system();
        let beat = move || {
            // The other one is the value's.
            while Arc::strong_count(&shown) > 1 {
                let before = clock.now();
                pause(BEAT);
                let late = clock.now().since(before).saturating_sub(BEAT);
                shown.fetch_max(u64::try_from(late.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        };
        // Without the thread nothing is known, and nothing is said.
        let _ = std::thread::Builder::new().name("pulse".to_owned()).spawn(beat);
        Self { worst }
    }
    /// The worst since the last time, in milliseconds.
    pub(super) fn take(&self) -> u64 {
        self.worst.swap(0, Ordering::Relaxed)
    }
}
