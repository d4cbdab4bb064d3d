//! Invariants of one node at one moment: what it counts, whom it serves, what it says of its copies. None of them has patience.

use super::broken;
use crate::facts::Facts;
use std::collections::BTreeMap;
use tandem::counts::Counts;
use tandem_base::NodeLife;
use tandem_rules::invariants::Broken;

/// What a node counts and shows is what it holds: at every moment, without exception.
pub(super) fn counts_are_rows(index: u16, facts: &Facts) -> Result<(), Broken> {
    let directory = &facts.directory;
    let mut counts = Counts::default();
    let mut gauges = vec![[0_u32; 3]; directory.groups.len()];
    for (device, _, rank) in &facts.stock.here {
        let (Some(pool), Some(group)) = (directory.pool_of(*device), directory.group_of(*device)) else { continue };
        counts.add(index, pool, *rank);
        if let Some(gauge) = gauges.get_mut(usize::from(group)).and_then(|g| g.get_mut(rank.position())) {
            *gauge += 1;
        }
    }
    if counts != facts.stock.counts {
        let how = format!("{} counts {:?} and holds {counts:?}", facts.me, facts.stock.counts);
        return Err(broken("counts_are_rows", how));
    }
    if gauges != facts.stock.gauges {
        let how = format!("{} shows {:?} and holds {gauges:?}", facts.me, facts.stock.gauges);
        return Err(broken("gauges_are_rows", how));
    }
    if facts.stock.quarantined > 0 {
        let how = format!("{} keeps {} devices out", facts.me, facts.stock.quarantined);
        return Err(broken("nobody_panics", how));
    }
    Ok(())
}

/// A node holds only devices of groups that it is a member of, each once, at the rank that it has there. Where groups change, one that was a member
/// keeps a device until that has gone.
pub(super) fn only_members_serve(index: u16, facts: &Facts, is_settled: &dyn Fn(usize) -> bool) -> Result<(), Broken> {
    let directory = &facts.directory;
    let mut seen = std::collections::BTreeSet::new();
    for (device, _, rank) in &facts.stock.here {
        let name = || directory.name_text(*device);
        let own = directory.group_of(*device).and_then(|group| directory.rank(group, index));
        let leaves = own.is_none() && directory.has(*device) && !is_settled(device.0 as usize);
        if own != Some(*rank) && !leaves {
            let how = format!("{} holds {} at rank {rank}, and its rank there is {own:?}", facts.me, name());
            return Err(broken("only_members_serve", how));
        }
        if !seen.insert(device.0) {
            return Err(broken("only_members_serve", format!("{} holds {} twice", facts.me, name())));
        }
    }
    Ok(())
}

/// What is known of copies from one moment to the next: by observer and owner, the last change applied.
#[derive(Debug, Default)]
pub(super) struct Tables {
    applied: BTreeMap<(NodeLife, NodeLife), u64>,
}

impl Tables {
    /// Rows of an owner arrive in order, never more than it has written; what is called complete at the owner's own sequence has the
    /// owner's own digest.
    pub(super) fn prove(&mut self, facts: &Facts, all: &[Option<Facts>]) -> Result<(), Broken> {
        for copy in &facts.overview.copies {
            let key = (facts.me.clone(), copy.owner.clone());
            let before = self.applied.insert(key, copy.applied).unwrap_or(0);
            // Whoever finds that it has applied what was never written fetches the whole set, and begins where that begins.
            if copy.applied < before && copy.complete {
                let (me, owner, now) = (&facts.me, &copy.owner, copy.applied);
                return Err(broken(
                    "order_is_kept",
                    format!("{me} went back from change {before} of {owner} to {now}"),
                ));
            }
            let owner = all.iter().flatten().find(|f| f.me == copy.owner && f.me != facts.me);
            let Some(owner) = owner else { continue };
            let (head, digest) = owner.overview.own;
            if copy.applied > head {
                let (me, owner, applied) = (&facts.me, &copy.owner, copy.applied);
                return Err(broken(
                    "order_is_kept",
                    format!("{me} has change {applied} of {owner}, which has made {head}"),
                ));
            }
            let claims = copy.complete && !copy.orphaned;
            if claims && copy.applied == head && copy.digest != digest {
                let (me, owner, has) = (&facts.me, &copy.owner, copy.digest);
                let how = format!("{me} calls its copy of {owner} complete at change {head}: {has}, not {digest}");
                return Err(broken("complete_is_proven", how));
            }
        }
        Ok(())
    }
}
