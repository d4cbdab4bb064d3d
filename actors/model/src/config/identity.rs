//! Who is who: a device is found by its name, its digest user or one of its numbers, so no name or user may stand for two devices.
//!
//! A number may stand on several devices (a shared line). Devices with a row of their own are compared by hashes, 24 bytes per name for as
//! long as it takes; a series may stand for a million devices, so it is compared as what it is ([`spans`]).

use super::check::Checker;
use super::device::{DEVICES_MAX, DIGITS_MAX, Device, DeviceSeries};
use super::read::{Place, Tables};
use crate::row::device_key_of;
use spans::{Kind, Span};
use std::collections::BTreeSet;

mod spans;

/// What a text is to a device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Name,
    User,
    Line,
}

/// A name, user or number of a device, and whose: enough to tell a clash.
#[derive(Clone)]
struct Holder {
    place: Place,
    /// Of several devices of one row.
    offset: u64,
    device: String,
    role: Role,
}

/// Tells every name and user that stands for more than one device.
pub(super) fn unique(checker: &mut Checker<'_, '_, '_>, tables: &Tables) {
    let own = tables.devices.len() as u64;
    let count = tables.series.iter().fold(own, |sum, (_, s)| sum.saturating_add(s.count));
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
    let mut told = BTreeSet::new();
    among_own(tables, &mut |text, first, second| tell(checker, (text, first, second), &mut told));
    with_series(tables, &mut |text, first, second| tell(checker, (text, first, second), &mut told));
}

type Tell<'t> = dyn FnMut(String, Holder, Holder) + 't;

/// What a device is called by.
fn texts(device: &Device) -> impl Iterator<Item = (&str, Role)> {
    let (name, user) = (device.name.as_str(), device.user());
    let user = (user != name).then_some((user, Role::User));
    let lines = device.lines.iter().map(|l| (l.as_str(), Role::Line));
    std::iter::once((name, Role::Name)).chain(user).chain(lines)
}

/// Clashes among devices with a row of their own.
fn among_own(tables: &Tables, tell: &mut Tell<'_>) {
    let mut entries: Vec<(u128, u32, Role)> = Vec::with_capacity(tables.devices.len() * 2);
    for (position, (_, device)) in (0u32..).zip(&tables.devices) {
        entries.extend(texts(device).map(|(text, role)| (device_key_of(text).0, position, role)));
    }
    entries.sort_unstable();
    for same in entries.chunk_by(|a, b| a.0 == b.0) {
        // Lines may be shared; a name or user may not. Entries stand in the order of their devices.
        let Some((_, owner, role)) = same.iter().copied().find(|(_, _, role)| *role != Role::Line) else { continue };
        for (_, other, other_role) in same.iter().copied().filter(|(_, position, _)| *position != owner) {
            let ((a, a_role), (b, b_role)) =
                if other < owner { ((other, other_role), (owner, role)) } else { ((owner, role), (other, other_role)) };
            let row = |position: u32| tables.devices.get(position as usize);
            let (Some((a, first)), Some((b, second))) = (row(a), row(b)) else { continue };
            let shared = texts(second).find(|(text, role)| {
                *role == b_role && texts(first).any(|(other, role)| other == *text && role == a_role)
            });
            let text = shared.map(|(text, _)| text.to_owned()).unwrap_or_default();
            let holder = |index: usize, device: &Device, role| Holder {
                place: Place::row("device", index),
                offset: 0,
                device: device.name.to_string(),
                role,
            };
            tell(text, holder(*a, first, a_role), holder(*b, second, b_role));
        }
    }
}

/// Whose a span is.
#[derive(Clone, Copy)]
enum Owner<'a> {
    Device(usize, &'a Device),
    Series(usize, &'a DeviceSeries),
}
impl Owner<'_> {
    fn holder(self, offset: u64, role: Role) -> Holder {
        let (place, device) = match self {
            Self::Device(index, device) => (Place::row("device", index), device.name.to_string()),
            Self::Series(index, series) => (Place::row("device_series", index), series.name(offset)),
        };
        Holder { place, offset, device, role }
    }
}

/// What a series calls its devices.
fn series_spans(index: usize, series: &DeviceSeries) -> Vec<Span<'_, (Owner<'_>, Role)>> {
    // Of a row with other digits something is told already.
    if !(1..=DIGITS_MAX).contains(&series.digits) {
        return Vec::new();
    }
    let owner = Owner::Series(index, series);
    let numbered =
        |prefix, role| spans::spans(prefix, series.first, series.count, usize::from(series.digits), (owner, role));
    let mut all = numbered(series.prefix.as_str(), Role::Name);
    if let Some(prefix) = series.digest_user_prefix.as_deref().filter(|p| *p != series.prefix) {
        all.extend(numbered(prefix, Role::User));
    }
    if let Some((head, first, digits)) = series.first_line.as_ref().and_then(super::directory_number::counted) {
        all.extend(spans::spans(head, first, series.count, digits, (owner, Role::Line)));
    }
    all
}

impl DeviceSeries {
    fn met(&self, text: &str) -> impl Iterator<Item = (Role, u64)> {
        let point = spans::point(text, ());
        let spans = series_spans(0, self).into_iter();
        let met = spans.filter(move |s| (s.stem, s.width) == (point.stem, point.width));
        let met = met.filter(move |s| (s.low..=s.high).contains(&point.low));
        met.map(move |s| (s.tag.1, s.offset_of(point.low)))
    }
    /// Whether one of its devices has this name.
    pub fn has(&self, name: &str) -> bool {
        self.met(name).any(|(role, _)| role == Role::Name)
    }
    /// What a text is to one of its devices, such as `a line of P50`; lines count only where `lines`.
    pub fn calls(&self, text: &str, lines: bool) -> Option<String> {
        let (found, offset) = self.met(text).find(|(role, _)| lines || *role != Role::Line)?;
        Some(format!("{} {}", role(found), self.name(offset)))
    }
}

/// Clashes of devices of a series, with each other and with those that have a row of their own.
fn with_series(tables: &Tables, tell: &mut Tell<'_>) {
    let mut all: Vec<_> = tables.series.iter().flat_map(|(index, series)| series_spans(*index, series)).collect();
    let groups: BTreeSet<(&str, usize)> = all.iter().map(|span| (span.stem, span.width)).collect();
    if groups.is_empty() {
        return;
    }
    for (index, device) in &tables.devices {
        let near = texts(device).filter(|(text, _)| groups.contains(&spans::group_of(text)));
        all.extend(near.map(|(text, role)| spans::point(text, (Owner::Device(*index, device), role))));
    }
    let kind = |(owner, role): &(Owner<'_>, Role)| Kind {
        point: matches!(owner, Owner::Device(..)),
        alone: *role != Role::Line,
    };
    spans::overlaps(&mut all, kind, |a, b| {
        let number = a.low.max(b.low);
        let holder = |span: &Span<'_, (Owner<'_>, Role)>| span.tag.0.holder(span.offset_of(number), span.tag.1);
        let (mut first, mut second) = (holder(a), holder(b));
        let order = |h: &Holder| (h.place.table, h.place.index, h.offset);
        // "device" stands before "device_series", as their rows do.
        if order(&second) < order(&first) {
            std::mem::swap(&mut first, &mut second);
        }
        if order(&first) != order(&second) {
            tell(a.text(number), first, second);
        }
    });
}

/// Tells one clash, once for each pair of rows: two series may clash in a million numbers.
fn tell(
    checker: &mut Checker<'_, '_, '_>,
    (text, first, second): (String, Holder, Holder),
    told: &mut BTreeSet<(&'static str, usize, &'static str, usize)>,
) {
    if !told.insert((first.place.table, first.place.index, second.place.table, second.place.index)) {
        return;
    }
    let line = checker.at(first.place);
    let what = match (first.role, second.role) {
        (Role::Name, Role::Name) => format!("the device {text:?} stands twice"),
        (a, b) => format!("{text:?} is {} {} and also {} {}", role(a), first.device, role(b), second.device),
    };
    let expected = "a name and a digest user that no other device has, neither as its name nor as its user or number";
    let place = second.place;
    checker.wrong(place.field(field(place.table, second.role)), what, format!("{expected}; see {line}"));
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
