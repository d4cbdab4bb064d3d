//! A cluster that was off as a whole: what its nodes find in their files is a promise. A phone whose registration stands in a file that survived,
//! and has time left, is known again before it has refreshed: to the node that it is of, or as an orphan while that node stays away.
//!
//! It reads what stations found and what they hold, and changes nothing.

use crate::copies::Moment;
use crate::station::Station;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tandem::locator::DeviceIndex;
use tandem_base::{NodeLife, Stamp, Time};
use tandem_cluster::NodeState;
use tandem_rules::invariants::Broken;

/// Less than this is left of a registration: it may as well be gone.
const NEARLY_OVER: Duration = Duration::from_secs(2);
/// A peer that was seen for less may not have been asked for its file.
const JUST_COME: Duration = Duration::from_millis(500);
/// Nodes that begin later than this after the first do not ask each other.
const TOGETHER: Duration = Duration::from_secs(20);

/// A registration in a file.
#[derive(Debug)]
struct Promise {
    device: usize,
    stamp: Stamp,
    /// Of which node's which life.
    owner: NodeLife,
    /// When it ends, in the time of the run.
    until: Time,
}

/// See the module. Since the moment at which no node lived.
#[derive(Debug)]
pub struct Cold {
    since: Time,
    /// The newest registration of each device then.
    newest: Vec<Stamp>,
    /// By node: what its first life since then has found.
    found: BTreeMap<usize, Vec<Promise>>,
    /// Nodes that have served since then: what stood in their files has been taken up, and from then on peers know it.
    entered: BTreeSet<usize>,
    kept: u64,
}

impl Cold {
    /// No node lives any more.
    pub fn begins(now: Time, newest: Vec<Stamp>) -> Self {
        Self { since: now, newest, found: BTreeMap::new(), entered: BTreeSet::new(), kept: 0 }
    }
    /// How many promises were kept.
    pub fn kept(&self) -> u64 {
        self.kept
    }
    /// A node has begun a life.
    pub fn starts(&mut self, now: Time, node: usize, station: &Station, directory: &tandem::directory::Directory) {
        let Some(local) = station.clock().map(|clock| clock.now()) else { return };
        let mut promises = Vec::new();
        for set in station.found() {
            for row in set.rows.iter().filter_map(|row| row.registration()) {
                let Some(device) = directory.find_key(row.device) else { continue };
                let micros = i64::try_from(row.expires.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
                let here = Time::from_micros(u64::try_from(micros.saturating_sub(set.clock_ahead_micros)).unwrap_or(0));
                let until = now + here.since(local);
                promises.push(Promise { device: device.0 as usize, stamp: row.stamp, owner: set.owner.clone(), until });
            }
        }
        self.found.entry(node).or_insert(promises);
    }

    /// The file of a node was spoilt: nothing in it is a promise any more.
    pub fn spoilt(&mut self, node: usize) {
        self.found.insert(node, Vec::new());
    }

    /// A node begins to serve, for the first time since then.
    ///
    /// # Errors
    /// A promise that it does not keep.
    pub fn enters(&mut self, node: usize, stations: &mut [Station], moment: &Moment<'_>) -> Result<(), Broken> {
        let Some(Some(mine)) = moment.facts.get(node) else { return Ok(()) };
        let Some(began) = stations.get(node).and_then(Station::began).filter(|began| *began >= self.since) else {
            return Ok(());
        };
        if !self.entered.insert(node) {
            return Ok(());
        }
        let quiet = moment.calm_since.is_some_and(|calm| calm <= began);
        let local = stations.get(node).and_then(Station::clock).map(|c| c.now()).unwrap_or_default();
        let devices = (0..u32::try_from(moment.directory.len()).unwrap_or(u32::MAX)).map(DeviceIndex).collect();
        let Some(copies) = stations.get_mut(node).and_then(|station| station.copies(devices)) else { return Ok(()) };
        for (from, promises) in &self.found {
            // Its own file, or that of a peer which it has seen for long enough.
            let peer = moment.facts.get(*from).and_then(Option::as_ref);
            let asked = peer.is_some_and(|peer| {
                let seen = mine.overview.view.node(&peer.me.node);
                let long =
                    seen.is_some_and(|seen| local >= seen.since + JUST_COME && seen.incarnation == peer.me.incarnation);
                let began = stations.get(*from).and_then(Station::began).unwrap_or_default();
                long && (moment.joined)(node, *from) && quiet && moment.now.since(began) < TOGETHER
            });
            for promise in promises.iter().filter(|promise| (moment.is_settled)(promise.device)) {
                let own = promise.owner.node == mine.me.node;
                // A node that has served since has its rows in its newer life: what a file tells of the one before is past.
                let owner = moment.directory.node_index(&promise.owner.node).map(usize::from);
                let past = owner.is_some_and(|owner| self.entered.contains(&owner));
                let away = || !past && is_away(&promise.owner, mine, moment);
                let concerns = if *from == node { own || away() } else { own && asked };
                if !concerns || promise.until <= moment.now + NEARLY_OVER {
                    continue;
                }
                let held = mine.here.get(promise.device).copied().flatten().map(|(stamp, _)| stamp);
                let copy = copies.get(promise.device).and_then(Option::as_ref).map(|copy| copy.row.stamp);
                // As an orphan it may be from another file, and a little older.
                let known = held.max(copy).is_some_and(|stamp| stamp >= promise.stamp || !own);
                let since = self.newest.get(promise.device).copied().unwrap_or_default();
                let moved = moment.history.newest_elsewhere(None, promise.device) > since;
                let left = moment.history.has_left(promise.device, promise.stamp);
                if !(known || moved || left) {
                    let (me, owner, until) = (&mine.me, &promise.owner, promise.until);
                    let (name, stamp) = (moment.name(promise.device), promise.stamp);
                    let how = format!(
                        "{me} serves and does not know {name} since {stamp:?}, which stands in the file of {from} as registered at {owner} \
                         until {until}: it holds {held:?} and has a copy since {copy:?}"
                    );
                    return Err(Broken { rule: "files_are_taken_up", how });
                }
                self.kept += 1;
            }
        }
        Ok(())
    }
}

/// Whether a node has not been heard since the life that the file tells of.
fn is_away(owner: &NodeLife, mine: &crate::facts::Facts, moment: &Moment<'_>) -> bool {
    let lives =
        moment.facts.iter().flatten().any(|f| f.me.node == owner.node && f.overview.state != NodeState::Draining);
    let heard = mine.overview.view.node(&owner.node).is_some_and(|seen| seen.incarnation > owner.incarnation);
    !lives && !heard
}
