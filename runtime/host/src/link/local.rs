//! The local link: nodes of one process. A frame is handed to the peer's [`Sink`] by a plain call, so nothing is copied, queued or
//! woken here; the bound is that of the receiver's mailbox, which the sink only tries. It must never hold a lock while it calls a sink
//! with a frame.
//!
//! Attaching and closing are told in order, under one lock: sinks must not attach or close nodes.

use super::{AttachError, NODES_MAX};
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tandem_base::{NodeLife, NodeName};
use tandem_cluster::link::{DownWhy, Lane, Link, LinkEvent, Refused, Sink};

/// Where the nodes of one process meet. Clones are the same hub.
#[derive(Clone, Default)]
pub struct Hub {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Who is attached. Replaced as a whole, so that a sender holds the lock only to clone the `Arc`.
    ports: Mutex<Arc<Vec<Arc<Port>>>>,
    /// Serialises attaching and closing, including what is told about them.
    changing: Mutex<()>,
}

struct Port {
    life: NodeLife,
    open: AtomicBool,
    sink: Sink,
}

impl Port {
    fn tell(&self, event: LinkEvent) {
        if self.open.load(Ordering::Acquire) {
            (self.sink)(event);
        }
    }
}

/// A sink that panicked must not take the hub with it: the list behind the lock is always whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// An empty hub.
    pub fn new() -> Self {
        Self::default()
    }

    /// A node's life begins: everybody attached and the newcomer are told of each other. An older life of the same node that is
    /// still attached is closed first.
    ///
    /// # Errors
    /// [`AttachError`] when the same or a newer life is attached, or the hub is full.
    pub fn attach(&self, me: NodeLife, sink: Sink) -> Result<LocalLink, AttachError> {
        let _changing = lock(&self.inner.changing);
        let ports = self.inner.ports();
        if let Some(old) = ports.iter().find(|p| p.life.node == me.node) {
            if old.life.incarnation >= me.incarnation {
                return Err(AttachError::NotNewer { life: me, attached: old.life.incarnation });
            }
            self.inner.detach(old);
        } else if ports.len() >= NODES_MAX {
            return Err(AttachError::TooMany { bound: NODES_MAX });
        }
        let port = Arc::new(Port { life: me, open: AtomicBool::new(true), sink });
        let ports = self.inner.ports();
        for peer in ports.iter() {
            let up = |life: &NodeLife| LinkEvent::PeerUp { node: life.node.clone(), incarnation: life.incarnation };
            port.tell(up(&peer.life));
            peer.tell(up(&port.life));
        }
        let mut all = ports.as_ref().clone();
        all.push(Arc::clone(&port));
        *lock(&self.inner.ports) = Arc::new(all);
        Ok(LocalLink { inner: Arc::clone(&self.inner), port })
    }

    /// Who is attached, in order of arrival.
    pub fn attached(&self) -> Vec<NodeLife> {
        self.inner.ports().iter().map(|p| p.life.clone()).collect()
    }
}

impl Inner {
    fn ports(&self) -> Arc<Vec<Arc<Port>>> {
        Arc::clone(&lock(&self.ports))
    }

    /// Takes the port out and tells the others. The caller holds `changing`.
    fn detach(&self, port: &Arc<Port>) {
        if !port.open.swap(false, Ordering::AcqRel) {
            return;
        }
        let rest: Vec<_> = self.ports().iter().filter(|p| !Arc::ptr_eq(p, port)).cloned().collect();
        let rest = Arc::new(rest);
        *lock(&self.ports) = Arc::clone(&rest);
        for peer in rest.iter() {
            peer.tell(LinkEvent::PeerDown {
                node: port.life.node.clone(),
                incarnation: port.life.incarnation,
                why: DownWhy::Closed,
            });
        }
    }
}

/// One node's end. Dropping it closes it, as the death of its process would.
pub struct LocalLink {
    inner: Arc<Inner>,
    port: Arc<Port>,
}

impl LocalLink {
    fn message(&self, bytes: Bytes) -> LinkEvent {
        LinkEvent::Message { from: self.port.life.node.clone(), bytes }
    }
    fn is_open(&self) -> bool {
        self.port.open.load(Ordering::Acquire)
    }
}

impl Link for LocalLink {
    fn send(&self, to: &NodeName, _lane: Lane, frame: Bytes) -> Result<(), Refused> {
        let ports = self.inner.ports();
        match ports.iter().find(|p| p.life.node == *to && !Arc::ptr_eq(p, &self.port)) {
            Some(peer) if self.is_open() => {
                peer.tell(self.message(frame));
                Ok(())
            }
            _ => Err(Refused::NotConnected),
        }
    }

    fn broadcast(&self, _lane: Lane, frame: Bytes) -> usize {
        if !self.is_open() {
            return 0;
        }
        let ports = self.inner.ports();
        let peers = ports.iter().filter(|p| !Arc::ptr_eq(p, &self.port));
        peers.map(|peer| peer.tell(self.message(frame.clone()))).count()
    }

    fn close(&self) {
        let _changing = lock(&self.inner.changing);
        self.inner.detach(&self.port);
    }
}

impl Drop for LocalLink {
    fn drop(&mut self) {
        self.close();
    }
}
