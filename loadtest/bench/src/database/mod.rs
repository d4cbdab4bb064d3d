//! What the configuration database costs: an import and how soon every copy has it, single changes at a rate, the start of a node with many
//! devices, memory, and whether registrations got dearer. Three nodes, a process each, over their admin API, on a real disk.

mod api;
mod boot;
mod file;
mod import;
pub(crate) mod report;
mod speed;
mod visible;

pub(crate) use boot::{Boot, Held};
pub(crate) use import::Import;
pub(crate) use speed::Speed;
pub(crate) use visible::Changes;

use crate::bench::Bench;
use crate::cluster::Link;
use crate::cluster::nodes::{NAMES, Nodes};
use crate::error::Error;
use crate::generator::{FILL_STRIDE, Generator, Load, Pattern};
use crate::pause;
use crate::request::{DOMAIN, NAME_DIGITS, PASSWORD};
use api::Api;
use clap::{Args, ValueEnum};
use file::Form;
use serde::Serialize;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Phones of a series, which register while devices are imported. Imported ones have the numbers from here on.
pub(super) const PHONES: u32 = 5_000;
/// Rows of one import when a database of many devices is filled.
const PORTION: u32 = 100_000;
/// After something, before anything is measured.
const SETTLE: Duration = Duration::from_secs(1);

/// A part of `database`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// A file of devices, in both forms, until every copy has it
    Import,
    /// Single changes at a rate, until every node has each
    Visible,
    /// The start of a node with many devices in its copy, and its memory
    Boot,
    /// Registrations beside an older program (needs --before)
    Speed,
}

/// `tandem-bench database`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Which parts
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Import, Part::Visible, Part::Boot, Part::Speed])]
    pub(crate) part: Vec<Part>,
    /// Devices of the file that is imported, and of the database that single changes go to
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) devices: u32,
    /// Forms of the file
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Form::Csv, Form::Toml])]
    pub(crate) form: Vec<Form>,
    /// Single changes per second, round robin over the nodes
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// For so long
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) seconds: u32,
    /// Devices in the database when a node starts; may be given several times
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000], value_parser = clap::value_parser!(u32).range(1..=1_990_000))]
    pub(crate) boot: Vec<u32>,
    /// Of them so many register
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) registered: u32,
    /// A program tandem from before the database: registrations are measured with both, in turn
    #[arg(long, value_name = "FILE")]
    pub(crate) before: Option<PathBuf>,
    /// Runs of each program
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) runs: u32,
    /// Operations per run
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) operations: u64,
}

/// What no row says.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct DatabaseResults {
    pub(crate) imports: Vec<Import>,
    pub(crate) changes: Option<Changes>,
    pub(crate) boots: Vec<Boot>,
    pub(crate) held: Vec<Held>,
    pub(crate) speed: Option<Speed>,
}
impl DatabaseResults {
    pub(crate) fn any(&self) -> bool {
        let some = self.changes.is_some() || self.speed.is_some();
        some || !self.imports.is_empty() || !self.boots.is_empty() || !self.held.is_empty()
    }
}

/// All that is wanted, in turn.
pub(crate) fn measure(bench: &mut Bench, options: &Options) {
    if bench.place.nice < 0 {
        bench.progress.say("--nice below 0 starves the kernel's threads that end a write to the disk: a run may stand still in it for a minute");
    }
    let has = |part: Part| options.part.contains(&part);
    for form in options.form.iter().filter(|_| has(Part::Import)) {
        bench.part("import", |b| b.import(*form, options.devices));
    }
    if has(Part::Visible) {
        bench.part("single changes", |b| b.changes(options));
    }
    for devices in options.boot.iter().filter(|_| has(Part::Boot)) {
        bench.part("boot", |b| b.boot(*devices, options.registered.min(*devices)));
    }
    match &options.before {
        Some(before) if has(Part::Speed) => {
            bench.part("registration speed", |b| b.speed(before, options));
        }
        None if has(Part::Speed) => {
            bench
                .progress
                .say("registration speed is not measured: it needs --before FILE, a tandem without the database");
        }
        _ => {}
    }
}

/// Three nodes whose database anybody may change, and how each is asked.
struct Cluster {
    nodes: Nodes,
    apis: Vec<Api>,
}

impl Cluster {
    fn start(bench: &Bench) -> Result<Self, Error> {
        let nodes = Nodes::with(NAMES.len(), Link::Unix, &bench.place, |addresses, _, _| configuration(addresses))?;
        let apis = (0..NAMES.len()).map(|n| Api::of(&nodes.process_folder(n))).collect::<Result<_, _>>()?;
        let this = Self { nodes, apis };
        this.founded()?;
        Ok(this)
    }
    /// Waits until every copy has what the configuration file says.
    fn founded(&self) -> Result<(), Error> {
        for _ in 0..600 {
            let copies: Vec<_> = self.apis.iter().map(Api::copy).collect::<Result<_, _>>()?;
            if copies.iter().all(|c| c.as_ref().is_some_and(|c| c.revision > 0) && Some(c) == copies.first()) {
                return Ok(());
            }
            if crate::stopped() {
                return Err(Error::Interrupted);
            }
            pause(Duration::from_millis(100));
        }
        Err(Error::Worthless("the copies of the database are not equal a minute after the start".to_owned()))
    }
    /// The node that publishes, which phones register with too.
    fn publisher(&self) -> Result<(&Api, SocketAddr), Error> {
        let found = self.apis.first().zip(self.nodes.addresses.first().copied());
        found.ok_or_else(|| Error::Worthless("no node".to_owned()))
    }
    /// Devices with the numbers below `devices` behind the phones, in portions.
    fn fill(&self, bench: &mut Bench, devices: u32) -> Result<(), Error> {
        let (publisher, _) = self.publisher()?;
        let mut tell = bench.progress.begin(&format!("Tandem: a database of {devices} devices"), devices.into());
        let mut at = 0;
        while at < devices {
            let end = (at + PORTION).min(devices);
            let text = file::devices(Form::Csv, PHONES + at..PHONES + end, 0);
            let (query, kind) = Form::Csv.request();
            publisher.import(query, kind, &text)?.good("import")?;
            at = end;
            tell(at.into());
        }
        self.founded()?;
        // The log on the disk is worked into the file, and what an import took is given back.
        pause(SETTLE * 3);
        Ok(())
    }
    /// The phones of the series register.
    fn register_phones(&self, bench: &mut Bench) -> Result<Generator, Error> {
        let (_, address) = self.publisher()?;
        let mut generator = Generator::new(address, false)?;
        register(bench, &mut generator, 0, PHONES)?;
        Ok(generator)
    }
}

/// Devices register with credentials.
fn register(bench: &mut Bench, generator: &mut Generator, first: u32, devices: u32) -> Result<(), Error> {
    let load = Load { devices, first, count: devices.into(), stride: FILL_STRIDE, ..Load::new(Pattern::Challenged) };
    let mut tell = bench.progress.begin(&format!("Tandem: {devices} first registrations"), load.count);
    let outcome = generator.run(&load, &mut tell)?;
    if outcome.failed > 0 {
        let what = format!("{} first registrations failed: {:?}", outcome.failed, outcome.statuses);
        return Err(Error::Worthless(what));
    }
    pause(SETTLE);
    Ok(())
}

/// Three nodes, a group, four pools and the phones.
fn configuration(addresses: &[SocketAddr]) -> String {
    let mut text = format!(
        "[cluster]\nname = \"{DOMAIN}\"\nsecret = \"the bench's nonces\"\n\n[settings]\nregistrations_per_second = 1000000\n\
         registrations_burst = 1000000\n"
    );
    // Writing to a text does not fail.
    for (name, address) in NAMES.iter().zip(addresses) {
        let port = address.port();
        let _ = write!(
            text,
            "\n[[node]]\nname = \"{name}\"\naddress = \"127.0.0.1\"\nsip_udp = {port}\nsip_tcp = {port}\n"
        );
    }
    text.push_str("\n[[group]]\nname = \"G1\"\nmembers = [\"CCM1\", \"CCM2\", \"CCM3\"]\nfailback = \"manual\"\n");
    for pool in 1..=4 {
        let _ = write!(text, "\n[[device_pool]]\nname = \"DP{pool}\"\ngroup = \"G1\"\n");
    }
    let _ = write!(
        text,
        "\n[[device_series]]\nprefix = \"u\"\nfirst = 0\ncount = {PHONES}\ndigits = {NAME_DIGITS}\npool = \"DP1\"\npassword = \"{PASSWORD}\"\n"
    );
    text
}

fn millis(from: tandem_base::Time, to: tandem_base::Time) -> u64 {
    u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX)
}
