//! The way home: when a better node is ready, who may go, how many at a time, and what the others wait for.
//!
//! A node calls home only devices that it serves itself. Home is ready when it is the best member in service and has been up and in
//! sync for the pool's connection monitor duration; a flap starts that time anew (the view forgets it). A phone that simply registers
//! at home is always welcome and not judged here.

mod pace;
mod preview;
mod token;

pub use pace::Pace;
pub use preview::{Move, PoolCount, Preview, preview};
pub use token::{Ask, Token, grant_token};

use crate::placement::{best_first, desired, rank_of};
use std::fmt;
use std::time::Duration;
use tandem_base::{DevicePoolName, GroupName, NodeName, Rank, Time};
use tandem_model::config::{Failback, HumanDuration};
use tandem_model::timings::CALL_HOME_AGAIN_SECS;
use tandem_model::view::{ClusterView, NodeView, Service, Sight};

/// Whether devices of one pool may leave a node for a better one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The node is the best member in service: nobody has to go.
    AtBest,
    /// This better member is ready.
    Ready(Rank, NodeName),
    /// A better member is in service, but not yet for long enough.
    Wait(Wait),
}

/// What a return waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The better member must be up and in sync for so much longer.
    Monitor {
        /// Which.
        node: NodeName,
        /// How much longer.
        left: Duration,
    },
    /// The better member is silent at this moment.
    Suspect {
        /// Which.
        node: NodeName,
    },
    /// A member that is better still is back and fetches its copies: whoever left now would move twice.
    Joining {
        /// Which.
        node: NodeName,
    },
    /// An operator must start it: the group's policy is manual.
    Operator,
    /// All that is left have a call.
    Calls {
        /// How many.
        devices: u64,
    },
}
impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Monitor { node, left } => {
                let whole = Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0));
                write!(f, "{node} must be up and in sync for {} more", HumanDuration(whole))
            }
            Self::Suspect { node } => write!(f, "{node} is silent at this moment"),
            Self::Joining { node } => write!(f, "{node} is back and fetches its copies"),
            Self::Operator => f.write_str("the group's policy is manual: start it with `tandem failback`"),
            Self::Calls { devices } => write!(f, "the calls of {devices} devices must end"),
        }
    }
}

/// Whether devices of a pool with this `monitor` duration may leave node `at` now.
///
/// Only the best member in service counts, and nobody leaves for it while a better one still is about to be in service: a device that is
/// called home registers from the top of its list, and would else move twice.
pub fn readiness(members: &[NodeName], at: &NodeName, monitor: Duration, view: &ClusterView, now: Time) -> Readiness {
    let Some((rank, node)) = desired(members, view) else { return Readiness::AtBest };
    // Whoever is at a node that is no member (any more) has everything before it.
    if node == at || rank_of(members, at).is_some_and(|here| here < rank) {
        return Readiness::AtBest;
    }
    let Some(seen) = view.node(node) else { return Readiness::AtBest };
    if let Some(node) = joining_before(members, node, monitor, view, now) {
        return Readiness::Wait(Wait::Joining { node: node.clone() });
    }
    if seen.steady_for(monitor, now) {
        return Readiness::Ready(rank, node.clone());
    }
    let node = node.clone();
    if seen.sight == Sight::Suspect {
        return Readiness::Wait(Wait::Suspect { node });
    }
    let left = monitor.saturating_sub(seen.in_service_for(now).unwrap_or_default());
    Readiness::Wait(Wait::Monitor { node, left })
}

/// The best member before `node` that is back and still fetches its copies. It is waited for no longer than its pool's `monitor` duration:
/// one that never becomes complete holds nobody.
fn joining_before<'a>(
    members: &'a [NodeName],
    node: &NodeName,
    monitor: Duration,
    view: &ClusterView,
    now: Time,
) -> Option<&'a NodeName> {
    members.iter().take_while(|m| *m != node).find(|m| view.node(m).is_some_and(|seen| is_joining(seen, monitor, now)))
}

fn is_joining(seen: &NodeView, monitor: Duration, now: Time) -> bool {
    seen.sight == Sight::Up && seen.service == Service::Joining && now.since(seen.since) < monitor
}

/// One group at the node that may call home.
#[derive(Clone, Copy, Debug)]
pub struct GroupHere<'a> {
    /// Its name.
    pub name: &'a GroupName,
    /// Its members, best first.
    pub members: &'a [NodeName],
    /// When its devices go home.
    pub policy: Failback,
    /// Whether an operator has started their return.
    pub asked: bool,
    /// Its pools.
    pub pools: &'a [PoolHere<'a>],
}

/// One pool of it.
#[derive(Clone, Copy, Debug)]
pub struct PoolHere<'a> {
    /// Its name.
    pub name: &'a DevicePoolName,
    /// Its connection monitor duration.
    pub monitor: Duration,
    /// Its devices here without a call. Those that were called lately may be in it: whoever calls leaves them out ([`may_call`]) and gives
    /// their share of the pace back.
    pub idle: u64,
    /// Its devices here with a call, likewise.
    pub busy: u64,
}

/// A pool whose devices may go to a better member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyPool {
    /// Index into [`GroupHere::pools`].
    pub pool: usize,
    /// The better member's rank.
    pub rank: Rank,
    /// Since when it is in service.
    pub since: Time,
}

/// Whether a device may be called home again that was `called` before, to a home that is in service since `home_since`. A call that the
/// device did not follow is repeated after a while, but a home that went and came again since is a new reason at once.
pub fn may_call(called: Option<Time>, home_since: Time, now: Time) -> bool {
    let again = Duration::from_secs(u64::from(CALL_HOME_AGAIN_SECS));
    called.is_none_or(|at| at < home_since || now.since(at) >= again)
}

/// A device that was called home registers anew with the node at which it is, at `rank` of `members`: its own list does not lead home, because the
/// group was another when that was made. It is told the members, best first, once for each call: one that cannot get there is served here
/// when it comes back. `None`: it is served.
pub fn show_home(members: &[NodeName], view: &ClusterView, rank: Rank, was_shown: bool) -> Option<Vec<NodeName>> {
    let is_better = desired(members, view).is_some_and(|(best, _)| best < rank);
    (is_better && !was_shown).then(|| best_first(members, view))
}

/// Whom to call home now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailbackPlan {
    /// Pools whose better member is ready.
    pub ready: Vec<ReadyPool>,
    /// At most so many devices. Idle ones first.
    pub most: u32,
    /// Whether devices with a call are called too: they go when it has ended. Only when no idle one is left and the policy says so.
    pub busy_too: bool,
    /// Devices here that have a better member in service.
    pub would_move: u64,
    /// Why some or all of them cannot go now.
    pub waits: Vec<Wait>,
}
impl FailbackPlan {
    /// Whether anybody is called.
    pub fn calls(&self) -> bool {
        self.most > 0
    }
}

/// Whom the node `view.me` calls home now. `pace` is the node's: what the plan allows is taken from it; who calls fewer gives the rest
/// back ([`Pace::give_back`]).
pub fn plan_failback(group: &GroupHere<'_>, view: &ClusterView, now: Time, pace: &mut Pace) -> FailbackPlan {
    let mut plan = FailbackPlan::default();
    let (mut idle, mut busy) = (0u64, 0u64);
    for (index, pool) in group.pools.iter().enumerate() {
        let here = pool.idle.saturating_add(pool.busy);
        match readiness(group.members, &view.me, pool.monitor, view, now) {
            Readiness::Ready(rank, node) if here > 0 => {
                plan.would_move = plan.would_move.saturating_add(here);
                let since = view.node(&node).and_then(|n| n.in_service_since).unwrap_or_default();
                plan.ready.push(ReadyPool { pool: index, rank, since });
                idle = idle.saturating_add(pool.idle);
                busy = busy.saturating_add(pool.busy);
            }
            Readiness::Wait(wait) if here > 0 => {
                plan.would_move = plan.would_move.saturating_add(here);
                if !plan.waits.contains(&wait) {
                    plan.waits.push(wait);
                }
            }
            _ => {}
        }
    }
    if plan.ready.is_empty() {
        return plan;
    }
    // Whoever is at a node that is no member any more is not on its way home: it has to leave, whatever the policy.
    let must_leave = rank_of(group.members, &view.me).is_none();
    if group.policy == Failback::Manual && !group.asked && !must_leave {
        plan.ready.clear();
        plan.waits.push(Wait::Operator);
        return plan;
    }
    plan.busy_too = idle == 0 && group.policy != Failback::AtIdle;
    let wanted = if plan.busy_too { busy } else { idle };
    if idle == 0 && busy > 0 {
        plan.waits.push(Wait::Calls { devices: busy });
    }
    plan.most = pace.take_up_to(now, u32::try_from(wanted).unwrap_or(u32::MAX));
    plan
}

#[cfg(test)]
mod tests;
