//! The journal of a process: what happened in its nodes, in order, for `tandem events` and the timeline.
//!
//! Bounded: the oldest entries go. A registration is an entry of 32 bytes that becomes text only when somebody reads it. Refreshes are
//! not entries. It must never block a node for longer than a push.

use crate::directory::{Applied, Directory};
use crate::locator::DeviceIndex;
use crate::observe::Happened;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tandem_base::{DeviceName, Rank, UnixMillis};
use tandem_model::event::Event;
use tokio::sync::Notify;

/// Entries kept; the oldest go first.
pub const ENTRIES_MAX: usize = 65_536;

/// What an entry tells.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A registration event of one device at one node.
    Device {
        /// Which device.
        device: DeviceIndex,
        /// What happened to it.
        happened: Happened,
        /// At which rank.
        rank: Rank,
    },
    /// Anything about a node or a group. Boxed, so that the many entries about devices stay small.
    Cluster(Box<Story>),
}

/// What happened to a node or a group.
#[derive(Clone, Debug)]
pub struct Story {
    /// Bounded word, such as `node_down`.
    pub kind: &'static str,
    /// The group it concerns, as an index into the directory.
    pub group: Option<u16>,
    /// Why, in a few words.
    pub cause: String,
    /// A sentence for people.
    pub text: String,
}
impl Fact {
    /// About a node, or about a group of the directory.
    pub fn cluster(kind: &'static str, group: Option<u16>, cause: String, text: String) -> Self {
        Self::Cluster(Box::new(Story { kind, group, cause, text }))
    }
}

#[derive(Clone, Debug)]
struct Entry {
    sequence: u64,
    at: UnixMillis,
    node: u16,
    fact: Fact,
}

struct Inner {
    next: u64,
    entries: VecDeque<Entry>,
    /// What things are called.
    directory: Arc<Directory>,
    /// What devices were called that are gone; as many as there may be entries about them.
    gone: BTreeMap<DeviceIndex, DeviceName>,
}

/// See the module. Shared by all nodes of a process.
pub struct Journal {
    inner: Mutex<Inner>,
    news: Notify,
}

impl Journal {
    /// An empty journal that names things by `directory`.
    pub fn new(directory: Arc<Directory>) -> Self {
        let inner = Inner { next: 1, entries: VecDeque::new(), directory, gone: BTreeMap::new() };
        Self { inner: Mutex::new(inner), news: Notify::new() }
    }
    /// From now on things are called as a changed directory says. Devices that are gone keep their names for the entries about them.
    pub fn reconfigure(&self, applied: &Applied) {
        let mut inner = self.lock();
        let Inner { directory, gone, .. } = &mut *inner;
        for device in &applied.effects.devices {
            if applied.directory.has(*device) {
                gone.remove(device);
            } else if let Some(name) = directory.name(*device) {
                if gone.len() >= ENTRIES_MAX {
                    gone.pop_first();
                }
                gone.insert(*device, name);
            }
        }
        *directory = Arc::clone(&applied.directory);
    }
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while pushing leaves a whole entry or none: the journal stays usable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Adds an entry of node number `node`.
    pub fn push(&self, at: UnixMillis, node: u16, fact: Fact) {
        let mut inner = self.lock();
        let sequence = inner.next;
        inner.next += 1;
        if inner.entries.len() >= ENTRIES_MAX {
            inner.entries.pop_front();
        }
        inner.entries.push_back(Entry { sequence, at, node, fact });
        drop(inner);
        self.news.notify_waiters();
    }
    /// Number of the last entry; 0 when there is none.
    pub fn last(&self) -> u64 {
        self.lock().next.saturating_sub(1)
    }
    /// Up to `limit` entries after number `after`, oldest first.
    pub fn after(&self, after: u64, limit: usize) -> Vec<Event> {
        let inner = self.lock();
        let start = inner.entries.partition_point(|e| e.sequence <= after);
        inner.entries.iter().skip(start).take(limit).map(|e| inner.render(e)).collect()
    }
    /// The last `limit` entries about one device, newest last.
    pub fn of_device(&self, device: DeviceIndex, limit: usize) -> Vec<Event> {
        let inner = self.lock();
        let about = |e: &&Entry| matches!(e.fact, Fact::Device { device: d, .. } if d == device);
        let mut found: Vec<Event> =
            inner.entries.iter().rev().filter(about).take(limit).map(|e| inner.render(e)).collect();
        found.reverse();
        found
    }
    /// Returns when something was added after the call.
    pub async fn news(&self) {
        self.news.notified().await;
    }
}

impl Inner {
    fn render(&self, entry: &Entry) -> Event {
        let node = self.directory.nodes.get(usize::from(entry.node)).cloned();
        let (kind, group, device, cause, text) = match &entry.fact {
            Fact::Device { device, happened, rank } => {
                let (event, reason) = happened.labels();
                let name = self.directory.name(*device).or_else(|| self.gone.get(device).cloned());
                let group = self.directory.group_of(*device).and_then(|g| self.directory.groups.get(usize::from(g)));
                let at = node.as_ref().map_or("?", |n| n.as_str());
                let text =
                    format!("{} {event} at {at} (rank {rank}): {reason}", name.as_ref().map_or("?", |n| n.as_str()));
                (event, group.map(|g| g.name.clone()), name, reason.to_owned(), text)
            }
            Fact::Cluster(story) => {
                let Story { kind, group, cause, text } = story.as_ref();
                let group = group.and_then(|g| self.directory.groups.get(usize::from(g))).map(|g| g.name.clone());
                (*kind, group, None, cause.clone(), text.clone())
            }
        };
        Event { sequence: entry.sequence, at: entry.at, node, kind: kind.to_owned(), group, device, cause, text }
    }
}
