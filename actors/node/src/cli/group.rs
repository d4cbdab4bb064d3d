//! `tandem group ...` and `tandem failback`.

use super::args::{Failback as FailbackArgs, Group, GroupFields};
use super::change::{self, Write, given, list, text};
use super::client::{Client, escaped};
use super::failure::Failure;
use super::output::{Out, Table, Tone, joined};
use super::processes::Processes;
use super::status::{group_table, ranks};
use serde_json::{Map, Value};
use tandem_model::admin::config::ConfigTable;
use tandem_model::admin::{Failback, GroupDetail, GroupList};

/// Does what `tandem group` was asked.
///
/// # Errors
/// When nobody answers, there is no such group, or the output cannot be written.
pub fn command(client: &Client, command: &Group, out: &mut Out<'_>) -> Result<(), Failure> {
    match command {
        Group::List => {
            let answer = client.get::<GroupList>("/groups")?;
            if out.is_data() { out.data(&answer.raw) } else { out.table(&group_table(&answer.body.groups)) }
        }
        Group::Show { name } => {
            let answer = client.get::<GroupDetail>(&format!("/groups/{}", escaped(name)))?;
            if out.is_data() { out.data(&answer.raw) } else { show(&answer.body, out) }
        }
        Group::Add(group) => {
            change::row(client, ConfigTable::Group, &group.name, Write::Create(fields(group)), &group.change, out)
        }
        Group::Update(group) => {
            change::row(client, ConfigTable::Group, &group.name, Write::Merge(fields(group)), &group.change, out)
        }
        Group::Delete { name, change } => change::row(client, ConfigTable::Group, name, Write::Delete, change, out),
    }
}

fn fields(group: &GroupFields) -> Map<String, Value> {
    given([
        ("members", list(&group.members)),
        ("failback", text(group.failback.as_ref())),
        ("description", text(group.description.as_ref())),
    ])
}

fn show(group: &GroupDetail, out: &mut Out<'_>) -> Result<(), Failure> {
    out.table(&group_table(std::slice::from_ref(&group.status)))?;
    out.line("")?;
    out.line(&format!("pools: {}", joined(&group.pools, ", ")))?;
    out.line(&format!("registered: {}", ranks(&group.by_rank)))?;
    for (member, targets) in &group.if_down {
        let moves = targets.iter().filter(|(_, n)| **n > 0).map(|(to, n)| format!("{n} to {to}"));
        let moves: Vec<_> = moves.collect();
        let moves =
            if moves.is_empty() { "nobody moves".to_owned() } else { format!("devices move: {}", moves.join(", ")) };
        out.line(&format!("if {member} died now: {moves}"))?;
    }
    Ok(())
}

/// Does what `tandem failback` was asked.
///
/// # Errors
/// When nobody answers, there is no such group, it is refused, or the output cannot be written.
pub fn failback(processes: &Processes, failback: &FailbackArgs, out: &mut Out<'_>) -> Result<(), Failure> {
    let preview = if failback.preview { "?preview=true" } else { "" };
    let path = format!("/groups/{}/failback{preview}", escaped(&failback.group));
    let asked = processes.any();
    let answer = asked.post::<Failback>(&path)?;
    // Each process calls home what its own nodes serve. One that runs none now has nobody to call.
    for other in processes.all().map(|p| &p.client).filter(|c| !failback.preview && !std::ptr::eq(*c, asked)) {
        if let Err(failure) = other.post::<Failback>(&path) {
            out.note(&format!("one process calls nobody home: {}", failure.message))?;
        }
    }
    if out.is_data() {
        return out.data(&answer.raw);
    }
    let Failback { group, started, would_move, moves, examples, waiting_for } = answer.body;
    let verb = match (would_move, started) {
        (0, _) => "every device is where it belongs".to_owned(),
        (n, true) if waiting_for.is_some() => format!("{n} devices will be called home"),
        (n, true) => format!("{n} devices are called home"),
        (n, false) => format!("{n} devices would move"),
    };
    out.line(&format!("{group}: {verb}"))?;
    if !moves.is_empty() {
        let mut table = Table::new(&["FROM", "TO", "#DEVICES"]);
        moves
            .iter()
            .for_each(|m| table.line(Tone::Plain, [m.from.to_string(), m.to.to_string(), m.devices.to_string()]));
        out.table(&table)?;
    }
    if !examples.is_empty() {
        out.line(&format!("among them: {}", joined(&examples, ", ")))?;
    }
    waiting_for.map_or(Ok(()), |why| out.line(&format!("waiting for: {why}")))
}
