//! Many phones on one thread over real sockets, each a [`Phone`] without task or timer of its own.
//!
//! The thread has a single-threaded runtime: one task per UDP socket or TCP stream, one that starts phones at the
//! planned pace and fires timers, one that takes orders. It must never talk beyond loopback, and never have more
//! sockets than the plan allows.

mod core;
mod datagrams;
mod scout;
mod stats;
mod streams;
mod timers;

pub use stats::{FleetStats, Outages};

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tandem_host::clock::Clock;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::{Change, Error, FleetConfig};
use core::Core;

/// Orders that may wait for the fleet's thread; one more is refused.
const ORDERS_MAX: usize = 1_024;
/// How finely phones are started and timers fire.
const TICK: Duration = Duration::from_millis(5);
/// How often the snapshot is renewed.
const SNAPSHOT: Duration = Duration::from_millis(50);
/// When stopping, phones have so long to take their registrations back.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// What the fleet's thread is told.
enum Order {
    Busy(Range<u32>, bool),
    Stop,
}

/// What the fleet's thread shows.
#[derive(Default)]
struct Window {
    stats: FleetStats,
    history: VecDeque<(u32, Change)>,
}

/// Starts fleets.
#[derive(Debug)]
pub struct Fleet;

impl Fleet {
    /// Checks the plan, opens the UDP sockets and starts the thread; phones begin to register at the planned pace.
    ///
    /// # Errors
    /// What is wrong with the plan ([`FleetConfig::check`]), or a socket or thread that the system refused.
    pub fn start(config: FleetConfig) -> Result<FleetHandle, Error> {
        config.check()?;
        let window = Arc::new(Mutex::new(Window::default()));
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let shown = window.clone();
        let thread = std::thread::Builder::new()
            .name("phones".into())
            .spawn(move || run(&config, &shown, inbox, &ready))
            .map_err(|source| Error::Io { what: "cannot start the phones' thread".into(), source })?;
        match started.recv() {
            Ok(Ok(())) => Ok(FleetHandle { orders, window, thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let source = std::io::Error::other("it ended before it was ready");
                Err(Error::Io { what: "the phones' thread".into(), source })
            }
        }
    }
}

/// A running fleet. Dropping it stops the phones without waiting for them.
#[derive(Debug)]
pub struct FleetHandle {
    orders: mpsc::Sender<Order>,
    window: Arc<Mutex<Window>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl FleetHandle {
    /// The latest snapshot, at most about 50 ms old. Never waits for the fleet's thread.
    pub fn stats(&self) -> FleetStats {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).stats.clone()
    }

    /// Takes what has happened since the last call: phone number and change, oldest first. The oldest lines are dropped
    /// when more than [`FleetConfig::history`] wait.
    pub fn history(&self) -> Vec<(u32, Change)> {
        std::mem::take(&mut self.window.lock().unwrap_or_else(PoisonError::into_inner).history).into()
    }

    /// Begins or ends a call at these phones: a busy phone moves nowhere. `false` when too many orders wait already or
    /// the fleet has ended.
    pub fn set_busy(&self, phones: Range<u32>, busy: bool) -> bool {
        self.orders.try_send(Order::Busy(phones, busy)).is_ok()
    }

    /// Tells every phone to take its registration back, and returns at once.
    pub fn begin_stop(&self) -> bool {
        self.orders.try_send(Order::Stop).is_ok()
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops the phones and waits for them, 5 s at most, then gives the last figures. Blocks the calling thread: not for
    /// one that a CallManager needs.
    pub fn stop(mut self) -> FleetStats {
        self.begin_stop();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was shown by the panic hook; the figures up to then are still right.
            let _ = thread.join();
        }
        self.stats()
    }
}

impl Drop for FleetHandle {
    fn drop(&mut self) {
        self.begin_stop();
    }
}

type Shared = Rc<RefCell<Core>>;

fn run(
    config: &FleetConfig,
    window: &Mutex<Window>,
    orders: mpsc::Receiver<Order>,
    ready: &std::sync::mpsc::SyncSender<Result<(), Error>>,
) {
    let clock = Clock::system();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(source) => {
            let _ = ready.send(Err(Error::Io { what: "cannot start the phones' runtime".into(), source }));
            return;
        }
    };
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let core = match Core::open(config, clock) {
            Ok(core) => Rc::new(RefCell::new(core)),
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        datagrams::serve(&core, clock);
        let _ = ready.send(Ok(()));
        drive(&core, window, orders, clock).await;
    });
}

/// Paces, fires timers, takes orders, shows figures, until all phones are off after a stop.
async fn drive(core: &Shared, window: &Mutex<Window>, mut orders: mpsc::Receiver<Order>, clock: Clock) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut shown = tandem_base::Time::ZERO;
    let mut stopping = None;
    loop {
        let order = tokio::select! {
            order = orders.recv(), if stopping.is_none() => Some(order.unwrap_or(Order::Stop)),
            _ = ticks.tick() => None,
        };
        let now = clock.now();
        let opens = {
            let mut core = core.borrow_mut();
            match order {
                Some(Order::Busy(phones, busy)) => core.set_busy(now, phones, busy),
                Some(Order::Stop) => {
                    stopping = Some(now + STOP_WAIT);
                    core.begin_stop();
                }
                None => core.tick(now),
            }
            core.take_opens()
        };
        streams::open(core, opens, clock);
        scout::look(core, now);
        let over = stopping.is_some_and(|until| until <= now || core.borrow().all_off());
        if over || now.since(shown) >= SNAPSHOT {
            shown = now;
            core.borrow_mut().show(now, window);
        }
        if over {
            return;
        }
    }
}
