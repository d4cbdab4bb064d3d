//! Signals: once, in order, answered or told why not.

use super::net::{MS, Net, SEC, life, name};
use crate::{AskError, DownReason, Input, Output};
use bytes::Bytes;
use std::time::Duration;

fn signal(token: u64) -> Input<super::TestRow> {
    Input::Signal { to: name("B"), token, payload: Bytes::from(token.to_string()) }
}
fn ask(token: u64, within: Duration) -> Input<super::TestRow> {
    Input::Ask { to: name("B"), token, payload: Bytes::from(token.to_string()), within }
}
fn received(net: &Net, node: &str) -> Vec<u64> {
    let number = |payload: &Bytes| std::str::from_utf8(payload).unwrap().parse().unwrap();
    let said = net.see(node).said.iter();
    let of = |o: &Output<_>| match o {
        Output::Signal { payload, .. } | Output::Asked { payload, .. } => Some(number(payload)),
        _ => None,
    };
    said.filter_map(|(_, o)| of(o)).collect()
}
fn answers(net: &Net) -> Vec<(u64, Result<Bytes, AskError>)> {
    let of = |o: &Output<_>| match o {
        Output::Answered { token, answer } => Some((*token, answer.clone())),
        _ => None,
    };
    net.see("A").said.iter().filter_map(|(_, o)| of(o)).collect()
}

#[test]
fn signals_arrive_once_and_in_order_over_a_net_that_loses_a_third() {
    for seed in 0..5 {
        let mut net = Net::three(seed);
        net.loss_per_mille = 330;
        for token in 0..200 {
            net.give(&name("A"), signal(token));
            net.run(MS);
        }
        net.loss_per_mille = 0;
        net.run(5 * SEC);
        assert_eq!(received(&net, "B"), (0..200).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn an_ask_is_answered_even_when_frames_are_lost() {
    let mut net = Net::three(1);
    net.loss_per_mille = 200;
    for token in 0..20 {
        net.give(&name("A"), ask(token, 5 * SEC));
    }
    let mut answered = 0;
    for _ in 0..50 {
        net.run(50 * MS);
        let asked: Vec<_> = net.see("B").said.to_vec();
        let asked = asked.into_iter().filter_map(|(_, o)| match o {
            Output::Asked { ask, payload } => Some((ask, payload)),
            _ => None,
        });
        for (ask, payload) in asked.skip(answered).collect::<Vec<_>>() {
            answered += 1;
            net.give(&name("B"), Input::Answer { ask, payload });
        }
    }
    let mut got = answers(&net);
    got.sort_by_key(|(token, _)| *token);
    let wanted: Vec<_> = (0..20).map(|t: u64| (t, Ok(Bytes::from(t.to_string())))).collect();
    assert_eq!(got, wanted);
}

#[test]
fn an_ask_without_an_answer_ends_at_its_deadline() {
    let mut net = Net::three(2);
    net.give(&name("A"), ask(1, 500 * MS));
    net.run(499 * MS);
    assert_eq!(answers(&net), []);
    net.run(2 * MS);
    assert_eq!(answers(&net), [(1, Err(AskError::Deadline))]);
    assert_eq!(received(&net, "B"), [1]);
}

#[test]
fn a_dead_peer_answers_every_open_ask_with_its_death() {
    let mut net = Net::three(3);
    net.cut("A", "B");
    net.give(&name("A"), ask(1, 60 * SEC));
    net.give(&name("A"), signal(2));
    net.run(1_200 * MS);
    assert_eq!(answers(&net), [(1, Err(AskError::Died(DownReason::Silent)))]);
    let failed = |o: &Output<_>| matches!(o, Output::SignalFailed { token: 2, why: AskError::Died(_), .. });
    assert!(net.see("A").when(tandem_base::Time::ZERO, failed).is_some());
    net.give(&name("A"), ask(3, SEC));
    assert_eq!(answers(&net).last(), Some(&(3, Err(AskError::NotUp))));
    // After the flap the numbers go on, and what was given up does not hold up what follows.
    net.cuts.clear();
    net.run(300 * MS);
    net.give(&name("A"), signal(4));
    net.run(300 * MS);
    assert_eq!(received(&net, "B"), [4]);
}

#[test]
fn a_new_life_starts_anew_and_sees_nothing_meant_for_the_old_one() {
    let mut net = Net::three(4);
    (0..5).for_each(|token| net.give(&name("A"), signal(token)));
    net.run(100 * MS);
    net.hang("B");
    net.give(&name("A"), signal(5));
    net.kill("B");
    net.run(100 * MS);
    net.start("B", 2);
    net.run(SEC);
    net.give(&name("A"), signal(6));
    net.run(100 * MS);
    assert_eq!(received(&net, "B"), [6]);
    assert_eq!(net.see("A").cluster.members()[0].incarnation, Some(life("B", 2).incarnation));
}

#[test]
fn the_bounds_on_signals_are_kept() {
    let mut net = Net::new(&["A", "B"], 5);
    net.settings = Box::new(|s| (s.signals_max, s.signal_bytes_max) = (10, 100));
    net.start("A", 1);
    net.start("B", 1);
    net.run(SEC);
    net.cut("A", "B");
    (0..15).for_each(|token| net.give(&name("A"), signal(token)));
    let long = Input::Ask { to: name("B"), token: 99, payload: Bytes::from(vec![0; 101]), within: SEC };
    net.give(&name("A"), long);
    assert_eq!(answers(&net), [(99, Err(AskError::Full))]);
    let full = |o: &Output<_>| matches!(o, Output::SignalFailed { why: AskError::Full, .. });
    assert_eq!(net.see("A").said.iter().filter(|(_, o)| full(o)).count(), 5);
}
