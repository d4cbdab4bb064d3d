//! Whether this node's life is over: it stood still for so long that its peers may have declared it dead.
//!
//! A pause of the whole host stops everybody alike, and then nobody is dead; so the pause alone proves nothing. What proves it is a peer that
//! was up before and says after it that it does not hear us. Until that can be known no heartbeat leaves: one of a life that is over would bring
//! it back for a moment, and every device of it would move twice. A cut is no such thing: both sides go on, and it is a flap when it heals.

use crate::frame::Heartbeat;
use crate::settings::Settings;
use std::time::Duration;
use tandem_base::{NodeLife, Time};

/// A pause of this node that its peers may have taken for its death.
#[derive(Clone, Debug)]
pub(crate) struct Doubt {
    /// For how long it stood still.
    pub(crate) stood_still: Duration,
    /// No heartbeat leaves before.
    pub(crate) quiet_until: Time,
    /// What peers say later is no news of this pause.
    until: Time,
    /// The peers that were up before the pause. At most one life per configured peer.
    witnesses: Vec<NodeLife>,
}

impl Doubt {
    /// After a pause of this length that ended `now`; `None` when it was too short for a death, or nobody was there to notice.
    pub(crate) fn after(
        now: Time,
        stood_still: Duration,
        settings: &Settings,
        witnesses: Vec<NodeLife>,
    ) -> Option<Self> {
        let noticed = stood_still >= settings.dead_after && !witnesses.is_empty();
        // More than one heartbeat of each peer, and less than a silence that anybody would suspect.
        let quiet_until = now + settings.suspect_after / 2;
        noticed.then(|| Self { stood_still, quiet_until, until: quiet_until + settings.dead_after, witnesses })
    }
    /// Whether this heartbeat proves that the life of `me` is over.
    pub(crate) fn is_proven(&self, now: Time, me: &NodeLife, from: &NodeLife, beat: &Heartbeat) -> bool {
        now < self.until && self.witnesses.contains(from) && !beat.hears.iter().any(|h| h.life == *me)
    }
}
