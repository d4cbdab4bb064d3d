//! A thread that owns something whose calls block (a database) and does one job after the other with it: whoever has a job never waits.
//!
//! Jobs are done in the order in which they were given. Dropping it lets the thread finish what was given and end. [`Hand`] is the simulated
//! twin: no thread, and whoever drives it says when a job has had its time.

use crate::error::HostError;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;
type Queue<S> = Mutex<VecDeque<Job<S>>>;

/// See the module.
pub struct Labour<S> {
    to: Way<S>,
}

enum Way<S> {
    /// Behind a lock because a channel's end is not shared between threads by all who use it; held for the hand-over only.
    Thread(Mutex<SyncSender<Job<S>>>),
    /// Weak, so that a hand that is gone takes no more jobs, as a thread that is gone.
    Hand(Weak<Queue<S>>, usize),
}

/// Instead of a thread: does a job when it is told so. What waits when it is dropped is not done, as in a crash.
pub struct Hand<S> {
    state: S,
    waiting: Arc<Queue<S>>,
}
impl<S> fmt::Debug for Hand<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hand").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `false`: it panicked and is lost; who waits for it sees its channel closed. What it works on must bear that.
fn carry_out<S>(job: Job<S>, state: &mut S) -> bool {
    catch_unwind(AssertUnwindSafe(|| job(state))).is_ok()
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
                let _ = carry_out(job, &mut state);
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|e| HostError::thread(name, e))?;
        Ok(Self { to: Way::Thread(Mutex::new(to)) })
    }
    /// Without a thread, for the simulator.
    pub fn by_hand(state: S, bound: usize) -> (Self, Hand<S>) {
        let waiting = Arc::<Queue<S>>::default();
        (Self { to: Way::Hand(Arc::downgrade(&waiting), bound) }, Hand { state, waiting })
    }
    /// Gives a job. `false`: too many wait already, or the thread is gone, and it will not be done.
    pub fn give(&self, job: impl FnOnce(&mut S) + Send + 'static) -> bool {
        match &self.to {
            Way::Thread(to) => lock(to).try_send(Box::new(job)).is_ok(),
            Way::Hand(waiting, bound) => {
                let Some(waiting) = waiting.upgrade() else { return false };
                let mut waiting = lock(&waiting);
                let room = waiting.len() < *bound;
                if room {
                    waiting.push_back(Box::new(job));
                }
                room
            }
        }
    }
}

impl<S> Hand<S> {
    /// Whether a job waits.
    pub fn has_work(&self) -> bool {
        !lock(&self.waiting).is_empty()
    }
    /// Does the oldest job; `None` when there is none, else whether it came to its end (it did not panic).
    pub fn work(&mut self) -> Option<bool> {
        // The lock is free while the job runs: it may give another.
        let job = lock(&self.waiting).pop_front()?;
        Some(carry_out(job, &mut self.state))
    }
    /// What jobs work on.
    pub fn state(&mut self) -> &mut S {
        &mut self.state
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
            let _ = wait.recv();
        }));
        has_begun.recv().unwrap();
        assert!(labour.give(|()| ()), "one may wait");
        assert!(!labour.give(|()| ()));
        drop(go);
    }

    #[test]
    fn by_hand_a_job_is_done_when_it_is_time_and_none_after_the_hand_is_gone() {
        let (labour, mut hand) = Labour::by_hand(Vec::new(), 3);
        for n in 0..3 {
            assert!(labour.give(move |list: &mut Vec<u32>| {
                assert!(n != 1, "a job of a test that goes wrong");
                list.push(n);
            }));
        }
        assert!(!labour.give(|_| ()), "three may wait");
        assert!(hand.has_work() && hand.state().is_empty());
        assert_eq!([hand.work(), hand.work(), hand.work(), hand.work()], [Some(true), Some(false), Some(true), None]);
        assert_eq!(*hand.state(), [0, 2]);
        assert!(labour.give(|list| list.push(9)) && hand.has_work());
        drop(hand);
        assert!(!labour.give(|_| ()));
    }
}
