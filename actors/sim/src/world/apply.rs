//! What goes wrong, carried out: on nodes, on phones, on the two networks between them.

use super::World;
use crate::cold::Cold;
use crate::faults::Fault;
use crate::station::{Start, Station};
use std::time::Duration;
use tandem_base::{NodeName, Time};
use tandem_host::disk::DiskFault;
use tandem_host::link::simulated::Path;
use tandem_model::timings::DRAIN;
use tandem_rules::invariants::Broken;

/// As in production: between two rounds of a polite stop.
const LEAVE_ROUND: Duration = Duration::from_millis(100);
/// As in production: a node that could not be started is started again after this.
const START_AGAIN: Duration = Duration::from_secs(1);
/// As in production: a node that stops waits so long for its disk.
const KEEP: Duration = Duration::from_secs(2);

impl World {
    /// One thing goes wrong, or ends.
    pub fn apply(&mut self, fault: Fault) {
        let now = self.now();
        let told = fault.tell(&self.directory.nodes);
        self.log.event(now, &format!("--- {told}"));
        let done = self.on_nodes(fault).and_then(|()| self.on_hosts(fault));
        if let Err(how) = done.and_then(|()| self.on_links(fault)).and_then(|()| self.on_phones(fault)) {
            self.broken = Some(Broken { rule: "a_node_starts", how });
        }
        self.changed = true;
        self.disturbed(now);
        let rough = self.is_rough();
        self.history.fault(now, Some(fault), rough);
    }
    /// Whether phones may lose patience with a node that serves them.
    fn is_rough(&self) -> bool {
        let slow = self.stations.iter().any(|s| s.is_slow() || s.hangs());
        let sip = self.shared.sip.borrow();
        slow || sip.path() != self.setup.sip || sip.has_cuts()
    }
    /// Whether all is calm between nodes, after something has happened.
    pub(super) fn disturbed(&mut self, now: Time) {
        let still = self.stations.iter().any(|s| s.hangs() || s.is_slow());
        let calm = self.cuts.is_empty() && self.link == self.setup.link && !still;
        // Frames that are late are on their way beyond the end of their fault.
        self.calm_since = calm.then_some(now.max(self.late_until));
    }
    fn set_link_delay(&mut self, more: Duration) {
        self.late_until = self.late_until.max(self.now() + self.link.delay_max);
        self.link.delay_max = self.setup.link.delay_max + more;
    }

    /// What happens to the life of a node.
    fn on_nodes(&mut self, fault: Fault) -> Result<(), String> {
        let now = self.now();
        match fault {
            Fault::Crash(n) => {
                self.silent.remove(&n);
                self.station(n)?.crash()?;
            }
            Fault::PowerOff(n) => {
                self.silent.insert(n);
                // Nobody hears its connections close.
                let me = self.node(n)?;
                let peers = self.directory.nodes.iter().filter(|p| **p != me);
                peers.for_each(|peer| self.shared.links.cut(&me, peer));
                self.station(n)?.crash()?;
                self.renew_cuts();
            }
            Fault::Stop(n) => {
                self.silent.remove(&n);
                self.station(n)?.drain();
                self.keeping.remove(&n);
                self.leaving.insert(n, (now, now + DRAIN));
            }
            Fault::Return(n) => {
                self.silent.remove(&n);
                if self.leaving.remove(&n).is_some() | self.keeping.remove(&n).is_some() {
                    // Whoever starts a node that is stopping has waited long enough for it.
                    self.station(n)?.crash()?;
                }
                let delay = self.station(n)?.disk_delay();
                self.starting.insert(n, now + delay);
                self.start_what_is_due(now)?;
            }
            Fault::Hang(n) => self.station(n)?.hang(),
            Fault::Resume(n) => self.station(n)?.resume(),
            _ => {}
        }
        if let Fault::Crash(n) | Fault::PowerOff(n) = fault {
            self.starting.remove(&n);
            self.leaving.remove(&n);
            self.keeping.remove(&n);
        }
        self.notice_the_end(now);
        Ok(())
    }

    /// Whether no node lives any more: from here on files are all that is known.
    fn notice_the_end(&mut self, now: Time) {
        if self.stations.iter().any(Station::lives) {
            return;
        }
        (0..self.stations.len()).for_each(|node| self.history.ended(node));
        let newest = (0..self.directory.len()).map(|device| self.history.newest_elsewhere(None, device)).collect();
        self.history.forgets();
        self.cold = Some(Cold::begins(now, newest));
    }

    /// Begins the lives that are to begin; one that cannot write its number begins later.
    pub(super) fn start_what_is_due(&mut self, now: Time) -> Result<(), String> {
        let due: Vec<u16> = self.starting.iter().filter(|(_, at)| **at <= now).map(|(n, _)| *n).collect();
        for n in due {
            self.starting.remove(&n);
            let name = self.node(n)?;
            if self.station(n)?.lives() {
                continue;
            }
            match self.station(n)?.start()? {
                Start::Lives => {
                    let index = usize::from(n);
                    if let (Some(cold), Some(station)) = (&mut self.cold, self.stations.get(index)) {
                        cold.starts(now, index, station, &self.directory);
                    }
                    if self.stations.get(index).is_some_and(Station::is_spoilt) {
                        self.unsaid.insert(name.clone());
                    }
                    self.paces.begins(&name);
                    self.lives.begins(&name);
                    self.changed = true;
                    self.disturbed(now);
                    let rough = self.is_rough();
                    self.history.fault(now, None, rough);
                }
                Start::DiskRefused => {
                    self.log.event(now, &format!("--- {name} cannot write the number of its life"));
                    self.starting.insert(n, now + START_AGAIN);
                }
            }
        }
        Ok(())
    }

    /// What happens to the host of a node.
    fn on_hosts(&mut self, fault: Fault) -> Result<(), String> {
        let millis = |ms: u32| Duration::from_millis(u64::from(ms));
        match fault {
            Fault::Slow(n, ms) => self.station(n)?.set_slow(millis(ms)),
            Fault::ClockSet(n, ahead) => self.station(n)?.set_clock(ahead),
            Fault::DiskFull(n) => self.station(n)?.set_disk(Some(DiskFault::Full), Duration::ZERO),
            Fault::DiskTorn(n) => self.station(n)?.set_disk(Some(DiskFault::Torn), Duration::ZERO),
            Fault::DiskSlow(n, ms) => self.station(n)?.set_disk(None, millis(ms)),
            Fault::DiskGood(n) => self.station(n)?.set_disk(None, Duration::ZERO),
            Fault::TablesSpoilt { node, place, cut } => {
                let spoilt = self.station(node)?.spoil_tables(usize::try_from(place).unwrap_or(0), cut);
                self.cold.iter_mut().filter(|_| spoilt).for_each(|cold| cold.spoilt(usize::from(node)));
            }
            _ => {}
        }
        Ok(())
    }

    /// What happens between nodes.
    fn on_links(&mut self, fault: Fault) -> Result<(), String> {
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
            Fault::LinkLoss(ppm) => self.link.loss_per_million = ppm,
            Fault::LinkTwice(ppm) => self.link.twice_per_million = ppm,
            Fault::LinkShort(ppm) => self.link.short_per_million = ppm,
            Fault::LinkDelay(ms) => self.set_link_delay(Duration::from_millis(u64::from(ms))),
            _ => {}
        }
        self.shared.links.set_default_path(self.link);
        Ok(())
    }

    /// What happens to phones, or between them and the nodes.
    fn on_phones(&mut self, fault: Fault) -> Result<(), String> {
        let now = self.now();
        let path = self.shared.sip.borrow().path();
        let become_path = |path: Path| self.shared.sip.borrow_mut().set_path(path);
        match fault {
            Fault::Off(of) => self.phones.switch_off(now, of, &mut self.wanted),
            Fault::Unpowered(of) => self.phones.lose_power(of)?,
            Fault::On | Fault::Powered => self.phones.switch_on(now, &mut self.wanted),
            Fault::Moved(of) => {
                let phones = self.phones.one_in(of).filter_map(|n| self.phones.get(n));
                phones.for_each(|p| self.shared.sip.borrow_mut().give_new_address(p.local()));
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
            Fault::SipLoss(ppm) => become_path(Path { loss_per_million: ppm, ..path }),
            Fault::SipTwice(ppm) => become_path(Path { twice_per_million: ppm, ..path }),
            Fault::SipDelay(ms) => {
                let delay_max = self.setup.sip.delay_max + Duration::from_millis(u64::from(ms));
                become_path(Path { delay_max, ..path });
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
        let names = &self.directory.nodes[..];
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
        self.shared.sip.borrow_mut().set_path(self.setup.sip);
        self.set_link_delay(Duration::ZERO);
        self.link = self.setup.link;
        self.apply(Fault::LinkLoss(0));
        self.apply(Fault::On);
        for index in 0..u16::try_from(self.stations.len()).unwrap_or(u16::MAX) {
            self.apply(Fault::DiskGood(index));
            self.apply(Fault::ClockSet(index, 0));
            self.apply(Fault::Slow(index, 0));
            let hangs = self.stations.get(usize::from(index)).is_some_and(Station::hangs);
            self.apply(if hangs { Fault::Resume(index) } else { Fault::Return(index) });
        }
    }

    /// Nodes that stood still and find their lives over end them and begin new ones, as their processes do.
    pub(super) fn begin_new_lives(&mut self, now: Time) {
        let mut failed = Ok(());
        for station in self.stations.iter_mut().filter(|s| s.is_over()) {
            self.log.event(now, &format!("--- {} finds its life over and begins a new one", station.name));
            self.leaving.remove(&station.index);
            self.keeping.remove(&station.index);
            failed = failed.and(station.crash());
            self.starting.insert(station.index, now + station.disk_delay());
            self.changed = true;
        }
        if let Err(how) = failed.and(self.start_what_is_due(now)) {
            self.broken = Some(Broken { rule: "a_node_starts", how });
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
                    station.save_last();
                    self.keeping.insert(n, now + KEEP);
                }
            }
        }
    }

    /// Polite stops come to their end when the tables are on disk, or patience with it is.
    pub(super) fn end_who_has_kept(&mut self, now: Time) {
        let waiting: Vec<(u16, Time)> = self.keeping.iter().map(|(n, until)| (*n, *until)).collect();
        for (n, until) in waiting {
            let Some(station) = self.stations.get_mut(usize::from(n)) else { continue };
            if station.lives() && now < until && !station.is_saved() {
                continue;
            }
            self.keeping.remove(&n);
            let crashed = station.crash();
            if let Err(how) = crashed {
                self.broken = Some(Broken { rule: "a_node_starts", how });
            }
            self.changed = true;
            self.log.event(now, &format!("--- {} has stopped", station.name));
            self.notice_the_end(now);
        }
    }
}
