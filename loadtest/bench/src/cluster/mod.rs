//! What a cluster costs: a replicated REGISTER, how soon it is known everywhere, how soon a joining node has everything, and what callers see
//! when a node is killed. Three nodes of Tandem, a process each; two of Kamailio with `dmq_usrloc` where it is installed.

mod death;
mod join;
pub(crate) mod nodes;
mod probe;
pub(crate) mod report;
mod visible;

pub(crate) use death::Death;
pub(crate) use join::Join;
pub(crate) use nodes::Link;
pub(crate) use visible::Visible;

use crate::bench::Bench;
use crate::error::Error;
use crate::generator::{FILL_STRIDE, Generator, Load, Pattern};
use crate::pause;
use crate::row::{Meter, What};
use crate::server::{Kind, Server, Setup};
use clap::{Args, ValueEnum};
use nodes::{Nodes, Pair};
use serde::Serialize;
use std::time::Duration;

/// Fresh registrations that are followed to the other nodes.
const FRESH: u32 = 2_000;
/// Load beside them: long enough for all.
const VISIBLE_SECONDS: u64 = 25;
/// After a fill, before anything is measured.
const SETTLE: Duration = Duration::from_secs(1);

/// A part of `cluster`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Refreshes that are told to all nodes: CPU of all of them together
    Replicated,
    /// How soon a registration is known at every node
    Visible,
    /// How soon a node that joins has everything
    Join,
    /// Calls to the devices of a node that is killed
    Death,
}

/// `tandem-bench cluster`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Which parts
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Replicated, Part::Visible, Part::Join, Part::Death])]
    pub(crate) part: Vec<Part>,
    /// Devices of the replicated part
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..=2_000_000))]
    pub(crate) devices: u32,
    /// Runs of the replicated part
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) runs: u32,
    /// Operations per run
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) operations: u64,
    /// Registrations per second while others are followed
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) rate: u64,
    /// Registrations that a joining node fetches; may be given several times
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000], value_parser = clap::value_parser!(u32).range(2..=2_000_000))]
    pub(crate) join: Vec<u32>,
    /// Devices of the node that is killed
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub(crate) dead: u32,
    /// What carries rows between the nodes
    #[arg(long, value_enum, default_value_t = Link::Unix)]
    pub(crate) link: Link,
    /// Leave Kamailio out although it is installed
    #[arg(long)]
    pub(crate) alone: bool,
}

/// What no row says.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ClusterResults {
    pub(crate) visible: Option<Visible>,
    pub(crate) joins: Vec<Join>,
    pub(crate) death: Option<Death>,
}

/// All that is wanted, in turn.
pub(crate) fn measure(bench: &mut Bench, options: &Options) {
    let kamailio = !options.alone && crate::server::kamailio_version(&bench.place).is_some();
    if !options.alone && !kamailio {
        bench.progress.say("Kamailio is not here: its figures stay empty (Debian: apt-get install kamailio)");
    }
    let has = |part: Part| options.part.contains(&part);
    if has(Part::Replicated) {
        let bare = |b: &mut Bench| b.part("bare exchange", |b| b.bare(options.runs));
        let peers = |b: &mut Bench| {
            kamailio
                && b.part("Kamailio", |b| b.alone(Kind::Kamailio, options))
                && b.part("Kamailio + DMQ", |b| b.pair(options))
        };
        bare(bench);
        peers(bench);
        bench.part("Tandem, one node", |b| b.alone(Kind::Tandem, options));
        bench.part("Tandem, three nodes", |b| b.replicated(options));
        bare(bench);
    }
    if has(Part::Visible) {
        bench.part("visible", |b| b.visible(options));
    }
    for devices in options.join.iter().filter(|_| has(Part::Join)) {
        if kamailio {
            bench.part("Kamailio joins", |b| b.join_kamailio(*devices));
        }
        bench.part("a node joins", |b| b.join(*devices, options.link));
    }
    if has(Part::Death) {
        bench.part("a node is killed", |b| b.death(options));
    }
}

impl Bench {
    fn alone(&mut self, kind: Kind, options: &Options) -> Result<(), Error> {
        let server = Server::start(kind, &Setup::plain(options.devices), &self.place)?;
        self.refreshes(kind, &[&server], options)
    }
    fn pair(&mut self, options: &Options) -> Result<(), Error> {
        let pair = Pair::start(&Setup::plain(options.devices), &self.place)?;
        let servers: Vec<&Server> = pair.servers.iter().collect();
        self.refreshes(Kind::KamailioPair, &servers, options)
    }
    fn replicated(&mut self, options: &Options) -> Result<(), Error> {
        let nodes = Nodes::start(3, &Setup::plain(options.devices), options.link, &self.place)?;
        self.refreshes(Kind::TandemCluster, &nodes.all(), options)?;
        pause(SETTLE);
        for node in [1, 2] {
            let (copies, proven) = nodes.copies(node)?;
            if copies != u64::from(options.devices) || !proven {
                let what =
                    format!("node {} holds {copies} copies of {} rows (complete: {proven})", node + 1, options.devices);
                return Err(Error::Worthless(what));
            }
        }
        Ok(())
    }
    /// A fill that is no row, then refreshes at the first of these servers, measured over all of them.
    fn refreshes(&mut self, kind: Kind, servers: &[&Server], options: &Options) -> Result<(), Error> {
        let Some(first) = servers.first() else { return Ok(()) };
        let mut generator = Generator::new(first.address, false)?;
        self.fill_quietly(kind, &mut generator, 0, options.devices)?;
        let load = Load { devices: options.devices, count: options.operations, ..Load::new(Pattern::Plain) };
        for _ in 0..options.runs {
            pause(SETTLE);
            let label = format!("{}: refresh, {} devices", kind.name(), options.devices);
            let mut tell = self.progress.begin(&label, load.count);
            let meter = Meter::start_all(servers)?;
            let outcome = generator.run(&load, &mut tell)?;
            // What the others have not applied yet belongs to the run.
            pause(Duration::from_millis(100));
            let row = meter.finish_all(kind, servers, What::Refresh, options.devices, &outcome)?;
            self.progress.end(&label, &row);
            self.results.rows.push(row);
        }
        Ok(())
    }
    fn fill_quietly(&mut self, kind: Kind, generator: &mut Generator, first: u32, devices: u32) -> Result<(), Error> {
        let label = format!("{}: {devices} first registrations", kind.name());
        let load = Load { devices, first, count: devices.into(), stride: FILL_STRIDE, ..Load::new(Pattern::Plain) };
        let mut tell = self.progress.begin(&label, load.count);
        let outcome = generator.run(&load, &mut tell)?;
        if outcome.failed > 0 {
            let what = format!("{} first registrations failed: {:?}", outcome.failed, outcome.statuses);
            return Err(Error::Worthless(what));
        }
        pause(SETTLE);
        Ok(())
    }
    fn visible(&mut self, options: &Options) -> Result<(), Error> {
        let nodes = Nodes::start(3, &Setup::plain(options.devices + FRESH), options.link, &self.place)?;
        let Some(first) = nodes.addresses.first() else { return Ok(()) };
        let mut generator = Generator::new(*first, false)?;
        self.fill_quietly(Kind::TandemCluster, &mut generator, 0, options.devices)?;
        let load = Load {
            devices: options.devices,
            count: options.rate * VISIBLE_SECONDS,
            window: 4_000,
            rate: Some(options.rate),
            ..Load::new(Pattern::Plain)
        };
        let mut tell = self.progress.begin("Tandem: how soon a registration is known everywhere", load.count);
        self.results.cluster.visible =
            Some(visible::visible(&mut generator, &nodes.addresses, &load, FRESH, &mut tell)?);
        Ok(())
    }
    fn join(&mut self, devices: u32, link: Link) -> Result<(), Error> {
        let mut nodes = Nodes::start(2, &Setup::plain(devices), link, &self.place)?;
        let Some(first) = nodes.addresses.first() else { return Ok(()) };
        let mut generator = Generator::new(*first, false)?;
        self.fill_quietly(Kind::TandemCluster, &mut generator, 0, devices)?;
        let mut tell = self.progress.begin(&format!("Tandem: a node joins, {devices} registrations"), join::RATE * 8);
        self.results.cluster.joins.push(join::tandem(&mut nodes, &mut generator, devices, &mut tell)?);
        Ok(())
    }
    fn join_kamailio(&mut self, devices: u32) -> Result<(), Error> {
        let mut pair = Pair::start(&Setup::plain(devices), &self.place)?;
        let Some(first) = pair.servers.first() else { return Ok(()) };
        let mut generator = Generator::new(first.address, false)?;
        self.fill_quietly(Kind::KamailioPair, &mut generator, 0, devices)?;
        pause(SETTLE * 2);
        let mut tell = self.progress.begin(&format!("Kamailio: a node joins, {devices} registrations"), join::RATE * 8);
        self.results.cluster.joins.push(join::kamailio(&mut pair, &mut generator, devices, &mut tell)?);
        Ok(())
    }
    fn death(&mut self, options: &Options) -> Result<(), Error> {
        let setup = Setup::plain(options.dead + death::OTHERS);
        let mut nodes = Nodes::start(3, &setup, options.link, &self.place)?;
        let (Some(first), Some(second)) = (nodes.addresses.first(), nodes.addresses.get(1)) else { return Ok(()) };
        let (mut dying, mut generator) = (Generator::new(*first, false)?, Generator::new(*second, false)?);
        self.fill_quietly(Kind::TandemCluster, &mut dying, 0, options.dead)?;
        self.fill_quietly(Kind::TandemCluster, &mut generator, options.dead, death::OTHERS)?;
        let mut tell = self.progress.begin("Tandem: calls to the devices of a dead node", 16_000);
        self.results.cluster.death = Some(death::death(&mut nodes, &mut generator, options.dead, &mut tell)?);
        Ok(())
    }
}
