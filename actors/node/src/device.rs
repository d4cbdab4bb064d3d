//! One registered device: a light actor (DESIGN section 6). It is an actix actor with a context of our own, no mailbox and no address;
//! its `DeviceHost` calls its typed handlers inside a panic guard and carries out what the context asks for.
//!
//! It must never do I/O, read a clock or know SIP syntax: the edge hands it facts, it answers with an outcome.

use crate::locator::DeviceIndex;
use actix::dev::{MessageResponse, OneshotSender};
use actix::{Actor, ActorContext, ActorState, Handler, Message};
use std::num::NonZeroU64;
use std::sync::Arc;
use tandem_base::{DeviceKey, Rank, Stamp};
use tandem_host::outbox::Peer;
use tandem_model::row::{LastNonce, Transport};
use tandem_sip::nonce::{NcVerdict, NcWindow};

/// What a handler asks of the host; carried out after the handler returned.
#[derive(Debug, Default)]
pub struct DeviceContext {
    /// A row must be written for the peers.
    pub(crate) row: bool,
    /// The expiry timer must be armed for this second (node clock), because the deadline came nearer or is new.
    pub(crate) arm: Option<u32>,
    stopped: bool,
}

impl ActorContext for DeviceContext {
    fn stop(&mut self) {
        self.stopped = true;
    }
    fn terminate(&mut self) {
        self.stopped = true;
    }
    fn state(&self) -> ActorState {
        if self.stopped { ActorState::Stopped } else { ActorState::Running }
    }
}

/// How the registration stands towards RFC 5626 and others; kept because a retransmission is answered anew, byte for byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Registered with outbound (RFC 5626): the answer says `Require: outbound`.
    pub outbound: bool,
    /// Over a stream: the binding ends with its connection.
    pub stream: bool,
}

/// State of one registered device. A slot of the host's slab; everything a refresh touches stands first.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Device {
    /// Its name in rows, kept here because every refresh writes one.
    pub(crate) key: DeviceKey,
    /// Hash of the registration's Call-ID.
    pub(crate) call_id: u64,
    /// Last transaction answered; its retransmission gets the same bytes again.
    pub(crate) transaction: Option<NonZeroU64>,
    /// Hash of the row last written, to keep the digest of the own set.
    pub(crate) row_hash: u64,
    /// Order of this registration in the cluster.
    pub(crate) stamp: Stamp,
    /// CSeq of the last accepted REGISTER.
    pub(crate) cseq: u32,
    /// Second of the node's clock at which it expires.
    pub(crate) expires_at: u32,
    /// Seconds granted.
    pub(crate) granted: u32,
    /// Unix second of the last answer (its `Date`).
    pub(crate) answered: u32,
    /// Who it is.
    pub(crate) index: DeviceIndex,
    /// Deadline of the armed wheel entry; 0 when none.
    pub(crate) armed: u32,
    pub(crate) rank: Rank,
    pub(crate) reason: u8,
    pub(crate) traits: Traits,
    /// In a call: it is not called home before the call ends.
    pub(crate) busy: bool,
    /// Node-clock second at which it was last called home; 0 for never.
    pub(crate) called_home: u32,
    /// Since then it began anew here and was told the way.
    pub(crate) shown_home: bool,
    pub(crate) nonces: NcWindow,
    /// Unix second at which this stay began.
    pub(crate) since: u32,
    /// Which group, for the gauges.
    pub(crate) group: u16,
    pub(crate) pool: u16,
    /// Where its requests come from: answers and calls go there.
    pub(crate) peer: Peer,
    /// Contact URI as registered, shared with the rows that carry it.
    pub(crate) contact: Arc<str>,
    /// Path (RFC 3327), as one header value.
    pub(crate) path: Option<Arc<str>>,
}

/// A slot is three cache lines: 100,000 devices would feel a fourth.
const _: () = assert!(size_of::<Option<Device>>() <= 192, "a device's slot has grown");

impl Device {
    /// Before its first REGISTER at this node: nothing is bound, and whatever comes first is accepted.
    pub fn unregistered(index: DeviceIndex, rank: Rank, group: u16, pool: u16, peer: Peer) -> Self {
        Self {
            key: DeviceKey::default(),
            call_id: 0,
            transaction: None,
            row_hash: 0,
            stamp: Stamp::default(),
            cseq: 0,
            expires_at: 0,
            granted: 0,
            answered: 0,
            index,
            armed: 0,
            rank,
            reason: 0,
            traits: Traits::default(),
            busy: false,
            called_home: 0,
            shown_home: false,
            nonces: NcWindow::default(),
            since: 0,
            group,
            pool,
            peer,
            contact: Arc::from(""),
            path: None,
        }
    }
    /// Over what it is reached.
    pub fn transport(&self) -> Transport {
        if self.traits.stream { Transport::Tcp } else { Transport::Udp }
    }
    /// Length of its Path; 0 without one.
    pub(crate) fn path_len(&self) -> u64 {
        self.path.as_ref().map_or(0, |path| path.len() as u64)
    }
    /// Its last nonce, as rows carry it.
    pub fn last_nonce(&self) -> LastNonce {
        LastNonce { time: self.nonces.nonce_time, id: self.nonces.nonce_id, nc: self.nonces.nc_max }
    }
}

impl Actor for Device {
    type Context = DeviceContext;
}

/// A REGISTER that binds, after the gate: facts only, nothing of SIP's syntax.
#[derive(Debug)]
pub struct Register<'a> {
    /// Second of the node's clock.
    pub now: u32,
    /// Unix second, for the answer's `Date`.
    pub unix: u32,
    /// Order among all registrations of the cluster.
    pub stamp: Stamp,
    /// Its transaction, for retransmissions.
    pub transaction: Option<NonZeroU64>,
    /// Hash of its Call-ID.
    pub call_id: u64,
    /// Its CSeq.
    pub cseq: u32,
    /// Where it came from.
    pub peer: Peer,
    /// Contact URI.
    pub contact: &'a str,
    /// Path, as one header value.
    pub path: Option<&'a str>,
    /// Seconds to be granted, spread already drawn.
    pub granted: u32,
    /// How it registers.
    pub traits: Traits,
    /// Time, id and count of the nonce, when credentials were checked.
    pub nonce: Option<(u32, u32, u32)>,
    /// Fault injection for tests (`settings.fault_injection`): panic in the handler.
    pub poison: bool,
}
impl Message for Register<'_> {
    type Result = Registered;
}

/// What became of a [`Register`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// Bound until `granted` seconds from now.
    Granted,
    /// The nonce was used with this count already, or is older than the last one: challenge again, `stale=true`.
    Stale,
    /// Same Call-ID and a CSeq that is not higher (RFC 3261 section 10.3 step 7).
    OutOfOrder,
}
impl<M: Message<Result = Self>> MessageResponse<Device, M> for Registered {
    fn handle(self, _: &mut DeviceContext, tx: Option<OneshotSender<Self>>) {
        if let Some(tx) = tx {
            // The host calls handlers directly and drops no receiver; a closed one means nobody waits.
            let _ = tx.send(self);
        }
    }
}

impl<'a> Handler<Register<'a>> for Device {
    type Result = Registered;

    fn handle(&mut self, m: Register<'a>, ctx: &mut DeviceContext) -> Registered {
        #[expect(clippy::panic, reason = "fault injection, asked for by the configuration: proves containment")]
        if m.poison {
            panic!("injected fault in a device actor");
        }
        if m.call_id == self.call_id && m.cseq <= self.cseq {
            return Registered::OutOfOrder;
        }
        if let Some((time, id, nc)) = m.nonce {
            let first = self.nonces == NcWindow::default();
            match self.nonces.accept(time, id, nc) {
                // What a device sent before it was known here may have been overheard: every lower count is used up.
                NcVerdict::Accepted if first => self.nonces = NcWindow::taken_over(time, id, nc),
                NcVerdict::Accepted => {}
                NcVerdict::Replayed | NcVerdict::OldNonce => return Registered::Stale,
            }
        }
        self.call_id = m.call_id;
        self.cseq = m.cseq;
        self.transaction = m.transaction;
        self.stamp = m.stamp;
        self.granted = m.granted;
        self.answered = m.unix;
        self.expires_at = m.now.saturating_add(m.granted);
        self.peer = m.peer;
        self.traits = m.traits;
        if *self.contact != *m.contact {
            self.contact = Arc::from(m.contact);
        }
        if self.path.as_deref() != m.path {
            self.path = m.path.map(Arc::from);
        }
        if self.armed == 0 || self.expires_at < self.armed {
            ctx.arm = Some(self.expires_at);
        }
        ctx.row = true;
        Registered::Granted
    }
}
