//! The command line: one subcommand per preset, one set of options for all of them.
//!
//! Every option says its unit and its default; `--help` of a preset says what it does, what to look at, and shows an example.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

use super::help;
use super::mix::Mix;
use super::threshold::Threshold;

/// See the module.
#[derive(Debug, Parser)]
#[command(name = "tandem-loadtest", version, about = help::ABOUT, long_about = help::LONG_ABOUT, after_long_help = help::after())]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// A run, or what is done with the summaries of runs.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Run(Preset),
    #[command(about = "Two runs beside each other: every figure, and the ratio", long_about = help::COMPARE)]
    Compare(Compare),
}

/// `compare`.
#[derive(Clone, Debug, Args)]
pub(super) struct Compare {
    /// Summary of the run to compare with, as --json wrote it
    pub(super) old: PathBuf,
    /// Summary of the other run
    pub(super) new: PathBuf,
    /// Output format
    #[arg(long = "output", short = 'o', value_enum, value_name = "FORMAT", default_value_t)]
    pub(super) format: Format,
}

/// What is written to stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Table,
    /// For scripts
    Json,
}

/// The presets.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Preset {
    #[command(about = "A ramp: devices are switched on at a steady pace", long_about = help::REGISTER)]
    Register(Box<Common>),
    #[command(about = "Steady state: registrations are refreshed at a steady pace", long_about = help::REFRESH)]
    Refresh(Box<Steady>),
    #[command(about = "All devices at once, as after a power cut", long_about = help::STORM)]
    Storm(Box<Storm>),
    #[command(about = "A node dies: who moves, how fast, is anybody lost?", long_about = help::FAILOVER)]
    Failover(Box<Kill>),
    #[command(about = "A dead node returns: its devices go home", long_about = help::FAILBACK)]
    Failback(Box<Kill>),
    #[command(about = "Each node in turn dies and returns, twice", long_about = help::ROLLING)]
    Rolling(Box<Rolling>),
    #[command(about = "One node comes and goes", long_about = help::FLAP)]
    Flap(Box<Flap>),
    #[command(about = "Steady state for hours, with a kill now and then if wanted", long_about = help::SOAK)]
    Soak(Box<Soak>),
}

impl Preset {
    /// Its word.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Register(_) => "register",
            Self::Refresh(_) => "refresh",
            Self::Storm(_) => "storm",
            Self::Failover(_) => "failover",
            Self::Failback(_) => "failback",
            Self::Rolling(_) => "rolling",
            Self::Flap(_) => "flap",
            Self::Soak(_) => "soak",
        }
    }

    /// What all presets have.
    pub(super) fn common(&self) -> &Common {
        match self {
            Self::Register(common) => common,
            Self::Refresh(o) => &o.common,
            Self::Storm(o) => &o.common,
            Self::Failover(o) | Self::Failback(o) => &o.common,
            Self::Rolling(o) => &o.common,
            Self::Flap(o) => &o.kill.common,
            Self::Soak(o) => &o.common,
        }
    }

    /// How nodes die and return, for presets in which some do.
    pub(super) const fn means(&self) -> Option<&Means> {
        match self {
            Self::Failover(o) | Self::Failback(o) => Some(&o.means),
            Self::Rolling(o) => Some(&o.means),
            Self::Flap(o) => Some(&o.kill.means),
            Self::Soak(o) => Some(&o.means),
            _ => None,
        }
    }
}

impl Preset {
    /// Whether a node dies.
    pub(super) fn kills(&self) -> bool {
        match self {
            Self::Soak(soak) => soak.kill_every.is_some(),
            other => other.means().is_some(),
        }
    }
}

/// Of all presets.
#[derive(Clone, Debug, Args)]
pub(super) struct Common {
    /// The cluster's configuration file: addresses, groups and device credentials are read from it
    #[arg(long, short, value_name = "FILE")]
    pub(super) config: PathBuf,
    /// How many devices, in the proportions of the file's pools [default: all of the file]
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) devices: Option<u32>,
    /// Devices switched on per second while the run begins [default: 200 for register, 1000 otherwise]
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// Everything random follows from it: the same seed gives the same schedule
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// So long from the beginning of measuring nothing counts yet [default: a tenth of the ramp up to 5s for register, 5s otherwise]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) warm_up: Option<Duration>,
    /// How messages travel
    #[arg(long, value_enum, default_value_t = Carrier::Udp)]
    pub(super) transport: Carrier,
    /// Behaviours and their weights: polite, rude (ignores Retry-After), slow (reacts after 700 ms), silent (never answers a request), wrong-password
    #[arg(long, value_name = "WORD=WEIGHT,...", default_value = "polite=1", value_parser = Mix::read)]
    pub(super) mix: Mix,
    /// Loopback addresses that the UDP sockets take turns on [default: 127.0.0.1 alone]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub(super) sources: Option<u32>,
    /// Devices behind one UDP socket
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) per_socket: u32,
    /// Each device has a loopback address and a socket of its own
    #[arg(long, conflicts_with_all = ["sources", "per_socket"])]
    pub(super) own_address: bool,
    /// Use a node's IPv6 address where it has one
    #[arg(long)]
    pub(super) ipv6: bool,
    /// Registration asked for, in seconds [default: 3600 for refresh, 120 otherwise]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(super) expires: Option<u32>,
    /// A device refreshes at least so often [default: 10s where nodes die, 30s otherwise]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) keepalive: Option<Duration>,
    /// Heartbeat of a device to the nodes that do not serve it, `off` for none [default: 30s, over TCP off]
    #[arg(long, value_name = "TIME", value_parser = optional_time)]
    pub(super) heartbeat: Option<Heartbeat>,
    /// No answer for so long means a dead node
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = humantime::parse_duration)]
    pub(super) patience: Duration,
    /// A device that lost its node waits at random up to so long before it turns to the next
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = humantime::parse_duration)]
    pub(super) jitter: Duration,
    /// A wait (all registered, all moved, all home) is given up when nothing has changed for so long [default: 60s, for a return 180s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) stall: Option<Duration>,
    /// Domain of every address-of-record [default: the cluster's name]
    #[arg(long, value_name = "DOMAIN")]
    pub(super) domain: Option<String>,
    /// Password of devices for which the file has none
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// Do not ask the nodes with OPTIONS whether they are there
    #[arg(long)]
    pub(super) no_probe: bool,
    /// State folder of the running `tandem` [default: the usual one, if there is a process]
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Control endpoint of the running `tandem`, host and port
    #[arg(long, value_name = "ADDRESS")]
    pub(super) control: Option<String>,
    /// File with the control token
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// There is no control endpoint: any registrar; counts are not reconciled
    #[arg(long, conflicts_with_all = ["state", "control", "token_file"])]
    pub(super) no_control: bool,
    /// What must hold, such as 'outage.p99<2s'; repeatable; `tandem-loadtest --help` lists the names
    #[arg(long, value_name = "DEMAND", value_parser = Threshold::read)]
    pub(super) threshold: Vec<Threshold>,
    /// The run is invalid when the generator itself sent later than this (99th percentile)
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = humantime::parse_duration)]
    pub(super) late_limit: Duration,
    /// The run is invalid when the phones' thread waited for a core for more than this share of the time, in percent: so many answers
    /// were read late
    #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(super) wait_limit: u8,
    /// Write the summary as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write the summary as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Only errors and the verdict
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// Say what would be done, with the schedule's fingerprint, and end
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Carrier {
    Udp,
    Tcp,
}

/// `refresh`.
#[derive(Clone, Debug, Args)]
pub(super) struct Steady {
    #[command(flatten)]
    pub(super) common: Common,
    /// Refreshes per second, by an open-loop schedule [default: each device every keepalive]
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    pub(super) refreshes: Option<f64>,
    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(super) duration: Duration,
}

/// `storm`.
#[derive(Clone, Debug, Args)]
pub(super) struct Storm {
    #[command(flatten)]
    pub(super) common: Common,
    /// All devices come back within this time [default: 1s, longer for more than 20000 devices]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) within: Option<Duration>,
    /// How long the power is off
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = humantime::parse_duration)]
    pub(super) dark: Duration,
}

/// How nodes die and return.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Means {
    /// Kill with this command instead of the control endpoint; {node} is the node's name
    #[arg(long, value_name = "COMMAND")]
    pub(super) kill_with: Option<String>,
    /// Bring back with this command instead of the control endpoint; {node} is the node's name
    #[arg(long, value_name = "COMMAND")]
    pub(super) return_with: Option<String>,
    /// Phones of a killed node learn at once that nobody listens there, as by an ICMP error, and turn to the next one
    /// within --jitter: how fast the others take them [default: over UDP they notice at their next refresh]
    #[arg(long)]
    pub(super) notice: bool,
}

/// `failover` and `failback`.
#[derive(Clone, Debug, Args)]
pub(super) struct Kill {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) means: Means,
    /// Which node [default: the one that is home to most devices]
    #[arg(long, value_name = "NAME")]
    pub(super) node: Option<String>,
    /// Seconds between the end of the warm-up and the kill (failover), or between all having moved and the return (failback)
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(super) at: Duration,
    /// Leave a node dead that the run killed [default: it is started again at the end]
    #[arg(long)]
    pub(super) leave_dead: bool,
}

/// `rolling`.
#[derive(Clone, Debug, Args)]
pub(super) struct Rolling {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) means: Means,
    /// How many times each node dies and returns
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) rounds: u32,
    /// Calm between two incidents
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(super) pause: Duration,
}

/// `flap`.
#[derive(Clone, Debug, Args)]
pub(super) struct Flap {
    #[command(flatten)]
    pub(super) kill: Kill,
    /// How long it is dead each time
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = humantime::parse_duration)]
    pub(super) down: Duration,
    /// How long it is alive each time
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(super) up: Duration,
    /// How many times
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) times: u32,
}

/// `soak`.
#[derive(Clone, Debug, Args)]
pub(super) struct Soak {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) means: Means,
    /// How long
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    pub(super) duration: Duration,
    /// Kill a node so often, each in turn; it returns half-way to the next
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) kill_every: Option<Duration>,
}

/// `--heartbeat`: `None` is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heartbeat(pub Option<Duration>);

fn optional_time(text: &str) -> Result<Heartbeat, String> {
    if text == "off" {
        return Ok(Heartbeat(None));
    }
    let time = humantime::parse_duration(text).map_err(|e| format!("{e}; use a time such as 30s, or off"))?;
    if time.is_zero() { Err("use a time longer than zero, or off".into()) } else { Ok(Heartbeat(Some(time))) }
}

/// Most arrivals per second that make sense to ask for.
const RATE_MAX: f64 = 1_000_000.0;

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= RATE_MAX => Ok(rate),
        _ => Err(format!("{text:?} is no rate: use a number per second above 0 and up to {RATE_MAX}")),
    }
}

/// The preset that such a command line asks for.
#[cfg(test)]
pub(super) fn preset(words: &str) -> Preset {
    let line = format!("tandem-loadtest {words}");
    match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
        Command::Run(preset) => preset,
        Command::Compare(_) => panic!("{words} is no preset"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(words: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(format!("tandem-loadtest {words}").split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn presets_have_sensible_defaults() {
        let Preset::Failover(kill) = preset("failover --config f") else { panic!() };
        assert_eq!((kill.at, kill.node.as_deref(), kill.common.seed), (Duration::from_secs(10), None, 1));
        assert_eq!(kill.common.patience, Duration::from_secs(4));
        let Preset::Flap(flap) = preset("flap -c f --times 3 --threshold outage.p99<2s") else { panic!() };
        assert_eq!((flap.times, flap.kill.common.threshold.len()), (3, 1));
    }

    #[test]
    fn impossible_values_are_refused_with_what_would_be_right() {
        let error = |words: &str| parse(words).unwrap_err().to_string();
        for wrong in ["0", "-3", "nan", "1e99", "fast"] {
            let text = error(&format!("register -c f --rate={wrong}"));
            assert!(text.contains("above 0 and up to"), "{text}");
        }
        assert!(error("register -c f --devices 0").contains("--devices"));
        assert!(error("register").contains("--config"));
        assert!(error("register -c f --heartbeat soon").contains("or off"));
        assert!(error("register -c f --mix polite=x").contains("weight"));
        assert!(error("register -c f --own-address --sources 3").contains("cannot be used with"));
        assert!(error("fialover -c f").contains("failover"));
    }

    #[test]
    fn every_preset_teaches() {
        for preset in Cli::command().get_subcommands_mut().filter(|c| c.get_name() != "help") {
            let name = preset.get_name().to_owned();
            let text = preset.render_long_help().to_string();
            for part in ["What it does", "What to look at", "Example", &format!("tandem-loadtest {name}")] {
                assert!(text.contains(part), "{name} lacks {part:?}");
            }
        }
    }
}
