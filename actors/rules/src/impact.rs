//! What a change of the configuration asks of a device that is registered, and what it asks of the nodes.
//!
//! One pure function of two places and the node that serves the device. Only the order of members moves anybody: what is written for people,
//! lines, credentials and monitor durations do not. How fast devices move is not judged here: that is the way home (`failback`).

use crate::placement::rank_of;
use std::fmt;
use std::time::Duration;
use tandem_base::{DevicePoolName, GroupName, NodeName, Rank};
use tandem_model::admin::config::{IMPACT_EXAMPLES_MAX, Impact};
use tandem_model::config::Settings;

/// Where a device belongs in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Its pool.
    pub pool: &'a DevicePoolName,
    /// The connection monitor duration of the pool.
    pub monitor: Duration,
    /// The pool's group.
    pub group: &'a GroupName,
    /// The members of the group, best first.
    pub members: &'a [NodeName],
}

/// What a registered device must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing, and nothing that is known of its registration changes.
    Nothing,
    /// It keeps its registration, which from now on has this rank, in another pool or group perhaps.
    Stays(Rank),
    /// It keeps its registration at this rank until it is called to a member that is better now: paced, idle first.
    CalledHome(Rank),
    /// The node that serves it is no member of its group any more: it is told to register anew, paced, idle first.
    Leaves,
    /// It is no device any more: its registration ends.
    Unregistered,
}

/// What a change from `before` to `after` asks of a device that node `at` serves. None: there is no such device.
pub fn effect(before: Option<&Place<'_>>, after: Option<&Place<'_>>, at: &NodeName) -> Effect {
    let Some(after) = after else { return Effect::Unregistered };
    let Some(rank) = rank_of(after.members, at) else {
        let known =
            before.is_some_and(|b| b.members == after.members && b.group == after.group && b.pool == after.pool);
        // A device that had to leave before still has to, and has been told.
        return if known { Effect::Nothing } else { Effect::Leaves };
    };
    let was = before.and_then(|b| rank_of(b.members, at));
    let better = |members: &[NodeName], rank: Rank| members.iter().take(rank.position()).cloned().collect::<Vec<_>>();
    let better_before = before.zip(was).map(|(b, was)| better(b.members, was)).unwrap_or_default();
    if better(after.members, rank).iter().any(|m| !better_before.contains(m)) {
        return Effect::CalledHome(rank);
    }
    let same = was == Some(rank) && before.is_some_and(|b| b.group == after.group && b.pool == after.pool);
    if same { Effect::Nothing } else { Effect::Stays(rank) }
}

/// Something that a running process does not take over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Restart {
    /// A node that nobody expects yet.
    Added(NodeName),
    /// A node that is configured no more.
    Removed(NodeName),
    /// A node with other addresses.
    Moved(NodeName),
    /// The table of the cluster.
    Cluster,
    /// Settings that nodes read when they start.
    Settings(Vec<&'static str>),
    /// Settings that processes read when they start.
    Process(Vec<&'static str>),
    /// Devices now may stay registered longer than connections are kept.
    Idle,
    /// More different names than a process can tell apart.
    Names,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(node) => write!(f, "{node} is new: start it, and start the other nodes anew so that they expect it"),
            Self::Removed(node) => {
                write!(f, "{node} is removed: stop it, and start the other nodes anew so that they do not expect it")
            }
            Self::Moved(node) => write!(f, "start {node} anew so that it takes its new addresses"),
            Self::Cluster => f.write_str(
                "start every process anew, all at one time: name, realm and secret of the cluster are read at the start only",
            ),
            Self::Settings(names) => {
                write!(f, "start every node anew: {} {} read at the start only", names.join(", "), are(names))
            }
            Self::Process(names) => {
                write!(f, "start every process anew: {} {} read at the start only", names.join(", "), are(names))
            }
            Self::Idle => f.write_str(
                "start every node anew: until then a TCP connection is closed after the max_expires of before without a word",
            ),
            Self::Names => f.write_str("start every process anew: it has seen more different names than it can tell apart"),
        }
    }
}

const fn are(names: &[&str]) -> &'static str {
    if names.len() == 1 { "is" } else { "are" }
}

/// What nodes do not take over of a change of settings. Everything else takes effect at once.
pub fn restarts(before: &Settings, after: &Settings) -> Vec<Restart> {
    // Taken apart in full: a new setting has to be put where it belongs.
    let Settings {
        digest: _,
        algorithms: _,
        min_expires: _,
        max_expires,
        default_expires: _,
        expires_spread: _,
        registrations_per_second: _,
        registrations_burst: _,
        failback_per_second: _,
        nonce_lifetime: _,
        multiple_contacts: _,
        tcp_connections,
        tcp_idle,
        tcp_message_bytes,
        tcp_queue_bytes,
        tcp_write_timeout,
        heartbeat,
        suspect_after,
        dead_after,
        tables_every,
        state_dir,
        certificates,
        control,
        fault_injection: _,
    } = before;
    let of_node = [
        ("tcp_connections", *tcp_connections != after.tcp_connections),
        ("tcp_idle", *tcp_idle != after.tcp_idle),
        ("tcp_message_bytes", *tcp_message_bytes != after.tcp_message_bytes),
        ("tcp_queue_bytes", *tcp_queue_bytes != after.tcp_queue_bytes),
        ("tcp_write_timeout", *tcp_write_timeout != after.tcp_write_timeout),
        ("heartbeat", *heartbeat != after.heartbeat),
        ("suspect_after", *suspect_after != after.suspect_after),
        ("dead_after", *dead_after != after.dead_after),
        ("tables_every", *tables_every != after.tables_every),
    ];
    let of_process = [
        ("state_dir", *state_dir != after.state_dir),
        ("certificates", *certificates != after.certificates),
        ("control", *control != after.control),
    ];
    let names = |list: &[(&'static str, bool)]| -> Vec<&'static str> {
        list.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect()
    };
    let (of_node, of_process) = (names(&of_node), names(&of_process));
    let mut all = Vec::new();
    if !of_node.is_empty() {
        all.push(Restart::Settings(of_node));
    }
    if after.max_expires > *max_expires {
        all.push(Restart::Idle);
    }
    if !of_process.is_empty() {
        all.push(Restart::Process(of_process));
    }
    all
}

/// Effects of a change added up, for people.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    impact: Impact,
    stay: u64,
}

impl Tally {
    /// So many devices, some of them by name.
    pub fn add(&mut self, effect: Effect, devices: u64, names: impl IntoIterator<Item = String>) {
        let sum = match effect {
            Effect::Nothing => return,
            Effect::Stays(_) => &mut self.stay,
            Effect::CalledHome(_) | Effect::Leaves => &mut self.impact.reregister,
            Effect::Unregistered => &mut self.impact.unregister,
        };
        *sum = sum.saturating_add(devices);
        if !matches!(effect, Effect::Stays(_)) {
            let room = IMPACT_EXAMPLES_MAX.saturating_sub(self.impact.examples.len());
            let few = usize::try_from(devices).unwrap_or(usize::MAX).min(room);
            self.impact.examples.extend(names.into_iter().take(few));
        }
    }
    /// Whether more names are wanted.
    pub fn wants_names(&self) -> bool {
        self.impact.examples.len() < IMPACT_EXAMPLES_MAX
    }
    /// Something that a running process does not take over.
    pub fn restart(&mut self, what: &Restart) {
        let text = what.to_string();
        if !self.impact.restart.contains(&text) {
            self.impact.restart.push(text);
        }
    }
    /// All of it.
    pub fn finish(self) -> Impact {
        let Self { mut impact, stay } = self;
        let mut parts = Vec::new();
        let devices = |n: u64| if n == 1 { "1 device".to_owned() } else { format!("{n} devices") };
        let verb = |n: u64, one: &'static str, more: &'static str| if n == 1 { one } else { more };
        let (moved, lost) = (impact.reregister, impact.unregister);
        if moved > 0 {
            parts.push(format!("{} {} again", devices(moved), verb(moved, "registers", "register")));
        }
        if lost > 0 {
            parts.push(format!("{} {} registration", devices(lost), verb(lost, "loses its", "lose their")));
        }
        if parts.is_empty() {
            parts.push("no device moves".to_owned());
        }
        if stay > 0 {
            parts.push(format!("{} {} in place", devices(stay), verb(stay, "is filed anew", "are filed anew")));
        }
        if !impact.restart.is_empty() {
            parts.push("not all of it takes effect before a restart".to_owned());
        }
        impact.sentence = parts.join("; ");
        impact
    }
}

#[cfg(test)]
mod tests;
