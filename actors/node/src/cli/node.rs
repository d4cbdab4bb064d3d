//! `tandem node stop|kill|start`: one command to one node of the running process.

use super::args::Node;
use super::client::{Client, escaped};
use super::failure::Failure;
use super::output::Out;
use tandem_model::admin::{NodeCommand, NodeDone};

/// Commands a node and prints what became of it.
///
/// # Errors
/// When nobody answers, the node refuses, or the output cannot be written.
pub fn command(client: &Client, command: &Node, out: &mut Out<'_>) -> Result<(), Failure> {
    let (name, command) = match command {
        Node::Stop { name } => (name, NodeCommand::Stop),
        Node::Kill { name } => (name, NodeCommand::Kill),
        Node::Start { name } => (name, NodeCommand::Start),
    };
    let answer = client.post::<NodeDone>(&format!("/nodes/{}/{}", escaped(name), command.word()))?;
    if out.is_json() {
        return out.json(&answer.raw);
    }
    let done = answer.body;
    let verb = match done.command {
        NodeCommand::Stop => "stopped",
        NodeCommand::Kill => "killed",
        NodeCommand::Start => "started",
    };
    out.line(&format!("{} {verb}: {}, life {}", done.name, done.state, done.incarnation))
}
