//! Keeps one actor alive: catches a panic around its context's poll and starts it again, at once the first time, then with growing pauses,
//! and gives up to its parent when it panics too often. The mailbox and its handles survive; the message that caused the panic does not.
//!
//! Dropping the task (its arbiter was killed) ends the actor without `stopped()`: a killed node says no goodbye.

use super::handle::{Mailbox, Pump};
use super::panics::{Panicked, contain};
use crate::random::Random;
use actix::dev::ContextFut;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Supervised};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;
use tandem_base::Time;
use tokio::sync::watch;

/// How often an actor may be started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarts {
    /// Panics tolerated within `period`; one more and its keeper gives up.
    pub intensity: u32,
    /// See `intensity`.
    pub period: Duration,
    /// Pause before the second restart in a period (the first has none); doubles with each further one. 0 to 20 % are added by dice.
    pub backoff_min: Duration,
    /// Longest pause, before dice.
    pub backoff_max: Duration,
}

impl Default for Restarts {
    fn default() -> Self {
        Self {
            intensity: 5,
            period: Duration::from_secs(10),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(2),
        }
    }
}

/// What runs after a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renew {
    /// A new actor from the factory: for those whose state can be rebuilt.
    Fresh,
    /// The same actor, after `Supervised::restarting`, which must make it whole: for those whose state is the point (devices).
    Same,
}

/// Why a keeper gave up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{actor} panicked {panics} times within its restart period; the last time: {last}")]
pub struct GaveUp {
    /// `node/actor`.
    pub actor: String,
    /// Panics within the period.
    pub panics: u32,
    /// What the last one said.
    pub last: String,
}

/// How an actor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It stopped itself, was told to, or nobody could reach it any more.
    Stopped,
    /// Its keeper gave up.
    GaveUp(GaveUp),
    /// Its arbiter went away under it.
    Killed,
}

/// A kept actor, seen from its parent. `Send`; dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Child {
    name: Arc<str>,
    stop: Arc<watch::Sender<bool>>,
    end: watch::Receiver<Option<End>>,
    restarts: Arc<AtomicU32>,
}

impl Child {
    /// `node/actor`.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Asks it to stop: it handles no further message, `stopping` and `stopped` are called.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
    /// Waits for its end.
    pub async fn ended(&self) -> End {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(End::Killed),
            Err(_) => End::Killed,
        }
    }
    /// Whether it has ended, and how.
    pub fn end(&self) -> Option<End> {
        let end = self.end.borrow().clone();
        // A keeper that went without a word was dropped with its arbiter.
        end.or_else(|| self.end.has_changed().is_err().then_some(End::Killed))
    }
    /// Restarts after panics so far.
    pub fn restarts(&self) -> u32 {
        self.restarts.load(Ordering::Relaxed)
    }
}

/// Starts an actor and keeps it alive.
pub struct Keep<A: Actor> {
    mailbox: Mailbox<A>,
    restarts: Restarts,
    renew: Renew,
    give_up: Box<dyn FnOnce(GaveUp)>,
}

impl<A> Keep<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    /// With default [`Restarts`], [`Renew::Fresh`], and nobody told when it gives up (see [`Child::ended`]).
    pub fn new(mailbox: Mailbox<A>) -> Self {
        Self { mailbox, restarts: Restarts::default(), renew: Renew::Fresh, give_up: Box::new(|_| ()) }
    }
    /// Sets how often it may be started again.
    #[must_use]
    pub fn restarts(self, restarts: Restarts) -> Self {
        Self { restarts, ..self }
    }
    /// Sets what runs after a panic.
    #[must_use]
    pub fn renew(self, renew: Renew) -> Self {
        Self { renew, ..self }
    }
    /// Sets whom to tell when it gives up; called on the actor's arbiter, after the mailbox closed.
    #[must_use]
    pub fn on_give_up(self, give_up: impl FnOnce(GaveUp) + 'static) -> Self {
        Self { give_up: Box::new(give_up), ..self }
    }

    /// Starts the actor as a task of the current arbiter. `factory` makes its state, again after a panic with [`Renew::Fresh`]. Call it inside the
    /// arbiter (or a `LocalSet`).
    pub fn start(self, factory: impl FnMut() -> A + 'static) -> Child {
        let (stop, stop_wanted) = watch::channel(false);
        let (end, ended) = watch::channel(None);
        let child = Child {
            name: Arc::from(self.mailbox.name()),
            stop: Arc::new(stop),
            end: ended,
            restarts: Arc::new(AtomicU32::new(0)),
        };
        let count = Arc::clone(&child.restarts);
        let Self { mailbox, restarts, renew, give_up } = self;
        tokio::task::spawn_local(async move {
            let dice = Random::seeded(
                mailbox.name().bytes().fold(0, |sum, b| sum.wrapping_mul(31).wrapping_add(u64::from(b))),
            );
            let mailbox = Rc::new(RefCell::new(mailbox));
            let keeper =
                Keeper { mailbox, restarts, renew, factory, stop: stop_wanted, count, dice, panics: VecDeque::new() };
            let outcome = keeper.run().await;
            // The mailbox is closed by now.
            if let End::GaveUp(why) = &outcome {
                give_up(why.clone());
            }
            end.send_replace(Some(outcome));
        });
        child
    }
}

/// One life of the actor: its context and an address that keeps actix's own mailbox connected.
struct Life<A: Actor<Context = Context<A>>> {
    future: Option<ContextFut<A, Context<A>>>,
    _address: Addr<A>,
}

impl<A: Actor<Context = Context<A>>> Life<A> {
    fn new(actor: A) -> Self {
        let future = Context::new().into_future(actor);
        Self { _address: future.address(), future: Some(future) }
    }
    /// The same actor again: what its context held is cancelled, `restarting` and then `started` are called.
    fn restart(mut self) -> Option<Self>
    where
        A: Supervised,
    {
        self.future.as_mut()?.restart().then_some(self)
    }
}

impl<A: Actor<Context = Context<A>>> Drop for Life<A> {
    fn drop(&mut self) {
        if let Some(mut future) = self.future.take() {
            // A terminated context is dropped without another poll, so without `stopped()`; a panic in the drop of its state ends here.
            future.ctx().terminate();
            let _ = contain(move || drop(future));
        }
    }
}

struct Keeper<A: Actor, F> {
    mailbox: Rc<RefCell<Mailbox<A>>>,
    restarts: Restarts,
    renew: Renew,
    factory: F,
    stop: watch::Receiver<bool>,
    count: Arc<AtomicU32>,
    dice: Random,
    panics: VecDeque<Time>,
}

impl<A, F> Keeper<A, F>
where
    A: Actor<Context = Context<A>> + Supervised,
    F: FnMut() -> A,
{
    async fn run(mut self) -> End {
        let mut last: Option<Life<A>> = None;
        loop {
            let panicked = match self.begin(last.take()) {
                Ok(mut life) => match self.live(&mut life).await {
                    Ok(()) => return End::Stopped,
                    Err(panicked) => {
                        last = Some(life);
                        panicked
                    }
                },
                Err(panicked) => panicked,
            };
            match self.pause(&panicked) {
                Ok(pause) => {
                    if self.stopped_within(pause).await {
                        return End::Stopped;
                    }
                }
                Err(gave_up) => return End::GaveUp(gave_up),
            }
            self.count.fetch_add(1, Ordering::Relaxed);
            self.mailbox.borrow().count_restart();
        }
    }

    /// The next life: a new actor, or the last one made whole.
    fn begin(&mut self, last: Option<Life<A>>) -> Result<Life<A>, Panicked> {
        let pump = Pump::new(Rc::clone(&self.mailbox));
        let (renew, factory) = (self.renew, &mut self.factory);
        contain(move || {
            let same = last.filter(|_| renew == Renew::Same).and_then(Life::restart);
            let mut life = same.unwrap_or_else(|| Life::new(factory()));
            if let Some(future) = &mut life.future {
                future.ctx().spawn(pump);
            }
            life
        })
    }

    /// Runs one life to its end; `Err` when it panicked.
    async fn live(&mut self, life: &mut Life<A>) -> Result<(), Panicked> {
        let mut stop = self.stop.clone();
        let mut stop = pin!(async move { stop.wait_for(|wanted| *wanted).await.is_ok() });
        let mut told = false;
        poll_fn(move |task| {
            let Some(future) = &mut life.future else { return Poll::Ready(Ok(())) };
            // A sender that is gone (`Child` dropped everywhere) can never tell: the actor lives on.
            if !told && let Poll::Ready(wanted) = stop.as_mut().poll(task) {
                told = true;
                if wanted {
                    future.ctx().stop();
                }
            }
            match contain(|| Pin::new(future).poll(task)) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
                Err(panicked) => Poll::Ready(Err(panicked)),
            }
        })
        .await
    }

    /// How long to wait before the next life, or that it was one panic too many.
    fn pause(&mut self, panicked: &Panicked) -> Result<Duration, GaveUp> {
        let now = self.mailbox.borrow().clock().now();
        let Restarts { intensity, period, backoff_min, backoff_max } = self.restarts;
        self.panics.push_back(now);
        while self.panics.front().is_some_and(|at| now.since(*at) >= period) {
            self.panics.pop_front();
        }
        let panics = u32::try_from(self.panics.len()).unwrap_or(u32::MAX);
        if panics > intensity {
            let actor = self.mailbox.borrow().name().to_owned();
            return Err(GaveUp { actor, panics, last: panicked.message.clone() });
        }
        let Some(doublings) = panics.checked_sub(2) else { return Ok(Duration::ZERO) };
        let pause = backoff_min.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(backoff_max);
        let spread = u64::try_from(pause.as_micros() / 5).unwrap_or(0);
        Ok(pause + Duration::from_micros(self.dice.below(spread + 1)))
    }

    /// Waits; `true` when it is to stop instead.
    async fn stopped_within(&mut self, pause: Duration) -> bool {
        let wanted = async {
            if self.stop.wait_for(|wanted| *wanted).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::time::timeout(pause, wanted).await.is_ok()
    }
}
