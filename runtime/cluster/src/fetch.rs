//! Getting missing rows of one owner: ask for changes from its log, or fetch its whole set; each at most once at a time, retried,
//! and whole sets no more often than the back-off allows.
//!
//! While a whole set is fetched, changes go on arriving and are applied at once. A chunk may be older than a change that overtook it
//! (chunks travel in a lower lane), so keys changed since the fetch began are remembered until a chunk is as new as they are.

use crate::api::Resync;
use crate::frame::Chunk;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tandem_base::Time;

/// Most changes remembered while a whole set is fetched: how far changes may run ahead of chunks. Beyond it changes are refused and
/// asked for again later.
const TOUCHED_MAX: usize = 65_536;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    No,
    /// It is to be fetched, but not before this time.
    Wait(Time),
    /// It is being fetched; this chunk comes next; ask again at that time.
    Chunks {
        next: u64,
        again: Time,
        /// The owner's number of the transfer, from its first chunk.
        transfer: u64,
    },
}

/// The state of fetching from one owner.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    /// Changes from the log are asked for; ask again at this time.
    log: Option<Time>,
    /// What had been applied when they were asked for last.
    asked_at: u64,
    whole: Whole,
    /// Number of the latest whole fetch; each has its own.
    request: u64,
    /// The last whole fetch that came to its end, so that its last chunk can be acknowledged again.
    done: u64,
    retry: Duration,
    /// Before this no whole set is fetched.
    not_before: Time,
    backoff: Duration,
    backoff_min: Duration,
    touched: BTreeMap<u128, u64>,
    order: VecDeque<(u64, u128)>,
}

impl Fetch {
    pub(crate) fn new(retry: Duration, backoff_min: Duration) -> Self {
        Self {
            log: None,
            asked_at: 0,
            whole: Whole::No,
            request: 0,
            done: 0,
            retry,
            not_before: Time::ZERO,
            backoff: backoff_min,
            backoff_min,
            touched: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The whole set is being fetched, or is about to be.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole != Whole::No
    }
    pub(crate) fn request(&self) -> u64 {
        self.request
    }

    /// Starts asking for changes. `false`: asked already, or a whole set is on its way that may cover them.
    pub(crate) fn start_log(&mut self, now: Time) -> bool {
        let covers = matches!(self.whole, Whole::Wait(_) | Whole::Chunks { next: 0, .. });
        if self.log.is_some() || covers {
            return false;
        }
        self.log = Some(now);
        true
    }
    /// Whether it is time to ask for changes.
    pub(crate) fn log_due(&mut self, now: Time, applied: u64) -> bool {
        let due = self.log.is_some_and(|again| now >= again);
        if due {
            self.log = Some(now + self.retry);
            self.asked_at = applied;
        }
        due
    }
    /// Whether asking has brought anything: only then it is asked again without waiting.
    pub(crate) fn progressed(&self, applied: u64) -> bool {
        applied > self.asked_at
    }
    /// The changes that were asked for are here, or will never come.
    pub(crate) fn end_log(&mut self) {
        self.log = None;
    }

    /// Starts fetching the whole set, now or when the back-off allows. `false`: one is under way or waits already. Only a digest that
    /// keeps differing makes the back-off grow, up to `backoff_max`: that is a fault which fetching may never cure.
    pub(crate) fn start_whole(&mut self, now: Time, why: Resync, backoff_max: Duration) -> bool {
        if self.is_whole() {
            return false;
        }
        let at = now.max(self.not_before);
        self.log = None;
        self.whole = Whole::Wait(at);
        self.not_before = at + self.backoff;
        if why == Resync::Digest {
            self.backoff = (self.backoff * 2).min(backoff_max);
        }
        true
    }
    /// The owner cannot go on with this fetch: begin anew, a little later.
    pub(crate) fn restart_whole(&mut self, now: Time, request: u64) {
        if self.request == request && matches!(self.whole, Whole::Chunks { .. }) {
            self.whole = Whole::Wait(now + self.retry);
        }
    }
    /// Which chunk to ask for, if it is time.
    pub(crate) fn whole_due(&mut self, now: Time) -> Option<u64> {
        let (next, transfer) = match self.whole {
            Whole::Wait(at) if now >= at => (0, 0),
            Whole::Chunks { next, again, transfer } if now >= again => (next, transfer),
            _ => return None,
        };
        if matches!(self.whole, Whole::Wait(_)) {
            self.request += 1;
            self.forget_all();
        }
        self.whole = Whole::Chunks { next, again: now + self.retry, transfer };
        Some(next)
    }
    /// Whether this chunk is the one that comes next; if so, it is counted.
    pub(crate) fn take_chunk(&mut self, now: Time, chunk: &Chunk<'_>) -> bool {
        let retry = self.retry;
        match &mut self.whole {
            Whole::Chunks { next, again, transfer } if self.request == chunk.request => {
                if *next == 0 && chunk.index == 0 {
                    *transfer = chunk.transfer;
                }
                let is_next = *transfer == chunk.transfer && *next == chunk.index;
                if is_next {
                    *next += 1;
                    *again = now + retry;
                } else if *next > 0 && *transfer < chunk.transfer {
                    // The owner has begun again: what is here of its first walk does not fit the second one.
                    self.restart_whole(now, chunk.request);
                }
                is_next
            }
            _ => false,
        }
    }
    /// What to acknowledge for a chunk: `None` when it is none of ours.
    pub(crate) fn acknowledge(&self, chunk: &Chunk<'_>) -> Option<u64> {
        match self.whole {
            Whole::Chunks { next, transfer, .. } if self.request == chunk.request => {
                (transfer == chunk.transfer && next > 0).then_some(next)
            }
            _ if self.done == chunk.request && chunk.request > 0 => Some(chunk.index.saturating_add(1)),
            _ => None,
        }
    }
    /// The last chunk is in.
    pub(crate) fn end_whole(&mut self) {
        self.done = self.request;
        self.whole = Whole::No;
        self.forget_all();
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        let whole = match self.whole {
            Whole::No => None,
            Whole::Wait(at) | Whole::Chunks { again: at, .. } => Some(at),
        };
        [self.log, whole].into_iter().flatten().min()
    }

    /// The owner is gone: what was under way ends, and when it returns that is a new story.
    pub(crate) fn cancel(&mut self) {
        self.log = None;
        if std::mem::replace(&mut self.whole, Whole::No) != Whole::No {
            // It did not end, so it is no reason to wait with the next.
            self.not_before = Time::ZERO;
        }
        self.backoff = self.backoff_min;
        self.forget_all();
    }
    /// The copy is complete: the next trouble is a new one.
    pub(crate) fn proven(&mut self) {
        self.backoff = self.backoff_min;
        self.log = None;
    }

    /// A change is about to be applied. `false`: it cannot be remembered, so it must not be applied.
    pub(crate) fn touch(&mut self, key: u128, seq: u64) -> bool {
        if !matches!(self.whole, Whole::Chunks { .. }) {
            return true;
        }
        if self.order.len() >= TOUCHED_MAX {
            return false;
        }
        self.touched.insert(key, seq);
        self.order.push_back((seq, key));
        true
    }
    /// Whether this key changed later than `at` while the whole set is fetched.
    pub(crate) fn touched_after(&self, key: u128, at: u64) -> bool {
        self.touched.get(&key).is_some_and(|seq| *seq > at)
    }
    /// The keys changed later than `at` since the fetch began.
    pub(crate) fn touched_since(&self, at: u64) -> impl Iterator<Item = u128> {
        self.order.iter().filter(move |(seq, _)| *seq > at).map(|(_, key)| *key)
    }
    /// Chunks are as new as `at` now: older changes need not be remembered.
    pub(crate) fn forget_touched(&mut self, at: u64) {
        while let Some((seq, key)) = self.order.front().copied().filter(|(seq, _)| *seq <= at) {
            self.order.pop_front();
            if self.touched.get(&key) == Some(&seq) {
                self.touched.remove(&key);
            }
        }
    }
    fn forget_all(&mut self) {
        self.touched = BTreeMap::new();
        self.order = VecDeque::new();
    }
}
