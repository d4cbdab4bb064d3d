//! `tandem run`: the nodes of a configuration file in one process, until it is told to stop.

use crate::cli::running::{self, Pointer};
use crate::cli::state::Places;
use crate::cli::{Exit, Failure, RunOptions, check};
use crate::error::NodeError;
use crate::process::Process;
use crate::state::StateFolder;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tandem_base::NodeName;
use tandem_console::{Access, ConsoleError, Listen, Running, serve};
use tandem_host::HostError;
use tandem_host::arbiter::{interrupted, run_main};
use tandem_host::clock::Clock;
use tandem_host::datagram::DatagramSocket;
use tandem_host::disk::RealDisk;
use tandem_host::hold::{Hold, Marker};
use tandem_host::supervise::install_panic_hook;
use tandem_model::admin::ControlFile;
use tandem_model::config::Config;

/// The file by which a process holds its state folder.
const LOCK_FILE: &str = "lock";

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
    _hold: Hold,
}

impl Up {
    /// Starts nodes and console.
    ///
    /// # Errors
    /// [`NodeError`]: a port is taken, the state folder cannot be used, ...
    pub async fn start(mut config: Config, setup: &Setup) -> Result<Self, NodeError> {
        install_panic_hook();
        choose_ports(&mut config)?;
        // Commands read where the token is from another working folder than this one.
        let folder = std::path::absolute(&setup.state).unwrap_or_else(|_| setup.state.clone());
        let state = StateFolder::open(&folder, Box::new(RealDisk))?;
        let Some(hold) = Hold::take(&folder.join(LOCK_FILE))? else {
            let by = state.control().map(|c| format!(": process {}, control at {}", c.pid, c.address));
            return Err(NodeError::StateInUse { folder, by: by.unwrap_or_default() });
        };
        let (token, token_file) = state.token()?;
        let process = Process::new(&config, &setup.nodes, state)?;
        process.start_all().await?;
        let address = setup.control.unwrap_or(config.settings.control);
        let listen = Listen { address, beyond_loopback: setup.beyond_loopback };
        let console = serve(listen, Access { token, token_file: token_file.clone() }, process.clone())?;
        let control = console.address();
        let file = ControlFile { address: control.to_string(), token_file, pid: std::process::id() };
        process.state().write_control(&file)?;
        Ok(Self { process, control, state: folder, console, _hold: hold })
    }
    /// Tells commands that do not name a state folder where this one is. Where that cannot be written they have to name it, and this says so.
    pub(crate) fn point(&self, places: &Places) -> Option<Marker> {
        let pointer = Pointer {
            cluster: self.process.directory.cluster.to_string(),
            nodes: self.process.names().iter().map(ToString::to_string).collect(),
            state: self.state.clone(),
            pid: std::process::id(),
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

/// Port 0 takes a free one, the same for all addresses of the node, so that others can be told where it is.
fn choose_ports(config: &mut Config) -> Result<(), NodeError> {
    for node in &mut config.nodes {
        let ip = node.addresses().first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        for port in [&mut node.sip_udp, &mut node.sip_tcp] {
            if *port == 0 {
                *port = DatagramSocket::bind(SocketAddr::new(ip, 0))?.local_addr().port();
            }
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
    let json = options.json;
    let places = options.places;
    let done = run_main(async move {
        let up = Up::start(config, &setup).await.map_err(|e| failure(&e))?;
        let _pointer = up.point(&places);
        announce(&up, json);
        let process = Arc::clone(&up.process);
        let watch = tokio::task::spawn_local(async move { process.watch().await });
        let _ = interrupted().await;
        say("stopping (once more to stop at once)", json);
        let again = tokio::task::spawn_local(interrupted());
        let end = up.end(true);
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
        let line = serde_json::json!({ "control": up.control.to_string(), "state": up.state, "nodes": names });
        return say(&line.to_string(), false);
    }
    say(
        &format!(
            "cluster {}: {} in this process, {} devices configured",
            up.process.directory.cluster,
            names.join(", "),
            up.process.directory.len()
        ),
        json,
    );
    say(&format!("console  http://{}/", up.control), json);
    say(&format!("metrics  http://{}/metrics", up.control), json);
    say(&format!("ask it   tandem --state {} status", up.state.display()), json);
}

/// A line for people on the standard output; scripts read JSON only.
pub(crate) fn say(line: &str, quiet: bool) {
    if !quiet {
        // Whoever closed the pipe does not want to hear more.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
