//! Random faults from a seed: cuts, deaths, restarts, hangs, loss, writes. When the faults end, every copy is equal and proven.

use super::TestRow;
use super::net::{MS, Net, SEC};
use crate::Op;
use std::time::Duration;

const NODES: [&str; 3] = ["A", "B", "C"];

/// Returns the incarnations at the end, and the frames sent: equal for equal seeds.
fn storm(seed: u64) -> (Net, u64) {
    let mut net = Net::new(&NODES, seed);
    net.settings = Box::new(|s| (s.log_ops, s.chunk_rows) = (256, 32));
    let mut incarnation = 1;
    NODES.into_iter().for_each(|node| net.start(node, 1));
    net.bulk_delay = MS * (net.dice(30) as u32);
    for _ in 0..120 {
        let node = NODES[net.dice(3) as usize];
        let other = NODES[net.dice(3) as usize];
        let alive = net.nodes.keys().any(|n| n.as_str() == node);
        match net.dice(14) {
            0 if alive => drop(net.kill(node)),
            1 | 2 if !alive => {
                incarnation += 1;
                net.start(node, incarnation);
            }
            3 if node != other => net.cut(node, other),
            4 if node != other => net.cut_one_way(node, other),
            5 | 6 => net.cuts.clear(),
            7 => net.loss_per_mille = net.dice(200),
            8 => net.loss_per_mille = 0,
            9 if alive => net.hang(node),
            10 => NODES.iter().for_each(|n| {
                if net.nodes.keys().any(|k| k.as_str() == *n) {
                    net.resume(n);
                }
            }),
            _ => {}
        }
        for node in NODES {
            if net.nodes.iter().any(|(n, found)| n.as_str() == node && !found.hung) {
                scribble(&mut net, node);
            }
        }
        let pause = Duration::from_millis(net.dice(300));
        net.run(pause);
    }
    (net, incarnation)
}

fn scribble(net: &mut Net, node: &str) {
    for _ in 0..net.dice(6) {
        let ops = (0..=net.dice(64)).map(|_| {
            let key = net.dice(700).into();
            if net.dice(4) == 0 { Op::Remove { key } } else { Op::Put(TestRow::new(key, net.dice(1_000_000))) }
        });
        let ops: Vec<_> = ops.collect();
        net.write(node, ops);
    }
}

fn heal(net: &mut Net, mut incarnation: u64) {
    net.cuts.clear();
    net.loss_per_mille = 0;
    for node in NODES {
        if net.nodes.keys().any(|n| n.as_str() == node) {
            net.resume(node);
        } else {
            incarnation += 1;
            net.start(node, incarnation);
        }
    }
}

#[test]
fn after_any_storm_every_copy_is_equal_proven_and_told() {
    for seed in 0..60 {
        let (mut net, incarnation) = storm(seed);
        heal(&mut net, incarnation);
        net.run(3 * SEC);
        assert!(net.all_equal(), "seed {seed}: {}", net.report());
        net.assert_told();
        for node in net.nodes.values() {
            assert!(node.cluster.is_in_sync(), "seed {seed}");
            let counters = node.cluster.counters();
            assert_eq!((counters.decode_errors, counters.bound_hits), (0, 0), "seed {seed}");
            // Loss alone never makes digests differ: sequences tell of it.
            assert_eq!(counters.resyncs_digest, 0, "seed {seed}: {}", net.report());
        }
    }
}

#[test]
fn one_seed_gives_one_history() {
    let frames = |seed| storm(seed).0.frames;
    assert_eq!(frames(7), frames(7));
    assert_ne!(frames(7), frames(8));
}
