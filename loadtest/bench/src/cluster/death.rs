//! What callers see when a node is killed: OPTIONS for its devices through a survivor, before, at and after `kill -9`, while the survivor
//! serves devices of its own.

use super::nodes::Nodes;
use super::probe::Probe;
use crate::error::Error;
use crate::generator::{FILL_STRIDE, Generator, Load, Pattern, histogram};
use crate::row::quantile;
use serde::Serialize;
use std::time::Duration;
use tandem_base::Time;
use tandem_host::clock::Clock;

/// Registrations per second of the survivor's own devices.
const RATE: u64 = 2_000;
const SECONDS: u64 = 8;
/// The node is killed so long after the load began.
const LEAD: Duration = Duration::from_secs(2);
/// A device of the dead node is called this often.
const CALL_EVERY: Duration = Duration::from_millis(1);
/// A call without an answer for so long has failed.
const PATIENCE: Duration = Duration::from_millis(500);
/// The survivor's own devices.
pub(super) const OTHERS: u32 = 10_000;

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Death {
    /// Devices of the dead node.
    pub(crate) devices: u32,
    /// Calls to them after its death.
    pub(crate) calls: u64,
    /// Those that were told a contact.
    pub(crate) routed: u64,
    /// From the kill to the last call that was not, in ms; 0 when all were.
    pub(crate) unroutable_ms: u64,
    pub(crate) call_p99_us: u64,
    /// Refreshes of the survivor's own devices during all of it.
    pub(crate) others_p99_us: u64,
    pub(crate) others_failed: u64,
}

/// Devices from 0 on are at the first node, [`OTHERS`] behind them at the second.
pub(super) fn death(
    nodes: &mut Nodes,
    generator: &mut Generator,
    devices: u32,
    tell: &mut dyn FnMut(u64),
) -> Result<Death, Error> {
    let mut probe = Probe::new()?;
    let survivor = *nodes.addresses.get(1).ok_or_else(|| Error::Worthless("no second node".to_owned()))?;
    let begun = Clock::system().now();
    let mut killed: Option<Time> = None;
    let (mut called, mut serial) = (Time::ZERO, 0_u64);
    // Calls by number: when each began.
    let mut open: std::collections::BTreeMap<u64, Time> = std::collections::BTreeMap::new();
    let mut took = histogram();
    let mut death = Death { devices, ..Death::default() };
    let load = Load {
        devices: OTHERS,
        first: devices,
        count: RATE * SECONDS,
        window: 4_000,
        rate: Some(RATE),
        ..Load::new(Pattern::Plain)
    };
    let outcome = generator.run_beside(&load, tell, &mut |now| {
        let kill = *match &mut killed {
            Some(at) => at,
            None if now >= begun + LEAD => {
                nodes.kill(0)?;
                killed.insert(Clock::system().now())
            }
            None => return Ok(()),
        };
        if now >= called + CALL_EVERY {
            called = now;
            serial += 1;
            let device = u32::try_from(serial * FILL_STRIDE % u64::from(devices)).unwrap_or(0);
            open.insert(serial, now);
            death.calls += 1;
            probe.options(survivor, devices, device, serial);
        }
        let missed = |death: &mut Death, since: Time| {
            let after = u64::try_from(since.since(kill).as_millis()).unwrap_or(u64::MAX);
            death.unroutable_ms = death.unroutable_ms.max(after + 1);
        };
        probe.turn(|status, ticket| {
            let Some(since) = open.remove(&ticket) else { return };
            if status == 302 {
                death.routed += 1;
                took.saturating_record(u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX));
            } else {
                missed(&mut death, since);
            }
        });
        while let Some((_, since)) = open.first_key_value().filter(|(_, since)| now >= **since + PATIENCE) {
            missed(&mut death, *since);
            open.pop_first();
        }
        Ok(())
    })?;
    death.calls -= open.len() as u64;
    death.call_p99_us = quantile(&took, 0.99);
    death.others_p99_us = quantile(&outcome.latency, 0.99);
    death.others_failed = outcome.failed;
    Ok(death)
}
