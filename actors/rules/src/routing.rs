//! Where a call to a device goes: to the contact of its newest registration, wherever that is (DESIGN section 2, "Failover").
//!
//! It must never look at who owns a row but for its order: a dead node's devices are reached at their last known contact.

use tandem_base::{Stamp, Time};

/// A registration of the device called, here or a copy from another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its order in the cluster.
    pub stamp: Stamp,
    /// When it ends on this node's clock; `None` when that cannot be told yet.
    pub expires: Option<Time>,
}

/// Which of a device's registrations is the one to call: the newest that has not ended. `None`: it is not registered.
pub fn route(now: Time, known: impl IntoIterator<Item = Known>) -> Option<usize> {
    let open = |(_, k): &(usize, Known)| k.expires.is_none_or(|at| at > now);
    known.into_iter().enumerate().filter(open).max_by_key(|(_, k)| k.stamp).map(|(position, _)| position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_newest_registration_that_has_not_ended_is_called() {
        let now = Time::ZERO + Duration::from_secs(100);
        let known = |stamp: u64, left: Option<u64>| Known {
            stamp: Stamp(stamp),
            expires: left.map(|secs| Time::ZERO + Duration::from_secs(secs)),
        };
        assert_eq!(route(now, [known(1, Some(200)), known(3, Some(101)), known(2, None)]), Some(1));
        assert_eq!(route(now, [known(1, Some(200)), known(3, Some(100))]), Some(0), "the newest has ended");
        assert_eq!(route(now, [known(1, None)]), Some(0), "a clock that is not known yet ends nothing");
        assert_eq!(route(now, [known(1, Some(99))]), None);
        assert_eq!(route(now, []), None);
    }
}
