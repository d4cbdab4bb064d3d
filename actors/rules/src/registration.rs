//! May a device register at this node, and which of two registrations wins (DESIGN section 2).
//!
//! The pace is not judged here: ask `admission` after a verdict that accepts. Whoever is already registered here and refreshes is not
//! asked about at all.

use crate::dice;
use crate::placement::{best_first, desired, rank_of};
use std::cmp::Ordering;
use tandem_base::{Incarnation, NodeLife, NodeName, Rank, Stamp};
use tandem_model::config::Settings;
use tandem_model::row::RegisterReason;
use tandem_model::timings::JOINING_RETRY_SECS;
use tandem_model::view::{ClusterView, Service};

/// What is known when a device asks.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The members of the device's group, best first.
    pub members: &'a [NodeName],
    /// What this node sees; it is `view.me`.
    pub view: &'a ClusterView,
    /// The life of the node with the newest registration known, if any.
    pub known: Option<&'a NodeLife>,
    /// Random, for the time to come back.
    pub random: u64,
}

/// Whether it may register here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Accept {
        /// The rank of this node in its group.
        rank: Rank,
        /// What kind of registration it is.
        kind: Kind,
        /// Why it is here.
        reason: RegisterReason,
    },
    /// This node is not a member of its group: try these, in order.
    NotInGroup {
        /// All members: those in service first.
        members: Vec<NodeName>,
    },
    /// This node is about to stop: try these, in order. At least one.
    Draining {
        /// The other members in service, best first.
        others: Vec<NodeName>,
    },
    /// This node is not in service yet.
    Joining {
        /// Come back in so many seconds, or try another one.
        retry_after: u32,
    },
    /// This node is about to stop, and no other member is in service.
    Later {
        /// Come back in so many seconds.
        retry_after: u32,
    },
}

/// What kind of registration an accepted one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was registered nowhere.
    Register,
    /// It is registered here.
    Refresh,
    /// It comes from a higher-ranked member that is out of service.
    Failover {
        /// From where.
        from: NodeName,
    },
    /// It comes from a lower-ranked member.
    Failback {
        /// From where.
        from: NodeName,
    },
    /// It comes from a member that is alive and not worse.
    Move {
        /// From where.
        from: NodeName,
    },
}

/// Judges a device that wants to register here.
///
/// A device that comes to a lower member while a higher one is alive is accepted: its own path there may be broken.
pub fn admit(request: &Request<'_>) -> Verdict {
    let Request { members, view, known, random } = *request;
    let me = &view.me;
    let Some(rank) = rank_of(members, me) else {
        return Verdict::NotInGroup { members: best_first(members, view) };
    };
    match view.node(me).map_or(Service::Stopped, |n| n.service) {
        Service::InService => {}
        Service::Joining | Service::Stopped => return Verdict::Joining { retry_after: soon(random) },
        Service::Draining => {
            let others: Vec<_> = view.serving(members).filter(|m| *m != me).cloned().collect();
            return if others.is_empty() {
                Verdict::Later { retry_after: soon(random) }
            } else {
                Verdict::Draining { others }
            };
        }
    }
    let kind = kind(known, rank, members, view);
    let reason = reason(&kind, rank, members, view);
    Verdict::Accept { rank, kind, reason }
}

/// A node that is joining or stopping does neither for long: once or twice the usual time.
fn soon(random: u64) -> u32 {
    let extra = dice::up_to(u64::from(JOINING_RETRY_SECS), random);
    JOINING_RETRY_SECS.saturating_add(u32::try_from(extra).unwrap_or(0))
}

fn kind(known: Option<&NodeLife>, rank: Rank, members: &[NodeName], view: &ClusterView) -> Kind {
    let Some(owner) = known else { return Kind::Register };
    if owner.node == view.me {
        let same_life = view.is_life_alive(owner);
        return if same_life { Kind::Refresh } else { Kind::Register };
    }
    let from = owner.node.clone();
    let serves = view.is_life_alive(owner) && view.serves(&owner.node);
    match rank_of(members, &owner.node) {
        Some(theirs) if rank < theirs => Kind::Failback { from },
        Some(theirs) if theirs < rank && !serves => Kind::Failover { from },
        _ => Kind::Move { from },
    }
}

fn reason(kind: &Kind, rank: Rank, members: &[NodeName], view: &ClusterView) -> RegisterReason {
    let better_serves = desired(members, view).is_some_and(|(best, _)| best < rank);
    match kind {
        Kind::Failback { .. } => RegisterReason::Failback,
        _ if better_serves => RegisterReason::PathBroken,
        Kind::Move { .. } => RegisterReason::DuplicateMove,
        _ if rank == Rank::HOME => RegisterReason::Home,
        _ => RegisterReason::Failover,
    }
}

/// One of two registrations of the same device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// When, in the cluster's order.
    pub stamp: Stamp,
    /// The life of the node that claims.
    pub incarnation: Incarnation,
    /// Its rank in the device's group.
    pub rank: Rank,
    /// Its name.
    pub node: NodeName,
}

/// Whether `a` wins over `b`: the newest does; ties go to the higher incarnation, then the lower rank number, then the node's name that
/// sorts first. All nodes agree, and of two different claims exactly one wins.
pub fn newer(a: &Claim, b: &Claim) -> bool {
    let by_age = a.stamp.cmp(&b.stamp).then_with(|| a.incarnation.cmp(&b.incarnation));
    by_age.then_with(|| b.rank.cmp(&a.rank)).then_with(|| b.node.cmp(&a.node)) == Ordering::Greater
}

/// For how long a registration is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// So many seconds.
    For(u32),
    /// It asked for less than the shortest granted, which is this (RFC 3261 section 10.3: 423 with Min-Expires).
    TooBrief(u32),
}

/// For how long a registration is granted that asks for `asked` seconds, or does not say. Drawn between `expires_spread` and all of what
/// was asked, so that devices that came at once do not refresh at once; never below the shortest granted. `asked` 0 is a removal and not
/// judged here.
pub fn grant(settings: &Settings, asked: Option<u32>, random: u64) -> Grant {
    let asked = asked.unwrap_or(settings.default_expires).min(settings.max_expires);
    if asked < settings.min_expires {
        return Grant::TooBrief(settings.min_expires);
    }
    let share = settings.expires_spread.clamp(0.0, 1.0);
    let least = ((f64::from(asked) * share) as u32).clamp(settings.min_expires.min(asked), asked);
    let extra = dice::up_to(u64::from(asked.saturating_sub(least)), random);
    Grant::For(least.saturating_add(u32::try_from(extra).unwrap_or(0)))
}

#[cfg(test)]
mod tests;
