//! The timers of RFC 3261 under the RFC's names (section 17 and its table 4). Values only: nothing is armed here.
//!
//! They are not settings. Who changes T1 must change it for both sides of every hop.

use core::time::Duration;

/// Round-trip time estimate.
pub const T1: Duration = Duration::from_millis(500);
/// The longest interval between retransmissions of a non-INVITE request or an INVITE response.
pub const T2: Duration = Duration::from_secs(4);
/// The longest time a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);

/// First retransmission of a non-INVITE request; doubles up to [`T2`]. Unreliable transports only.
pub const TIMER_E: Duration = T1;
/// A non-INVITE client transaction without a final response gives up: 64 * T1.
pub const TIMER_F: Duration = Duration::from_secs(32);

/// How long a server repeats its final answer to a retransmitted non-INVITE request: 64 * T1, nothing on a stream.
pub const fn timer_j(reliable: bool) -> Duration {
    if reliable { Duration::ZERO } else { Duration::from_secs(32) }
}

/// How long a client absorbs retransmitted final responses: T4, nothing on a stream.
pub const fn timer_k(reliable: bool) -> Duration {
    if reliable { Duration::ZERO } else { T4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timers_stand_in_the_relations_of_the_rfc() {
        assert_eq!(TIMER_E, T1);
        assert_eq!(TIMER_F, T1 * 64);
        assert_eq!(timer_j(false), T1 * 64);
        assert_eq!(timer_k(false), T4);
        assert_eq!((timer_j(true), timer_k(true)), (Duration::ZERO, Duration::ZERO));
    }
}
