//! What follows from a change: which devices have to be looked at where they are registered, and what people are told beforehand.

use super::{Directory, Mark};
use crate::locator::DeviceIndex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tandem_base::NodeName;
use tandem_model::admin::config::{IMPACT_EXAMPLES_MAX, Impact};
use tandem_model::config::Config;
use tandem_rules::impact::{Restart, Tally, effect, restarts};

/// What has to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Devices that came, went, or changed their pool, by number.
    pub devices: Vec<DeviceIndex>,
    /// Whether a group has other members, or a pool another group: then every registered device is looked at.
    pub places: bool,
}

/// A change that has been worked into a directory.
#[derive(Clone)]
pub struct Applied {
    /// The directory from now on.
    pub directory: Arc<Directory>,
    /// What has to be looked at.
    pub effects: Arc<Effects>,
    /// The same for people.
    pub impact: Impact,
}

/// A change that is more than a patch: the directory has to be made anew from the whole configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the directory must be made anew: {0}")]
pub struct NeedsRebuild(pub String);

impl Directory {
    /// The directory of a whole configuration, after this one. It may take a second for a million devices.
    pub fn rebuilt(&self, mark: Mark, config: &Config) -> Applied {
        let directory = Self { mark, ..Self::build(config, &self.interner, Some(self)) };
        let effects = self.effects_until(&directory);
        let mut why = self.restarts_until(&directory);
        if *config.cluster.name != *self.cluster || config.cluster.realm() != &*self.realm {
            why.push(Restart::Cluster);
        }
        let impact = self.impact_until(&directory, &effects, &why);
        Applied { directory: Arc::new(directory), effects: Arc::new(effects), impact }
    }

    /// The same configuration under another mark, whoever publishes it: nobody has to look at anything.
    pub fn under(&self, mark: Mark, publisher: Option<&NodeName>) -> Applied {
        let publisher = publisher.and_then(|n| self.node_index(n)).unwrap_or(self.publisher);
        let directory = Arc::new(Self { mark, publisher, ..self.clone() });
        let (effects, impact) = (Arc::default(), Tally::default().finish());
        Applied { directory, effects, impact }
    }
    /// What a whole configuration would do. Nothing is kept of it.
    pub fn foresee_rebuilt(&self, config: &Config) -> Impact {
        let trial = Self { interner: Arc::new(self.interner.trial()), ..self.clone() };
        trial.rebuilt(self.mark, config).impact
    }
    /// What has to be looked at by whoever has this one and gets another, however many changes are between them.
    pub fn until(&self, directory: &Arc<Self>) -> Applied {
        let effects = self.effects_until(directory);
        let impact = self.impact_until(directory, &effects, &[]);
        Applied { directory: Arc::clone(directory), effects: Arc::new(effects), impact }
    }

    /// What differs, found by a walk over both.
    fn effects_until(&self, after: &Self) -> Effects {
        let all = (0..self.bound().max(after.bound())).map(DeviceIndex);
        let devices = all.filter(|d| self.pool_of(*d) != after.pool_of(*d)).collect();
        Effects { devices, places: self.places_differ(after) }
    }

    /// Whether a pool that both have is another place in one of them.
    pub(super) fn places_differ(&self, after: &Self) -> bool {
        after.live_pools().any(|(pool, _)| self.place_differs(after, pool))
    }
    fn place_differs(&self, after: &Self, pool: u16) -> bool {
        let place = |d: &Self| {
            let pool = d.pools.get(usize::from(pool)).filter(|p| !p.gone)?;
            Some((pool.group, d.groups.get(usize::from(pool.group))?.members.clone()))
        };
        let before = place(self);
        before.is_some() && before != place(after)
    }

    /// What running processes do not take over, as far as it can be seen in two directories.
    pub(super) fn restarts_until(&self, after: &Self) -> Vec<Restart> {
        let mut all = Vec::new();
        for (index, node) in after.nodes.iter().enumerate() {
            let gone = |d: &Self| d.nodes_gone.get(index).copied().unwrap_or(true);
            match (gone(self), gone(after)) {
                (true, false) => all.push(Restart::Added(node.clone())),
                (false, true) => all.push(Restart::Removed(node.clone())),
                (false, false) if self.addresses.get(index) != after.addresses.get(index) => {
                    all.push(Restart::Moved(node.clone()));
                }
                _ => {}
            }
        }
        all.extend(restarts(&self.settings, &after.settings));
        if after.names_left_out {
            all.push(Restart::Names);
        }
        all
    }

    /// The same for people. Who is registered where is not known here: every device counts as if it were at home.
    pub(super) fn impact_until(&self, after: &Self, effects: &Effects, restart: &[Restart]) -> Impact {
        let mut moves: BTreeMap<(u16, Option<u16>), (u64, Vec<DeviceIndex>)> = BTreeMap::new();
        let mut looked_at: BTreeMap<u16, u32> = BTreeMap::new();
        for device in &effects.devices {
            let now = after.pool_of(*device);
            if let Some(now) = now {
                *looked_at.entry(now).or_default() += 1;
            }
            let Some(before) = self.pool_of(*device) else { continue };
            let (count, some) = moves.entry((before, now)).or_default();
            *count += 1;
            if some.len() < IMPACT_EXAMPLES_MAX {
                some.push(*device);
            }
        }
        let mut tally = Tally::default();
        for ((before, now), (count, some)) in &moves {
            let names = some.iter().map(|d| self.name_text(*d).to_owned());
            self.add_effect(after, *before, *now, *count, names, &mut tally);
        }
        let pools = after.live_pools().filter(|(pool, _)| effects.places && self.place_differs(after, *pool));
        for (pool, _) in pools {
            let others = looked_at.get(&pool).copied().unwrap_or(0);
            let count = u64::from(after.devices_of_pool(pool).saturating_sub(others));
            let untouched =
                |d: &DeviceIndex| after.pool_of(*d) == Some(pool) && effects.devices.binary_search(d).is_err();
            // Looked for only as far as they are taken.
            let names = after.devices().filter(untouched).map(|d| after.name_text(d).to_owned());
            self.add_effect(after, pool, Some(pool), count, names, &mut tally);
        }
        restart.iter().for_each(|why| tally.restart(why));
        tally.finish()
    }

    fn add_effect(
        &self,
        after: &Self,
        before: u16,
        now: Option<u16>,
        devices: u64,
        names: impl Iterator<Item = String>,
        tally: &mut Tally,
    ) {
        let members =
            |d: &Self, pool: u16| d.pools.get(usize::from(pool)).map(|p| d.members(p.group)).unwrap_or_default();
        let members_before = members(self, before);
        let members_now = now.map(|pool| members(after, pool)).unwrap_or_default();
        let place_before = self.place(before, &members_before);
        let place_now = now.and_then(|pool| after.place(pool, &members_now));
        if let Some(home) = members_before.first() {
            tally.add(effect(place_before.as_ref(), place_now.as_ref(), home), devices, names);
        }
    }
}
