//! The slab gives slots back; the wheel fires each entry at its second, however its time is advanced.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn a_key_to_a_tenant_that_has_left_finds_nothing() {
    let mut slab = Slab::new(2);
    let first = slab.insert("a").unwrap();
    let second = slab.insert("b").unwrap();
    assert_eq!(slab.insert("c"), Err("c"), "the bound");
    assert_eq!(slab.remove(first.slot), Some("a"));
    assert_eq!(slab.remove(first.slot), None);
    let third = slab.insert("c").unwrap();
    assert_eq!(third.slot, first.slot, "slots are reused");
    assert_eq!((slab.get_keyed(first), slab.get_keyed(third), slab.get(first.slot)), (None, Some(&"c"), Some(&"c")));
    assert_eq!(slab.iter_from(0).map(|(slot, v)| (slot, *v)).collect::<Vec<_>>(), [(0, "c"), (1, "b")]);
    assert_eq!(slab.iter_from(second.slot).count(), 1);
    assert_eq!(slab.get_keyed_mut(first), None);
    assert_eq!(slab.len(), 2);
}

#[test]
fn a_slab_grows_over_many_chunks_and_keeps_every_value() {
    let mut slab = Slab::new(usize::MAX);
    for n in 0..10_000_u32 {
        assert_eq!(slab.insert(n), Ok(SlabKey { slot: n, generation: 0 }));
    }
    assert!((0..10_000).all(|n| slab.get(n) == Some(&n)));
    assert_eq!((slab.get(10_000), slab.slots()), (None, 10_000));
}

#[test]
fn a_refresh_costs_no_entry_and_the_entry_looks_when_it_fires() {
    let mut wheel = Wheel::new(0);
    let mut armed = wheel.arm(7, 60);
    let deadline = 160; // A refresh writes only this.
    let mut fired = Vec::new();
    for now in 1..=200 {
        while let Some((slot, at)) = wheel.pop_due(now) {
            fired.push((slot, at));
            if at == armed && deadline > at {
                armed = wheel.arm(slot, deadline);
            }
        }
    }
    assert_eq!(fired, [(7, 60), (7, 160)]);
    assert!(wheel.is_empty());
}

#[test]
fn a_turn_that_was_cut_short_goes_on_where_it_was() {
    let mut wheel = Wheel::new(0);
    for slot in 0..10 {
        assert_eq!(wheel.arm(slot, 5), 5);
    }
    let first: Vec<_> = (0..4).filter_map(|_| wheel.pop_due(6)).collect();
    assert_eq!(wheel.arm(77, 5), 6, "second 5 is being fired: the next one is the nearest");
    let rest: Vec<_> = std::iter::from_fn(|| wheel.pop_due(6)).collect();
    assert_eq!((first.len(), rest.len()), (4, 7));
    assert_eq!(rest.last(), Some(&(77, 6)));
}

/// One slot as its owner keeps it.
#[derive(Default)]
struct Owner {
    deadline: u32,
    armed: u32,
}

proptest! {
    /// Whatever is armed, refreshed and advanced, in turns that may be cut short: nobody expires early, and everybody whose deadline has
    /// passed is gone once a turn was not cut.
    #[test]
    fn nobody_expires_early_or_late(
        steps in prop::collection::vec((0_u32..40, 1_u32..20_000, 0_u32..3_000, prop::option::of(0_usize..9)), 1..300),
    ) {
        let mut wheel = Wheel::new(0);
        let mut owners: BTreeMap<u32, Owner> = BTreeMap::new();
        let mut now = 0;
        for (slot, lease, pass, cut) in steps {
            let owner = owners.entry(slot).or_default();
            owner.deadline = now + lease;
            if owner.armed == 0 || owner.deadline < owner.armed {
                owner.armed = wheel.arm(slot, owner.deadline);
            }
            now += pass;
            for _ in 0..cut.unwrap_or(usize::MAX) {
                let Some((slot, at)) = wheel.pop_due(now) else { break };
                let Some(owner) = owners.get_mut(&slot).filter(|owner| owner.armed == at) else { continue };
                if owner.deadline > at {
                    owner.armed = wheel.arm(slot, owner.deadline);
                } else {
                    prop_assert!(owner.deadline <= now, "early");
                    owners.remove(&slot);
                }
            }
            prop_assert!(cut.is_some() || owners.values().all(|o| o.deadline > now), "late");
            prop_assert!(wheel.len() >= owners.len(), "every owner has an entry");
        }
    }
}
