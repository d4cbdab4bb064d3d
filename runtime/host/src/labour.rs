//! A thread that owns something whose calls block (a database) and does one job after the other with it: whoever has a job never waits.
//!
//! Jobs are done in the order in which they were given. Dropping it lets the thread finish what was given and end.

use crate::error::HostError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::{SyncSender, sync_channel};

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// See the module.
pub struct Labour<S> {
    /// Behind a lock because a channel's end is not shared between threads by all who use it; held for the hand-over only.
    to: Mutex<SyncSender<Job<S>>>,
}

impl<S: Send + 'static> Labour<S> {
    /// Starts the thread. `bound`: jobs that may wait.
    ///
    /// # Errors
    /// [`HostError`] when no thread can be started.
    pub fn thread(name: &str, mut state: S, bound: usize) -> Result<Self, HostError> {
        let (to, from) = sync_channel::<Job<S>>(bound);
        let body = move || {
            for job in from {
                // A job that panics is lost; who waits for it sees its channel closed. What it works on must bear that.
                let _ = catch_unwind(AssertUnwindSafe(|| job(&mut state)));
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|e| HostError::thread(name, e))?;
        Ok(Self { to: Mutex::new(to) })
    }
    /// Gives a job. `false`: too many wait already, or the thread is gone, and it will not be done.
    pub fn give(&self, job: impl FnOnce(&mut S) + Send + 'static) -> bool {
        let to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        to.try_send(Box::new(job)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn jobs_are_done_in_order_also_after_one_that_panics() {
        let labour = Labour::thread("test", Vec::new(), 16).unwrap();
        let (tell, told) = channel();
        for n in 0..4 {
            let tell = tell.clone();
            assert!(labour.give(move |list: &mut Vec<u32>| {
                assert!(n != 1, "a job of a test that goes wrong");
                list.push(n);
                tell.send(list.clone()).unwrap();
            }));
        }
        let all: Vec<_> = told.iter().take(3).collect();
        assert_eq!(all, [vec![0], vec![0, 2], vec![0, 2, 3]]);
    }

    #[test]
    fn more_than_may_wait_are_refused() {
        let labour = Labour::thread("test", (), 1).unwrap();
        let (go, wait) = channel::<()>();
        let (begun, has_begun) = channel();
        assert!(labour.give(move |()| {
            begun.send(()).unwrap();
            drop(wait.recv());
        }));
        has_begun.recv().unwrap();
        assert!(labour.give(|()| ()), "one may wait");
        assert!(!labour.give(|()| ()));
        drop(go);
    }
}
