//! Where a device is: the answer to an INVITE or OPTIONS for it (RFC 3261 sections 8.3, 11 and 21.3). The caller is told the contact of the
//! device's newest registration and goes there by itself, whichever node serves the device, and also when that node is dead.
//!
//! What is registered here is answered at once; copies of other nodes' rows are asked of the CallManager. It must never wait for them:
//! a question that gets no answer is forgotten, and the caller asks again (RFC 3261 section 17.1).

use super::{Edge, Request};
use crate::call_manager::Where;
use crate::device_host::DeviceHost;
use crate::locator::DeviceIndex;
use actix::{Context, Handler, Message};
use bytes::Bytes;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tandem_base::Time;
use tandem_host::outbox::{Outbox, Peer};
use tandem_model::timings::JOINING_RETRY_SECS;
use tandem_model::view::Service;
use tandem_sip::uri::SipUri;
use tandem_sip::{Facts, Method, Policy, Status, read_request};

/// Questions that may be open at a time; beyond it callers are told to come later.
const OPEN_MAX: usize = 4_096;
/// A question without an answer for so long is forgotten.
const OPEN_FOR: Duration = Duration::from_millis(500);
/// Devices of a shared number that are told.
pub(crate) const CONTACTS_MAX: usize = 16;

/// A request that waits until it is known where its device is.
struct Open {
    peer: Peer,
    bytes: Bytes,
    since: Time,
    /// Contacts that are registered here.
    here: Vec<Arc<str>>,
}

/// Requests that wait, oldest first.
#[derive(Default)]
pub(crate) struct Locating {
    next: u64,
    open: BTreeMap<u64, Open>,
}

impl Locating {
    /// Forgets what got no answer.
    pub(super) fn tick(&mut self, now: Time) {
        while self.open.first_key_value().is_some_and(|(_, o)| now >= o.since + OPEN_FOR) {
            self.open.pop_first();
        }
    }
}

/// The CallManager's answer to [`Where`]: the contacts of those devices that are registered at other nodes.
pub struct Located {
    /// Which question.
    pub ticket: u64,
    /// See the type.
    pub contacts: Vec<Arc<str>>,
}
impl Message for Located {
    type Result = ();
}
impl Handler<Located> for DeviceHost {
    type Result = ();
    fn handle(&mut self, m: Located, _: &mut Context<Self>) {
        let Some(Open { peer, bytes, mut here, .. }) = self.edge.locating.open.remove(&m.ticket) else { return };
        here.extend(m.contacts);
        let mut message = tandem_sip::Message::EMPTY;
        let mut facts = Facts::default();
        let policy = Policy { supported: super::SUPPORTED, forwards: false, own_uri: None };
        // It was read before; it is read again because an index is dearer to keep than to make.
        if message.parse_here(&bytes).is_err() || read_request(&mut facts, &message, &policy).is_err() {
            return;
        }
        let now = self.clock.now();
        self.begin_turn(now);
        let tag = self.edge.tag(message.call_id());
        let request = Request { message: &message, facts: &facts, peer, named: None, tag, key: OnceCell::new() };
        let mut out = self.stream_out.take().unwrap_or_default();
        self.tell_contacts(now, &request, &here, &mut out);
        out.drain(|peer, bytes| self.edge.send_later(peer, bytes));
        self.stream_out = Some(out);
        self.turn_in_memory(now);
    }
}

impl DeviceHost {
    /// Answers an INVITE or OPTIONS of a known device for another one.
    pub(super) fn serve_target(&mut self, now: Time, request: &Request<'_, '_>, out: &mut Outbox) {
        if request.message.method() == Method::Invite && request.facts.to.tag.is_some() {
            // Inside a dialog that this node is no party of.
            return self.plain(request, Status::CALL_DOES_NOT_EXIST, out);
        }
        if self.service == Service::Joining {
            return self.later(request, JOINING_RETRY_SECS, out);
        }
        let mut room = [0; 128];
        let target = SipUri::read(request.message.request_uri()).and_then(|uri| uri.copy_user(&mut room));
        let devices = target.map(|user| self.directory.devices_of(user)).unwrap_or_default();
        if devices.is_empty() {
            return self.plain(request, Status::NOT_FOUND, out);
        }
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        for device in devices.into_iter().take(CONTACTS_MAX) {
            match self.locator.slot(device).and_then(|slot| self.devices.get(slot)) {
                Some(found) => here.push(Arc::clone(&found.contact)),
                None if self.locator.elsewhere(device).is_some() => elsewhere.push(device),
                None => {}
            }
        }
        if elsewhere.is_empty() {
            return self.tell_contacts(now, request, &here, out);
        }
        if !self.ask_where(now, request, here, elsewhere) {
            self.later(request, JOINING_RETRY_SECS, out);
        }
    }

    /// Asks the CallManager; `false` when it, or this host, has too many questions open.
    fn ask_where(
        &mut self,
        now: Time,
        request: &Request<'_, '_>,
        here: Vec<Arc<str>>,
        devices: Vec<DeviceIndex>,
    ) -> bool {
        let Edge { locating, .. } = &mut self.edge;
        locating.tick(now);
        if locating.open.len() >= OPEN_MAX {
            return false;
        }
        locating.next += 1;
        let ticket = locating.next;
        let bytes = Bytes::copy_from_slice(request.message.bytes());
        // Rows that this host has not flushed yet are its own: the copies do not wait for them.
        if self.manager.tell(Where { ticket, devices }).is_err() {
            return false;
        }
        locating.open.insert(ticket, Open { peer: request.peer, bytes, since: now, here });
        true
    }

    /// 302 with the contacts, or 480 when there is none.
    fn tell_contacts(&mut self, now: Time, request: &Request<'_, '_>, contacts: &[Arc<str>], out: &mut Outbox) {
        if contacts.is_empty() {
            return self.plain(request, Status::TEMPORARILY_UNAVAILABLE, out);
        }
        let mut lines = Vec::new();
        for contact in contacts {
            lines.extend_from_slice(b"Contact: <");
            lines.extend_from_slice(contact.as_bytes());
            lines.extend_from_slice(b">\r\n");
        }
        // Until its ACK comes an INVITE is sent again, and must meet the same answer (section 17.2.1).
        self.remembered(now, request, Status::MOVED_TEMPORARILY, out, |w, _| {
            w.put(&lines);
        });
    }
}
