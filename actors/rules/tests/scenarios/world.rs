//! The small world that the transcripts are run against: nodes with a view each, devices as counts per pool and node.
//!
//! It decides nothing: every move comes from a rule's verdict. Devices do what phones do: they try their list from the top.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tandem_base::{DeviceName, DevicePoolName, GroupName, Incarnation, NodeLife, NodeName, Time};
use tandem_model::config::{Config, Failback};
use tandem_model::view::{ClusterView, Service, Sight};
use tandem_rules::failback::{Ask, GroupHere, Pace, PoolHere, Token, grant_token, plan_failback};
use tandem_rules::failover::{Death, GroupAtDeath, plan_death};
use tandem_rules::invariants;
use tandem_rules::placement::{Route, route};
use tandem_rules::registration::{Kind, Request, Verdict, admit};

type Outcome = Result<(), String>;

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    idle: u64,
    busy: u64,
    /// With a call, and told to go home after it.
    called: u64,
}
impl Count {
    const fn all(&self) -> u64 {
        self.idle + self.busy + self.called
    }
    const fn idle(idle: u64) -> Self {
        Self { idle, busy: 0, called: 0 }
    }
    fn add(&mut self, other: Self) {
        self.idle += other.idle;
        self.busy += other.busy;
        self.called += other.called;
    }
    fn sub(&mut self, other: Self) {
        self.idle -= other.idle;
        self.busy -= other.busy;
        self.called -= other.called;
    }
}

#[derive(Debug)]
struct Group {
    name: GroupName,
    members: Vec<NodeName>,
    policy: Failback,
    asked: bool,
}

#[derive(Debug)]
struct Pool {
    name: DevicePoolName,
    group: usize,
    monitor: Duration,
    devices: u64,
    /// Where its devices are: the life of their newest registration, or nowhere.
    at: BTreeMap<Option<NodeLife>, Count>,
    came: String,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    now: Time,
    lives: BTreeMap<NodeName, Incarnation>,
    alive: BTreeMap<NodeName, bool>,
    views: BTreeMap<NodeName, ClusterView>,
    paces: BTreeMap<NodeName, Pace>,
    publisher: Option<NodeName>,
    groups: Vec<Group>,
    pools: Vec<Pool>,
    told: VecDeque<String>,
    verdict: String,
    went_home: u64,
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}
fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

// --- The layout --------------------------------------------------------------------------------------------------------

impl World {
    pub(crate) fn load(&mut self, file: &str) -> Outcome {
        let text = match file {
            "figure-6-1" => include_str!("../../../../examples/config/figure-6-1.toml"),
            "figure-6-2" => include_str!("../../../../examples/config/figure-6-2.toml"),
            _ => return Err("no such layout".to_owned()),
        };
        let config = Config::parse(file, text).map_err(|problems| problems.to_string())?;
        let names: Vec<_> = config.nodes.iter().map(|n| n.name.as_str()).collect();
        self.nodes(&names)?;
        self.publisher = config.publisher_name().cloned();
        for g in &config.groups {
            let (name, members) = (g.name.clone(), g.members.clone());
            self.groups.push(Group { name, members, policy: g.failback, asked: false });
        }
        for p in &config.pools {
            let group = config.group_index(&p.group).unwrap();
            self.add_pool(p.name.clone(), group, p.connection_monitor.get(), 0);
        }
        for device in config.devices() {
            self.pools[usize::from(device.pool)].devices += 1;
        }
        Ok(())
    }
    pub(crate) fn nodes(&mut self, names: &[&str]) -> Outcome {
        let all: Vec<NodeName> = names.iter().map(|n| node(n)).collect();
        self.publisher = all.first().cloned();
        for name in &all {
            let life = NodeLife { node: name.clone(), incarnation: Incarnation(1) };
            self.views.insert(name.clone(), ClusterView::first(&life, all.iter().cloned(), self.now));
            self.lives.insert(name.clone(), Incarnation(1));
            self.paces.insert(name.clone(), Pace::new(100, self.now));
        }
        Ok(())
    }
    pub(crate) fn group(&mut self, name: &str, rest: &[&str]) -> Outcome {
        let (policy, members) = rest.split_last().unwrap();
        let policies = [Failback::Automatic, Failback::AtIdle, Failback::Manual];
        let policy = policies.into_iter().find(|p| p.word() == *policy).ok_or("no such policy")?;
        let members = members.iter().map(|m| node(m)).collect();
        self.groups.push(Group { name: GroupName::new(name).unwrap(), members, policy, asked: false });
        Ok(())
    }
    pub(crate) fn pool(&mut self, name: &str, group: &str, count: &str, secs: &str) -> Outcome {
        let group = self.groups.iter().position(|g| g.name.as_str() == group).ok_or("no such group")?;
        let monitor = Duration::from_secs(number(secs));
        self.add_pool(DevicePoolName::new(name).unwrap(), group, monitor, number(count));
        Ok(())
    }
    fn add_pool(&mut self, name: DevicePoolName, group: usize, monitor: Duration, devices: u64) {
        self.pools.push(Pool { name, group, monitor, devices, at: BTreeMap::new(), came: String::new() });
    }
    fn pool_index(&self, name: &str) -> usize {
        self.pools.iter().position(|p| p.name.as_str() == name).unwrap()
    }
    fn life(&self, name: &NodeName) -> NodeLife {
        NodeLife { node: name.clone(), incarnation: self.lives[name] }
    }
    fn is_alive(&self, name: &NodeName) -> bool {
        self.alive.get(name).copied().unwrap_or(false)
    }
    fn living(&self) -> Vec<NodeName> {
        self.views.keys().filter(|n| self.is_alive(n)).cloned().collect()
    }
    /// Any living node's view: they agree in these transcripts.
    fn view(&self) -> Option<&ClusterView> {
        self.views.iter().find(|(name, _)| self.is_alive(name)).map(|(_, view)| view)
    }
    /// Every living node sees this.
    fn see(&mut self, of: &NodeName, sight: Sight, service: Option<Service>) {
        let (now, life) = (self.now, self.lives[of]);
        for name in self.living() {
            let view = self.views.get_mut(&name).unwrap();
            let sight = if name == *of { Sight::Up } else { sight };
            view.sees(now, of, life, sight);
            if let Some(service) = service {
                view.says(now, of, service);
            }
        }
    }
}

// --- What happens to nodes ---------------------------------------------------------------------------------------------

impl World {
    pub(crate) fn all_in_service(&mut self) -> Outcome {
        let all: Vec<_> = self.views.keys().cloned().collect();
        self.alive.extend(all.iter().map(|name| (name.clone(), true)));
        all.iter().for_each(|name| self.see(name, Sight::Up, Some(Service::InService)));
        Ok(())
    }
    pub(crate) fn dies(&mut self, name: &str) -> Outcome {
        let (name, now) = (node(name), self.now);
        let dead = self.life(&name);
        self.alive.insert(name.clone(), false);
        self.see(&name, Sight::Down, None);
        let mut plans = Vec::new();
        for me in self.living() {
            let groups: Vec<_> = self.groups.iter().enumerate().map(|(i, g)| self.at_death(i, g, &dead)).collect();
            let (view, publisher) = (&self.views[&me], self.publisher.as_ref().unwrap());
            let death = Death { view, dead: &dead, cause: "silent", publisher, groups: &groups };
            plans.push(plan_death(&death));
        }
        for plan in &plans {
            let mine = plans.iter().flat_map(|p| &p.groups).filter(|g| g.mine).count();
            let routed = plan.groups.iter().filter(|g| g.next.is_some()).count();
            if plan.events != plans[0].events || mine != routed {
                return Err(format!("the survivors do not agree at {now}: {plans:#?}"));
            }
        }
        self.told = plans.first().map(|p| p.events.iter().map(|e| e.text.clone()).collect()).unwrap_or_default();
        Ok(())
    }
    fn at_death<'a>(&'a self, index: usize, group: &'a Group, dead: &NodeLife) -> GroupAtDeath<'a> {
        let mine = self.pools.iter().filter(|p| p.group == index);
        let there = mine.filter_map(|p| p.at.get(&Some(dead.clone())));
        let devices = there.map(Count::all).sum();
        GroupAtDeath { name: &group.name, members: &group.members, devices }
    }
    fn starts(&mut self, name: &str, service: Service) -> Outcome {
        let name = node(name);
        let life = self.lives.get_mut(&name).unwrap();
        life.0 += 1;
        let life = NodeLife { node: name.clone(), incarnation: *life };
        let all: Vec<_> = self.views.keys().cloned().collect();
        let mut fresh = ClusterView::first(&life, all.iter().cloned(), self.now);
        for other in all.iter().filter(|n| self.is_alive(n)) {
            let service = self.views[other].node(other).unwrap().service;
            fresh.sees(self.now, other, self.lives[other], Sight::Up);
            fresh.says(self.now, other, service);
        }
        self.views.insert(name.clone(), fresh);
        self.alive.insert(name.clone(), true);
        self.see(&name, Sight::Up, Some(service));
        Ok(())
    }
    pub(crate) fn returns(&mut self, name: &str) -> Outcome {
        self.starts(name, Service::InService)
    }
    pub(crate) fn joins(&mut self, name: &str) -> Outcome {
        self.starts(name, Service::Joining)
    }
    pub(crate) fn drains(&mut self, name: &str) -> Outcome {
        self.see(&node(name), Sight::Up, Some(Service::Draining));
        Ok(())
    }
    pub(crate) fn silent(&mut self, name: &str) -> Outcome {
        self.see(&node(name), Sight::Suspect, None);
        Ok(())
    }
    /// In the same life: a flap, or a suspicion that passes.
    pub(crate) fn heard(&mut self, name: &str) -> Outcome {
        self.alive.insert(node(name), true);
        self.see(&node(name), Sight::Up, None);
        Ok(())
    }
}

// --- What devices do ---------------------------------------------------------------------------------------------------

impl World {
    fn admit(&self, pool: usize, at: &NodeName, known: Option<&NodeLife>) -> Option<Verdict> {
        let members = &self.groups[self.pools[pool].group].members;
        let view = self.views.get(at).filter(|_| self.is_alive(at))?;
        Some(admit(&Request { members, view, known, random: 0 }))
    }
    fn shift(&mut self, pool: usize, from: &Option<NodeLife>, to: &NodeName, count: Count) {
        let to = Some(self.life(to));
        let pool = &mut self.pools[pool];
        let there = pool.at.get_mut(from).unwrap();
        there.sub(count);
        if there.all() == 0 {
            pool.at.remove(from);
        }
        pool.at.entry(to).or_default().add(count);
    }
    /// Devices that register at `at`; false when they are not taken.
    fn register(&mut self, pool: usize, from: &Option<NodeLife>, at: &NodeName, count: Count) -> bool {
        let Some(Verdict::Accept { kind, reason, .. }) = self.admit(pool, at, from.as_ref()) else { return false };
        self.pools[pool].came = format!("{} {reason}", word(&kind));
        self.shift(pool, from, at, count);
        true
    }
    pub(crate) fn all_at_home(&mut self) -> Outcome {
        for pool in 0..self.pools.len() {
            let (devices, home) = (self.pools[pool].devices, self.groups[self.pools[pool].group].members[0].clone());
            let all = Count::idle(devices);
            self.pools[pool].at.insert(None, all);
            if !self.register(pool, &None, &home, all) {
                return Err(format!("{home} does not take its devices"));
            }
        }
        Ok(())
    }
    /// Devices whose node is dead find out, and try their list from the top.
    pub(crate) fn devices_register(&mut self) -> Outcome {
        for pool in 0..self.pools.len() {
            let places: Vec<_> = self.pools[pool].at.iter().map(|(at, count)| (at.clone(), *count)).collect();
            for (at, count) in places {
                let served =
                    at.as_ref().is_some_and(|l| self.is_alive(&l.node) && self.lives[&l.node] == l.incarnation);
                let members = self.groups[self.pools[pool].group].members.clone();
                if !served && !members.iter().any(|m| self.register(pool, &at, m, count)) && at.is_some() {
                    let nowhere = self.pools[pool].at.remove(&at).unwrap();
                    self.pools[pool].at.entry(None).or_default().add(nowhere);
                }
            }
        }
        Ok(())
    }
    pub(crate) fn one_registers(&mut self, pool: &str, at: &str) -> Outcome {
        let (pool, at) = (self.pool_index(pool), node(at));
        let from = self.pools[pool].at.keys().next().cloned().unwrap();
        let verdict = self.admit(pool, &at, from.as_ref()).ok_or("that node is dead")?;
        let list = |nodes: &[NodeName]| nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(" ");
        self.verdict = match &verdict {
            Verdict::Accept { rank, kind, reason } => {
                format!("accepted at rank {rank} by {} because {reason}", word(kind))
            }
            Verdict::NotInGroup { members } => format!("sent to {}", list(members)),
            Verdict::Draining { others } => format!("sent to {}", list(others)),
            Verdict::Joining { .. } | Verdict::Later { .. } => "told to come back".to_owned(),
        };
        if matches!(verdict, Verdict::Accept { .. }) {
            self.shift(pool, &from, &at, Count::idle(1));
        }
        Ok(())
    }
    pub(crate) fn calls_begin(&mut self, count: &str, pool: &str, at: &str) -> Outcome {
        let (index, at) = (self.pool_index(pool), Some(self.life(&node(at))));
        let there = self.pools[index].at.get_mut(&at).ok_or("no device there")?;
        there.idle -= number(count);
        there.busy += number(count);
        Ok(())
    }
    pub(crate) fn calls_end(&mut self) -> Outcome {
        for count in self.pools.iter_mut().flat_map(|p| p.at.values_mut()) {
            *count = Count::idle(count.all());
        }
        Ok(())
    }
    pub(crate) fn operator(&mut self, group: &str) -> Outcome {
        self.groups.iter_mut().filter(|g| g.name.as_str() == group).for_each(|g| g.asked = true);
        Ok(())
    }
    /// Time passes in ticks of 100 ms; each node calls its devices home as the rules say.
    pub(crate) fn pass(&mut self, secs: &str) -> Outcome {
        self.went_home = 0;
        for _ in 0..number(secs) * 10 {
            self.now += Duration::from_millis(100);
            for me in self.living() {
                for group in 0..self.groups.len() {
                    self.call_home(&me, group);
                }
            }
        }
        Ok(())
    }
    fn call_home(&mut self, me: &NodeName, group: usize) {
        let (plan, pools) = self.plan(me, group, true);
        let here = Some(self.life(me));
        let mut most = u64::from(plan.most);
        for ready in &plan.ready {
            let (pool, rank) = (pools[ready.pool], ready.rank);
            let there = self.pools[pool].at.get(&here).copied().unwrap_or_default();
            let home = self.groups[group].members[rank.position()].clone();
            // A device with a call that is told to go does so when the call has ended: `calls_end` makes it idle.
            if plan.busy_too && there.busy > 0 {
                let told = there.busy.min(most);
                let there = self.pools[pool].at.get_mut(&here).unwrap();
                there.busy -= told;
                there.called += told;
                most -= told;
            }
            let count = Count::idle(there.idle.min(most));
            if count.idle > 0 && self.register(pool, &here, &home, count) {
                most -= count.idle;
                self.went_home += count.idle;
            }
        }
        self.paces.get_mut(me).unwrap().give_back(u32::try_from(most).unwrap());
    }
    fn plan(&mut self, me: &NodeName, group: usize, take: bool) -> (tandem_rules::failback::FailbackPlan, Vec<usize>) {
        let here = Some(self.life(me));
        let (g, view, now) = (&self.groups[group], &self.views[me], self.now);
        let pools: Vec<usize> = (0..self.pools.len()).filter(|p| self.pools[*p].group == group).collect();
        let counts = |pool: &usize| {
            let Pool { name, monitor, at, .. } = &self.pools[*pool];
            let count = at.get(&here).copied().unwrap_or_default();
            PoolHere { name, monitor: *monitor, idle: count.idle, busy: count.busy + count.called }
        };
        let scene: Vec<_> = pools.iter().map(counts).collect();
        let Group { name, members, policy, asked } = g;
        let scene = GroupHere { name, members, policy: *policy, asked: *asked, pools: &scene };
        let pace = self.paces.get_mut(me).unwrap();
        let plan = if take {
            plan_failback(&scene, view, now, pace)
        } else {
            plan_failback(&scene, view, now, &mut pace.clone())
        };
        (plan, pools)
    }
}

fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Register => "register",
        Kind::Refresh => "refresh",
        Kind::Failover { .. } => "failover",
        Kind::Failback { .. } => "failback",
        Kind::Move { .. } => "move",
    }
}

// --- What is found -----------------------------------------------------------------------------------------------------

impl World {
    pub(crate) fn was_told(&mut self, text: &str) -> Outcome {
        match self.told.pop_front() {
            Some(told) if told == text => Ok(()),
            Some(told) => Err(format!("told instead: {told}")),
            None => Err("nothing more was told".to_owned()),
        }
    }
    pub(crate) fn told_nothing_more(&self) -> Outcome {
        self.told.front().map_or(Ok(()), |told| Err(format!("told: {told}")))
    }
    pub(crate) fn went_home_at_most(&self, count: &str) -> Outcome {
        if self.went_home <= number(count) { Ok(()) } else { Err(format!("{} went home", self.went_home)) }
    }
    pub(crate) fn last_verdict(&self) -> String {
        self.verdict.clone()
    }
    pub(crate) fn came(&self, pool: &str) -> String {
        self.pools[self.pool_index(pool)].came.clone()
    }
    pub(crate) fn served_by(&self, name: &str) -> String {
        let here = Some(self.life(&node(name)));
        let count = |p: &Pool| p.at.get(&here).map(|c| format!("{}={}", p.name, c.all()));
        let all: Vec<_> = self.pools.iter().filter_map(count).filter(|_| self.is_alive(&node(name))).collect();
        if all.is_empty() { "nobody".to_owned() } else { all.join(" ") }
    }
    pub(crate) fn homeless(&self, pool: &str) -> String {
        let count = self.pools[self.pool_index(pool)].at.get(&None).copied().unwrap_or_default();
        format!("{pool}={}", count.all())
    }
    /// Who routes calls to a pool's devices, as every living node sees it.
    pub(crate) fn routes(&self, pool: &str, name: impl Fn(Route<'_>) -> String) -> Result<String, String> {
        let pool = &self.pools[self.pool_index(pool)];
        let members = &self.groups[pool.group].members;
        let mut found = Vec::new();
        for owner in pool.at.keys().flatten() {
            let seen = self.living().into_iter().map(|me| name(route(owner, members, &self.views[&me])));
            found.extend(seen);
        }
        found.dedup();
        match &found[..] {
            [one] => Ok(one.clone()),
            [] => Ok("nobody".to_owned()),
            several => Err(format!("views or devices differ: {several:?}")),
        }
    }
    pub(crate) fn waits(&mut self, pool: &str, at: &str) -> String {
        let index = self.pool_index(pool);
        // Only this pool: the others of its group wait for reasons of their own.
        let monitor = self.pools[index].monitor;
        let (plan, _) = self.plan(&node(at), self.pools[index].group, false);
        let single = plan.waits.iter().map(ToString::to_string).collect::<Vec<_>>();
        let own = match &single[..] {
            [one] => return one.clone(),
            several => several,
        };
        let long = monitor > Duration::from_secs(120);
        own.iter().find(|w| w.contains("in sync") == long).cloned().unwrap_or_default()
    }
    pub(crate) fn token(&mut self, pool: &str, at: &str) -> &'static str {
        let (pool, me) = (&self.pools[self.pool_index(pool)], node(at));
        let group = &self.groups[pool.group];
        let served = pool.at.keys().flatten().find(|l| l.node != me);
        let ask = Ask {
            members: &group.members,
            policy: group.policy,
            asked: group.asked,
            monitor: pool.monitor,
            at: served,
            view: &self.views[&me],
            random: 0,
        };
        match grant_token(&ask, self.now, self.paces.get_mut(&me).unwrap()) {
            Token::Come => "may",
            Token::Later(_) => "must",
            Token::NotInGroup => "not",
        }
    }
    /// What must hold after every line.
    pub(crate) fn invariants(&self) -> Outcome {
        for pool in self.pools.iter().filter(|p| !p.at.is_empty()) {
            let members = &self.groups[pool.group].members;
            invariants::group_well_formed(members).map_err(|b| b.to_string())?;
            let all: u64 = pool.at.values().map(Count::all).sum();
            if all != pool.devices {
                return Err(format!("{} has {all} devices, should have {}", pool.name, pool.devices));
            }
            let Some(view) = self.view() else { continue };
            let device = DeviceName::new(&format!("any-of-{}", pool.name)).unwrap();
            for owner in pool.at.keys().flatten().filter(|l| view.is_life_alive(l)) {
                // Its own path may be broken, so only membership is asked for here.
                let at_all =
                    invariants::at_best_reachable_member(&device, members, &owner.node, view, |n| *n == owner.node);
                at_all.map_err(|b| b.to_string())?;
            }
        }
        Ok(())
    }
}
