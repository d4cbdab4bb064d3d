//! The console's questions about devices: who serves them, since when, why. Bounded by the page.

use super::Process;
use crate::call_manager::queries::{Copies, Copy};
use crate::device_host::queries::{Find, Hosted};
use crate::device_host::{Case, Release};
use crate::locator::{Alias, DeviceIndex};
use std::collections::BTreeMap;
use tandem_base::{DeviceName, DirectoryNumber, NodeLife, NodeName, UnixMillis};
use tandem_model::admin::{
    AdminError, DeviceDetail, DeviceEntry, DeviceExplanation, DevicePage, DeviceQuery, DeviceState, HISTORY_MAX,
    InQuarantine,
};
use tandem_model::row::RegistrationRow;
use tandem_model::timings::ASK_REMOTE;
use tandem_rules::placement::{Stay, Subject, explain};

/// Devices asked about at once.
const CHUNK: usize = 500;

/// What is known of one device.
#[derive(Clone, Default)]
struct Known {
    owner: Option<NodeLife>,
    row: Option<RegistrationRow>,
    orphaned: bool,
    /// Where and since when it is kept out.
    quarantined: Option<Case>,
    /// Seconds until it expires.
    expires_in: Option<u64>,
}

impl Process {
    fn name_of(&self, index: DeviceIndex) -> Option<DeviceName> {
        self.directory.name(index)
    }

    /// A device by name.
    pub(super) fn find_device(&self, name: &DeviceName) -> Result<DeviceIndex, AdminError> {
        match self.directory.find(name.as_str().as_bytes()) {
            Some(Alias::Device(index)) if self.directory.name_text(index) == name.as_str() => Ok(index),
            _ => {
                // The nearest name is looked for among the first devices only: a directory may have a million.
                let some = (0..u32::try_from(self.directory.len().min(20_000)).unwrap_or(0)).map(DeviceIndex);
                Err(AdminError::unknown("device", name.as_str(), some.map(|i| self.directory.name_text(i))))
            }
        }
    }

    /// Asks the hosts of this process, and one node's copies for the rest.
    async fn look_up(&self, devices: &[DeviceIndex]) -> Vec<Known> {
        let mut found = vec![Known::default(); devices.len()];
        let running = self.running();
        let now = self.clock.now();
        for node in &running {
            let Ok(hosted) = node.handles.host.ask(Find(devices.to_vec()), ASK_REMOTE).await else { continue };
            for (known, Hosted { row, quarantined, .. }) in found.iter_mut().zip(hosted) {
                known.quarantined = known.quarantined.or(quarantined);
                if let Some(row) = row {
                    known.expires_in = Some(row.expires.saturating_sub(now.as_secs()));
                    known.owner = Some(node.me.clone());
                    known.row = Some(row);
                }
            }
        }
        let Some(node) = running.first() else { return found };
        let Ok(copies) = node.handles.manager.ask(Copies(devices.to_vec()), ASK_REMOTE).await else { return found };
        for (known, copy) in found.iter_mut().zip(copies) {
            if let (None, Some(Copy { owner, orphaned, row, expires })) = (&known.owner, copy) {
                *known = Known {
                    owner: Some(owner),
                    row: Some(row),
                    orphaned,
                    quarantined: known.quarantined,
                    expires_in: expires.map(|at| at.since(now).as_secs()),
                };
            }
        }
        found
    }

    fn entry(&self, index: DeviceIndex, known: &Known) -> Option<DeviceEntry> {
        let pool = self.directory.pools.get(usize::from(self.directory.pool_of(index)?))?;
        let group = self.directory.groups.get(usize::from(pool.group))?;
        let row = known.row.as_ref();
        let state = match (known.quarantined.is_some(), row, known.orphaned) {
            (true, ..) => DeviceState::Quarantined,
            (_, Some(_), false) => DeviceState::Registered,
            (_, Some(_), true) => DeviceState::Orphaned,
            (_, None, _) => DeviceState::Unregistered,
        };
        Some(DeviceEntry {
            name: self.name_of(index)?,
            pool: pool.name.clone(),
            group: group.name.clone(),
            kind: self.directory.kind(index).map(|k| k.to_string()).unwrap_or_default(),
            lines: self.directory.lines_of(index).filter_map(|l| DirectoryNumber::new(l).ok()).collect(),
            state,
            node: known.owner.as_ref().map(|o| o.node.clone()),
            rank: row.map(|r| r.rank),
            since: row.map(|r| UnixMillis(u64::from(r.since) * 1_000)),
            contact: row.map(|r| r.contact.to_string()),
        })
    }

    /// `tandem device list`.
    pub(super) async fn device_page(&self, query: &DeviceQuery) -> Result<DevicePage, AdminError> {
        let wanted = query.page_size();
        let names = self.matching(query);
        let mut devices: Vec<DeviceEntry> = Vec::new();
        let mut rest = names.as_slice();
        while !rest.is_empty() && devices.len() <= wanted {
            let (now, later) = rest.split_at(rest.len().min(CHUNK));
            rest = later;
            let chunk: Vec<DeviceIndex> = now.to_vec();
            for (index, known) in chunk.iter().zip(self.look_up(&chunk).await) {
                devices.extend(self.entry(*index, &known).filter(|e| fits(e, query)));
            }
        }
        let next = (devices.len() > wanted).then(|| devices.get(wanted.saturating_sub(1)).map(|d| d.name.clone()));
        devices.truncate(wanted);
        Ok(DevicePage { devices, next: next.flatten() })
    }

    /// Devices that the configuration alone lets through, by name, behind the cursor.
    fn matching(&self, query: &DeviceQuery) -> Vec<DeviceIndex> {
        let search = query.search.as_ref().map(|s| s.to_lowercase());
        let mut found: BTreeMap<&str, DeviceIndex> = BTreeMap::new();
        for index in (0..u32::try_from(self.directory.len()).unwrap_or(u32::MAX)).map(DeviceIndex) {
            let name = self.directory.name_text(index);
            if query.cursor.as_ref().is_some_and(|c| name <= c.as_str()) {
                continue;
            }
            let pool = self.directory.pool_of(index).and_then(|p| self.directory.pools.get(usize::from(p)));
            let group = pool.and_then(|p| self.directory.groups.get(usize::from(p.group)));
            let by_pool = query.pool.as_ref().is_none_or(|p| pool.is_some_and(|x| x.name == *p));
            let by_group = query.group.as_ref().is_none_or(|g| group.is_some_and(|x| x.name == *g));
            let by_text = search.as_ref().is_none_or(|s| {
                name.to_lowercase().contains(s) || self.directory.lines_of(index).any(|l| l.starts_with(s.as_str()))
            });
            if by_pool && by_group && by_text {
                found.insert(name, index);
            }
        }
        found.into_values().collect()
    }

    async fn known(&self, index: DeviceIndex) -> Known {
        self.look_up(&[index]).await.into_iter().next().unwrap_or_default()
    }

    /// `tandem device show`.
    pub(super) async fn device_detail(&self, name: &DeviceName) -> Result<DeviceDetail, AdminError> {
        let index = self.find_device(name)?;
        let known = self.known(index).await;
        let entry = self.entry(index, &known).ok_or_else(|| AdminError::unknown("device", name.as_str(), []))?;
        let row = known.row.as_ref();
        let now = self.clock.unix_millis().0;
        let kept = |case: Case| Some(InQuarantine { node: self.directory.node(case.node)?.clone(), since: case.at });
        Ok(DeviceDetail {
            quarantine: known.quarantined.and_then(kept),
            members: self.directory.group_of(index).map(|g| self.directory.members(g)).unwrap_or_default(),
            transport: row.map(|r| r.transport.word().to_owned()),
            source: row.map(|r| r.source.to_string()),
            expires: known.expires_in.map(|secs| UnixMillis(now + secs * 1_000)),
            last_reason: row.map(|r| r.register_reason().word().to_owned()),
            entry,
        })
    }

    /// `tandem device explain`.
    pub(super) async fn device_explanation(&self, name: &DeviceName) -> Result<DeviceExplanation, AdminError> {
        let index = self.find_device(name)?;
        let known = self.known(index).await;
        let snapshot = self.snapshot().await;
        let Some((group, view)) = self.directory.group_of(index).zip(snapshot.view()) else {
            return Err(super::admin::nobody_runs());
        };
        let group_name = self.directory.groups.get(usize::from(group)).map(|g| g.name.clone());
        let group_name = group_name.ok_or_else(|| AdminError::unknown("device", name.as_str(), []))?;
        let members: Vec<NodeName> = self.directory.members(group);
        let stay = known.owner.as_ref().zip(known.row.as_ref()).map(|(owner, row)| Stay {
            owner,
            since: UnixMillis(u64::from(row.since) * 1_000),
            reason: row.register_reason(),
        });
        let found = explain(&Subject { device: name, group: &group_name, members: &members, stay }, view);
        let mut sentence = found.sentence;
        if let Some(case) = known.quarantined {
            let node = self.directory.node(case.node).map_or("?", NodeName::as_str);
            let text =
                format!("; it is in quarantine because its messages panicked its actor twice, the last time at {node}");
            sentence.push_str(&text);
        }
        Ok(DeviceExplanation {
            name: name.clone(),
            group: group_name,
            desired_node: found.desired,
            actual_node: found.actual,
            rank: found.rank,
            since: found.since,
            last_reason: found.reason.map(|r| r.word().to_owned()),
            sentence,
            history: self.journal.of_device(index, HISTORY_MAX),
        })
    }

    /// Lets a device out of quarantine. One node would be enough, its word goes to all; each is asked, so that it holds when this returns.
    pub(super) async fn release(&self, index: DeviceIndex) -> bool {
        let mut released = false;
        for node in self.running() {
            released |= node.handles.host.ask(Release(index), ASK_REMOTE).await.unwrap_or(false);
        }
        released
    }
}

fn fits(entry: &DeviceEntry, query: &DeviceQuery) -> bool {
    query.state.is_none_or(|s| s == entry.state)
        && query.node.as_ref().is_none_or(|n| entry.state == DeviceState::Registered && entry.node.as_ref() == Some(n))
}
