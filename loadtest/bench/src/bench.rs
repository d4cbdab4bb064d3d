//! Drives one server after another through the parts of the benchmark and gathers the results.
//!
//! Only one server runs at a time. It must never go on after an interrupt: what is there is reported, and that it is not all.

use crate::cluster::ClusterResults;
use crate::database::DatabaseResults;
use crate::error::Error;
use crate::generator::{FILL_STRIDE, Generator, Load, Pattern};
use crate::kernel::{self, Memory};
use crate::overload::{Crowd, Overload, overload};
use crate::progress::Progress;
use crate::row::{Meter, Row, What};
use crate::server::{Kind, Place, Server, Setup, spinner};
use crate::tcp::Connections;
use crate::{pause, stopped};
use serde::Serialize;
use std::time::Duration;
use tandem_host::clock::Clock;

/// Operations of one bare run, whatever the others have.
const BARE_OPERATIONS: u64 = 400_000;
/// Length of a paced run.
const PACED_SECONDS: u64 = 3;
/// A paced run may have this many on their way: it must not wait for the server.
const PACED_WINDOW: usize = 4_000;
/// After the fill and before memory is read.
const SETTLE: Duration = Duration::from_secs(1);
/// New registrations per second that the node takes under overload: fewer than come.
const OVERLOAD_PACE: u32 = 1_500;
/// Spinners that share the server's core then.
const SPINNERS: usize = 2;
/// How often memory is read while it must not grow.
const GROWTH_EVERY: u64 = 500_000;

/// Memory of a server with many registered devices.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MemoryRow {
    pub(crate) server: Kind,
    pub(crate) devices: u32,
    /// The same program with one device.
    pub(crate) empty: Memory,
    pub(crate) full: Memory,
    /// Difference of PSS by devices.
    pub(crate) bytes_per_device: f64,
}

/// What became of memory while all devices refreshed as fast as they could.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Growth {
    pub(crate) devices: u32,
    pub(crate) seconds: f64,
    pub(crate) refreshes: u64,
    /// RSS in KiB: after the first tenth of the time, and at the end.
    pub(crate) rss_kib_first: u64,
    pub(crate) rss_kib_last: u64,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Results {
    pub(crate) rows: Vec<Row>,
    pub(crate) memory: Vec<MemoryRow>,
    pub(crate) growth: Option<Growth>,
    pub(crate) overload: Option<Overload>,
    pub(crate) cluster: ClusterResults,
    pub(crate) database: DatabaseResults,
    /// It was interrupted, or a part failed: why.
    pub(crate) incomplete: Option<String>,
}

/// See the module.
pub(crate) struct Bench {
    pub(crate) place: Place,
    pub(crate) progress: Progress,
    pub(crate) results: Results,
}

/// Which runs of a registrar at one number of devices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) devices: u32,
    pub(crate) runs: u32,
    pub(crate) operations: u64,
    pub(crate) refresh: bool,
    /// Operations per second; `None` leaves it out.
    pub(crate) paced: Option<u64>,
}

impl Bench {
    /// One run as a row.
    fn run(&mut self, server: &Server, generator: &mut Generator, what: What, load: &Load) -> Result<(), Error> {
        let label = format!("{}: {}, {} devices", server.kind.name(), what.name(), load.devices);
        let mut tell = self.progress.begin(&label, load.count);
        let meter = Meter::start(server)?;
        let outcome = generator.run(load, &mut tell)?;
        let row = meter.finish(server, what, load.devices, &outcome)?;
        self.progress.end(&label, &row);
        self.results.rows.push(row);
        Ok(())
    }

    /// The floor.
    pub(crate) fn bare(&mut self, runs: u32) -> Result<(), Error> {
        let setup = Setup::plain(1);
        let server = Server::start(Kind::Bare, &setup, &self.place)?;
        let mut generator = Generator::new(server.address, true)?;
        let load = Load { devices: 100_000, count: BARE_OPERATIONS, ..Load::new(Pattern::Plain) };
        (0..runs).try_for_each(|_| self.run(&server, &mut generator, What::Exchange, &load))
    }

    /// First registrations, then what is wanted of refreshes; memory too.
    pub(crate) fn plain(&mut self, kind: Kind, empty: Option<Memory>, wanted: &Wanted) -> Result<(), Error> {
        let Wanted { devices, runs, operations, refresh, paced } = *wanted;
        let setup = Setup::plain(devices);
        let server = Server::start(kind, &setup, &self.place)?;
        let mut generator = Generator::new(server.address, false)?;
        self.fill(&server, &mut generator, devices, None)?;
        pause(SETTLE);
        if let Some(empty) = empty {
            let full = kernel::memory(server.process());
            let more = full.pss_kib.saturating_sub(empty.pss_kib) as f64 * 1_024.0;
            let bytes_per_device = more / f64::from(devices);
            self.results.memory.push(MemoryRow { server: kind, devices, empty, full, bytes_per_device });
        }
        let load = Load { devices, count: operations, ..Load::new(Pattern::Plain) };
        for _ in 0..if refresh { runs } else { 0 } {
            self.run(&server, &mut generator, What::Refresh, &load)?;
        }
        let Some(rate) = paced else { return Ok(()) };
        let load = Load { count: rate * PACED_SECONDS, rate: Some(rate), window: PACED_WINDOW, ..load };
        (0..runs).try_for_each(|_| self.run(&server, &mut generator, What::Paced, &load))
    }

    fn fill(
        &mut self,
        server: &Server,
        generator: &mut Generator,
        devices: u32,
        rate: Option<u64>,
    ) -> Result<(), Error> {
        // The phone that asked whether the server is up is registered already: refreshing it is one of them.
        let load = Load { devices, count: devices.into(), stride: FILL_STRIDE, rate, ..Load::new(Pattern::Plain) };
        self.run(
            server,
            generator,
            What::Fill,
            &Load { window: if rate.is_some() { PACED_WINDOW } else { 64 }, ..load },
        )
    }

    /// Registrations with credentials.
    pub(crate) fn challenged(&mut self, kind: Kind, wanted: &Wanted) -> Result<(), Error> {
        let setup = Setup { digest: true, ..Setup::plain(wanted.devices) };
        let server = Server::start(kind, &setup, &self.place)?;
        let mut generator = Generator::new(server.address, false)?;
        let devices = wanted.devices;
        let load = Load { devices, count: devices.into(), stride: FILL_STRIDE, ..Load::new(Pattern::Challenged) };
        // Not a row: the first registration of a device costs what it costs without credentials, more or less.
        let label = format!("{}: credentials, first registrations", kind.name());
        let mut tell = self.progress.begin(&label, load.count);
        let outcome = generator.run(&load, &mut tell)?;
        if outcome.failed > 0 {
            let what = format!("{} first registrations failed: {:?}", outcome.failed, outcome.statuses);
            return Err(server.trouble(what));
        }
        let load = Load { devices, count: wanted.operations / 2, ..Load::new(Pattern::Challenged) };
        (0..wanted.runs).try_for_each(|_| self.run(&server, &mut generator, What::Challenged, &load))
    }

    /// A connection per phone.
    pub(crate) fn tcp(&mut self, connections: u32, rounds: u32, runs: u32) -> Result<(), Error> {
        let setup = Setup { connections, ..Setup::plain(connections) };
        let server = Server::start(Kind::Tandem, &setup, &self.place)?;
        let label = format!("Tandem: opening {connections} connections");
        let mut tell = self.progress.begin(&label, connections.into());
        let mut open = Connections::open(&server, connections, &mut tell)?;
        for _ in 0..runs {
            let label = format!("Tandem: {rounds} rounds over {connections} connections");
            let mut tell = self.progress.begin(&label, u64::from(connections) * u64::from(rounds));
            let row = open.measure(&server, rounds, &mut tell)?;
            self.progress.end(&label, &row);
            self.results.rows.push(row);
        }
        Ok(())
    }

    /// What a server takes with one device.
    pub(crate) fn empty(&mut self, kind: Kind) -> Result<Memory, Error> {
        let server = Server::start(kind, &Setup::plain(1), &self.place)?;
        pause(SETTLE);
        Ok(kernel::memory(server.process()))
    }

    /// Refreshes at full rate for a long time.
    pub(crate) fn growth(&mut self, devices: u32, seconds: u64) -> Result<(), Error> {
        let server = Server::start(Kind::Tandem, &Setup::plain(devices), &self.place)?;
        let mut generator = Generator::new(server.address, false)?;
        self.fill(&server, &mut generator, devices, None)?;
        let clock = Clock::system();
        let begun = clock.now();
        let length = Duration::from_secs(seconds);
        let mut tell = self.progress.begin("Tandem: memory under refreshes, seconds", seconds);
        let mut growth = Growth { devices, seconds: 0.0, refreshes: 0, rss_kib_first: 0, rss_kib_last: 0 };
        let rows = server.rows()?;
        loop {
            let load = Load { devices, count: GROWTH_EVERY, ..Load::new(Pattern::Plain) };
            let outcome = generator.run(&load, &mut |_| {})?;
            growth.refreshes += outcome.ok;
            let passed = clock.now().since(begun);
            tell(passed.as_secs());
            let rss = kernel::memory(server.process()).rss_kib;
            if growth.rss_kib_first == 0 && passed >= length / 10 {
                growth.rss_kib_first = rss;
            }
            growth.rss_kib_last = rss;
            growth.seconds = passed.as_secs_f64();
            if outcome.failed > 0 {
                return Err(server.trouble(format!("{} refreshes failed: {:?}", outcome.failed, outcome.statuses)));
            }
            if passed >= length {
                break;
            }
        }
        let written = server.rows()?.zip(rows).map(|(now, then)| now.saturating_sub(then));
        if written.is_some_and(|w| w != growth.refreshes) {
            return Err(server.trouble(format!("{} refreshes, but {written:?} rows written", growth.refreshes)));
        }
        self.results.growth = Some(growth);
        Ok(())
    }

    /// Twice the load that it carries.
    pub(crate) fn overload(&mut self, crowd: &Crowd) -> Result<(), Error> {
        let setup = Setup { pace: Some(OVERLOAD_PACE), ..Setup::plain(crowd.registered * 2) };
        let server = Server::start(Kind::Tandem, &setup, &self.place)?;
        let mut generator = Generator::new(server.address, false)?;
        let registered = crowd.registered;
        let rate = u64::from(OVERLOAD_PACE) * 9 / 10;
        let load = Load {
            devices: registered,
            count: registered.into(),
            rate: Some(rate),
            window: PACED_WINDOW,
            ..Load::new(Pattern::Plain)
        };
        let mut tell = self.progress.begin("Tandem: overload, first registrations", registered.into());
        let outcome = generator.run(&load, &mut tell)?;
        if outcome.failed > 0 {
            return Err(server.trouble(format!("the fill failed: {:?}", outcome.statuses)));
        }
        // The server shares its core, so that the generator can offer twice of what it carries.
        let spinners = (0..SPINNERS).map(|_| spinner(&self.place)).collect::<Result<Vec<_>, _>>()?;
        let mut tell = self.progress.begin("Tandem: overload, microseconds", crowd.seconds * 1_000_000);
        let result = overload(&server, &mut generator, crowd, &mut tell)?;
        drop(spinners);
        self.results.overload = Some(result);
        Ok(())
    }

    /// Does one part; what goes wrong ends it, not the sitting. `false` when all is over.
    pub(crate) fn part(&mut self, name: &str, part: impl FnOnce(&mut Self) -> Result<(), Error>) -> bool {
        if stopped() {
            self.results.incomplete = Some("interrupted".to_owned());
            return false;
        }
        if let Err(error) = part(self) {
            self.progress.say(&format!("{name}: {error}"));
            let before = self.results.incomplete.take().map(|b| format!("{b}; ")).unwrap_or_default();
            self.results.incomplete = Some(format!("{before}{name}: {error}"));
        }
        !stopped()
    }
}
