//! A run: the phones, the nodes, the time, and the few things that presets are made of (`script` has the presets themselves).
//!
//! It keeps the books of what was done and when. It must never judge: that is for `verdict`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tandem_base::{Time, UnixMillis};
use tandem_host::clock::Clock;

use super::blocking;
use super::control::{Metrics, Status};
use super::failure::Failure;
use super::generator::{self, Reading};
use super::live::{Glance, Live};
use super::setup::Setup;
use crate::fleet::{Arrival, Cause, Plan};
use crate::report::{Marker, MarkerKind};
use crate::{Fleet, FleetHandle};

/// Time between two looks at the fleet.
const LOOK: Duration = Duration::from_millis(100);
/// A schedule begins so long after it is given, so that its first arrivals are not late.
const LEAD: Duration = Duration::from_millis(50);
/// A node that was started serves within this time, or it is told.
const IN_SERVICE_WAIT: Duration = Duration::from_secs(60);
/// A wait is given up when nothing changes for so long, unless the user says otherwise.
const STALL: Duration = Duration::from_secs(60);
/// The same for a return: longer than the usual connection monitor duration.
const STALL_HOME: Duration = Duration::from_secs(180);
/// Without a control endpoint nobody says when a node serves again: its silence is excused for so long after its start.
const EXCUSED: Duration = Duration::from_secs(10);

/// Why a run ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Ctrl-C, or a polite kill.
    Interrupted(&'static str),
    /// Something that the run needs does not work.
    Broken(String),
}

/// See the module.
pub(super) struct Run {
    /// What it was made from.
    pub(super) setup: Setup,
    /// The phones.
    pub(super) fleet: FleetHandle,
    /// The one clock.
    pub(super) clock: Clock,
    /// What people see.
    pub(super) live: Live,
    /// When it began, for people.
    pub(super) started: UnixMillis,
    /// When it began.
    pub(super) begun: Time,
    /// When measuring began, if it did.
    pub(super) measured_from: Option<Time>,
    /// How long of that is warm-up.
    pub(super) warm_up: Duration,
    /// What happened when.
    pub(super) markers: Vec<(Time, Marker)>,
    /// Waits that were given up, and what else did not go as planned.
    pub(super) complaints: Vec<String>,
    /// All schedules in one number.
    pub(super) fingerprint: u64,
    /// The generator's accounts when measuring began.
    pub(super) first_reading: Option<Reading>,
    /// The nodes' counts before the first phone.
    pub(super) base: Option<Metrics>,
    /// Of each incident, by number: devices that two nodes held at once when it was over.
    pub(super) duplicates: Vec<Option<u64>>,
    /// Nodes that died during the run.
    pub(super) touched: BTreeSet<usize>,
    dead: BTreeSet<usize>,
    interrupted: Arc<AtomicBool>,
    phase: String,
}

impl Run {
    /// Opens the phones' sockets; nobody is switched on yet.
    ///
    /// # Errors
    /// What the system does not permit.
    pub(super) fn new(mut setup: Setup, interrupted: Arc<AtomicBool>) -> Result<Self, Failure> {
        let clock = Clock::system();
        let mut config = std::mem::replace(&mut setup.plan.fleet, crate::FleetConfig::new(Vec::new(), 0));
        // An earlier run may have ended without taking its registrations back.
        config.groups.iter_mut().for_each(|g| g.settings.run = clock.unix_millis().0);
        let fleet = Fleet::start(config)?;
        let live = Live::new(setup.preset.common().quiet, setup.plan.expected);
        Ok(Self {
            fleet,
            live,
            clock,
            started: clock.unix_millis(),
            begun: clock.now(),
            measured_from: None,
            warm_up: Duration::ZERO,
            markers: Vec::new(),
            complaints: Vec::new(),
            fingerprint: 0,
            first_reading: None,
            base: None,
            duplicates: Vec::new(),
            touched: BTreeSet::new(),
            dead: BTreeSet::new(),
            interrupted,
            phase: String::new(),
            setup,
        })
    }

    /// Devices of the plan, those to be refused included.
    pub(super) fn devices(&self) -> u32 {
        u32::try_from(self.setup.plan.names.len()).unwrap_or(u32::MAX)
    }

    /// The node with this name, by place.
    pub(super) fn node(&self, name: &str) -> Option<usize> {
        self.setup.cluster.nodes.iter().position(|n| n.name == name)
    }

    /// Its name.
    pub(super) fn name(&self, node: usize) -> String {
        self.setup.cluster.nodes.get(node).map(|n| n.name.clone()).unwrap_or_default()
    }

    /// The node that is home to most devices.
    pub(super) fn busiest(&self) -> usize {
        let mut devices = vec![0; self.setup.cluster.nodes.len()];
        for pool in &self.setup.cluster.pools {
            if let Some(count) = pool.members.first().and_then(|m| devices.get_mut(*m)) {
                *count += pool.count();
            }
        }
        let best = devices.iter().enumerate().max_by_key(|(place, n)| (**n, std::cmp::Reverse(*place)));
        best.map_or(0, |(place, _)| place)
    }

    /// Gives the fleet a schedule and says when it ends.
    pub(super) fn schedule(&mut self, what: Arrival, per_second: f64, count: u64) -> Time {
        let seed = self.setup.preset.common().seed ^ (self.fingerprint.rotate_left(7));
        let plan = Plan { what, per_second, count, seed };
        self.fingerprint = self.fingerprint.rotate_left(1) ^ plan.fingerprint(self.devices());
        let begin = self.clock.now() + LEAD;
        if !self.fleet.schedule(plan, begin) {
            self.complaints.push("the phones' thread took no more orders".into());
        }
        begin + plan.length()
    }

    /// Operations meant for later than `warm_up` from now count.
    pub(super) fn measure(&mut self, warm_up: Duration) {
        let at = self.clock.now() + LEAD + warm_up;
        self.fleet.measure_from(at);
        self.measured_from = Some(at);
        self.warm_up = warm_up;
        self.first_reading = Some(self.reading());
    }

    /// The generator's accounts now.
    pub(super) fn reading(&self) -> Reading {
        generator::look(self.clock.now(), self.fleet.thread_id(), &self.fleet.sockets(), &self.setup.addresses)
    }

    /// A new part of the run.
    pub(super) fn enter(&mut self, phase: &str) {
        self.phase = phase.to_owned();
    }

    fn glance(&self) -> Glance {
        let stats = self.fleet.stats();
        let nodes = self.setup.cluster.nodes.iter().zip(&self.setup.addresses);
        let nodes = nodes.map(|(n, a)| (n.name.clone(), stats.by_server.get(a).copied().unwrap_or_default()));
        let (last, errors) = self.fleet.with_record(|r| {
            let errors = r.operations.values().map(|t| t.failed() - t.throttled()).sum();
            (r.seconds.last().cloned().unwrap_or_default(), errors)
        });
        Glance {
            phase: self.phase.clone(),
            registered: (stats.registered, self.setup.plan.expected),
            rate: last.registrations + last.refreshes,
            errors,
            throttled: stats.counters.throttled.into(),
            p99: last.p99,
            nodes: nodes.collect(),
        }
    }

    /// One look: shows where things are, and ends a run that is to end.
    async fn look(&mut self) -> Result<(), Stop> {
        let glance = self.glance();
        self.live.show(self.clock.now(), &glance);
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Stop::Interrupted("interrupted (Ctrl-C): the figures cover what was done until then"));
        }
        if self.fleet.is_finished() {
            return Err(Stop::Broken("the phones' thread ended before its time".into()));
        }
        tokio::time::sleep(LOOK).await;
        Ok(())
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// [`Stop`].
    pub(super) async fn calm(&mut self, how_long: Duration) -> Result<(), Stop> {
        self.until(self.clock.now() + how_long).await
    }

    /// Lets time pass up to a moment.
    ///
    /// # Errors
    /// [`Stop`].
    pub(super) async fn until(&mut self, end: Time) -> Result<(), Stop> {
        while self.clock.now() < end {
            self.look().await?;
        }
        Ok(())
    }

    /// Waits until `left` is 0; gives up when it has not changed for `stall`, and says `what` is still missing.
    async fn wait(&mut self, what: &str, stall: Duration, left: impl Fn(&Self) -> u32) -> Result<bool, Stop> {
        let mut last = (left(self), self.clock.now());
        loop {
            let now = left(self);
            if now == 0 {
                return Ok(true);
            }
            if now != last.0 {
                last = (now, self.clock.now());
            }
            if self.clock.now().since(last.1) >= stall {
                self.complaints.push(format!("{now} devices {what}, and none had moved for {} s", stall.as_secs()));
                return Ok(false);
            }
            self.look().await?;
        }
    }

    fn stall(&self, usual: Duration) -> Duration {
        self.setup.preset.common().stall.unwrap_or(usual)
    }

    /// Waits until every device is registered that should be.
    ///
    /// # Errors
    /// [`Stop`].
    pub(super) async fn all_registered(&mut self) -> Result<bool, Stop> {
        let stall = self.stall(STALL);
        self.wait("are not registered", stall, |run| {
            run.setup.plan.expected.saturating_sub(run.fleet.stats().registered)
        })
        .await
    }

    /// Switches all devices on and waits for them.
    ///
    /// # Errors
    /// [`Stop`].
    pub(super) async fn ramp(&mut self, per_second: f64) -> Result<(), Stop> {
        self.enter("register");
        let end = self.schedule(Arrival::Start, per_second, self.devices().into());
        self.until(end).await?;
        self.all_registered().await.map(drop)
    }

    /// Waits until the devices of the last incident are where they should be.
    ///
    /// # Errors
    /// [`Stop`].
    pub(super) async fn all_moved(&mut self) -> Result<bool, Stop> {
        // The incident itself is shown with the next snapshot.
        self.calm(LOOK * 2).await?;
        let open = |run: &Self| run.fleet.incidents().last().map_or(0, crate::fleet::Incident::open);
        let home = self.fleet.incidents().last().is_some_and(|i| i.cause == Cause::Return);
        let (what, usual) = if home { ("have not come home", STALL_HOME) } else { ("have not moved", STALL) };
        let stall = self.stall(usual);
        let done = self.wait(what, stall, open).await?;
        self.count_duplicates().await;
        Ok(done)
    }

    /// Asks the nodes whether two of them hold the same devices now.
    async fn count_duplicates(&mut self) {
        let place = self.fleet.incidents().len().saturating_sub(1);
        let count = match self.setup.control.clone() {
            Some(control) => blocking(move || super::reconcile::excess(&control)).await,
            None => None,
        };
        self.duplicates.resize(place + 1, None);
        if let Some(last) = self.duplicates.last_mut() {
            *last = count;
        }
    }

    fn mark(&mut self, at: Time, kind: MarkerKind, node: usize, text: Option<String>) {
        let node = Some(self.name(node));
        self.live.say(&format!("--- {} {}", kind.word(), node.as_deref().unwrap_or_default()));
        self.markers.push((at, Marker { at_s: 0.0, kind, node, text }));
    }

    async fn carry_out(&self, node: usize, command: &'static str, shell: Option<String>) -> Result<(), Stop> {
        let name = self.name(node);
        let control = self.setup.control.clone();
        let done = blocking(move || match (shell, control) {
            (Some(line), _) => run_shell(&line.replace("{node}", &name), &name),
            (None, Some(control)) => control.node(&name, command),
            (None, None) => Err(format!("there is nobody who could {command} {name}")),
        });
        done.await.map_err(Stop::Broken)
    }

    /// Kills a node.
    ///
    /// # Errors
    /// [`Stop`], also when it cannot be killed.
    pub(super) async fn kill(&mut self, node: usize) -> Result<(), Stop> {
        let shell = self.setup.preset.means().and_then(|m| m.kill_with.clone());
        let at = self.clock.now();
        self.begin(Cause::Death, node, at);
        self.mark(at, MarkerKind::Kill, node, shell.clone());
        self.touched.insert(node);
        self.carry_out(node, "kill", shell).await?;
        self.dead.insert(node);
        let told = self.setup.preset.means().is_some_and(|m| m.notice);
        if let Some(address) = self.setup.addresses.get(node).filter(|_| told)
            && !self.fleet.broken(*address)
        {
            self.complaints.push("the phones' thread took no more orders".into());
        }
        Ok(())
    }

    fn begin(&mut self, cause: Cause, node: usize, at: Time) {
        let servers: Vec<_> = self.setup.addresses.get(node).copied().into_iter().collect();
        if !self.fleet.incident(cause, &self.name(node), &servers, at) {
            self.complaints.push("the phones' thread took no more orders".into());
        }
    }

    /// Brings a node back, and waits until it serves where somebody can be asked.
    ///
    /// # Errors
    /// [`Stop`], also when it cannot be started.
    pub(super) async fn bring_back(&mut self, node: usize) -> Result<(), Stop> {
        let shell = self.setup.preset.means().and_then(|m| m.return_with.clone());
        let text = shell.clone();
        self.carry_out(node, "start", shell).await?;
        let at = self.clock.now();
        self.begin(Cause::Return, node, at);
        self.mark(at, MarkerKind::Return, node, text);
        self.dead.remove(&node);
        let excused = self.await_service(node).await? + EXCUSED;
        if let Some(address) = self.setup.addresses.get(node) {
            self.fleet.excuse_until(*address, excused);
        }
        Ok(())
    }

    async fn await_service(&mut self, node: usize) -> Result<Time, Stop> {
        let Some(control) = self.setup.control.clone() else { return Ok(self.clock.now()) };
        let name = self.name(node);
        let end = self.clock.now() + IN_SERVICE_WAIT;
        while self.clock.now() < end {
            let control = control.clone();
            let status: Option<Status> = blocking(move || control.status().ok()).await;
            let serves = |s: &Status| s.nodes.iter().any(|n| n.name == name && n.state == "in_service");
            if status.as_ref().is_some_and(serves) {
                return Ok(self.clock.now());
            }
            self.look().await?;
        }
        self.complaints.push(format!("{name} was started and is not in service after {} s", IN_SERVICE_WAIT.as_secs()));
        Ok(self.clock.now())
    }

    /// Starts again what the run killed and left dead. Best effort: the run is over.
    pub(super) async fn tidy(&mut self) {
        let leave = matches!(&self.setup.preset, crate::program::args::Preset::Failover(k) if k.leave_dead);
        let shell = self.setup.preset.means().and_then(|m| m.return_with.clone());
        if leave || (shell.is_none() && self.setup.control.is_none()) {
            return;
        }
        for node in std::mem::take(&mut self.dead) {
            match self.carry_out(node, "start", shell.clone()).await {
                Ok(()) => self.live.say(&format!("--- {} is started again", self.name(node))),
                Err(why) => self.live.say(&format!("--- {} stays dead: {why:?}", self.name(node))),
            }
        }
    }
}

fn run_shell(line: &str, node: &str) -> Result<(), String> {
    let done = std::process::Command::new("sh")
        .args(["-c", line])
        .env("TANDEM_NODE", node)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status();
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` ended with {status}")),
        Err(e) => Err(format!("`{line}` cannot be run: {e}")),
    }
}
