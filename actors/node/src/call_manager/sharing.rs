//! Words between nodes beside the rows, as signals of the cluster machine: what is known of devices that panicked.
//!
//! It carries them between the device host and the peers and judges nothing. A signal is delivered once and in order while a peer is up;
//! whoever was away is told everything when it is up again, so nothing is kept for it here.

use super::CallManager;
use crate::device_host::{Heard, Tell};
use actix::{Context, Handler, Message};
use bytes::Bytes;
use tandem_base::NodeName;
use tandem_cluster::{AskError, Input};
use tandem_model::signal::{CASES_MAX, QuarantineCase, Signal};
use tandem_model::view::Sight;

// --- Share -----------------------------------------------------------------------------------------------------------

/// The device host knows something of devices that panicked.
pub struct Share {
    /// Who is to know it; `None` is every peer that is up.
    pub to: Option<NodeName>,
    /// What.
    pub cases: Vec<QuarantineCase>,
}
impl Message for Share {
    type Result = ();
}
impl Handler<Share> for CallManager {
    type Result = ();
    fn handle(&mut self, m: Share, _: &mut Context<Self>) {
        let heard = |n: &&NodeName| self.view.nodes.get(*n).is_some_and(|seen| seen.sight != Sight::Down);
        let up: Vec<NodeName> = self.directory.nodes.iter().filter(heard).cloned().collect();
        let wanted = |n: &NodeName| *n != self.me.node && m.to.as_ref().is_none_or(|to| to == n);
        let peers: Vec<NodeName> = up.into_iter().filter(wanted).collect();
        for cases in m.cases.chunks(CASES_MAX) {
            // Within its bounds by construction, see the word's own test.
            let Ok(bytes) = Signal::Quarantine { cases: cases.to_vec() }.encode() else { continue };
            let payload = Bytes::from(bytes);
            for to in &peers {
                self.feed(Input::Signal { to: to.clone(), token: 0, payload: payload.clone() });
            }
        }
    }
}

impl CallManager {
    /// A peer is up: whatever it has missed, it is told.
    pub(super) fn tell_quarantine(&self, peer: &NodeName) {
        self.tell_host(Tell { to: peer.clone() });
    }
    /// A signal could not be delivered. To a peer that is down nothing is owed, see the module; one that takes no more is told later.
    pub(super) fn signal_failed(&mut self, to: NodeName, why: AskError) {
        if why == AskError::Full {
            self.untold.insert(to);
        }
    }
    /// Peers that were too busy for a signal are told everything.
    pub(super) fn tell_again(&mut self) {
        for peer in std::mem::take(&mut self.untold) {
            self.tell_quarantine(&peer);
        }
    }
    /// A peer's word.
    pub(super) fn signalled(&self, payload: &[u8]) {
        // What this version does not know, or cannot read, is no business of this node.
        if let Ok(Signal::Quarantine { cases }) = Signal::decode(payload) {
            self.tell_host(Heard(cases));
        }
    }
}
