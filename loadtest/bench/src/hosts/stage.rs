//! The hosts, their nodes and the phones as one stage: what can be asked of them, and what is done to them.
//!
//! It must never judge: that is for [`super::conduct`].

use super::command::{eventually, until_then, wait};
use super::crowd::Crowd;
use super::ear::Ear;
use super::network::{Cable, HOSTS, Network};
use super::nodes::{self, Nodes, name};
use super::outcome::{Counts, Look};
use super::pulse::Pulse;
use super::scenario::{Fault, OTHER, VICTIM};
use crate::error::Error;
use rustix::process::Signal;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tandem_base::Time;
use tandem_host::clock::Clock;

/// All phones are to be registered at home within this time.
const SETTLE_MAX: Duration = Duration::from_secs(240);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A journal is asked so often: it holds what tens of thousands of moves leave in it.
const LISTEN_EVERY: Duration = Duration::from_secs(10);
const BEATS_PER_LISTEN: u32 = 8;
/// Half a beat of a flapping cable.
const BEAT: Duration = Duration::from_secs(1);
/// Lists of all devices are compared so often at most, with so long in between.
const LISTS: u32 = 3;
const LIST_AGAIN: Duration = Duration::from_secs(3);
/// Busy programs, one for each core.
const SPINNERS: usize = 2;

/// See the module. Phones go first when it ends, then nodes, then the network.
pub(super) struct Stage {
    pub(super) crowd: Crowd,
    pub(super) nodes: Nodes,
    pub(super) ear: Ear,
    pub(super) pulse: Pulse,
    network: Network,
    devices: u32,
}

impl Stage {
    /// Builds everything and waits until every phone is at home.
    ///
    /// # Errors
    /// What is missing or does not start.
    pub(super) fn new(tandem: &Path, folder: &Path, devices: u32) -> Result<Self, Error> {
        let network = Network::new()?;
        let mut nodes = Nodes::prepare(tandem, folder, &network, devices)?;
        (0..HOSTS).try_for_each(|host| nodes.start(host))?;
        let crowd = Crowd::start(&network, devices)?;
        let mut stage = Self { crowd, nodes, ear: Ear::default(), pulse: Pulse::start(), network, devices };
        match stage.until_home()? {
            true => Ok(stage),
            false => Err(Error::Worthless(format!(
                "not every phone was at home within {} s: {}",
                SETTLE_MAX.as_secs(),
                stage.words()
            ))),
        }
    }

    /// What everybody says, in one line, for people who have to find out why.
    pub(super) fn words(&mut self) -> String {
        let look = self.look(|_| true).unwrap_or_default();
        let counts = |c: &Counts| c.iter().map(|(n, d)| format!("{n} {d}")).collect::<Vec<_>>().join(", ");
        let all = look.status.iter().map(|(by, c)| format!("{by} says {}", counts(c)));
        all.chain([format!("phones say {}", counts(&look.phones))]).collect::<Vec<_>>().join("; ")
    }

    /// What the nodes that can be asked and the phones say. A node that does not answer is left out, and missed by whoever needs it.
    ///
    /// # Errors
    /// The phones' process has ended.
    pub(super) fn look(&mut self, asked: impl Fn(usize) -> bool) -> Result<Look, Error> {
        let mut look = Look::default();
        for host in (0..HOSTS).filter(|h| asked(*h) && self.nodes.answers(*h)) {
            let Ok(status) = self.nodes.status(host) else { continue };
            look.status.insert(name(host), status.nodes.into_iter().map(|r| (r.name, r.registrations)).collect());
        }
        let count = self.crowd.count()?;
        for host in 0..HOSTS {
            let there = count.by_server.get(&nodes::sip(host)).copied().unwrap_or_default();
            look.phones.insert(name(host), u64::from(there));
        }
        Ok(look)
    }

    /// Whether every node sees all in service, has proven every copy complete, and counts like the others, every device once.
    fn is_equal(&self) -> Result<bool, Error> {
        let mut first: Option<Counts> = None;
        for host in 0..HOSTS {
            // One that is being started anew cannot be asked yet.
            let Ok(status) = self.nodes.status(host) else { return Ok(false) };
            let served = |r: &nodes::NodeRow| {
                r.state == "in_service" && r.seen_by.get(&name(host)).is_some_and(|s| s == "in_service")
            };
            if !status.nodes.iter().all(served) {
                return Ok(false);
            }
            let counts: Counts = status.nodes.into_iter().map(|r| (r.name, r.registrations)).collect();
            if counts.values().sum::<u64>() != u64::from(self.devices) || first.as_ref().is_some_and(|f| *f != counts) {
                return Ok(false);
            }
            first = Some(counts);
        }
        for host in 0..HOSTS {
            if self.nodes.divergent(host)? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Milliseconds since `healed` until all are equal; `None` when it takes longer than `patience`.
    pub(super) fn until_equal(&self, healed: u64, patience: Duration) -> Result<Option<u64>, Error> {
        let found = eventually(patience, LOOK_EVERY, || Ok(self.is_equal()?.then(now)))?;
        Ok(found.map(|at| at.saturating_sub(healed)))
    }

    /// Waits until phones and nodes say that every device is at home; `false` when that takes too long.
    pub(super) fn until_home(&mut self) -> Result<bool, Error> {
        let wanted: Counts = nodes::at_home(self.devices).into_iter().enumerate().map(|(h, n)| (name(h), n)).collect();
        let mut listened = now();
        let found = eventually(SETTLE_MAX, LOOK_EVERY, || {
            if now() >= listened + LISTEN_EVERY.as_millis() as u64 {
                listened = now();
                self.ear.listen(&self.nodes);
            }
            // The phones are asked first: that costs the nodes nothing.
            let phones = self.look(|_| false)?.phones;
            if phones != wanted || !self.is_equal()? {
                return Ok(None);
            }
            let look = self.look(|_| true)?;
            Ok((look.status.len() == HOSTS && look.status.values().all(|c| *c == wanted)).then_some(()))
        })?;
        Ok(found.is_some())
    }

    /// Devices that two nodes, or a node and the phones, place differently, and go on to do so: the lists are not of one moment.
    pub(super) fn misplaced(&mut self) -> Result<u64, Error> {
        let mut misplaced = self.misplaced_now()?;
        for _ in 1..LISTS {
            if misplaced == 0 {
                break;
            }
            wait(LIST_AGAIN)?;
            misplaced = self.misplaced_now()?;
        }
        Ok(misplaced)
    }

    fn misplaced_now(&mut self) -> Result<u64, Error> {
        let census = self.crowd.census()?.at;
        let all = (0..HOSTS).map(|h| self.nodes.devices(h)).collect::<Result<Vec<_>, _>>()?;
        let node_at = |at: &Option<std::net::SocketAddr>| (0..HOSTS).find(|h| Some(nodes::sip(*h)) == *at).map(name);
        let agree = |(device, at): &(&String, &Option<std::net::SocketAddr>)| {
            let wanted = node_at(at);
            all.iter().all(|devices| devices.get(*device) == Some(&wanted))
        };
        Ok(census.iter().filter(|entry| !agree(entry)).count() as u64)
    }

    /// Begins a fault, waits until it has lasted so long, and does not end it. Returns when it began, in milliseconds since 1970.
    pub(super) fn strike(&mut self, fault: Fault, length: Duration) -> Result<u64, Error> {
        let clock = Clock::system();
        let until = clock.now() + length;
        let began = match fault {
            Fault::Kill => self.nodes.signal(VICTIM, Signal::KILL)?,
            Fault::Stop => self.nodes.signal(VICTIM, Signal::TERM)?,
            Fault::Freeze => self.nodes.signal(VICTIM, Signal::STOP)?,
            Fault::Cut(cables) => {
                let began = now();
                self.plug(cables, false)?;
                began
            }
            Fault::Pair | Fault::OneWay => {
                let began = now();
                self.network.deafen(OTHER, VICTIM)?;
                if fault == Fault::Pair {
                    self.network.deafen(VICTIM, OTHER)?;
                }
                began
            }
            Fault::Flap(cables) => return self.flap(cables, length),
            Fault::Busy => {
                let began = now();
                let spinners = (0..SPINNERS).map(|_| Spinner::start()).collect::<Result<Vec<_>, _>>()?;
                self.listen_until(until)?;
                drop(spinners);
                began
            }
        };
        self.listen_until(until)?;
        Ok(began)
    }

    /// Waits, and hears what the nodes tell meanwhile.
    fn listen_until(&mut self, until: Time) -> Result<(), Error> {
        let clock = Clock::system();
        while clock.now() < until {
            until_then(clock, until.min(clock.now() + LISTEN_EVERY))?;
            self.ear.listen(&self.nodes);
        }
        Ok(())
    }

    fn flap(&mut self, cables: &[Cable], length: Duration) -> Result<u64, Error> {
        let clock = Clock::system();
        let (began, mut beat) = (now(), clock.now());
        let until = beat + length;
        let (mut plugged, mut beats) = (true, 0_u32);
        // Ends unplugged, so that healing is healing.
        while beat < until || plugged {
            plugged = !plugged;
            self.plug(cables, plugged)?;
            beat += BEAT;
            until_then(clock, beat)?;
            beats += 1;
            if beats % BEATS_PER_LISTEN == 0 {
                self.ear.listen(&self.nodes);
            }
        }
        Ok(began)
    }

    fn plug(&self, cables: &[Cable], plugged: bool) -> Result<(), Error> {
        cables.iter().try_for_each(|cable| self.network.plug(*cable, VICTIM, plugged))
    }

    /// Ends a fault; returns when, in milliseconds since 1970.
    pub(super) fn heal(&mut self, fault: Fault) -> Result<u64, Error> {
        let healed = now();
        match fault {
            Fault::Kill | Fault::Stop => self.nodes.start(VICTIM)?,
            Fault::Freeze => drop(self.nodes.signal(VICTIM, Signal::CONT)?),
            Fault::Cut(cables) | Fault::Flap(cables) => self.plug(cables, true)?,
            Fault::Pair | Fault::OneWay => {
                self.network.hear(VICTIM)?;
                self.network.hear(OTHER)?;
            }
            Fault::Busy => {}
        }
        Ok(healed)
    }

    /// Nothing happens for a while: whatever flaps shows.
    pub(super) fn calm(time: Duration) -> Result<(), Error> {
        wait(time)
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    Clock::system().unix_millis().0
}

/// A program that keeps a core busy; ends with its value.
struct Spinner(Child);

impl Spinner {
    fn start() -> Result<Self, Error> {
        let me = std::env::current_exe().map_err(Error::io("cannot find this very program"))?;
        let child = Command::new(me).arg("spin").stdin(Stdio::null()).spawn();
        child.map(Self).map_err(Error::io("cannot start a busy program"))
    }
}
impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
