//! The pace at which a node takes registrations: a token bucket, and a promise of when to come back for whoever does not fit.
//!
//! Refreshes are never asked about. Who is sent away is not remembered: what is kept is the moment up to which returns are promised, so
//! a storm of any size costs sixteen bytes. It must never promise more than the pace.

use crate::dice;
use std::time::Duration;
use tandem_base::Time;
use tandem_model::config::Settings;
use tandem_model::timings::{
    LOST_DATAGRAM_WAITS, OVERLOAD_ENTER, OVERLOAD_LEAVE, OVERLOAD_STEADY, RETRY_AFTER_MAX_SECS,
};

/// May a device register now?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Yes.
    Yes,
    /// Come back in so many seconds, 1 to [`RETRY_AFTER_MAX_SECS`].
    Later(u32),
}

/// Cost of one registration in the bucket's small change: a token is a million, so a rate per second is a rate per microsecond.
const TOKEN: u64 = 1_000_000;

/// The bucket of one node.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Tokens per second, or small change per microsecond; at least 1.
    rate: u64,
    /// Most small change in the bucket.
    full: u64,
    /// Small change now.
    change: u64,
    /// When `change` was counted.
    counted: Time,
    /// Up to when returns have been promised.
    promised: Time,
    overloaded: bool,
}

impl Admission {
    /// A full bucket.
    pub fn new(settings: &Settings, now: Time) -> Self {
        Self::with(settings.registrations_per_second, settings.registrations_burst, now)
    }
    /// The same from a pace per second and a burst, each at least 1.
    pub fn with(per_second: u32, burst: u32, now: Time) -> Self {
        let full = u64::from(burst.max(1)) * TOKEN;
        Self { rate: u64::from(per_second.max(1)), full, change: full, counted: now, promised: now, overloaded: false }
    }
    /// Another pace, from now on.
    pub fn set_pace(&mut self, settings: &Settings, now: Time) {
        self.count(now);
        self.rate = u64::from(settings.registrations_per_second.max(1));
        self.full = u64::from(settings.registrations_burst.max(1)) * TOKEN;
        self.change = self.change.min(self.full);
    }
    /// While overloaded a registration costs two tokens: half the pace.
    pub const fn set_overloaded(&mut self, overloaded: bool) {
        self.overloaded = overloaded;
    }
    const fn cost(&self) -> u64 {
        if self.overloaded { 2 * TOKEN } else { TOKEN }
    }
    fn count(&mut self, now: Time) {
        let gained = u64::try_from(now.since(self.counted).as_micros()).unwrap_or(u64::MAX).saturating_mul(self.rate);
        // A burst of one must still be able to pay the double price.
        self.change = self.change.saturating_add(gained).min(self.full.max(self.cost()));
        self.counted = self.counted.max(now);
    }
    /// Asks for one registration. `random` spreads the returns: between what is needed and half as much again.
    pub fn take(&mut self, now: Time, random: u64) -> Admit {
        self.count(now);
        if let Some(rest) = self.change.checked_sub(self.cost()) {
            self.change = rest;
            return Admit::Yes;
        }
        let missing = self.cost().saturating_sub(self.change);
        let earliest = now + Duration::from_micros(missing.div_ceil(self.rate));
        let due = earliest.max(self.promised);
        let most = Duration::from_secs(u64::from(RETRY_AFTER_MAX_SECS));
        // Beyond the longest answer nothing more is promised: the return will be judged anew.
        self.promised = (due + Duration::from_micros(self.cost().div_ceil(self.rate))).min(now + most);
        let needed = u64::try_from(due.since(now).as_micros()).unwrap_or(u64::MAX);
        let told = needed.saturating_add(dice::up_to(needed / 2, random)).div_ceil(TOKEN);
        Admit::Later(u32::try_from(told).unwrap_or(u32::MAX).clamp(1, RETRY_AFTER_MAX_SECS))
    }
    /// Registrations told to come back that are still expected.
    pub fn backlog(&self, now: Time) -> u32 {
        let ahead = u64::try_from(self.promised.since(now).as_micros()).unwrap_or(u64::MAX);
        u32::try_from(ahead.saturating_mul(self.rate) / self.cost()).unwrap_or(u32::MAX)
    }
}

/// How long a message waits for its actor, by the place where it waits longest: the mailbox, or the sockets in front of it. Of datagrams
/// that did not fit into a socket (`lost`) the wait is that of their repetition.
pub fn queue_delay(mailbox: Duration, sockets: Duration, lost: u64) -> Duration {
    mailbox.max(sockets).max(if lost > 0 { LOST_DATAGRAM_WAITS } else { Duration::ZERO })
}

/// Overload of a node, judged by [`queue_delay`]: on at 20 ms, off below 8 ms, each for a tenth of a second without a break.
#[derive(Clone, Debug, Default)]
pub struct Overload {
    on: bool,
    /// Since when the delay has been on the other side of the threshold.
    beyond: Option<Time>,
}

impl Overload {
    /// Takes the longest queue delay since the last call; returns whether the node is overloaded now.
    pub fn observe(&mut self, now: Time, delay: Duration) -> bool {
        let crossed = if self.on { delay < OVERLOAD_LEAVE } else { delay >= OVERLOAD_ENTER };
        if !crossed {
            self.beyond = None;
        } else if now.since(*self.beyond.get_or_insert(now)) >= OVERLOAD_STEADY {
            self.on = !self.on;
            self.beyond = None;
        }
        self.on
    }
    /// Whether the node is overloaded.
    pub const fn is_on(&self) -> bool {
        self.on
    }
}

#[cfg(test)]
mod tests;
