//! The command line as types: every command, option, default and help text.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

const TOP_HELP: &str = "\
EXAMPLES
  cargo build --release --workspace
  target/release/tandem-bench sitting                  everything in turn, one table (about an hour)
  target/release/tandem-bench sitting --growth-seconds 0 --overload-seconds 0
  target/release/tandem-bench register --part refresh,challenged --devices 100000
  target/release/tandem-bench register --server kamailio --part refresh
  target/release/tandem-bench cluster                  three nodes beside Kamailio with DMQ
  target/release/tandem-bench database                 imports, changes, starts (about ten minutes)
  target/release/tandem-bench -o json sitting > sitting.json
  sudo target/release/tandem-bench hosts               three hosts that are cut off, killed, frozen (about ten minutes)

Two cores are needed: the server gets one, the generator the other and spins.
CPU is what the kernel's scheduler counted for the server's whole process tree.
A row marked ~ was disturbed by other work; one marked ! does not count.

EXIT CODES
  0  measured (whether the aims are met stands in the table)
  1  something could not be measured, or a row does not count
  2  wrong command line";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "tandem-bench", version, max_term_width = 120, after_help = TOP_HELP, subcommand_required = true)]
#[command(about = "What an operation costs Tandem, beside a bare UDP exchange and Kamailio in the same sitting")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// Form of the result
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub(crate) output: Form,
    /// Core of the servers
    #[arg(long, global = true, default_value = "0", value_name = "CORE")]
    pub(crate) server_core: String,
    /// Core of the generator
    #[arg(long, global = true, default_value = "1", value_name = "CORE")]
    pub(crate) generator_core: String,
    /// Niceness of servers and generator: -20 runs ahead of other work of the session, where that is allowed
    #[arg(long, global = true, default_value_t = 0, allow_negative_numbers = true, value_name = "N")]
    pub(crate) nice: i32,
    /// Folder for configurations, state and logs [default: a new one in the temporary folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) work: Option<PathBuf>,
    /// The program tandem [default: beside this program]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tandem: Option<PathBuf>,
    /// The program kamailio
    #[arg(long, global = true, default_value = "/usr/sbin/kamailio", value_name = "FILE")]
    pub(crate) kamailio: PathBuf,
}

/// Form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people
    #[default]
    Text,
    /// For documents
    Markdown,
    /// For scripts
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The bare UDP exchange alone: what everything else is compared with
    Floor {
        /// Runs
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        runs: u32,
    },
    /// REGISTER over UDP against one server
    Register(Register),
    /// REGISTER over TCP, a connection per phone
    Tcp {
        /// Connections
        #[arg(long, default_value_t = 9_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
        connections: u32,
        /// Rounds per run
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rounds: u32,
        /// Runs
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        runs: u32,
    },
    /// Memory per registered device, and whether it grows while they refresh
    Memory {
        /// Devices; may be given several times
        #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000], value_parser = clap::value_parser!(u32).range(2..=2_000_000))]
        devices: Vec<u32>,
        /// Seconds of refreshes as fast as they go, at the first number of devices
        #[arg(long, default_value_t = 600, value_name = "SECONDS")]
        growth_seconds: u64,
    },
    /// Three nodes: a replicated REGISTER, how soon it is known everywhere, a node that joins, a node that is killed
    Cluster(crate::cluster::Options),
    /// The configuration database: imports, single changes, the start of a node, memory, and what it costs registrations
    Database(crate::database::Options),
    /// All of it in turn, with the bare exchange and Kamailio before and after, and the aims
    Sitting(Sitting),
    /// A server that reads nothing: the floor (started by the other commands)
    #[command(hide = true)]
    Echo {
        /// Where it listens
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Burns a core (started by the other commands)
    #[command(hide = true)]
    Spin,
    /// Hosts cut off from each other, killed and frozen, as network namespaces (root)
    #[command(after_help = HOSTS_HELP)]
    Hosts(Hosts),
    /// Prints a page of a server (started by `hosts` in a host's namespace)
    #[command(hide = true)]
    Page {
        /// Which
        url: String,
    },
    /// Simulated phones, told what to do over the standard input (started by `hosts` in the phones' namespace)
    #[command(hide = true)]
    Phones,
}

/// A server to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Registrar {
    /// This project
    Tandem,
    /// Where it is installed
    Kamailio,
}

/// A part of `register`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// First registration of every device
    Fill,
    /// Each further one
    Refresh,
    /// Challenged, then with credentials
    Challenged,
    /// Refreshes at a given rate
    Paced,
    /// Twice what the server can carry (Tandem only)
    Overload,
}

/// `tandem-bench register`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Register {
    /// Which server
    #[arg(long, value_enum, default_value_t = Registrar::Tandem)]
    pub(crate) server: Registrar,
    /// Devices
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..=2_000_000))]
    pub(crate) devices: u32,
    /// Which parts
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Fill, Part::Refresh, Part::Challenged, Part::Paced, Part::Overload])]
    pub(crate) part: Vec<Part>,
    /// Runs of each part
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) runs: u32,
    /// Operations per run
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) operations: u64,
    /// Rate of the paced part, per second
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) rate: u64,
    /// Length of the overload
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) overload_seconds: u64,
    /// Newcomers among a hundred arrivals of the overload
    #[arg(long, default_value_t = 10, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(0..=100))]
    pub(crate) newcomers: u64,
}

/// `tandem-bench sitting`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Sitting {
    /// Runs of each row
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) runs: u32,
    /// Operations per run
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) operations: u64,
    /// Devices of the main rows
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..=2_000_000))]
    pub(crate) devices: u32,
    /// Devices of the rows that show whether the cost is flat
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 1_000_000], value_parser = clap::value_parser!(u32).range(2..=2_000_000))]
    pub(crate) also: Vec<u32>,
    /// TCP connections; 0 leaves them out
    #[arg(long, default_value_t = 9_000, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub(crate) connections: u32,
    /// Length of the refreshes that memory must not grow under; 0 leaves them out
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) growth_seconds: u64,
    /// Length of the overload; 0 leaves it out
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) overload_seconds: u64,
}

const HOSTS_HELP: &str = "\
Three hosts, each a network namespace with a node of its own (tandem run --node)
and two cables: to the other nodes, and to the phones. The nodes meet over QUIC
with certificates of tandem cluster certs. Needs root, iproute2, nftables, and a
tandem that was built with --features zenoh.

SCENARIOS
  kill       kill -9 of CCM1's process; started again
  stop       SIGTERM to it; started again
  freeze     SIGSTOP to it; SIGCONT
  partition  CCM1's cable to the other nodes is pulled; phones reach all
  pair       CCM1 and CCM2 do not hear each other, CCM3 hears both
  one-way    CCM2 does not hear CCM1; everything else is heard
  host       both cables of CCM1's host are pulled
  flap       its cable to the nodes, 1 s out and 1 s in, again and again
  flap-host  both cables, likewise
  busy       nothing, while two programs keep two cores busy (only when named)

EXAMPLES
  cargo build --release -p tandem -p tandem-bench --features tandem/zenoh
  sudo target/release/tandem-bench hosts
  sudo target/release/tandem-bench hosts --devices 800 --only partition,flap
  sudo target/release/tandem-bench hosts --only busy --devices 4000

EXIT CODES
  0  every scenario passed
  1  one failed, or could not be run
  2  wrong command line";

/// `tandem-bench hosts`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Hosts {
    /// Phones, in the proportions of the sample cluster (a multiple of eight)
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(8..=500_000))]
    pub(crate) devices: u32,
    /// Only these scenarios, in the order of the list below
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub(crate) only: Vec<String>,
    /// Only say whether this machine lets it run
    #[arg(long)]
    pub(crate) look: bool,
    /// How long a cut lasts, and a dead process stays dead; phones of a host that is cut off altogether need some 20 s to notice
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(3..=3_600))]
    pub(crate) cut_seconds: u64,
    /// How long a process stands still
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(3..=3_600))]
    pub(crate) freeze_seconds: u64,
    /// How long a cable flaps
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(2..=3_600))]
    pub(crate) flap_seconds: u64,
    /// How long two cores are kept busy
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) busy_seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
        let cli =
            Cli::try_parse_from(["tandem-bench", "register", "--part", "refresh,paced", "--nice", "-20"]).unwrap();
        let Command::Register(register) = cli.command else { panic!("another command") };
        assert_eq!((register.part, cli.global.nice), (vec![Part::Refresh, Part::Paced], -20));
        assert!(Cli::try_parse_from(["tandem-bench", "register", "--devices", "1"]).is_err());
    }
}
