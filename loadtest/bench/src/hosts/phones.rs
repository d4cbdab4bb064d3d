//! The phones' host: a process of its own in its own network namespace, told what to do over its standard input, one JSON object a line.
//!
//! It runs the load test's simulated phones and keeps the book that the scenarios ask for: who is registered where, and how often each phone
//! has changed its CallManager. It must never outlive whoever started it: the end of its standard input is its own end.

use crate::error::Error;
use crate::stopped;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;
use tandem_loadtest::plan::Source;
use tandem_loadtest::{Change, Fleet, FleetConfig, FleetHandle, Identity, PhoneGroup, PhoneSettings, Status};

/// Lines of the phones' history that may wait to be read.
const HISTORY: usize = 1 << 20;
/// How often it is read.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Orders that may wait.
const ORDERS_MAX: usize = 16;
/// Open files beside the phones' sockets.
const SPARE_FILES: u64 = 200;

/// Phones with one list of CallManagers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Best first.
    pub(crate) servers: Vec<SocketAddr>,
    /// Their names are this with a number behind it, from `first` on.
    pub(crate) pattern: String,
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// Who the phones are and how they behave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) domain: String,
    pub(crate) password: String,
    /// The phones' host.
    pub(crate) from: IpAddr,
    pub(crate) groups: Vec<Group>,
    /// Switched on per second.
    pub(crate) per_second: u32,
    /// Goes into Call-IDs, so that a registrar that kept tables takes them for new ones.
    pub(crate) run: u64,
    /// See [`PhoneSettings`]; in milliseconds.
    pub(crate) expires: u32,
    pub(crate) keepalive_ms: u64,
    pub(crate) patience_ms: u64,
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Answer with a [`Count`].
    Count,
    /// Forget how often phones have moved; answer with a [`Count`].
    Mark,
    /// Answer with a [`Census`].
    Census,
}

/// The phones at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    /// Registered, as they believe.
    pub(crate) registered: u32,
    /// The same, by CallManager.
    pub(crate) by_server: BTreeMap<SocketAddr, u32>,
    /// Since the last mark: registrations that were no refreshes.
    pub(crate) registrations: u64,
    /// Since the last mark: how many phones changed their CallManager so often.
    pub(crate) moves: BTreeMap<u32, u32>,
    /// Some that did more than once, with where they went.
    pub(crate) restless: Vec<String>,
    /// Since the start: requests without an answer, and refused for now (503).
    pub(crate) timeouts: u32,
    pub(crate) throttled: u32,
}

/// Where each phone believes to be registered: the position of its CallManager in its list, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Census {
    pub(crate) at: BTreeMap<String, Option<SocketAddr>>,
}

/// Phones that are named when they move too much.
const RESTLESS_MAX: usize = 5;

/// One phone's journey since the last mark.
#[derive(Clone, Debug, Default)]
struct Journey {
    at: Option<SocketAddr>,
    moves: u32,
    path: Vec<(u64, SocketAddr)>,
}

/// The book.
#[derive(Debug, Default)]
struct Book {
    journeys: Vec<Journey>,
    registrations: u64,
}

impl Book {
    fn new(phones: usize) -> Self {
        Self { journeys: vec![Journey::default(); phones], registrations: 0 }
    }
    fn mark(&mut self) {
        self.registrations = 0;
        for journey in &mut self.journeys {
            journey.moves = 0;
            journey.path.clear();
        }
    }
    fn note(&mut self, phone: u32, change: &Change) {
        if change.to != Status::Registered {
            return;
        }
        self.registrations += 1;
        let Some(journey) = self.journeys.get_mut(phone as usize) else { return };
        if let (Some(from), Some(to)) = (journey.at, change.server)
            && from != to
        {
            journey.moves += 1;
            if journey.path.len() < RESTLESS_MAX {
                journey.path.push((change.at.as_secs(), to));
            }
        }
        journey.at = change.server.or(journey.at);
    }
    fn tell(&self, count: &mut Count, names: &[String]) {
        count.registrations = self.registrations;
        for (journey, name) in self.journeys.iter().zip(names) {
            *count.moves.entry(journey.moves).or_default() += 1;
            if journey.moves > 1 && count.restless.len() < RESTLESS_MAX {
                let path: Vec<String> = journey.path.iter().map(|(s, to)| format!("{to} at {s} s")).collect();
                count.restless.push(format!("{name}: {}", path.join(", ")));
            }
        }
    }
}

/// Runs until the standard input ends.
pub(crate) fn serve() -> Result<(), Error> {
    let orders = lines()?;
    let first = orders.recv().map_err(|_| Error::Worthless("phones: no plan came".to_owned()))?;
    let plan: Plan = serde_json::from_str(&first).map_err(|e| Error::Worthless(format!("phones: {e}")))?;
    let config = config(&plan);
    let names: Vec<String> = config.groups.iter().flat_map(|g| g.phones.iter().map(|p| p.user.clone())).collect();
    let mut book = Book::new(names.len());
    let fleet = Fleet::start(config).map_err(|e| Error::Worthless(format!("phones: {e}")))?;
    say(&Count::default())?;
    while !stopped() {
        for (phone, change) in fleet.history() {
            book.note(phone, &change);
        }
        match orders.recv_timeout(LOOK_EVERY) {
            Ok(line) => answer(&line, &fleet, &mut book, &names)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // Nobody takes its registration back: the servers end, too.
    drop(fleet);
    Ok(())
}

fn answer(line: &str, fleet: &FleetHandle, book: &mut Book, names: &[String]) -> Result<(), Error> {
    let order: Order = serde_json::from_str(line).map_err(|e| Error::Worthless(format!("phones: {line:?}: {e}")))?;
    match order {
        Order::Mark => book.mark(),
        Order::Census => {
            // The fleet answers within its own patience, or has ended.
            let census = fleet.census().unwrap_or_default();
            return say(&Census { at: names.iter().cloned().zip(census).collect() });
        }
        Order::Count => {}
    }
    let stats = fleet.stats();
    let mut count = Count {
        registered: stats.registered,
        by_server: stats.by_server,
        timeouts: stats.counters.timeouts,
        throttled: stats.counters.throttled,
        ..Count::default()
    };
    book.tell(&mut count, names);
    say(&count)
}

fn say(what: &impl Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_vec(what).map_err(|e| Error::Worthless(e.to_string()))?;
    text.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).map_err(Error::io("phones: cannot answer"))
}

/// Lines of the standard input, read on a thread of their own.
fn lines() -> Result<Receiver<String>, Error> {
    let (to, from) = sync_channel(ORDERS_MAX);
    let read = move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                break;
            }
        }
    };
    std::thread::Builder::new().name("orders".to_owned()).spawn(read).map_err(Error::io("cannot start a thread"))?;
    Ok(from)
}

fn config(plan: &Plan) -> FleetConfig {
    let millis = Duration::from_millis;
    let settings = PhoneSettings {
        expires: plan.expires,
        keepalive: Some(millis(plan.keepalive_ms)),
        // They come home when they are called.
        standby_heartbeat: None,
        patience: millis(plan.patience_ms),
        retry_base: Duration::from_secs(4),
        retry_cap: Duration::from_secs(30),
        run: plan.run,
        ..PhoneSettings::default()
    };
    let groups = plan.groups.iter().map(|group| {
        let phones = (0..group.count).map(|n| Identity::numbered(&group.pattern, group.first + n, &plan.password));
        let new = PhoneGroup::new(&group.name, &plan.domain, &group.servers, phones);
        PhoneGroup {
            settings: settings.clone(),
            // So many answers at once still fit the receive buffer that a system gives unasked.
            source: Source::At { address: plan.from, per_socket: 250 },
            ..new
        }
    });
    let mut config = FleetConfig::new(groups.collect(), plan.run);
    config.starts_per_second = plan.per_second;
    config.history = HISTORY;
    config.sockets_max = usize::try_from(crate::kernel::open_files().saturating_sub(SPARE_FILES)).unwrap_or(usize::MAX);
    config
}
