//! The command line of `tandem`: from arguments to an exit code.
//!
//! `run` and `quickstart` start nodes and are passed in as [`Programs`]; all other commands ask a running process over its control
//! endpoint, or only read a file. It must never reach into a node: what the API does not say, the command line does not know.

pub mod args;
pub mod change;
pub mod check;
pub mod client;
pub mod cluster;
pub mod complete;
pub mod config;
pub mod device;
pub mod events;
pub mod failure;
pub mod group;
pub mod node;
pub mod output;
pub mod people;
pub mod pool;
pub mod processes;
pub mod running;
pub mod state;
pub mod status;
mod yaml;

pub use args::Cli;
pub use failure::{Exit, Failure};

use args::{Cluster, Command, Global};
use clap::{CommandFactory, Parser};
use output::Out;
use processes::Processes;
use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tandem_base::NodeName;

/// What `tandem run` was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// The configuration file.
    pub config: PathBuf,
    /// Nodes to run; empty means all of the file.
    pub nodes: Vec<NodeName>,
    /// Where state is kept; may not exist yet.
    pub places: state::Places,
    /// Where to listen for control; `None` leaves it to the configuration or a free loopback port.
    pub control: Option<SocketAddr>,
    /// Whether `control` may be an address that other hosts reach.
    pub control_beyond_loopback: bool,
    /// Whether it ends when its standard input does.
    pub supervised: bool,
    /// Whether scripts read the output (`-o json`).
    pub json: bool,
}

/// What `tandem up` was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpOptions {
    /// The configuration file.
    pub config: PathBuf,
    /// Where state is kept; may not exist yet.
    pub places: state::Places,
    /// Where the first process listens for control, the others on the ports after it; `None` leaves it to the configuration.
    pub control: Option<SocketAddr>,
    /// Whether `control` may be an address that other hosts reach.
    pub control_beyond_loopback: bool,
    /// Whether scripts read the output (`-o json`).
    pub json: bool,
}

/// What `tandem quickstart` was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuickstartOptions {
    /// Simulated phones.
    pub devices: u32,
    /// Where state is kept; may not exist yet.
    pub places: state::Places,
    /// Where to listen for control; `None` takes a free loopback port.
    pub control: Option<SocketAddr>,
    /// Whether scripts read the output (`-o json`).
    pub json: bool,
}

/// The commands that run nodes; each returns when it was told to stop.
pub struct Programs<'a> {
    /// `tandem run`.
    pub run: &'a dyn Fn(RunOptions) -> Result<(), Failure>,
    /// `tandem up`.
    pub up: &'a dyn Fn(UpOptions) -> Result<(), Failure>,
    /// `tandem quickstart`.
    pub quickstart: &'a dyn Fn(QuickstartOptions) -> Result<(), Failure>,
}

/// Reads the arguments of the process and does what they say.
pub fn main(programs: &Programs<'_>) -> ExitCode {
    // Answers a shell that completes a command line, and ends then; does nothing otherwise.
    clap_complete::CompleteEnv::with_factory(Cli::command).complete();
    match parse(std::env::args_os()) {
        Ok(cli) => dispatch(cli, programs),
        Err(error) => {
            // Help goes to the standard output, a usage error to the standard error. A closed pipe changes nothing.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() }
        }
    }
}

/// Reads arguments, the program's name first.
///
/// # Errors
/// What clap has to say: a usage error, or the help or version that was asked for.
pub fn parse(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(arguments)
}

/// Does what the arguments say; failures are printed to the standard error.
pub fn dispatch(cli: Cli, programs: &Programs<'_>) -> ExitCode {
    let mut out = Out::standard(cli.global.output);
    let done = carry_out(cli, programs, &mut out).and_then(|()| out.flush());
    match done {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                // What was printed so far stands before the failure; if neither can be written, nobody reads.
                let _ = out.flush();
                let _ = writeln!(std::io::stderr(), "{failure}");
            }
            failure.exit.into()
        }
    }
}

fn carry_out(cli: Cli, programs: &Programs<'_>, out: &mut Out<'_>) -> Result<(), Failure> {
    let global = cli.global;
    match cli.command {
        Command::Run(run) => (programs.run)(run_options(&global, run)?),
        Command::Up(up) => (programs.up)(UpOptions {
            config: up.config,
            places: state::Places::of(&global),
            control: listen_address(&global)?,
            control_beyond_loopback: up.allow_remote_control,
            json: is_json(&global),
        }),
        Command::Quickstart(quickstart) => (programs.quickstart)(QuickstartOptions {
            devices: quickstart.devices,
            places: state::Places::of(&global),
            control: listen_address(&global)?,
            json: is_json(&global),
        }),
        Command::Check(check) => check::check(&check.config, out),
        Command::Config(command) => config::command(&|| Processes::find(&global), &command, out),
        Command::Cluster(Cluster::Certs(options)) => cluster::certs(&state::Places::of(&global), &options, out),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tandem", &mut script);
            out.text(&String::from_utf8_lossy(&script))
        }
        Command::Status => status::status(&Processes::find(&global)?, out),
        Command::Node(command) => node::command(&Processes::find(&global)?, &command, out),
        Command::Device(command) => device::command(Processes::find(&global)?.any(), &command, out),
        Command::Group(command) => group::command(Processes::find(&global)?.any(), &command, out),
        Command::Pool(command) => pool::command(Processes::find(&global)?.any(), &command, out),
        Command::User(command) => people::command(Processes::find(&global)?.any(), &command, out),
        Command::Failback(failback) => group::failback(&Processes::find(&global)?, &failback, out),
        Command::Events(query) => events_of(&global, &query, out),
    }
}

/// Events of the only process, of the one that runs the node that was named, or of all.
fn events_of(global: &Global, query: &args::Events, out: &mut Out<'_>) -> Result<(), Failure> {
    let processes = Processes::find(global)?;
    match (&query.node, query.follow) {
        (None, follow) if !processes.is_single() => {
            if query.after.is_some() {
                let failure = Failure::new(Exit::Usage, "each of several processes numbers its own events");
                return Err(failure.remedy("say whose number it is: --node NAME --after NUMBER"));
            }
            if follow {
                events::follow_all(global, &processes, query, out)
            } else {
                events::list_all(&processes, query, out)
            }
        }
        (node, true) => {
            let connect = || Ok(Processes::find(global)?.into_client(node.as_deref()));
            events::follow(&connect, &events::pause, query, out)
        }
        (node, false) => events::list(&processes.into_client(node.as_deref()), query, out),
    }
}

fn run_options(global: &Global, run: args::Run) -> Result<RunOptions, Failure> {
    Ok(RunOptions {
        config: run.config,
        nodes: run.nodes,
        places: state::Places::of(global),
        control: listen_address(global)?,
        control_beyond_loopback: run.allow_remote_control,
        supervised: run.supervised,
        json: is_json(global),
    })
}
fn is_json(global: &Global) -> bool {
    global.output != args::Format::Table
}
fn listen_address(global: &Global) -> Result<Option<SocketAddr>, Failure> {
    global.control.as_deref().map(state::listen_address).transpose()
}

#[cfg(test)]
mod tests;
