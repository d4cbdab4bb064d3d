//! `tandem run`: all nodes of a configuration file in one process, or some of them, until it is told to stop.
//!
//! A process that runs only some meets the others over sockets in the state folder, which such processes share, or over the network when the
//! file gives the nodes `link` addresses.

use crate::cli::running::{self, Pointer};
use crate::cli::state::Places;
use crate::cli::{Exit, Failure, RunOptions, check};
use crate::error::{BUILD_WITH_LINK, NodeError};
use crate::process::Process;
use crate::state::StateFolder;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tandem_base::NodeName;
use tandem_console::{Access, ConsoleError, Listen, Running, serve};
use tandem_host::HostError;
use tandem_host::arbiter::{abandoned, interrupted, run_main};
use tandem_host::clock::Clock;
use tandem_host::datagram::DatagramSocket;
use tandem_host::disk::RealDisk;
use tandem_host::hold::{Hold, Marker};
use tandem_host::stream;
use tandem_host::supervise::install_panic_hook;
use tandem_model::admin::ControlFile;
use tandem_model::config::Config;

/// The file by which a process holds its state folder; those that run some nodes each share that of the whole.
pub(crate) const LOCK_FILE: &str = "lock";

/// How a process is set up around its configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Nodes to run; empty means all.
    pub nodes: Vec<NodeName>,
    /// The state folder.
    pub state: PathBuf,
    /// Where the console listens; `None` leaves it to the configuration.
    pub control: Option<SocketAddr>,
    /// Whether it may be reached from other hosts.
    pub beyond_loopback: bool,
}

/// A process that runs: its nodes and its console.
pub struct Up {
    /// The nodes.
    pub process: Arc<Process>,
    /// Where the console is.
    pub control: SocketAddr,
    /// Its state folder, absolute.
    pub state: PathBuf,
    console: Running,
    _holds: Vec<Hold>,
}

/// The first of these nodes in the order of the file; `None` when they are all of them, or none was named.
fn first_of_some(config: &Config, nodes: &[NodeName]) -> Option<(usize, NodeName)> {
    let all = nodes.is_empty() || config.nodes.iter().all(|n| nodes.contains(&n.name));
    let first = || config.nodes.iter().enumerate().find(|(_, n)| nodes.contains(&n.name));
    if all { None } else { first().map(|(i, n)| (i, n.name.clone())) }
}

/// Takes the state folder: alone for a process that runs all nodes, and otherwise the folder of the process within it.
fn hold(home: &Path, state: &StateFolder) -> Result<Vec<Hold>, NodeError> {
    let in_use = |folder: &Path, control: Option<ControlFile>| {
        let by = control.map(|c| format!(": process {}, control at {}", c.pid, c.address));
        NodeError::StateInUse { folder: folder.to_owned(), by: by.unwrap_or_default() }
    };
    let mut holds = Vec::new();
    if state.path() != home {
        let whole = Hold::share(&home.join(LOCK_FILE))?;
        holds.push(whole.ok_or_else(|| in_use(home, None))?);
    }
    let own = Hold::take(&state.path().join(LOCK_FILE))?;
    holds.push(own.ok_or_else(|| in_use(state.path(), state.control()))?);
    Ok(holds)
}

/// Where the console listens unless it was said: each of several processes has a port of its own, one after the other.
fn control_of(config: &Config, first: Option<usize>) -> SocketAddr {
    let mut address = config.settings.control;
    if let Some(first) = first.filter(|_| address.port() != 0) {
        let step = u16::try_from(first).unwrap_or(u16::MAX);
        address.set_port(address.port().saturating_add(step));
    }
    address
}

impl Up {
    /// Starts nodes and console.
    ///
    /// # Errors
    /// [`NodeError`]: a port is taken, the state folder cannot be used, ...
    pub async fn start(mut config: Config, setup: &Setup) -> Result<Self, NodeError> {
        install_panic_hook();
        if let Some(unknown) = setup.nodes.iter().find(|name| config.nodes.iter().all(|n| n.name != **name)) {
            return Err(NodeError::UnknownNode(unknown.clone()));
        }
        let some = first_of_some(&config, &setup.nodes);
        choose_ports(&mut config, some.is_none())?;
        // Commands read where the token is from another working folder than this one.
        let folder = std::path::absolute(&setup.state).unwrap_or_else(|_| setup.state.clone());
        let state = StateFolder::open(&folder, some.as_ref().map(|(_, first)| first), Arc::new(RealDisk))?;
        let holds = hold(&folder, &state)?;
        let (token, token_file) = state.token()?;
        let process = Process::new(&config, &setup.nodes, state)?;
        process.start_all().await?;
        let address = setup.control.unwrap_or_else(|| control_of(&config, some.map(|(position, _)| position)));
        let listen = Listen { address, beyond_loopback: setup.beyond_loopback };
        let console = serve(listen, Access { token, token_file: token_file.clone() }, process.clone())?;
        let control = console.address();
        let nodes = process.names();
        let file = ControlFile { address: control.to_string(), token_file, pid: std::process::id(), nodes };
        process.state().write_control(&file)?;
        Ok(Self { process, control, state: folder, console, _holds: holds })
    }
    /// Tells commands that do not name a state folder where this one is. Where that cannot be written they have to name it, and this says so.
    pub(crate) fn point(&self, places: &Places) -> Option<Marker> {
        let pointer = Pointer {
            cluster: self.process.directory().cluster.to_string(),
            nodes: self.process.names().iter().map(ToString::to_string).collect(),
            state: self.state.clone(),
            pid: std::process::id(),
            others: Vec::new(),
        };
        match running::leave(places.usual.as_deref()?, &pointer, Clock::system().unix_millis().0) {
            Ok(marker) => Some(marker),
            Err(e) => {
                // Nobody may read it; nothing depends on it.
                let _ = writeln!(std::io::stderr(), "note: {e}; commands need --state {}", self.state.display());
                None
            }
        }
    }
    /// Ends nodes, then the console.
    pub async fn end(self, politely: bool) {
        self.process.end(politely).await;
        self.console.stop();
    }
}

/// Whether every node has ports of its own in the file: of several processes none knows which one another has found.
///
/// # Errors
/// [`NodeError::PortNotGiven`] naming the first node that has not.
pub(crate) fn check_ports(config: &Config) -> Result<(), NodeError> {
    let open = config.nodes.iter().find(|n| n.sip_udp == 0 || n.sip_tcp == 0);
    open.map_or(Ok(()), |node| Err(NodeError::PortNotGiven(node.name.clone())))
}

/// Port 0 takes a free one, the same for all addresses of the node, so that others can be told where it is.
fn choose_ports(config: &mut Config, alone: bool) -> Result<(), NodeError> {
    if !alone {
        return check_ports(config);
    }
    for node in &mut config.nodes {
        let ip = node.addresses().first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        if node.sip_udp == 0 {
            node.sip_udp = DatagramSocket::bind(SocketAddr::new(ip, 0))?.local_addr().port();
        }
        if node.sip_tcp == 0 {
            node.sip_tcp = stream::free_port(ip)?;
        }
    }
    Ok(())
}

/// What went wrong at the start, for people.
pub(crate) fn failure(error: &NodeError) -> Failure {
    let failure = Failure::new(Exit::Failed, error.to_string());
    match error {
        NodeError::StateInUse { folder, .. } => failure
            .remedy(format!("ask it: tandem --state {} status", folder.display()))
            .remedy("or name another folder for this one with --state DIR"),
        NodeError::Host(HostError::Disk { .. }) => {
            failure.remedy("Tandem keeps its state there; name a folder that it may write with --state DIR")
        }
        NodeError::Console(ConsoleError::NotLoopback(_)) => failure
            .remedy("`tandem run` takes it with --allow-remote-control; there is no TLS: put a proxy in front of it"),
        NodeError::Host(_) => {
            failure.remedy("is another Tandem running? `tandem status` tells; or use other ports and another --state")
        }
        NodeError::OtherCluster { .. } => {
            failure.remedy("name another folder for this cluster with --state DIR").remedy(
                "a cluster is renamed in its database first (`tandem config set cluster cluster name=NAME`), then in \
                 the file, before the next start",
            )
        }
        NodeError::PortNotGiven(_) => {
            failure.remedy("give every [[node]] a sip_udp and sip_tcp, or run all nodes in one process (`tandem run`)")
        }
        NodeError::NoLink => failure
            .remedy(BUILD_WITH_LINK)
            .remedy("or take the `link` lines out: then the nodes are processes of one host, or one process"),
        NodeError::UnknownNode(_) => failure.remedy("the nodes are listed under [[node]] in the configuration file"),
        _ => failure,
    }
}

/// Runs until SIGINT or SIGTERM, then ends in good order; a second signal ends at once.
///
/// # Errors
/// [`Failure`] when it cannot be started.
pub fn run(options: RunOptions) -> Result<(), Failure> {
    let config = check::load(&options.config)?;
    let setup = Setup {
        nodes: options.nodes.clone(),
        state: options.places.folder(config.settings.state_dir.as_deref())?,
        control: options.control,
        beyond_loopback: options.control_beyond_loopback,
    };
    let (json, supervised) = (options.json, options.supervised);
    let places = options.places;
    let done = run_main(async move {
        let up = Up::start(config, &setup).await.map_err(|e| failure(&e))?;
        let _pointer = up.point(&places);
        announce(&up, json);
        let process = Arc::clone(&up.process);
        let watch = tokio::task::spawn_local(async move { process.watch().await });
        let politely = tokio::select! {
            _ = interrupted() => true,
            // Whoever started it ends all of the cluster, or is gone: there is nobody to send a device to.
            _ = abandoned(), if supervised => false,
        };
        say("stopping (once more to stop at once)", json);
        let again = tokio::task::spawn_local(interrupted());
        let end = up.end(politely);
        tokio::select! {
            () = end => {}
            _ = again => {}
        }
        watch.abort();
        Ok(())
    });
    done.unwrap_or_else(|e| Err(Failure::new(Exit::Failed, e.to_string())))
}

fn announce(up: &Up, json: bool) {
    let names: Vec<String> = up.process.names().iter().map(ToString::to_string).collect();
    if json {
        let mut line = serde_json::json!({ "control": up.control.to_string(), "state": up.state, "nodes": names });
        if let (Some(token), Some(line)) = (up.process.first_token(), line.as_object_mut()) {
            line.insert("first_token".to_owned(), token.into());
        }
        return say(&line.to_string(), false);
    }
    say(
        &format!(
            "cluster {}: {} in this process, {} devices configured",
            up.process.directory().cluster,
            names.join(", "),
            up.process.directory().len()
        ),
        json,
    );
    say(&format!("console  http://{}/", up.control), json);
    say(&format!("metrics  http://{}/metrics", up.control), json);
    say(&format!("ask it   tandem --state {} status", up.state.display()), json);
    if let Some(token) = up.process.first_token() {
        say(&first_token(token), json);
    }
}

/// What a first start says of the token that it made.
pub(crate) fn first_token(token: &str) -> String {
    format!("token    {token} (admin, good once within a day; the first thing to do with it: `tandem user add`)")
}

/// A line for people on the standard output; scripts read JSON only.
pub(crate) fn say(line: &str, quiet: bool) {
    if !quiet {
        // Whoever closed the pipe does not want to hear more.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
