//! Devices compiled for speed, all at once: texts in one arena, records by number, names by hash. Never changed once it is made.

use super::Entry;
use crate::locator::{Alias, Aliases, DeviceIndex, Names};
use std::collections::BTreeMap;
use tandem_base::DeviceKey;
use tandem_model::config::DeviceKind;
use tandem_model::row::device_key_of;
use tandem_sip::digest::{Ha1, Stored};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Text {
    start: u32,
    len: u8,
}
impl Text {
    const NONE: Self = Self { start: 0, len: 0 };
}

/// One device, apart from its texts. Numbers of devices that are not in this base have one, too, without a name.
#[derive(Clone, Copy, Debug)]
struct Record {
    name: Text,
    user: Text,
    lines_start: u32,
    lines: u8,
    kind: DeviceKind,
    pool: u16,
    /// The digest hash that nearly every phone uses, here and not in a list of its own: whoever checks it has read the record.
    md5: [u8; 16],
}
impl Record {
    const NONE: Self = Self {
        name: Text::NONE,
        user: Text::NONE,
        lines_start: 0,
        lines: 0,
        kind: DeviceKind::Phone,
        pool: 0,
        md5: [0; 16],
    };
}

/// See the module.
pub(super) struct Base {
    aliases: Aliases,
    records: Vec<Record>,
    /// Which digest hashes it has: those of the algorithms that the cluster offers.
    kept: Kept,
    sha256: Vec<[u8; 32]>,
    texts: String,
    lines: Vec<Text>,
    /// The devices of each number that stands on several.
    shared: BTreeMap<DeviceKey, Box<[DeviceIndex]>>,
}

/// Which hashes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) md5: bool,
    pub(super) sha256: bool,
}

/// A base that is being made.
pub(super) struct BaseBuilder {
    base: Base,
    names: Names,
    any_shared: bool,
}

impl BaseBuilder {
    /// For about so many devices.
    pub(super) fn new(devices: usize, kept: Kept) -> Self {
        let base = Base {
            aliases: Names::new(0).freeze(),
            records: Vec::with_capacity(devices),
            kept,
            sha256: Vec::with_capacity(if kept.sha256 { devices } else { 0 }),
            texts: String::new(),
            lines: Vec::new(),
            shared: BTreeMap::new(),
        };
        Self { base, names: Names::new(devices), any_shared: false }
    }
    fn keep(&mut self, text: &str) -> Text {
        let start = u32::try_from(self.base.texts.len()).unwrap_or(u32::MAX);
        self.base.texts.push_str(text);
        Text { start, len: u8::try_from(text.len()).unwrap_or(u8::MAX) }
    }
    /// Adds a device.
    pub(super) fn add(&mut self, index: DeviceIndex, entry: &Entry<'_>) {
        let name = self.keep(entry.name);
        let user = if entry.user == entry.name { name } else { self.keep(entry.user) };
        let lines_start = u32::try_from(self.base.lines.len()).unwrap_or(u32::MAX);
        self.names.add(entry.name, index);
        self.names.add(entry.user, index);
        let mut lines = 0;
        for line in entry.lines.clone() {
            let text = self.keep(line);
            self.base.lines.push(text);
            self.any_shared |= self.names.add(line, index);
            lines += 1;
        }
        let place = index.0 as usize;
        if self.base.records.len() <= place {
            self.base.records.resize(place + 1, Record::NONE);
        }
        // Every device has the hashes that the cluster offers (the configuration is checked), so they need no word of whether they are there.
        let md5 = if let Some(Ha1::Md5(hash)) = entry.stored.md5 { hash } else { [0; 16] };
        if let Some(record) = self.base.records.get_mut(place) {
            *record = Record { name, user, lines_start, lines, kind: entry.kind, pool: entry.pool, md5 };
        }
        if self.base.kept.sha256
            && let Some(Ha1::Sha256(hash)) = entry.stored.sha256
        {
            put(&mut self.base.sha256, place, hash);
        }
    }
    /// All of it.
    pub(super) fn finish(self) -> Base {
        let Self { mut base, names, any_shared, .. } = self;
        base.aliases = names.freeze();
        base.texts.shrink_to_fit();
        base.lines.shrink_to_fit();
        base.records.shrink_to_fit();
        if any_shared {
            base.shared = base.shared_numbers();
        }
        base
    }
}

fn put<const N: usize>(list: &mut Vec<[u8; N]>, place: usize, hash: [u8; N]) {
    if list.len() <= place {
        list.resize(place + 1, [0; N]);
    }
    if let Some(held) = list.get_mut(place) {
        *held = hash;
    }
}

impl Base {
    fn text(&self, text: Text) -> &str {
        let start = text.start as usize;
        self.texts.get(start..start + usize::from(text.len)).unwrap_or_default()
    }
    fn record(&self, device: DeviceIndex) -> Option<&Record> {
        self.records.get(device.0 as usize).filter(|r| r.name.len > 0)
    }
    fn shared_numbers(&self) -> BTreeMap<DeviceKey, Box<[DeviceIndex]>> {
        let mut shared: BTreeMap<DeviceKey, Vec<DeviceIndex>> = BTreeMap::new();
        let devices = (0..self.bound()).map(DeviceIndex);
        for (device, key) in devices.flat_map(|d| self.lines_of(d).map(move |l| (d, device_key_of(l)))) {
            if self.alias(key) == Some(Alias::Shared) {
                let holders = shared.entry(key).or_default();
                if holders.last() != Some(&device) {
                    holders.push(device);
                }
            }
        }
        shared.into_iter().map(|(key, holders)| (key, holders.into_boxed_slice())).collect()
    }
    /// Numbers of its devices are below this.
    pub(super) fn bound(&self) -> u32 {
        u32::try_from(self.records.len()).unwrap_or(u32::MAX)
    }
    pub(super) fn alias(&self, key: DeviceKey) -> Option<Alias> {
        self.aliases.find(key)
    }
    /// Who has a number that stands on several.
    pub(super) fn holders(&self, key: DeviceKey) -> &[DeviceIndex] {
        self.shared.get(&key).map_or(&[], |holders| holders)
    }
    pub(super) fn has(&self, device: DeviceIndex) -> bool {
        self.record(device).is_some()
    }
    pub(super) fn name(&self, device: DeviceIndex) -> &str {
        self.record(device).map_or("", |r| self.text(r.name))
    }
    pub(super) fn user(&self, device: DeviceIndex) -> &str {
        self.record(device).map_or("", |r| self.text(r.user))
    }
    pub(super) fn kind(&self, device: DeviceIndex) -> Option<DeviceKind> {
        self.record(device).map(|r| r.kind)
    }
    pub(super) fn pool(&self, device: DeviceIndex) -> Option<u16> {
        self.record(device).map(|r| r.pool)
    }
    pub(super) fn lines_of(&self, device: DeviceIndex) -> impl Iterator<Item = &str> + Clone + '_ {
        let (start, count) = self.record(device).map_or((0, 0), |r| (r.lines_start as usize, usize::from(r.lines)));
        self.lines.iter().skip(start).take(count).map(|t| self.text(*t))
    }
    pub(super) fn stored(&self, device: DeviceIndex) -> Stored {
        let Some(record) = self.record(device) else { return Stored::UNKNOWN };
        Stored {
            md5: self.kept.md5.then_some(Ha1::Md5(record.md5)),
            sha256: self.sha256.get(device.0 as usize).map(|h| Ha1::Sha256(*h)),
        }
    }
    pub(super) fn touch(&self, device: DeviceIndex) -> u64 {
        let index = device.0 as usize;
        let first = |hash: Option<u8>| u64::from(hash.unwrap_or(0));
        let record = self.records.get(index);
        let user = record.map_or(0, |r| r.user.start as usize);
        first(record.map(|r| r.md5[0]))
            ^ first(self.sha256.get(index).map(|h| h[0]))
            ^ first(self.texts.as_bytes().get(user).copied())
    }
}
