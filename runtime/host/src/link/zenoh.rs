//! The zenoh link: nodes on several hosts, as zenoh peers over QUIC with certificates of the cluster on both sides (DESIGN section 8).
//!
//! zenoh carries bytes and nothing else: who is up is decided by our own hellos ([`peers`]), order by our own numbers, loss is repaired above.
//! A frame goes out on the caller's thread and is dropped rather than waited for; snapshots wait, on threads of their own. It must never
//! block its caller, and never close a session on a thread that serves phones.

mod bulk;
mod peers;
mod serve;
mod session;
#[cfg(test)]
pub(in crate::link) mod tests;
mod way;
mod word;

use super::{AttachError, Ending, FRAME_BYTES_MAX, lock};
use crate::certificates;
use crate::clock::Clock;
use crate::exporter::{self, Counters, Gauges};
use ::zenoh::sample::Sample;
use bulk::Bulk;
use bytes::Bytes;
use metrics::Counter;
use peers::{Outcome, Peers};
use session::Opened;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tandem_base::{NodeLife, NodeName, metric};
use tandem_cluster::link::{Lane, Link, Refused, Sink};
use word::{Head, Hello, Id};

/// How long the end of a node's former life, or the opening of a session, is waited for.
const ATTACH_WITHIN: Duration = Duration::from_secs(10);
/// How long a dropped link waits for its last words.
const DROP_WITHIN: Duration = Duration::from_millis(500);

/// Something that people should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What kind of thing, as it stands in events: `link_certificate_expiring`, `link_certificates_replaced`, `link_certificates_unusable`,
    /// `link_reopened`, `link_failed`.
    pub kind: &'static str,
    /// What happened, and what would be right.
    pub text: String,
}

/// Hears notices; called from the link's own thread, and must not block it for long.
pub type Notices = Arc<dyn Fn(&NodeName, Notice) + Send + Sync>;

/// What the nodes of a cluster on several hosts have in common.
#[derive(Clone)]
pub struct ZenohOptions {
    /// The cluster's name: 1 to 64 letters, digits, '-', '_' or '.'. Nodes of another are not heard.
    pub cluster: String,
    /// The configured nodes, each with the address at which its peers reach it; others are refused.
    pub members: BTreeMap<NodeName, Option<SocketAddr>>,
    /// Where the certificates are.
    pub certificates: PathBuf,
    /// What membership calls dead; the link itself gives up on a peer after twice that.
    pub dead_after: Duration,
    /// How often the certificates are looked at.
    pub look_every: Duration,
    /// Who is told of certificates that expire, were replaced, or cannot be used.
    pub notices: Notices,
}

impl fmt::Debug for ZenohOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZenohOptions")
            .field("cluster", &self.cluster)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

/// Where the nodes of several hosts meet. A copy is the same place.
#[derive(Clone, Debug)]
pub struct ZenohNet {
    options: Arc<ZenohOptions>,
    /// The last life of each node of this process, and the word that its session is closed.
    attached: Arc<Mutex<BTreeMap<NodeName, Attached>>>,
}

type Attached = (Arc<Shared>, Receiver<()>);

impl ZenohNet {
    /// A meeting place; nothing is opened before a node is attached.
    pub fn new(options: ZenohOptions) -> Self {
        Self { options: Arc::new(options), attached: Arc::default() }
    }

    /// A node's life begins: it listens, and every configured peer that lives is met. An older life of it in this process gives up its
    /// place. Blocks until the address is listened on: some milliseconds, more only when the older life ends slowly.
    ///
    /// # Errors
    /// [`AttachError`]: the same or a newer life has the place, the certificates cannot be used, or the address cannot be listened on.
    pub fn attach(&self, me: NodeLife, sink: Sink) -> Result<ZenohLink, AttachError> {
        let no_address = || AttachError::NoAddress { node: me.node.clone() };
        let address = self.options.members.get(&me.node).copied().flatten().ok_or_else(no_address)?;
        let mut attached = lock(&self.attached);
        if let Some((old, _)) = attached.get(&me.node)
            && old.is_open()
            && old.me.incarnation >= me.incarnation
        {
            return Err(AttachError::NotNewer { attached: old.me.incarnation, life: me });
        }
        let now = Clock::system().unix_millis();
        let credentials = certificates::load(&self.options.certificates, &me.node, address.ip(), now)
            .map_err(|e| AttachError::Certificates(e.to_string()))?;
        if let Some((old, closed)) = attached.remove(&me.node) {
            old.close();
            // A session that does not end has the address still: then listening says so.
            let _ = closed.recv_timeout(ATTACH_WITHIN);
        }
        let (shared, poked) = Shared::new(&self.options, me.clone(), sink);
        let shared = Arc::new(shared);
        let (tell_closed, closed) = sync_channel(1);
        let opened = serve::start(&shared, address, credentials, poked, tell_closed)?;
        let failed = |why: String| AttachError::Listen { life: me.clone(), address, why };
        let answer =
            opened.recv_timeout(ATTACH_WITHIN).unwrap_or_else(|_| Err("the engine does not answer".to_owned()));
        if let Err(why) = answer {
            shared.close();
            return Err(failed(why));
        }
        attached.insert(me.node.clone(), (Arc::clone(&shared), closed));
        Ok(ZenohLink { shared })
    }
}

/// What the node's thread, the link's thread and the engine's threads share.
struct Shared {
    me: NodeLife,
    options: Arc<ZenohOptions>,
    clock: Clock,
    open: AtomicBool,
    peers: Mutex<Peers>,
    /// The session; `None` while there is none.
    session: RwLock<Option<Opened>>,
    /// The snapshot threads, by peer and its session.
    bulk: Mutex<BTreeMap<NodeName, (Id, Bulk)>>,
    /// The last number of each lane.
    numbers: [AtomicU64; 3],
    /// While this life ends: who has not yet said that it knows.
    leaving: Mutex<BTreeSet<NodeName>>,
    sink: Sink,
    endings: Counters,
    dropped: Counter,
    /// Seconds until the node's certificate, and the CA's, expires.
    expiry: Gauges,
    /// Wakes the link's thread. One word is enough however often it is said.
    poke: SyncSender<()>,
    ended: Mutex<Option<Receiver<()>>>,
    end: SyncSender<()>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Shared {
    fn new(options: &Arc<ZenohOptions>, me: NodeLife, sink: Sink) -> (Self, Receiver<()>) {
        let (poke, poked) = sync_channel(1);
        let (end, ended) = sync_channel(1);
        let id = Id { incarnation: me.incarnation, session: 1 };
        let members: Vec<NodeName> = options.members.keys().cloned().collect();
        let name = me.node.as_str();
        let new = Self {
            clock: Clock::system(),
            open: AtomicBool::new(true),
            peers: Mutex::new(Peers::new(me.node.clone(), id, &members, options.dead_after * 2)),
            session: RwLock::default(),
            bulk: Mutex::default(),
            numbers: Default::default(),
            leaving: Mutex::default(),
            sink,
            endings: Counters::counters(&metric::LINK_CLOSED, &[&[name], &Ending::ALL.map(Ending::as_str)]),
            dropped: exporter::counter(&metric::LINK_DROPPED, &[name]),
            expiry: Gauges::gauges(&metric::LINK_CERTIFICATE, &[&[name], &["node", "ca"]]),
            poke,
            ended: Mutex::new(Some(ended)),
            end,
            options: Arc::clone(options),
            me,
        };
        (new, poked)
    }
    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }
    fn poke(&self) {
        // It has been poked already, or is gone.
        let _ = self.poke.try_send(());
    }

    /// Tells what came of something. The peers stay locked meanwhile, so that nobody's events overtake each other.
    fn apply(&self, peers: &mut Peers, did: impl FnOnce(&mut Peers) -> Outcome) {
        if !self.is_open() {
            return;
        }
        let outcome = did(peers);
        outcome.endings.iter().for_each(|ending| self.endings.add(&[0, *ending as usize], 1));
        for event in outcome.events {
            (self.sink)(event);
        }
        if outcome.hello_soon {
            self.poke();
        }
        if outcome.replaced {
            self.close();
        }
    }

    /// From the engine: `tandem/CLUSTER/hello/NODE`.
    fn take_hello(&self, sample: &Sample) {
        let mut key = sample.key_expr().as_str().split('/').skip(1);
        let (Some(cluster), Some(_), Some(node)) = (key.next(), key.next(), key.next()) else { return };
        let Ok(node) = NodeName::new(node) else { return };
        let bytes = sample.payload().to_bytes();
        let hello = Hello::read(&bytes);
        let mut peers = lock(&self.peers);
        if !self.is_open() {
            if hello.is_ok_and(|h| !h.hears(&self.me.node, peers.id())) {
                lock(&self.leaving).remove(&node);
                self.poke();
            }
            return;
        }
        self.apply(&mut peers, |peers| match hello {
            Ok(hello) if cluster != self.options.cluster => peers.refuse(&node, hello.id, Ending::Cluster),
            Ok(hello) => peers.on_hello(self.clock.now(), &node, &hello),
            Err(_) => peers.refuse(&node, Id::default(), Ending::NotHello),
        });
    }

    /// From the engine: `tandem/CLUSTER/all/NODE` and `tandem/CLUSTER/to/ME/NODE`.
    fn take_frame(&self, sample: &Sample) {
        let from = sample.key_expr().as_str().rsplit('/').next().unwrap_or_default();
        let bytes = sample.payload().to_bytes();
        let mut peers = lock(&self.peers);
        self.apply(&mut peers, |peers| match Head::read(&bytes) {
            Ok(None) => Outcome::default(),
            Ok(Some((head, body))) => peers.on_frame(self.clock.now(), from, head, || Bytes::copy_from_slice(body)),
            Err(_) => match NodeName::new(from) {
                Ok(node) => peers.refuse(&node, Id::default(), Ending::BadFrame),
                Err(_) => Outcome::default(),
            },
        });
    }

    fn head(&self, lane: Lane, from: Id, to: Option<Id>, bye: bool) -> Head {
        let number = self.numbers.get(lane as usize).map_or(0, |n| n.fetch_add(1, Ordering::AcqRel) + 1);
        Head { bye, lane, from, number, to }
    }
    /// Does something with the session; `None` while there is none.
    fn with_session<T>(&self, does: impl FnOnce(&Opened) -> T) -> Option<T> {
        self.session.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(does)
    }
    fn put_session(&self, session: Option<Opened>) -> Option<Opened> {
        std::mem::replace(&mut *self.session.write().unwrap_or_else(PoisonError::into_inner), session)
    }

    fn send(&self, to: &NodeName, lane: Lane, frame: &Bytes) -> Result<(), Refused> {
        let (me, peer) = {
            let peers = lock(&self.peers);
            (peers.id(), peers.up(to))
        };
        let peer = peer.filter(|_| self.is_open()).ok_or(Refused::NotConnected)?;
        if frame.len() >= FRAME_BYTES_MAX {
            return Err(Refused::Full);
        }
        let bytes = self.head(lane, me, Some(peer), false).before(frame);
        match lane {
            Lane::Bulk => self.bulk(to, peer, bytes),
            // Between two sessions nothing is taken.
            _ => self.with_session(|s| s.send(to, lane, bytes)).filter(|taken| *taken).map(|_| ()).ok_or(Refused::Full),
        }
    }
    fn bulk(&self, to: &NodeName, peer: Id, bytes: Vec<u8>) -> Result<(), Refused> {
        let mut bulk = lock(&self.bulk);
        if !bulk.get(to).is_some_and(|(id, way)| *id == peer && way.runs()) {
            let way = self.with_session(|s| s.bulk(&self.options, &self.me.node, to)).ok_or(Refused::Full)?;
            let started = Bulk::start(&format!("{}-bulk", self.me.node), way).map_err(|_| Refused::Full)?;
            bulk.insert(to.clone(), (peer, started));
        }
        bulk.get(to).map_or(Err(Refused::Full), |(_, way)| way.send(bytes))
    }
    /// Snapshot threads of sessions that are over end.
    fn end_bulk(&self, up: &[(NodeName, Id)]) {
        lock(&self.bulk).retain(|node, (id, _)| up.iter().any(|(n, i)| n == node && i == id));
    }

    /// The end of this node's life on this link, for its node at once; its last words are said by the link's thread.
    fn close(&self) {
        if self.open.swap(false, Ordering::AcqRel) {
            self.poke();
        }
    }
}

/// One node's end. Dropping it closes it, and waits a moment for its last words.
pub struct ZenohLink {
    shared: Arc<Shared>,
}

impl Link for ZenohLink {
    fn send(&self, to: &NodeName, lane: Lane, frame: Bytes) -> Result<(), Refused> {
        self.shared.send(to, lane, &frame)
    }

    fn broadcast(&self, lane: Lane, frame: Bytes) -> usize {
        let shared = &self.shared;
        if !shared.is_open() {
            return 0;
        }
        let (me, up) = {
            let peers = lock(&shared.peers);
            (peers.id(), peers.all_up())
        };
        let taken = if lane == Lane::Bulk {
            up.iter().filter(|(node, _)| shared.send(node, lane, &frame).is_ok()).count()
        } else if up.is_empty() || frame.len() >= FRAME_BYTES_MAX {
            0
        } else {
            let bytes = shared.head(lane, me, None, false).before(&frame);
            if shared.with_session(|s| s.broadcast(lane, bytes)) == Some(true) { up.len() } else { 0 }
        };
        shared.dropped.increment((up.len() - taken) as u64);
        taken
    }

    fn close(&self) {
        self.shared.close();
    }
}

impl Drop for ZenohLink {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(ended) = lock(&self.shared.ended).take() {
            // Peers that do not answer find out by its silence.
            let _ = ended.recv_timeout(DROP_WITHIN);
        }
    }
}
