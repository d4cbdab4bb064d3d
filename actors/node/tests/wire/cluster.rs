//! Clusters inside the test's own process: real sockets on free loopback ports, a state folder of their own, questions as the console
//! asks them.
//!
//! A cluster runs on a thread of its own and ends with its value. It must never be shared between tests that count.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tandem::process::Process;
use tandem::run::{Setup, Up};
use tandem_base::NodeName;
use tandem_console::Admin;
use tandem_host::arbiter::run_main;
use tandem_model::admin::{
    AdminError, DeviceEntry, DeviceQuery, NodeCommand, NodeState, NodeStatus, Reply, Request, Status,
};
use tandem_model::config::Config;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Password of every device.
pub(crate) const PASSWORD: &str = "a secret of the wire";
/// Digest realm of every cluster.
pub(crate) const REALM: &str = "wire";
/// Devices of each group: `A001` to `A060` in the first, `B001` ... in the second.
pub(crate) const DEVICES: usize = 60;
/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A free port may be taken by somebody else before the node has it: then it is tried again.
const STARTS_MAX: usize = 5;

enum Command {
    Ask(Request, mpsc::Sender<Result<Reply, AdminError>>),
    End,
}

/// A cluster that runs.
pub(crate) struct Cluster {
    names: Vec<NodeName>,
    addresses: Vec<Vec<String>>,
    process: Arc<Process>,
    commands: UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
    folder: PathBuf,
}

impl Cluster {
    /// One node, one group.
    pub(crate) fn one(settings: &str) -> Self {
        Self::start(1, settings, &[&[0]])
    }

    /// `nodes` nodes and a group with its devices for each list of members, best first; returns once all nodes serve.
    pub(crate) fn start(nodes: usize, settings: &str, groups: &[&[usize]]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Metrics are the process's, and so of all clusters: the names of nodes tell them apart.
        let names: Vec<String> = (1..=nodes).map(|n| format!("W{number}-{n}")).collect();
        let config = Config::parse("wire", &text(&names, settings, groups)).expect("a right configuration");
        let folder = std::env::temp_dir().join(format!("tandem-wire-{}-{number}", std::process::id()));
        let setup = Setup { nodes: Vec::new(), state: folder.clone(), control: None, beyond_loopback: false };
        let (commands, received) = unbounded_channel();
        let (ready, started) = mpsc::channel();
        let thread = std::thread::spawn(move || run_main(serve(config, setup, ready, received)).expect("a runtime"));
        let process = started.recv_timeout(PATIENCE).expect("the nodes start");
        let names = names.iter().map(|n| NodeName::new(n).expect("a name")).collect();
        let mut cluster = Self { names, addresses: Vec::new(), process, commands, thread: Some(thread), folder };
        cluster.wait_until("every node serves and all know it", |c| {
            let serve =
                |n: &NodeStatus| n.seen_by.len() == nodes && n.seen_by.values().all(|s| *s == NodeState::InService);
            c.status().nodes.iter().all(serve)
        });
        cluster.addresses = cluster.status().nodes.into_iter().map(|n| n.addresses).collect();
        cluster
    }

    /// What the console would be told.
    pub(crate) fn ask(&self, request: Request) -> Result<Reply, AdminError> {
        let (answer, answered) = mpsc::channel();
        self.commands.send(Command::Ask(request, answer)).expect("the cluster runs");
        answered.recv_timeout(PATIENCE).expect("an answer of the process")
    }
    pub(crate) fn status(&self) -> Status {
        match self.ask(Request::Status) {
            Ok(Reply::Status(status)) => status,
            other => panic!("{other:?}"),
        }
    }
    pub(crate) fn devices(&self, query: DeviceQuery) -> Vec<DeviceEntry> {
        match self.ask(Request::DeviceList(query)) {
            Ok(Reply::Devices(page)) => page.devices,
            other => panic!("{other:?}"),
        }
    }
    /// Devices that each node serves, by the nodes themselves.
    pub(crate) fn served(&self) -> Vec<u64> {
        self.status().nodes.iter().map(|n| n.registrations).collect()
    }
    /// Name of a node; 0 is the first.
    pub(crate) fn name(&self, node: usize) -> NodeName {
        self.names[node].clone()
    }
    /// Ends a node without a word to anybody.
    pub(crate) fn kill(&self, node: usize) {
        let done = self.ask(Request::Node { name: self.name(node), command: NodeCommand::Kill });
        assert!(matches!(done, Ok(Reply::Node(_))), "{done:?}");
    }
    fn address(&self, node: usize, transport: &str, v6: bool) -> SocketAddr {
        let found = self.addresses[node].iter().filter_map(|a| a.strip_prefix(transport)?.strip_prefix(':'));
        let mut found = found.map(|a| a.parse::<SocketAddr>().expect("an address"));
        found.find(|a| a.is_ipv6() == v6).unwrap_or_else(|| panic!("{transport} in {:?}", self.addresses[node]))
    }
    pub(crate) fn udp(&self, node: usize) -> SocketAddr {
        self.address(node, "udp", false)
    }
    pub(crate) fn udp6(&self, node: usize) -> SocketAddr {
        self.address(node, "udp", true)
    }
    pub(crate) fn tcp(&self, node: usize) -> SocketAddr {
        self.address(node, "tcp", false)
    }
    pub(crate) fn tcp6(&self, node: usize) -> SocketAddr {
        self.address(node, "tcp", true)
    }

    /// The sum of a node's series with these labels.
    pub(crate) fn metric(&self, node: usize, name: &str, labels: &[&str]) -> f64 {
        let text = self.process.metrics();
        let whose = format!("node=\"{}\"", self.names[node]);
        let ours = |line: &&str| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with('{'));
            rest.is_some_and(|rest| rest.contains(&whose) && labels.iter().all(|l| rest.contains(l)))
        };
        let mut lines = text.lines().filter(ours).peekable();
        assert!(lines.peek().is_some(), "{name} of {whose} with {labels:?} is not in\n{text}");
        lines.filter_map(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }
    /// Registration events of a node.
    pub(crate) fn events(&self, node: usize, event: &str, reason: &str) -> f64 {
        let labels = [format!("event=\"{event}\""), format!("reason=\"{reason}\"")];
        self.metric(node, "tandem_registration_events_total", &[&labels[0], &labels[1]])
    }

    /// Waits for a condition.
    pub(crate) fn wait_until(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !condition(self) {
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}; served are {:?}", self.served());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// So many frames of its peers later, their rows of before have come to a node too: a link keeps the order, heartbeats are 100 ms apart.
pub(crate) fn wait_for_rows(cluster: &Cluster, node: usize) {
    let frames = |c: &Cluster| c.metric(node, "tandem_link_frames_total", &["direction=\"in\""]);
    let before = frames(cluster);
    cluster.wait_until("rows have come", |c| frames(c) >= before + 10.0);
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::End);
        let ended = self.thread.take().is_none_or(|t| t.join().is_ok());
        let _ = std::fs::remove_dir_all(&self.folder);
        assert!(ended || std::thread::panicking(), "the cluster's thread panicked");
    }
}

async fn serve(config: Config, setup: Setup, ready: mpsc::Sender<Arc<Process>>, mut inbox: UnboundedReceiver<Command>) {
    let mut starts = 1;
    let up = loop {
        match Up::start(config.clone(), &setup).await {
            Ok(up) => break up,
            Err(error) => assert!(starts < STARTS_MAX, "{error}"),
        }
        starts += 1;
    };
    ready.send(Arc::clone(&up.process)).expect("somebody waits");
    while let Some(Command::Ask(request, answer)) = inbox.recv().await {
        // Whoever gave up waiting has failed already.
        let _ = answer.send(up.process.call(request).await);
    }
    up.end(false).await;
}

/// The configuration file.
fn text(nodes: &[String], settings: &str, groups: &[&[usize]]) -> String {
    let mut text = format!("[cluster]\nname = \"{REALM}\"\n\n[settings]\n{settings}\n");
    for node in nodes {
        text += &format!("[[node]]\nname = \"{node}\"\naddress = [\"127.0.0.1\", \"::1\"]\nsip_udp = 0\nsip_tcp = 0\n");
    }
    for (letter, members) in ('A'..='Z').zip(groups) {
        let members: Vec<&String> = members.iter().map(|m| &nodes[*m]).collect();
        text += &format!(
            "[[group]]\nname = \"G{letter}\"\nmembers = {members:?}\n\
             [[device_pool]]\nname = \"P{letter}\"\ngroup = \"G{letter}\"\n\
             [[device_series]]\nprefix = \"{letter}\"\nfirst = 1\ncount = {DEVICES}\ndigits = 3\npool = \"P{letter}\"\n\
             password = \"{PASSWORD}\"\n"
        );
    }
    text
}
