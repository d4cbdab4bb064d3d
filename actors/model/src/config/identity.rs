//! Who is who: a device is found by its name, its digest user or one of its numbers, so no name or user may stand for two devices.
//!
//! A number may stand on several devices (a shared line). Works on hashes, 24 bytes per name for as long as it takes, because a series
//! may stand for a million devices.

use super::check::Checker;
use super::device::{DEVICES_MAX, DeviceSpec};
use super::read::{Place, Tables};
use crate::row::device_key_of;
use std::collections::BTreeSet;

/// What a text is to a device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Name,
    User,
    Line,
}

type Entry = (u128, u32, Role);

/// All devices in a row: first those with a row of their own, then each series.
struct Devices<'a>(&'a Tables);

impl<'a> Devices<'a> {
    fn count(&self) -> u64 {
        let own = self.0.devices.len() as u64;
        self.0.series.iter().fold(own, |sum, (_, s)| sum.saturating_add(s.count))
    }
    fn all(&self) -> impl Iterator<Item = DeviceSpec<'a>> + 'a {
        let tables = self.0;
        let own = tables.devices.iter().map(|(_, d)| d.spec(0));
        own.chain(tables.series.iter().flat_map(|(_, s)| (0..s.count).map(|n| s.spec(n, 0))))
    }
    /// The device at this position, and its row in the file.
    fn get(&self, position: u32) -> Option<(Place, DeviceSpec<'a>)> {
        let mut left = u64::from(position);
        let own = self.0.devices.len() as u64;
        if left < own {
            let (index, device) = self.0.devices.get(position as usize)?;
            return Some((Place::row("device", *index), device.spec(0)));
        }
        left -= own;
        for (index, series) in &self.0.series {
            if left < series.count {
                return Some((Place::row("device_series", *index), series.spec(left, 0)));
            }
            left -= series.count;
        }
        None
    }
}

/// Tells every name and user that stands for more than one device.
pub(super) fn unique(checker: &mut Checker<'_, '_, '_>, tables: &Tables) {
    let devices = Devices(tables);
    let count = devices.count();
    if count > DEVICES_MAX {
        let (table, index) = match tables.series.last() {
            Some((index, _)) => ("device_series", *index),
            None => ("device", tables.devices.len().saturating_sub(1)),
        };
        return checker.wrong(
            Place::row(table, index),
            format!("there are {count} devices"),
            format!("at most {DEVICES_MAX}"),
        );
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(usize::try_from(count).unwrap_or(0) * 2);
    for (position, device) in (0u32..).zip(devices.all()) {
        entries.push((device_key_of(&device.name).0, position, Role::Name));
        if device.user != device.name {
            entries.push((device_key_of(&device.user).0, position, Role::User));
        }
        entries.extend(device.lines.iter().map(|l| (device_key_of(l.as_str()).0, position, Role::Line)));
    }
    entries.sort_unstable();
    let mut told = BTreeSet::new();
    for same in entries.chunk_by(|a, b| a.0 == b.0) {
        // Lines may be shared; a name or user may not. Entries stand in the order of their devices.
        let Some((_, owner, role)) = same.iter().copied().find(|(_, _, role)| *role != Role::Line) else { continue };
        for (_, other, other_role) in same.iter().copied().filter(|(_, position, _)| *position != owner) {
            let (mut first, mut second) = ((owner, role), (other, other_role));
            if other < owner {
                std::mem::swap(&mut first, &mut second);
            }
            tell(checker, &devices, first, second, &mut told);
        }
    }
}

/// Tells one clash, once for each pair of rows: two series may clash in a million numbers.
fn tell(
    checker: &mut Checker<'_, '_, '_>,
    devices: &Devices<'_>,
    first: (u32, Role),
    second: (u32, Role),
    told: &mut BTreeSet<(&'static str, usize, &'static str, usize)>,
) {
    let (Some((first_place, first_device)), Some((place, device))) = (devices.get(first.0), devices.get(second.0))
    else {
        return;
    };
    if !told.insert((first_place.table, first_place.index, place.table, place.index)) {
        return;
    }
    let text = match second.1 {
        Role::Name => device.name.to_string(),
        Role::User => device.user.to_string(),
        Role::Line => {
            let clashes = |line: &str| line == first_device.name || line == first_device.user;
            let shared = device.lines.iter().find(|l| clashes(l.as_str()));
            shared.map(ToString::to_string).unwrap_or_default()
        }
    };
    let line = checker.at(first_place);
    let what = match (first.1, second.1) {
        (Role::Name, Role::Name) => format!("the device {text:?} stands twice"),
        (a, b) => format!("{text:?} is {} {} and also {} {}", role(a), first_device.name, role(b), device.name),
    };
    let expected = "a name and a digest user that no other device has, neither as its name nor as its user or number";
    checker.wrong(place.field(field(place.table, second.1)), what, format!("{expected}; see {line}"));
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Name => "the name of",
        Role::User => "the digest user of",
        Role::Line => "a line of",
    }
}

fn field(table: &str, role: Role) -> &'static str {
    match (table, role) {
        ("device", Role::Name) => "name",
        ("device", Role::User) => "digest_user",
        ("device", Role::Line) => "lines",
        (_, Role::Name) => "prefix",
        (_, Role::User) => "digest_user_prefix",
        (_, Role::Line) => "first_line",
    }
}
