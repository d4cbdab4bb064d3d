//! Many phones on one thread over real sockets, each a [`Phone`] without task or timer of its own.
//!
//! The thread has a single-threaded runtime: one task per UDP socket or TCP stream, and one that keeps the schedules,
//! fires timers and takes orders. It must never talk beyond what [`crate::plan::may_talk_to`] allows, and never have more sockets than the plan allows.
//! `arrivals` who does what when, `record` what it cost, `incident` deaths and returns of CallManagers.

mod arrivals;
mod core;
mod datagrams;
mod delay;
mod incident;
mod record;
mod scout;
mod sleeper;
mod spread;
mod stats;
mod streams;
mod timers;

pub use arrivals::{Arrival, Plan};
pub use incident::{Cause, INCIDENTS_MAX, Incident};
pub use record::{Record, Second, Tally, Traffic};
pub use spread::Spread;
pub use stats::{FleetStats, Outages};

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
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
use sleeper::Sleeper;
use tandem_base::Time;

/// Orders that may wait for the fleet's thread; one more is refused.
const ORDERS_MAX: usize = 1_024;
/// How often the scouts look, and a stopping fleet switches some phones off.
const LOOK: Duration = Duration::from_millis(5);
/// How often the snapshot is renewed.
const SNAPSHOT: Duration = Duration::from_millis(50);
/// When stopping, phones have so long to take their registrations back.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// What the fleet's thread is told.
enum Order {
    Busy(Range<u32>, bool),
    Schedule(Plan, Time),
    Incident(Cause, String, Vec<SocketAddr>, Time),
    Census(std::sync::mpsc::SyncSender<Vec<Option<SocketAddr>>>),
    Broken(SocketAddr),
    Cut,
    Stop,
}

/// What the fleet's thread shows.
#[derive(Default)]
struct Window {
    stats: FleetStats,
    history: VecDeque<(u32, Change)>,
    incidents: Vec<Incident>,
    sockets: Vec<SocketAddr>,
    /// Id of the thread in the kernel's accounts.
    thread: Option<u32>,
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
        let record = Arc::new(Mutex::new(Record::default()));
        let kept = Arc::clone(&record);
        let thread = std::thread::Builder::new()
            .name("phones".into())
            .spawn(move || run(&config, &shown, kept, inbox, &ready))
            .map_err(|source| Error::Io { what: "cannot start the phones' thread".into(), source })?;
        match started.recv() {
            Ok(Ok(())) => Ok(FleetHandle { orders, window, record, thread: Some(thread) }),
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
    record: Arc<Mutex<Record>>,
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

    /// Adds a schedule that begins at `begin` on the fleet's clock. `false` as in [`FleetHandle::set_busy`].
    pub fn schedule(&self, plan: Plan, begin: Time) -> bool {
        self.orders.try_send(Order::Schedule(plan, begin)).is_ok()
    }

    /// The CallManager `node`, listening at `servers`, dies or returns at `at`, about now: what becomes of the phones that this concerns is
    /// shown in [`FleetHandle::incidents`]. It only watches: nobody is killed here, and no phone is told.
    pub fn incident(&self, cause: Cause, node: &str, servers: &[SocketAddr], at: Time) -> bool {
        if cause == Cause::Death {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            record.dead.extend(servers.iter().map(|s| (*s, (at, Time::FAR))));
        }
        self.orders.try_send(Order::Incident(cause, node.to_owned(), servers.to_vec(), at)).is_ok()
    }

    /// A CallManager that died serves again: silence after `at` is a failure.
    pub fn excuse_until(&self, server: SocketAddr, at: Time) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, until)) = record.dead.get_mut(&server) {
            *until = at;
        }
    }

    /// Every phone that `server` serves is told that nobody listens there, as an ICMP error would tell it. `false` as in
    /// [`FleetHandle::set_busy`].
    pub fn broken(&self, server: SocketAddr) -> bool {
        self.orders.try_send(Order::Broken(server)).is_ok()
    }

    /// Power fails for all phones: they forget everything and tell nobody. A schedule switches them on again.
    pub fn cut(&self) -> bool {
        self.orders.try_send(Order::Cut).is_ok()
    }

    /// All incidents so far, oldest first, as of the latest snapshot.
    pub fn incidents(&self) -> Vec<Incident> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).incidents.clone()
    }

    /// Where each phone believes to be registered, by number. Waits for the fleet's thread, 5 s at most; `None` when
    /// it does not answer by then.
    pub fn census(&self) -> Option<Vec<Option<SocketAddr>>> {
        let (to, from) = std::sync::mpsc::sync_channel(1);
        self.orders.try_send(Order::Census(to)).ok()?;
        from.recv_timeout(STOP_WAIT).ok()
    }

    /// Operations meant for this moment or later count, earlier ones are warm-up.
    pub fn measure_from(&self, at: Time) {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).measure_from = at;
    }

    /// Reads what was measured. The fleet waits as long as `read` takes.
    pub fn with_record<T>(&self, read: impl FnOnce(&Record) -> T) -> T {
        read(&self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where its UDP sockets are bound.
    pub fn sockets(&self) -> Vec<SocketAddr> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).sockets.clone()
    }

    /// Id of its thread in the kernel's accounts (`/proc/self/task/ID`).
    pub fn thread_id(&self) -> Option<u32> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).thread
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
    record: Arc<Mutex<Record>>,
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
        let opened = Sleeper::new().and_then(|s| Ok((s, Core::open(config, record, clock)?)));
        let (sleeper, core) = match opened {
            Ok((sleeper, core)) => (sleeper, Rc::new(RefCell::new(core))),
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let sockets = core.borrow().distinct_sockets();
        for socket in sockets {
            // Until the epoll has said so once, the runtime takes a socket for full and its first message would be lost.
            let _ = socket.writable().await;
        }
        datagrams::serve(&core, clock);
        {
            let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
            window.sockets = core.borrow().distinct_sockets().iter().filter_map(|s| s.local_addr().ok()).collect();
            window.thread = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).ok();
        }
        let _ = ready.send(Ok(()));
        drive(&core, window, orders, &sleeper, clock).await;
    });
}

/// Keeps the schedules, fires timers, takes orders, shows figures, until all phones are off after a stop.
async fn drive(
    core: &Shared,
    window: &Mutex<Window>,
    mut orders: mpsc::Receiver<Order>,
    sleeper: &Sleeper,
    clock: Clock,
) {
    let (mut look, mut show, mut stopping) = (Time::ZERO, Time::ZERO, None);
    let mut order = None;
    loop {
        let now = clock.now();
        if let Some(order) = order.take().or_else(|| orders.try_recv().ok()) {
            stopping = obey(core, order, now).then_some(now + STOP_WAIT).or(stopping);
        }
        if orders.is_closed() && stopping.is_none() {
            stopping = obey(core, Order::Stop, now).then_some(now + STOP_WAIT);
        }
        let next = core.borrow_mut().turn(clock);
        if look <= now {
            look = now + LOOK;
            core.borrow_mut().look(now);
            scout::look(core, now);
        }
        let opens = core.borrow_mut().take_opens();
        streams::open(core, opens, clock);
        let over = stopping.is_some_and(|until| until <= now || core.borrow().all_off());
        if over || show <= now {
            show = now + SNAPSHOT;
            core.borrow_mut().show(now, window);
        }
        if over {
            return;
        }
        let until = next.min(look);
        let now = clock.now();
        if until <= now {
            tokio::task::yield_now().await;
            continue;
        }
        order = tokio::select! {
            order = orders.recv(), if stopping.is_none() => Some(order.unwrap_or(Order::Stop)),
            () = sleeper.wait(until.since(now)) => None,
        };
    }
}

/// Returns whether the order was to stop.
fn obey(core: &Shared, order: Order, now: Time) -> bool {
    let mut core = core.borrow_mut();
    match order {
        Order::Busy(phones, busy) => core.set_busy(now, phones, busy),
        Order::Schedule(plan, begin) => core.schedule(plan, begin),
        Order::Incident(cause, node, servers, at) => core.incident(cause, &node, &servers, at),
        // Who asked may have given up.
        Order::Census(to) => drop(to.try_send(core.census())),
        Order::Broken(server) => core.broken(server),
        Order::Cut => core.cut(now),
        Order::Stop => {
            core.begin_stop();
            return true;
        }
    }
    false
}
