//! Single changes at a rate, each sent to another node than the one before: how soon each is in every node's copy.
//!
//! A node tells of a change in its events when the change is committed to its own copy, with the moment in milliseconds of the host's clock,
//! which is the clock here too: a time is never told shorter than it was, and at most 2 ms longer. Events are read as a stream, 100 ms or
//! more at once; what counts is the moment in them, not when they come.

use super::api::Api;
use super::{Cluster, Options, PHONES, file};
use crate::bench::Bench;
use crate::error::Error;
use crate::generator::histogram;
use crate::kernel;
use crate::pause;
use crate::row::quantile;
use crate::stopped;
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tandem_base::Time;
use tandem_host::clock::Clock;

/// Connections to each node: so many changes may be on their way there.
const SENDERS: usize = 16;
/// What is not everywhere by then counts as never.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before the first change.
const LEAD: Duration = Duration::from_millis(500);
/// What the two readings of a clock of milliseconds may hide.
const COARSE_US: u64 = 1_000;

/// What came of it; microseconds from when a change was due.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Changes {
    pub(crate) devices: u32,
    pub(crate) rate: u32,
    pub(crate) seconds: u32,
    pub(crate) accepted: u64,
    /// By status; 0 is no answer.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Accepted, and not in every copy in time.
    pub(crate) never: u64,
    /// In the last copy.
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
    /// In the publisher's copy.
    pub(crate) committed_p50_us: u64,
    pub(crate) committed_p99_us: u64,
    /// The answer to who sent it.
    pub(crate) answered_p50_us: u64,
    pub(crate) answered_p99_us: u64,
    /// Changes that were sent later than they were due by more than a millisecond.
    pub(crate) late: u64,
    /// CPU milliseconds of all processes together per change.
    pub(crate) cpu_ms: f64,
    /// Whether all copies were equal at the end.
    pub(crate) equal: bool,
}

/// One change.
struct Sent {
    status: u16,
    revision: Option<u64>,
    /// Of the host's clock: when it was due.
    due_millis: u64,
    /// From when it was due.
    answered_us: u64,
    late: bool,
}

/// What the senders share.
struct Plan {
    begun: Time,
    begun_millis: u64,
    /// Microseconds between two changes.
    every: u64,
    count: u64,
    devices: u32,
    nodes: u64,
    /// The next change of each node.
    next: Vec<AtomicU64>,
    sent: Mutex<Vec<Sent>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends the changes of one node, one after the other.
fn send(plan: &Plan, node: usize, api: &Api) {
    let clock = Clock::system();
    let Some(next) = plan.next.get(node) else { return };
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed) * plan.nodes + node as u64;
        if number >= plan.count || stopped() {
            return;
        }
        let due_us = number * plan.every;
        let due = plan.begun + Duration::from_micros(due_us);
        pause(due.since(clock.now()));
        let late = clock.now().since(due) > Duration::from_millis(1);
        let device = PHONES + u32::try_from(number % u64::from(plan.devices)).unwrap_or(0);
        let path = format!("/config/device/{}", file::name(device));
        let fields =
            json!({ "description": format!("changed by {number}"), "lines": [format!("{}", 3_000_000_000 + number)] });
        let answer = api.patch(&path, &fields);
        let answered_us = u64::try_from(clock.now().since(due).as_micros()).unwrap_or(u64::MAX);
        let revision = |body: &Value| body.get("revision").and_then(Value::as_u64);
        let (status, revision) = answer.map_or((0, None), |a| (a.status, revision(&a.body)));
        let due_millis = plan.begun_millis + due_us / 1_000;
        lock(&plan.sent).push(Sent { status, revision, due_millis, answered_us, late });
    }
}

/// When each revision was in a node's copy, in milliseconds of the host's clock.
type Told = Arc<Mutex<BTreeMap<u64, u64>>>;

/// Reads a node's events for ever; the thread ends with the stream.
fn listen(api: &Api) -> Result<Told, Error> {
    let told = Told::default();
    let (stream, ours) = (api.follow("config_changed")?, Arc::clone(&told));
    let read = move || {
        for page in stream {
            let events = page.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut told = lock(&ours);
            for event in events {
                let text = event.get("text").and_then(Value::as_str).unwrap_or_default();
                let revision = text.strip_prefix("revision ").and_then(|t| t.split(' ').next()?.parse().ok());
                if let Some((revision, at)) = revision.zip(event.get("at").and_then(Value::as_u64)) {
                    told.insert(revision, at);
                }
            }
        }
    };
    std::thread::Builder::new().name("events".to_owned()).spawn(read).map_err(Error::io("no thread"))?;
    Ok(told)
}

/// Sends all changes; returns when each was answered.
fn send_all(plan: &Arc<Plan>, apis: &[Api], tell: &mut dyn FnMut(u64)) -> Result<(), Error> {
    let mut senders = Vec::new();
    for (node, api) in apis.iter().enumerate() {
        for _ in 0..SENDERS {
            let (plan, api) = (Arc::clone(plan), api.another());
            let run = move || send(&plan, node, &api);
            senders.push(
                std::thread::Builder::new().name("sender".to_owned()).spawn(run).map_err(Error::io("no thread"))?,
            );
        }
    }
    while senders.iter().any(|s| !s.is_finished()) {
        pause(Duration::from_millis(200));
        tell(lock(&plan.sent).len() as u64);
    }
    if stopped() { Err(Error::Interrupted) } else { Ok(()) }
}

/// Waits until every node has told of the last revision, or long enough.
fn wait_for(told: &[Told], last: u64) {
    let clock = Clock::system();
    let until = clock.now() + PATIENCE;
    while clock.now() < until && !told.iter().all(|t| lock(t).contains_key(&last)) {
        pause(Duration::from_millis(50));
    }
}

impl Bench {
    pub(super) fn changes(&mut self, options: &Options) -> Result<(), Error> {
        let Options { devices, rate, seconds, .. } = *options;
        let cluster = Cluster::start(self)?;
        cluster.fill(self, devices)?;
        let told = cluster.apis.iter().map(listen).collect::<Result<Vec<_>, _>>()?;
        let clock = Clock::system();
        let plan = Arc::new(Plan {
            begun: clock.now() + LEAD,
            begun_millis: clock.unix_millis().0 + u64::try_from(LEAD.as_millis()).unwrap_or(0),
            every: 1_000_000 / u64::from(rate),
            count: u64::from(rate) * u64::from(seconds),
            devices,
            nodes: cluster.apis.len() as u64,
            next: cluster.apis.iter().map(|_| AtomicU64::new(0)).collect(),
            sent: Mutex::default(),
        });
        let used = || -> f64 { cluster.nodes.all().iter().map(|s| kernel::cpu_seconds(s.process())).sum() };
        let before = used();
        let label = format!("Tandem: {rate} changes per second for {seconds} s");
        let mut tell = self.progress.begin(&label, plan.count);
        send_all(&plan, &cluster.apis, &mut tell)?;
        let last = lock(&plan.sent).iter().filter_map(|s| s.revision).max().unwrap_or(0);
        wait_for(&told, last);
        let cpu_ms = (used() - before) * 1_000.0 / plan.count as f64;
        let copies = cluster.apis.iter().map(Api::copy).collect::<Result<Vec<_>, _>>()?;
        let equal = copies.iter().all(|c| c.as_ref().is_some_and(|c| c.revision == last) && Some(c) == copies.first());
        let changes = Changes { devices, rate, seconds, cpu_ms, equal, ..judge(&lock(&plan.sent), &told) };
        self.results.database.changes = Some(changes);
        Ok(())
    }
}

fn judge(sent: &[Sent], told: &[Told]) -> Changes {
    let (mut everywhere, mut committed, mut answered) = (histogram(), histogram(), histogram());
    let (mut refused, mut never, mut late, mut accepted) = (BTreeMap::new(), 0, 0, 0);
    let told: Vec<_> = told.iter().map(|t| lock(t)).collect();
    for change in sent {
        late += u64::from(change.late);
        let Some(revision) = change.revision.filter(|_| change.status == 200) else {
            *refused.entry(change.status).or_default() += 1;
            continue;
        };
        accepted += 1;
        answered.saturating_record(change.answered_us);
        let after = |at: &u64| at.saturating_sub(change.due_millis) * 1_000 + COARSE_US;
        let times: Vec<u64> = told.iter().filter_map(|t| t.get(&revision)).map(after).collect();
        match times.iter().max().filter(|_| times.len() == told.len()) {
            Some(last) => everywhere.saturating_record(*last),
            None => never += 1,
        }
        times.iter().min().into_iter().for_each(|first| committed.saturating_record(*first));
    }
    let at = |h: &Histogram<u64>, q: f64| quantile(h, q);
    Changes {
        devices: 0,
        rate: 0,
        seconds: 0,
        accepted,
        refused,
        never,
        p50_us: at(&everywhere, 0.5),
        p99_us: at(&everywhere, 0.99),
        max_us: everywhere.max(),
        committed_p50_us: at(&committed, 0.5),
        committed_p99_us: at(&committed, 0.99),
        answered_p50_us: at(&answered, 0.5),
        answered_p99_us: at(&answered, 0.99),
        late,
        cpu_ms: 0.0,
        equal: false,
    }
}
