//! Who would go home if it began now: `tandem failback --preview`. Changes nothing and takes nothing from the pace.

use super::{Readiness, Wait, readiness};
use crate::placement::{desired, rank_of};
use std::collections::BTreeMap;
use std::time::Duration;
use tandem_base::{NodeName, Time};
use tandem_model::config::Failback;
use tandem_model::view::ClusterView;

/// Devices of one pool by the node that serves them.
#[derive(Clone, Debug)]
pub struct PoolCount {
    /// The pool's connection monitor duration.
    pub monitor: Duration,
    /// How many devices each node serves.
    pub by_node: BTreeMap<NodeName, u64>,
}

/// Devices that would go the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Where they are.
    pub from: NodeName,
    /// Where they would go.
    pub to: NodeName,
    /// How many.
    pub devices: u64,
}

/// Who would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Devices that have a better member in service than the one they are at.
    pub would_move: u64,
    /// Those of them that could go at once.
    pub ready: u64,
    /// The same by way, by name.
    pub moves: Vec<Move>,
    /// What some or all of them wait for.
    pub waits: Vec<Wait>,
}
impl Preview {
    /// What they wait for, for people; `None` when they wait for nothing.
    pub fn waiting_for(&self) -> Option<String> {
        let all: Vec<_> = self.waits.iter().map(Wait::to_string).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// Who of a group would go home. With policy manual the operator's word is what is missing; the preview of that very word passes `asked`.
pub fn preview(
    members: &[NodeName],
    policy: Failback,
    asked: bool,
    pools: &[PoolCount],
    view: &ClusterView,
    now: Time,
) -> Preview {
    let mut preview = Preview::default();
    let Some((best, home)) = desired(members, view) else { return preview };
    let mut ways: BTreeMap<&NodeName, u64> = BTreeMap::new();
    for pool in pools {
        for (at, devices) in pool.by_node.iter().filter(|(_, devices)| **devices > 0) {
            if rank_of(members, at).is_some_and(|rank| rank <= best) {
                continue;
            }
            let way = ways.entry(at).or_default();
            *way = way.saturating_add(*devices);
            preview.would_move = preview.would_move.saturating_add(*devices);
            match readiness(members, at, pool.monitor, view, now) {
                Readiness::Ready(..) => preview.ready = preview.ready.saturating_add(*devices),
                Readiness::Wait(wait) if !preview.waits.contains(&wait) => preview.waits.push(wait),
                Readiness::Wait(_) | Readiness::AtBest => {}
            }
        }
    }
    if preview.would_move > 0 && policy == Failback::Manual && !asked {
        preview.ready = 0;
        preview.waits.push(Wait::Operator);
    }
    preview.moves =
        ways.into_iter().map(|(from, devices)| Move { from: from.clone(), to: home.clone(), devices }).collect();
    preview
}
