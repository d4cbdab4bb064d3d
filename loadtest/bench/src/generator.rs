//! Phones that register over UDP: a window of requests on their way, or a given rate whatever the server does. One thread, one socket,
//! batches both ways.
//!
//! Every answer is checked; what is not answered is sent again after the timers of RFC 3261 and counted. With a rate latency counts from
//! when a request was due, so that a server that stands still does not look quick. It spins: it must have a core of its own.

use crate::error::Error;
use crate::request::{Reply, Request, Template, ticket};
use crate::stopped;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tandem_base::Time;
use tandem_host::clock::Clock;
use tandem_host::datagram::{Batches, DatagramSocket, RX_BATCH};
use tandem_host::outbox::{Flow, Outbox, Peer};

/// First retransmission, doubled up to T2 (RFC 3261 section 17.1.2.1).
const T1_MICROS: u64 = 500_000;
const DOUBLINGS_MAX: u32 = 3;
/// Sendings of one request before it counts as failed.
const TRIES_MAX: u32 = 6;
/// How often retransmissions are looked for.
const TIMER_MICROS: u64 = 10_000;
/// How often the caller hears of progress.
const TELL_MICROS: u64 = 200_000;
/// CSeq of a generator's first run, and how far runs are apart: a server takes only what is higher.
const CSEQ_FIRST: u32 = 1_000_000_000;
const CSEQ_PER_RUN: u32 = 100_000;

/// What each phone does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// One request, one answer.
    Plain,
    /// Challenged, then with credentials: two requests, one operation.
    Challenged,
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Phones that take part.
    pub(crate) devices: u32,
    /// The number of the first of them.
    pub(crate) first: u32,
    /// Operations.
    pub(crate) count: u64,
    /// Most operations at once.
    pub(crate) window: usize,
    /// Operations per second; `None` as fast as the window allows.
    pub(crate) rate: Option<u64>,
    /// In which order phones follow each other: a refresh in the order of the fill would find all in the cache's favourite place.
    pub(crate) stride: u64,
    /// See [`Pattern`].
    pub(crate) pattern: Pattern,
    /// It ends then, done or not.
    pub(crate) limit: Duration,
}

/// Strides of the fill and of everything after it.
pub(crate) const FILL_STRIDE: u64 = 2_654_435_761;
pub(crate) const OTHER_STRIDE: u64 = 3_266_489_917;

impl Load {
    /// A window of 64.
    pub(crate) const fn new(pattern: Pattern) -> Self {
        Self {
            devices: 1,
            first: 0,
            count: 1,
            window: 64,
            rate: None,
            stride: OTHER_STRIDE,
            pattern,
            limit: Duration::from_secs(120),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Operations that ended with 200.
    pub(crate) ok: u64,
    /// Operations that did not.
    pub(crate) failed: u64,
    /// Requests sent again.
    pub(crate) retransmitted: u64,
    /// Datagrams that no request waited for.
    pub(crate) stray: u64,
    /// Final answers by status; 0 is none.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Microseconds from when an operation was due to its last answer.
    pub(crate) latency: Histogram<u64>,
}

/// A histogram of microseconds up to a minute, three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    // The bounds are constants: they are right or they are not.
    Histogram::new_with_bounds(1, 60_000_000, 3).unwrap_or_else(|_| unreachable!("constant bounds"))
}

#[derive(Clone, Debug, Default)]
struct Slot {
    busy: bool,
    generation: u32,
    device: u32,
    cseq: u32,
    due: u64,
    sent: u64,
    tries: u32,
    credentials: Vec<u8>,
}

/// See the module.
pub(crate) struct Generator {
    pub(crate) socket: DatagramSocket,
    pub(crate) batches: Batches,
    pub(crate) out: Outbox,
    pub(crate) template: Template,
    pub(crate) server: Peer,
    pub(crate) clock: Clock,
    bare: bool,
    generation: u32,
    runs: u32,
}

/// What is known during a run.
struct Run {
    slots: Vec<Slot>,
    free: Vec<usize>,
    started: u64,
    cseq: u32,
    outcome: Outcome,
}

impl Generator {
    /// For a server; a bare one answers with what it was sent.
    pub(crate) fn new(server: SocketAddr, bare: bool) -> Result<Self, Error> {
        let socket = DatagramSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let port = socket.local_addr().port();
        let clock = Clock::system();
        // A branch of an earlier generator on the same port is a retransmission to a server that remembers it.
        let generation = (clock.unix_millis().0 as u32).wrapping_mul(0x9e37_79b1);
        Ok(Self {
            socket,
            batches: Batches::new(),
            out: Outbox::new(),
            template: Template::new(port, "UDP"),
            server: Peer { addr: server, flow: Flow::Udp(0) },
            clock,
            bare,
            generation,
            runs: 0,
        })
    }

    /// The CSeq that a new run begins with.
    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.runs += 1;
        CSEQ_FIRST + self.runs.wrapping_mul(CSEQ_PER_RUN) % CSEQ_FIRST
    }

    /// Sends one request of the first phone and waits for its answer: its status.
    pub(crate) fn ask(&mut self, patience: Duration) -> Result<Option<u16>, Error> {
        self.generation = self.generation.wrapping_add(1);
        let (wanted, cseq) = (u64::from(self.generation), self.next_cseq());
        self.queue(&Request { device: 0, ticket: wanted, cseq, credentials: b"" });
        self.flush();
        let until = self.clock.now() + patience;
        while self.clock.now() < until {
            // A server that does not listen yet refuses: an error like silence.
            if !self.socket.wait(until.since(self.clock.now())) || self.batches.receive(&self.socket).is_err() {
                continue;
            }
            for (bytes, _) in self.batches.received().iter() {
                if let Some((status, ticket, _)) = self.read(bytes)
                    && ticket == wanted
                {
                    return Ok(Some(status));
                }
            }
        }
        Ok(None)
    }

    /// Does it, telling now and then how many operations are done.
    pub(crate) fn run(&mut self, load: &Load, tell: &mut dyn FnMut(u64)) -> Result<Outcome, Error> {
        self.run_beside(load, tell, &mut |_| Ok(()))
    }

    /// The same with something else to do in every turn: it must not take long.
    pub(crate) fn run_beside(
        &mut self,
        load: &Load,
        tell: &mut dyn FnMut(u64),
        beside: &mut dyn FnMut(Time) -> Result<(), Error>,
    ) -> Result<Outcome, Error> {
        self.run_while(load, tell, &mut |now| beside(now).map(|()| true))
    }

    /// The same for as long as `beside` says true: then what has begun is finished, and nothing begins any more.
    pub(crate) fn run_while(
        &mut self,
        load: &Load,
        tell: &mut dyn FnMut(u64),
        beside: &mut dyn FnMut(Time) -> Result<bool, Error>,
    ) -> Result<Outcome, Error> {
        let mut load = *load;
        let cseq = self.next_cseq();
        let window = load.window.clamp(1, 0xffff);
        let slot = Slot { generation: self.generation, ..Slot::default() };
        let mut run = Run {
            slots: vec![slot; window],
            free: (0..window).rev().collect(),
            started: 0,
            cseq,
            outcome: Outcome {
                ok: 0,
                failed: 0,
                retransmitted: 0,
                stray: 0,
                statuses: BTreeMap::new(),
                latency: histogram(),
            },
        };
        let step = stride(load.stride, load.devices.into());
        let begun = self.clock.now();
        let (mut looked, mut told) = (0, 0);
        while run.outcome.ok + run.outcome.failed < load.count {
            let now = micros(begun, self.clock.now());
            if stopped() {
                return Err(Error::Interrupted);
            }
            if u128::from(now) > load.limit.as_micros() {
                break;
            }
            if !beside(self.clock.now())? {
                load.count = load.count.min(run.started);
            }
            self.start(&mut run, &load, step, now);
            self.flush();
            self.answers(&mut run, load.pattern, begun);
            self.flush();
            if now > looked + TIMER_MICROS {
                looked = now;
                self.again(&mut run, now);
                self.flush();
            }
            if now > told + TELL_MICROS {
                told = now;
                tell(run.outcome.ok + run.outcome.failed);
            }
        }
        let unfinished = load.count - (run.outcome.ok + run.outcome.failed);
        run.outcome.failed += unfinished;
        // Whatever comes late belongs to nobody: the next run's tickets are others.
        self.generation = self.generation.wrapping_add(u32::try_from(load.count % 0xffff_ffff).unwrap_or(1) * 3 + 1);
        Ok(run.outcome)
    }

    /// Sends what is due.
    fn start(&mut self, run: &mut Run, load: &Load, step: u64, now: u64) {
        let due = load.rate.map_or(load.count, |rate| (now * rate / 1_000_000).min(load.count));
        while run.started < due {
            let Some(index) = run.free.pop() else { break };
            let Some(slot) = run.slots.get_mut(index) else { break };
            let devices = u64::from(load.devices);
            slot.busy = true;
            slot.generation = slot.generation.wrapping_add(1);
            slot.device = load.first + u32::try_from(run.started % devices * step % devices).unwrap_or(0);
            // Two per round: a challenged request is sent again with the next.
            slot.cseq = run.cseq + u32::try_from(run.started / devices * 2).unwrap_or(0);
            slot.due = load.rate.map_or(now, |rate| run.started * 1_000_000 / rate);
            slot.sent = now;
            slot.tries = 1;
            slot.credentials.clear();
            run.started += 1;
            let request = request(index, slot);
            Self::queue_into(&self.template, self.server, &mut self.out, &request);
            if self.out.full() {
                self.flush();
            }
        }
    }

    /// Takes what has come.
    fn answers(&mut self, run: &mut Run, pattern: Pattern, begun: Time) {
        loop {
            let count = self.batches.receive(&self.socket).unwrap_or(0);
            let now = micros(begun, self.clock.now());
            for (bytes, _) in self.batches.received().iter() {
                let read = self.read(bytes);
                let Some((status, ticket, reply)) = read else {
                    run.outcome.stray += 1;
                    continue;
                };
                let index = (ticket >> 32) as usize;
                let Some(slot) = run.slots.get_mut(index).filter(|s| s.busy && s.generation == ticket as u32) else {
                    run.outcome.stray += 1;
                    continue;
                };
                if reply.as_ref().is_some_and(|r| !r.answers(slot.device, slot.cseq)) {
                    run.outcome.stray += 1;
                    continue;
                }
                if status < 200 {
                    continue;
                }
                if status == 401 && pattern == Pattern::Challenged && slot.credentials.is_empty() {
                    let mut line = std::mem::take(&mut slot.credentials);
                    if reply.is_some_and(|r| r.prove(slot.device, &mut line)) {
                        slot.credentials = line;
                        slot.generation = slot.generation.wrapping_add(1);
                        slot.cseq += 1;
                        slot.sent = now;
                        slot.tries = 1;
                        Self::queue_into(&self.template, self.server, &mut self.out, &request(index, slot));
                        continue;
                    }
                }
                *run.outcome.statuses.entry(status).or_default() += 1;
                if status < 300 {
                    run.outcome.ok += 1;
                    run.outcome.latency.saturating_record(now.saturating_sub(slot.due));
                } else {
                    run.outcome.failed += 1;
                }
                slot.busy = false;
                run.free.push(index);
            }
            self.flush();
            if count < RX_BATCH {
                return;
            }
        }
    }

    /// Sends again what was not answered, or gives up.
    fn again(&mut self, run: &mut Run, now: u64) {
        for index in 0..run.slots.len() {
            let Some(slot) = run.slots.get_mut(index).filter(|s| s.busy) else { continue };
            let patience = T1_MICROS << slot.tries.saturating_sub(1).min(DOUBLINGS_MAX);
            if now < slot.sent + patience {
                continue;
            }
            if slot.tries >= TRIES_MAX {
                slot.busy = false;
                run.outcome.failed += 1;
                *run.outcome.statuses.entry(0).or_default() += 1;
                run.free.push(index);
                continue;
            }
            slot.tries += 1;
            slot.sent = now;
            run.outcome.retransmitted += 1;
            Self::queue_into(&self.template, self.server, &mut self.out, &request(index, slot));
            if self.out.full() {
                self.flush();
            }
        }
    }

    /// Status and ticket of an answer, and the answer itself where it is SIP.
    pub(crate) fn read<'a>(&self, bytes: &'a [u8]) -> Option<(u16, u64, Option<Reply<'a>>)> {
        if self.bare {
            return Some((200, ticket(bytes.get(self.template.ticket_at()..)?)?, None));
        }
        let reply = Reply::read(bytes)?;
        Some((reply.status, reply.ticket, Some(reply)))
    }

    fn queue_into(template: &Template, server: Peer, out: &mut Outbox, request: &Request<'_>) {
        let len = template.write(out.slot(), request);
        out.push(len, server);
    }
    /// Puts one request into the outbox, which must have room.
    pub(crate) fn queue(&mut self, request: &Request<'_>) {
        Self::queue_into(&self.template, self.server, &mut self.out, request);
    }
    /// Sends what waits.
    pub(crate) fn flush(&mut self) {
        if !self.out.is_empty() {
            self.batches.send(&self.socket, &self.out);
            self.out.clear();
        }
    }
}

fn request(index: usize, slot: &Slot) -> Request<'_> {
    let ticket = (index as u64) << 32 | u64::from(slot.generation);
    Request { device: slot.device, ticket, cseq: slot.cseq, credentials: &slot.credentials }
}

/// Microseconds since the beginning of a run.
pub(crate) fn micros(begun: Time, now: Time) -> u64 {
    now.as_micros().saturating_sub(begun.as_micros())
}

const fn common(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common(b, a % b) }
}

/// The next number from `wish` on that visits each of `count` phones once per round.
pub(crate) fn stride(wish: u64, count: u64) -> u64 {
    let mut step = wish % count.max(1);
    while count > 1 && common(step, count) != 1 {
        step += 1;
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_stride_visits_every_phone_once_per_round_and_never_in_order() {
        for count in [1_u64, 2, 1_000, 4_096, 99_999] {
            for wish in [FILL_STRIDE, OTHER_STRIDE] {
                let step = stride(wish, count);
                let seen: BTreeSet<u64> = (0..count).map(|n| n * step % count).collect();
                assert_eq!(seen.len() as u64, count);
                assert!(count < 1_000 || step > 1);
            }
        }
    }

    /// A registrar of a few lines: challenges where asked to, drops one request in `loses`, answers the rest.
    fn registrar(challenges: bool, loses: u64) -> SocketAddr {
        let socket = DatagramSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = socket.local_addr();
        std::thread::spawn(move || {
            let (mut batches, mut out, mut n) = (Batches::new(), Outbox::new(), 0_u64);
            loop {
                socket.wait(Duration::from_secs(1));
                batches.receive(&socket).unwrap();
                for (bytes, peer) in batches.received().iter() {
                    n += 1;
                    if loses > 0 && n.is_multiple_of(loses) {
                        continue;
                    }
                    let text = std::str::from_utf8(bytes).unwrap();
                    let (_, rest) = text.split_once("\r\n").unwrap();
                    let more = "WWW-Authenticate: Digest realm=\"bench.example\", nonce=\"n\", qop=\"auth\"\r\n";
                    let answer = match challenges && !text.contains("\r\nAuthorization: Digest") {
                        true => format!("SIP/2.0 401 Unauthorized\r\n{more}{rest}"),
                        false => format!("SIP/2.0 200 OK\r\n{rest}"),
                    };
                    out.send(answer.as_bytes(), peer);
                }
                batches.send(&socket, &out);
                out.clear();
            }
        });
        address
    }

    #[test]
    fn a_challenged_registration_is_one_operation() {
        let mut generator = Generator::new(registrar(true, 0), false).unwrap();
        let load = Load { devices: 50, count: 200, ..Load::new(Pattern::Challenged) };
        let outcome = generator.run(&load, &mut |_| {}).unwrap();
        assert_eq!((outcome.ok, outcome.failed, outcome.stray), (200, 0, 0));
        let plain = generator.run(&Load { pattern: Pattern::Plain, ..load }, &mut |_| {}).unwrap();
        assert_eq!((plain.ok, plain.failed), (0, 200), "a challenge that nobody answers is no success");
        assert_eq!(plain.statuses.get(&401), Some(&200));
    }

    #[test]
    fn what_is_lost_is_sent_again_and_counted() {
        let mut generator = Generator::new(registrar(false, 50), false).unwrap();
        let load = Load { devices: 100, count: 200, window: 200, ..Load::new(Pattern::Plain) };
        let outcome = generator.run(&load, &mut |_| {}).unwrap();
        assert_eq!((outcome.ok, outcome.failed), (200, 0));
        assert_eq!(outcome.retransmitted, 4);
    }

    #[test]
    fn a_server_that_does_not_answer_ends_with_the_time_and_all_failed() {
        let silent = DatagramSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let mut generator = Generator::new(silent.local_addr(), false).unwrap();
        let load = Load { devices: 3, count: 10, limit: Duration::from_millis(30), ..Load::new(Pattern::Plain) };
        let outcome = generator.run(&load, &mut |_| {}).unwrap();
        assert_eq!((outcome.ok, outcome.failed), (0, 10));
    }
}
