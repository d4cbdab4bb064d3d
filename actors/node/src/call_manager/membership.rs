//! What follows when another node comes, goes or changes its state: the node's own view, told to host and group supervisors.

use super::CallManager;
use crate::device_host::ViewChanged;
use crate::group_supervisor;
use crate::registration::Entry;
use std::sync::Arc;
use tandem_base::{Incarnation, NodeLife, NodeName, Time};
use tandem_cluster::{DownReason, Input, NodeState, Output};
use tandem_model::view::{Service, Sight};

/// A death's cause as a bounded word.
const fn cause(why: DownReason) -> &'static str {
    match why {
        DownReason::Closed => "closed",
        DownReason::Lost => "lost",
        DownReason::Silent => "silent",
        DownReason::Deaf => "deaf",
        DownReason::Replaced => "replaced",
        DownReason::Removed => "removed",
    }
}

fn service(state: NodeState) -> Service {
    match state {
        NodeState::Joining => Service::Joining,
        NodeState::InService => Service::InService,
        NodeState::Draining => Service::Draining,
    }
}

impl CallManager {
    /// Carries out what the machine says of members.
    pub(super) fn member_changed(&mut self, now: Time, output: Output<Entry>) {
        match output {
            Output::Up { node, incarnation } => {
                self.sees(now, &node, incarnation, Sight::Up);
                self.recount(&NodeLife { node: node.clone(), incarnation });
                self.note("node_up", "heard".to_owned(), format!("{node} is up (life {incarnation})"));
                self.tell_quarantine(&node);
            }
            Output::Suspect { node, incarnation } => {
                self.sees(now, &node, incarnation, Sight::Suspect);
                self.note("node_suspect", "silent".to_owned(), format!("{node} is silent"));
            }
            Output::Trusted { node, incarnation } => {
                self.sees(now, &node, incarnation, Sight::Up);
                self.note("node_trusted", "heard".to_owned(), format!("{node} is heard again"));
            }
            Output::Down { node, incarnation, why, last_heard } => {
                if let Some(index) = self.directory.node_index(&node) {
                    self.last_heard.insert(index, last_heard);
                }
                self.sees(now, &node, incarnation, Sight::Down);
                self.note("node_down", why.to_string(), format!("{node} is down: {why}"));
                self.effects_of_death(&NodeLife { node, incarnation }, cause(why));
            }
            Output::Flap { node, down_for, .. } => {
                let text = format!("{node} was out of sight for {} ms and never died", down_for.as_millis());
                self.note("node_flap", "link".to_owned(), text);
            }
            Output::StateChanged { node, state, .. } => {
                self.serves(now, &node, service(state));
                self.note("node_state", state.to_string(), format!("{node} is {state}"));
            }
            Output::Complete { peer, rows } => {
                self.note(
                    "copy_complete",
                    "digest".to_owned(),
                    format!("the copy of {peer} is proven complete ({rows} rows)"),
                );
            }
            Output::Diverged { peer, why } => {
                self.metrics.resync(why);
                self.note("copy_diverged", why.to_string(), format!("the copy of {peer} is being fetched anew: {why}"));
            }
            Output::Over { stood_still, by } => {
                let why =
                    format!("it stood still for {} ms, and {} holds it for dead", stood_still.as_millis(), by.node);
                (self.over)(why);
            }
            Output::Refused { from, why } => {
                self.note(
                    "frame_refused",
                    "version or cluster".to_owned(),
                    format!("a frame of {from} was refused: {why}"),
                );
            }
            _ => {}
        }
    }

    /// This node itself changes its state.
    pub(super) fn enter(&mut self, state: NodeState) {
        if self.state == state {
            return;
        }
        self.state = state;
        self.serving.store(state == NodeState::InService, std::sync::atomic::Ordering::Relaxed);
        let me = self.me.node.clone();
        self.feed(Input::State(state));
        self.serves(self.clock.now(), &me, service(state));
        self.note("node_state", state.to_string(), format!("{me} is {state}"));
    }

    fn sees(&mut self, now: Time, node: &NodeName, incarnation: Incarnation, sight: Sight) {
        if let Some(seen) = self.view.nodes.get_mut(node) {
            if seen.incarnation != incarnation {
                seen.incarnation = incarnation;
                seen.in_service_since = None;
            }
            if sight == Sight::Down {
                seen.in_service_since = None;
            } else if seen.in_service_since.is_none() && seen.service == Service::InService {
                seen.in_service_since = Some(now);
            }
            seen.sight = sight;
            seen.since = now;
        }
        self.publish_view();
    }

    fn serves(&mut self, now: Time, node: &NodeName, service: Service) {
        if let Some(seen) = self.view.nodes.get_mut(node) {
            seen.service = service;
            seen.in_service_since = match (service, seen.in_service_since) {
                (Service::InService, None) if seen.sight != Sight::Down => Some(now),
                (Service::InService, since) => since,
                _ => None,
            };
        }
        self.publish_view();
    }

    /// Tells host and group supervisors what this node sees now.
    pub(super) fn publish_view(&mut self) {
        let view = Arc::new(self.view.clone());
        self.metrics.view(&self.view);
        let last_heard = self.last_heard.clone();
        self.tell_host(ViewChanged { view: Arc::clone(&view), last_heard });
        for group in &self.groups {
            let _ = group.tell(group_supervisor::ViewChanged(Arc::clone(&view)));
        }
    }

    /// Whether this node sees a node as up.
    pub(super) fn is_up(&self, node: u16) -> bool {
        let seen = self.directory.nodes.get(usize::from(node)).and_then(|n| self.view.nodes.get(n));
        seen.is_some_and(|n| n.sight != Sight::Down)
    }
}
