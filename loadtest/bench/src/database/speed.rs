//! Whether registrations got dearer: this program and an older one in turn, the same parts, CPU per operation.

use super::Options;
use crate::bench::Bench;
use crate::error::Error;
use crate::generator::{FILL_STRIDE, Generator, Load, Pattern};
use crate::pause;
use crate::row::{Meter, What, least_and_middle};
use crate::server::{Kind, Server, Setup};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// After the fill.
const SETTLE: Duration = Duration::from_secs(1);

/// CPU microseconds per operation, run by run.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Costs {
    pub(crate) refresh: Vec<f64>,
    pub(crate) challenged: Vec<f64>,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Speed {
    pub(crate) devices: u32,
    pub(crate) before: Costs,
    pub(crate) now: Costs,
}
impl Speed {
    /// Least and middle, before and now; `None` without runs that count.
    pub(crate) fn compared(&self, of: impl Fn(&Costs) -> &Vec<f64>) -> Option<[(f64, f64); 2]> {
        Some([least_and_middle(of(&self.before).clone())?, least_and_middle(of(&self.now).clone())?])
    }
}

impl Bench {
    pub(super) fn speed(&mut self, before: &Path, options: &Options) -> Result<(), Error> {
        let mut speed = Speed { devices: options.devices, ..Speed::default() };
        let now = self.place.tandem.clone();
        for _ in 0..options.runs {
            for (program, costs) in [(before, &mut speed.before), (now.as_path(), &mut speed.now)] {
                self.place.tandem = program.to_owned();
                let measured = self.costs(options, costs);
                self.place.tandem.clone_from(&now);
                measured?;
            }
        }
        self.results.database.speed = Some(speed);
        Ok(())
    }

    /// One run of each part.
    fn costs(&mut self, options: &Options, costs: &mut Costs) -> Result<(), Error> {
        let devices = options.devices;
        let parts = [
            (What::Refresh, Pattern::Plain, options.operations, &mut costs.refresh),
            (What::Challenged, Pattern::Challenged, options.operations / 2, &mut costs.challenged),
        ];
        for (what, pattern, count, figures) in parts {
            let setup = Setup { digest: pattern == Pattern::Challenged, ..Setup::plain(devices) };
            let server = Server::start(Kind::Tandem, &setup, &self.place)?;
            let mut generator = Generator::new(server.address, false)?;
            let load = Load { devices, count: devices.into(), stride: FILL_STRIDE, ..Load::new(pattern) };
            let outcome = generator.run(&load, &mut |_| {})?;
            if outcome.failed > 0 {
                return Err(server.trouble(format!("first registrations failed: {:?}", outcome.statuses)));
            }
            pause(SETTLE);
            let load = Load { devices, count, ..Load::new(pattern) };
            let label = format!("{}: {}, {devices} devices", self.place.tandem.display(), what.name());
            let mut tell = self.progress.begin(&label, load.count);
            let meter = Meter::start(&server)?;
            let outcome = generator.run(&load, &mut tell)?;
            let row = meter.finish(&server, what, devices, &outcome)?;
            self.progress.end(&label, &row);
            if row.invalid.is_none() {
                figures.push(row.cpu_us);
            }
        }
        Ok(())
    }
}
