//! The SIP edge: a message in, at most one message out (RFC 3261 sections 8.2, 10, 17, 18; RFC 3581, 3327, 5626, 8760).
//!
//! Order of a request: parse, validate, retransmission, gate, method. It knows SIP and no policy: whether a device may register is
//! judged in `registrar`, who it is in [`gate`].

mod answer;
pub mod gate;
mod outgoing;
mod read;
mod token;
mod used;

use crate::device_host::DeviceHost;
use crate::directory::Directory;
use crate::locator::Alias;
use crate::observe::Happened;
use crate::registrar::Answer;
use bytes::Bytes;
use gate::{Claimant, Gate, Presented};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use tandem_base::Time;
use tandem_host::outbox::{Flow, Outbox, Peer};
use tandem_host::random::Random;
use tandem_model::config;
use tandem_sip::digest::Algorithm;
use tandem_sip::nonce::NonceKey;
use tandem_sip::transaction::server::Seen;
use tandem_sip::transaction::{ClientTransactions, Keyer, ServerTransactions, TransactionKey};
use tandem_sip::{Datagram, Header, Message, Method, Policy, RefusalReason, Status, datagram, validate_request_with};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Option tags that a Require may name.
pub(crate) const SUPPORTED: &[&str] = &["path", "outbound"];
/// Methods that are answered here.
pub(crate) const ALLOW: &[u8] = b"REGISTER, OPTIONS, REFER";
/// Longest answer written to the scratch buffer.
const SCRATCH: usize = 16 * 1024;
/// The same on every node: the Call-ID's hash travels in rows.
const CALL_ID_SEED: u64 = 0x7461_6e64_656d_0003;
/// Messages that wait for the next turn; beyond it they are lost, as datagrams are.
const PENDING_MAX: usize = 65_536;

/// Secrets of the cluster.
#[derive(Clone)]
pub struct Secrets {
    /// Behind every nonce; the same on all nodes, so that each can check what another issued.
    pub nonce: Vec<u8>,
}

/// Where a node takes SIP.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// UDP sockets in the order of their numbers.
    pub udp: Vec<SocketAddr>,
    /// TCP listeners.
    pub tcp: Vec<SocketAddr>,
}

/// SIP state of a device host.
pub struct Edge {
    pub(crate) nonces: NonceKey,
    keyer: Keyer,
    /// Requests whose answer must not be made twice. REGISTER that binds needs none: see `answer::bound`.
    seen: ServerTransactions,
    /// Requests of this node on their way (calls home); the token is the device.
    sent: ClientTransactions<(u32, Peer)>,
    used: used::Used,
    algorithms: Vec<Algorithm>,
    addresses: Addresses,
    tag_seed: u64,
    salt: u32,
    scratch: Box<[u8]>,
    pending: Vec<(Peer, Bytes)>,
}

impl Edge {
    /// For a node at these addresses.
    pub fn new(secrets: &Secrets, addresses: Addresses, directory: &Directory, random: &mut Random) -> Self {
        let algorithm = |a: &config::Algorithm| match a {
            config::Algorithm::Md5 => Algorithm::Md5,
            config::Algorithm::Sha256 => Algorithm::Sha256,
        };
        Self {
            nonces: NonceKey::new(&secrets.nonce),
            keyer: Keyer::new(random.key()),
            seen: ServerTransactions::default(),
            sent: ClientTransactions::default(),
            used: used::Used::default(),
            algorithms: directory.settings.algorithms.iter().map(algorithm).collect(),
            addresses,
            tag_seed: random.next_u64(),
            salt: 0,
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            pending: Vec::new(),
        }
    }
    /// Metric labels of unreadable messages.
    pub fn parse_reasons() -> Vec<&'static str> {
        RefusalReason::ALL.iter().map(|r| r.as_str()).chain(["foreign"]).collect()
    }
    /// Which UDP socket reaches an address.
    pub fn socket_for(&self, addr: SocketAddr) -> u8 {
        let same = |a: &SocketAddr| a.is_ipv4() == addr.is_ipv4();
        self.addresses.udp.iter().position(same).and_then(|i| u8::try_from(i).ok()).unwrap_or(0)
    }
    /// Tag of this node's answers: a function of the Call-ID, so that a retransmission gets the same.
    fn tag(&self, call_id: &[u8]) -> [u8; 16] {
        let mut tag = *b"0000000000000000";
        let hash = xxh3_64_with_seed(call_id, self.tag_seed);
        for (digit, shift) in tag.iter_mut().rev().zip((0..64).step_by(4)) {
            let nibble = u8::try_from(hash >> shift & 0xf).unwrap_or(0);
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        tag
    }
    fn key(&self, message: &Message<'_>) -> TransactionKey {
        let via = message.top_via();
        let modern = via.and_then(|v| self.keyer.server(&v.top(), message.method_name()));
        modern.unwrap_or_else(|| self.keyer.legacy(&read::legacy(message), message.method_name()))
    }
    /// A message that leaves with the next turn.
    pub(crate) fn send_later(&mut self, peer: Peer, bytes: &[u8]) {
        if self.pending.len() < PENDING_MAX {
            self.pending.push((peer, Bytes::copy_from_slice(bytes)));
        }
    }
    /// Hands over what waits.
    pub(crate) fn send_pending(&mut self, out: &mut Outbox) {
        for (peer, bytes) in self.pending.drain(..) {
            out.send(&bytes, peer);
        }
    }
}

/// A request on its way through the edge.
pub(crate) struct Request<'m, 'a> {
    pub(crate) message: &'m Message<'a>,
    pub(crate) peer: Peer,
    pub(crate) key: TransactionKey,
    pub(crate) tag: [u8; 16],
}

impl DeviceHost {
    /// Serves one message; an answer goes into `out`.
    pub(crate) fn serve(&mut self, now: Time, bytes: &[u8], peer: Peer, out: &mut Outbox) {
        let bytes = match datagram(bytes) {
            Datagram::Message(bytes) => bytes,
            Datagram::KeepAlive => return,
            Datagram::Foreign => return self.metrics.unreadable("foreign"),
        };
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(malformed) => {
                self.metrics.unreadable(malformed.reason.as_str());
                if malformed.is_answerable() {
                    self.refuse(&malformed.partial, peer, &malformed.reason.into(), out);
                }
                return;
            }
        };
        if message.status().is_some() {
            return self.response(now, &message, bytes);
        }
        self.metrics.requested(message.method() as usize, matches!(peer.flow, Flow::Stream(_)));
        let policy = Policy { supported: SUPPORTED, forwards: false };
        if let Err(refusal) = validate_request_with(&message, &policy) {
            self.metrics.unreadable(refusal.reason.as_str());
            if message.is_answerable() {
                self.refuse(&message, peer, &refusal, out);
            }
            return;
        }
        if message.method() == Method::Ack {
            return;
        }
        let key = self.edge.key(&message);
        let request = Request { message: &message, peer, key, tag: self.edge.tag(message.call_id()) };
        if self.answered_before(&request, out) {
            return;
        }
        self.request(now, &request, out);
    }

    /// A retransmission is answered from the transaction (RFC 3261 section 17.2.2), whatever it was.
    fn answered_before(&mut self, request: &Request<'_, '_>, out: &mut Outbox) -> bool {
        if self.edge.seen.is_empty() {
            return false;
        }
        match self.edge.seen.look_up(request.key) {
            Seen::New => false,
            Seen::Busy => true,
            Seen::Answered(bytes) => {
                out.send(bytes, request.peer);
                self.metrics.retransmissions.increment(1);
                true
            }
        }
    }

    fn request(&mut self, now: Time, request: &Request<'_, '_>, out: &mut Outbox) {
        let message = request.message;
        let method = message.method();
        if method == Method::Options && read::is_for_the_server(message) {
            // A ping of the server itself reveals nothing and is the keepalive of many phones.
            return self.answer_options(request, out);
        }
        let mut room = [0; 128];
        let aor = read::aor(message, &mut room);
        if aor.is_empty() && method == Method::Register && !read::registers_sip(message) {
            self.metrics.unreadable(RefusalReason::To.as_str());
            return self.refuse(message, request.peer, &RefusalReason::To.into(), out);
        }
        let named = self.directory.find(aor);
        if method == Method::Register && self.answered_from_slot(request, named, out) {
            return;
        }
        let presented = message.credentials(Header::Authorization, self.directory.realm.as_bytes());
        let presented = presented.map(|a| Presented { username: a.username, credentials: a.credentials() });
        let claimant = Claimant { aor, named, method: message.method_name(), presented };
        let unix = self.unix_seconds();
        let (device, nonce) = match gate::judge(&self.directory, &self.edge.nonces, unix, &claimant) {
            Gate::Pass(device, nonce) => (device, nonce),
            Gate::Challenge { stale, failure } => {
                if let Some(failure) = failure {
                    self.metrics.auth_failed(failure);
                }
                return self.challenge(request, stale, out);
            }
            Gate::Forbidden => {
                self.metrics.happened(Happened::Forbidden);
                return self.plain(request, Status::FORBIDDEN, out);
            }
            Gate::Malformed => {
                self.metrics.auth_failed(crate::observe::AuthFailure::Malformed);
                return self.plain(request, Status::BAD_REQUEST, out);
            }
            Gate::Unknown => return self.plain(request, Status::NOT_FOUND, out),
        };
        match method {
            Method::Register => self.serve_register(now, request, device, nonce, out),
            Method::Options => self.answer_options(request, out),
            Method::Refer if read::asks_for_token(message) => self.serve_token(now, request, device, out),
            Method::Cancel | Method::Bye => self.plain(request, Status::CALL_DOES_NOT_EXIST, out),
            _ => self.not_allowed(request, out),
        }
    }

    /// A REGISTER whose transaction is the last one of its device: the same answer again, made anew from the slot.
    fn answered_from_slot(&mut self, request: &Request<'_, '_>, named: Option<Alias>, out: &mut Outbox) -> bool {
        let Some(Alias::Device(device)) = named else { return false };
        let Some(slot) = self.locator.slot(device) else { return false };
        let Some(found) = self.devices.get(slot) else { return false };
        if found.transaction != Some(request.key.short()) || found.peer.addr != request.peer.addr {
            return false;
        }
        answer::bound(request, found, out);
        self.metrics.retransmissions.increment(1);
        self.metrics.responded(200);
        true
    }

    fn serve_register(
        &mut self,
        now: Time,
        request: &Request<'_, '_>,
        device: crate::locator::DeviceIndex,
        nonce: Option<(u32, u32, u32)>,
        out: &mut Outbox,
    ) {
        let transaction: NonZeroU64 = request.key.short();
        let mut path = String::new();
        let wish = match read::wish(request.message, &self.directory.settings, &mut path) {
            Ok(what) => what,
            Err(read::NoWish::HeartBeat) => {
                if let Some(nonce) = nonce {
                    self.use_up(device, nonce);
                }
                return self.serve_heartbeat(now, request, device, out);
            }
            Err(read::NoWish::ManyContacts) => {
                self.metrics.happened(Happened::ManyContacts);
                return self.plain(request, Status::FORBIDDEN, out);
            }
            Err(read::NoWish::BadContact) => {
                self.metrics.happened(Happened::BadContact);
                return self.plain(request, Status::BAD_REQUEST, out);
            }
        };
        let wish = crate::registrar::Wish {
            device,
            peer: request.peer,
            call_id: xxh3_64_with_seed(request.message.call_id(), CALL_ID_SEED),
            cseq: request.message.cseq().map_or(0, |c| c.number),
            transaction: Some(transaction),
            nonce,
            poison: self.directory.settings.fault_injection && read::is_poison(request.message),
            what: wish,
        };
        let answer = self.register(now, &wish);
        self.answer_register(now, request, &answer, out);
    }

    fn answer_register(&mut self, now: Time, request: &Request<'_, '_>, answer: &Answer, out: &mut Outbox) {
        match answer {
            Answer::Bound(slot) => match self.devices.get(*slot) {
                Some(device) if device.transaction == Some(request.key.short()) => {
                    answer::bound(request, device, out);
                    self.metrics.responded(200);
                }
                // It asked, or named another contact: not the slot's transaction, so the slot cannot answer it again.
                _ => self.told(now, request, *slot, out),
            },
            Answer::Unbound => self.unbound(now, request, out),
            Answer::Stale => {
                self.metrics.auth_failed(crate::observe::AuthFailure::Replay);
                self.challenge(request, true, out);
            }
            Answer::OutOfOrder => self.plain(request, Status::SERVER_INTERNAL_ERROR, out),
            Answer::Elsewhere(nodes) => self.redirect(request, nodes, out),
            Answer::TooBrief => {
                self.metrics.happened(Happened::TooBrief);
                self.too_brief(request, out);
            }
            Answer::Later(seconds) => self.later(request, *seconds, out),
            Answer::Unavailable => self.plain(request, Status::FORBIDDEN, out),
        }
    }
}
