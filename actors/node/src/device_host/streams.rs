//! Ends of stream connections. Bindings over a connection end with it (RFC 5626 section 4.2): nobody could reach the device any more. A
//! stream that cannot be cut any more is ended with a last answer.

use super::DeviceHost;
use crate::observe::Happened;
use tandem_base::Time;
use tandem_host::outbox::{Flow, Peer};
use tandem_sip::{FrameError, last_answer};

impl DeviceHost {
    /// Keeps the list of devices per connection in step with where a device is reached now.
    pub(crate) fn note_flow(&mut self, slot: u32, before: Option<Flow>, now: Flow) {
        if before == Some(now) {
            return;
        }
        if let Some(Flow::Stream(id)) = before {
            self.on_stream.remove(&(id, slot));
        }
        if let Flow::Stream(id) = now {
            self.on_stream.insert((id, slot));
        }
    }
    /// A connection ends because what came over it cannot be cut into messages (RFC 3261 section 18.3): its peer is told why, where it
    /// would know the answer.
    pub(crate) fn last_word(&mut self, peer: Peer, head: &[u8], error: FrameError) {
        self.metrics.unreadable(error.refusal().reason.as_str());
        if let Some((message, refusal)) = last_answer(head, error) {
            let mut out = self.stream_out.take().unwrap_or_default();
            self.refuse(&message, peer, &refusal, &mut out);
            out.drain(|peer, bytes| self.edge.send_later(peer, bytes));
            self.stream_out = Some(out);
        }
        // Behind it nothing comes: see `Connections::send`.
        self.edge.send_later(peer, &[]);
    }
    /// A connection is gone, and so are the registrations over it.
    pub(crate) fn connection_closed(&mut self, now: Time, id: u32) {
        let slots: Vec<u32> = self.on_stream.range((id, 0)..=(id, u32::MAX)).map(|(_, slot)| *slot).collect();
        for slot in slots {
            self.on_stream.remove(&(id, slot));
            if self.devices.get(slot).is_some_and(|d| d.peer.flow == Flow::Stream(id)) {
                self.remove_device(now, slot, Happened::ConnectionLost);
            }
        }
    }
}
