//! Answers the console: each request of `tandem_model::admin` to what the process knows or does.

use super::Process;
use super::status::{Snapshot, failback_preview, group_detail, group_status};
use crate::directory::Directory;
use crate::error::NodeError;
use crate::group_supervisor::Start;
use std::collections::BTreeMap;
use tandem_base::{GroupName, NodeName, Time};
use tandem_console::{Admin, BoxFuture};
use tandem_model::admin::{
    AdminError, DeviceQuery, DeviceState, EXAMPLES_MAX, ErrorKind, Failback, GroupList, Health, Move, NodeCommand,
    NodeDone, NodeState, Released, Reply, Request,
};
use tandem_model::event::Event;

/// No node of the process runs, so nobody has a view.
pub(crate) fn nobody_runs() -> AdminError {
    AdminError::new(ErrorKind::Unavailable, "no node of this process runs")
        .remedy("start one: `tandem node start NAME`")
}

impl Process {
    fn find_group(directory: &Directory, name: &GroupName) -> Result<u16, AdminError> {
        let names = || directory.live_groups().map(|(_, g)| g.name.as_str());
        directory.group_index(name).ok_or_else(|| AdminError::unknown("CallManager group", name.as_str(), names()))
    }

    async fn answer(&self, request: Request) -> Result<Reply, AdminError> {
        match request {
            Request::Status => Ok(Reply::Status(self.status().await)),
            Request::DeviceList(query) => {
                self.check_query(&query)?;
                Ok(Reply::Devices(self.device_page(&query).await?))
            }
            Request::DeviceShow(name) => Ok(Reply::Device(self.device_detail(&name).await?)),
            Request::DeviceExplain(name) => Ok(Reply::Explanation(self.device_explanation(&name).await?)),
            Request::DeviceReset(name) => Ok(Reply::Reset(self.reset(name).await?)),
            Request::DeviceRelease(name) => {
                let index = self.find_device(&name)?;
                Ok(Reply::Released(Released { device: name, released: self.release(index).await }))
            }
            Request::GroupList => {
                let snapshot = self.snapshot().await;
                let groups = snapshot.directory.live_groups();
                let groups = groups.map(|(i, g)| group_status(i, g, &snapshot)).collect();
                Ok(Reply::Groups(GroupList { groups }))
            }
            Request::GroupShow(name) => {
                let snapshot = self.snapshot().await;
                let index = Self::find_group(&snapshot.directory, &name)?;
                let group = snapshot.directory.groups.get(usize::from(index)).cloned();
                let group = group.ok_or_else(|| AdminError::unknown("CallManager group", name.as_str(), []))?;
                Ok(Reply::Group(group_detail(index, &group, &snapshot)))
            }
            Request::Failback { group, preview } => {
                let index = Self::find_group(&self.directory(), &group)?;
                Ok(Reply::Failback(self.failback(index, group, preview).await?))
            }
            Request::Config(request) => Ok(Reply::Config(self.configuration(*request).await?)),
            Request::Node { name, command } => Ok(Reply::Node(self.command(name, command).await?)),
        }
    }

    /// A filter that names what does not exist is a mistake, not an empty list.
    fn check_query(&self, query: &DeviceQuery) -> Result<(), AdminError> {
        let directory = self.directory();
        if let Some(group) = &query.group {
            Self::find_group(&directory, group)?;
        }
        if let Some(pool) = &query.pool
            && directory.pool_index(pool).is_none()
        {
            let known = directory.live_pools().map(|(_, p)| p.name.as_str());
            return Err(AdminError::unknown("device pool", pool.as_str(), known));
        }
        match &query.node {
            Some(node) if directory.node_index(node).is_none() => Err(self.unknown_node(node)),
            _ => Ok(()),
        }
    }

    fn unknown_node(&self, name: &NodeName) -> AdminError {
        AdminError::unknown("node", name.as_str(), self.directory().nodes.iter().map(NodeName::as_str))
    }

    async fn failback(&self, index: u16, group: GroupName, preview: bool) -> Result<Failback, AdminError> {
        let snapshot = self.snapshot().await;
        if snapshot.answering.is_none() {
            return Err(nobody_runs());
        }
        let plan = failback_preview(index, true, &snapshot);
        let started = !preview && plan.would_move > 0;
        if started {
            for node in self.running() {
                if let Some(supervisor) = node.handles.groups.get(index) {
                    supervisor
                        .tell_vital(Start)
                        .map_err(|e| AdminError::new(ErrorKind::Unavailable, format!("{}: {e}", node.me.node)))?;
                }
            }
        }
        let waiting_for = plan.waiting_for();
        let moves = plan.moves.iter().map(|m| Move { from: m.from.clone(), to: m.to.clone(), devices: m.devices });
        let moves: Vec<Move> = moves.collect();
        let examples = self.examples(&moves, &group).await;
        Ok(Failback { group, started, would_move: plan.would_move, moves, examples, waiting_for })
    }

    /// Some devices that would move.
    async fn examples(&self, moves: &[Move], group: &GroupName) -> Vec<tandem_base::DeviceName> {
        let mut names = Vec::new();
        for way in moves {
            let query = DeviceQuery {
                group: Some(group.clone()),
                node: Some(way.from.clone()),
                state: Some(DeviceState::Registered),
                limit: Some(EXAMPLES_MAX),
                ..DeviceQuery::default()
            };
            if let Ok(page) = self.device_page(&query).await {
                names.extend(page.devices.into_iter().map(|d| d.name));
            }
        }
        names.truncate(EXAMPLES_MAX);
        names
    }

    async fn command(&self, name: NodeName, command: NodeCommand) -> Result<NodeDone, AdminError> {
        if self.directory().node_index(&name).is_none() {
            return Err(self.unknown_node(&name));
        }
        if !self.is_here(&name) {
            let text = format!("{name} is not a node of this process");
            return Err(AdminError::new(ErrorKind::Refused, text).remedy("ask the process that runs it"));
        }
        let runs = self.running().iter().any(|n| n.me.node == name);
        let already = runs == (command == NodeCommand::Start);
        let done = match command {
            NodeCommand::Start => self.start(&name).await,
            NodeCommand::Stop => self.stop(&name).await,
            NodeCommand::Kill => self.kill(&name).await,
        };
        let incarnation = done.map_err(|e| refused(&e))?;
        let snapshot: Snapshot = self.snapshot().await;
        Ok(NodeDone { state: self.state_of(&name, &snapshot), name, command, incarnation, already })
    }
}

fn refused(error: &NodeError) -> AdminError {
    AdminError::new(ErrorKind::Refused, error.to_string())
}

impl Admin for Process {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, AdminError>> {
        Box::pin(self.answer(request))
    }
    fn events_after(&self, after: u64, limit: usize) -> Vec<Event> {
        self.journal.after(after, limit)
    }
    fn last_event(&self) -> u64 {
        self.journal.last()
    }
    fn news(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.journal.news())
    }
    fn metrics(&self) -> String {
        self.exporter.render()
    }
    fn now(&self) -> Time {
        self.clock.now()
    }
    fn health(&self) -> Health {
        let running = self.running();
        let mut nodes: BTreeMap<NodeName, NodeState> =
            self.names().into_iter().map(|n| (n, NodeState::Stopped)).collect();
        for node in &running {
            let state = if node.in_service() { NodeState::InService } else { NodeState::Joining };
            nodes.insert(node.me.node.clone(), state);
        }
        let ready = running.iter().any(|n| n.in_service());
        Health { healthy: !self.is_failing(), ready, nodes }
    }
}
