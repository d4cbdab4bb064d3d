//! The socket loop: the one future that an actor hosting phones spawns in its context. A datagram reaches its device by a plain call, no
//! thread, channel or message between (DESIGN section 6); mailbox messages are handled between its polls.
//!
//! Turn: receive a batch, read the clock once, `batch`, send what it wrote. A socket is read until a batch comes back short (epoll is
//! edge-triggered), at most [`BATCHES_PER_TURN`] times. When traffic is dense the socket leaves epoll and the loop naps for 1 ms: a wake
//! per datagram costs more than its work. No timer is armed otherwise.

use crate::clock::Clock;
use crate::datagram::{DatagramSocket, RX_BATCH, Rx, Tx, Watch, watch};
use crate::outbox::{Flow, Outbox, Received};
use crate::stream::Connections;
use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tandem_base::Time;
use tokio::time::{Instant, Sleep};

/// Batches received before the mailbox and other actors get their turn.
pub const BATCHES_PER_TURN: usize = 8;
/// Traffic is dense when datagrams come closer together than this, on average.
pub const NAP_BELOW: Duration = Duration::from_micros(200);
/// How long a nap is: what tokio's timer can do.
pub const NAP: Duration = Duration::from_millis(1);
/// A longer gap counts as this one: a storm after a silent night is recognised after about 15 datagrams.
const GAP_MAX_MICROS: u64 = 1_000;
/// How often connections are looked over.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

/// An actor that datagrams come to. While it `wait`s for a future in its context nothing is received: it should not.
pub trait Datagrams: Actor<Context = Context<Self>> {
    /// Messages came. Answers go into `out`.
    fn batch(&mut self, batch: &Received<'_>, now: Time, out: &mut Outbox);
    /// Called once at the end of every poll of the actor's context: after messages from its mailbox, after batches, after a nap. Timers,
    /// flushing what is due, messages that were not asked for.
    fn turn(&mut self, now: Time, out: &mut Outbox);
}

/// What a loop has done. Read from any thread.
#[derive(Debug, Default)]
pub struct UdpCounts {
    received: AtomicU64,
    sent: AtomicU64,
    unsent: AtomicU64,
    dropped: AtomicU64,
    errors: AtomicU64,
    naps: AtomicU64,
}

/// [`UdpCounts`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpFigures {
    /// Datagrams handed to the actor.
    pub received: u64,
    /// Datagrams the kernel took.
    pub sent: u64,
    /// Answers that could not be sent: the kernel took them not, the outbox was full, the connection was gone.
    pub unsent: u64,
    /// Datagrams that could not be read (cut, or without an address).
    pub dropped: u64,
    /// Failed receive calls.
    pub errors: u64,
    /// Naps taken.
    pub naps: u64,
}

impl UdpCounts {
    /// The figures now.
    pub fn read(&self) -> UdpFigures {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        UdpFigures {
            received: get(&self.received),
            sent: get(&self.sent),
            unsent: get(&self.unsent),
            dropped: get(&self.dropped),
            errors: get(&self.errors),
            naps: get(&self.naps),
        }
    }
}

/// Only the loop writes, so no locked instruction is needed.
fn add(to: &AtomicU64, n: u64) {
    to.store(to.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

struct Port {
    socket: DatagramSocket,
    /// Its place in epoll. All ports have one, or none.
    watch: Option<Watch>,
}

/// The loop. Spawn it in `started` of its actor.
pub struct UdpLoop {
    ports: Vec<Port>,
    connections: Option<Connections>,
    clock: Clock,
    rx: Rx,
    tx: Tx,
    out: Outbox,
    /// Kept between naps, so that a nap allocates nothing.
    sleep: Option<Pin<Box<Sleep>>>,
    napping: bool,
    /// Average gap between datagrams, in eighths of a microsecond.
    gap8: u64,
    last_came: Time,
    last_sweep: Time,
    /// Answers the outbox had lost when last counted.
    lost: u64,
    counts: Arc<UdpCounts>,
}

/// What one look at all sockets brought.
struct Look {
    came: u64,
    /// A socket was left with more in it.
    more: bool,
    now: Option<Time>,
}

impl UdpLoop {
    /// A loop over these sockets (at most 255; a socket's position is its [`Flow::Udp`] index). Answers to streams go to `connections`, which it
    /// also sweeps. Make it inside the runtime it will run in.
    pub fn new(sockets: Vec<DatagramSocket>, connections: Option<Connections>, clock: Clock) -> Self {
        let ports = sockets.into_iter().take(usize::from(u8::MAX)).map(|socket| Port { socket, watch: None }).collect();
        let now = clock.now();
        Self {
            ports,
            connections,
            clock,
            rx: Rx::new(),
            tx: Tx::new(),
            out: Outbox::new(),
            sleep: None,
            napping: false,
            gap8: GAP_MAX_MICROS * 8,
            last_came: now,
            last_sweep: now,
            lost: 0,
            counts: Arc::default(),
        }
    }
    /// What it does, to be read from elsewhere.
    pub fn counts(&self) -> Arc<UdpCounts> {
        Arc::clone(&self.counts)
    }
    /// Starts it in the context of its actor.
    pub fn spawn<A: Datagrams>(self, ctx: &mut Context<A>) {
        ctx.spawn(self);
    }

    /// Reads every socket that may have something, each its share of [`BATCHES_PER_TURN`].
    fn look<A: Datagrams>(&mut self, actor: &mut A, task: &mut TaskContext<'_>) -> Look {
        let share = (BATCHES_PER_TURN / self.ports.len().max(1)).max(1);
        let mut look = Look { came: 0, more: false, now: None };
        for index in 0..self.ports.len() {
            let mut left = share;
            while self.may_have(index, task) {
                if left == 0 {
                    look.more = true;
                    break;
                }
                left -= 1;
                let count = self.one_batch(actor, index, &mut look);
                if count < RX_BATCH && self.is_drained(index, task) {
                    break;
                }
            }
        }
        look
    }

    /// Whether a socket should be read: always when it is out of epoll, else when epoll said so. Asks to be woken when it has nothing.
    fn may_have(&self, index: usize, task: &mut TaskContext<'_>) -> bool {
        match self.ports.get(index).map(|port| &port.watch) {
            Some(None) => true,
            // The guard keeps readiness unless it is cleared. A broken registration reads as ready: the receive call then tells.
            Some(Some(watch)) => watch.poll_read_ready(task).is_ready(),
            None => false,
        }
    }

    /// A batch came back short: forgets readiness, unless more came meanwhile. `true` when the socket need not be read again now.
    fn is_drained(&self, index: usize, task: &mut TaskContext<'_>) -> bool {
        match self.ports.get(index).and_then(|port| port.watch.as_ref()).map(|watch| watch.poll_read_ready(task)) {
            Some(Poll::Ready(Ok(mut guard))) => {
                guard.clear_ready();
                // Asked once more, so that the next edge wakes this task.
                false
            }
            _ => true,
        }
    }

    /// One receive call and what follows from it; returns how many came.
    fn one_batch<A: Datagrams>(&mut self, actor: &mut A, index: usize, look: &mut Look) -> usize {
        let Some(port) = self.ports.get(index) else { return 0 };
        let outcome = self.rx.receive(&port.socket, u8::try_from(index).unwrap_or(u8::MAX));
        let now = self.clock.now();
        look.now = Some(now);
        let Ok(count) = outcome else {
            add(&self.counts.errors, 1);
            return 0;
        };
        self.counts.dropped.store(self.rx.dropped, Ordering::Relaxed);
        let received = self.rx.received();
        if !received.is_empty() {
            add(&self.counts.received, received.len() as u64);
            look.came += received.len() as u64;
            actor.batch(&received, now, &mut self.out);
            self.send();
        }
        count
    }

    /// Sends what the outbox holds.
    fn send(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let mut unsent = 0;
        for (index, port) in self.ports.iter().enumerate() {
            let sent = self.tx.send(&port.socket, u8::try_from(index).unwrap_or(u8::MAX), &self.out);
            add(&self.counts.sent, sent.sent);
            unsent += sent.failed;
        }
        if self.out.has_streams() {
            for (peer, bytes) in (0..self.out.len()).filter_map(|n| self.out.get(n)) {
                if let Flow::Stream(id) = peer.flow {
                    let taken = self.connections.as_ref().is_some_and(|all| all.send(id, bytes).is_ok());
                    unsent += u64::from(!taken);
                }
            }
        }
        self.out.clear();
        add(&self.counts.unsent, unsent);
    }

    /// The end of every poll: the actor's own turn, connections that are overdue.
    fn turn<A: Datagrams>(&mut self, actor: &mut A, now: Time) {
        actor.turn(now, &mut self.out);
        self.send();
        add(&self.counts.unsent, self.out.lost() - self.lost);
        self.lost = self.out.lost();
        if now.since(self.last_sweep) >= SWEEP_EVERY {
            self.last_sweep = now;
            if let Some(connections) = &self.connections {
                connections.sweep(now);
            }
        }
    }

    fn note_gap(&mut self, look: &Look) {
        let (Some(now), came @ 1..) = (look.now, look.came) else { return };
        let since = u64::try_from(now.since(self.last_came).as_micros()).unwrap_or(u64::MAX);
        self.last_came = now;
        let gap = (since / came).min(GAP_MAX_MICROS);
        self.gap8 = self.gap8 - self.gap8 / 8 + gap;
    }

    fn is_dense(&self) -> bool {
        u128::from(self.gap8 / 8) < NAP_BELOW.as_micros()
    }

    /// Out of epoll, or each datagram would end the nap.
    fn begin_nap(&mut self, task: &mut TaskContext<'_>) {
        for port in &mut self.ports {
            port.watch = None;
        }
        add(&self.counts.naps, 1);
        let until = Instant::now() + NAP;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        sleep.as_mut().reset(until);
        self.napping = sleep.as_mut().poll(task).is_pending();
        if !self.napping {
            task.waker().wake_by_ref();
        }
    }

    /// Back into epoll, which looks at the level once, so nothing that came meanwhile is lost.
    fn begin_watch(&mut self, task: &mut TaskContext<'_>) {
        for port in &mut self.ports {
            if port.watch.is_none() {
                match watch(&port.socket) {
                    Ok(new) => port.watch = Some(new),
                    Err(_) => {
                        // Out of descriptors or memory: go on by polling, at the pace of naps.
                        add(&self.counts.errors, 1);
                        return self.begin_nap(task);
                    }
                }
            }
        }
        if self.ports.iter().filter_map(|port| port.watch.as_ref()).any(|watch| watch.poll_read_ready(task).is_ready())
        {
            task.waker().wake_by_ref();
        }
    }
}

impl<A: Datagrams> ActorFuture<A> for UdpLoop {
    type Output = ();

    fn poll(self: Pin<&mut Self>, actor: &mut A, _: &mut Context<A>, task: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.napping {
            this.napping = this.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(task).is_pending());
        }
        if this.napping {
            // Woken by a message: datagrams go on waiting, the actor gets its turn.
            let now = this.clock.now();
            this.turn(actor, now);
            return Poll::Pending;
        }
        let look = this.look(actor, task);
        this.note_gap(&look);
        let now = look.now.unwrap_or_else(|| this.clock.now());
        this.turn(actor, now);
        let watched = this.ports.iter().all(|port| port.watch.is_some());
        if look.more {
            task.waker().wake_by_ref();
        } else if look.came > 0 && this.is_dense() {
            this.begin_nap(task);
        } else if !watched {
            this.begin_watch(task);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
