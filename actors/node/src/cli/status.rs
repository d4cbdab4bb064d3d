//! `tandem status`: who serves whom, in one look.
//!
//! Says by itself what a person would have to find: views that differ, devices in quarantine, devices that nobody serves.

use super::client::Client;
use super::failure::Failure;
use super::output::{Out, Table, Tone, joined, or_dash};
use std::collections::BTreeMap;
use tandem_base::NodeName;
use tandem_model::admin::{ByRank, GroupStatus, NodeState, NodeStatus, Status};

/// Prints the cluster at a glance.
///
/// # Errors
/// When nobody answers or the output cannot be written.
pub fn status(client: &Client, out: &mut Out<'_>) -> Result<(), Failure> {
    let answer = client.get::<Status>("/status")?;
    if out.is_json() { out.json(&answer.raw) } else { show(&answer.body, out) }
}

fn show(status: &Status, out: &mut Out<'_>) -> Result<(), Failure> {
    let by = or_dash(status.answered_by.as_ref());
    out.line(&format!("cluster {}, configuration {:016x}, answered by {by}", status.cluster, status.config_revision))?;
    out.line("")?;
    out.table(&node_table(&status.nodes))?;
    out.line("")?;
    out.table(&group_table(&status.groups))?;
    out.line("")?;
    out.line(&format!("registrations {}: {}", status.registrations.total, ranks(&status.registrations.by_rank)))?;
    for finding in findings(status) {
        out.line(&finding)?;
    }
    Ok(())
}

/// What deserves a person's eye.
fn findings(status: &Status) -> Vec<String> {
    let mut found: Vec<_> = status.nodes.iter().filter_map(split_view).collect();
    let devices: u64 = status.groups.iter().map(|g| g.devices).sum();
    let missing = devices.saturating_sub(status.registrations.total);
    if missing > 0 {
        found.push(format!(
            "{missing} of {devices} devices are not registered: `tandem device list --in-state unregistered`"
        ));
    }
    if status.quarantined > 0 {
        found.push(format!(
            "{} devices are in quarantine: `tandem device list --in-state quarantined`",
            status.quarantined
        ));
    }
    found
}

/// Nodes that see one node differently, if there are any.
fn split_view(node: &NodeStatus) -> Option<String> {
    let mut views: BTreeMap<NodeState, Vec<&NodeName>> = BTreeMap::new();
    node.seen_by.iter().for_each(|(by, state)| views.entry(*state).or_default().push(by));
    (views.len() > 1).then(|| {
        let said = joined(views.iter().map(|(state, by)| format!("{state} by {}", joined(by, ", "))), "; ");
        format!("the nodes do not agree about {}: seen {said}", node.name)
    })
}

/// The table of nodes, also for `tandem node list`.
pub fn node_table(nodes: &[NodeStatus]) -> Table {
    let mut table = Table::new(&["NODE", "STATE", "#LIFE", "ROLE", "#REGISTRATIONS", "ADDRESSES"]);
    for node in nodes {
        let role = if node.publisher { "publisher" } else { "subscriber" };
        let counts = [node.incarnation.to_string(), role.to_owned(), node.registrations.to_string()];
        let name = [node.name.to_string(), node.state.to_string()];
        table.line(tone(node.state), name.into_iter().chain(counts).chain([joined(&node.addresses, " ")]));
    }
    table
}

/// The table of groups, also for `tandem group list`.
pub fn group_table(groups: &[GroupStatus]) -> Table {
    let mut table = Table::new(&["GROUP", "MEMBERS", "#DEVICES", "SERVED BY", "GOES HOME"]);
    for group in groups {
        let serving = group.by_node.iter().filter(|(_, n)| **n > 0).map(|(node, n)| format!("{node} {n}"));
        let members = joined(&group.members, " > ");
        let name = [group.name.to_string(), members, group.devices.to_string()];
        table.line(Tone::Plain, name.into_iter().chain([joined(serving, ", "), group.policy.clone()]));
    }
    table
}

/// Counts by rank in words.
pub fn ranks(counts: &ByRank) -> String {
    format!("rank 1 {}, rank 2 {}, rank 3 {}", counts.first, counts.second, counts.third)
}

/// How the state of a node looks on a terminal.
pub const fn tone(state: NodeState) -> Tone {
    match state {
        NodeState::InService => Tone::Plain,
        NodeState::Joining | NodeState::Draining | NodeState::Suspect => Tone::Warning,
        NodeState::Stopped | NodeState::Down => Tone::Bad,
    }
}
