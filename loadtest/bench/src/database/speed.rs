//! Whether registrations got dearer: this program and an older one side by side, the same parts, CPU per operation.
//!
//! Both are started and filled, then they take turns, a fraction of a second each: a machine that is slower for a while is so for both.

use super::Options;
use crate::bench::Bench;
use crate::error::Error;
use crate::generator::{FILL_STRIDE, Generator, Load, Pattern};
use crate::pause;
use crate::row::{Meter, What, least_and_middle};
use crate::server::{Kind, Place, Server, Setup};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// After the fill.
const SETTLE: Duration = Duration::from_secs(1);

/// Turns that each program has in a run.
const TURNS: u64 = 10;

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
    /// Now over before, run by run: the middle of that.
    pub(crate) fn ratio(&self, of: impl Fn(&Costs) -> &Vec<f64>) -> Option<f64> {
        let runs = of(&self.before).iter().zip(of(&self.now));
        Some(least_and_middle(runs.map(|(before, now)| now / before).collect())?.1)
    }
}

/// One of the two.
struct Side {
    server: Server,
    generator: Generator,
    /// CPU microseconds per operation of its turns.
    turns: Vec<f64>,
}

impl Bench {
    pub(super) fn speed(&mut self, before: &Path, options: &Options) -> Result<(), Error> {
        let mut speed = Speed { devices: options.devices, ..Speed::default() };
        let now = self.place.tandem.clone();
        for _ in 0..options.runs {
            for (what, pattern, count) in [
                (What::Refresh, Pattern::Plain, options.operations),
                (What::Challenged, Pattern::Challenged, options.operations / 2),
            ] {
                let (mut old, mut new) = (self.side(before, pattern, options)?, self.side(&now, pattern, options)?);
                for turn in 0..TURNS {
                    let mut pair = [(before, &mut old), (now.as_path(), &mut new)];
                    if turn % 2 == 1 {
                        pair.reverse();
                    }
                    for (program, side) in pair {
                        let load = Load { devices: options.devices, count: count / TURNS, ..Load::new(pattern) };
                        self.turn(program, side, what, &load)?;
                    }
                }
                let (before, now) = (&mut speed.before, &mut speed.now);
                let (before, now) = match what {
                    What::Refresh => (&mut before.refresh, &mut now.refresh),
                    _ => (&mut before.challenged, &mut now.challenged),
                };
                if let Some((old, new)) = mean(&old.turns).zip(mean(&new.turns)) {
                    before.push(old);
                    now.push(new);
                }
            }
        }
        self.results.database.speed = Some(speed);
        Ok(())
    }

    /// Starts a program and registers every device with it.
    fn side(&self, program: &Path, pattern: Pattern, options: &Options) -> Result<Side, Error> {
        let devices = options.devices;
        let setup = Setup { digest: pattern == Pattern::Challenged, ..Setup::plain(devices) };
        let place = Place { tandem: program.to_owned(), ..self.place.clone() };
        let server = Server::start(Kind::Tandem, &setup, &place)?;
        let mut generator = Generator::new(server.address, false)?;
        let load = Load { devices, count: devices.into(), stride: FILL_STRIDE, ..Load::new(pattern) };
        let outcome = generator.run(&load, &mut |_| {})?;
        if outcome.failed > 0 {
            return Err(server.trouble(format!("first registrations failed: {:?}", outcome.statuses)));
        }
        pause(SETTLE);
        Ok(Side { server, generator, turns: Vec::new() })
    }

    /// One turn of one of them.
    fn turn(&mut self, program: &Path, side: &mut Side, what: What, load: &Load) -> Result<(), Error> {
        let label = format!("{}: {}, {} devices", program.display(), what.name(), load.devices);
        let mut tell = self.progress.begin(&label, load.count);
        let meter = Meter::start(&side.server)?;
        let outcome = side.generator.run(load, &mut tell)?;
        let row = meter.finish(&side.server, what, load.devices, &outcome)?;
        self.progress.end(&label, &row);
        if row.invalid.is_none() {
            side.turns.push(row.cpu_us);
        }
        Ok(())
    }
}

/// The mean of the turns that count; they are equally long.
fn mean(turns: &[f64]) -> Option<f64> {
    (!turns.is_empty()).then(|| turns.iter().sum::<f64>() / turns.len() as f64)
}
