//! Writes answers. The 200 of a binding is a function of request and slot, so a retransmission gets the same bytes without any memory
//! of messages; what must not be made twice is kept by the server transactions as wire bytes.

use super::{ALLOW, Edge, Request, SUPPORTED};
use crate::device::Device;
use crate::device_host::DeviceHost;
use crate::locator::DeviceIndex;
use std::net::SocketAddr;
use tandem_base::{NodeName, Time, UnixMillis};
use tandem_host::outbox::{Flow, Outbox, Peer};
use tandem_sip::response::may_refuse;
use tandem_sip::{Message, Refusal, Status, Writer, refuse, response_to};

/// Seconds between keepalives that an outbound phone over a stream should send (RFC 5626 section 4.4.1).
const FLOW_TIMER_SECS: u64 = 120;
/// Longest answer that does not fit a slot of the outbox.
const LONG: usize = 8 * 1024;

/// Writes into the next slot of the outbox, or into memory of its own when the answer is longer.
fn emit(out: &mut Outbox, peer: Peer, write: impl Fn(&mut Writer<'_>)) {
    let mut writer = Writer::new(out.slot());
    write(&mut writer);
    if let Ok(len) = writer.finish()
        && out.push(len, peer)
    {
        return;
    }
    let mut long = vec![0; LONG];
    let mut writer = Writer::new(&mut long);
    write(&mut writer);
    if let Some(bytes) = writer.finish().ok().and_then(|len| long.get(..len)) {
        out.send(bytes, peer);
    }
}

/// The Date line of the present second: thousands of answers have the same.
#[derive(Debug)]
pub(super) struct DateLine {
    unix: u32,
    line: [u8; DATE_LINE],
}
/// `Date: Sat, 13 Nov 2010 23:29:00 GMT` and its line end.
const DATE_LINE: usize = 37;

impl Default for DateLine {
    fn default() -> Self {
        let mut made = Self { unix: 0, line: [0; DATE_LINE] };
        made.write();
        made
    }
}
impl DateLine {
    /// Moves on to this second.
    pub(super) fn set(&mut self, unix: u32) {
        if self.unix != unix {
            self.unix = unix;
            self.write();
        }
    }
    fn write(&mut self) {
        Writer::new(&mut self.line).date(UnixMillis(u64::from(self.unix) * 1_000));
    }
    /// Writes the line of a second: the kept one, or another.
    fn put(&self, w: &mut Writer<'_>, unix: u32) {
        if self.unix == unix {
            w.put(&self.line);
        } else {
            w.date(UnixMillis(u64::from(unix) * 1_000));
        }
    }
}

/// 200 with the binding of a device (RFC 3261 section 10.3 step 8).
pub(super) fn bound(request: &Request<'_, '_>, device: &Device, date: &DateLine, out: &mut Outbox) {
    emit(out, request.peer, |w| {
        response_to(w, request.message, request.facts, Status::OK, &request.tag, request.peer.addr);
        binding(w, device, device.granted);
        if device.traits.outbound {
            w.put(b"Require: outbound\r\n");
            if device.traits.stream {
                w.number_line("Flow-Timer", FLOW_TIMER_SECS);
            }
        }
        date.put(w, device.answered);
        w.end();
    });
}

/// The one contact of a device, for so many seconds, and its Path.
fn binding(w: &mut Writer<'_>, device: &Device, seconds: u32) {
    w.put(b"Contact: <").text(&device.contact).put(b">;expires=").number(u64::from(seconds)).put(b"\r\n");
    if let Some(path) = &device.path {
        w.line("Path", path.as_bytes());
    }
}

impl DeviceHost {
    /// Unix second of this turn.
    pub(crate) fn unix_seconds(&self) -> u32 {
        UnixMillis(self.unix_millis).as_secs_u32()
    }

    fn simple(&self, request: &Request<'_, '_>, status: Status, out: &mut Outbox, more: impl Fn(&mut Writer<'_>)) {
        emit(out, request.peer, |w| {
            response_to(w, request.message, request.facts, status, &request.tag, request.peer.addr);
            more(w);
            w.end();
        });
        self.metrics.responded(status.0);
    }

    /// An answer that is remembered until Timer J, because what it answers was done and must not be done again.
    pub(super) fn remembered(
        &mut self,
        now: Time,
        request: &Request<'_, '_>,
        status: Status,
        out: &mut Outbox,
        more: impl Fn(&mut Writer<'_>, UnixMillis),
    ) {
        let date = UnixMillis(self.unix_millis);
        let reliable = matches!(request.peer.flow, Flow::Stream(_));
        let key = request.key(&self.edge);
        let Edge { scratch, seen, .. } = &mut self.edge;
        let mut w = Writer::new(scratch);
        response_to(&mut w, request.message, request.facts, status, &request.tag, request.peer.addr);
        more(&mut w, date);
        w.end();
        if let Some(bytes) = w.finish().ok().and_then(|len| scratch.get(..len)) {
            out.send(bytes, request.peer);
            seen.answer(now, key, reliable, bytes);
        }
        self.metrics.responded(status.0);
    }

    /// The answer to a message that could not be read or was refused by validation (docs/decisions/0006).
    pub(crate) fn refuse(&mut self, message: &Message<'_>, peer: Peer, refusal: &Refusal, out: &mut Outbox) {
        let tag = self.edge.tag(message.call_id());
        let mut w = Writer::new(&mut self.edge.scratch);
        refuse(&mut w, message, refusal, SUPPORTED, &tag, peer.addr);
        let Some(answer) = w.finish().ok().and_then(|len| self.edge.scratch.get(..len)) else { return };
        if may_refuse(message, answer.len()) {
            out.send(answer, peer);
            self.metrics.responded(refusal.status.0);
        }
    }
    /// Status line and the headers every answer has.
    pub(super) fn plain(&mut self, request: &Request<'_, '_>, status: Status, out: &mut Outbox) {
        self.simple(request, status, out, |_| {});
    }
    /// 405 with what is allowed.
    pub(super) fn not_allowed(&mut self, request: &Request<'_, '_>, out: &mut Outbox) {
        self.simple(request, Status::METHOD_NOT_ALLOWED, out, |w| {
            w.line("Allow", ALLOW);
        });
    }
    /// 200 to OPTIONS (RFC 3261 section 11.2).
    pub(super) fn answer_options(&mut self, request: &Request<'_, '_>, out: &mut Outbox) {
        let date = UnixMillis(self.unix_millis);
        self.simple(request, Status::OK, out, |w| {
            w.line("Allow", ALLOW).line("Supported", b"path, outbound").date(date);
        });
    }
    /// 401 with a fresh nonce; nothing is remembered of it.
    pub(super) fn challenge(&mut self, request: &Request<'_, '_>, stale: bool, out: &mut Outbox) {
        let (time, id) = self.edge.issuer.next_id();
        let nonce = self.edge.nonces.issue(time, id);
        emit(out, request.peer, |w| {
            response_to(w, request.message, request.facts, Status::UNAUTHORIZED, &request.tag, request.peer.addr);
            self.edge.challenges.write(w, &nonce, stale);
            w.end();
        });
        self.metrics.responded(401);
    }
    /// 423 with the shortest time granted (section 10.3 step 7).
    pub(super) fn too_brief(&mut self, request: &Request<'_, '_>, out: &mut Outbox) {
        let least = u64::from(self.directory.settings.min_expires);
        self.simple(request, Status::INTERVAL_TOO_BRIEF, out, |w| {
            w.number_line("Min-Expires", least);
        });
    }
    /// 200 to who changed nothing: the binding as it stands, with the time that is left. Remembered, because its nonce count is used up.
    pub(super) fn told(&mut self, now: Time, request: &Request<'_, '_>, slot: u32, out: &mut Outbox) {
        let Some(device) = self.devices.get(slot) else { return };
        let mut lines = vec![0; LONG];
        let mut w = Writer::new(&mut lines);
        binding(&mut w, device, device.expires_at.saturating_sub(Self::seconds(now)));
        let lines = w.finish().ok().and_then(|len| lines.get(..len)).unwrap_or_default();
        self.remembered(now, request, Status::OK, out, |w, date| {
            w.put(lines).date(date);
        });
    }
    /// 200 without a binding.
    pub(super) fn unbound(&mut self, now: Time, request: &Request<'_, '_>, out: &mut Outbox) {
        self.remembered(now, request, Status::OK, out, |w, date| {
            w.date(date);
        });
    }
    /// 503: come back in so many seconds.
    pub(super) fn later(&mut self, request: &Request<'_, '_>, seconds: u32, out: &mut Outbox) {
        self.simple(request, Status::SERVICE_UNAVAILABLE, out, |w| {
            w.number_line("Retry-After", u64::from(seconds));
        });
    }
    /// 202 or 503 to a token request; remembered, because a token is counted.
    pub(super) fn token_answer(&mut self, now: Time, request: &Request<'_, '_>, wait: Option<u32>, out: &mut Outbox) {
        let status = if wait.is_some() { Status::SERVICE_UNAVAILABLE } else { Status::ACCEPTED };
        self.remembered(now, request, status, out, |w, date| {
            if let Some(seconds) = wait {
                w.number_line("Retry-After", u64::from(seconds));
            }
            w.date(date);
        });
    }
    /// 302: these nodes serve the device, best first.
    pub(super) fn redirect(&mut self, request: &Request<'_, '_>, nodes: &[NodeName], out: &mut Outbox) {
        let stream = matches!(request.peer.flow, Flow::Stream(_));
        let found: Vec<SocketAddr> =
            nodes.iter().filter_map(|n| self.directory.sip_address(n, request.peer.addr.is_ipv4(), stream)).collect();
        if found.is_empty() {
            return self.later(request, tandem_model::timings::JOINING_RETRY_SECS, out);
        }
        self.simple(request, Status::MOVED_TEMPORARILY, out, |w| {
            for (addr, q) in found.iter().zip(["1.0", "0.9", "0.8"]) {
                w.put(b"Contact: <sip:").addr(*addr);
                w.put(if stream { b";transport=tcp>" } else { b";transport=udp>" }).put(b";q=").text(q).put(b"\r\n");
            }
        });
    }
    /// A heartbeat of a standby phone: 200 with Date, no binding touched.
    pub(super) fn serve_heartbeat(
        &mut self,
        now: Time,
        request: &Request<'_, '_>,
        device: DeviceIndex,
        out: &mut Outbox,
    ) {
        if let Some(answer) = self.refuses_heartbeat(now, device) {
            return self.answer_register(now, request, &answer, out);
        }
        let date = UnixMillis(self.unix_millis);
        self.simple(request, Status::OK, out, |w| {
            w.date(date);
        });
    }
}
