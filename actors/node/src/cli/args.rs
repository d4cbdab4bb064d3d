//! The command line as types: every command, option, default and help text.
//!
//! Help teaches by example. Words only: nothing is done here, and no option takes a secret (they would show in the process list).

mod config;
mod rows;

pub use config::{Apply, Config, Export, FileForm, Get, History, Import};
pub use rows::{Change, Device, DeviceFields, Group, GroupFields, Pool, PoolFields, RoleName, Token, User, UserFields};

use super::complete;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;
use std::path::PathBuf;
use tandem_base::NodeName;
use tandem_model::admin::DeviceState;

const TOP_HELP: &str = "\
FIRST STEPS
  tandem quickstart                     three CallManagers and 800 simulated phones in this process
  tandem status                         in another terminal: who serves whom
  tandem node kill CCM1                 its phones move to the next CallManager of their group
  tandem events --follow                watch them move
  tandem node start CCM1                and go home, calmly

HOW COMMANDS FIND A RUNNING TANDEM
  `run` and `quickstart` write control.json (address, token file, process id)
  to their state folder; the other commands read it there. The state folder is
  --state, else $TANDEM_STATE, else (for `run`) state_dir of the configuration,
  else $XDG_STATE_HOME/tandem, else ~/.local/state/tandem. A command that names
  none takes the only Tandem of this user that runs; when several run it lists
  them. --control replaces the address of control.json. Processes of one
  cluster (`up`, or `run --node`) share a state folder and count as one Tandem:
  a command asks the one that it concerns, or all of them.

EXIT CODES
  0  done
  1  refused or failed
  2  wrong command line
  3  the control endpoint cannot be reached

Colour is used on a terminal only, and never when NO_COLOR is set.";

const HEADING: &str = "Options of every command";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "tandem", version, max_term_width = 120, after_help = TOP_HELP, subcommand_required = true)]
#[command(about = "An open call-processing cluster: phones register, CallManagers fail over and back")]
#[expect(missing_docs, reason = "the fields are groups of options that document themselves")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Form of the output: table for people, json or yaml for scripts
    #[arg(short, long, global = true, help_heading = HEADING, value_enum, hide_possible_values = true, default_value_t, value_name = "FORM")]
    pub output: Format,
    /// State folder [default: $TANDEM_STATE, that of the only Tandem that runs, or ~/.local/state/tandem]
    #[arg(long, global = true, help_heading = HEADING, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Control address: where run and quickstart listen, and where all others connect [default: as in control.json]
    #[arg(long, global = true, help_heading = HEADING, value_name = "ADDRESS")]
    pub control: Option<String>,
    /// File with the control token [default: as in control.json]
    #[arg(long, global = true, help_heading = HEADING, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For scripts
    Json,
    /// For scripts and people
    Yaml,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run nodes of a cluster in this process
    Run(Run),
    /// Run a cluster on this host, one process per node, and restart what dies
    Up(UpArgs),
    /// Run a whole cluster with simulated phones, to see it move
    Quickstart(Quickstart),
    /// Read a configuration file and say what is wrong with it
    Check(Check),
    /// The configuration: rows, changes, files
    #[command(subcommand)]
    Config(Config),
    /// About the cluster as a whole
    #[command(subcommand)]
    Cluster(Cluster),
    /// The cluster at a glance: nodes, groups, registrations by rank
    #[command(after_help = "EXAMPLES\n  tandem status\n  tandem status -o json | jq '.registrations.by_rank'")]
    Status,
    /// List nodes; stop, kill or start one of the running process
    #[command(subcommand)]
    Node(Node),
    /// List devices, see one, change them
    #[command(subcommand)]
    Device(Device),
    /// List CallManager groups, see one, change them
    #[command(subcommand)]
    Group(Group),
    /// List device pools, see one, change them
    #[command(subcommand)]
    Pool(Pool),
    /// Users and tokens of the admin API, and who did what
    #[command(subcommand)]
    User(User),
    /// Call the devices of a group home to their best CallManager in service
    Failback(Failback),
    /// What happened: failovers, failbacks, nodes coming and going
    Events(Events),
    /// Print a completion script for a shell
    #[command(after_help = "EXAMPLES
  tandem completions bash > ~/.local/share/bash-completion/completions/tandem
  source <(COMPLETE=bash tandem)     in ~/.bashrc: completes names of devices, groups, pools and nodes, too
  source <(COMPLETE=zsh tandem)      in ~/.zshrc

The second form asks the running cluster while you type; it is made anew by each `tandem`, so source it instead of
keeping it in a file.")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// `tandem run`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES
  tandem run --config cluster.toml                all its nodes in one process
  tandem run --config cluster.toml --node CCM1    one of them; the others run in processes with the same state folder
                                                  or, when the nodes have `link` addresses, on other hosts
  tandem run --config cluster.toml --control 127.0.0.1:7060

An interrupt (Ctrl-C) or SIGTERM stops the nodes in good order.")]
pub struct Run {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Node to run here; may be given several times [default: all nodes of the file]
    #[arg(long = "node", value_name = "NAME")]
    pub nodes: Vec<NodeName>,
    /// Let --control be an address that other hosts reach (there is no TLS: put a proxy in front of it)
    #[arg(long)]
    pub allow_remote_control: bool,
    /// End when the standard input does: how `tandem up` holds its processes
    #[arg(long, hide = true)]
    pub supervised: bool,
}

/// `tandem up`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES
  tandem up --config cluster.toml
  tandem up --config cluster.toml --control 127.0.0.1:7060     control at 7060, 7061, ... in the order of the nodes
  kill -9 $(pgrep -f 'node CCM1')                              its devices move; a new process begins; they go home

An interrupt (Ctrl-C) or SIGTERM ends all processes; so does the end of this one.")]
pub struct UpArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Let --control be an address that other hosts reach (there is no TLS: put a proxy in front of it)
    #[arg(long)]
    pub allow_remote_control: bool,
}

/// `tandem quickstart`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES\n  tandem quickstart\n  tandem quickstart --devices 5000")]
pub struct Quickstart {
    /// Simulated phones, spread over the four groups of the sample cluster
    #[arg(long, value_name = "N", default_value_t = 800, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub devices: u32,
}

/// `tandem check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLE\n  tandem check --config cluster.toml && echo good")]
pub struct Check {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// `tandem cluster`.
#[derive(Clone, Debug, Subcommand)]
pub enum Cluster {
    /// Make certificates for the link between hosts: an authority, and one per node of the file
    Certs(Certs),
}

/// `tandem cluster certs`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES
  tandem cluster certs --config cluster.toml --out certificates    the first time
  tandem cluster certs --config cluster.toml --node CCM4           for a node that is new
  tandem cluster certs --config cluster.toml --force               new ones before the old ones expire

Copy ca.pem and NODE.pem, NODE.key into the certificates folder of the node's host. A node that runs takes new files by
itself. ca.key makes certificates: keep it away from the nodes.")]
pub struct Certs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Folder to write to [default: `certificates` of the configuration, or that folder of the state folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Only for this node; may be given several times [default: all nodes of the file]
    #[arg(long = "node", value_name = "NAME")]
    pub nodes: Vec<NodeName>,
    /// For how many days a node's certificate is good
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
    /// For how many days a new authority is good
    #[arg(long, value_name = "N", default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub ca_days: u32,
    /// Replace certificates that are there
    #[arg(long)]
    pub force: bool,
    /// Make a new authority; with --force also when there is one
    #[arg(long)]
    pub new_ca: bool,
}

/// `tandem node`.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = "EXAMPLES
  tandem node list
  tandem node stop CCM1      in good order: it tells its peers, then stops
  tandem node kill CCM1      as in a crash: at once, without a word
  tandem node start CCM1     a new life
  tandem node promote CCM2   the configuration is written there from now on")]
pub enum Node {
    /// List nodes: who runs, since which life, serving how many
    List,
    /// Stop a node in good order
    Stop {
        /// Name of the node
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::nodes))]
        name: String,
    },
    /// Kill a node as a crash would
    Kill {
        /// Name of the node
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::nodes))]
        name: String,
    },
    /// Start a node
    Start {
        /// Name of the node
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::nodes))]
        name: String,
    },
    /// Make a node the publisher: the configuration is written there
    #[command(after_help = "EXAMPLES
  tandem node promote CCM2            when CCM1, which published, is away for long
  tandem node promote CCM2 --force    although another node has changes that CCM2 has not: they are set aside there")]
    Promote {
        /// Name of the node
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::nodes))]
        name: String,
        /// Also when another node has changes that this one has not
        #[arg(long)]
        force: bool,
    },
}

/// `tandem device list`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "EXAMPLES
  tandem device list --node CCM2                     what CCM2 serves
  tandem device list --in-state unregistered --all   whom nobody serves
  tandem device list --search 1001                   by name or number
  tandem device list --all -o json | jq -r '.devices[].name'")]
pub struct DeviceList {
    /// Only devices of this CallManager group
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Only devices of this device pool
    #[arg(long, value_name = "NAME")]
    pub pool: Option<String>,
    /// Only devices that this node serves
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Only devices in this state: registered, orphaned, unregistered or quarantined
    #[arg(long, value_name = "STATE", value_parser = device_state)]
    pub in_state: Option<DeviceState>,
    /// Only devices with this text in their name, or with a number that begins with it
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// At most so many devices
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "all", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
    /// Every device, however many
    #[arg(long)]
    pub all: bool,
    /// Go on after this device, as an earlier list said
    #[arg(long, value_name = "DEVICE")]
    pub cursor: Option<String>,
}

fn device_state(text: &str) -> Result<DeviceState, String> {
    let words = || DeviceState::ALL.map(DeviceState::word).join(", ");
    DeviceState::ALL.into_iter().find(|s| s.word() == text).ok_or_else(|| format!("expected one of {}", words()))
}

/// `tandem failback`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "EXAMPLES
  tandem failback --group G2 --preview     who would move, and what they wait for
  tandem failback --group G2               idle devices first, at a calm pace")]
pub struct Failback {
    /// Name of the CallManager group
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub group: String,
    /// Move nothing, only say what would move
    #[arg(long)]
    pub preview: bool,
}

/// `tandem events`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "EXAMPLES
  tandem events --follow                        what happens from now on, until interrupted
  tandem events --since 10m --kind reregister   who moved in the last ten minutes
  tandem events --device SEP000000000001 --all
  tandem events --follow -o json                one JSON object a line

The journal is bounded; events that were asked for and are gone are counted in a note.")]
pub struct Events {
    /// Go on with what happens, until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// Only what happened in the last 30s, 10m, 24h or 7d
    #[arg(long, value_name = "TIME", value_parser = super::events::duration)]
    pub since: Option<std::time::Duration>,
    /// Only events after this number
    #[arg(long, value_name = "NUMBER", conflicts_with = "last")]
    pub after: Option<u64>,
    /// So many of the last events, before filters
    #[arg(long, value_name = "N")]
    pub last: Option<u64>,
    /// Everything that the journal still has [default: the last 100 events]
    #[arg(long, conflicts_with_all = ["last", "after"])]
    pub all: bool,
    /// Only events of this kind, such as reregister or node_down
    #[arg(long, alias = "type", value_name = "KIND")]
    pub kind: Option<String>,
    /// Only events of this node
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Only events of this CallManager group
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Only events of this device
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
}
