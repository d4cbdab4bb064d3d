//! Stuck is dead (DESIGN section 6): nothing can preempt a handler that never returns, so each arbiter is asked to stamp its progress and
//! one that has been silent for [`STUCK_AFTER`] is reported. The probe is an ordinary job of the arbiter: if it runs, everything there
//! gets its turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tandem_base::Time;

/// Silence that counts as death.
pub const STUCK_AFTER: Duration = Duration::from_secs(2);
/// A watch that was not called for this long stood still itself, and with it the whole process: stopped, paused with its machine, or short
/// of processor time. What it finds then proves nothing about any single arbiter.
const OWN_GAP: Duration = Duration::from_millis(500);

type Job = Box<dyn FnOnce() + Send>;

/// Progress of one arbiter. Clones are the same pulse.
#[derive(Clone)]
pub struct Pulse {
    inner: Arc<Inner>,
}

struct Inner {
    stamp: AtomicU64,
    /// A probe waits there; no second one is sent, so a stuck arbiter's queue does not grow.
    waiting: AtomicBool,
    /// Runs a job on the arbiter; `false` when it has ended.
    run: Box<dyn Fn(Job) -> bool + Send + Sync>,
}

impl Pulse {
    /// `run` must queue the job behind what the arbiter has to do and return at once, `false` when the arbiter has ended.
    pub fn new(now: Time, run: impl Fn(Job) -> bool + Send + Sync + 'static) -> Self {
        let inner =
            Inner { stamp: AtomicU64::new(now.as_micros()), waiting: AtomicBool::new(false), run: Box::new(run) };
        Self { inner: Arc::new(inner) }
    }
    /// It makes progress.
    pub fn stamp(&self, now: Time) {
        self.inner.stamp.fetch_max(now.as_micros(), Ordering::Relaxed);
    }
    /// Asks for a stamp, unless an earlier question is still open.
    pub fn probe(&self, now: Time) {
        if self.inner.waiting.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let sent = (self.inner.run)(Box::new(move || {
            // The stamp is the time of the question: the answer proves progress since then, and an arbiter reads no clock for it.
            inner.stamp.fetch_max(now.as_micros(), Ordering::Relaxed);
            inner.waiting.store(false, Ordering::Release);
        }));
        if !sent {
            self.inner.waiting.store(false, Ordering::Release);
        }
    }
    /// How long it has shown no progress.
    pub fn silence(&self, now: Time) -> Duration {
        now.since(Time::from_micros(self.inner.stamp.load(Ordering::Relaxed)))
    }
}

/// An arbiter that stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Its name.
    pub name: String,
    /// For how long.
    pub silence: Duration,
}

/// Watches the arbiters of a process. Call [`StuckWatch::check`] every 100 ms or so, from a thread that is none of them.
#[derive(Default)]
pub struct StuckWatch {
    pulses: BTreeMap<String, (Pulse, bool)>,
    /// The last call.
    last: Option<Time>,
    /// Since when it has been called without a gap: nobody's silence is counted from before.
    awake_since: Time,
}

impl StuckWatch {
    /// Watches one more; replaces one of the same name.
    pub fn watch(&mut self, name: &str, pulse: Pulse) {
        self.pulses.insert(name.to_owned(), (pulse, false));
    }
    /// Watches one less.
    pub fn forget(&mut self, name: &str) {
        self.pulses.remove(name);
    }
    /// Probes all; returns those that have become stuck since the last call. One that goes on and gets stuck again is reported again.
    pub fn check(&mut self, now: Time) -> Vec<Stuck> {
        if self.last.replace(now).is_none_or(|last| now.since(last) >= OWN_GAP) {
            self.awake_since = now;
        }
        let awake = now.since(self.awake_since);
        let mut found = Vec::new();
        for (name, (pulse, reported)) in &mut self.pulses {
            let silence = pulse.silence(now).min(awake);
            let stuck = silence >= STUCK_AFTER;
            if stuck && !*reported {
                found.push(Stuck { name: name.clone(), silence });
            }
            *reported = stuck;
            pulse.probe(now);
        }
        found
    }
}
