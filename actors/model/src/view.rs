//! The cluster as one node sees it. Every node has its own view: rules judge by it and never ask for another's.

use std::collections::BTreeMap;
use std::time::Duration;
use tandem_base::{Incarnation, NodeLife, NodeName, Time};

/// How a node sees another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sight {
    /// It is heard, and hears us.
    Up,
    /// It is silent, but not for long enough to be dead: nothing moves yet.
    Suspect,
    /// It is dead, or was never heard.
    Down,
}
impl Sight {
    /// Whether it counts as alive: a suspect still does, so that a short silence moves nobody.
    pub const fn is_alive(self) -> bool {
        !matches!(self, Self::Down)
    }
    /// The word used in texts and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
        }
    }
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// It does not run.
    Stopped,
    /// Its copies are not complete yet: it serves nobody.
    Joining,
    /// It serves.
    InService,
    /// It is about to stop and takes nobody new.
    Draining,
}
impl Service {
    /// The word used in texts and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Joining => "joining",
            Self::InService => "in_service",
            Self::Draining => "draining",
        }
    }
}

/// One node in the view of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Whether it is heard.
    pub sight: Sight,
    /// What it says of itself.
    pub service: Service,
    /// The life it is in, or was in when last heard.
    pub incarnation: Incarnation,
    /// Since when it is seen so.
    pub since: Time,
    /// Since when it is up, in sync and in service without a break; `None` when it is not. A node says that it is in service once its
    /// copies are proven complete. A flap (down and up again) starts it anew.
    pub in_service_since: Option<Time>,
}
impl NodeView {
    /// A node that was never heard.
    pub const fn unseen(now: Time) -> Self {
        Self {
            sight: Sight::Down,
            service: Service::Stopped,
            incarnation: Incarnation(0),
            since: now,
            in_service_since: None,
        }
    }
    fn settle(&mut self, now: Time) {
        self.in_service_since = if self.serves() { Some(self.in_service_since.unwrap_or(now)) } else { None };
    }
    /// Whether it is alive and takes devices.
    pub const fn serves(&self) -> bool {
        self.sight.is_alive() && matches!(self.service, Service::InService)
    }
    /// Whether it has been up (not even suspect), in sync and in service for `monitor` at `now`.
    pub fn steady_for(&self, monitor: Duration, now: Time) -> bool {
        self.sight == Sight::Up && self.in_service_for(now).is_some_and(|d| d >= monitor)
    }
    /// How long it has been in service without a break; `None` when it is not.
    pub fn in_service_for(&self, now: Time) -> Option<Duration> {
        if self.serves() { self.in_service_since.map(|since| now.since(since)) } else { None }
    }
}

/// All nodes of the configuration as one of them sees them, itself included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// Whose view it is.
    pub me: NodeName,
    /// Every node of the configuration.
    pub nodes: BTreeMap<NodeName, NodeView>,
}
impl ClusterView {
    /// The view of `me` when it has heard nobody yet: itself joining, the others unseen.
    pub fn first(me: &NodeLife, nodes: impl IntoIterator<Item = NodeName>, now: Time) -> Self {
        let mut nodes: BTreeMap<_, _> = nodes.into_iter().map(|n| (n, NodeView::unseen(now))).collect();
        let mine = NodeView {
            sight: Sight::Up,
            service: Service::Joining,
            incarnation: me.incarnation,
            ..NodeView::unseen(now)
        };
        nodes.insert(me.node.clone(), mine);
        Self { me: me.node.clone(), nodes }
    }
    /// Notes how a node is seen now. Another life, or being down, ends its time in service: it must be steady anew before anybody
    /// goes home to it. A suspicion that passes does not.
    pub fn sees(&mut self, now: Time, node: &NodeName, incarnation: Incarnation, sight: Sight) {
        let Some(seen) = self.nodes.get_mut(node) else { return };
        if seen.incarnation != incarnation {
            seen.incarnation = incarnation;
            seen.in_service_since = None;
        }
        if sight != seen.sight {
            seen.since = now;
        }
        seen.sight = sight;
        seen.settle(now);
    }
    /// Notes what a node says of itself now.
    pub fn says(&mut self, now: Time, node: &NodeName, service: Service) {
        let Some(seen) = self.nodes.get_mut(node) else { return };
        seen.service = service;
        seen.settle(now);
    }
    /// One node; `None` when the configuration does not have it.
    pub fn node(&self, name: &NodeName) -> Option<&NodeView> {
        self.nodes.get(name)
    }
    /// Whether a node is alive and takes devices.
    pub fn serves(&self, name: &NodeName) -> bool {
        self.node(name).is_some_and(NodeView::serves)
    }
    /// Whether a node counts as alive: heard, or silent for a short while only.
    pub fn is_alive(&self, name: &NodeName) -> bool {
        self.node(name).is_some_and(|n| n.sight.is_alive())
    }
    /// Whether this very life of a node counts as alive.
    pub fn is_life_alive(&self, life: &NodeLife) -> bool {
        self.node(&life.node).is_some_and(|n| n.sight.is_alive() && n.incarnation == life.incarnation)
    }
    /// Those of `members` that are alive and take devices, in the same order.
    pub fn serving<'a>(&'a self, members: &'a [NodeName]) -> impl Iterator<Item = &'a NodeName> + 'a {
        members.iter().filter(|m| self.serves(m))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> ClusterView {
        let name = |n: &str| NodeName::new(n).unwrap();
        let me = NodeLife { node: name("CCM1"), incarnation: Incarnation(4) };
        ClusterView::first(&me, ["CCM1", "CCM2"].map(name), Time::from_secs(10))
    }

    #[test]
    fn at_first_nobody_serves_and_the_others_are_unseen() {
        let view = view();
        let name = |n: &str| NodeName::new(n).unwrap();
        assert!(view.is_alive(&name("CCM1")) && !view.serves(&name("CCM1")));
        assert!(!view.is_alive(&name("CCM2")) && !view.is_alive(&name("CCM9")));
        let life = |i| NodeLife { node: name("CCM1"), incarnation: Incarnation(i) };
        assert!(view.is_life_alive(&life(4)) && !view.is_life_alive(&life(3)));
    }

    #[test]
    fn a_flap_and_a_new_life_start_the_time_in_service_anew_and_a_suspicion_does_not() {
        let (mut view, node) = (view(), NodeName::new("CCM2").unwrap());
        let life = Incarnation(1);
        let since = |view: &ClusterView| view.node(&node).unwrap().in_service_since.map(Time::as_secs);
        view.sees(Time::from_secs(20), &node, life, Sight::Up);
        assert_eq!(since(&view), None);
        view.says(Time::from_secs(21), &node, Service::InService);
        view.sees(Time::from_secs(30), &node, life, Sight::Suspect);
        view.sees(Time::from_secs(31), &node, life, Sight::Up);
        assert_eq!(since(&view), Some(21));
        view.sees(Time::from_secs(40), &node, life, Sight::Down);
        assert_eq!(since(&view), None);
        view.sees(Time::from_secs(50), &node, life, Sight::Up);
        assert_eq!(since(&view), Some(50), "a flap");
        view.sees(Time::from_secs(60), &node, Incarnation(2), Sight::Up);
        assert_eq!(since(&view), Some(60), "a new life");
        view.says(Time::from_secs(70), &node, Service::Draining);
        assert_eq!(since(&view), None);
    }

    #[test]
    fn a_suspect_serves_but_is_not_steady() {
        let mut node = NodeView {
            sight: Sight::Up,
            service: Service::InService,
            in_service_since: Some(Time::from_secs(10)),
            ..NodeView::unseen(Time::ZERO)
        };
        let (monitor, now) = (Duration::from_secs(120), Time::from_secs(130));
        assert!(node.steady_for(monitor, now) && !node.steady_for(monitor, Time::from_secs(129)));
        node.sight = Sight::Suspect;
        assert!(node.serves() && !node.steady_for(monitor, now));
        node.sight = Sight::Down;
        assert!(!node.serves() && node.in_service_for(now).is_none());
    }
}
