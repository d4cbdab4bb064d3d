//! Guessing is made slow: an address that sent wrong credentials a few times waits, twice as long after each further try.
//!
//! Beside whoever holds the control token, who never waits. It must never hold more than a bounded number of addresses, and never refuse
//! somebody for what another address did.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tandem_base::Time;

/// Wrong tries that cost nothing: people mistype.
const FREE: u32 = 5;
/// The wait after the first try beyond these.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// After so long without a wrong try an address begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(900);
/// Addresses that are remembered; beyond it the one whose last wrong try is longest ago is forgotten.
const ADDRESSES_MAX: usize = 1_024;

/// See the module. Addresses of IPv6 count by their network of 64 bits: one host has all of it.
#[derive(Debug, Default)]
pub(crate) struct Throttle(BTreeMap<IpAddr, Tries>);

#[derive(Clone, Copy, Debug)]
struct Tries {
    wrong: u32,
    last: Time,
}
impl Tries {
    fn free_at(self) -> Time {
        let Some(beyond) = self.wrong.checked_sub(FREE) else { return self.last };
        self.last + FIRST_WAIT.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX)).min(WAIT_MAX)
    }
}

impl Throttle {
    /// How long somebody at `from` has to wait yet; nothing when he may try.
    pub(crate) fn wait(&self, now: Time, from: IpAddr) -> Option<Duration> {
        let tries = self.0.get(&network(from)).filter(|t| t.wrong >= FREE)?;
        Some(tries.free_at().since(now)).filter(|left| !left.is_zero())
    }
    /// Somebody at `from` was wrong.
    pub(crate) fn wrong(&mut self, now: Time, from: IpAddr) {
        self.0.retain(|_, tries| now.since(tries.last) < FORGOTTEN_AFTER);
        let from = network(from);
        if self.0.len() >= ADDRESSES_MAX && !self.0.contains_key(&from) {
            let oldest = self.0.iter().min_by_key(|(_, tries)| tries.last).map(|(address, _)| *address);
            oldest.map(|address| self.0.remove(&address));
        }
        let tries = self.0.entry(from).or_insert(Tries { wrong: 0, last: now });
        *tries = Tries { wrong: tries.wrong.saturating_add(1), last: now };
    }
    /// Somebody at `from` was right.
    pub(crate) fn right(&mut self, from: IpAddr) {
        self.0.remove(&network(from));
    }
}

/// What counts as one address.
fn network(from: IpAddr) -> IpAddr {
    match from {
        IpAddr::V4(_) => from,
        IpAddr::V6(v6) => v6
            .to_ipv4_mapped()
            .map_or_else(|| IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))), IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn after(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_tries_are_free_and_each_further_one_waits_twice_as_long_up_to_a_bound() {
        let mut throttle = Throttle::default();
        for _ in 0..FREE {
            assert_eq!(throttle.wait(after(0), A), None);
            throttle.wrong(after(0), A);
        }
        assert_eq!(throttle.wait(after(0), A), Some(FIRST_WAIT));
        assert_eq!((throttle.wait(after(1), A), throttle.wait(after(0), B)), (None, None));
        throttle.wrong(after(1), A);
        assert_eq!(throttle.wait(after(1), A), Some(FIRST_WAIT * 2));
        for _ in 0..40 {
            throttle.wrong(after(1), A);
        }
        assert_eq!(throttle.wait(after(1), A), Some(WAIT_MAX));
    }

    #[test]
    fn who_is_right_or_long_silent_begins_anew() {
        let mut throttle = Throttle::default();
        (0..9).for_each(|_| throttle.wrong(after(0), A));
        throttle.right(A);
        throttle.wrong(after(1), A);
        assert_eq!(throttle.wait(after(1), A), None);
        (0..9).for_each(|_| throttle.wrong(after(1), A));
        throttle.wrong(after(1 + FORGOTTEN_AFTER.as_secs()), A);
        assert_eq!(throttle.wait(after(1 + FORGOTTEN_AFTER.as_secs()), A), None);
    }

    #[test]
    fn a_network_counts_as_one_and_addresses_are_bounded() {
        let mut throttle = Throttle::default();
        let host = |n: u128| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | n));
        (0..u128::from(FREE)).for_each(|n| throttle.wrong(after(0), host(n)));
        assert_eq!(throttle.wait(after(0), host(77)), Some(FIRST_WAIT));
        assert_eq!(network(IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped())), A);
        for n in 0..2_000_u32 {
            throttle.wrong(after(1), IpAddr::V4(Ipv4Addr::from_bits(n)));
        }
        assert_eq!(throttle.0.len(), ADDRESSES_MAX);
        assert_eq!(throttle.wait(after(1), host(77)), None, "the oldest went first");
    }
}
