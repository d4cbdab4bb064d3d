//! A run from outside: a runtime whose clock stands still unless everything waits, a world in it, and what is asked of it at the end.

use crate::check::Worst;
use crate::copies::Looks;
use crate::faults::Fault;
use crate::misfortune::draw;
use crate::setup::Setup;
use crate::world::World;
use std::collections::BTreeMap;
use std::time::Duration;
use tandem::locator::DeviceIndex;
use tandem_base::{Rank, Time};
use tandem_host::random::Random;
use tandem_loadtest::Status;
use tandem_rules::invariants::Broken;
use tokio::runtime::{Builder, Runtime};

/// Faults begin when phones have had so long to register.
const QUIET_START: Duration = Duration::from_secs(4);
/// Once everybody is home, nobody moves for so long.
const STAY: Duration = Duration::from_secs(5);
/// Time between two looks at copies and at who is home.
const LOOK: Duration = Duration::from_secs(1);

/// What a run has shown.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Every event, in order.
    pub lines: Vec<String>,
    /// Hash of every event, datagram and frame.
    pub hash: u64,
    /// Datagrams and frames.
    pub packets: u64,
    /// Moments at which something happened.
    pub steps: u64,
    /// How often all invariants were asked.
    pub asked: u64,
    /// Virtual time it took.
    pub took: Duration,
    /// How long rules were broken without being a finding.
    pub worst: Worst,
    /// Most moves of one device that only one fault explains.
    pub moves: u32,
    /// What was broken first.
    pub broken: Option<Broken>,
}

impl Outcome {
    /// Of a run that ended in a panic of the simulator itself.
    pub fn panicked(seed: u64, how: String) -> Self {
        Self {
            seed,
            lines: Vec::new(),
            hash: 0,
            packets: 0,
            steps: 0,
            asked: 0,
            took: Duration::ZERO,
            worst: Worst::default(),
            moves: 0,
            broken: Some(Broken { rule: "a_run_ends", how }),
        }
    }
}

/// See the module.
pub struct Sim {
    // Before the runtime, so that it ends first.
    world: World,
    runtime: Runtime,
    seed: u64,
    limits: crate::setup::Limits,
    looks: Looks,
}

impl Sim {
    /// A world at its beginning: every node has just been started, no phone is on yet.
    ///
    /// # Errors
    /// A sentence: the runtime, a node or a phone cannot be made.
    pub fn new(setup: Setup) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.map_err(|e| format!("no runtime: {e}"))?;
        let (seed, limits) = (setup.seed, setup.limits);
        let world = runtime.block_on(async { World::new(setup) })?;
        Ok(Self { world, runtime, seed, limits, looks: Looks::default() })
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.runtime.block_on(async { self.world.now() })
    }
    /// Lets time go on, looking at the copies every second. `false` when something is broken.
    pub fn run_for(&mut self, time: Duration) -> bool {
        let until = self.now() + time;
        while self.world.broken.is_none() && self.now() < until {
            let next = (self.now() + LOOK).min(until);
            self.runtime.block_on(self.world.run_until(next));
            self.compare_copies();
        }
        self.world.broken.is_none()
    }
    /// One thing goes wrong, or ends, now.
    pub fn apply(&mut self, fault: Fault) {
        self.runtime.block_on(async { self.world.apply(fault) });
    }
    /// What is to go wrong later.
    pub fn plan(&mut self, faults: impl IntoIterator<Item = (Time, Fault)>) {
        self.world.plan(faults);
    }
    /// What is broken.
    pub fn broken(&self) -> Option<&Broken> {
        self.world.broken.as_ref()
    }
    /// Every event so far.
    pub fn lines(&self) -> &[String] {
        self.world.log.lines()
    }

    /// Devices by group and node as the nodes hold them, and as the phones have it: both must be the same.
    pub fn table(&mut self) -> [BTreeMap<(String, String), u32>; 2] {
        self.runtime.block_on(async { self.world.refresh_facts() });
        let world = &self.world;
        let group = |device: usize| {
            let index = DeviceIndex(u32::try_from(device).unwrap_or(u32::MAX));
            let group = world.directory.group_of(index).and_then(|g| world.directory.groups.get(usize::from(g)));
            group.map_or_else(String::new, |g| g.name.to_string())
        };
        let mut tables = [BTreeMap::new(), BTreeMap::new()];
        let [held, felt] = &mut tables;
        for facts in world.facts.iter().flatten() {
            for device in (0..facts.here.len()).filter(|d| facts.holds(*d)) {
                *held.entry((group(device), facts.me.node.to_string())).or_default() += 1;
            }
        }
        for (device, phone) in world.phones.all().iter().enumerate() {
            let at = phone.registered_at().and_then(|a| world.stations.iter().find(|s| s.address == a));
            if let Some(at) = at {
                *felt.entry((group(device), at.name.to_string())).or_default() += 1;
            }
        }
        tables
    }

    /// Looks at the copies: a difference that was there at the last look too, with no fault between nodes meanwhile, is a finding.
    fn compare_copies(&mut self) {
        let (now, limit) = (self.now(), self.limits.copies);
        let calm = self.world.calm_for(now).is_some_and(|calm| calm > limit);
        let found = self.runtime.block_on(async { self.world.compare(&mut self.looks) });
        let broken = match found {
            Err(broken) => Some(broken),
            Ok(again) => again.filter(|_| calm).map(|how| Broken { rule: "copies_are_equal", how }),
        };
        self.world.broken = self.world.broken.take().or(broken);
    }

    /// Whether every phone is served by its primary, by its own word and by the node's, and all copies are equal.
    pub fn is_everybody_home(&mut self) -> bool {
        let home = |p: &tandem_loadtest::Phone| p.status() == Status::Registered && p.rank() == Some(Rank::HOME);
        let is_settled = self.world.is_settled();
        let phones: Vec<_> = self.world.phones.all().iter().enumerate().filter(|(n, _)| is_settled(*n)).collect();
        let felt = phones.iter().filter(|(_, p)| home(p)).count();
        let phones = phones.len();
        self.runtime.block_on(async { self.world.refresh_facts() });
        let here = self.world.facts.iter().flatten().flat_map(|f| &f.stock.here);
        let ranks = here.filter(|(device, ..)| is_settled(device.0 as usize)).map(|(.., rank)| *rank);
        let held: Vec<_> = ranks.collect();
        felt == phones
            && held.len() == phones
            && held.iter().all(|r| *r == Rank::HOME)
            && self.looks.differed().is_empty()
    }

    /// Everything is healed; then everybody must be home within the limit, and stay there.
    pub fn heal_and_go_home(&mut self) -> bool {
        self.runtime.block_on(async { self.world.heal() });
        self.world.let_people_rest();
        let until = self.now() + self.limits.home;
        while self.run_for(LOOK) {
            if self.is_everybody_home()
                && crate::facts::all_serve(&self.world.facts)
                && self.world.copies_of_database_differ().is_none()
            {
                self.runtime.block_on(async { self.world.last_changes() });
                return self.run_for(STAY.max(self.world.last_words())) && self.still_home();
            }
            if self.now() >= until {
                let table = self.table();
                let how = format!(
                    "{:?} after all was healed: {table:?}; copies: {:?}; database: {:?}",
                    self.limits.home,
                    self.looks.differed(),
                    self.world.copies_of_database_differ()
                );
                self.world.broken = Some(Broken { rule: "everybody_goes_home", how });
            }
        }
        false
    }

    fn still_home(&mut self) -> bool {
        let (home, differ) = (self.is_everybody_home(), self.world.copies_of_database_differ());
        if !home || differ.is_some() {
            let how = format!("{:?} {differ:?}", self.table());
            self.world.broken = Some(Broken { rule: "everybody_stays_home", how });
        }
        self.world.judge_database();
        self.world.broken.is_none()
    }

    /// The run is over.
    pub fn finish(self) -> Outcome {
        let took = self.now().since(Time::ZERO);
        let log = &self.world.log;
        Outcome {
            seed: self.seed,
            lines: log.lines().to_vec(),
            hash: log.hash().0,
            packets: log.packets(),
            steps: self.world.steps,
            asked: self.world.checks.asked(),
            took,
            worst: self.world.checks.worst(),
            moves: self.world.history.most_moves(),
            broken: self.world.broken.clone(),
        }
    }
}

/// One whole run: phones register, faults drawn from the seed for `time`, then everything heals and everybody goes home.
///
/// # Errors
/// A sentence: the run could not begin. What it finds stands in [`Outcome::broken`].
pub fn run(setup: Setup, time: Duration) -> Result<Outcome, String> {
    // Dice of their own: what the world draws does not shift the misfortune.
    let mut dice = Random::seeded(setup.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
    let nodes = u16::try_from(setup.config.nodes.len()).unwrap_or(u16::MAX);
    let faults = draw(&mut dice, nodes, Time::ZERO + QUIET_START, Time::ZERO + time);
    let mut sim = Sim::new(setup)?;
    sim.plan(faults);
    if sim.run_for(time) {
        sim.heal_and_go_home();
    }
    Ok(sim.finish())
}
