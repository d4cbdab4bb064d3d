//! The fleet's state: phones, their timers, the way of each to the network, the ledger. No task and no waiting here.
//!
//! Every step of a phone passes through [`Core::step`], which books it; nothing else touches a phone.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use tandem_base::Time;
use tandem_host::clock::Clock;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::Window;
use super::scout::Scouts;
use super::stats::{Before, Ledger};
use super::timers::Timers;
use crate::phone::{Demux, demux};
use crate::{Change, Error, FleetConfig, Phone, PhoneInput, PhoneOutput, Profile, Transport};

/// Messages that wait for one stream's writer; one more is dropped and counted.
pub(super) const STREAM_QUEUE: usize = 32;
/// Phones started in one tick at most, so that answers are read in between.
const STARTS_PER_TICK: u64 = 2_000;

/// Ticks in which a large fleet is switched off, and the least phones of one of them.
const STOP_TICKS: usize = 400;
const STOPS_PER_TICK: usize = 50;

/// A UDP socket that phones share, or one phone's own.
pub(super) type Socket = std::rc::Rc<UdpSocket>;

/// See the module.
pub(super) struct Core {
    phones: Vec<Phone>,
    /// The UDP socket of each phone; a TCP phone has none.
    sockets: Vec<Option<Socket>>,
    /// Phone numbers in the order of their users, to find the phone that a request is for.
    by_user: Vec<u32>,
    timers: Timers,
    pub(super) ledger: Ledger,
    pub(super) scouts: Scouts,
    /// The writers of open streams; a stream's task removes its own entry.
    pub(super) streams: BTreeMap<(u32, SocketAddr), mpsc::Sender<Bytes>>,
    /// Streams asked for since the last time somebody looked.
    opens: Vec<(u32, SocketAddr)>,
    history: VecDeque<(u32, Change)>,
    history_max: usize,
    begun: Time,
    pace: u64,
    /// Phones switched on so far: those below this number.
    switched_on: u32,
    /// Phones switched off again: those below this number.
    switched_off: u32,
    stopping: bool,
}

impl Core {
    /// Makes the phones and opens their UDP sockets.
    pub(super) fn open(config: &FleetConfig, clock: Clock) -> Result<Self, Error> {
        let count = config.phones();
        let mut phones = Vec::with_capacity(count);
        let mut sockets = Vec::with_capacity(count);
        for group in &config.groups {
            let profile = Profile::new(&group.domain, &group.servers, group.settings.clone())?;
            let mut plug = super::datagrams::Plug::new(group);
            for who in &group.phones {
                let number = u32::try_from(phones.len()).unwrap_or(u32::MAX);
                let socket = match group.settings.transport {
                    Transport::Udp => Some(plug.socket(number)?),
                    Transport::Tcp => None,
                };
                let local = match &socket {
                    Some(socket) => socket
                        .local_addr()
                        .map_err(|source| Error::Io { what: "a UDP socket's address".into(), source })?,
                    None => SocketAddr::new(group.source_ip(number), 0),
                };
                let seed = config.seed ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                phones.push(Phone::new(number, Arc::clone(&profile), who, local, seed)?);
                sockets.push(socket);
            }
        }
        let mut by_user: Vec<u32> = phones.iter().map(Phone::id).collect();
        by_user.sort_by_key(|&number| phones.get(slot(number)).map(Phone::user));
        let mut ledger = Ledger::new(count);
        ledger.stats.memory = phones.iter().map(|p| p.memory() as u64).sum();
        Ok(Self {
            phones,
            sockets,
            by_user,
            timers: Timers::new(count),
            ledger,
            scouts: Scouts::default(),
            streams: BTreeMap::new(),
            opens: Vec::new(),
            history: VecDeque::new(),
            history_max: config.history,
            begun: clock.now(),
            pace: config.starts_per_second.into(),
            switched_on: 0,
            switched_off: 0,
            stopping: false,
        })
    }

    /// Switches on what is due by the planned pace, and fires due timers.
    pub(super) fn tick(&mut self, now: Time) {
        let elapsed = u64::try_from(now.since(self.begun).as_millis()).unwrap_or(u64::MAX);
        let planned = elapsed.saturating_mul(self.pace) / 1_000 + 1;
        let on = u64::from(self.switched_on);
        let until = planned.min(self.phones.len() as u64).min(on + STARTS_PER_TICK);
        while !self.stopping && u64::from(self.switched_on) < until {
            self.step(now, self.switched_on, PhoneInput::Start);
            self.switched_on += 1;
        }
        if self.stopping {
            self.stop_some(now);
        }
        while let Some(phone) = self.timers.pop(now) {
            self.walk(now, phone, |p| p.tick(now));
        }
    }

    pub(super) fn set_busy(&mut self, now: Time, phones: Range<u32>, busy: bool) {
        let end = phones.end.min(u32::try_from(self.phones.len()).unwrap_or(u32::MAX));
        for phone in phones.start..end {
            self.step(now, phone, PhoneInput::Busy(busy));
        }
    }

    /// From now on every tick switches some phones off, all within about two seconds: at once they would drown their
    /// CallManager.
    pub(super) fn begin_stop(&mut self) {
        self.stopping = true;
    }

    fn stop_some(&mut self, now: Time) {
        let some = (self.phones.len() / STOP_TICKS).max(STOPS_PER_TICK);
        let until = self.switched_off.saturating_add(u32::try_from(some).unwrap_or(u32::MAX)).min(self.switched_on);
        while self.switched_off < until {
            self.step(now, self.switched_off, PhoneInput::Stop);
            self.switched_off += 1;
        }
    }

    pub(super) fn all_off(&self) -> bool {
        self.ledger.stats.started == 0
    }

    /// A whole message arrived on the way of `phone`, or on a shared socket.
    pub(super) fn arrived(&mut self, now: Time, phone: Option<u32>, from: SocketAddr, bytes: &[u8]) {
        // A keep-alive of line ends alone (RFC 5626 section 4.4.1) is nobody's.
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let found = match demux(bytes) {
            Some(Demux::Answer { code, phone }) => {
                *self.ledger.stats.answers.entry(code).or_default() += 1;
                Some(phone)
            }
            Some(Demux::Request { user }) => phone.or_else(|| self.find(user)),
            None => phone,
        };
        match found.filter(|&n| slot(n) < self.phones.len() && phone.is_none_or(|own| own == n)) {
            Some(phone) => self.step(now, phone, PhoneInput::Message { from, bytes }),
            None => self.ledger.stats.strays += 1,
        }
    }

    fn find(&self, user: &[u8]) -> Option<u32> {
        let of = |number: &u32| self.phones.get(slot(*number)).map(|p| p.user().as_bytes()).unwrap_or_default();
        let place = self.by_user.binary_search_by(|number| of(number).cmp(user)).ok()?;
        self.by_user.get(place).copied()
    }

    /// Nobody listens at `to`: every phone that waits for it learns it at once.
    pub(super) fn unreachable(&mut self, now: Time, to: SocketAddr) {
        for number in 0..self.switched_on {
            let udp = self.sockets.get(slot(number)).is_some_and(Option::is_some);
            if udp && self.phones.get(slot(number)).is_some_and(|p| p.waits_for(to)) {
                self.step(now, number, PhoneInput::Broken { to });
            }
        }
    }

    /// One input to one phone.
    pub(super) fn step(&mut self, now: Time, phone: u32, input: PhoneInput<'_>) {
        self.walk(now, phone, |p| p.handle(now, input));
    }

    fn walk(&mut self, now: Time, number: u32, step: impl FnOnce(&mut Phone)) {
        let Some(phone) = self.phones.get_mut(slot(number)) else { return };
        let before = Before::of(phone);
        step(phone);
        while let Some(output) = phone.poll() {
            match output {
                PhoneOutput::Send { to, bytes, .. } => {
                    let sent = match self.sockets.get(slot(number)) {
                        // Loopback only, whatever list a 302 gave.
                        _ if !to.ip().is_loopback() => false,
                        Some(Some(socket)) => {
                            self.scouts.sent(now, to);
                            socket.try_send_to(&bytes, to).is_ok()
                        }
                        _ => self.streams.get(&(number, to)).is_some_and(|s| s.try_send(bytes).is_ok()),
                    };
                    self.ledger.stats.send_drops += u64::from(!sent);
                }
                PhoneOutput::Open { to } => self.opens.push((number, to)),
                PhoneOutput::Changed(change) => {
                    self.ledger.changed(&change);
                    self.history.push_back((number, change));
                    if self.history.len() > self.history_max {
                        self.history.pop_front();
                    }
                }
            }
        }
        self.ledger.step(&before, phone);
        self.timers.arm(number, phone.deadline());
    }

    /// Each UDP socket once.
    pub(super) fn distinct_sockets(&self) -> Vec<Socket> {
        let mut sockets: Vec<Socket> = self.sockets.iter().flatten().cloned().collect();
        // Phones that share a socket stand side by side.
        sockets.dedup_by(|a, b| std::rc::Rc::ptr_eq(a, b));
        sockets
    }

    pub(super) fn take_opens(&mut self) -> Vec<(u32, SocketAddr)> {
        std::mem::take(&mut self.opens)
    }

    /// Renews what the handle shows.
    pub(super) fn show(&mut self, now: Time, window: &Mutex<Window>) {
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        window.stats = self.ledger.snapshot(now);
        window.history.append(&mut self.history);
        let excess = window.history.len().saturating_sub(self.history_max);
        window.history.drain(..excess);
    }

    /// The address that a phone sends from.
    pub(super) fn source(&self, phone: u32) -> Option<std::net::IpAddr> {
        self.phones.get(slot(phone)).map(|p| p.local().ip())
    }
}

fn slot(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
