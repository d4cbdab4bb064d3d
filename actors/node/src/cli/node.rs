//! `tandem node list|stop|kill|start|promote`: the nodes, and one command to one of the running process.

use super::args::Node;
use super::client::escaped;
use super::failure::Failure;
use super::output::Out;
use super::processes::Processes;
use super::status::{ask, node_table};
use serde_json::json;
use tandem_model::admin::config::PromotedBody;
use tandem_model::admin::{API, NodeCommand, NodeDone};

/// Lists the nodes, or commands one and prints what became of it.
///
/// # Errors
/// When nobody answers, the node refuses, or the output cannot be written.
pub fn command(processes: &Processes, command: &Node, out: &mut Out<'_>) -> Result<(), Failure> {
    let (name, command) = match command {
        Node::List => return list(processes, out),
        Node::Promote { name, force } => return promote(processes, name, *force, out),
        Node::Stop { name } => (name, NodeCommand::Stop),
        Node::Kill { name } => (name, NodeCommand::Kill),
        Node::Start { name } => (name, NodeCommand::Start),
    };
    let answer = processes.of(name).post::<NodeDone>(&format!("/nodes/{}/{}", escaped(name), command.word()))?;
    if out.is_data() {
        return out.data(&answer.raw);
    }
    let done = answer.body;
    if done.already {
        let was = if done.command == NodeCommand::Start { "runs" } else { "does not run" };
        return out.line(&format!("nothing to do: {} {was} ({}, life {})", done.name, done.state, done.incarnation));
    }
    let verb = match done.command {
        NodeCommand::Stop => "stopped",
        NodeCommand::Kill => "killed",
        NodeCommand::Start => "started",
    };
    out.line(&format!("{} {verb}: {}, life {}", done.name, done.state, done.incarnation))
}

fn promote(processes: &Processes, name: &str, force: bool, out: &mut Out<'_>) -> Result<(), Failure> {
    let force = if force { "?force=true" } else { "" };
    let answer = processes.of(name).post::<PromotedBody>(&format!("/nodes/{}/promote{force}", escaped(name)))?;
    if out.is_data() {
        return out.data(&answer.raw);
    }
    out.line(&format!("{} publishes from now on, in term {}", answer.body.publisher, answer.body.epoch))
}

fn list(processes: &Processes, out: &mut Out<'_>) -> Result<(), Failure> {
    let answer = ask(processes)?;
    if out.is_data() {
        return out.data(&json!({ "api": API, "nodes": answer.raw.get("nodes") }));
    }
    out.table(&node_table(&answer.body.nodes))
}
