//! Waits for a moment to the microsecond: the runtime's own timers know whole milliseconds, which is longer than an answer takes.

use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::Error;

#[expect(
    deprecated,
    reason = "its successor is unsafe for descriptors in general; a timer that we own stays open and the same"
)]
fn register(timer: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(timer, Interest::READABLE)
}

/// One timer of the kernel in the runtime's epoll.
pub(super) struct Sleeper(AsyncFd<OwnedFd>);

impl Sleeper {
    /// Needs a runtime with I/O.
    pub(super) fn new() -> Result<Self, Error> {
        let failed = |source| Error::Io { what: "cannot make a timer for the phones' thread".into(), source };
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(|e| failed(e.into()))?;
        register(timer).map(Self).map_err(failed)
    }

    /// Returns after `wait`. Safe to drop half-way.
    pub(super) async fn wait(&self, wait: Duration) {
        // Zero would disarm it.
        let wait = wait.max(Duration::from_nanos(1));
        let value = Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        if timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once).is_err() {
            return;
        }
        loop {
            let Ok(mut ready) = self.0.readable().await else { return };
            let read = ready.try_io(|timer| rustix::io::read(timer, &mut [0_u8; 8]).map_err(Into::into));
            // Would block: the readiness was that of an earlier wait.
            if read.is_ok() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_host::clock::Clock;

    #[test]
    fn it_never_returns_early_and_can_be_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (sleeper, clock) = (Sleeper::new().unwrap(), Clock::system());
            tokio::select! {
                biased;
                () = sleeper.wait(Duration::from_secs(60)) => panic!("a minute is not over"),
                () = tokio::task::yield_now() => {}
            }
            for micros in [0, 1, 300, 2_000] {
                let (before, wait) = (clock.now(), Duration::from_micros(micros));
                sleeper.wait(wait).await;
                assert!(clock.now().since(before) >= wait);
            }
        });
    }
}
