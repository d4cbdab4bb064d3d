//! How soon a node that joins has every registration, while others go on registering: from its start to its first answer with a contact,
//! which it gives when its copies are proven complete and not before. Kamailio answers from what it has so far; there the count decides.

use super::nodes::{Nodes, Pair};
use super::probe::Probe;
use crate::error::Error;
use crate::generator::{FILL_STRIDE, Generator, Load, Pattern};
use crate::pause;
use crate::row::quantile;
use crate::server::Kind;
use serde::Serialize;
use std::time::Duration;
use tandem_base::Time;
use tandem_host::clock::Clock;

/// Registrations per second that go on elsewhere.
pub(crate) const RATE: u64 = 2_000;
/// The load begins so long before the node.
const LEAD: Duration = Duration::from_secs(1);
/// A node that joins is asked this often.
const ASK_EVERY: Duration = Duration::from_millis(1);
/// Kamailio is asked this often: a program is started each time.
const COUNT_EVERY: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(60);

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Join {
    pub(crate) server: Kind,
    pub(crate) devices: u32,
    /// From the start of the process to its first answer of any kind, in ms.
    pub(crate) answers_ms: Option<u64>,
    /// From the start to everything, in ms.
    pub(crate) complete_ms: Option<u64>,
    /// Copies it holds in the end.
    pub(crate) copies: u64,
    /// Whether its copies are proven complete; Kamailio proves nothing.
    pub(crate) proven: Option<bool>,
    /// Of the load elsewhere.
    pub(crate) load_p99_us: u64,
    pub(crate) load_failed: u64,
}

fn millis(from: Time, to: Time) -> u64 {
    u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX)
}

fn load(devices: u32) -> Load {
    Load { devices, window: 4_000, rate: Some(RATE), limit: LIMIT, ..Load::new(Pattern::Plain) }
}

/// The third node joins two that run; `devices` are registered at the first.
pub(super) fn tandem(
    nodes: &mut Nodes,
    generator: &mut Generator,
    devices: u32,
    tell: &mut dyn FnMut(u64),
) -> Result<Join, Error> {
    let mut probe = Probe::new()?;
    let target = *nodes.addresses.last().ok_or_else(|| Error::Worthless("no node".to_owned()))?;
    let begun = Clock::system().now();
    let (mut started, mut asked) = (None, Time::ZERO);
    let (mut answers, mut complete) = (None, None);
    let mut serial = 0;
    // Long enough for a slow machine, short enough to end soon: twelve seconds for a million.
    let seconds = 4 + u64::from(devices / 125_000);
    let load = Load { count: RATE * seconds, ..load(devices) };
    let outcome = generator.run_beside(&load, tell, &mut |now| {
        let Some(start) = started else {
            if now >= begun + LEAD {
                nodes.launch(2)?;
                started = Some(Clock::system().now());
            }
            return Ok(());
        };
        if complete.is_none() && now >= asked + ASK_EVERY {
            asked = now;
            serial += 1;
            let device = u32::try_from(serial * FILL_STRIDE % u64::from(devices)).unwrap_or(0);
            probe.options(target, 0, device, serial);
        }
        probe.turn(|status, _| {
            answers.get_or_insert(millis(start, now));
            if status == 302 {
                complete.get_or_insert(millis(start, now));
            }
        });
        Ok(())
    })?;
    nodes.wait(2)?;
    // The gauges are written ten times a second.
    pause(Duration::from_millis(300));
    let (copies, proven) = nodes.copies(2)?;
    Ok(Join {
        server: Kind::TandemCluster,
        devices,
        answers_ms: answers,
        complete_ms: complete,
        copies,
        proven: Some(proven),
        load_p99_us: quantile(&outcome.latency, 0.99),
        load_failed: outcome.failed,
    })
}

/// The second of two comes back with nothing; `devices` are registered at the first.
pub(super) fn kamailio(
    pair: &mut Pair,
    generator: &mut Generator,
    devices: u32,
    tell: &mut dyn FnMut(u64),
) -> Result<Join, Error> {
    drop(pair.servers.pop());
    let begun = Clock::system().now();
    let (mut started, mut asked) = (None, Time::ZERO);
    let (mut complete, mut copies) = (None, 0);
    let load = Load { count: RATE * 8, ..load(devices) };
    let mut again = None;
    let outcome = generator.run_beside(&load, tell, &mut |now| {
        let Some(start) = started else {
            if now >= begun + LEAD {
                again = Some(pair.launch(1)?);
                started = Some(Clock::system().now());
            }
            return Ok(());
        };
        if complete.is_none() && now >= asked + COUNT_EVERY {
            asked = now;
            copies = pair.contacts(1).unwrap_or(0);
            if copies >= u64::from(devices) {
                complete = Some(millis(start, Clock::system().now()));
            }
        }
        Ok(())
    })?;
    pair.servers.extend(again);
    Ok(Join {
        server: Kind::KamailioPair,
        devices,
        answers_ms: None,
        complete_ms: complete,
        copies: pair.contacts(1).unwrap_or(copies),
        proven: None,
        load_p99_us: quantile(&outcome.latency, 0.99),
        load_failed: outcome.failed,
    })
}
