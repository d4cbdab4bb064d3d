//! Devices whose messages panicked their actor: counted over all nodes, and after the second panic kept out of every node until somebody
//! lets them in again.
//!
//! Only devices that panicked are in here, and never more than a bound. What is new is told to the peers as `model::signal` words; of two
//! words about a device the newer counts, so every node comes to the same verdict whatever it heard first.

use super::DeviceHost;
use crate::call_manager::Share;
use crate::journal::Fact;
use crate::locator::{Alias, DeviceIndex};
use crate::observe::Happened;
use actix::{Context, Handler, Message};
use std::collections::BTreeMap;
use std::time::Duration;
use tandem_base::{NodeName, Rank, Time, UnixMillis};
use tandem_model::signal::QuarantineCase;

/// Panics after which a device is kept out.
pub(super) const PANICS_MAX: u8 = 2;
/// A first panic is forgotten after this long without another.
pub(super) const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Devices remembered; of those that are not kept out the oldest goes first.
pub(super) const REMEMBERED_MAX: usize = 10_000;

/// What is known of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Panics that count; 0 once it was let in again.
    pub panics: u8,
    /// The node of the last panic or of the release, as an index into the directory.
    pub node: u16,
    /// When.
    pub at: UnixMillis,
}

impl Case {
    /// Whether the device is kept out.
    pub const fn holds(&self) -> bool {
        self.panics >= PANICS_MAX
    }
    /// Two nodes may count at one moment: then more panics, then the later node.
    fn order(&self) -> (UnixMillis, u8, u16) {
        (self.at, self.panics, self.node)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Quarantine {
    cases: BTreeMap<DeviceIndex, Case>,
}

impl Quarantine {
    /// Whether a device is kept out.
    pub fn holds(&self, device: DeviceIndex) -> bool {
        !self.cases.is_empty() && self.held(device).is_some()
    }
    /// Where and since when a device is kept out.
    pub fn held(&self, device: DeviceIndex) -> Option<Case> {
        self.cases.get(&device).copied().filter(Case::holds)
    }
    /// Notes a panic at `node`; returns what is known now.
    pub fn panicked(&mut self, now: UnixMillis, device: DeviceIndex, node: u16) -> Case {
        let before = self.cases.get(&device).copied();
        let counts = before.filter(|c| c.holds() || now.0.saturating_sub(c.at.0) <= FORGET_AFTER.as_millis() as u64);
        let panics = counts.map_or(0, |c| c.panics).saturating_add(1);
        self.note(device, Case { panics, node, at: after(now, before) })
    }
    /// Lets a device in again; `None` when it was not kept out.
    pub fn release(&mut self, now: UnixMillis, device: DeviceIndex, node: u16) -> Option<Case> {
        let before = self.held(device)?;
        Some(self.note(device, Case { panics: 0, node, at: after(now, Some(before)) }))
    }
    /// Takes a peer's word; whether it was news.
    pub fn heard(&mut self, device: DeviceIndex, case: Case) -> bool {
        let news = self.cases.get(&device).is_none_or(|known| known.order() < case.order());
        if news {
            self.note(device, case);
        }
        news
    }
    fn note(&mut self, device: DeviceIndex, case: Case) -> Case {
        if self.cases.len() >= REMEMBERED_MAX && !self.cases.contains_key(&device) {
            let oldest = self.cases.iter().min_by_key(|(_, c)| (c.holds(), c.at)).map(|(d, _)| *d);
            oldest.map(|d| self.cases.remove(&d));
        }
        self.cases.insert(device, case);
        case
    }
    /// Everything that is known.
    pub fn all(&self) -> impl Iterator<Item = (DeviceIndex, Case)> + '_ {
        self.cases.iter().map(|(d, c)| (*d, *c))
    }
    /// How many devices are kept out.
    pub fn len(&self) -> usize {
        self.cases.values().filter(|c| c.holds()).count()
    }
    /// Whether none is kept out.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Now, or just after what is known: a node whose clock is behind has the last word all the same.
fn after(now: UnixMillis, known: Option<Case>) -> UnixMillis {
    known.map_or(now, |k| now.max(UnixMillis(k.at.0.saturating_add(1))))
}

// --- Heard -----------------------------------------------------------------------------------------------------------

/// A peer's words about devices that panicked.
pub struct Heard(pub Vec<QuarantineCase>);
impl Message for Heard {
    type Result = ();
}
impl Handler<Heard> for DeviceHost {
    type Result = ();
    /// Whoever is kept out anywhere is served nowhere. Devices and nodes that this configuration does not have are passed over.
    fn handle(&mut self, m: Heard, _: &mut Context<Self>) {
        let now = self.clock.now();
        self.begin_turn(now);
        for word in m.0 {
            let Some(Alias::Device(device)) = self.directory.find(word.device.as_str().as_bytes()) else { continue };
            let Some(node) = self.directory.node_index(&word.node) else { continue };
            let was_held = self.quarantine.holds(device);
            let news = self.quarantine.heard(device, Case { panics: word.panics, node, at: word.at });
            if news && !was_held && self.quarantine.holds(device) {
                self.shut_out(now, device);
            }
        }
        self.show_quarantine();
        self.flush_rows(now, true);
    }
}

// --- Tell ------------------------------------------------------------------------------------------------------------

/// A peer is up: it is told everything, because what was said while it was away it has not heard.
pub struct Tell {
    /// Whom.
    pub to: NodeName,
}
impl Message for Tell {
    type Result = ();
}
impl Handler<Tell> for DeviceHost {
    type Result = ();
    fn handle(&mut self, m: Tell, _: &mut Context<Self>) {
        let all: Vec<_> = self.quarantine.all().collect();
        self.share(Some(m.to), all);
    }
}

// --- Release ---------------------------------------------------------------------------------------------------------

/// Lets a device in again that was kept out, at every node.
pub struct Release(pub DeviceIndex);
impl Message for Release {
    type Result = bool;
}
impl Handler<Release> for DeviceHost {
    type Result = bool;
    fn handle(&mut self, m: Release, _: &mut Context<Self>) -> bool {
        self.begin_turn(self.clock.now());
        let released = self.quarantine.release(UnixMillis(self.unix_millis), m.0, self.index);
        if let Some(case) = released {
            let text = format!("{} was let out of quarantine", self.directory.name_text(m.0));
            let fact = Fact::cluster("device_released", self.directory.group_of(m.0), "operator".to_owned(), text);
            self.journal.push(case.at, self.index, fact);
            self.share(None, vec![(m.0, case)]);
        }
        self.show_quarantine();
        released.is_some()
    }
}

impl DeviceHost {
    /// A handler panicked: the actor is rebuilt from nothing at the device's next REGISTER; the second time the device is kept out.
    pub(crate) fn panicked(&mut self, now: Time, device: DeviceIndex, slot: u32) {
        self.metrics.panics.increment(1);
        if self.devices.get(slot).is_some_and(|d| d.row_hash != 0) {
            self.remove_device(now, slot, Happened::Contained);
        }
        let case = self.quarantine.panicked(UnixMillis(self.unix_millis), device, self.index);
        if case.panics == PANICS_MAX {
            self.note(device, Happened::Quarantined, Rank::HOME);
        }
        self.share(None, vec![(device, case)]);
        self.show_quarantine();
    }
    /// A device that a peer keeps out is not served here either.
    fn shut_out(&mut self, now: Time, device: DeviceIndex) {
        self.note(device, Happened::Quarantined, Rank::HOME);
        if let Some(slot) = self.locator.slot(device) {
            self.remove_device(now, slot, Happened::Contained);
        }
    }
    fn share(&self, to: Option<NodeName>, cases: Vec<(DeviceIndex, Case)>) {
        let word = |(device, case): (DeviceIndex, Case)| {
            let node = self.directory.node(case.node)?.clone();
            Some(QuarantineCase { device: self.directory.name(device)?, panics: case.panics, node, at: case.at })
        };
        let cases: Vec<_> = cases.into_iter().filter_map(word).collect();
        if !cases.is_empty() {
            // What a full mailbox refuses is told when a peer is up the next time.
            let _ = self.manager.tell_vital(Share { to, cases });
        }
    }
    pub(crate) fn show_quarantine(&self) {
        self.metrics.quarantined.set(f64::from(u32::try_from(self.quarantine.len()).unwrap_or(u32::MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: DeviceIndex = DeviceIndex(1);
    const B: DeviceIndex = DeviceIndex(2);

    fn at(secs: u64) -> UnixMillis {
        UnixMillis(secs * 1_000)
    }

    #[test]
    fn the_second_panic_keeps_a_device_out_until_it_is_released() {
        let mut q = Quarantine::default();
        assert!(!q.panicked(at(1), A, 0).holds());
        assert!(!q.holds(A));
        assert!(q.panicked(at(2), A, 0).holds());
        assert!(q.holds(A) && !q.holds(B));
        assert_eq!(q.held(A), Some(Case { panics: 2, node: 0, at: at(2) }));
        assert!(q.release(at(3), A, 0).is_some());
        assert!(!q.holds(A) && q.release(at(4), A, 0).is_none());
        assert!(!q.panicked(at(5), A, 0).holds(), "it begins anew");
    }

    #[test]
    fn a_first_panic_long_ago_does_not_count() {
        let mut q = Quarantine::default();
        q.panicked(at(1), A, 0);
        assert!(!q.panicked(at(1_000), A, 0).holds());
    }

    #[test]
    fn panics_at_two_nodes_count_together() {
        let (mut one, mut other) = (Quarantine::default(), Quarantine::default());
        let first = one.panicked(at(1), A, 0);
        assert!(other.heard(A, first));
        let second = other.panicked(at(2), A, 1);
        assert!(second.holds());
        assert!(one.heard(A, second) && one.holds(A));
        assert!(!one.heard(A, second) && !one.heard(A, first), "nothing new");
    }

    #[test]
    fn whoever_releases_has_the_last_word_whatever_its_clock_says_and_in_whatever_order_it_is_heard() {
        let (mut one, mut other, mut third) = (Quarantine::default(), Quarantine::default(), Quarantine::default());
        one.panicked(at(100), A, 0);
        let held = one.panicked(at(101), A, 0);
        other.heard(A, held);
        let released = other.release(at(50), A, 1).unwrap();
        assert!(one.heard(A, released) && !one.holds(A));
        assert!(third.heard(A, released) && !third.heard(A, held) && !third.holds(A));
    }

    #[test]
    fn at_the_bound_whoever_is_kept_out_stays() {
        let mut q = Quarantine::default();
        q.panicked(at(1), DeviceIndex(0), 0);
        q.panicked(at(1), DeviceIndex(0), 0);
        for n in 1..=u32::try_from(REMEMBERED_MAX).unwrap() {
            q.panicked(at(2), DeviceIndex(n), 0);
        }
        assert_eq!((q.cases.len(), q.len()), (REMEMBERED_MAX, 1));
        assert!(q.holds(DeviceIndex(0)));
    }
}
