//! Requests on the wire: sending, timers E and F (RFC 3261 section 17.1.2), streams, finding the request of an answer.
//!
//! At most one request is open per CallManager (section 10.2: no new REGISTER before the last one is over), so at most
//! [`MAX_SERVERS`](crate::MAX_SERVERS) in all. It decides nothing about registrations.

use bytes::Bytes;
use std::net::SocketAddr;
use std::time::Duration;
use tandem_base::Time;
use tandem_sip::transaction::timer::{T2, TIMER_E};

use super::reply::Reply;
use super::{Exchange, Operation, Outcome, Phone, PhoneOutput, Why};
use crate::MAX_SERVERS;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first REGISTER at a CallManager, while nobody serves.
    Register,
    /// A further one at the serving CallManager: refresh and keep-alive in one.
    Refresh,
    /// The heartbeat to another CallManager.
    Beat,
    /// REFER: may the phone come home?
    Token,
    /// The first REGISTER at a better CallManager, while another serves.
    Move,
    /// Takes the binding back.
    Unregister,
}

impl Kind {
    const fn operation(self) -> Operation {
        match self {
            Self::Register => Operation::Register,
            Self::Refresh => Operation::Refresh,
            Self::Beat => Operation::Heartbeat,
            Self::Token => Operation::Token,
            Self::Move => Operation::Move,
            Self::Unregister => Operation::Unregister,
        }
    }
}

/// What earlier attempts of a request met, so that none is repeated for ever.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Past {
    /// A challenge was answered.
    pub(super) challenged: bool,
    /// One said that the nonce was stale.
    pub(super) stale: bool,
    /// 423 so many times.
    pub(super) raised: u8,
    /// When the operation was meant to begin; a challenge does not begin it anew.
    pub(super) begun: Time,
    /// How much later its first request was written, by the generator's own fault.
    pub(super) late: Duration,
    /// When its first request was written.
    pub(super) sent: Time,
}

/// A request without a final answer yet.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) kind: Kind,
    pub(super) server: u8,
    pub(super) past: Past,
    /// Number and salt of the branch.
    pub(super) number: u32,
    pub(super) salt: u32,
    pub(super) cseq: u32,
    /// Timer E fires then.
    resend: Time,
    pause: Duration,
    /// Timer F.
    give_up: Time,
    /// The bytes sent, for timer E: a repetition is the same message. Empty while the stream is being opened.
    pub(super) wire: Bytes,
}

impl Phone {
    /// Sends a new request; whatever was open at that CallManager is forgotten.
    pub(super) fn launch(&mut self, now: Time, kind: Kind, server: u8) {
        let begun = self.intended.take().unwrap_or(now).min(now);
        self.launch_again(now, kind, server, Past { begun, late: now.since(begun), sent: now, ..Past::default() });
    }

    /// The same, with the history of an attempt that was challenged or told to ask for longer.
    pub(super) fn launch_again(&mut self, now: Time, kind: Kind, server: u8, past: Past) {
        self.forget(|t| t.server == server);
        if self.open.len() >= MAX_SERVERS || self.address(server).is_none() {
            return;
        }
        self.cseq = self.cseq.wrapping_add(1) & 0x7fff_ffff;
        self.sent = self.sent.wrapping_add(1);
        let mut transaction = Transaction {
            kind,
            server,
            past,
            number: self.sent,
            salt: self.dice.next_u32(),
            cseq: self.cseq,
            resend: if self.settings().transport.is_reliable() { Time::FAR } else { now + TIMER_E },
            pause: TIMER_E,
            give_up: now + self.settings().patience,
            wire: Bytes::new(),
        };
        self.transmit(&mut transaction);
        self.open.push(transaction);
    }

    /// Writes and sends, or asks for the stream first.
    fn transmit(&mut self, transaction: &mut Transaction) {
        let Some(to) = self.address(transaction.server) else { return };
        let known = self.known(transaction.server);
        if self.settings().transport.is_reliable() && known.port == 0 {
            if !known.opening {
                self.note(transaction.server, |s| s.opening = true);
                self.outbox.push_back(PhoneOutput::Open { to });
            }
            return;
        }
        transaction.wire = self.request(transaction);
        self.outbox.push_back(PhoneOutput::Send { to, bytes: transaction.wire.clone(), again: false });
    }

    /// A stream is there: what waited for it goes out.
    pub(super) fn opened(&mut self, to: SocketAddr, local: SocketAddr) {
        let Some(server) = self.position(to) else { return };
        self.note(server, |s| {
            s.port = local.port();
            s.opening = false;
        });
        let mut open = std::mem::take(&mut self.open);
        for transaction in open.iter_mut().filter(|t| t.server == server && t.wire.is_empty()) {
            self.transmit(transaction);
        }
        self.open = open;
    }

    /// Timers E and F of every open request.
    pub(super) fn run_transactions(&mut self, now: Time) {
        while let Some(place) = self.open.iter().position(|t| t.give_up <= now) {
            let transaction = self.open.swap_remove(place);
            self.counters.timeouts = self.counters.timeouts.saturating_add(1);
            self.over(now, &transaction, Outcome::NoAnswer, None);
            self.unanswered(now, &transaction, Why::NoAnswer);
        }
        for place in 0..self.open.len() {
            let Some(transaction) = self.open.get_mut(place).filter(|t| t.resend <= now) else { continue };
            transaction.pause = (transaction.pause * 2).min(T2);
            transaction.resend = now + transaction.pause;
            let (server, bytes) = (transaction.server, transaction.wire.clone());
            if let Some(to) = self.address(server) {
                self.counters.retransmissions = self.counters.retransmissions.saturating_add(1);
                self.outbox.push_back(PhoneOutput::Send { to, bytes, again: true });
            }
        }
    }

    /// Tells the driver how an operation ended.
    pub(super) fn over(&mut self, now: Time, request: &Transaction, outcome: Outcome, retry_after: Option<Duration>) {
        let exchange = Exchange {
            operation: request.kind.operation(),
            server: self.address(request.server),
            outcome,
            begun: request.past.begun,
            late: request.past.late,
            sent: request.past.sent,
            at: now,
            retry_after,
        };
        self.outbox.push_back(PhoneOutput::Over(exchange));
    }

    /// The next of these timers.
    pub(super) fn next_timer(&self) -> Time {
        self.open.iter().map(|t| t.resend.min(t.give_up)).min().unwrap_or(Time::FAR)
    }

    /// Whether nothing is open at that CallManager.
    pub(super) fn idle(&self, server: u8) -> bool {
        self.open.iter().all(|t| t.server != server)
    }

    pub(super) fn forget(&mut self, which: impl Fn(&Transaction) -> bool) {
        self.open.retain(|t| !which(t));
    }

    /// An answer arrived: takes its request out when it is final. A provisional one slows timer E down to T2.
    pub(super) fn take_answered(&mut self, now: Time, reply: &Reply<'_>) -> Option<Transaction> {
        let fits = |t: &Transaction| {
            t.number == reply.number && t.salt == reply.salt && t.cseq == reply.cseq && !t.wire.is_empty()
        };
        let place = self.open.iter().position(fits)?;
        if reply.status >= 200 {
            return Some(self.open.swap_remove(place));
        }
        if let Some(transaction) = self.open.get_mut(place).filter(|t| t.resend != Time::FAR) {
            transaction.pause = T2;
            transaction.resend = now + T2;
        }
        None
    }

    /// Nobody listens there. On a stream everything open at it is over; the serving CallManager is dead at once.
    pub(super) fn broken(&mut self, now: Time, to: SocketAddr) {
        let Some(server) = self.position(to) else { return };
        self.note(server, |s| {
            s.port = 0;
            s.opening = false;
        });
        let open: Vec<Transaction> = self.open.extract_if(.., |t| t.server == server).collect();
        let serving = self.status == super::Status::Registered && self.server == server;
        for transaction in &open {
            self.over(now, transaction, Outcome::Unreachable, None);
            self.unanswered(now, transaction, Why::Unreachable);
        }
        if serving && open.is_empty() {
            self.lost(now, Why::Unreachable);
        }
    }
}
