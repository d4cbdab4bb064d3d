//! Slow phones: what arrives for them waits here until their reaction time is over.
//!
//! Bounded: a slow phone loses messages, as one with a full buffer does, before it may fill the memory.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tandem_base::Time;

/// Messages that wait in all.
const DELAYED_MAX: usize = 200_000;

/// For which phone, from whom, what.
type Letter = (u32, SocketAddr, Bytes);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Delayed {
    waiting: BTreeMap<(Time, u64), Letter>,
    serial: u64,
}

impl Delayed {
    /// `false` when there is no room.
    pub(super) fn push(&mut self, at: Time, phone: u32, from: SocketAddr, bytes: &[u8]) -> bool {
        if self.waiting.len() >= DELAYED_MAX {
            return false;
        }
        self.serial += 1;
        self.waiting.insert((at, self.serial), (phone, from, Bytes::copy_from_slice(bytes)));
        true
    }

    /// The next message whose time has come, in the order of arrival.
    pub(super) fn pop(&mut self, now: Time) -> Option<Letter> {
        let entry = self.waiting.first_entry().filter(|e| e.key().0 <= now)?;
        Some(entry.remove())
    }

    pub(super) fn next(&self) -> Time {
        self.waiting.first_key_value().map_or(Time::FAR, |((at, _), _)| *at)
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_wait_for_their_time_and_keep_their_order() {
        let from: SocketAddr = "127.0.0.1:5061".parse().unwrap();
        let mut delayed = Delayed::default();
        assert!(delayed.push(Time::from_secs(2), 1, from, b"b"));
        assert!(delayed.push(Time::from_secs(1), 2, from, b"a"));
        assert!(delayed.push(Time::from_secs(2), 3, from, b"c"));
        assert_eq!(delayed.next(), Time::from_secs(1));
        assert!(delayed.pop(Time::from_millis(999)).is_none());
        let order: Vec<u32> = std::iter::from_fn(|| delayed.pop(Time::from_secs(2)).map(|(n, ..)| n)).collect();
        assert_eq!((order, delayed.next()), (vec![2, 1, 3], Time::FAR));
    }

    #[test]
    fn a_full_store_refuses() {
        let from: SocketAddr = "127.0.0.1:5061".parse().unwrap();
        let mut delayed = Delayed::default();
        let pushed = (0..DELAYED_MAX + 1).filter(|_| delayed.push(Time::ZERO, 0, from, b"")).count();
        assert_eq!(pushed, DELAYED_MAX);
    }
}
