//! The unix link: nodes that are processes of one host, over Unix-domain sockets in a folder of theirs (DESIGN section 8).
//!
//! Each node listens on a socket of its own; of a pair the lower name dials, so a pair never has two connections. A peer is up when both have
//! read the other's hello. A frame goes out by a plain write on the caller's thread; what the kernel does not take waits in a bounded queue for
//! the link's own thread, which also accepts, dials and reads. It must never block its caller, and never tell of an old connection's end
//! after a new one's start.

mod connection;
mod hello;
mod place;
mod serve;
#[cfg(test)]
pub(crate) mod tests;

use super::{AttachError, Ending, FRAME_BYTES_MAX, lock};
use crate::exporter::{self, Counters};
use bytes::Bytes;
use connection::Connection;
use hello::Hello;
use metrics::Counter;
use place::Place;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tandem_base::{NodeLife, NodeName, metric};
use tandem_cluster::link::{Lane, Link, LinkEvent, Refused, Sink};
use tokio::sync::Notify;

/// What the nodes of a cluster on this host have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixOptions {
    /// Where the sockets are. Made for the owner only (0700) when it is not there.
    pub folder: PathBuf,
    /// The cluster's name: nodes of another are refused.
    pub cluster: String,
    /// The configured nodes; others are refused, and the node itself may be among them.
    pub members: Vec<NodeName>,
    /// A peer that takes no byte for so long while frames wait for it is cut.
    pub stall: Duration,
}

/// Where the nodes of one host meet.
#[derive(Clone, Debug)]
pub struct UnixNet {
    options: Arc<UnixOptions>,
}

impl UnixNet {
    /// A meeting place; nothing is opened before a node is attached.
    pub fn new(options: UnixOptions) -> Self {
        Self { options: Arc::new(options) }
    }
    /// Where the sockets are.
    pub fn folder(&self) -> &Path {
        &self.options.folder
    }

    /// A node's life begins: it listens, and every configured peer that listens too is met. An older life of the node that still has the
    /// place gives it up. Blocks for at most some seconds, and only when such a life does not answer.
    ///
    /// # Errors
    /// [`AttachError`]: the same or a newer life has the place, one that does not answer, or the folder or socket cannot be used.
    pub fn attach(&self, me: NodeLife, sink: Sink) -> Result<UnixLink, AttachError> {
        let hello = Hello::of(&self.options.cluster, &me);
        let place = Place::take(&self.options.folder, &me, &hello)?;
        let listener = place.listen()?;
        let reasons = Ending::ALL.map(Ending::as_str);
        let shared = Arc::new(Shared {
            hello,
            open: AtomicBool::new(true),
            peers: Mutex::default(),
            sink,
            endings: Counters::counters(&metric::LINK_CLOSED, &[&[me.node.as_str()], &reasons]),
            dropped: exporter::counter(&metric::LINK_DROPPED, &[me.node.as_str()]),
            end: Notify::new(),
            place: Mutex::new(Some(place)),
            options: Arc::clone(&self.options),
            me,
        });
        serve::start(&shared, listener)?;
        Ok(UnixLink { shared })
    }
}

/// What the node's thread and the link's thread share.
struct Shared {
    me: NodeLife,
    options: Arc<UnixOptions>,
    hello: Hello,
    open: AtomicBool,
    /// The peers that are up. Replaced as a whole, so that a sender holds the lock only to clone the `Arc`.
    peers: Mutex<Arc<Vec<Arc<Connection>>>>,
    sink: Sink,
    endings: Counters,
    dropped: Counter,
    /// Ends the link's thread.
    end: Notify,
    /// The node's socket and its hold on its name; `None` once it has been given up.
    place: Mutex<Option<Place>>,
}

impl Shared {
    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }
    fn peers(&self) -> Arc<Vec<Arc<Connection>>> {
        Arc::clone(&lock(&self.peers))
    }
    fn peer(&self, node: &NodeName) -> Option<Arc<Connection>> {
        self.peers().iter().find(|c| c.life.node == *node).cloned()
    }
    fn count(&self, ending: Ending) {
        self.endings.add(&[0, ending as usize], 1);
    }
    fn tell(&self, event: LinkEvent) {
        if self.is_open() {
            (self.sink)(event);
        }
    }

    /// A connection is up; one of an older life, or an older one of the same life, makes way. From the link's thread only, so that nobody's
    /// events can overtake each other.
    ///
    /// # Errors
    /// [`Ending::Older`]: a newer life of the node is connected.
    fn up(&self, connection: &Arc<Connection>) -> Result<(), Ending> {
        let life = &connection.life;
        if let Some(old) = self.peer(&life.node) {
            if old.life.incarnation > life.incarnation {
                return Err(Ending::Older);
            }
            self.ended(&old, Ending::Replaced);
        }
        {
            let mut peers = lock(&self.peers);
            if !self.is_open() {
                return Err(Ending::Closed);
            }
            let mut all = peers.as_ref().clone();
            all.push(Arc::clone(connection));
            *peers = Arc::new(all);
        }
        self.tell(LinkEvent::PeerUp { node: life.node.clone(), incarnation: life.incarnation });
        Ok(())
    }

    /// A connection that was up has ended; told once. From the link's thread only.
    fn ended(&self, connection: &Arc<Connection>, ending: Ending) {
        if !connection.close() {
            return;
        }
        self.forget(connection);
        self.count(ending);
        let NodeLife { node, incarnation } = connection.life.clone();
        self.tell(LinkEvent::PeerDown { node, incarnation, why: ending.down() });
    }
    fn forget(&self, connection: &Arc<Connection>) {
        let mut peers = lock(&self.peers);
        let rest = peers.iter().filter(|c| !Arc::ptr_eq(c, connection)).cloned().collect();
        *peers = Arc::new(rest);
    }

    /// The end of this node's life on this link: at once, and without a word beyond what a dying process would say.
    fn close(&self) {
        if !self.open.swap(false, Ordering::AcqRel) {
            return;
        }
        let peers = std::mem::take(&mut *lock(&self.peers));
        for connection in peers.iter() {
            connection.close();
        }
        // The name is free only now, so a next life never meets connections of this one.
        drop(lock(&self.place).take());
        self.end.notify_one();
    }
}

/// One node's end. Dropping it closes it, as the death of its process would.
pub struct UnixLink {
    shared: Arc<Shared>,
}

impl Link for UnixLink {
    fn send(&self, to: &NodeName, lane: Lane, frame: Bytes) -> Result<(), Refused> {
        match self.shared.peers().iter().find(|c| c.life.node == *to) {
            Some(connection) => connection.send(lane, frame),
            None => Err(Refused::NotConnected),
        }
    }

    fn broadcast(&self, lane: Lane, frame: Bytes) -> usize {
        let mut taken = 0;
        for connection in self.shared.peers().iter() {
            match connection.send(lane, frame.clone()) {
                Ok(()) => taken += 1,
                Err(Refused::Full) => self.shared.dropped.increment(1),
                Err(Refused::NotConnected) => {}
            }
        }
        taken
    }

    fn close(&self) {
        self.shared.close();
    }
}

impl Drop for UnixLink {
    fn drop(&mut self) {
        self.close();
    }
}
