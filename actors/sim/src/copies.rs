//! Whether the nodes' copies of each other's registrations are equal, row by row, and not only by the digests that they trust; whether a
//! node that begins to serve has them; whether a dead node's rows stay for as long as they must.
//!
//! It compares what nodes answer with what their owners hold. It must never change anything.

use crate::facts::Facts;
use crate::history::History;
use crate::station::Station;
use std::collections::BTreeSet;
use std::time::Duration;
use tandem::call_manager::queries::Copy;
use tandem::directory::Directory;
use tandem::locator::DeviceIndex;
use tandem_base::{Incarnation, NodeLife, Time};
use tandem_model::view::Service;
use tandem_rules::invariants::Broken;

/// A row younger than this may still be on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(500);
/// Where frames are lost a row may be missing for as long as it takes to notice that: a heartbeat that comes, before silence is death.
const UNNOTICED: Duration = Duration::from_millis(1_500);

/// Where copies and rows differ: (observer, device), and how.
pub type Differences = BTreeSet<(usize, usize, String)>;

/// What is compared: one moment of a run.
pub struct Moment<'a> {
    /// Now.
    pub now: Time,
    /// The configuration.
    pub directory: &'a Directory,
    /// By node: its facts, when it runs.
    pub facts: &'a [Option<Facts>],
    /// Whether the place of a device is the same at all nodes and has always been.
    pub is_settled: &'a dyn Fn(usize) -> bool,
    /// What has been seen so far.
    pub history: &'a History,
    /// Since when there has been no fault between nodes.
    pub calm_since: Option<Time>,
    /// Whether two nodes hear each other.
    pub joined: &'a dyn Fn(usize, usize) -> bool,
}

impl Moment<'_> {
    /// Who holds a device with the newest stamp, but for one node.
    fn owner(&self, device: usize, but: usize) -> Option<(usize, &Facts, tandem_base::Stamp)> {
        let others = self.facts.iter().enumerate().filter(|(n, _)| *n != but);
        let held = others.filter_map(|(n, f)| f.as_ref().and_then(|f| Some((n, f, (*f.here.get(device)?)?.0))));
        held.max_by_key(|(_, _, stamp)| *stamp)
    }
    /// What a device is called.
    pub fn name(&self, device: usize) -> String {
        let name = self.directory.name(DeviceIndex(u32::try_from(device).unwrap_or(u32::MAX)));
        name.map_or_else(|| format!("device {device}"), |n| n.to_string())
    }
}

/// What was seen at the last look.
#[derive(Debug, Default)]
pub struct Looks {
    differed: Differences,
    /// By node: its life and its copies then.
    before: Vec<Option<Seen>>,
}

#[derive(Debug)]
struct Seen {
    me: NodeLife,
    copies: Vec<Option<Copy>>,
}

impl Looks {
    /// What differed at the last look.
    pub fn differed(&self) -> &Differences {
        &self.differed
    }

    /// Compares what each running node holds with the copies that every other running node has. What differed at the last look too is
    /// returned.
    ///
    /// # Errors
    /// A node that runs and does not answer; a dead node's row that has gone without a reason.
    pub fn look(&mut self, stations: &mut [Station], moment: &Moment<'_>) -> Result<Option<String>, Broken> {
        let mut found = Differences::new();
        self.before.resize_with(stations.len(), || None);
        for (observer, station) in stations.iter_mut().enumerate() {
            let Some(Some(mine)) = moment.facts.get(observer) else { continue };
            let copies = all_copies(station, moment)?;
            if !mine.overview.complete {
                found.insert((observer, usize::MAX, format!("{} has copies that are not complete", mine.me)));
            }
            for (device, copy) in copies.iter().enumerate().filter(|(device, _)| (moment.is_settled)(*device)) {
                if let Some(how) = difference(device, copy.as_ref(), observer, moment) {
                    found.insert((observer, device, format!("{} {how}", mine.me)));
                }
            }
            miscounts(observer, mine, moment, &mut found);
            let clock = station.clock().map(|c| c.now()).unwrap_or_default();
            let Some(place) = self.before.get_mut(observer) else { continue };
            if let Some(before) = place.as_ref().filter(|b| b.me == mine.me) {
                orphans_stay(before, &copies, mine, clock, moment)?;
            }
            *place = Some(Seen { me: mine.me.clone(), copies });
        }
        let again = found.intersection(&self.differed).next().map(|(.., how)| how.clone());
        self.differed = found;
        Ok(again)
    }
}

fn all_copies(station: &mut Station, moment: &Moment<'_>) -> Result<Vec<Option<Copy>>, Broken> {
    let devices = (0..u32::try_from(moment.directory.len()).unwrap_or(u32::MAX)).map(DeviceIndex).collect();
    let copies = station.copies(devices);
    copies.ok_or_else(|| Broken { rule: "copies_are_equal", how: format!("{} does not answer", station.name) })
}

fn difference(device: usize, copy: Option<&Copy>, observer: usize, moment: &Moment<'_>) -> Option<String> {
    let owner = moment.owner(device, observer);
    let name = || moment.name(device);
    match (owner, copy) {
        (Some((node, ..)), _) if moment.history.age(moment.now, node, device) < ON_ITS_WAY => None,
        (Some((_, owner, stamp)), None) => {
            Some(format!("has no copy of {}, which {} holds since {stamp:?}", name(), owner.me))
        }
        (Some((_, owner, stamp)), Some(copy)) => {
            let same = copy.owner == owner.me && copy.row.stamp == stamp && !copy.orphaned;
            (!same).then(|| {
                let (at, was) = (&copy.owner, copy.row.stamp);
                format!("has {} at {at} since {was:?}, and {} holds it since {stamp:?}", name(), owner.me)
            })
        }
        (None, Some(copy)) if !copy.orphaned => {
            Some(format!("has {} at {}, which does not hold it", name(), copy.owner))
        }
        (None, _) => None,
    }
}

/// What a node counts of the others is what they hold, once their rows have arrived.
fn miscounts(observer: usize, mine: &Facts, moment: &Moment<'_>, found: &mut Differences) {
    for (peer, theirs) in moment.facts.iter().enumerate().filter(|(n, _)| *n != observer) {
        let Some(theirs) = theirs else { continue };
        let young = |d: usize| theirs.holds(d) && moment.history.age(moment.now, peer, d) < ON_ITS_WAY;
        if mine.directory.mark != theirs.directory.mark
            || (0..theirs.here.len()).any(young)
            || !mine.overview.view.is_life_alive(&theirs.me)
        {
            continue;
        }
        let (node, pools) =
            (u16::try_from(peer).unwrap_or(u16::MAX), 0..u16::try_from(moment.directory.pools.len()).unwrap_or(0));
        let pair = |pool| (mine.overview.counts.of_pool(node, pool), theirs.stock.counts.of_pool(node, pool));
        if let Some((pool, (counted, held))) = pools.map(|p| (p, pair(p))).find(|(_, (a, b))| a != b) {
            let how =
                format!("{} counts {counted} devices of pool {pool} at {}, which holds {held}", mine.me, theirs.me);
            found.insert((observer, usize::MAX, how));
        }
    }
}

/// A dead owner's rows stay, marked, until they are taken over, expire, or their owner is back; or it has let them go before it died.
fn orphans_stay(
    before: &Seen,
    copies: &[Option<Copy>],
    mine: &Facts,
    clock: Time,
    moment: &Moment<'_>,
) -> Result<(), Broken> {
    for (device, (was, is)) in before.copies.iter().zip(copies).enumerate().filter(|(d, _)| (moment.is_settled)(*d)) {
        let Some(was) = was.as_ref().filter(|c| c.orphaned && is.is_none()) else { continue };
        let expired = was.expires.is_none_or(|at| at <= clock + Duration::from_secs(1));
        let taken = mine.holds(device) || moment.history.newest_elsewhere(None, device) > was.row.stamp;
        let owner = moment.directory.node_index(&was.owner.node).map(usize::from);
        let given = owner.is_some_and(|n| moment.history.has_let_go(n, device, was.row.stamp));
        let back = mine.overview.view.node(&was.owner.node).is_some_and(|seen| {
            let next = seen.incarnation > was.owner.incarnation;
            // A node keeps the rows of its three youngest lives.
            let long_ago = seen.incarnation >= Incarnation(was.owner.incarnation.0.saturating_add(2));
            next && (seen.service == Service::InService || long_ago)
        });
        if !(expired || taken || given || back) {
            let (me, name, owner) = (&mine.me, moment.name(device), &was.owner);
            let how = format!("{me} has lost the row of {name} at {owner}, which is dead, before {:?}", was.expires);
            return Err(Broken { rule: "orphans_stay", how });
        }
    }
    Ok(())
}

/// A node that begins to serve has a copy of every row that the others have had for a while: those that it sees, and, when nothing
/// has gone wrong since it began, those that run.
///
/// # Errors
/// A row that it lacks.
pub fn complete_at_entry(observer: usize, station: &mut Station, moment: &Moment<'_>) -> Result<(), Broken> {
    let Some(Some(mine)) = moment.facts.get(observer) else { return Ok(()) };
    let began = station.began().unwrap_or_default();
    let quiet = moment.calm_since.is_some_and(|calm| calm <= began);
    let patience = if quiet { ON_ITS_WAY } else { UNNOTICED };
    let copies = all_copies(station, moment)?;
    for (device, copy) in copies.iter().enumerate().filter(|(device, _)| (moment.is_settled)(*device)) {
        let Some((node, theirs, stamp)) = moment.owner(device, observer) else { continue };
        let seen = mine.overview.view.is_life_alive(&theirs.me);
        let expected = (seen || quiet) && (moment.joined)(observer, node);
        let old = moment.history.age(moment.now, node, device) >= patience;
        if !expected || !old {
            continue;
        }
        if let Some((own, _)) = mine.here.get(device).copied().flatten() {
            // It has taken the device up itself, from a peer that had kept it or from its file: not against a newer row of who lives.
            if own < stamp {
                let (me, name, owner) = (&mine.me, moment.name(device), &theirs.me);
                let how = format!("{me} takes up {name} since {own:?}, which {owner} holds since {stamp:?}");
                return Err(Broken { rule: "living_rows_win", how });
            }
            continue;
        }
        let has = copy.as_ref().is_some_and(|c| c.row.stamp >= stamp);
        if !has {
            let (me, name, owner) = (&mine.me, moment.name(device), &theirs.me);
            let how = format!("{me} serves and has no copy of the row of {name} that {owner} holds since {stamp:?}");
            return Err(Broken { rule: "complete_before_service", how });
        }
    }
    Ok(())
}
