//! Which nonces may be used here, and which of their counts have been (docs/decisions/0007): the digest does not cover the Contact, so what a
//! heartbeat or a removal showed on the wire would otherwise be good for binding somebody else's address.
//!
//! A registered device has its window in its slot. Here are those of this node's own nonces that devices used which are not registered here, or
//! use another node's nonce meanwhile, and those of requests that were refused: two generations, so that forgetting costs nothing. What was forgotten is not trusted any more.

use super::Edge;
use crate::device_host::DeviceHost;
use crate::locator::DeviceIndex;
use std::collections::BTreeMap;
use tandem_base::Time;
use tandem_model::row::LastNonce;
use tandem_sip::nonce::{CLOCK_SKEW_SECS, Issuer, NcVerdict, NcWindow, issuer_of, same_issuer};

/// Devices per generation.
const GENERATION_MAX: usize = 32_768;

/// What a request does with its device's registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It binds a contact.
    Binds,
    /// It asks, removes, or shows that somebody is there.
    BindsNothing,
}

/// A device, and whose nonces it used.
type Whose = (DeviceIndex, u16);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Used {
    young: BTreeMap<Whose, NcWindow>,
    old: BTreeMap<Whose, NcWindow>,
    /// Second, by the issuer's clock, at which the young generation began.
    since: u32,
}

impl Used {
    /// What a device has used of the nonces of this one's issuer.
    fn window(&self, device: DeviceIndex, id: u32) -> Option<NcWindow> {
        let whose = (device, issuer_of(id));
        self.young.get(&whose).or_else(|| self.old.get(&whose)).copied()
    }
    /// Keeps what a device has used. `issuer` is this node's; `lifetime` is that of a nonce, in seconds.
    fn keep(&mut self, device: DeviceIndex, window: NcWindow, issuer: &mut Issuer, lifetime: u32) {
        let now = issuer.secs();
        let over = now.saturating_sub(self.since) > lifetime.saturating_add(CLOCK_SKEW_SECS);
        if over || self.young.len() >= GENERATION_MAX {
            let forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            if !forgotten.is_empty() {
                issuer.forget_up_to(self.since);
            }
            self.since = now;
        }
        let window = self.window(device, window.nonce_id).map_or(window, |known| both(known, window));
        self.young.insert((device, issuer_of(window.nonce_id)), window);
    }
}

/// Of one issuer, both together: the newer nonce counts, and of one nonce every count that either has seen.
fn both(a: NcWindow, b: NcWindow) -> NcWindow {
    let name = |w: &NcWindow| (w.nonce_time, w.nonce_id);
    match name(&a).cmp(&name(&b)) {
        std::cmp::Ordering::Less => b,
        std::cmp::Ordering::Greater => a,
        std::cmp::Ordering::Equal if a == b => a,
        std::cmp::Ordering::Equal => NcWindow::taken_over(a.nonce_time, a.nonce_id, a.nc_max.max(b.nc_max)),
    }
}

impl DeviceHost {
    /// What this node knows of a device's use of this nonce, or of others of its issuer.
    pub(crate) fn nonces_of(&self, device: DeviceIndex, (time, id, _): (u32, u32, u32)) -> NcWindow {
        if let Some(registered) = self.locator.slot(device).and_then(|slot| self.devices.get(slot)) {
            return registered.nonces;
        }
        let told = self.locator.elsewhere(device).map(|e| e.nonces());
        let used = self.edge.used.window(device, id);
        let told = match told.filter(|w| w.names(time, id)) {
            // What it was burnt for: that nonce is in use elsewhere, and the row there says how far.
            Some(told) if used.is_none_or(|w| w.is_burnt()) => return told,
            Some(told) => Some(told),
            // One that an earlier life of this node made while its clock was wrong has no order to those of this life.
            None => told.filter(|w| same_issuer(w.nonce_id, id) && self.edge.issuer.made(w.nonce_time, w.nonce_id)),
        };
        [told, used].into_iter().flatten().fold(NcWindow::default(), both)
    }
    /// Whether a nonce may be used here. Registered here: one that this node issued, and so knows every use of, or the
    /// one that the registration was made with. Not registered here: to bind, one of this node's or that of the registration elsewhere;
    /// for anything else only one of this node's that no registration elsewhere uses, or it would still be good there.
    pub(super) fn may_use(&self, device: DeviceIndex, (time, id, nc): (u32, u32, u32), what: Use) -> bool {
        let own = self.edge.issuer.made(time, id);
        if let Some(registered) = self.locator.slot(device).and_then(|slot| self.devices.get(slot)) {
            let window = registered.nonces;
            // Back from another node's nonce to one of this node's: the slot does not know how far these were used.
            let follows = || {
                let used = self.edge.used.window(device, id);
                used.is_none_or(|mut used| used.accept(time, id, nc) == NcVerdict::Accepted)
            };
            let same = window.nonce_time != 0 && same_issuer(window.nonce_id, id);
            return window.names(time, id) || own && (same || follows());
        }
        let elsewhere = self.locator.elsewhere(device).is_some_and(|e| e.nonces().names(time, id));
        if what == Use::Binds { own || elsewhere } else { own && !elsewhere }
    }
    /// A request that would have bound is refused: its proof is on the wire, and must not be good here when the next one comes by.
    pub(crate) fn spend(&mut self, device: DeviceIndex, nonce: (u32, u32, u32)) {
        let (time, id, nc) = nonce;
        let mut window = self.nonces_of(device, nonce);
        if window.accept(time, id, nc) == NcVerdict::Accepted {
            let lifetime = self.directory.nonce_lifetime_secs();
            let Edge { used, issuer, .. } = &mut self.edge;
            used.keep(device, window, issuer, lifetime);
        }
    }
    /// A device is not registered here any more, or was never: what it used of this node's nonces is kept.
    pub(crate) fn keep_nonces(&mut self, device: DeviceIndex, window: NcWindow) {
        let lifetime = self.directory.nonce_lifetime_secs();
        let Edge { used, issuer, .. } = &mut self.edge;
        if issuer.made(window.nonce_time, window.nonce_id) {
            used.keep(device, window, issuer, lifetime);
        }
    }
    /// What an earlier life's row tells of a device. One that looks like a nonce of this very life is none: it has no order to those that come.
    pub(crate) fn nonces_of_row(&self, nonce: LastNonce) -> NcWindow {
        let same = self.edge.issuer.is_marked(nonce.id);
        if same { NcWindow::default() } else { NcWindow::taken_over(nonce.time, nonce.id, nonce.nc) }
    }
    /// A request that binds nothing used a count; sent twice it does no harm, so whether it is the first time does not matter. The count is
    /// in the row of a device that is registered here: a row that is not written when it changes makes every snapshot of this node's rows
    /// differ from its digest.
    pub(crate) fn use_up(&mut self, now: Time, device: DeviceIndex, (time, id, nc): (u32, u32, u32)) {
        if let Some(registered) = self.locator.slot(device).and_then(|slot| self.devices.get_mut(slot)) {
            let before = registered.last_nonce();
            let _ = registered.nonces.accept(time, id, nc);
            if registered.last_nonce() != before {
                self.rows.put(now, registered, false);
                self.metrics.rows.increment();
            }
            return;
        }
        let mut window = self.edge.used.window(device, id).unwrap_or_default();
        let _ = window.accept(time, id, nc);
        self.keep_nonces(device, window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer() -> Issuer {
        Issuer::new(0, 1, Time::ZERO, 1_000_000)
    }
    fn at(issuer: &mut Issuer, unix: u64) {
        issuer.advance(Time::from_secs(unix - 1_000), unix * 1_000);
    }

    #[test]
    fn a_window_is_kept_for_the_life_of_a_nonce_and_then_forgotten() {
        let (mut used, window) = (Used::default(), NcWindow::taken_over(1_000, 7, 3));
        let mut issuer = issuer();
        used.keep(DeviceIndex(1), window, &mut issuer, 300);
        at(&mut issuer, 1_331);
        used.keep(DeviceIndex(2), window, &mut issuer, 300);
        assert_eq!(used.window(DeviceIndex(1), window.nonce_id), Some(window));
        at(&mut issuer, 1_662);
        used.keep(DeviceIndex(2), window, &mut issuer, 300);
        assert_eq!(
            (used.window(DeviceIndex(1), window.nonce_id), used.window(DeviceIndex(2), window.nonce_id)),
            (None, Some(window))
        );
    }

    #[test]
    fn no_more_than_two_generations_are_kept_and_what_was_forgotten_is_no_good() {
        let (mut used, mut issuer) = (Used::default(), issuer());
        let (time, id) = issuer.next_id();
        for device in 0..100_000 {
            used.keep(DeviceIndex(device), NcWindow::default(), &mut issuer, 300);
            assert!(used.young.len() <= GENERATION_MAX && used.old.len() <= GENERATION_MAX);
            assert_eq!(issuer.made(time, id), used.window(DeviceIndex(0), 0).is_some(), "{device}");
        }
        assert!(used.window(DeviceIndex(99_999), 0).is_some() && used.window(DeviceIndex(0), 0).is_none());
    }

    #[test]
    fn of_one_nonce_the_counts_of_both_are_used() {
        let (a, b) = (NcWindow::taken_over(10, 1, 4), NcWindow { nonce_time: 10, nonce_id: 1, nc_max: 9, bits: 1 });
        assert_eq!(both(a, b), NcWindow::taken_over(10, 1, 9));
        assert_eq!(both(b, NcWindow::taken_over(11, 0, 1)), NcWindow::taken_over(11, 0, 1));
        assert_eq!(both(b, NcWindow::default()), b);
    }
}
