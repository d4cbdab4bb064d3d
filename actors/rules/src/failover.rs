//! A node is dead: one plan with all consequences (DESIGN section 5). Its cost grows with the number of groups, never with that of devices.
//!
//! No row is moved here: whose turn it is to route follows from the view (`placement::route`), and devices register again by themselves.

use crate::placement::{desired, rank_of};
use tandem_base::{GroupName, NodeLife, NodeName, Rank};
use tandem_model::event::{EventDraft, kind};
use tandem_model::view::ClusterView;

/// What is known at the moment of a death.
#[derive(Clone, Copy, Debug)]
pub struct Death<'a> {
    /// What this node sees, the dead one already down in it.
    pub view: &'a ClusterView,
    /// Which life ended.
    pub dead: &'a NodeLife,
    /// Why this node thinks so, in a bounded word such as `silent` or `closed`.
    pub cause: &'static str,
    /// The node on which the configuration is written.
    pub publisher: &'a NodeName,
    /// All groups of the configuration.
    pub groups: &'a [GroupAtDeath<'a>],
}

/// One group at that moment.
#[derive(Clone, Copy, Debug)]
pub struct GroupAtDeath<'a> {
    /// Its name.
    pub name: &'a GroupName,
    /// Its members, best first.
    pub members: &'a [NodeName],
    /// Its devices that the dead node served.
    pub devices: u64,
}

/// All consequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailoverPlan {
    /// The life whose rows are orphaned from now on.
    pub orphaned: NodeLife,
    /// How many rows these are.
    pub devices: u64,
    /// What changes for each group that the dead node is a member of, in the order given.
    pub groups: Vec<GroupFailover>,
    /// The configuration cannot be written until the publisher returns.
    pub publisher_away: bool,
    /// What to tell, in order.
    pub events: Vec<EventDraft>,
}

/// What changes for one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFailover {
    /// Which group.
    pub group: GroupName,
    /// The rank that the dead node has in it.
    pub lost: Rank,
    /// Who routes for the dead node's devices from now on and takes them in; `None`: nobody is in service, the group is homeless.
    pub next: Option<(Rank, NodeName)>,
    /// Whether that is the node that asks.
    pub mine: bool,
    /// Devices that have to register again.
    pub devices: u64,
    /// Members that are still in service.
    pub left: usize,
}

/// Draws up the plan.
pub fn plan_death(death: &Death<'_>) -> FailoverPlan {
    let concerned = death.groups.iter().filter_map(|g| group_plan(death, g));
    let groups: Vec<_> = concerned.collect();
    let devices = death.groups.iter().fold(0u64, |sum, g| sum.saturating_add(g.devices));
    let publisher_away = death.dead.node == *death.publisher;
    let events = events(death, devices, publisher_away, &groups);
    FailoverPlan { orphaned: death.dead.clone(), devices, groups, publisher_away, events }
}

fn group_plan(death: &Death<'_>, group: &GroupAtDeath<'_>) -> Option<GroupFailover> {
    let lost = rank_of(group.members, &death.dead.node)?;
    let next = desired(group.members, death.view).map(|(rank, node)| (rank, node.clone()));
    Some(GroupFailover {
        group: group.name.clone(),
        lost,
        mine: next.as_ref().is_some_and(|(_, node)| *node == death.view.me),
        next,
        devices: group.devices,
        left: death.view.serving(group.members).count(),
    })
}

fn events(death: &Death<'_>, devices: u64, publisher_away: bool, groups: &[GroupFailover]) -> Vec<EventDraft> {
    let dead = &death.dead.node;
    let draft =
        |kind, group: Option<&GroupName>, text| EventDraft { kind, group: group.cloned(), cause: death.cause, text };
    let mut events = Vec::with_capacity(groups.len() + 2);
    if devices > 0 {
        let text = format!(
            "{dead} is down: its {devices} registrations are orphaned and stay until they are taken over or expire"
        );
        events.push(draft(kind::ROWS_ORPHANED, None, text));
    }
    if publisher_away {
        let text = format!("{dead} is the publisher: the configuration cannot be changed until it returns");
        events.push(draft(kind::PUBLISHER_AWAY, None, text));
    }
    for g in groups {
        let GroupFailover { group, lost, next, devices, left, .. } = g;
        match next {
            None => {
                let text = format!("no member of {group} is in service: its devices are homeless");
                events.push(draft(kind::GROUP_HOMELESS, Some(group), text));
            }
            // A backup without devices is gone: nothing moves.
            Some((rank, _)) if *devices == 0 && rank < lost => {}
            Some((rank, node)) => {
                let backups = if *left > 1 { "" } else { ", without a further backup" };
                let text = format!("{group}: {node} (rank {rank}) takes over {devices} devices of {dead}{backups}");
                events.push(draft(kind::GROUP_FAILOVER, Some(group), text));
            }
        }
    }
    events
}

#[cfg(test)]
mod tests;
