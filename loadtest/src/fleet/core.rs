//! The fleet's state: phones, their timers, the way of each to the network, the ledger. No task and no waiting here.
//!
//! Every step of a phone passes through [`Core::step`], which books it; nothing else touches a phone.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tandem_base::Time;
use tandem_host::clock::Clock;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::Window;
use super::arrivals::{Arrival, Arrivals, Plan};
use super::delay::Delayed;
use super::incident::{Cause, Watch};
use super::record::Record;
use super::scout::Scouts;
use super::stats::{Before, Ledger};
use super::timers::Timers;
use crate::phone::{Demux, demux};
use crate::plan::may_talk_to;
use crate::{Change, Error, FleetConfig, Phone, PhoneInput, PhoneOutput, Profile, Status, Transport};

/// Messages that wait for one stream's writer; one more is dropped and counted.
pub(super) const STREAM_QUEUE: usize = 32;
/// Steps of phones in one turn at most, so that answers are read in between.
const STEPS_PER_TURN: u64 = 64;

/// Phones that are looked at in one turn when nobody listens any more where some of them are registered.
const BROKEN_PER_TURN: usize = 256;

/// Looks in which a large fleet is switched off, and the least phones of one of them.
const STOP_LOOKS: usize = 400;
const STOPS_PER_LOOK: usize = 50;

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
    arrivals: Vec<Arrivals>,
    delayed: Delayed,
    /// Of each group: the number of its first phone, and whether its phones shall be refused.
    groups: Vec<(u32, bool)>,
    watch: Watch,
    record: Arc<Mutex<Record>>,
    pub(super) ledger: Ledger,
    pub(super) scouts: Scouts,
    /// The writers of open streams; a stream's task removes its own entry.
    pub(super) streams: BTreeMap<(u32, SocketAddr), mpsc::Sender<Bytes>>,
    /// Streams asked for since the last time somebody looked.
    opens: Vec<(u32, SocketAddr)>,
    history: VecDeque<(u32, Change)>,
    history_max: usize,
    /// Phones switched off again: those below this number.
    switched_off: u32,
    /// CallManagers where nobody listens, and the first phone that has not been told.
    broken: VecDeque<(SocketAddr, u32)>,
    stopping: bool,
}

impl Core {
    /// Makes the phones and opens their UDP sockets.
    pub(super) fn open(config: &FleetConfig, record: Arc<Mutex<Record>>, clock: Clock) -> Result<Self, Error> {
        let count = config.phones();
        let mut groups = Vec::with_capacity(config.groups.len());
        let mut phones = Vec::with_capacity(count);
        let mut sockets = Vec::with_capacity(count);
        for group in &config.groups {
            let profile = Profile::new(&group.domain, &group.servers, group.settings.clone())?;
            let mut plug = super::datagrams::Plug::new(group);
            groups.push((u32::try_from(phones.len()).unwrap_or(u32::MAX), group.refused));
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
        let mut core = Self {
            phones,
            sockets,
            by_user,
            timers: Timers::new(count),
            arrivals: Vec::new(),
            delayed: Delayed::default(),
            groups,
            watch: Watch::new(count),
            record,
            ledger,
            scouts: Scouts::default(),
            streams: BTreeMap::new(),
            opens: Vec::new(),
            history: VecDeque::new(),
            history_max: config.history,
            switched_off: 0,
            broken: VecDeque::new(),
            stopping: false,
        };
        if !config.hold {
            core.arrivals.push(Arrivals::in_order(config.starts_per_second, clock.now(), count));
        }
        Ok(core)
    }

    /// Does what is due, within bounds, and says when the next thing is due.
    pub(super) fn turn(&mut self, clock: Clock) -> Time {
        for _ in 0..STEPS_PER_TURN {
            // Read anew for each step: what waits for the steps before it is late, and is not to be told as the server's time.
            let now = clock.now();
            let timer = self.timers.pop(now);
            if let Some(phone) = timer {
                self.walk(now, phone, |p| p.tick(now));
            }
            let arrival = self.arrivals.iter_mut().filter(|_| !self.stopping).find_map(|a| a.pop(now));
            if let Some((due, what, phone)) = arrival {
                self.arrive(now, due, what, phone);
            }
            let message = self.delayed.pop(now);
            let some = message.is_some();
            if let Some((phone, from, bytes)) = message {
                self.step(now, phone, PhoneInput::Message { from, bytes: &bytes });
            }
            if timer.is_none() && arrival.is_none() && !some {
                break;
            }
        }
        self.arrivals.retain(|a| !a.is_over());
        if !self.broken.is_empty() {
            let now = clock.now();
            self.tell_broken(now);
            return now;
        }
        let arrival = self.arrivals.iter().filter(|_| !self.stopping).map(Arrivals::due).min();
        self.timers.next().min(arrival.unwrap_or(Time::FAR)).min(self.delayed.next())
    }

    fn arrive(&mut self, now: Time, due: Time, what: Arrival, phone: u32) {
        let input = match what {
            Arrival::Start => {
                if self.phones.get(slot(phone)).is_some_and(|p| p.status() == Status::Off) {
                    self.watch.wanted(phone, due);
                }
                PhoneInput::Start
            }
            Arrival::Refresh => PhoneInput::Refresh,
        };
        self.walk(now, phone, |p| p.handle_due(now, due, input));
    }

    /// From `begin` on, these arrivals come, whatever else is planned.
    pub(super) fn schedule(&mut self, plan: Plan, begin: Time) {
        let phones = u32::try_from(self.phones.len()).unwrap_or(u32::MAX);
        self.arrivals.push(Arrivals::new(plan, begin, phones));
    }

    /// Power fails: every phone is off, and nobody is told.
    pub(super) fn cut(&mut self, now: Time) {
        for phone in 0..u32::try_from(self.phones.len()).unwrap_or(u32::MAX) {
            self.step(now, phone, PhoneInput::Cut);
        }
        self.streams.clear();
        self.delayed.clear();
    }

    /// A node dies or returns.
    pub(super) fn incident(&mut self, cause: Cause, node: &str, servers: &[SocketAddr], now: Time) {
        self.watch.begin(cause, node, servers, now, &self.phones);
    }

    /// Whoever is registered at `server` learns in the next turns that nobody listens there.
    pub(super) fn broken(&mut self, server: SocketAddr) {
        self.broken.push_back((server, 0));
    }

    /// Tells some of those phones: all at once would hold up whatever else is due.
    fn tell_broken(&mut self, now: Time) {
        let Some(&(server, first)) = self.broken.front() else { return };
        let end = slot(first).saturating_add(BROKEN_PER_TURN).min(self.phones.len());
        for phone in first..u32::try_from(end).unwrap_or(u32::MAX) {
            if self.phones.get(slot(phone)).is_some_and(|p| p.registered_at() == Some(server)) {
                self.step(now, phone, PhoneInput::Broken { to: server });
            }
        }
        if end == self.phones.len() {
            self.broken.pop_front();
        } else if let Some((_, next)) = self.broken.front_mut() {
            *next = u32::try_from(end).unwrap_or(u32::MAX);
        }
    }

    /// Where each phone believes to be registered.
    pub(super) fn census(&self) -> Vec<Option<SocketAddr>> {
        self.phones.iter().map(Phone::registered_at).collect()
    }

    fn shall_be_refused(&self, phone: u32) -> bool {
        let after = self.groups.partition_point(|(first, _)| *first <= phone);
        after.checked_sub(1).and_then(|n| self.groups.get(n)).is_some_and(|(_, refused)| *refused)
    }

    pub(super) fn set_busy(&mut self, now: Time, phones: Range<u32>, busy: bool) {
        let end = phones.end.min(u32::try_from(self.phones.len()).unwrap_or(u32::MAX));
        for phone in phones.start..end {
            self.step(now, phone, PhoneInput::Busy(busy));
        }
    }

    /// From now on every look switches some phones off, all within about two seconds: at once they would drown their
    /// CallManager.
    pub(super) fn begin_stop(&mut self) {
        self.stopping = true;
    }

    /// Every few milliseconds: switches some phones off when it is time to.
    pub(super) fn look(&mut self, now: Time) {
        self.lock().look(now, &self.ledger.stats.by_server);
        if self.stopping {
            self.stop_some(now);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop_some(&mut self, now: Time) {
        let some = (self.phones.len() / STOP_LOOKS).max(STOPS_PER_LOOK);
        let until = self.switched_off.saturating_add(u32::try_from(some).unwrap_or(u32::MAX)).min(self.count());
        while self.switched_off < until {
            self.step(now, self.switched_off, PhoneInput::Stop);
            self.switched_off += 1;
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.phones.len()).unwrap_or(u32::MAX)
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
                self.lock().answered(from, code);
                Some(phone)
            }
            Some(Demux::Request { user }) => phone.or_else(|| self.find(user)),
            None => phone,
        };
        match found.filter(|&n| slot(n) < self.phones.len() && phone.is_none_or(|own| own == n)) {
            Some(phone) => match self.reaction(phone) {
                Duration::ZERO => self.step(now, phone, PhoneInput::Message { from, bytes }),
                later => self.ledger.stats.strays += u64::from(!self.delayed.push(now + later, phone, from, bytes)),
            },
            None => self.ledger.stats.strays += 1,
        }
    }

    fn reaction(&self, phone: u32) -> Duration {
        self.phones.get(slot(phone)).map(|p| p.profile().settings().reaction).unwrap_or_default()
    }

    fn find(&self, user: &[u8]) -> Option<u32> {
        let of = |number: &u32| self.phones.get(slot(*number)).map(|p| p.user().as_bytes()).unwrap_or_default();
        let place = self.by_user.binary_search_by(|number| of(number).cmp(user)).ok()?;
        self.by_user.get(place).copied()
    }

    /// Nobody listens at `to`: every phone that waits for it learns it at once.
    pub(super) fn unreachable(&mut self, now: Time, to: SocketAddr) {
        for number in 0..self.count() {
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
        let refused = self.shall_be_refused(number);
        let record = Arc::clone(&self.record);
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(phone) = self.phones.get_mut(slot(number)) else { return };
        let before = Before::of(phone);
        step(phone);
        while let Some(output) = phone.poll() {
            match output {
                PhoneOutput::Send { to, bytes, .. } => {
                    let sent = match self.sockets.get(slot(number)) {
                        // Whatever list a 302 gave.
                        _ if !may_talk_to(to.ip()) => false,
                        Some(Some(socket)) => {
                            self.scouts.sent(now, to);
                            socket.try_send_to(&bytes, to).is_ok()
                        }
                        _ => self.streams.get(&(number, to)).is_some_and(|s| s.try_send(bytes.clone()).is_ok()),
                    };
                    self.ledger.stats.send_drops += u64::from(!sent);
                    record.sent(to, &bytes);
                }
                PhoneOutput::Open { to } => self.opens.push((number, to)),
                PhoneOutput::Over(exchange) => {
                    record.over(&exchange, refused);
                    self.watch.over(number, &exchange);
                }
                PhoneOutput::Changed(change) => {
                    self.ledger.changed(&change);
                    if let Some(wanted) = self.watch.changed(number, &change).filter(|_| !refused) {
                        record.served(wanted, change.at);
                    }
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
        self.watch.show(&mut window.incidents);
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
