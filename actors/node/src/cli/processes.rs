//! The processes of one Tandem, as commands see them: mostly one; several after `tandem up` or `tandem run --node`.
//!
//! A command asks the process that it concerns, any that serves, or all of them. One that does not answer must never keep a person from
//! the answers of the others for long.

use super::args::Global;
use super::client::Client;
use super::failure::Failure;
use super::state;
use std::time::Duration;
use tandem_base::NodeName;

/// How long one of several processes may take to answer; a hung one is what a person may be looking for.
pub const ONE_OF_SEVERAL: Duration = Duration::from_secs(2);

/// One process.
pub struct Process {
    /// The nodes that it runs, as far as it says.
    pub nodes: Vec<NodeName>,
    /// How to ask it.
    pub client: Client,
}

impl Process {
    fn runs(&self, node: &str) -> bool {
        self.nodes.iter().any(|n| n.as_str() == node)
    }
}

/// All processes of one Tandem, at least one.
pub struct Processes {
    first: Process,
    rest: Vec<Process>,
}

impl Processes {
    /// Finds the Tandem that is meant.
    ///
    /// # Errors
    /// Exit code 3 when none runs, 2 when it was not said which of several.
    pub fn find(global: &Global) -> Result<Self, Failure> {
        let (first, rest) = state::endpoints(global)?;
        let process = |found: state::Found| Process { nodes: found.nodes, client: Client::new(found.endpoint) };
        Ok(Self { first: process(first), rest: rest.into_iter().map(process).collect() })
    }
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Process> {
        std::iter::once(&self.first).chain(&self.rest)
    }
    /// Whether there is only one.
    pub fn is_single(&self) -> bool {
        self.rest.is_empty()
    }
    /// The only one, else the one that runs a node, else any that serves: it says what is wrong with the name.
    pub fn of(&self, node: &str) -> &Client {
        let runs = self.all().find(|p| p.runs(node));
        runs.map_or_else(|| self.any(), |p| &p.client)
    }
    /// As [`Processes::of`], to keep; without a node the first.
    pub fn into_client(self, node: Option<&str>) -> Client {
        let Self { first, rest } = self;
        let runs = |p: &Process| node.is_some_and(|node| p.runs(node));
        if runs(&first) {
            return first.client;
        }
        rest.into_iter().find(runs).map_or(first.client, |p| p.client)
    }
    /// The only one, else one that serves, else one that answers.
    pub fn any(&self) -> &Client {
        if self.is_single() {
            return &self.first.client;
        }
        let health = self.ask_all(|p| p.client.health(ONE_OF_SEVERAL));
        let best = |good: &dyn Fn(bool) -> bool| {
            self.all().zip(&health).find(|(_, health)| health.as_ref().is_some_and(|h| good(h.ready)))
        };
        let found = best(&|ready| ready).or_else(|| best(&|_| true));
        found.map_or(&self.first.client, |(process, _)| &process.client)
    }
    /// Asks all at the same time; answers in their order.
    pub fn ask_all<T: Send>(&self, ask: impl Fn(&Process) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let ask = &ask;
            let asking: Vec<_> = self.all().map(|process| scope.spawn(move || ask(process))).collect();
            asking.into_iter().filter_map(|thread| thread.join().ok()).collect()
        })
    }
}
