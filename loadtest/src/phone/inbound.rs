//! Requests to the phone: a ping, an order to come home, and a proper no to everything else.
//!
//! An answer is a function of its request (RFC 3261 section 8.2.6), so nothing is stored for repetitions but the fact that an order
//! was already obeyed. Only a CallManager of the phone's list may give orders.

use bytes::Bytes;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use tandem_base::Time;
use tandem_sip::headers::Event;
use tandem_sip::{Header, Message, Method, Status as Code, Writer, response};

use super::reply::Reply;
use super::wire::{AGENT, ALLOW};
use super::{Phone, PhoneOutput, Resume, Status};

/// What is added to an answer beyond the headers of its request.
const ANSWER_EXTRA: usize = 512;

/// What a request leads to, besides its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    None,
    /// Register anew from the top of the list.
    ComeHome,
}

impl Phone {
    /// A message from the network.
    pub(super) fn received(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else { return self.wrong() };
        if message.is_request() {
            if message.method() != Method::Ack {
                self.requested(now, from, &message);
            }
            return;
        }
        match Reply::read(&message) {
            // A final answer that comes twice, or after the phone gave up, is late and not wrong.
            Some(reply) if reply.phone == self.id && reply.number.wrapping_sub(1) < self.sent => {
                if let Some(request) = self.take_answered(now, &reply) {
                    self.answered(now, &request, &reply);
                }
            }
            _ => self.wrong(),
        }
    }

    fn wrong(&mut self) {
        self.counters.wrong_answers = self.counters.wrong_answers.saturating_add(1);
    }

    fn requested(&mut self, now: Time, from: SocketAddr, request: &Message<'_>) {
        if self.settings().deaf {
            return;
        }
        let (status, extra, order) = self.judge(from, request);
        let Some(bytes) = self.answer(request, from, status, extra) else { return self.wrong() };
        self.outbox.push_back(PhoneOutput::Send { to: from, bytes, again: false });
        let mut name = DefaultHasher::new();
        (request.top_via().and_then(|v| v.branch), request.call_id(), request.method_name()).hash(&mut name);
        let name = name.finish();
        if order == Order::ComeHome && self.last_inbound != name {
            self.last_inbound = name;
            match self.status {
                Status::Registered => self.called = true,
                Status::Waiting if self.may_move() => {
                    self.resume = Resume::Top;
                    self.wake = now;
                }
                _ => {}
            }
        }
    }

    /// Status, further header lines, consequence.
    fn judge(&self, from: SocketAddr, request: &Message<'_>) -> (Code, &'static str, Order) {
        let in_dialog = request.to().is_some_and(|to| to.tag.is_some());
        let known = self.list().contains(&from) || self.profile.servers().contains(&from);
        let event = request.header(Header::Event).and_then(Event::read);
        match request.method() {
            Method::Cancel => (Code::CALL_DOES_NOT_EXIST, "", Order::None),
            _ if in_dialog => (Code::CALL_DOES_NOT_EXIST, "", Order::None),
            Method::Options => (Code::OK, ALLOW, Order::None),
            Method::Notify if !known => (Code::FORBIDDEN, "", Order::None),
            Method::Notify if event.is_none_or(|e| e.package != b"service-control") => {
                (Code::BAD_EVENT, "Allow-Events: service-control\r\n", Order::None)
            }
            Method::Notify => match action(request.body()) {
                Some(b"restart" | b"reset") => (Code::OK, "", Order::ComeHome),
                // `check-version` and later ones: understood, nothing to do.
                Some(_) => (Code::OK, "", Order::None),
                None => (Code::BAD_REQUEST, "", Order::None),
            },
            _ => (Code::METHOD_NOT_ALLOWED, ALLOW, Order::None),
        }
    }

    /// `None` for a request that cannot be answered.
    fn answer(&self, request: &Message<'_>, from: SocketAddr, status: Code, extra: &str) -> Option<Bytes> {
        if !(request.is_answerable() && request.is_identified()) {
            return None;
        }
        let mut tag = DefaultHasher::new();
        (self.life, request.call_id()).hash(&mut tag);
        let mut buffer = vec![0; request.header_section().len() + ANSWER_EXTRA];
        let mut writer = Writer::new(&mut buffer);
        response(&mut writer, request, status, format!("{:016x}", tag.finish()).as_bytes(), from);
        writer.line("User-Agent", AGENT.as_bytes()).text(extra).end();
        let length = writer.finish().ok()?;
        buffer.truncate(length);
        Some(Bytes::from(buffer))
    }
}

/// The action of a `service-control` body: the value of its line `action=...`.
fn action(body: &[u8]) -> Option<&[u8]> {
    body.split(|&b| b == b'\n').find_map(|line| line.trim_ascii().strip_prefix(b"action=")).map(<[u8]>::trim_ascii)
}
