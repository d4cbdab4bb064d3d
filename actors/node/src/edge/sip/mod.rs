//! The SIP edge: a message in, at most one message out (RFC 3261 sections 8.2, 10, 17, 18; RFC 3581, 3327, 5626, 8760).
//!
//! Order of a request: parse, validate, retransmission, gate, method. It knows SIP and no policy: whether a device may register is
//! judged in `registrar`, who it is in [`gate`].

mod answer;
pub mod gate;
pub(crate) mod locate;
mod outgoing;
mod read;
mod token;
mod used;

use crate::device_host::DeviceHost;
use crate::directory::Directory;
use crate::locator::Alias;
use crate::observe::Happened;
use crate::registrar::Answer;
use answer::DateLine;
use bytes::Bytes;
use gate::{Claimant, Gate, Presented};
use std::cell::OnceCell;
use std::net::SocketAddr;
use tandem_base::{DeviceKey, Time, UnixMillis};
use tandem_host::outbox::{Flow, Outbox, Peer};
use tandem_host::random::Random;
use tandem_model::config;
use tandem_model::row::device_key_of_bytes;
use tandem_sip::digest::{Algorithm, Asker, Challenges, LastRequest};
use tandem_sip::nonce::{Issuer, NonceKey};
use tandem_sip::transaction::server::Seen;
use tandem_sip::transaction::{ClientTransactions, Keyer, ServerTransactions, TransactionKey};
use tandem_sip::{
    Datagram, Facts, Header, Message, Method, Policy, Refusal, RefusalReason, Status, datagram, read_contacts,
    read_request,
};
use used::Use;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Option tags that a Require may name.
pub(crate) const SUPPORTED: &[&str] = &["path", "outbound"];
/// Methods that are answered here.
pub(crate) const ALLOW: &[u8] = b"REGISTER, OPTIONS, INVITE, ACK, REFER";
/// Longest answer written to the scratch buffer.
const SCRATCH: usize = 16 * 1024;
/// The same on every node: the Call-ID's hash travels in rows.
const CALL_ID_SEED: u64 = 0x7461_6e64_656d_0003;
/// Messages that wait for the next turn; beyond it they are lost, as datagrams are.
const PENDING_MAX: usize = 65_536;
/// Longest Request-URI that is kept.
const OWN_URI_MAX: usize = 128;
/// Messages that are read before the first of them is served.
const READ_AHEAD: usize = 8;

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
    /// Requests for devices of other nodes.
    locating: locate::Locating,
    last_request: LastRequest,
    challenges: Challenges,
    /// The Request-URI of the last request for this server itself: nearly all phones write the same.
    own_uri: Vec<u8>,
    addresses: Addresses,
    tag_seed: u64,
    /// Of this node's nonces, in this life.
    pub(crate) issuer: Issuer,
    date: DateLine,
    scratch: Box<[u8]>,
    pending: Vec<(Peer, Bytes)>,
}

impl Edge {
    /// For the node that issues these nonces, at these addresses.
    pub fn new(
        secrets: &Secrets,
        issuer: Issuer,
        addresses: Addresses,
        directory: &Directory,
        random: &mut Random,
    ) -> Self {
        let algorithm = |a: &config::Algorithm| match a {
            config::Algorithm::Md5 => Algorithm::Md5,
            config::Algorithm::Sha256 => Algorithm::Sha256,
        };
        let algorithms: Vec<Algorithm> = directory.settings.algorithms.iter().map(algorithm).collect();
        let realm = directory.realm.as_bytes();
        Self {
            nonces: NonceKey::new(&secrets.nonce, realm),
            keyer: Keyer::new(random.key()),
            seen: ServerTransactions::default(),
            sent: ClientTransactions::default(),
            used: used::Used::default(),
            locating: locate::Locating::default(),
            last_request: LastRequest::default(),
            challenges: Challenges::new(Asker::Server, &algorithms, realm),
            own_uri: Vec::new(),
            addresses,
            tag_seed: random.next_u64(),
            issuer,
            date: DateLine::default(),
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
        let hash = xxh3_64_with_seed(call_id, self.tag_seed);
        // Each half byte to a byte of its own, then all sixteen to letters at once: a to p.
        let spread = |n: u64| {
            let n = (n | n << 16) & 0x0000_ffff_0000_ffff;
            let n = (n | n << 8) & 0x00ff_00ff_00ff_00ff;
            let n = (n | n << 4) & 0x0f0f_0f0f_0f0f_0f0f;
            n + 0x6161_6161_6161_6161
        };
        let (low, high) = (spread(hash & 0xffff_ffff), spread(hash >> 32));
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }
    fn key(&self, message: &Message<'_>, facts: &Facts<'_>) -> TransactionKey {
        let modern = self.keyer.server(&facts.via.top(), message.method_name());
        modern.unwrap_or_else(|| self.keyer.legacy(&read::legacy(message, facts), message.method_name()))
    }
    /// Keeps a Request-URI that means this server.
    fn keep_own_uri(&mut self, uri: &[u8]) {
        if self.own_uri != uri && uri.len() <= OWN_URI_MAX {
            self.own_uri.clear();
            self.own_uri.extend_from_slice(uri);
        }
    }
    /// A turn begins.
    pub(crate) fn begin_turn(&mut self, now: Time, unix_millis: u64) {
        self.date.set(UnixMillis(unix_millis).as_secs_u32());
        self.issuer.advance(now, unix_millis);
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
    pub(crate) facts: &'m Facts<'a>,
    pub(crate) peer: Peer,
    /// What the name in the address of record stands for.
    pub(crate) named: Option<Alias>,
    pub(crate) tag: [u8; 16],
    key: OnceCell<TransactionKey>,
}

impl Request<'_, '_> {
    /// Names its transaction. Made when it is first asked for: most challenges are written without.
    pub(crate) fn key(&self, edge: &Edge) -> TransactionKey {
        *self.key.get_or_init(|| edge.key(self.message, self.facts))
    }
}

/// A request that was read and found acceptable, before anybody looked who sent it. Filled in where it stands: it is too large to be handed
/// about for each request.
struct Heard<'a> {
    message: Message<'a>,
    facts: Facts<'a>,
    /// Whose it is, when it is to be served.
    peer: Option<Peer>,
}

impl<'a> Heard<'a> {
    fn place() -> Self {
        Self { message: Message::EMPTY, facts: Facts::default(), peer: None }
    }
    /// What is to be served.
    fn request(&self) -> Option<(&Message<'a>, &Facts<'a>, Peer)> {
        Some((&self.message, &self.facts, self.peer?))
    }
    /// The key of the name in the address of record. Nobody needs it of a request without credentials where the gate asks for them: it
    /// is challenged, whatever name is in it, so nothing of that device is looked up.
    fn key(&self, directory: &Directory) -> Option<DeviceKey> {
        let (message, facts, _) = self.request()?;
        if directory.settings.digest && message.header(Header::Authorization).is_none() {
            return None;
        }
        let mut room = [0; 128];
        Some(device_key_of_bytes(read::aor(message, facts, &mut room)))
    }
}

impl DeviceHost {
    /// Serves messages that came together, in order; answers go into `out`. First all are read, then what they will touch is fetched, then
    /// each is served: memory is waited for once instead of once per message.
    pub(crate) fn serve_all<'a>(
        &mut self,
        now: Time,
        messages: impl Iterator<Item = (&'a [u8], Peer)>,
        out: &mut Outbox,
    ) {
        let mut messages = messages.fuse();
        let mut heard: [Heard<'a>; READ_AHEAD] = std::array::from_fn(|_| Heard::place());
        loop {
            let mut came = 0;
            for (place, (bytes, peer)) in heard.iter_mut().zip(messages.by_ref()) {
                place.peer = self.hear(now, bytes, peer, place, out).then_some(peer);
                came += 1;
            }
            let heard = heard.get(..came).unwrap_or_default();
            // All keys, then all look-ups: these wait for memory together.
            let mut keys = [None; READ_AHEAD];
            for (key, heard) in keys.iter_mut().zip(heard) {
                *key = heard.key(&self.directory);
            }
            let named = keys.map(|key| key.and_then(|key| self.directory.find_alias(key)));
            if came > 1 {
                self.read_ahead(&named);
            }
            for (heard, named) in heard.iter().zip(named) {
                if let Some((message, facts, peer)) = heard.request() {
                    self.attend(now, message, facts, peer, named, out);
                }
            }
            if came < READ_AHEAD {
                return;
            }
        }
    }

    /// Reads a message into its place and says whether it is to be served. What is no acceptable request is dealt with at once.
    fn hear<'a>(&mut self, now: Time, bytes: &'a [u8], peer: Peer, place: &mut Heard<'a>, out: &mut Outbox) -> bool {
        let bytes = match datagram(bytes) {
            Datagram::Message(bytes) => bytes,
            Datagram::KeepAlive => return false,
            Datagram::Foreign => {
                self.metrics.unreadable("foreign");
                return false;
            }
        };
        let Heard { message, facts, .. } = place;
        if let Err(reason) = message.parse_here(bytes) {
            self.metrics.unreadable(reason.as_str());
            if message.is_answerable() {
                self.refuse(message, peer, &reason.into(), out);
            }
            return false;
        }
        if message.status().is_some() {
            self.response(now, message, bytes);
            return false;
        }
        self.metrics.requested(message.method() as usize, matches!(peer.flow, Flow::Stream(_)));
        let own_uri = Some(&self.edge.own_uri[..]).filter(|uri| !uri.is_empty());
        let policy = Policy { supported: SUPPORTED, forwards: false, own_uri };
        // A registrar reads contacts when it knows who asks (RFC 3261 section 10.3).
        let contacts = if message.method() == Method::Register { Ok(()) } else { read_contacts(message).map(drop) };
        match read_request(facts, message, &policy).and(contacts) {
            Ok(()) => {
                if facts.for_the_server {
                    self.edge.keep_own_uri(message.request_uri());
                }
                message.method() != Method::Ack
            }
            Err(refusal) => {
                self.unacceptable(message, peer, &refusal, out);
                false
            }
        }
    }

    /// Counts a request that validation refused, and says so where an answer may be sent.
    fn unacceptable(&mut self, message: &Message<'_>, peer: Peer, refusal: &Refusal, out: &mut Outbox) {
        self.metrics.unreadable(refusal.reason.as_str());
        if message.is_answerable() {
            self.refuse(message, peer, refusal, out);
        }
    }

    /// Touches what the next requests will need, one kind after the other, so that the processor fetches all of a kind at the same time.
    /// Changes nothing.
    fn read_ahead(&self, named: &[Option<Alias>; READ_AHEAD]) {
        let mut found: [Option<&crate::device::Device>; READ_AHEAD] = [None; READ_AHEAD];
        for (found, named) in found.iter_mut().zip(named) {
            if let Some(Alias::Device(device)) = named {
                *found = self.locator.slot(*device).and_then(|slot| self.devices.get(slot));
            }
        }
        // A line of the slot each.
        let mut touched = 0;
        for device in found.iter().flatten() {
            touched ^= device.call_id ^ u64::from(device.since) ^ device.path_len();
        }
        if self.directory.settings.digest {
            for named in named.iter().flatten() {
                if let Alias::Device(device) = named {
                    touched ^= self.directory.touch(*device);
                }
            }
        }
        // What the slot points to comes last: by now it can be followed.
        for device in found.iter().flatten() {
            touched ^= u64::from(device.contact.as_bytes().first().copied().unwrap_or(0));
        }
        std::hint::black_box(touched);
    }

    /// Serves a request that was read.
    fn attend(
        &mut self,
        now: Time,
        message: &Message<'_>,
        facts: &Facts<'_>,
        peer: Peer,
        named: Option<Alias>,
        out: &mut Outbox,
    ) {
        let tag = self.edge.tag(message.call_id());
        let request = Request { message, facts, peer, named, tag, key: OnceCell::new() };
        if !self.answered_before(&request, out) {
            self.request(now, &request, out);
        }
    }

    /// A retransmission is answered from the transaction (RFC 3261 section 17.2.2), whatever it was.
    fn answered_before(&mut self, request: &Request<'_, '_>, out: &mut Outbox) -> bool {
        if self.edge.seen.is_empty() {
            return false;
        }
        match self.edge.seen.look_up(request.key(&self.edge)) {
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
        if method == Method::Options && request.facts.for_the_server {
            // A ping of the server itself reveals nothing and is the keepalive of many phones.
            return self.answer_options(request, out);
        }
        let mut room = [0; 128];
        let aor = read::aor(message, request.facts, &mut room);
        if aor.is_empty() && method == Method::Register && !request.facts.to.is_sip {
            self.metrics.unreadable(RefusalReason::To.as_str());
            return self.refuse(message, request.peer, &RefusalReason::To.into(), out);
        }
        if method == Method::Register && self.answered_from_slot(request, out) {
            return;
        }
        let presented = message.credentials(Header::Authorization, self.directory.realm.as_bytes());
        let presented = presented.map(|a| Presented { username: a.username, credentials: a.credentials() });
        let claimant = Claimant { aor, named: request.named, method: message.method_name(), presented };
        let Edge { nonces, last_request, issuer, .. } = &mut self.edge;
        let (device, nonce) = match gate::judge(&self.directory, nonces, last_request, issuer.secs(), &claimant) {
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
            Method::Options | Method::Invite => self.serve_target(now, request, out),
            Method::Refer if read::asks_for_token(message) => self.serve_token(now, request, device, out),
            Method::Cancel | Method::Bye => self.plain(request, Status::CALL_DOES_NOT_EXIST, out),
            _ => self.not_allowed(request, out),
        }
    }

    /// A REGISTER whose transaction is the last one of its device: the same answer again, made anew from the slot.
    fn answered_from_slot(&mut self, request: &Request<'_, '_>, out: &mut Outbox) -> bool {
        let Some(Alias::Device(device)) = request.named else { return false };
        let Some(slot) = self.locator.slot(device) else { return false };
        let Some(found) = self.devices.get(slot) else { return false };
        // The number first: it tells nearly all, and a name costs a hash.
        let same = found.cseq == request.facts.cseq.number
            && found.peer.addr == request.peer.addr
            && found.transaction == Some(request.key(&self.edge).short());
        if !same {
            return false;
        }
        answer::bound(request, found, &self.edge.date, out);
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
        let contacts = match read_contacts(request.message) {
            Ok(contacts) => contacts,
            Err(refusal) => return self.unacceptable(request.message, request.peer, &refusal, out),
        };
        let mut path = String::new();
        let wish = match read::wish(request.message, &contacts, &self.directory.settings, &mut path) {
            Ok(what) => what,
            Err(read::NoWish::HeartBeat) => {
                if nonce.is_some_and(|nonce| !self.may_use(device, nonce, Use::BindsNothing)) {
                    return self.challenge(request, true, out);
                }
                if let Some(nonce) = nonce {
                    self.use_up(now, device, nonce);
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
        let what = if matches!(wish, crate::registrar::What::Bind { .. }) { Use::Binds } else { Use::BindsNothing };
        if nonce.is_some_and(|nonce| !self.may_use(device, nonce, what)) {
            return self.challenge(request, true, out);
        }
        let wish = crate::registrar::Wish {
            device,
            peer: request.peer,
            call_id: xxh3_64_with_seed(request.message.call_id(), CALL_ID_SEED),
            cseq: request.facts.cseq.number,
            transaction: Some(request.key(&self.edge).short()),
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
                Some(device) if device.transaction == Some(request.key(&self.edge).short()) => {
                    answer::bound(request, device, &self.edge.date, out);
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
