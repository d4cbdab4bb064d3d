//! The cluster at a glance: put together from one node's view of all and from each of this process's nodes' word about itself.

use super::Process;
use crate::call_manager::queries::{Look, Overview};
use crate::config;
use crate::counts::Counts;
use crate::device_host::queries as host;
use crate::directory::Group;
use std::collections::BTreeMap;
use tandem_base::{Incarnation, NodeName};
use tandem_host::clock::Clock;
use tandem_model::admin::{ByRank, GroupDetail, GroupStatus, NodeState, NodeStatus, Registrations, Status};
use tandem_model::timings::ASK_REMOTE;
use tandem_model::view::{ClusterView, NodeView, Service, Sight};
use tandem_rules::failback::{PoolCount, Preview, preview};
use tandem_rules::placement::desired;

/// What all running nodes of the process said.
pub(super) struct Snapshot {
    /// The node whose view counts, if any runs.
    pub(super) answering: Option<NodeName>,
    /// Each running node's view.
    pub(super) views: BTreeMap<NodeName, ClusterView>,
    /// Devices by node, pool and rank in the whole cluster.
    pub(super) counts: Counts,
    pub(super) quarantined: u64,
    /// Who publishes the configuration, if that is known.
    publisher: Option<NodeName>,
    /// Revision and lag of the nodes' copies of the configuration.
    copies: BTreeMap<NodeName, (Option<u64>, u64)>,
}

impl Snapshot {
    /// The view that counts.
    pub(super) fn view(&self) -> Option<&ClusterView> {
        self.views.get(self.answering.as_ref()?)
    }
}

const fn state(seen: &NodeView) -> NodeState {
    match (seen.sight, seen.service) {
        (Sight::Down, _) => NodeState::Down,
        (Sight::Suspect, _) => NodeState::Suspect,
        (Sight::Up, Service::InService) => NodeState::InService,
        (Sight::Up, Service::Draining) => NodeState::Draining,
        (Sight::Up, Service::Joining | Service::Stopped) => NodeState::Joining,
    }
}

impl Process {
    /// Asks every running node of the process.
    pub(super) async fn snapshot(&self) -> Snapshot {
        let mut overviews: BTreeMap<NodeName, Overview> = BTreeMap::new();
        let mut counts = Counts::default();
        let mut quarantined = 0;
        for node in self.running() {
            let name = node.me.node.clone();
            if let Ok(Some(overview)) = node.handles.manager.ask(Look, ASK_REMOTE).await {
                overviews.insert(name.clone(), overview);
            }
            if let Ok(Some(own)) = node.handles.host.ask(host::Look, ASK_REMOTE).await {
                // Every node knows of every device that is kept out.
                quarantined = quarantined.max(own.quarantined as u64);
                counts.merge(&own.counts);
            }
        }
        let service = |o: &Overview| o.view.nodes.get(&o.view.me).map(|n| n.service);
        let best = overviews.iter().find(|(_, o)| service(o) == Some(Service::InService)).or(overviews.iter().next());
        let answering = best.map(|(name, _)| name.clone());
        if let Some((_, overview)) = best {
            // What nodes outside this process serve is known from the copies of the answering node alone.
            let inside: Vec<u16> = overviews.keys().filter_map(|n| self.directory.node_index(n)).collect();
            counts.merge_where(&overview.counts, |node| !inside.contains(&node));
        }
        let views = overviews.into_iter().map(|(name, o)| (name, o.view)).collect();
        let (publisher, copies) = self.config_copies(answering.as_ref()).await;
        Snapshot { answering, views, counts, quarantined, publisher, copies }
    }

    /// What the answering node knows of all copies of the configuration, and what each node of the process says of its own.
    async fn config_copies(
        &self,
        answering: Option<&NodeName>,
    ) -> (Option<NodeName>, BTreeMap<NodeName, (Option<u64>, u64)>) {
        let (mut publisher, mut copies, mut own) = (None, BTreeMap::new(), BTreeMap::new());
        for node in self.running() {
            let Some(config) = &node.handles.config else { continue };
            let Ok(Some((status, _))) = config.ask(config::Overview, ASK_REMOTE).await else { continue };
            own.insert(node.me.node.clone(), (Some(status.head.revision), status.lag));
            if answering == Some(&node.me.node) {
                publisher = status.epoch.map(|e| e.publisher);
                copies = status.peers.into_iter().map(|p| (p.node, (p.revision, p.lag))).collect();
            }
        }
        copies.extend(own);
        (publisher, copies)
    }

    /// `tandem status`.
    pub(super) async fn status(&self) -> Status {
        let snapshot = self.snapshot().await;
        let mut registrations = Registrations::default();
        for (_, _, rank, count) in snapshot.counts.iter() {
            registrations.by_rank.add(rank, u64::from(count));
        }
        registrations.total = registrations.by_rank.total();
        Status {
            cluster: self.directory.cluster.clone(),
            config_revision: self.directory.revision,
            answered_by: snapshot.answering.clone(),
            nodes: (0u16..).zip(&self.directory.nodes).map(|(i, n)| self.node_status(i, n, &snapshot)).collect(),
            groups: (0u16..).zip(&self.directory.groups).map(|(i, g)| self.group_status(i, g, &snapshot)).collect(),
            registrations,
            quarantined: snapshot.quarantined,
        }
    }

    /// Each node with its state and how many devices it serves.
    pub async fn at_a_glance(&self) -> Vec<(NodeName, NodeState, u64)> {
        let snapshot = self.snapshot().await;
        let nodes = (0u16..).zip(&self.directory.nodes);
        nodes.map(|(i, n)| (n.clone(), self.state_of(n, &snapshot), snapshot.counts.of_node(i))).collect()
    }

    /// The state of a node: its own word if it runs here, otherwise what the answering node sees.
    pub(super) fn state_of(&self, name: &NodeName, snapshot: &Snapshot) -> NodeState {
        let own = snapshot.views.get(name).and_then(|v| v.nodes.get(name)).map(state);
        let here = self.is_here(name);
        let seen = snapshot.view().and_then(|v| v.nodes.get(name)).map(state);
        own.or(here.then_some(NodeState::Stopped)).or(seen).unwrap_or(NodeState::Down)
    }

    fn node_status(&self, index: u16, name: &NodeName, snapshot: &Snapshot) -> NodeStatus {
        let seen = |view: &ClusterView| view.nodes.get(name).map(state);
        let incarnation = snapshot.views.get(name).or(snapshot.view()).and_then(|v| v.nodes.get(name));
        let addresses = self.directory.addresses.get(usize::from(index)).map_or(Vec::new(), |[udp, tcp]| {
            let line = |kind: &'static str| move |a: &std::net::SocketAddr| format!("{kind}:{a}");
            udp.iter().map(line("udp")).chain(tcp.iter().map(line("tcp"))).collect()
        });
        NodeStatus {
            name: name.clone(),
            state: self.state_of(name, snapshot),
            incarnation: self
                .life_of(name)
                .filter(|life| life.0 != 0)
                .or(incarnation.map(|n| n.incarnation))
                .unwrap_or(Incarnation(0)),
            publisher: match &snapshot.publisher {
                Some(publisher) => publisher == name,
                None => index == self.directory.publisher,
            },
            config_revision: snapshot.copies.get(name).and_then(|(revision, _)| *revision),
            config_lag: snapshot.copies.get(name).map_or(0, |(_, lag)| *lag),
            registrations: snapshot.counts.of_node(index),
            addresses,
            seen_by: snapshot.views.iter().filter_map(|(who, view)| Some((who.clone(), seen(view)?))).collect(),
        }
    }

    /// One group as in the status.
    pub(super) fn group_status(&self, index: u16, group: &Group, snapshot: &Snapshot) -> GroupStatus {
        let members = self.directory.members(index);
        let mut by_node: BTreeMap<NodeName, u64> = members.iter().map(|m| (m.clone(), 0)).collect();
        for (node, pool, _, count) in snapshot.counts.iter() {
            if self.directory.pools.get(usize::from(pool)).is_some_and(|p| p.group == index)
                && let Some(name) = self.directory.node(node)
            {
                *by_node.entry(name.clone()).or_default() += u64::from(count);
            }
        }
        GroupStatus {
            name: group.name.clone(),
            devices: u64::from(group.devices),
            policy: group.failback.word().to_owned(),
            members,
            by_node,
        }
    }

    /// `tandem group show`.
    pub(super) fn group_detail(&self, index: u16, group: &Group, snapshot: &Snapshot) -> GroupDetail {
        let mut by_rank = ByRank::default();
        let mut pools = Vec::new();
        for (i, pool) in (0u16..).zip(&self.directory.pools).filter(|(_, p)| p.group == index) {
            pools.push(pool.name.clone());
            for (_, p, rank, count) in snapshot.counts.iter() {
                if p == i {
                    by_rank.add(rank, u64::from(count));
                }
            }
        }
        let status = self.group_status(index, group, snapshot);
        let if_down = snapshot.view().map(|view| if_down(&status, view)).unwrap_or_default();
        GroupDetail { status, by_rank, pools, if_down }
    }

    /// Who of a group would go home.
    pub(super) fn failback_preview(&self, index: u16, asked: bool, snapshot: &Snapshot) -> Preview {
        let Some(view) = snapshot.view() else { return Preview::default() };
        let members = self.directory.members(index);
        let policy = self.directory.groups.get(usize::from(index)).map(|g| g.failback).unwrap_or_default();
        let pools = (0u16..).zip(&self.directory.pools).filter(|(_, p)| p.group == index).map(|(i, pool)| {
            let mut by_node = BTreeMap::new();
            for (node, p, _, count) in snapshot.counts.iter() {
                if p == i
                    && let Some(name) = self.directory.node(node)
                {
                    *by_node.entry(name.clone()).or_insert(0) += u64::from(count);
                }
            }
            PoolCount { monitor: pool.monitor, by_node }
        });
        let pools: Vec<_> = pools.collect();
        preview(&members, policy, asked, &pools, view, Clock::system().now())
    }
}

/// How many devices would go where if one member died now.
fn if_down(status: &GroupStatus, view: &ClusterView) -> BTreeMap<NodeName, BTreeMap<NodeName, u64>> {
    let mut found = BTreeMap::new();
    for (member, devices) in status.by_node.iter().filter(|(_, n)| **n > 0) {
        let mut without = view.clone();
        if let Some(seen) = without.nodes.get_mut(member) {
            seen.sight = Sight::Down;
        }
        let target = desired(&status.members, &without).map(|(_, node)| (node.clone(), *devices));
        found.insert(member.clone(), target.into_iter().collect());
    }
    found
}
