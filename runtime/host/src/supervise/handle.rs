//! The typed handle to an actor and its bounded mailbox. actix's own mailbox has no usable bound (each clone of an address owns a slot,
//! `do_send` and `send` ignore it) and no budget per turn, so messages wait in a queue of ours, as actix envelopes, and one future in
//! the actor's context takes them out, [`TURN_MESSAGES`] at a time.
//!
//! A message that was taken in is handled, or dropped with its actor; its place in the queue is given back in either case.

use crate::clock::Clock;
use crate::exporter;
use actix::dev::{Envelope, EnvelopeProxy};
use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message};
use metrics::{Counter, Gauge, Histogram};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tandem_base::{NodeName, Time, metric};
use tokio::sync::{mpsc, oneshot};

/// Messages an actor takes per turn before others of its arbiter get theirs.
pub const TURN_MESSAGES: usize = 64;
/// [`Handle::tell_vital`] may fill this share of the bound (one part in so many) on top of it.
pub const RESERVE_SHARE: usize = 4;

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The mailbox is at its bound.
    #[error("the mailbox is full")]
    Full,
    /// The actor has stopped or was given up.
    #[error("the actor is gone")]
    Closed,
}

/// Why an ask got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Not taken: see [`Refused`].
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No answer within the deadline. If the message still waits it will not be handled.
    #[error("no answer in time")]
    Timeout,
    /// The actor panicked over it, or stopped before its turn.
    #[error("the actor dropped the question")]
    Dropped,
}

/// A mailbox at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxStats {
    /// Messages waiting.
    pub depth: usize,
    /// Most messages that may wait.
    pub bound: usize,
    /// Messages refused so far because it was full.
    pub refused: u64,
    /// Messages taken by the actor so far.
    pub handled: u64,
    /// How long the message that was last taken first in a turn had waited.
    pub delay: Duration,
}

struct Shared {
    name: String,
    bound: usize,
    clock: Clock,
    depth: AtomicUsize,
    refused: AtomicU64,
    handled: AtomicU64,
    delay_micros: AtomicU64,
    depth_gauge: Gauge,
    refused_counter: Counter,
    delay_histogram: Histogram,
    restarts_counter: Counter,
}

/// A place in the queue. Dropped with the message, however that goes.
struct Permit(Arc<Shared>);
impl Drop for Permit {
    fn drop(&mut self) {
        self.0.depth.fetch_sub(1, Ordering::Release);
    }
}

struct Item<A: Actor> {
    envelope: Envelope<A>,
    at: Time,
    permit: Permit,
}

/// What others send to an actor through. Clones are cheap and reach the same mailbox; it survives the actor's restarts.
pub struct Handle<A: Actor> {
    queue: mpsc::UnboundedSender<Item<A>>,
    shared: Arc<Shared>,
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), shared: Arc::clone(&self.shared) }
    }
}
impl<A: Actor> std::fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({})", self.shared.name)
    }
}

/// The receiving end: what an actor is started with ([`super::Keep::start`]). `Send`, so that it can be made before its arbiter.
pub struct Mailbox<A: Actor> {
    queue: mpsc::UnboundedReceiver<Item<A>>,
    shared: Arc<Shared>,
}

/// Makes a mailbox for at most `bound` waiting messages. `actor` is its name in metrics (`actor` label) and messages to people.
pub fn mailbox<A: Actor>(node: &NodeName, actor: &str, bound: usize, clock: Clock) -> (Handle<A>, Mailbox<A>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let labels = [node.as_str(), actor];
    let shared = Arc::new(Shared {
        name: format!("{node}/{actor}"),
        bound,
        clock,
        depth: AtomicUsize::new(0),
        refused: AtomicU64::new(0),
        handled: AtomicU64::new(0),
        delay_micros: AtomicU64::new(0),
        depth_gauge: exporter::gauge(&metric::MAILBOX_DEPTH, &labels),
        refused_counter: exporter::counter(&metric::MAILBOX_REFUSED, &labels),
        delay_histogram: exporter::histogram(&metric::QUEUE_DELAY, &labels),
        restarts_counter: exporter::counter(&metric::ACTOR_RESTARTS, &labels),
    });
    (Handle { queue: sender, shared: Arc::clone(&shared) }, Mailbox { queue: receiver, shared })
}

impl<A> Handle<A>
where
    A: Actor<Context = Context<A>>,
{
    /// Sends without waiting for an answer. Never blocks.
    ///
    /// # Errors
    /// [`Refused`]: full (counted) or closed.
    pub fn tell<M>(&self, message: M) -> Result<(), Refused>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
    {
        self.post(self.shared.bound, Envelope::new(message, None))
    }

    /// As [`Handle::tell`], for what must get through when ordinary messages are refused: membership, ends of calls, stops. It may use a
    /// quarter more than the bound ([`RESERVE_SHARE`]).
    ///
    /// # Errors
    /// [`Refused`].
    pub fn tell_vital<M>(&self, message: M) -> Result<(), Refused>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
    {
        let bound = self.shared.bound;
        self.post(bound + bound.div_ceil(RESERVE_SHARE), Envelope::new(message, None))
    }

    /// Sends and waits for the answer, at most `timeout`. Ask from tasks, never from many futures in one actor's context.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask<M>(&self, message: M, timeout: Duration) -> Result<M::Result, AskError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
    {
        let (sender, receiver) = oneshot::channel();
        self.post(self.shared.bound, Envelope::new(message, Some(sender)))?;
        match tokio::time::timeout(timeout, receiver).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(AskError::Dropped),
            Err(_) => Err(AskError::Timeout),
        }
    }

    fn post(&self, bound: usize, envelope: Envelope<A>) -> Result<(), Refused> {
        let shared = &self.shared;
        let depth = shared.depth.fetch_add(1, Ordering::Acquire);
        let permit = Permit(Arc::clone(shared));
        if depth >= bound {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            shared.refused_counter.increment(1);
            return Err(Refused::Full);
        }
        self.queue.send(Item { envelope, at: shared.clock.now(), permit }).map_err(|_| Refused::Closed)
    }
}

impl<A: Actor> Handle<A> {
    /// Its name, `node/actor`.
    pub fn name(&self) -> &str {
        &self.shared.name
    }
    /// Messages waiting.
    pub fn depth(&self) -> usize {
        self.shared.depth.load(Ordering::Relaxed)
    }
    /// How long the message that was last taken first in a turn had waited: what overload is judged by.
    pub fn queue_delay(&self) -> Duration {
        Duration::from_micros(self.shared.delay_micros.load(Ordering::Relaxed))
    }
    /// Whether the actor has ended for good.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
    /// All figures; also sets the depth gauge, so call it now and then (each tick).
    pub fn stats(&self) -> MailboxStats {
        let depth = self.depth();
        #[expect(clippy::cast_precision_loss, reason = "a depth is far below 2^52")]
        self.shared.depth_gauge.set(depth as f64);
        MailboxStats {
            depth,
            bound: self.shared.bound,
            refused: self.shared.refused.load(Ordering::Relaxed),
            handled: self.shared.handled.load(Ordering::Relaxed),
            delay: self.queue_delay(),
        }
    }
}

impl<A: Actor> Mailbox<A> {
    /// Its name, `node/actor`.
    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }
    pub(super) fn clock(&self) -> Clock {
        self.shared.clock
    }
    pub(super) fn count_restart(&self) {
        self.shared.restarts_counter.increment(1);
    }
}

/// The future in the actor's context that takes messages out. Its queue is shared with [`super::Keep`], which makes a new pump for each life.
pub(super) struct Pump<A: Actor> {
    mailbox: Rc<RefCell<Mailbox<A>>>,
}

impl<A: Actor> Pump<A> {
    pub(super) const fn new(mailbox: Rc<RefCell<Mailbox<A>>>) -> Self {
        Self { mailbox }
    }
}

impl<A> ActorFuture<A> for Pump<A>
where
    A: Actor<Context = Context<A>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, actor: &mut A, ctx: &mut Context<A>, task: &mut TaskContext<'_>) -> Poll<()> {
        for turn in 0..TURN_MESSAGES {
            // The borrow ends before the handler runs.
            let item = self.mailbox.borrow_mut().queue.poll_recv(task);
            let Item { mut envelope, at, permit } = match item {
                Poll::Pending => return Poll::Pending,
                // Nobody can send any more.
                Poll::Ready(None) => {
                    ctx.stop();
                    return Poll::Ready(());
                }
                Poll::Ready(Some(item)) => item,
            };
            permit.0.taken(at, turn == 0);
            drop(permit);
            envelope.handle(actor, ctx);
            if ctx.waiting() {
                // The context polls this again when what it waits for is done.
                return Poll::Pending;
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Shared {
    /// One clock reading and one sample per turn: the first message of a turn waited longest.
    fn taken(&self, at: Time, first: bool) {
        self.handled.fetch_add(1, Ordering::Relaxed);
        if first {
            let delay = self.clock.now().since(at);
            self.delay_micros.store(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
            self.delay_histogram.record(delay.as_secs_f64());
        }
    }
}
