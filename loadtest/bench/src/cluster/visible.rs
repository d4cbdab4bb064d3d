//! How soon a registration is known everywhere: a device that was never registered registers at the first node, and every other node is
//! asked for it until it tells its contact, while the first node takes registrations at a given rate.

use super::probe::Probe;
use crate::error::Error;
use crate::generator::{Generator, Load, histogram};
use crate::row::quantile;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tandem_base::Time;

/// A registration is followed this often.
const SAMPLE_EVERY: Duration = Duration::from_millis(10);
/// A node that does not know the device yet is asked again after this.
const ASK_EVERY: Duration = Duration::from_micros(500);
/// What is not known by then counts as never.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of it; microseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Visible {
    pub(crate) rate: u64,
    pub(crate) samples: u64,
    /// Registrations that were not known everywhere in time.
    pub(crate) never: u64,
    /// From the 200 to the last node's answer with the contact.
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
    /// Of the load meanwhile.
    pub(crate) load_p99_us: u64,
    pub(crate) load_failed: u64,
}

struct Sample {
    device: u32,
    begun: Time,
    answered: Option<Time>,
    /// For each other node: when it was asked last, and whether it knows.
    nodes: Vec<(Time, bool)>,
}

/// Follows registrations beside a load.
struct Sampler<'a> {
    probe: Probe,
    nodes: &'a [SocketAddr],
    open: BTreeMap<u32, Sample>,
    next: u32,
    next_at: Time,
    seen: Histogram<u64>,
    never: u64,
    asked: u64,
}

/// Ticket of a question: which device, of which node (0: its registration), the how-manieth.
fn ticket(device: u32, node: usize, serial: u64) -> u64 {
    u64::from(device) << 24 | (serial & 0xf_ffff) << 4 | node as u64
}

impl Sampler<'_> {
    fn turn(&mut self, now: Time) {
        if now >= self.next_at {
            self.next_at = now + SAMPLE_EVERY;
            let device = self.next;
            self.next += 1;
            let Some((first, others)) = self.nodes.split_first() else { return };
            let nodes = others.iter().map(|_| (Time::ZERO, false)).collect();
            self.open.insert(device, Sample { device, begun: now, answered: None, nodes });
            self.probe.register(*first, device, ticket(device, 0, 0));
        }
        let Self { probe, nodes, open, asked, .. } = self;
        for sample in open.values_mut().filter(|s| s.answered.is_some()) {
            for (index, (at, known)) in (1..).zip(&mut sample.nodes) {
                if let Some(node) = nodes.get(index).filter(|_| !*known && now >= *at + ASK_EVERY) {
                    *at = now;
                    *asked += 1;
                    probe.options(*node, 0, sample.device, ticket(sample.device, index, *asked));
                }
            }
        }
        probe.turn(|status, ticket| {
            let (device, node) = ((ticket >> 24) as u32, (ticket & 0xf) as usize);
            let Some(sample) = open.get_mut(&device) else { return };
            match node {
                0 if status == 200 => sample.answered = Some(now),
                0 => {}
                other => {
                    if let Some((_, known)) = sample.nodes.get_mut(other - 1) {
                        *known |= status == 302;
                    }
                }
            }
        });
        self.close(now);
    }
    fn close(&mut self, now: Time) {
        let Self { open, seen, never, .. } = self;
        open.retain(|_, sample| {
            if let Some(answered) = sample.answered.filter(|_| sample.nodes.iter().all(|(_, known)| *known)) {
                seen.saturating_record(u64::try_from(now.since(answered).as_micros()).unwrap_or(u64::MAX));
                return false;
            }
            let lost = now >= sample.begun + PATIENCE;
            *never += u64::from(lost);
            !lost
        });
    }
}

/// `devices` are registered at the first node already and refresh at `rate`; those from number `devices` on are not.
pub(super) fn visible(
    generator: &mut Generator,
    nodes: &[SocketAddr],
    load: &Load,
    fresh: u32,
    tell: &mut dyn FnMut(u64),
) -> Result<Visible, Error> {
    let mut sampler = Sampler {
        probe: Probe::new()?,
        nodes,
        open: BTreeMap::new(),
        next: load.devices,
        next_at: Time::ZERO,
        seen: histogram(),
        never: 0,
        asked: 0,
    };
    let last = load.devices + fresh;
    let outcome = generator.run_beside(load, tell, &mut |now| {
        if sampler.next >= last {
            sampler.next_at = now + PATIENCE;
        }
        sampler.turn(now);
        Ok(())
    })?;
    // What was still open when the load ended is neither seen nor missed.
    Ok(Visible {
        rate: load.rate.unwrap_or_default(),
        samples: sampler.seen.len(),
        never: sampler.never,
        p50_us: quantile(&sampler.seen, 0.5),
        p99_us: quantile(&sampler.seen, 0.99),
        max_us: sampler.seen.max(),
        load_p99_us: quantile(&outcome.latency, 0.99),
        load_failed: outcome.failed,
    })
}
