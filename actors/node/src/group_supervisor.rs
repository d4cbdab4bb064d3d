//! The supervisor of one CallManager group at one node: the failback of the devices that this node serves for a better member.
//!
//! Asks `rules::failback` whom to call home and when, and has the device host do it. What a death means for the group is planned once
//! for all groups (`effects`); who routes follows from the view. It must never decide by itself who goes where.

mod nursery;

pub use nursery::{GroupHandles, Nursery};

use crate::current::Current;
use crate::device_host::{Asked, CallHome, Census, DeviceHost};
use crate::directory::Directory;
use crate::journal::{Fact, Journal};
use actix::{Actor, Context, Handler, Message, Supervised};
use std::sync::Arc;
use tandem_base::NodeLife;
use tandem_host::clock::Clock;
use tandem_host::supervise::Handle;
use tandem_model::event::kind;
use tandem_model::view::ClusterView;
use tandem_rules::failback::{GroupHere, Pace, PoolHere, plan_failback};
use tandem_rules::placement::{desired, rank_of};

/// Ticks between two looks at the devices that are away from home.
const LOOK_EVERY: u32 = 2;

/// What a group supervisor is given at its start.
#[derive(Clone)]
pub struct Parts {
    /// Which group, as an index into the directory.
    pub group: u16,
    /// Which node.
    pub me: u16,
    /// This life of it.
    pub life: NodeLife,
    /// The configuration in force at the node.
    pub current: Arc<Current>,
    /// What happened.
    pub journal: Arc<Journal>,
    /// The time.
    pub clock: Clock,
    /// The node's device host.
    pub host: Handle<DeviceHost>,
    /// The handle of this very supervisor, for the host's answers.
    pub own: Handle<GroupSupervisor>,
}

/// See the module.
pub struct GroupSupervisor {
    parts: Parts,
    view: Arc<ClusterView>,
    pace: Pace,
    /// An operator has started the return.
    asked: bool,
    /// Devices are being called home.
    calling: bool,
    ticks: u32,
}

impl Actor for GroupSupervisor {
    type Context = Context<Self>;
}
impl Supervised for GroupSupervisor {}

impl GroupSupervisor {
    /// A supervisor that has heard of nobody yet.
    pub fn new(parts: Parts) -> Self {
        let now = parts.clock.now();
        let directory = parts.current.get();
        let view = Arc::new(ClusterView::first(&parts.life, directory.nodes.iter().cloned(), now));
        let pace = Pace::new(share_of_pace(&directory), now);
        Self { parts, view, pace, asked: false, calling: false, ticks: 0 }
    }
    fn note(&self, kind: &'static str, text: String) {
        let fact = Fact::cluster(kind, Some(self.parts.group), "failback".to_owned(), text);
        self.parts.journal.push(self.parts.clock.unix_millis(), self.parts.me, fact);
    }
    /// Whether a better member is in service than this node, so that somebody may have to go.
    fn somebody_better(&self) -> bool {
        let members = self.parts.current.get().members(self.parts.group);
        let here = rank_of(&members, &self.view.me);
        // At a node that is no member any more everybody has somebody better.
        desired(&members, &self.view).is_some_and(|(best, _)| here.is_none_or(|here| best < here))
    }
}

/// The node's pace, shared by its groups.
fn share_of_pace(directory: &Directory) -> u32 {
    let share = u32::try_from(directory.live_groups().count().max(1)).unwrap_or(u32::MAX);
    (directory.settings.failback_per_second / share).max(1)
}

// --- ViewChanged -----------------------------------------------------------------------------------------------------

/// What the node sees of the others now.
pub struct ViewChanged(pub Arc<ClusterView>);
impl Message for ViewChanged {
    type Result = ();
}
impl Handler<ViewChanged> for GroupSupervisor {
    type Result = ();
    fn handle(&mut self, m: ViewChanged, _: &mut Context<Self>) {
        self.view = m.0;
    }
}

// --- Start -----------------------------------------------------------------------------------------------------------

/// An operator starts the return of the group's devices.
pub struct Start;
impl Message for Start {
    type Result = ();
}
impl Handler<Start> for GroupSupervisor {
    type Result = ();
    fn handle(&mut self, _: Start, _: &mut Context<Self>) {
        self.asked = true;
        let _ = self.parts.host.tell(Asked { group: self.parts.group, asked: true });
    }
}

// --- Tick ------------------------------------------------------------------------------------------------------------

/// Every 100 ms, from the node's ticker.
pub struct Tick;
impl Message for Tick {
    type Result = ();
}
impl Handler<Tick> for GroupSupervisor {
    type Result = ();
    fn handle(&mut self, _: Tick, _: &mut Context<Self>) {
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(LOOK_EVERY) && self.somebody_better() {
            let _ = self.parts.host.tell(Census { group: self.parts.group, to: self.parts.own.clone() });
        }
    }
}

// --- Counted ---------------------------------------------------------------------------------------------------------

/// How many devices of each pool of the group are here: (pool, idle, busy).
pub struct Counted(pub Vec<(u16, u64, u64)>);
impl Message for Counted {
    type Result = ();
}
impl Handler<Counted> for GroupSupervisor {
    type Result = ();
    fn handle(&mut self, m: Counted, _: &mut Context<Self>) {
        let now = self.parts.clock.now();
        let directory = self.parts.current.get();
        self.pace.set(share_of_pace(&directory), now);
        let Some(group) = directory.groups.get(usize::from(self.parts.group)) else { return };
        let members = directory.members(self.parts.group);
        let here = |(pool, idle, busy): &(u16, u64, u64)| {
            let pool = directory.pools.get(usize::from(*pool))?;
            Some(PoolHere { name: &pool.name, monitor: pool.monitor, idle: *idle, busy: *busy })
        };
        let pools: Vec<_> = m.0.iter().filter_map(here).collect();
        let (name, policy, asked) = (&group.name, group.failback, self.asked);
        let plan = plan_failback(
            &GroupHere { name, members: &members, policy, asked, pools: &pools },
            &self.view,
            now,
            &mut self.pace,
        );
        if plan.calls() {
            if !self.calling {
                self.calling = true;
                self.note(kind::GROUP_FAILBACK, format!("{name}: {} devices are called home", plan.would_move));
            }
            let ready = plan.ready.iter().filter_map(|r| Some((m.0.get(r.pool)?.0, r.rank, r.since))).collect();
            let (group, most, to) = (self.parts.group, plan.most, self.parts.own.clone());
            if self.parts.host.tell(CallHome { group, ready, most, busy_too: plan.busy_too, to }).is_err() {
                self.pace.give_back(most);
            }
        } else if plan.would_move == 0 && (self.calling || self.asked) {
            if self.calling {
                self.note(kind::GROUP_HOME, format!("{name}: no device here has to go home any more"));
            }
            self.calling = false;
            self.asked = false;
            let _ = self.parts.host.tell(Asked { group: self.parts.group, asked: false });
        }
    }
}

// --- Unused ----------------------------------------------------------------------------------------------------------

/// So many fewer devices were called home than were allowed: their share of the pace is for others.
pub struct Unused(pub u32);
impl Message for Unused {
    type Result = ();
}
impl Handler<Unused> for GroupSupervisor {
    type Result = ();
    fn handle(&mut self, m: Unused, _: &mut Context<Self>) {
        self.pace.give_back(m.0);
    }
}
