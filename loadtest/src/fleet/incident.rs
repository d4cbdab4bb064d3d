//! Deaths and returns of CallManagers as their phones live through them.
//!
//! When a node is about to die, every phone that it serves is marked; what becomes of each is followed until the mark is taken
//! away by the next incident that concerns it. It only watches: the phones notice by themselves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tandem_base::Time;

use super::spread::Spread;
use crate::{Change, Exchange, Outcome, Phone, Status};

/// Incidents of one run; later ones are not followed.
pub const INCIDENTS_MAX: usize = 10_000;

/// What happens to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It dies: phones that it serves have to leave.
    Death,
    /// It is back: phones whose home it is should come.
    Return,
}

/// One death or return and what followed.
#[derive(Clone, Debug)]
pub struct Incident {
    /// What happened.
    pub cause: Cause,
    /// The node's name, for people.
    pub node: String,
    /// Where the node listens.
    pub servers: Vec<SocketAddr>,
    /// When, on the fleet's clock: the moment before the order was given.
    pub at: Time,
    /// Phones concerned: served by the node that dies, or at home at the one that returns and not there.
    pub affected: u32,
    /// When the node that died was back, if it was.
    pub returned: Option<Time>,
    /// Of those: now served elsewhere after a death, at home after a return.
    pub moved: u32,
    /// Of those: still served by the node that died, because it was back before they noticed.
    pub stayed: u32,
    /// Of those: not served now.
    pub unserved: u32,
    /// Of those: moved more than once.
    pub moved_again: u32,
    /// From the incident to the registration at the new place.
    pub moved_after: Spread,
    /// How long each was not served: from the death to the registration elsewhere; for a return the gap while moving.
    pub outage: Spread,
    /// Where those that moved went.
    pub landed: BTreeMap<SocketAddr, u32>,
    /// Refreshes of phones that it does not concern, until the last one concerned had moved.
    pub survivors: Spread,
    /// The first registration at a new place.
    pub first: Option<Time>,
    /// The last one.
    pub last: Option<Time>,
    /// Registrations at the new place in each second after the incident.
    pub per_second: BTreeMap<u64, u32>,
    /// Refusals that phones concerned met on their way, by code.
    pub refusals: BTreeMap<u16, u64>,
    /// What those refusals said of coming back.
    pub retry_after: Spread,
    /// Since it was last shown.
    changed: bool,
}

impl Incident {
    fn new(cause: Cause, node: &str, servers: Vec<SocketAddr>, at: Time) -> Self {
        Self {
            cause,
            node: node.to_owned(),
            servers,
            at,
            affected: 0,
            returned: None,
            moved: 0,
            stayed: 0,
            unserved: 0,
            moved_again: 0,
            moved_after: Spread::new(),
            outage: Spread::new(),
            landed: BTreeMap::new(),
            survivors: Spread::new(),
            first: None,
            last: None,
            per_second: BTreeMap::new(),
            refusals: BTreeMap::new(),
            retry_after: Spread::new(),
            changed: true,
        }
    }

    /// Concerned, and neither moved nor known to have stayed.
    pub fn open(&self) -> u32 {
        self.affected.saturating_sub(self.moved).saturating_sub(self.stayed)
    }

    /// Registrations per second between the first and the last.
    pub fn rate(&self) -> f64 {
        let span = self.first.zip(self.last).map(|(first, last)| last.since(first)).unwrap_or_default();
        // All within one turn of the generator is as fast as can be told apart.
        f64::from(self.moved) / span.as_secs_f64().max(0.001)
    }

    /// The most registrations of one second.
    pub fn peak_rate(&self) -> u32 {
        self.per_second.values().copied().max().unwrap_or_default()
    }
}

/// What is known of one phone.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// The incident that concerns it, from 1; 0 for none.
    incident: u32,
    settled: bool,
    /// Since when it is not served; [`Time::ZERO`] while it is.
    unserved: Time,
    /// When it was meant to be switched on, until it is first served; [`Time::ZERO`] afterwards.
    wanted: Time,
}

/// Follows all phones of a fleet.
#[derive(Debug)]
pub(super) struct Watch {
    marks: Vec<Mark>,
    incidents: Vec<Incident>,
}

fn slot(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Watch {
    pub(super) fn new(phones: usize) -> Self {
        Self { marks: vec![Mark::default(); phones], incidents: Vec::new() }
    }

    /// A node dies or returns now: the phones that this concerns are marked.
    pub(super) fn begin(&mut self, cause: Cause, node: &str, servers: &[SocketAddr], now: Time, phones: &[Phone]) {
        if self.incidents.len() >= INCIDENTS_MAX {
            return;
        }
        if cause == Cause::Return {
            let death = |i: &&mut Incident| i.cause == Cause::Death && i.node == node && i.returned.is_none();
            for death in self.incidents.iter_mut().filter(|i| death(i)) {
                death.returned = Some(now);
                death.changed = true;
            }
        }
        let mut incident = Incident::new(cause, node, servers.to_vec(), now);
        let number = u32::try_from(self.incidents.len() + 1).unwrap_or(u32::MAX);
        for (phone, mark) in phones.iter().zip(&mut self.marks) {
            let here = phone.registered_at().is_some_and(|s| servers.contains(&s));
            let home = phone.profile().servers().first().is_some_and(|s| servers.contains(s));
            let concerned = match cause {
                Cause::Death => here,
                Cause::Return => home && !here && phone.status() != Status::Off,
            };
            if concerned {
                mark.incident = number;
                mark.settled = false;
                incident.affected += 1;
                incident.unserved += u32::from(phone.registered_at().is_none());
            }
        }
        self.incidents.push(incident);
    }

    pub(super) fn wanted(&mut self, phone: u32, at: Time) {
        if let Some(mark) = self.marks.get_mut(slot(phone)) {
            mark.wanted = at.max(Time::from_micros(1));
        }
    }

    /// A phone changed. Returns since when it was wanted, when this is its first registration.
    pub(super) fn changed(&mut self, number: u32, change: &Change) -> Option<Time> {
        let mark = self.marks.get_mut(slot(number))?;
        let incident = slot(mark.incident).checked_sub(1).and_then(|n| self.incidents.get_mut(n));
        if change.to != Status::Registered {
            if change.from == Status::Registered {
                mark.unserved = change.at;
                if let Some(incident) = incident {
                    incident.unserved += 1;
                    incident.changed = true;
                }
            }
            return None;
        }
        let gap = std::mem::take(&mut mark.unserved);
        if let (Some(incident), Some(server)) = (incident, change.server) {
            incident.changed = true;
            if gap != Time::ZERO {
                incident.unserved = incident.unserved.saturating_sub(1);
            }
            settle(incident, mark, change.at, server, gap);
        }
        Some(std::mem::take(&mut mark.wanted)).filter(|w| *w != Time::ZERO)
    }

    /// An operation of a phone is over.
    pub(super) fn over(&mut self, number: u32, exchange: &Exchange) {
        let latest = self.incidents.len();
        let Some(mark) = self.marks.get_mut(slot(number)) else { return };
        if slot(mark.incident) != latest
            && exchange.operation == crate::Operation::Refresh
            && matches!(exchange.outcome, Outcome::Answered(200..300))
            && let Some(last) = self.incidents.last_mut().filter(|i| i.open() > 0)
        {
            last.survivors.add(exchange.at.since(exchange.begun));
            last.changed = true;
        }
        if mark.settled {
            return;
        }
        let Some(incident) = slot(mark.incident).checked_sub(1).and_then(|n| self.incidents.get_mut(n)) else { return };
        incident.changed = true;
        match exchange.outcome {
            Outcome::Answered(200..300) => {
                let same = exchange.server.is_some_and(|s| incident.servers.contains(&s));
                // An answer of the node between the order to die and its death says nothing.
                let back = incident.returned.is_some_and(|at| exchange.at >= at);
                let refreshed = exchange.operation == crate::Operation::Refresh && back;
                if incident.cause == Cause::Death && same && refreshed {
                    incident.stayed += 1;
                    mark.settled = true;
                }
            }
            Outcome::Answered(code) => {
                *incident.refusals.entry(code).or_default() += 1;
                if let Some(wait) = exchange.retry_after {
                    incident.retry_after.add(wait);
                }
            }
            _ => {}
        }
    }

    /// Renews a copy: what has changed since the last time, and what is new.
    pub(super) fn show(&mut self, copy: &mut Vec<Incident>) {
        for (place, incident) in self.incidents.iter_mut().enumerate() {
            match copy.get_mut(place) {
                Some(old) if incident.changed => old.clone_from(incident),
                Some(_) => {}
                None => copy.push(incident.clone()),
            }
            incident.changed = false;
        }
    }
}

/// A phone concerned is registered at `server`.
fn settle(incident: &mut Incident, mark: &mut Mark, at: Time, server: SocketAddr, gap: Time) {
    let there = incident.servers.contains(&server);
    let arrived = match incident.cause {
        Cause::Death => !there,
        Cause::Return => there,
    };
    if mark.settled {
        incident.moved_again += u32::from(arrived || incident.cause == Cause::Return);
        return;
    }
    if !arrived {
        if incident.cause == Cause::Death {
            incident.stayed += 1;
            mark.settled = true;
        }
        return;
    }
    mark.settled = true;
    incident.moved += 1;
    incident.moved_after.add(at.since(incident.at));
    incident.outage.add(match incident.cause {
        Cause::Death => at.since(incident.at),
        Cause::Return if gap == Time::ZERO => Duration::ZERO,
        Cause::Return => at.since(gap),
    });
    *incident.landed.entry(server).or_default() += 1;
    incident.first.get_or_insert(at);
    incident.last = Some(at);
    *incident.per_second.entry(at.since(incident.at).as_secs()).or_default() += 1;
}

#[cfg(test)]
#[path = "incident/tests.rs"]
mod tests;
