//! Client transactions without INVITE (RFC 3261 section 17.1.2): many at once, one ordered set of timers, wire bytes kept
//! for retransmission, no I/O. (RFC 6026 changes INVITE transactions only.)
//!
//! It sends nothing and reads no clock: it says [`Output::Transmit`] and the driver sends. A transaction is found by the
//! branch its creator made and the method in CSeq; keys come from [`super::Keyer::client`]. It must never hold more than
//! its [`Limits`] and never call back the one it belongs to: that one is named by a token `T` of the driver's choice
//! (a flow and a device, say), handed back with every output.

use super::key::TransactionKey;
use super::timer::{T2, TIMER_E, TIMER_F, timer_k};
use bytes::Bytes;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tandem_base::{Machine, Time};

/// Default for [`Limits::transactions`].
pub const MAX_TRANSACTIONS: usize = 16_384;
/// Default for [`Limits::bytes`].
pub const MAX_BYTES: usize = 32 * 1024 * 1024;

/// The bounds of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many transactions are open, those included that only absorb late responses.
    pub transactions: usize,
    /// Bytes of requests kept for retransmission.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { transactions: MAX_TRANSACTIONS, bytes: MAX_BYTES }
    }
}

/// What may happen.
#[derive(Clone, Debug)]
pub enum Input<T> {
    /// A request is to be sent.
    Start {
        /// Of the branch in `wire`'s topmost Via and its method.
        key: TransactionKey,
        /// Whose it is.
        token: T,
        /// The whole request.
        wire: Bytes,
        /// Sent over a stream: no retransmissions (Timer E), no waiting for late responses (Timer K).
        reliable: bool,
    },
    /// A response arrived. One that belongs to no open transaction is dropped silently (section 18.1.2).
    Response {
        /// Of the branch in its topmost Via and the method in its CSeq.
        key: TransactionKey,
        /// 100 to 699.
        status: u16,
        /// The whole response, handed through.
        wire: Bytes,
    },
    /// The transport could not send it (section 17.1.4).
    TransportFailed {
        /// Which one.
        key: TransactionKey,
    },
    /// Nobody waits for it any more.
    Abandon {
        /// Which one.
        key: TransactionKey,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<T> {
    /// Send these bytes, for the first time or again.
    Transmit {
        /// Whose it is.
        token: T,
        /// The request.
        wire: Bytes,
    },
    /// A provisional response, or the final one (once).
    Response {
        /// Whose it is.
        token: T,
        /// 100 to 699.
        status: u16,
        /// The response as given.
        wire: Bytes,
    },
    /// No final response within 64 * T1 (Timer F); treat as 408.
    Timeout {
        /// Whose it was.
        token: T,
    },
    /// The transport failed; treat as 503.
    Failed {
        /// Whose it was.
        token: T,
    },
    /// It was not begun.
    Refused {
        /// Whose it would have been.
        token: T,
        /// Why not.
        why: Refusal,
    },
}

/// Why a transaction was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A bound of [`Limits`] is reached.
    Full,
    /// An open transaction has the same branch and method.
    Duplicate,
}

#[derive(Debug)]
enum State {
    /// No response yet; Timer E doubles.
    Trying,
    /// A provisional response came; Timer E stays at T2.
    Proceeding,
    /// The final response came; Timer K runs.
    Completed,
}

#[derive(Debug)]
struct Transaction<T> {
    token: T,
    /// Empty once the final response is there.
    wire: Bytes,
    state: State,
    reliable: bool,
    /// The interval that Timer E was last set to.
    interval: Duration,
    /// When Timer F fires.
    gives_up: Time,
    /// The one entry this transaction has in the timer set.
    due: Time,
}

/// The table.
#[derive(Debug)]
pub struct ClientTransactions<T> {
    limits: Limits,
    open: BTreeMap<TransactionKey, Transaction<T>>,
    timers: BTreeSet<(Time, TransactionKey)>,
    outputs: VecDeque<Output<T>>,
    bytes: usize,
}

impl<T> Default for ClientTransactions<T> {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl<T> ClientTransactions<T> {
    /// An empty table.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, open: BTreeMap::new(), timers: BTreeSet::new(), outputs: VecDeque::new(), bytes: 0 }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Bytes of requests kept.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn remove(&mut self, key: TransactionKey) -> Option<Transaction<T>> {
        let transaction = self.open.remove(&key)?;
        self.timers.remove(&(transaction.due, key));
        self.bytes -= transaction.wire.len();
        Some(transaction)
    }
}

impl<T: Clone> ClientTransactions<T> {
    fn start(&mut self, now: Time, key: TransactionKey, token: T, wire: Bytes, reliable: bool) {
        let full = self.open.len() >= self.limits.transactions || self.bytes + wire.len() > self.limits.bytes;
        let why = if self.open.contains_key(&key) { Some(Refusal::Duplicate) } else { full.then_some(Refusal::Full) };
        if let Some(why) = why {
            return self.outputs.push_back(Output::Refused { token, why });
        }
        let gives_up = now + TIMER_F;
        let due = if reliable { gives_up } else { now + TIMER_E };
        self.timers.insert((due, key));
        self.bytes += wire.len();
        self.outputs.push_back(Output::Transmit { token: token.clone(), wire: wire.clone() });
        let state = State::Trying;
        self.open.insert(key, Transaction { token, wire, state, reliable, interval: TIMER_E, gives_up, due });
    }

    fn response(&mut self, now: Time, key: TransactionKey, status: u16, wire: Bytes) {
        let Some(open) = self.open.get_mut(&key) else { return };
        if matches!(open.state, State::Completed) {
            return;
        }
        self.outputs.push_back(Output::Response { token: open.token.clone(), status, wire });
        if status < 200 {
            open.state = State::Proceeding;
            return;
        }
        open.state = State::Completed;
        self.bytes -= open.wire.len();
        open.wire = Bytes::new();
        if open.reliable {
            self.remove(key);
        } else {
            self.timers.remove(&(open.due, key));
            open.due = now + timer_k(open.reliable);
            self.timers.insert((open.due, key));
        }
    }

    fn fire(&mut self, now: Time, key: TransactionKey) {
        let Some(open) = self.open.get_mut(&key) else { return };
        if matches!(open.state, State::Completed) {
            self.remove(key);
        } else if open.gives_up <= now {
            if let Some(gone) = self.remove(key) {
                self.outputs.push_back(Output::Timeout { token: gone.token });
            }
        } else {
            open.interval = match open.state {
                State::Trying => T2.min(open.interval * 2),
                _ => T2,
            };
            // From now on, not from when it was due: a late driver must not send a burst to catch up.
            open.due = (now + open.interval).min(open.gives_up);
            self.timers.insert((open.due, key));
            self.outputs.push_back(Output::Transmit { token: open.token.clone(), wire: open.wire.clone() });
        }
    }
}

impl<T: Clone> Machine for ClientTransactions<T> {
    type Input = Input<T>;
    type Output = Output<T>;

    fn handle(&mut self, now: Time, input: Input<T>) {
        match input {
            Input::Start { key, token, wire, reliable } => self.start(now, key, token, wire, reliable),
            Input::Response { key, status, wire } => self.response(now, key, status, wire),
            Input::TransportFailed { key } => {
                // After the final response a failure to send has nothing left to say.
                if let Some(Transaction { token, state: State::Trying | State::Proceeding, .. }) = self.remove(key) {
                    self.outputs.push_back(Output::Failed { token });
                }
            }
            Input::Abandon { key } => {
                self.remove(key);
            }
        }
    }

    fn tick(&mut self, now: Time) {
        while let Some((due, key)) = self.timers.first().copied() {
            if due > now {
                break;
            }
            self.timers.pop_first();
            self.fire(now, key);
        }
    }

    fn poll(&mut self) -> Option<Output<T>> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Time> {
        self.timers.first().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests;
