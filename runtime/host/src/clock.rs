//! The clock: a small value given to each node, so that nobody reads time behind its back. Monotonic time comes from tokio's
//! `Instant`, which stands still or jumps with a paused runtime; wall time is real in production and derived when simulated.
//!
//! It must never read std's `Instant`: that does not move with a paused clock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tandem_base::{Time, UnixMillis};
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Where a node reads the time. A copy is the same clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    /// Monotonic time at the origin: each host counts from a moment of its own.
    started: Time,
    /// Wall time at the origin, when simulated.
    epoch: Option<UnixMillis>,
    dial: Option<&'static Dial>,
}

/// A simulated host's wall clock may be wrong: this is how far it is ahead, and where it is set. Monotonic time never jumps.
#[derive(Debug, Default)]
pub struct Dial {
    ahead_millis: AtomicI64,
}
impl Dial {
    /// Sets the wall clock so many milliseconds ahead of the true time, or behind it.
    pub fn set(&self, ahead_millis: i64) {
        self.ahead_millis.store(ahead_millis, Ordering::Relaxed);
    }
    /// How far it is ahead.
    pub fn ahead_millis(&self) -> i64 {
        self.ahead_millis.load(Ordering::Relaxed)
    }
}

impl Clock {
    /// The machine's clock. All copies of one process share one origin, also across threads.
    pub fn system() -> Self {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        Self { origin: *ORIGIN.get_or_init(Instant::now), started: Time::ZERO, epoch: None, dial: None }
    }

    /// A clock that starts at [`Time::ZERO`] now and follows the paused clock of the runtime it is read in; wall time starts at `epoch`.
    pub fn simulated(epoch: UnixMillis) -> Self {
        Self { origin: Instant::now(), started: Time::ZERO, epoch: Some(epoch), dial: None }
    }

    /// The simulated clock of one host: its monotonic time reads `started` now, its wall time is that of this clock as far as `dial` says.
    #[must_use]
    pub fn of_host(&self, started: Time, dial: &'static Dial) -> Self {
        let passed = u64::try_from(self.now().since(self.started).as_millis()).unwrap_or(u64::MAX);
        let epoch = self.epoch.map(|epoch| UnixMillis(epoch.0.saturating_add(passed)));
        Self { origin: Instant::now(), started, epoch, dial: Some(dial) }
    }

    /// Microseconds since this clock's origin.
    ///
    /// # Panics
    /// A simulated clock that is read outside a runtime: tokio answers there with the machine's time, which has nothing to do with virtual
    /// time and is never the same twice.
    pub fn now(&self) -> Time {
        assert!(
            self.epoch.is_none() || Handle::try_current().is_ok(),
            "a simulated clock is read outside its runtime: enter the runtime first"
        );
        self.started + Instant::now().saturating_duration_since(self.origin)
    }

    /// Wall-clock time. For people, nonces and stamps; never for timers.
    pub fn unix_millis(&self) -> UnixMillis {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        match self.epoch {
            Some(epoch) => {
                let ahead = self.dial.map_or(0, Dial::ahead_millis);
                UnixMillis(epoch.0.saturating_add(millis(self.now().since(self.started))).saturating_add_signed(ahead))
            }
            None => UnixMillis(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)),
        }
    }

    /// Whether wall time is derived from virtual time.
    pub const fn is_simulated(&self) -> bool {
        self.epoch.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    #[test]
    fn a_simulated_clock_follows_the_paused_clock_alone() {
        paused().block_on(async {
            let clock = Clock::simulated(UnixMillis(1_000));
            assert_eq!(clock.now(), Time::ZERO);
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            assert_eq!(clock.now(), Time::from_secs(3_600));
            assert_eq!(clock.unix_millis(), UnixMillis(3_601_000));
        });
    }

    #[test]
    fn a_simulated_host_counts_from_its_own_moment_and_may_show_a_wrong_time() {
        static DIAL: Dial = Dial { ahead_millis: AtomicI64::new(0) };
        paused().block_on(async {
            let world = Clock::simulated(UnixMillis(1_000_000));
            tokio::time::sleep(Duration::from_secs(10)).await;
            let host = world.of_host(Time::from_secs(500), &DIAL);
            assert_eq!((host.now(), host.unix_millis()), (Time::from_secs(500), UnixMillis(1_010_000)));
            tokio::time::sleep(Duration::from_secs(1)).await;
            DIAL.set(-5_000);
            assert_eq!((host.now(), host.unix_millis()), (Time::from_secs(501), UnixMillis(1_006_000)));
            DIAL.set(0);
            assert_eq!(host.unix_millis(), world.unix_millis());
        });
    }

    #[test]
    #[should_panic(expected = "outside its runtime")]
    fn a_simulated_clock_outside_its_runtime_has_no_time_to_tell() {
        let clock = paused().block_on(async { Clock::simulated(UnixMillis(0)) });
        clock.now();
    }

    #[test]
    fn the_system_clock_is_one_for_all_threads_and_never_goes_back() {
        let before = Clock::system().now();
        let elsewhere = std::thread::spawn(|| Clock::system().now()).join().unwrap();
        assert!(before <= elsewhere && elsewhere <= Clock::system().now());
        assert!(Clock::system().unix_millis().0 > 1_600_000_000_000, "wall time is that of the machine");
    }
}
