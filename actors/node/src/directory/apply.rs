//! Works changed rows into a directory: a patch over what stays.

use super::build::{addresses_of, entry, kept, no_group, no_pool, pool_in, stored};
use super::effects::{Applied, Effects, NeedsRebuild};
use super::patch::{Patch, Patched};
use super::{Directory, Mark};
use crate::locator::DeviceIndex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tandem_base::{DeviceKey, DevicePoolName, GroupName, NodeName};
use tandem_model::admin::config::{ConfigTable, Impact};
use tandem_model::config::rows::{RowChange, TypedRow, typed};
use tandem_model::config::{self, Settings};
use tandem_model::row::device_key_of;
use tandem_rules::impact::Restart;

/// Devices in a patch beyond which it is worked into a base of its own; where there are many devices, this share of them, because all are written
/// anew then.
const PATCH_MAX: usize = 4_096;
/// See [`PATCH_MAX`].
const PATCH_SHARE: usize = 8;

fn rebuild(why: impl Into<String>) -> NeedsRebuild {
    NeedsRebuild(why.into())
}

impl Directory {
    /// Works changes in. Cheap, but every so many changes all devices are written anew, which takes up to a second for a million: not for
    /// a thread that serves devices.
    ///
    /// # Errors
    /// [`NeedsRebuild`]: series, algorithms, and rows that do not fit to what is here.
    pub fn apply(&self, mark: Mark, changes: &[RowChange]) -> Result<Applied, NeedsRebuild> {
        let mut applied = self.work_in(mark, changes)?;
        let most = PATCH_MAX.max(applied.0.len() / PATCH_SHARE);
        if applied.0.patch.as_ref().is_some_and(|p| p.len() > most) {
            applied.0 = applied.0.merged();
        }
        let (directory, effects, impact) = applied;
        Ok(Applied { directory: Arc::new(directory), effects: Arc::new(effects), impact })
    }

    /// What changes would do. Nothing is kept of it.
    ///
    /// # Errors
    /// As [`Directory::apply`].
    pub fn foresee(&self, changes: &[RowChange]) -> Result<Impact, NeedsRebuild> {
        let trial = Self { interner: Arc::new(self.interner.trial()), ..self.clone() };
        trial.work_in(self.mark, changes).map(|(_, _, impact)| impact)
    }

    fn work_in(&self, mark: Mark, changes: &[RowChange]) -> Result<(Self, Effects, Impact), NeedsRebuild> {
        let mut work = Work::new(self, mark);
        // A row that changed several times is what it is at the end. What is referred to comes before what refers.
        let mut net: BTreeMap<(ConfigTable, &str), Net<'_>> = BTreeMap::new();
        for RowChange { table, key, before, after } in changes {
            let (before, after) = (before.as_ref(), after.as_ref());
            net.entry((*table, key)).and_modify(|n| n.after = after).or_insert(Net { before, after });
        }
        for ((table, key), change) in net.into_iter().filter(|(_, n)| n.before != n.after) {
            work.take(table, key, change)?;
        }
        Ok(work.finish())
    }

    /// A device by name.
    pub fn device_named(&self, name: &str) -> Option<DeviceIndex> {
        self.find_key(device_key_of(name)).filter(|d| self.name_text(*d) == name)
    }
}

/// What came of a row in the end.
struct Net<'a> {
    before: Option<&'a Fields>,
    after: Option<&'a Fields>,
}
type Fields = serde_json::Map<String, Value>;

/// A directory that is being changed.
struct Work<'a> {
    before: &'a Directory,
    after: Directory,
    devices: BTreeSet<DeviceIndex>,
    restarts: Vec<Restart>,
    places: bool,
}

impl<'a> Work<'a> {
    fn new(before: &'a Directory, mark: Mark) -> Self {
        let after = Directory { mark, ..before.clone() };
        Self { before, after, devices: BTreeSet::new(), restarts: Vec::new(), places: false }
    }

    fn take(&mut self, table: ConfigTable, key: &str, change: Net<'_>) -> Result<(), NeedsRebuild> {
        let after = change.after.map(|fields| typed(table, key, fields)).transpose();
        let after = after.map_err(|problem| rebuild(format!("{table} {key}: {}", problem.what)))?;
        match (table, after) {
            (ConfigTable::Cluster, _) => self.restarts.push(Restart::Cluster),
            (ConfigTable::Node, Some(TypedRow::Node(node))) => self.put_node(&node, &change)?,
            (ConfigTable::Node, _) => self.drop_node(key),
            (ConfigTable::Group, Some(TypedRow::Group(group))) => self.put_group(&group)?,
            (ConfigTable::Group, _) => self.drop_group(key),
            (ConfigTable::DevicePool, Some(TypedRow::Pool(pool))) => self.put_pool(&pool)?,
            (ConfigTable::DevicePool, _) => self.drop_pool(key),
            (ConfigTable::Device, Some(TypedRow::Device(device))) => self.put_device(&device)?,
            (ConfigTable::Device, _) => self.drop_device(key),
            (ConfigTable::DeviceSeries, _) => return Err(rebuild(format!("the series of devices {key}"))),
            (ConfigTable::Setting, Some(TypedRow::Setting(key, value))) => self.set(&key, Some(value))?,
            (ConfigTable::Setting, _) => self.set(key, None)?,
            (ConfigTable::User | ConfigTable::Token, _) => {}
        }
        Ok(())
    }

    fn put_node(&mut self, node: &config::Node, change: &Net<'_>) -> Result<(), NeedsRebuild> {
        let number =
            self.after.interner.node(&node.name).ok_or_else(|| rebuild("there are too many names of nodes"))?;
        let place = usize::from(number);
        let new = self.before.nodes_gone.get(place).copied().unwrap_or(true);
        // Another node of this process may have heard of others: all of them have their place.
        let names = self.after.interner.nodes();
        let here = |at: usize| at == place;
        let (old, gone) = (&self.before.addresses, &self.after.nodes_gone);
        let addresses = |at: usize| {
            let before = self.after.addresses.get(at);
            if here(at) { addresses_of(node, before.or(old.get(at))) } else { before.cloned().unwrap_or_default() }
        };
        let all: Arc<[_]> = (0..names.len()).map(addresses).collect();
        let gone = (0..names.len()).map(|at| !here(at) && gone.get(at).copied().unwrap_or(true)).collect();
        (self.after.addresses, self.after.nodes_gone, self.after.nodes) = (all, gone, names.into());
        // Where it meets its peers is not in the directory.
        let link = |fields: Option<&Fields>| fields.and_then(|f| f.get("link").cloned());
        if !new && link(change.before) != link(change.after) {
            self.restarts.push(Restart::Moved(node.name.clone()));
        }
        Ok(())
    }
    fn drop_node(&mut self, key: &str) {
        let Some(index) = NodeName::new(key).ok().and_then(|n| self.after.node_index(&n)) else { return };
        let mut gone = self.after.nodes_gone.to_vec();
        if let Some(gone) = gone.get_mut(usize::from(index)) {
            *gone = true;
        }
        self.after.nodes_gone = gone.into();
    }

    fn put_group(&mut self, group: &config::Group) -> Result<(), NeedsRebuild> {
        let number =
            self.after.interner.group(&group.name).ok_or_else(|| rebuild("there are too many names of groups"))?;
        let made = self.after.group(group);
        if made.members.len() != group.members.len() {
            return Err(rebuild(format!("a member of {} is not known", group.name)));
        }
        if self.after.groups.get(usize::from(number)) != Some(&made) {
            self.edit_groups(|groups| groups.get_mut(usize::from(number)).map(|held| *held = made));
        }
        Ok(())
    }
    fn drop_group(&mut self, key: &str) {
        let Some(index) = GroupName::new(key).ok().and_then(|n| self.after.group_index(&n)) else { return };
        self.edit_groups(|groups| groups.get_mut(usize::from(index)).map(|held| held.gone = true));
    }
    /// All groups that have a number, and one of them changed.
    fn edit_groups(&mut self, edit: impl FnOnce(&mut Vec<super::Group>) -> Option<()>) {
        let mut groups = self.after.groups.to_vec();
        groups.extend(self.after.interner.groups().into_iter().skip(groups.len()).map(no_group));
        edit(&mut groups);
        self.after.groups = groups.into();
        self.places = true;
    }

    fn put_pool(&mut self, pool: &config::DevicePool) -> Result<(), NeedsRebuild> {
        let number =
            self.after.interner.pool(&pool.name).ok_or_else(|| rebuild("there are too many names of pools"))?;
        let group = self.after.group_index(&pool.group);
        let group = group.ok_or_else(|| rebuild(format!("the group of pool {} is not known", pool.name)))?;
        let made = pool_in(pool, group);
        if self.after.pools.get(usize::from(number)) != Some(&made) {
            self.edit_pools(|pools| pools.get_mut(usize::from(number)).map(|held| *held = made));
        }
        Ok(())
    }
    fn drop_pool(&mut self, key: &str) {
        let Some(index) = DevicePoolName::new(key).ok().and_then(|n| self.after.pool_index(&n)) else { return };
        self.edit_pools(|pools| pools.get_mut(usize::from(index)).map(|held| held.gone = true));
    }
    fn edit_pools(&mut self, edit: impl FnOnce(&mut Vec<super::Pool>) -> Option<()>) {
        let mut pools = self.after.pools.to_vec();
        pools.extend(self.after.interner.pools().into_iter().skip(pools.len()).map(no_pool));
        edit(&mut pools);
        self.after.devices_by_pool.resize(pools.len(), 0);
        self.after.pools = pools.into();
        self.places = true;
    }

    fn put_device(&mut self, device: &config::Device) -> Result<(), NeedsRebuild> {
        let pool = self.after.pool_index(&device.pool);
        let pool = pool.ok_or_else(|| rebuild(format!("the pool of device {} is not known", device.name)))?;
        let name = device.name.as_str();
        let known = self.after.device_named(name).or_else(|| self.after.interner.device(device_key_of(name)));
        let index = known.ok_or_else(|| rebuild("there are too many names of devices"))?;
        let spec = device.spec(pool);
        let stored = self.kept(stored(&spec, &self.after.realm));
        let now = entry(&spec, pool, stored);
        // A change of what is for people only, and a file that founds a database, change nothing here.
        if self.after.entry(index).is_none_or(|held| !held.equals(&now)) {
            self.replace(index, Some(Patched::new(&now)));
        }
        Ok(())
    }
    /// Hashes of algorithms that are not offered are not kept.
    fn kept(&self, all: tandem_sip::digest::Stored) -> tandem_sip::digest::Stored {
        let kept = kept(&self.after.settings);
        tandem_sip::digest::Stored { md5: all.md5.filter(|_| kept.md5), sha256: all.sha256.filter(|_| kept.sha256) }
    }
    fn drop_device(&mut self, key: &str) {
        if let Some(index) = self.after.device_named(key) {
            self.replace(index, None);
        }
    }

    /// A device is so from now on, or gone.
    fn replace(&mut self, device: DeviceIndex, now: Option<Patched>) {
        let pool_before = self.after.pool_of(device);
        let pool_now = now.as_ref().map(|d| d.pool);
        let before = names(self.after.name_text(device), self.after.user(device), self.after.lines_of(device));
        let after = now.as_ref().map(|d| names(&d.name, &d.user, d.lines.iter().map(|l| &**l))).unwrap_or_default();
        for key in before.symmetric_difference(&after) {
            let mut holders = self.after.holders(*key);
            holders.retain(|held| *held != device);
            if after.contains(key) {
                let place = holders.partition_point(|held| *held < device);
                holders.insert(place, device);
            }
            self.patch().set_holders(*key, holders);
        }
        self.patch().set_device(device, now);
        if pool_before != pool_now {
            let counts = &mut self.after.devices_by_pool;
            if let Some(count) = pool_before.and_then(|p| counts.get_mut(usize::from(p))) {
                *count = count.saturating_sub(1);
            }
            if let Some(count) = pool_now.and_then(|p| counts.get_mut(usize::from(p))) {
                *count = count.saturating_add(1);
            }
            self.devices.insert(device);
        }
    }
    fn patch(&mut self) -> &mut Patch {
        self.after.patch.get_or_insert_default()
    }

    /// One setting; none is its default.
    fn set(&mut self, key: &str, value: Option<Value>) -> Result<(), NeedsRebuild> {
        let fields = |settings: &Settings| serde_json::to_value(settings).unwrap_or_default();
        let mut all = fields(&self.after.settings);
        let usual = fields(&Settings::default()).get(key).cloned();
        if let (Some(all), Some(usual)) = (all.as_object_mut(), usual) {
            all.insert(key.to_owned(), value.unwrap_or(usual));
        }
        let settings: Settings = serde_json::from_value(all).map_err(|e| rebuild(format!("setting {key}: {e}")))?;
        if kept(&settings) != kept(&self.after.settings) {
            return Err(rebuild(format!("setting {key}: other hashes are needed")));
        }
        self.after.settings = Arc::new(settings);
        Ok(())
    }

    fn finish(self) -> (Directory, Effects, Impact) {
        let Self { before, after, devices, mut restarts, places } = self;
        // A device that came and went, or moved and returned, has not moved.
        let moved = devices.into_iter().filter(|d| before.pool_of(*d) != after.pool_of(*d));
        let effects = Effects { devices: moved.collect(), places: places && before.places_differ(&after) };
        for why in before.restarts_until(&after) {
            if !restarts.contains(&why) {
                restarts.push(why);
            }
        }
        let impact = before.impact_until(&after, &effects, &restarts);
        (after, effects, impact)
    }
}

/// Everything that a device is found by.
fn names<'a>(name: &str, user: &str, lines: impl Iterator<Item = &'a str>) -> BTreeSet<DeviceKey> {
    let mut all: BTreeSet<DeviceKey> = lines.map(device_key_of).collect();
    all.extend([name, user].into_iter().filter(|text| !text.is_empty()).map(device_key_of));
    all
}
