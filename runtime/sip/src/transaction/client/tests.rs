//! Timer sequences in virtual time: what is sent when, and what ends a transaction.

use super::*;
use crate::transaction::key::Keyer;

const REQUEST: &[u8] = b"NOTIFY sip:phone SIP/2.0";

fn key(n: u32) -> TransactionKey {
    Keyer::new([1; 16]).client(&n.to_be_bytes(), b"NOTIFY")
}
fn ms(at: u64) -> Time {
    Time::from_millis(at)
}
fn start(n: u32, reliable: bool) -> Input<u32> {
    Input::Start { key: key(n), token: n, wire: Bytes::from_static(REQUEST), reliable }
}
fn response(n: u32, status: u16) -> Input<u32> {
    Input::Response { key: key(n), status, wire: Bytes::from_static(b"SIP/2.0") }
}
fn drain(machine: &mut ClientTransactions<u32>) -> Vec<Output<u32>> {
    std::iter::from_fn(|| machine.poll()).collect()
}

/// Runs by deadlines alone, up to and including `until`; what happened, with its millisecond.
fn run(machine: &mut ClientTransactions<u32>, until: u64) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    while let Some(due) = machine.deadline().filter(|d| *d <= ms(until)) {
        machine.tick(due);
        for output in drain(machine) {
            let what = match output {
                Output::Transmit { token, wire } => {
                    assert_eq!(wire, REQUEST);
                    format!("send {token}")
                }
                Output::Timeout { token } => format!("timeout {token}"),
                other => format!("{other:?}"),
            };
            seen.push((due.as_millis(), what));
        }
    }
    seen
}
fn sends(at: &[u64]) -> Vec<(u64, String)> {
    at.iter().map(|t| (*t, "send 1".to_owned())).collect()
}

#[test]
fn without_any_response_it_repeats_as_the_rfc_says_and_gives_up_after_32_seconds() {
    let mut machine = ClientTransactions::default();
    machine.handle(ms(0), start(1, false));
    assert_eq!(drain(&mut machine), [Output::Transmit { token: 1, wire: Bytes::from_static(REQUEST) }]);
    let mut expected = sends(&[500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]);
    expected.push((32_000, "timeout 1".to_owned()));
    assert_eq!(run(&mut machine, u64::MAX), expected);
    assert!(machine.is_empty() && machine.bytes() == 0 && machine.deadline().is_none());
}

#[test]
fn after_a_provisional_response_it_repeats_every_t2() {
    let mut machine = ClientTransactions::default();
    machine.handle(ms(0), start(1, false));
    drain(&mut machine);
    assert_eq!(run(&mut machine, 600), sends(&[500]));
    machine.handle(ms(600), response(1, 100));
    machine.handle(ms(700), response(1, 180));
    let passed_up: Vec<_> = drain(&mut machine).into_iter().map(|o| matches!(o, Output::Response { .. })).collect();
    assert_eq!(passed_up, [true, true]);
    // Timer E as it was set still fires; from then on it is T2.
    assert_eq!(run(&mut machine, 14_000), sends(&[1500, 5500, 9500, 13_500]));
    assert_eq!(run(&mut machine, u64::MAX).last(), Some(&(32_000, "timeout 1".to_owned())));
}

#[test]
fn the_final_response_is_reported_once_and_late_copies_are_absorbed_for_t4() {
    let mut machine = ClientTransactions::default();
    machine.handle(ms(0), start(1, false));
    drain(&mut machine);
    machine.handle(ms(100), response(1, 200));
    let wire = Bytes::from_static(b"SIP/2.0");
    assert_eq!(drain(&mut machine), [Output::Response { token: 1, status: 200, wire }]);
    assert_eq!((machine.len(), machine.bytes(), machine.deadline()), (1, 0, Some(ms(5_100))));
    machine.handle(ms(200), response(1, 200));
    machine.handle(ms(300), response(1, 180));
    machine.handle(ms(300), response(1, 500));
    assert_eq!(drain(&mut machine), []);
    assert_eq!(run(&mut machine, u64::MAX), []);
    assert!(machine.is_empty());
    machine.handle(ms(6_000), response(1, 200));
    assert_eq!(drain(&mut machine), []);
}

#[test]
fn on_a_stream_nothing_is_repeated_and_the_final_response_ends_it_at_once() {
    let mut machine = ClientTransactions::default();
    machine.handle(ms(0), start(1, true));
    machine.handle(ms(0), start(2, true));
    drain(&mut machine);
    machine.handle(ms(100), response(1, 486));
    assert_eq!(drain(&mut machine).len(), 1);
    assert_eq!(machine.len(), 1);
    assert_eq!(run(&mut machine, u64::MAX), [(32_000, "timeout 2".to_owned())]);
}

#[test]
fn a_response_is_matched_by_branch_and_method_only() {
    let mut machine = ClientTransactions::default();
    machine.handle(ms(0), start(1, false));
    drain(&mut machine);
    let keyer = Keyer::new([1; 16]);
    for (branch, method) in [(2u32, b"NOTIFY"), (1, b"INVITE")] {
        let stray = keyer.client(&branch.to_be_bytes(), method);
        machine.handle(ms(1), Input::Response { key: stray, status: 200, wire: Bytes::new() });
    }
    assert_eq!(drain(&mut machine), []);
    machine.handle(ms(1), response(1, 200));
    assert_eq!(drain(&mut machine).len(), 1);
}

#[test]
fn a_transport_failure_is_told_unless_the_answer_is_there_and_abandoning_is_silent() {
    let mut machine = ClientTransactions::default();
    for n in 1..=3 {
        machine.handle(ms(0), start(n, false));
    }
    machine.handle(ms(1), response(2, 200));
    drain(&mut machine);
    for n in 1..=2 {
        machine.handle(ms(2), Input::TransportFailed { key: key(n) });
    }
    machine.handle(ms(2), Input::Abandon { key: key(3) });
    assert_eq!(drain(&mut machine), [Output::Failed { token: 1 }]);
    assert!(machine.is_empty() && machine.bytes() == 0 && machine.deadline().is_none());
}

#[test]
fn the_bounds_hold_and_a_branch_is_used_once() {
    let mut machine = ClientTransactions::new(Limits { transactions: 2, bytes: MAX_BYTES });
    for n in [1, 1, 2, 3] {
        machine.handle(ms(0), start(n, false));
    }
    let refused: Vec<_> = drain(&mut machine).into_iter().filter(|o| matches!(o, Output::Refused { .. })).collect();
    let expected = [(1, Refusal::Duplicate), (3, Refusal::Full)].map(|(token, why)| Output::Refused { token, why });
    assert_eq!(refused, expected);
    let mut narrow = ClientTransactions::new(Limits { transactions: 9, bytes: REQUEST.len() });
    narrow.handle(ms(0), start(1, false));
    narrow.handle(ms(0), start(2, false));
    assert_eq!((narrow.len(), narrow.bytes()), (1, REQUEST.len()));
    narrow.handle(ms(0), response(1, 200));
    narrow.handle(ms(0), start(2, false));
    assert_eq!(narrow.len(), 2, "an answered request needs its bytes no more");
}

#[test]
fn a_driver_that_comes_late_sends_once_not_in_a_burst() {
    let mut machine = ClientTransactions::default();
    machine.handle(ms(0), start(1, false));
    drain(&mut machine);
    machine.tick(ms(10_000));
    assert_eq!(drain(&mut machine).len(), 1);
    assert_eq!(machine.deadline(), Some(ms(11_000)));
    machine.tick(ms(40_000));
    assert_eq!(drain(&mut machine), [Output::Timeout { token: 1 }]);
    machine.tick(ms(40_000));
    assert_eq!(drain(&mut machine), []);
}

#[test]
fn many_at_once_keep_their_own_time() {
    let mut machine = ClientTransactions::default();
    for n in 0..1_000 {
        machine.handle(ms(u64::from(n)), start(n, false));
    }
    drain(&mut machine);
    let seen = run(&mut machine, u64::MAX);
    assert_eq!(seen.len(), 1_000 * 11);
    assert!(seen.is_sorted_by_key(|(at, _)| *at));
    for n in [0, 500, 999u64] {
        assert!(seen.contains(&(n + 1_500, format!("send {n}"))));
        assert!(seen.contains(&(n + 32_000, format!("timeout {n}"))));
    }
}
