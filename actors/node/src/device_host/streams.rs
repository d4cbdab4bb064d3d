//! Bindings over stream connections end with their connection (RFC 5626 section 4.2): nobody could reach the device any more.

use super::DeviceHost;
use crate::observe::Happened;
use tandem_base::Time;
use tandem_host::outbox::Flow;

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
