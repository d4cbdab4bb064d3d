//! The ticker: one plain thread per node, so that no timer is armed on the arbiter that owns the sockets (an armed timer costs it 3 us a
//! wake). It says "flush" at most every 5 ms and only when something waits, and "tick" every 100 ms. In the simulator the same is driven
//! by virtual time.
//!
//! Its closures must only try to send: whoever is slow there delays every tick after it.

use crate::error::HostError;
use crate::supervise::contain;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// How soon what waits is flushed.
pub const FLUSH_EVERY: Duration = Duration::from_millis(5);
/// The beat of a node: heartbeats, expiry, gauges.
pub const TICK_EVERY: Duration = Duration::from_millis(100);

/// "Something waits to be flushed." Clones are the same flag; setting it costs one atomic swap.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    inner: Arc<Flag>,
}

#[derive(Debug, Default)]
struct Flag {
    set: AtomicBool,
    /// Whether somebody sleeps on `notify` (virtual time only: there nobody polls the flag).
    virtual_time: AtomicBool,
    notify: Notify,
}

impl Waiting {
    /// Something waits.
    pub fn set(&self) {
        if !self.inner.set.swap(true, Ordering::Release) && self.inner.virtual_time.load(Ordering::Relaxed) {
            self.inner.notify.notify_one();
        }
    }
    /// Whether something waits; nothing does afterwards.
    pub fn take(&self) -> bool {
        self.inner.set.load(Ordering::Relaxed) && self.inner.set.swap(false, Ordering::Acquire)
    }
}

/// Runs until dropped.
#[derive(Debug)]
pub struct Ticker {
    inner: Kind,
}

#[derive(Debug)]
enum Kind {
    Thread(Arc<AtomicBool>),
    Virtual([AbortHandle; 2]),
}

impl Ticker {
    /// In real time, on a thread of its own with this name.
    ///
    /// # Errors
    /// [`HostError::Thread`].
    pub fn thread(
        name: &str,
        waiting: &Waiting,
        mut flush: impl FnMut() + Send + 'static,
        mut tick: impl FnMut() + Send + 'static,
    ) -> Result<Self, HostError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, waiting) = (Arc::clone(&stop), waiting.clone());
        let body = move || {
            let mut next_tick = Instant::now() + TICK_EVERY;
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(FLUSH_EVERY);
                // A panic in a closure must not silence the node: it would be taken for dead.
                if waiting.take() {
                    let _ = contain(&mut flush);
                }
                let now = Instant::now();
                if now >= next_tick {
                    // Ticks that a busy machine swallowed are not made up for.
                    next_tick = (next_tick + TICK_EVERY).max(now);
                    let _ = contain(&mut tick);
                }
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|e| HostError::thread(name, e))?;
        Ok(Self { inner: Kind::Thread(stop) })
    }

    /// In the time of the current runtime, as two tasks of the current `LocalSet`: for the simulator.
    pub fn virtual_time(
        waiting: &Waiting,
        mut flush: impl FnMut() + 'static,
        mut tick: impl FnMut() + 'static,
    ) -> Self {
        let waiting = waiting.clone();
        waiting.inner.virtual_time.store(true, Ordering::Relaxed);
        let flusher = tokio::task::spawn_local(async move {
            loop {
                if !waiting.inner.set.load(Ordering::Acquire) {
                    waiting.inner.notify.notified().await;
                }
                tokio::time::sleep(FLUSH_EVERY).await;
                if waiting.take() {
                    flush();
                }
            }
        });
        let ticker = tokio::task::spawn_local(async move {
            let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + TICK_EVERY, TICK_EVERY);
            // As on the thread: ticks that a hung node slept through are not made up for.
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                tick();
            }
        });
        Self { inner: Kind::Virtual([flusher.abort_handle(), ticker.abort_handle()]) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        match &self.inner {
            // Not joined: its owner may be the very arbiter that one of the closures is waiting for.
            Kind::Thread(stop) => stop.store(true, Ordering::Relaxed),
            Kind::Virtual(tasks) => tasks.iter().for_each(AbortHandle::abort),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::mpsc;
    use tandem_base::{Time, UnixMillis};

    #[test]
    fn in_virtual_time_it_flushes_5_ms_after_the_first_row_and_ticks_every_100_ms() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let clock = Clock::simulated(UnixMillis(0));
            let (waiting, log) = (Waiting::default(), Rc::new(RefCell::new(Vec::new())));
            let note = |what: &'static str| {
                let log = Rc::clone(&log);
                move || log.borrow_mut().push((what, clock.now()))
            };
            let ticker = Ticker::virtual_time(&waiting, note("flush"), note("tick"));
            tokio::time::sleep(Duration::from_millis(42)).await;
            waiting.set();
            waiting.set();
            tokio::time::sleep(Duration::from_millis(168)).await;
            drop(ticker);
            waiting.set();
            tokio::time::sleep(Duration::from_secs(1)).await;
            let at = Time::from_millis;
            assert_eq!(*log.borrow(), [("flush", at(47)), ("tick", at(100)), ("tick", at(200))]);
        });
    }

    #[test]
    fn the_thread_flushes_only_when_something_waits_ticks_and_ends() {
        let (sender, receiver) = mpsc::channel();
        let (waiting, flushed) = (Waiting::default(), sender.clone());
        let ticker = Ticker::thread(
            "test-ticker",
            &waiting,
            move || flushed.send("flush").unwrap(),
            move || sender.send("tick").unwrap_or_default(),
        )
        .unwrap();
        assert_eq!(receiver.recv(), Ok("tick"), "nothing waited");
        waiting.set();
        assert_eq!(receiver.recv(), Ok("flush"));
        drop(ticker);
        // The thread drops its closures, and with them the senders, when it ends.
        assert!(receiver.iter().all(|what| what == "tick"));
    }
}
