//! Why a device is where it is, for `tandem device explain`: facts, and one sentence that people understand without this file.

use super::{Route, desired, rank_of, route};
use std::fmt::Write as _;
use tandem_base::{DeviceName, GroupName, NodeLife, NodeName, Rank, UnixMillis};
use tandem_model::row::RegisterReason;
use tandem_model::view::{ClusterView, Service, Sight};

/// Who is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The device.
    pub device: &'a DeviceName,
    /// Its group.
    pub group: &'a GroupName,
    /// The group's members, best first.
    pub members: &'a [NodeName],
    /// Its newest registration, if it has one.
    pub stay: Option<Stay<'a>>,
}

/// A registration.
#[derive(Clone, Copy, Debug)]
pub struct Stay<'a> {
    /// The life of the node that serves the device, or served it.
    pub owner: &'a NodeLife,
    /// Since when.
    pub since: UnixMillis,
    /// Why.
    pub reason: RegisterReason,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The best member of its group that is in service; none when none is.
    pub desired: Option<NodeName>,
    /// The node that serves it; none when nobody does (orphaned or unregistered).
    pub actual: Option<NodeName>,
    /// The rank of the node that serves it, or that served it last.
    pub rank: Option<Rank>,
    /// Since when.
    pub since: Option<UnixMillis>,
    /// Why.
    pub reason: Option<RegisterReason>,
    /// Whether it is where it should be.
    pub settled: bool,
    /// All of it in one sentence, without a full stop.
    pub sentence: String,
}

/// Explains where a device is, as this node sees it.
pub fn explain(subject: &Subject<'_>, view: &ClusterView) -> Explanation {
    let best = desired(subject.members, view);
    let alive = subject.stay.filter(|stay| view.is_life_alive(stay.owner));
    let settled = match (alive, best) {
        (Some(stay), Some((_, node))) => stay.owner.node == *node,
        (Some(_), None) => true,
        (None, _) => false,
    };
    Explanation {
        desired: best.map(|(_, node)| node.clone()),
        actual: alive.map(|stay| stay.owner.node.clone()),
        rank: subject.stay.and_then(|stay| rank_of(subject.members, &stay.owner.node)),
        since: subject.stay.map(|stay| stay.since),
        reason: subject.stay.map(|stay| stay.reason),
        settled,
        sentence: sentence(subject, best, view),
    }
}

fn sentence(subject: &Subject<'_>, best: Option<(Rank, &NodeName)>, view: &ClusterView) -> String {
    let (device, group) = (subject.device, subject.group);
    let Some(stay) = subject.stay else {
        return match best {
            Some((rank, node)) => {
                format!("{device} is not registered; {node} (rank {rank} of {group}) is in service and waits for it")
            }
            None => format!(
                "{device} is not registered, and no member of {group} is in service: {}",
                states(subject.members, view)
            ),
        };
    };
    let node = &stay.owner.node;
    match route(stay.owner, subject.members, view) {
        Route::Owner(_) => alive_sentence(subject, stay, best, view),
        Route::Survivor(rank, survivor) => format!(
            "{device} was at {node}, which is {}; until it registers again {survivor} (rank {rank} of {group}) routes calls to it",
            state(node, stay.owner, view)
        ),
        Route::Nobody => format!(
            "{device} was at {node}, which is {}, and no member of {group} is in service: {}",
            state(node, stay.owner, view),
            states(subject.members, view)
        ),
    }
}

fn alive_sentence(
    subject: &Subject<'_>,
    stay: Stay<'_>,
    best: Option<(Rank, &NodeName)>,
    view: &ClusterView,
) -> String {
    let (device, group, node) = (subject.device, subject.group, &stay.owner.node);
    let since = stay.since.civil();
    let Some(rank) = rank_of(subject.members, node) else {
        return format!("{device} is at {node} since {since}, which is not a member of {group}: it must move");
    };
    if rank == Rank::HOME {
        return format!("{device} is at {node}, its home (rank 1 of {group}), since {since}{}", why(stay.reason));
    }
    let mut text = format!("{device} is at {node} (rank {rank} of {group}) since {since}{}", why(stay.reason));
    let better = subject.members.get(..rank.position()).unwrap_or_default();
    // Writing into a String cannot fail.
    let _ = match best.filter(|(best_rank, _)| *best_rank < rank) {
        Some((best_rank, home)) => write!(
            text,
            "; {home} (rank {best_rank}) is in service: it goes there when {home} has been up and in sync for the connection monitor \
             duration, unless it cannot reach it"
        ),
        None => write!(text, "; nothing better is in service: {}", states(better, view)),
    };
    text
}

/// The reason as a half sentence; empty when there is nothing to say.
fn why(reason: RegisterReason) -> &'static str {
    match reason {
        RegisterReason::Unknown | RegisterReason::Home => "",
        RegisterReason::Failover => ", after a failover",
        RegisterReason::Failback => ", after it came back",
        RegisterReason::PathBroken => ", although a better member was in service: its own path there may be broken",
        RegisterReason::DuplicateMove => ", because its newest registration is there",
        RegisterReason::Adopted => ", taken up again after a restart",
    }
}

fn state(node: &NodeName, life: &NodeLife, view: &ClusterView) -> &'static str {
    match view.node(node) {
        Some(seen) if seen.sight.is_alive() && seen.incarnation != life.incarnation => "in a new life",
        _ => word(node, view),
    }
}

fn word(node: &NodeName, view: &ClusterView) -> &'static str {
    match view.node(node) {
        None => "not configured",
        Some(seen) => match (seen.sight, seen.service) {
            (Sight::Down, _) => "down",
            (Sight::Suspect, _) => "suspect",
            (Sight::Up, Service::InService) => "in service",
            (Sight::Up, Service::Joining) => "joining",
            (Sight::Up, Service::Draining) => "draining",
            (Sight::Up, Service::Stopped) => "stopped",
        },
    }
}

/// `CCM1 is down, CCM2 is joining`.
fn states(members: &[NodeName], view: &ClusterView) -> String {
    let each: Vec<_> = members.iter().map(|m| format!("{m} is {}", word(m, view))).collect();
    each.join(", ")
}
