//! Bytes from a peer: whatever they are, they are counted and never panic, and newer fields are skipped.

use super::net::{Net, SEC, name};
use crate::Input;
use crate::link::LinkEvent;
use bytes::Bytes;
use proptest::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

/// Real frames of every kind, from A to B.
fn frames() -> Vec<Bytes> {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let keep = Rc::clone(&kept);
    let mut net = Net::new(&["A", "B"], 1);
    net.settings = Box::new(|s| (s.log_ops, s.chunk_rows) = (64, 20));
    net.tamper = Some(Box::new(move |from, _, _, frame| {
        if from.as_str() == "A" {
            keep.borrow_mut().push(frame.clone());
        }
        Some(frame)
    }));
    net.start("A", 1);
    net.run(3 * SEC);
    net.put("A", 0..200, 1);
    net.start("B", 1);
    net.put("B", 0..200, 1);
    net.run(SEC);
    net.give(&name("A"), Input::Signal { to: name("B"), token: 1, payload: Bytes::from_static(b"x") });
    net.give(&name("B"), Input::Signal { to: name("A"), token: 1, payload: Bytes::from_static(b"x") });
    net.run(SEC);
    net.put("A", 0..200, 2);
    net.run(SEC);
    let mut one_of_each: Vec<Bytes> = kept.borrow().clone();
    one_of_each.sort_by_key(|f| (f[2], std::cmp::Reverse(f.len())));
    one_of_each.dedup_by_key(|f| f[2]);
    assert!(one_of_each.len() >= 6, "{:?}", one_of_each.iter().map(|f| f[2]).collect::<Vec<_>>());
    one_of_each
}

fn give(net: &mut Net, bytes: Vec<u8>) {
    net.give(&name("B"), Input::Link(LinkEvent::Message { from: name("A"), bytes: Bytes::from(bytes) }));
}

fn pair() -> Net {
    let mut net = Net::new(&["A", "B"], 1);
    net.start("A", 1);
    net.start("B", 1);
    net.run(SEC);
    net
}

#[test]
fn a_frame_cut_anywhere_does_no_harm() {
    for frame in frames() {
        let mut net = pair();
        for end in 0..frame.len().min(2_000) {
            give(&mut net, frame[..end].to_vec());
        }
        assert!(net.see("B").cluster.counters().decode_errors > 0, "kind {}", frame[2]);
        net.run(5 * SEC);
        assert!(net.all_equal(), "kind {}", frame[2]);
    }
}

#[test]
fn fields_of_a_newer_version_are_skipped() {
    let mut net = Net::new(&["A", "B"], 2);
    net.tamper = Some(Box::new(|_, _, _, frame| {
        let mut longer = frame.to_vec();
        // A field (type, length, value) of a type that is not known.
        longer.extend_from_slice(&[99, 3, 1, 2, 3]);
        Some(Bytes::from(longer))
    }));
    net.settings = Box::new(|s| (s.log_ops, s.chunk_rows) = (64, 20));
    net.start("A", 1);
    net.run(3 * SEC);
    net.put("A", 0..500, 1);
    net.start("B", 1);
    net.run_until(SEC, Net::all_equal);
    net.put("A", 0..10, 2);
    net.run_until(SEC, Net::all_equal);
    let counters = net.see("B").cluster.counters();
    assert_eq!((counters.decode_errors, counters.snapshots_received), (0, 1));
    // A kind that is not known is skipped too.
    let mut unknown = net_frame();
    unknown[2] = 200;
    give(&mut net, unknown);
    assert_eq!(net.see("B").cluster.counters().decode_errors, 0);
}

fn net_frame() -> Vec<u8> {
    let header =
        crate::frame::Header { cluster: crate::frame::cluster_hash("test"), incarnation: tandem_base::Incarnation(1) };
    header.write(&crate::frame::Frame::Unknown).to_vec()
}

/// Frames of which one byte each was altered arrive; what the copies look like half a minute later.
fn after(edits: &[(usize, usize, u8)]) -> Result<(), String> {
    let originals = FRAMES.with(Clone::clone);
    let mut net = pair();
    net.put("A", 0..100, 1);
    for (which, at, byte) in edits {
        let mut frame = originals[which % originals.len()].to_vec();
        let at = 20 + at % (frame.len() - 20);
        frame[at] = *byte;
        give(&mut net, frame);
    }
    net.put("A", 0..50, 2);
    net.run(30 * SEC);
    if net.all_equal() { Ok(()) } else { Err(net.report()) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn altered_frames_never_panic_and_the_copies_heal(
        edits in prop::collection::vec((0_usize..9, 20_usize..400, any::<u8>()), 1..20),
    ) {
        prop_assert_eq!(after(&edits), Ok(()));
    }
}

/// A heartbeat that told the owner's clock far ahead made every later one look old, and rows that were never written stayed for ever.
#[test]
fn a_clock_that_was_told_wrong_once_does_not_keep_rows_that_never_were() {
    assert_eq!(after(&[(1, 20, 0), (2, 172, 0), (6, 131, 2), (3, 20, 0)]), Ok(()));
    assert_eq!(after(&[(7, 20, 0), (2, 305, 1), (3, 20, 0), (6, 281, 2)]), Ok(()));
}

thread_local! {
    static FRAMES: Vec<Bytes> = frames();
}
