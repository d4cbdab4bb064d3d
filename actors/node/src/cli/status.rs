//! `tandem status`: who serves whom, in one look.
//!
//! Says by itself what a person would have to find: views that differ, devices in quarantine, devices that nobody serves.

use super::client::Answer;
use super::failure::{Exit, Failure};
use super::output::{Out, Table, Tone, joined, or_dash};
use super::processes::{ONE_OF_SEVERAL, Processes};
use std::collections::BTreeMap;
use tandem_base::NodeName;
use tandem_model::admin::{ByRank, GroupStatus, NodeState, NodeStatus, Status, Versioned};

/// Prints the cluster at a glance.
///
/// # Errors
/// When nobody answers or the output cannot be written.
pub fn status(processes: &Processes, out: &mut Out<'_>) -> Result<(), Failure> {
    let answer = ask(processes)?;
    if out.is_data() { out.data(&answer.raw) } else { show(&answer.body, out) }
}

/// The cluster at a glance, put together from all processes.
///
/// # Errors
/// When none answers.
pub fn ask(processes: &Processes) -> Result<Answer<Status>, Failure> {
    if processes.is_single() {
        return processes.any().get("/status");
    }
    let asked = processes.ask_all(|p| p.client.get_within::<Status>("/status", ONE_OF_SEVERAL));
    let (mut answers, mut failure) = (Vec::new(), None);
    for (process, answer) in processes.all().zip(asked) {
        match answer {
            Ok(answer) => answers.push((process.nodes.as_slice(), answer.body)),
            Err(why) => failure = failure.or(Some(why)),
        }
    }
    match (together(&answers), failure) {
        (Some(body), _) => Ok(Answer { raw: serde_json::to_value(Versioned::new(&body)).unwrap_or_default(), body }),
        (None, why) => Err(why.unwrap_or_else(|| Failure::new(Exit::Unreachable, "no process answers"))),
    }
}

/// One status of several: the view of a node in service, with each node's own word about itself and everybody's view of it.
fn together(answers: &[(&[NodeName], Status)]) -> Option<Status> {
    let serves = |s: &Status| {
        let by = s.answered_by.as_ref();
        s.nodes.iter().any(|n| by == Some(&n.name) && n.state == NodeState::InService)
    };
    let statuses = || answers.iter().map(|(_, status)| status);
    let best = statuses().find(|s| serves(s)).or_else(|| statuses().find(|s| s.answered_by.is_some()));
    let mut all = best.or_else(|| statuses().next())?.clone();
    for node in &mut all.nodes {
        for (runs, status) in answers {
            let Some(said) = status.nodes.iter().find(|n| n.name == node.name) else { continue };
            node.seen_by.extend(said.seen_by.iter().map(|(by, state)| (by.clone(), *state)));
            if runs.contains(&node.name) {
                (node.state, node.incarnation) = (said.state, said.incarnation);
                (node.config_revision, node.config_lag) = (said.config_revision, said.config_lag);
            }
        }
    }
    all.quarantined = statuses().map(|s| s.quarantined).max().unwrap_or_default();
    Some(all)
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
    let mut table = Table::new(&["NODE", "STATE", "#LIFE", "ROLE", "#CONFIG", "#REGISTRATIONS", "ADDRESSES"]);
    for node in nodes {
        let role = if node.publisher { "publisher" } else { "subscriber" };
        let config = match (node.config_revision, node.config_lag) {
            (None, _) => "-".to_owned(),
            (Some(revision), 0) => revision.to_string(),
            (Some(revision), lag) => format!("{revision} (lacks {lag})"),
        };
        let counts = [node.incarnation.to_string(), role.to_owned(), config, node.registrations.to_string()];
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
