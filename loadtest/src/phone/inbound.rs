//! Requests to the phone: a ping, an order to come home, and a proper no to everything else.
//!
//! An answer is a function of its request (RFC 3261 section 8.2.6), so nothing is stored for repetitions but the fact that an order
//! was already obeyed. Only a CallManager of the phone's list may give orders.

use bytes::Bytes;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use tandem_base::Time;

use super::reading::{Text, parameter};
use super::reply::Reply;
use super::wire::{AGENT, ALLOW};
use super::{Phone, PhoneOutput, Resume, Status};

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
        let Some(text) = Text::read(bytes) else { return self.wrong() };
        if text.status().is_some() {
            match Reply::read(text) {
                // A final answer that comes twice, or after the phone gave up, is late and not wrong.
                Some(reply) if reply.phone == self.id && reply.number.wrapping_sub(1) < self.sent => {
                    if let Some(request) = self.take_answered(now, &reply) {
                        self.answered(now, &request, &reply);
                    }
                }
                _ => self.wrong(),
            }
            return;
        }
        match text.request() {
            Some((method, _)) if method != "ACK" => self.requested(now, from, &text, method),
            Some(_) => {}
            None => self.wrong(),
        }
    }

    fn wrong(&mut self) {
        self.counters.wrong_answers = self.counters.wrong_answers.saturating_add(1);
    }

    fn requested(&mut self, now: Time, from: SocketAddr, text: &Text<'_>, method: &str) {
        let (status, extra, order) = self.judge(from, text, method);
        let Some(bytes) = self.answer(text, status, extra) else { return self.wrong() };
        self.outbox.push_back(PhoneOutput::Send { to: from, bytes, again: false });
        let mut name = DefaultHasher::new();
        (text.branch(), text.line("Call-ID", "i"), method).hash(&mut name);
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

    /// Status line, further header lines, consequence.
    fn judge(&self, from: SocketAddr, text: &Text<'_>, method: &str) -> (&'static str, &'static str, Order) {
        let in_dialog = text.line("To", "t").is_some_and(|to| parameter(to, "tag").is_some());
        let known = self.list().contains(&from) || self.profile.servers().contains(&from);
        let event = text.line("Event", "o").and_then(|e| e.split(';').next()).unwrap_or_default().trim();
        match method {
            "CANCEL" => ("481 Call/Transaction Does Not Exist", "", Order::None),
            _ if in_dialog => ("481 Call/Transaction Does Not Exist", "", Order::None),
            "OPTIONS" => ("200 OK", ALLOW, Order::None),
            "NOTIFY" if !known => ("403 Forbidden", "", Order::None),
            "NOTIFY" if !event.eq_ignore_ascii_case("service-control") => {
                ("489 Bad Event", "Allow-Events: service-control\r\n", Order::None)
            }
            "NOTIFY" => match action(text.body) {
                Some("restart" | "reset") => ("200 OK", "", Order::ComeHome),
                // `check-version` and later ones: understood, nothing to do.
                Some(_) => ("200 OK", "", Order::None),
                None => ("400 Bad Request", "", Order::None),
            },
            _ => ("405 Method Not Allowed", ALLOW, Order::None),
        }
    }

    /// RFC 3261 section 8.2.6: Via lines, From, To with our tag, Call-ID and CSeq of the request.
    fn answer(&self, text: &Text<'_>, status: &str, extra: &str) -> Option<Bytes> {
        let (from, to) = (text.line("From", "f")?, text.line("To", "t")?);
        let (call_id, cseq) = (text.line("Call-ID", "i")?, text.line("CSeq", "")?);
        text.branch()?;
        let mut tag = DefaultHasher::new();
        (self.life, call_id).hash(&mut tag);
        let mut answer = format!("SIP/2.0 {status}\r\n");
        // Writing into a String cannot fail.
        for via in text.lines("Via", "v") {
            let _ = write!(answer, "Via: {via}\r\n");
        }
        let _ = write!(answer, "From: {from}\r\nTo: {to}");
        if parameter(to, "tag").is_none() {
            let _ = write!(answer, ";tag={:016x}", tag.finish());
        }
        let _ = write!(
            answer,
            "\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\nUser-Agent: {AGENT}\r\n{extra}Content-Length: 0\r\n\r\n"
        );
        Some(Bytes::from(answer))
    }
}

/// The action of a `service-control` body: the value of its line `action=...`.
fn action(body: &str) -> Option<&str> {
    body.lines().find_map(|line| line.trim().strip_prefix("action=")).map(str::trim)
}
