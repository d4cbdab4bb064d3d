//! What goes wrong, carried out: on nodes, on phones, on the two networks between them.

use super::World;
use crate::faults::Fault;
use crate::station::Station;
use std::time::Duration;
use tandem_base::{NodeName, Time};
use tandem_host::link::simulated::Path;
use tandem_model::timings::DRAIN;
use tandem_rules::invariants::Broken;

/// As in production: between two rounds of a polite stop.
const LEAVE_ROUND: Duration = Duration::from_millis(100);

impl World {
    /// One thing goes wrong, or ends.
    pub fn apply(&mut self, fault: Fault) {
        let now = self.now();
        let told = fault.tell(&self.directory.nodes);
        self.log.event(now, &format!("--- {told}"));
        if let Err(how) = self.on_nodes(fault).and_then(|()| self.on_nets(fault)) {
            self.broken = Some(Broken { rule: "a_node_starts", how });
        }
        self.changed = true;
        let calm = self.cuts.is_empty() && self.link_loss == 0 && !self.stations.iter().any(Station::hangs);
        self.calm_since = calm.then_some(now);
    }

    /// What happens to a node or to the phones themselves.
    fn on_nodes(&mut self, fault: Fault) -> Result<(), String> {
        let now = self.now();
        match fault {
            Fault::Crash(n) => {
                self.silent.remove(&n);
                self.station(n)?.crash();
            }
            Fault::PowerOff(n) => {
                self.silent.insert(n);
                // Nobody hears its connections close.
                let me = self.node(n)?;
                let peers = self.directory.nodes.iter().filter(|p| **p != me);
                peers.for_each(|peer| self.shared.links.cut(&me, peer));
                self.station(n)?.crash();
                self.renew_cuts();
            }
            Fault::Stop(n) => {
                self.silent.remove(&n);
                self.station(n)?.drain();
                self.leaving.insert(n, (now, now + DRAIN));
            }
            Fault::Off(of) => {
                self.phones.switch_off(now, of, &mut self.wanted);
            }
            Fault::On => {
                self.phones.switch_on(now, &mut self.wanted);
            }
            Fault::Return(n) => {
                self.silent.remove(&n);
                if self.leaving.remove(&n).is_some() {
                    // Whoever starts a node that is stopping has waited long enough for it.
                    self.station(n)?.crash();
                }
                if !self.station(n)?.lives() {
                    self.paces.begins(&self.node(n)?);
                }
                self.station(n)?.start()?;
            }
            Fault::Hang(n) => self.station(n)?.hang(),
            Fault::Resume(n) => self.station(n)?.resume(),
            _ => {}
        }
        Ok(())
    }

    /// What happens between nodes, or between them and the phones.
    fn on_nets(&mut self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Cut(a, b) => {
                self.cuts.extend([(a, b), (b, a)]);
                self.shared.links.cut(&self.node(a)?, &self.node(b)?);
            }
            Fault::CutOneWay(a, b) => {
                self.cuts.insert((a, b));
                self.shared.links.cut_one_way(&self.node(a)?, &self.node(b)?);
            }
            Fault::Heal(a, b) => {
                self.cuts.remove(&(a, b));
                self.cuts.remove(&(b, a));
                self.shared.links.heal(&self.node(a)?, &self.node(b)?);
            }
            Fault::Break(a, b) => {
                self.shared.links.disconnect(&self.node(a)?, &self.node(b)?);
                self.renew_cuts();
            }
            Fault::Unplug { node, of } => {
                let address = self.station(node)?.address;
                for phone in self.phones.all().iter().filter(|p| (p.id() + 1) % u32::from(of.max(1)) == 0) {
                    self.shared.sip.borrow_mut().set_cut(phone.local(), address, true);
                }
            }
            Fault::Plug(node) => {
                let address = self.station(node)?.address;
                for phone in self.phones.all() {
                    self.shared.sip.borrow_mut().set_cut(phone.local(), address, false);
                }
            }
            Fault::SipLoss(ppm) => {
                self.shared.sip.borrow_mut().set_path(Path { loss_per_million: ppm, ..self.setup.sip });
            }
            Fault::LinkLoss(ppm) => {
                self.link_loss = ppm;
                self.shared.links.set_default_path(Path { loss_per_million: ppm, ..self.setup.link });
            }
            _ => {}
        }
        Ok(())
    }

    fn node(&self, n: u16) -> Result<NodeName, String> {
        let name = self.directory.nodes.get(usize::from(n)).cloned();
        name.ok_or_else(|| format!("there is no node number {n}"))
    }
    fn station(&mut self, n: u16) -> Result<&mut Station, String> {
        self.stations.get_mut(usize::from(n)).ok_or_else(|| format!("there is no node number {n}"))
    }

    /// Heals the links that are not cut by a fault, and only these.
    fn renew_cuts(&self) {
        let names = &self.directory.nodes;
        for (a, one) in (0_u16..).zip(names) {
            for (b, other) in (0_u16..).zip(names).filter(|(b, _)| *b > a) {
                match (self.cuts.contains(&(a, b)), self.cuts.contains(&(b, a))) {
                    (false, false) => self.shared.links.heal(one, other),
                    (true, true) => {}
                    // A one-way cut that was made both ways for a moment.
                    (there, _) => {
                        let (from, to) = if there { (one, other) } else { (other, one) };
                        self.shared.links.heal(one, other);
                        self.shared.links.cut_one_way(from, to);
                    }
                }
            }
        }
    }

    /// Ends every fault: cuts heal, hung nodes go on, dead ones return, nothing is lost any more.
    pub fn heal(&mut self) {
        self.plan.clear();
        self.cuts.clear();
        self.shared.links.heal_all();
        self.shared.sip.borrow_mut().heal();
        self.apply(Fault::SipLoss(0));
        self.apply(Fault::LinkLoss(0));
        self.apply(Fault::On);
        for index in 0..u16::try_from(self.stations.len()).unwrap_or(u16::MAX) {
            let hangs = self.stations.get(usize::from(index)).is_some_and(Station::hangs);
            self.apply(if hangs { Fault::Resume(index) } else { Fault::Return(index) });
        }
    }

    /// Nodes that stood still and find their lives over end them and begin new ones, as their processes do.
    pub(super) fn begin_new_lives(&mut self, now: Time) {
        for station in self.stations.iter_mut().filter(|s| s.is_over()) {
            self.log.event(now, &format!("--- {} finds its life over and begins a new one", station.name));
            self.leaving.remove(&station.index);
            station.crash();
            self.paces.begins(&station.name);
            if let Err(how) = station.start() {
                self.broken = Some(Broken { rule: "a_node_starts", how });
            }
            self.changed = true;
        }
    }

    /// The rounds of polite stops that are due.
    pub(super) fn rounds(&mut self, now: Time) {
        let due: Vec<_> = self.leaving.iter().filter(|(_, (at, _))| *at <= now).map(|(n, d)| (*n, d.1)).collect();
        for (n, deadline) in due {
            let Some(station) = self.stations.get_mut(usize::from(n)) else { continue };
            match station.leave() {
                Some(left) if left > 0 && now < deadline => {
                    self.leaving.insert(n, (now + LEAVE_ROUND, deadline));
                }
                _ => {
                    self.leaving.remove(&n);
                    station.crash();
                    self.changed = true;
                    self.log.event(now, &format!("--- {} has stopped", station.name));
                }
            }
        }
    }
}
