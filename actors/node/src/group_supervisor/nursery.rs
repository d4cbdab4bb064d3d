//! Starts a supervisor for each group that comes, and stops that of a group that goes, while the node lives.
//!
//! The CallManager has it; whoever only wants to reach the supervisors has [`GroupHandles`]. It must never know what a supervisor does.

use super::{GroupSupervisor, Parts};
use crate::current::Current;
use crate::device_host::DeviceHost;
use crate::directory::Directory;
use crate::journal::Journal;
use crate::tree::{Handles, Shared};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock};
use tandem_base::NodeLife;
use tandem_host::clock::Clock;
use tandem_host::supervise::{Child, Handle, Keep, mailbox};

/// Messages that may wait for a group supervisor.
const GROUP_MAILBOX: usize = 256;

/// The supervisors of a node by the numbers of their groups.
#[derive(Default)]
pub struct GroupHandles(RwLock<BTreeMap<u16, Handle<GroupSupervisor>>>);

impl GroupHandles {
    /// That of one group.
    pub fn get(&self, group: u16) -> Option<Handle<GroupSupervisor>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&group).cloned()
    }
    /// Calls with each, by number. It must not start or stop one.
    pub fn each(&self, call: impl FnMut(&Handle<GroupSupervisor>)) {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().for_each(call);
    }
    fn put(&self, group: u16, handle: Handle<GroupSupervisor>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(group, handle);
    }
    fn remove(&self, group: u16) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&group);
    }
}

/// See the module.
pub struct Nursery {
    life: NodeLife,
    me: u16,
    current: Arc<Current>,
    journal: Arc<Journal>,
    clock: Clock,
    host: Handle<DeviceHost>,
    handles: Arc<GroupHandles>,
    failed: Rc<dyn Fn(String)>,
    children: BTreeMap<u16, Child>,
}

impl Nursery {
    /// Without a supervisor yet; `failed` is told when one gives up.
    pub fn new(shared: &Shared, current: &Arc<Current>, handles: &Handles, failed: &Rc<dyn Fn(String)>) -> Self {
        Self {
            life: shared.me.clone(),
            me: shared.index,
            current: Arc::clone(current),
            journal: Arc::clone(&shared.journal),
            clock: shared.clock,
            host: handles.host.clone(),
            handles: Arc::clone(&handles.groups),
            failed: Rc::clone(failed),
            children: BTreeMap::new(),
        }
    }
    /// The supervisors.
    pub fn handles(&self) -> &Arc<GroupHandles> {
        &self.handles
    }
    /// Starts and stops supervisors until there is one for each group; returns those that were started. Inside the node's arbiter.
    pub fn settle(&mut self, directory: &Directory) -> Vec<Child> {
        let is_there = |group: u16| directory.groups.get(usize::from(group)).is_some_and(|g| !g.gone);
        let gone: Vec<u16> = self.children.keys().copied().filter(|group| !is_there(*group)).collect();
        for group in gone {
            self.handles.remove(group);
            if let Some(child) = self.children.remove(&group) {
                child.stop();
            }
        }
        let new: Vec<u16> =
            directory.live_groups().map(|(group, _)| group).filter(|g| !self.children.contains_key(g)).collect();
        new.into_iter().map(|group| self.start(group)).collect()
    }
    fn start(&mut self, group: u16) -> Child {
        let (own, mailbox) = mailbox(&self.life.node, "group_supervisor", GROUP_MAILBOX, self.clock);
        let parts = Parts {
            group,
            me: self.me,
            life: self.life.clone(),
            current: Arc::clone(&self.current),
            journal: Arc::clone(&self.journal),
            clock: self.clock,
            host: self.host.clone(),
            own: own.clone(),
        };
        let failed = Rc::clone(&self.failed);
        let keep = Keep::new(mailbox).on_give_up(move |why| failed(why.to_string()));
        let child = keep.start(move || GroupSupervisor::new(parts.clone()));
        self.handles.put(group, own);
        self.children.insert(group, child.clone());
        child
    }
}
