//! The invariants of DESIGN section 2, asked after every step of a run. What is true of the world comes from the simulator, what the
//! nodes believe comes from their facts, and whether a rule is broken is said by `tandem_rules::invariants` wherever it has the rule.
//!
//! A rule that may be broken for a while (a row travels, a phone has patience) has a clock per device: it is a finding only beyond its limit.

pub mod lives;
mod node;

use crate::facts::Facts;
use crate::setup::Limits;
use node::{Tables, counts_are_rows, only_members_serve};
use std::collections::BTreeMap;
use std::time::Duration;
use tandem::directory::Directory;
use tandem::locator::DeviceIndex;
use tandem_base::{DeviceName, Incarnation, NodeName, Time};
use tandem_cluster::NodeState;
use tandem_model::view::{ClusterView, Service, Sight};
use tandem_rules::invariants::{Broken, at_best_reachable_member, at_most_one_live_registration, not_homeless};

/// The world at one moment.
pub struct Picture<'a> {
    /// Now.
    pub now: Time,
    /// The configuration.
    pub directory: &'a Directory,
    /// By node: its facts, when it runs.
    pub facts: &'a [Option<Facts>],
    /// By node: whether its facts are newer than those of the last picture.
    pub fresh: &'a [bool],
    /// Whether the place of a device is the same at all nodes and has always been.
    pub is_settled: &'a dyn Fn(usize) -> bool,
    /// Whether a device's phone is switched on.
    pub is_on: &'a dyn Fn(usize) -> bool,
    /// Who really runs, and serves by its own word.
    pub truth: &'a ClusterView,
    /// Whether a device's phone reaches a node.
    pub reaches: &'a dyn Fn(usize, usize) -> bool,
    /// Whether two nodes hear each other.
    pub joined: &'a dyn Fn(usize, usize) -> bool,
    /// Where a device's phone believes it is registered.
    pub feels: &'a dyn Fn(usize) -> Option<usize>,
    /// Whether anything but the time is different from the last picture: a registration, a view, a path.
    pub changed: bool,
    /// Since when there is no cut, hang or loss between nodes; `None` while there is one.
    pub calm_since: Option<Time>,
}

#[derive(Clone, Default)]
struct Clocks {
    duplicate: Option<Time>,
    homeless: Option<Time>,
    misplaced: Option<Time>,
    best: Option<NodeName>,
    estranged: Option<Time>,
    /// It is to be looked at although nothing has changed: a clock runs, or two nodes hold it.
    open: bool,
}

struct About {
    name: DeviceName,
    members: Vec<NodeName>,
    /// The members by their places in the directory.
    nodes: Vec<usize>,
}

impl About {
    fn node(&self, name: &NodeName) -> Option<usize> {
        self.nodes.get(self.members.iter().position(|m| m == name)?).copied()
    }
}

/// The longest that each rule was broken without being a finding: how much of its limit was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worst {
    /// See [`Limits::duplicate`].
    pub duplicate: Duration,
    /// See [`Limits::homeless`].
    pub homeless: Duration,
    /// See [`Limits::misplaced`].
    pub misplaced: Duration,
    /// See [`Limits::estranged`].
    pub estranged: Duration,
    /// See [`Limits::settle`].
    pub unseen: Duration,
}

/// See the module.
pub struct Checks {
    limits: Limits,
    about: Vec<About>,
    clocks: Vec<Clocks>,
    /// By observer and node: the newest life seen, and the observer's own life then.
    newest: BTreeMap<(usize, NodeName), (Incarnation, Incarnation)>,
    /// By observer and node: since when it is seen otherwise than it is.
    unseen: BTreeMap<(usize, usize), Time>,
    /// By observer and node: how it was seen last.
    sights: BTreeMap<(usize, usize), (Incarnation, Sight)>,
    tables: Tables,
    asked: u64,
    worst: Worst,
}

/// Duplicates may last so many times longer while frames between nodes are lost or a node hangs.
const WHILE_LOST: u32 = 10;

fn broken(rule: &'static str, how: String) -> Broken {
    Broken { rule, how }
}

impl Checks {
    /// For the devices of a directory.
    pub fn new(directory: &Directory, limits: Limits) -> Self {
        let index = |i: usize| DeviceIndex(u32::try_from(i).unwrap_or(u32::MAX));
        let about = (0..directory.len()).filter_map(|i| {
            let members = directory.members(directory.group_of(index(i))?);
            let nodes = members.iter().filter_map(|m| directory.node_index(m)).map(usize::from).collect();
            Some(About { name: directory.name(index(i))?, members, nodes })
        });
        let about: Vec<_> = about.collect();
        let clocks = vec![Clocks::default(); about.len()];
        Self {
            limits,
            about,
            clocks,
            newest: BTreeMap::new(),
            unseen: BTreeMap::new(),
            sights: BTreeMap::new(),
            tables: Tables::default(),
            asked: 0,
            worst: Worst::default(),
        }
    }
    /// How often the invariants were asked.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// What was tolerated.
    pub fn worst(&self) -> Worst {
        self.worst
    }

    /// Asks every invariant.
    ///
    /// # Errors
    /// The first that is broken.
    pub fn ask(&mut self, picture: &Picture<'_>) -> Result<(), Broken> {
        self.asked += 1;
        for ((index, facts), fresh) in (0_u16..).zip(picture.facts).zip(picture.fresh) {
            if let Some(facts) = facts.as_ref().filter(|_| *fresh) {
                counts_are_rows(index, facts)?;
                only_members_serve(index, facts, picture.is_settled)?;
                self.old_lives_never_win(usize::from(index), facts)?;
                self.tables.prove(facts, picture.facts)?;
                self.nobody_is_buried_alive(picture, usize::from(index), facts)?;
            }
        }
        if picture.changed || !self.unseen.is_empty() {
            self.everybody_is_seen(picture)?;
        }
        for device in 0..self.about.len() {
            if !picture.changed && self.clocks.get(device).is_some_and(|c| !c.open) {
                continue;
            }
            self.one_registration(picture, device)?;
            if (picture.is_settled)(device) {
                self.homeless(picture, device)?;
                self.best_place(picture, device)?;
                self.phone_agrees(picture, device)?;
            }
            let held = picture.facts.iter().flatten().filter(|f| f.holds(device)).count();
            if let Some(clocks) = self.clocks.get_mut(device) {
                let running = [clocks.duplicate, clocks.homeless, clocks.misplaced, clocks.estranged];
                clocks.open = held > 1 || running.iter().any(Option::is_some);
            }
        }
        Ok(())
    }

    /// A phone and the cluster mean the same node, as long as the phone reaches it and there is a node that could serve it: while its own
    /// has begun a new life and is draining, and all others are dead, it is told to wait, and nobody can tell it more (seed 987).
    fn phone_agrees(&mut self, picture: &Picture<'_>, device: usize) -> Result<(), Broken> {
        let (Some(about), Some(clocks)) = (self.about.get(device), self.clocks.get_mut(device)) else { return Ok(()) };
        let feels = (picture.feels)(device).filter(|n| (picture.reaches)(device, *n));
        let facts = feels.and_then(|n| picture.facts.get(n)?.as_ref());
        let reached = |m: &NodeName| about.node(m).is_some_and(|n| (picture.reaches)(device, n));
        let could = picture.truth.serving(&about.members).any(reached);
        let Some(facts) = facts.filter(|f| could && !f.holds(device)) else {
            clocks.estranged = None;
            return Ok(());
        };
        let since = *clocks.estranged.get_or_insert(picture.now);
        self.worst.estranged = self.worst.estranged.max(picture.now.since(since));
        if picture.now.since(since) > self.limits.estranged {
            let how = format!("{} believes since {since} that {} serves it", about.name, facts.me);
            return Err(broken("phone_agrees", how));
        }
        Ok(())
    }

    /// A node never goes back to an older life of another.
    fn old_lives_never_win(&mut self, observer: usize, facts: &Facts) -> Result<(), Broken> {
        let mine = facts.me.incarnation;
        for (node, seen) in &facts.overview.view.nodes {
            let newest = self.newest.entry((observer, node.clone())).or_insert((seen.incarnation, mine));
            if newest.1 == mine && seen.incarnation < newest.0 {
                let (me, now, then) = (&facts.me, seen.incarnation, newest.0);
                return Err(broken("old_lives_never_win", format!("{me} sees life {now} of {node} after life {then}")));
            }
            *newest = (seen.incarnation, mine);
        }
        Ok(())
    }

    /// When nothing has disturbed the nodes for long enough, no node takes another that runs for silent or dead.
    fn nobody_is_buried_alive(&mut self, picture: &Picture<'_>, observer: usize, facts: &Facts) -> Result<(), Broken> {
        let calm = picture.calm_since.is_some_and(|since| picture.now.since(since) > self.limits.settle);
        for (index, node) in picture.directory.nodes.iter().enumerate() {
            let Some(seen) = facts.overview.view.node(node) else { continue };
            let now = (seen.incarnation, seen.sight);
            let before = self.sights.insert((observer, index), now);
            let real = picture.facts.get(index).and_then(Option::as_ref).filter(|f| f.me.incarnation == now.0);
            if seen.service == Service::InService && real.is_some_and(|f| f.overview.state == NodeState::Joining) {
                let how = format!("{} sees {node} in service in life {}, which is still joining", facts.me, now.0);
                return Err(broken("nobody_serves_before_it_says_so", how));
            }
            let lives = picture.truth.node(node).is_some_and(|n| n.sight == Sight::Up && n.incarnation == now.0);
            if calm && lives && before == Some((now.0, Sight::Up)) && now.1 != Sight::Up {
                let how = format!("{} sees {node} as {:?}, and nothing has gone wrong", facts.me, now.1);
                return Err(broken("nobody_is_buried_alive", how));
            }
        }
        Ok(())
    }

    /// When nothing has disturbed the nodes for long enough, each sees every other as it is.
    fn everybody_is_seen(&mut self, picture: &Picture<'_>) -> Result<(), Broken> {
        for (observer, facts) in picture.facts.iter().enumerate() {
            for (index, node) in picture.directory.nodes.iter().enumerate() {
                let Some(facts) = facts else {
                    self.unseen.remove(&(observer, index));
                    continue;
                };
                let real = picture.truth.node(node).filter(|n| n.sight.is_alive());
                let seen = facts.overview.view.node(node);
                let same = match (real, seen) {
                    (Some(real), Some(seen)) => {
                        seen.sight == Sight::Up && seen.incarnation == real.incarnation && seen.service == real.service
                    }
                    (None, Some(seen)) => !seen.sight.is_alive(),
                    _ => false,
                };
                if same || picture.calm_since.is_none() {
                    self.unseen.remove(&(observer, index));
                    continue;
                }
                let since = *self.unseen.entry((observer, index)).or_insert(picture.now);
                let since = since.max(picture.calm_since.unwrap_or_default());
                self.worst.unseen = self.worst.unseen.max(picture.now.since(since));
                if picture.now.since(since) > self.limits.settle {
                    let how = format!("{} sees {node} as {seen:?}, and it is {real:?}, since {since}", facts.me);
                    return Err(broken("everybody_is_seen", how));
                }
            }
        }
        Ok(())
    }

    fn one_registration(&mut self, picture: &Picture<'_>, device: usize) -> Result<(), Broken> {
        let (Some(about), Some(clocks)) = (self.about.get(device), self.clocks.get_mut(device)) else { return Ok(()) };
        let mut found = None;
        let holders = || {
            picture
                .facts
                .iter()
                .enumerate()
                .filter_map(|(i, f)| Some((i, f.as_ref()?)))
                .filter(|(_, f)| f.holds(device))
        };
        for (a, one) in holders() {
            for (b, other) in holders().filter(|(b, _)| *b > a) {
                let visible = (picture.joined)(a, b)
                    && one.overview.view.is_life_alive(&other.me)
                    && other.overview.view.is_life_alive(&one.me);
                if visible {
                    found = Some((one, other));
                }
            }
        }
        let Some((one, other)) = found else {
            clocks.duplicate = None;
            return Ok(());
        };
        let since = *clocks.duplicate.get_or_insert(picture.now);
        self.worst.duplicate = self.worst.duplicate.max(picture.now.since(since));
        // While frames are lost a row is sent again and again before it arrives.
        let limit = self.limits.duplicate * if picture.calm_since.is_some() { 1 } else { WHILE_LOST };
        if picture.now.since(since.max(picture.calm_since.unwrap_or_default())) > limit {
            at_most_one_live_registration(&about.name, &[one.me.clone(), other.me.clone()], &one.overview.view)?;
        }
        Ok(())
    }

    fn homeless(&mut self, picture: &Picture<'_>, device: usize) -> Result<(), Broken> {
        let (Some(about), Some(clocks)) = (self.about.get(device), self.clocks.get_mut(device)) else { return Ok(()) };
        let reached = |n: usize| (picture.reaches)(device, n);
        let homed =
            picture.facts.iter().enumerate().any(|(n, f)| f.as_ref().is_some_and(|f| f.holds(device)) && reached(n));
        let could = picture.truth.serving(&about.members).any(|m| about.node(m).is_some_and(reached));
        if homed || !could || !(picture.is_on)(device) {
            clocks.homeless = None;
            return Ok(());
        }
        let since = *clocks.homeless.get_or_insert(picture.now);
        self.worst.homeless = self.worst.homeless.max(picture.now.since(since));
        let (members, grace) = (&about.members, self.limits.homeless);
        let reachable: Vec<_> = members.iter().filter(|m| about.node(m).is_some_and(reached)).cloned().collect();
        not_homeless(&about.name, &reachable, Some(since), picture.truth, picture.now, grace)
    }

    fn best_place(&mut self, picture: &Picture<'_>, device: usize) -> Result<(), Broken> {
        let (Some(about), Some(clocks)) = (self.about.get(device), self.clocks.get_mut(device)) else { return Ok(()) };
        let reaches = |m: &NodeName| about.node(m).is_some_and(|n| (picture.reaches)(device, n));
        let best = picture.truth.serving(&about.members).find(|m| reaches(m));
        if clocks.best.as_ref() != best {
            clocks.best = best.cloned();
            clocks.misplaced = None;
        }
        if !(picture.is_on)(device) {
            // It cannot be moved: its registration stays where it is until it expires.
            clocks.misplaced = None;
            return Ok(());
        }
        let holders = picture.facts.iter().flatten().filter(|f| f.holds(device));
        let verdicts = holders
            .filter(|f| reaches(&f.me.node))
            .map(|f| at_best_reachable_member(&about.name, &about.members, &f.me.node, picture.truth, reaches));
        match verdicts.fold(Ok(()), Result::and) {
            Ok(()) => clocks.misplaced = None,
            Err(broken) => {
                let since = *clocks.misplaced.get_or_insert(picture.now);
                self.worst.misplaced = self.worst.misplaced.max(picture.now.since(since));
                // A flap starts the monitor of whoever calls home anew.
                let (since, limit) = match picture.calm_since {
                    Some(calm) => (since.max(calm), self.limits.misplaced),
                    None => (since, self.limits.misplaced * 2),
                };
                if picture.now.since(since) > limit {
                    return Err(broken);
                }
            }
        }
        Ok(())
    }
}
